"""The audit of bookings: it recomputes them by itself, and names what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal as D

import msgspec
import pytest

from qts.capital.contracts import Pool
from qts.ledger.account import Account
from qts.ledger.audit import AuditResult, Claims, ExternalClaims, ProvenRows, audit
from qts.ledger.contracts import ActionRow, BookingRow, LedgerRow
from qts.market.actions import Dividend

from .book import BALANCED, SAMSUNG, account, at, bust, claims_of, fill, note, order

MARK = at(1_500)


class Session:
    """A book with a purchase (taken back), a dividend between, a deposit, EXTERNAL, and the rows of all that."""

    def __init__(self) -> None:
        self.book: Account = account()
        self.ledger: list[LedgerRow] = []
        self.actions: list[ActionRow] = []
        opened = self.book.adopt(D(1_100_000), {SAMSUNG: (D(2), D(3_000))}, note("opening", 1))
        self.bookings = [one.booking for one in opened]
        first, second = fill("1", "BUY", 10, 1_000, fee=15, ts=10), fill("2", "BUY", 4, 1_200, ts=11)
        for one in (first, second):
            effect = self.book.apply_fill(one, strategy="ema", pool=Pool.SCALP)
            assert effect is not None
            self.ledger.append(effect.ledger)
        dividend = Dividend(SAMSUNG, date(2018, 5, 4), D(5))
        paid = self.book.pay_dividend(dividend, ts_ns=20, tax=lambda amount: D(0))
        self.actions += [one.action for one in paid]
        back = self.book.reverse(bust(first, ts=30))
        assert back is not None
        self.bookings.append(back.booking)
        (alien,) = self.book.book_external(fill("9", "SELL", 1, 1_400, order="x", ts=31), actor="rule", reason="")
        self.bookings.append(alien.booking)
        money = self.book.deposit(D(1_000), note("c-1", 40), weights=BALANCED, remainder=Pool.SCALP)
        self.bookings += [one.booking for one in money]

    def audited(self, bookings: Sequence[BookingRow] | None = None, claims: Claims | None = None) -> AuditResult:
        return audit(
            initial=self.book.initial,
            quantum=D(1),
            ledger=self.ledger,
            transfers=[],
            orders=[order("o-1", "BUY", 14, state="FILLED", filled=14)],
            claims=claims if claims is not None else self.claims(),
            mark=MARK,
            actions=self.actions,
            bookings=self.bookings if bookings is None else bookings,
        )

    def claims(self, **changes: object) -> Claims:
        return msgspec.structs.replace(claims_of(self.book, MARK, self.book.broker_positions()), **changes)


def found(result: AuditResult) -> dict[str, str]:
    return {one.subject: one.detail for one in result.findings}


def test_a_book_with_all_kinds_of_bookings_holds() -> None:
    # Given 14 shares on the ex-date, of which 10 were taken back afterwards, and one of EXTERNAL that was sold
    session = Session()
    assert session.actions[0].held == 14
    # Then the audit finds nothing: ours are 4, EXTERNAL is 1, the broker has 5
    assert session.audited().findings == ()
    assert session.book.broker_positions() == {SAMSUNG: 5}


@pytest.mark.parametrize(
    ("place", "change", "subject"),
    [
        (0, {"amount": D(100_001)}, "cash of EXTERNAL"),
        (1, {"qty": D(3)}, f"EXTERNAL {SAMSUNG}"),
        (1, {"cost": D(3_001)}, f"cost of EXTERNAL {SAMSUNG}"),
        (2, {"reference": "7"}, "REVERSAL 7"),
        (2, {"qty": D(-9)}, "REVERSAL 1"),
        (2, {"fee": D(-14)}, "REVERSAL 1"),
        (2, {"realized_pnl": D(0)}, "REVERSAL 1, result"),
        (2, {"strategy": "turtle"}, "REVERSAL 1"),
        (3, {"amount": D(1_401)}, "EXTERNAL_FILL 9, amount"),
        (4, {"amount": D(401)}, "SCALP total"),
        (4, {"realized_pnl": D(1)}, "DEPOSIT c-1, result"),
        (4, {"pool": Pool.SWING}, "SCALP total"),
    ],
)
def test_a_changed_row_is_named(place: int, change: dict[str, object], subject: str) -> None:
    session = Session()
    rows = list(session.bookings)
    rows[place] = msgspec.structs.replace(rows[place], **change)
    assert subject in found(session.audited(rows))


def test_a_doubled_row_and_a_missing_one_are_named() -> None:
    session = Session()
    assert found(session.audited([*session.bookings, session.bookings[-1]]))["bookings, each once"]
    assert found(session.audited(session.bookings[:-1]))["bookings applied"]
    assert found(session.audited([]))["bookings applied"] == f"claimed {len(session.bookings)}, recomputed 0"


@pytest.mark.parametrize(
    ("claim", "subject"),
    [
        (lambda book: ExternalClaims(D(0), book.external.positions(), book.external.costs()), "cash of EXTERNAL"),
        (lambda book: ExternalClaims(book.external.cash, {}, book.external.costs()), f"EXTERNAL {SAMSUNG}"),
        (
            lambda book: ExternalClaims(book.external.cash, {**book.external.positions(), "1": D(1)}, {"2": D(5)}),
            "cost of EXTERNAL 2",
        ),
    ],
)
def test_a_wrong_claim_of_external_is_named(claim: Callable[[Account], ExternalClaims], subject: str) -> None:
    session = Session()
    assert subject in found(session.audited(claims=session.claims(external=claim(session.book))))


def test_the_broker_holds_ours_and_external() -> None:
    session = Session()
    wrong = session.claims(broker_positions={SAMSUNG: D(4)})
    assert found(session.audited(claims=wrong)) == {f"broker's {SAMSUNG}": "claimed 4, recomputed 5"}


def test_nothing_of_external_need_be_claimed() -> None:
    session = Session()
    assert session.audited(claims=session.claims(external=None)).findings == ()


def test_an_external_fill_that_is_taken_back_counts_for_nothing() -> None:
    session = Session()
    back = session.book.reverse(bust(fill("9", "SELL", 1, 1_400, order="x", ts=31), ts=50))
    assert back is not None
    session.bookings.append(back.booking)
    assert session.audited().findings == ()
    assert session.book.broker_positions() == {SAMSUNG: 6}
    # And a reversal that takes back less than it was is named
    session.bookings[-1] = msgspec.structs.replace(back.booking, tax=D(5))
    assert "REVERSAL 9" in found(session.audited())


def test_an_execution_of_external_that_is_taken_back_after_its_day_was_closed_does_not_follow() -> None:
    # Given a book that has a purchase of EXTERNAL and nothing else, and its close
    book = account()
    (alien,) = book.book_external(fill("9", "BUY", 1, 900, order="x", ts=5), actor="rule", reason="unknown order")
    sums = ProvenRows(book.initial, D(1))
    sums.add([], [], [], [], [alien.booking])
    # When the broker takes it back
    back = book.reverse(bust(fill("9", "BUY", 1, 900, order="x", ts=5), ts=6))
    assert back is not None
    # Then the audit has to read every row again: the day's alone do not have what is taken back
    assert not sums.closed().follow([], [], [back.booking])
    assert ProvenRows(book.initial, D(1)).follow([], [], [alien.booking, back.booking])


@pytest.mark.parametrize(
    ("held", "amount", "said"),
    [
        ("10", "300", None),  # what was booked when it was paid
        ("13", "390", None),  # all of it, as if nothing had come late
        ("12", "360", "claimed 12, recomputed 13"),  # what was never held
        ("3", "90", "claimed 3, recomputed 13"),  # the late one alone
    ],
)
def test_a_dividend_is_of_the_shares_known_to_be_held_when_it_was_paid(
    held: str, amount: str, said: str | None
) -> None:
    # Given 10 shares that a dividend of 30 was paid on, and 3 more, bought before it and told after it
    book = account()
    first = book.apply_fill(fill("1", "BUY", 10, 1_000, order="o-1", ts=10), strategy="ema", pool=Pool.SCALP)
    (paid,) = book.pay_dividend(Dividend(SAMSUNG, date(2018, 5, 4), D(30)), ts_ns=20, tax=lambda amount: D(0))
    late = book.apply_fill(fill("2", "BUY", 3, 1_000, order="o-2", ts=15), strategy="ema", pool=Pool.SCALP)
    assert first is not None
    assert late is not None
    assert (paid.action.held, paid.action.amount) == (10, 300)
    # When the row says that it was of so many
    told = msgspec.structs.replace(paid.action, held=D(held), amount=D(amount), realized_pnl=D(amount))
    result = audit(
        initial=book.initial,
        quantum=D(1),
        ledger=[first.ledger, late.ledger],
        transfers=[],
        orders=[
            order("o-1", "BUY", 10, state="FILLED", filled=10),
            order("o-2", "BUY", 3, state="FILLED", filled=3),
        ],
        claims=claims_of(book, MARK),
        mark=MARK,
        actions=[told],
    )
    # Then it is sound only if that many were booked
    name = f"DIVIDEND of {SAMSUNG} on 2018-05-04, held by ema"
    assert found(result).get(name) == said


def test_what_was_bought_and_taken_back_before_the_dividend_and_told_after_it_counts_for_nothing() -> None:
    # Given 10 shares that a dividend was paid on
    book = account()
    told = [fill("1", "BUY", 10, 1_000, order="o-1", ts=10)]
    effects = [book.apply_fill(told[0], strategy="ema", pool=Pool.SCALP)]
    (paid,) = book.pay_dividend(Dividend(SAMSUNG, date(2018, 5, 4), D(30)), ts_ns=20, tax=lambda amount: D(0))
    # And after it, of before it: 3 that were bought, and 4 that were bought and taken back
    for late in (fill("3", "BUY", 3, 1_000, order="o-3", ts=15), fill("2", "BUY", 4, 1_000, order="o-2", ts=11)):
        told.append(late)
        effects.append(book.apply_fill(late, strategy="ema", pool=Pool.SCALP))
    back = book.reverse(bust(told[-1], ts=12))
    assert back is not None
    result = audit(
        initial=book.initial,
        quantum=D(1),
        ledger=[one.ledger for one in effects if one is not None],
        transfers=[],
        orders=[
            order(f"o-{number}", "BUY", qty, state="FILLED", filled=qty)
            for number, qty in ((1, 10), (2, 4), (3, 3))
        ],
        claims=claims_of(book, MARK),
        mark=MARK,
        actions=[paid.action],
        bookings=[back.booking],
    )
    # Then the dividend of the 10 is sound
    assert f"DIVIDEND of {SAMSUNG} on 2018-05-04, held by ema" not in found(result)


def test_rows_that_take_one_back_do_not_follow_what_was_added() -> None:
    session = Session()
    sums = ProvenRows(session.book.initial, D(1))
    assert sums.follow(session.ledger, session.actions, session.bookings)
    sums.add(session.ledger, [], [], session.actions, session.bookings[:2])
    assert sums.follow([], [], session.bookings[3:])
    assert not sums.follow([], [], session.bookings[2:])
