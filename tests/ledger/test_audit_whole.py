"""The audit of a book with every kind of row: each comparison is made and names what differs, and its invariant."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal as D
from typing import Any

import pytest
from msgspec.structs import replace

from qts.capital.contracts import Pool, Transfer
from qts.execution.contracts import Fill, Order
from qts.ledger.account import Account
from qts.ledger.audit import AuditResult, Claims, ExternalClaims, ProvenRows, audit
from qts.ledger.contracts import ActionEffect, ActionRow, BookingEffect, BookingRow, LedgerRow
from qts.market.actions import Dividend, Split

from .book import BALANCED, SAMSUNG, account, at, bust, claims_of, fill, note, order, transfer
from .past import Closing, Shelf

HYNIX = "000660"
POOLS = {"ema": Pool.SCALP, "turtle": Pool.SWING}
MARK = at(1_500)


class Rows:
    """A book and the rows that it gave."""

    def __init__(self, quantum: str = "1") -> None:
        self.book: Account = account(quantum=quantum)
        self.ledger: list[LedgerRow] = []
        self.transfers: list[Transfer] = []
        self.actions: list[ActionRow] = []
        self.bookings: list[BookingRow] = []
        self.orders: dict[str, Order] = {}

    def trade(self, one: Fill, strategy: str = "ema") -> None:
        effect = self.book.apply_fill(one, strategy=strategy, pool=POOLS[strategy])
        assert effect is not None
        self.ledger.append(effect.ledger)

    def act(self, effects: tuple[ActionEffect, ...]) -> None:
        self.actions += [one.action for one in effects]

    def note(self, effects: tuple[BookingEffect, ...] | BookingEffect | None) -> None:
        assert effects
        self.bookings += [one.booking for one in (effects if isinstance(effects, tuple) else (effects,))]

    def claims(self, **changes: Any) -> Claims:
        return replace(claims_of(self.book, MARK, self.book.broker_positions()), **changes)

    def audited(self, claims: Claims | None = None, **rows: Any) -> AuditResult:
        given: dict[str, Any] = {
            "ledger": self.ledger,
            "transfers": self.transfers,
            "actions": self.actions,
            "bookings": self.bookings,
            "orders": self.orders.values(),
        }
        return audit(
            initial=self.book.initial,
            quantum=self.book.quantum,
            claims=claims if claims is not None else self.claims(),
            mark=MARK,
            **given | rows,
        )

    def costs_hold(self) -> bool:
        """Return whether no finding is about anything but the orders, which some tests do not make."""
        return [one for one in self.audited().findings if one.invariant != 6] == []


def everything() -> Rows:
    """Fills of two strategies, a transfer, a split that leaves a fraction, a dividend, EXTERNAL, a take-over."""
    rows = Rows()
    rows.note(rows.book.adopt(D(1_100_000), {SAMSUNG: (D(8), D(8_000)), HYNIX: (D(1), D(9))}, note("opening", 1)))
    rows.trade(fill("1", "BUY", 10, 1_000, fee=15, ts=10))
    rows.trade(fill("2", "BUY", 4, 1_200, order="o-2", ts=11), "turtle")
    rows.act(rows.book.pay_dividend(Dividend(SAMSUNG, date(2018, 5, 4), D(5)), ts_ns=20, tax=lambda _: D(1)))
    rows.act(
        rows.book.apply_split(Split(SAMSUNG, date(2018, 5, 8), D(1), D(3)), ts_ns=30, lot=D(1), price=D(1_100))
    )
    rows.transfers.append(transfer("t-1", Pool.SCALP, Pool.SWING, 100, 35))
    rows.book.transfer(rows.transfers[0])
    rows.note(rows.book.take_over(SAMSUNG, D(2), note("c-1", 40), strategy="ema", pool=Pool.SCALP, price=D(1_500)))
    rows.trade(fill("3", "SELL", 1, 3_500, order="o-3", tax=5, ts=50))
    rows.note(rows.book.book_external(fill("9", "SELL", 1, 1_400, order="x", ts=51), actor="rule", reason=""))
    rows.note(rows.book.deposit(D(1_000), note("c-2", 60), weights=BALANCED, remainder=Pool.SCALP))
    for name, side, qty, state in (("o-1", "BUY", 10, "FILLED"), ("o-2", "BUY", 4, "FILLED")):
        rows.orders[name] = order(name, side, qty, state=state, filled=qty)
    rows.orders["o-3"] = order("o-3", "SELL", 3, state="PARTIAL", filled=1)
    return rows


def named(result: AuditResult) -> set[tuple[int, str]]:
    return {(one.invariant, one.subject) for one in result.findings}


def test_every_comparison_of_such_a_book_is_made_and_holds() -> None:
    result = everything().audited()
    assert result.findings == ()
    assert result.checks == {
        # 4 of each of 3 pools less the one under 2; cash and equity twice; each action's payment (4); the result of
        # each of 9 bookings and the amount of an execution; shares taken over; cash of EXTERNAL
        1: 3 * 3 + 3 + 4 + 9 + 1 + 1 + 1,
        2: 3 + 3,  # a transfer in three ways, what each pool has available
        3: 3,  # what each pool has reserved
        # Held and changed by 2 dividends, held and allowed by 2 splits; positions of 2 symbols, ours and the
        # broker's; quantity and cost of 2 holdings, and of 2 symbols of EXTERNAL
        4: 4 + 4 + 4 + 4 + 4,
        # Fills, actions and bookings applied, the last two each once; each fill once
        5: 1 + 2 + 2 + 3,
        6: 3 * 2 + 3,  # of each order that it is stored, what it allows and what it filled
    }


@pytest.mark.parametrize(
    ("change", "subjects"),
    [
        ({"actions_applied": 3}, {(5, "splits and dividends applied")}),
        ({"bookings_applied": 3}, {(5, "bookings applied")}),
        ({"fills_applied": 4}, {(5, "fills applied")}),
        ({"cash": D(1)}, {(1, "cash")}),
        ({"equity": D(1)}, {(1, "equity of pools"), (1, "equity of origin")}),
        ({"broker_positions": {}}, {(4, f"broker's {SAMSUNG}"), (4, f"broker's {HYNIX}")}),
        ({"positions": {}}, {(4, f"position {SAMSUNG}")}),
    ],
)
def test_a_claim_that_is_not_so_is_named(change: dict[str, Any], subjects: set[tuple[int, str]]) -> None:
    rows = everything()
    assert named(rows.audited(rows.claims(**change))) == subjects


def test_splits_that_are_claimed_where_there_is_none_are_named() -> None:
    rows = Rows()
    assert named(rows.audited(rows.claims(actions_applied=1))) == {(5, "splits and dividends applied")}
    assert named(rows.audited(rows.claims(bookings_applied=1))) == {(5, "bookings applied")}


DIVIDEND, SPLIT = f"DIVIDEND of {SAMSUNG} on 2018-05-04", f"SPLIT of {SAMSUNG} on 2018-05-08"


@pytest.mark.parametrize(
    ("place", "change", "subjects"),
    [
        (0, {"held": D(9)}, {(4, f"{DIVIDEND}, held by ema"), (1, DIVIDEND)}),
        (0, {"change": D(1)}, {(4, f"{DIVIDEND}, change of ema")}),
        (0, {"amount": D(51)}, {(1, DIVIDEND)}),  # a whole won more than was due
        (2, {"amount": D(1_101)}, {(1, SPLIT)}),
        (2, {"held": D(9)}, {(4, f"{SPLIT}, held by ema")}),
        (2, {"change": D(-6)}, {(4, SPLIT)}),  # 4 of 10 are more than a third
    ],
)
def test_an_action_that_does_not_fit_is_named(
    place: int, change: dict[str, Any], subjects: set[tuple[int, str]]
) -> None:
    rows = everything()
    actions = [replace(one, **change) if n == place else one for n, one in enumerate(rows.actions)]
    assert subjects <= named(rows.audited(actions=actions))


@pytest.mark.parametrize("change", [1, -1])
def test_a_split_of_nothing_gives_and_takes_nothing(change: int) -> None:
    rows = everything()
    nothing = replace(rows.actions[2], strategy="none", held=D(0), change=D(change), amount=D(0), realized_pnl=D(0))
    assert (4, SPLIT) in named(rows.audited(actions=[*rows.actions, nothing]))


def test_an_action_twice_is_named_and_so_is_a_booking() -> None:
    rows = everything()
    twice = rows.audited(actions=[*rows.actions, rows.actions[1]])
    assert (5, "splits and dividends, each once") in named(twice)
    doubled = rows.audited(bookings=[*rows.bookings, rows.bookings[0]])
    assert (5, "bookings, each once") in named(doubled)


def test_all_that_was_taken_over_one_sidedly_is_named() -> None:
    rows = everything()
    rows.note(rows.book.take_over(SAMSUNG, D(1), note("c-9", 70), strategy="ema", pool=Pool.SCALP, price=D(1)))
    left = [one for one in rows.bookings if not (one.pool is None and one.reference in ("c-1", "c-9"))]
    (one,) = [one for one in rows.audited(bookings=left).findings if one.subject == "shares taken over"]
    assert (one.invariant, one.detail) == (
        1,
        f"what left EXTERNAL and what came differ: c-1 of {SAMSUNG}, c-9 of {SAMSUNG}",
    )


def test_of_external_everything_that_is_not_claimed_is_named() -> None:
    rows = everything()
    found = rows.audited(rows.claims(external=ExternalClaims(D(1), {}, {}))).findings
    assert [(one.invariant, one.subject) for one in found] == [
        (1, "cash of EXTERNAL"),
        (4, f"EXTERNAL {HYNIX}"),
        (4, f"cost of EXTERNAL {HYNIX}"),
        (4, f"EXTERNAL {SAMSUNG}"),
        (4, f"cost of EXTERNAL {SAMSUNG}"),
    ]


def test_what_differs_is_told_in_the_order_of_its_names() -> None:
    rows, symbols = Rows(), [f"{number:06}" for number in range(12)]
    for number, symbol in enumerate(reversed(symbols)):
        rows.trade(fill(str(number), "BUY", 1, 1, symbol=symbol))
    found = rows.audited(rows.claims(positions={}, holdings=(), broker_positions=None)).findings
    about = [one.subject for one in found if one.invariant == 4]
    assert [one for one in about if one.startswith("position")] == [f"position {symbol}" for symbol in symbols]
    assert [one for one in about if one.startswith("holding")] == [f"holding ema/{symbol}" for symbol in symbols]


def test_shares_that_came_at_another_cost_than_they_left_at_are_named() -> None:
    rows = everything()
    bookings = [replace(one, cost=D(2_001)) if one.strategy and one.cost == 2_000 else one for one in rows.bookings]
    assert bookings != rows.bookings
    assert (1, "shares taken over") in named(rows.audited(bookings=bookings))


def test_executions_of_ours_and_of_others_are_taken_back_with_their_sign() -> None:
    rows = Rows()
    ours, theirs = fill("1", "SELL", 2, 1_000, fee=1, tax=2, ts=1), fill("9", "SELL", 3, 900, order="x", ts=2)
    rows.trade(ours)
    rows.note(rows.book.book_external(theirs, actor="rule", reason=""))
    for one in (ours, theirs):
        rows.note(rows.book.reverse(bust(one, ts=9)))
    assert rows.costs_hold()
    # And of a fill that is not there it is named
    (missing, *_) = [one for one in rows.audited(ledger=[]).findings if one.subject == "REVERSAL 1"]
    assert (missing.invariant, missing.detail) == (5, "takes back an execution that is not booked")


def test_all_of_external_is_told_in_the_order_of_its_names() -> None:
    rows, symbols = Rows(), [f"{number:06}" for number in range(12)]
    held = {symbol: (D(1), D(5)) for symbol in reversed(symbols)}
    rows.note(rows.book.adopt(D(1_100_000), held, note("opening", 1)))
    found = rows.audited(rows.claims(external=ExternalClaims(D(100_000), {}, {}))).findings
    assert [one.subject for one in found if one.subject.startswith("EXTERNAL")] == [
        f"EXTERNAL {s}" for s in symbols
    ]


def test_at_one_moment_shares_that_are_taken_over_come_before_a_fill() -> None:
    # Given a share at 62,000, and 3 that cost 50,000 taken over at the moment at which 2 are sold
    rows = Rows()
    rows.note(rows.book.adopt(D(1_500_000), {SAMSUNG: (D(7), D(350_000))}, note("opening", 1)))
    rows.trade(fill("1", "BUY", 1, 62_000, ts=3, broker="KIS"))
    rows.note(rows.book.take_over(SAMSUNG, D(3), note("c", 9), strategy="ema", pool=Pool.SCALP, price=D(60_000)))
    rows.trade(fill("2", "SELL", 2, 60_000, ts=9, broker="KIS"))
    # Then 2 are left at the average of all four, 53,000
    assert rows.book.position_rows()[0].cost == 106_000
    assert rows.costs_hold()


def test_a_reversal_that_takes_back_something_else_is_named() -> None:
    rows, first = Rows(), fill("1", "BUY", 2, 1_000, ts=1)
    rows.trade(first)
    rows.note(rows.book.reverse(bust(first, ts=2)))
    other = [replace(rows.bookings[0], price=D(1_001), amount=D(2_002))]
    assert (5, "REVERSAL 1") in named(rows.audited(bookings=other))


def test_the_smallest_transfer_and_an_empty_pool_are_sound() -> None:
    rows = Rows()
    for name, amount in (("t-1", 1), ("t-2", 399_999)):
        rows.transfers.append(transfer(name, Pool.SCALP, Pool.SWING, amount))
        rows.book.transfer(rows.transfers[-1])
    assert rows.book.pool_cash(Pool.SCALP) == 0
    assert rows.audited().findings == ()
    (again,) = [
        one for one in rows.audited(transfers=[*rows.transfers, rows.transfers[0]]).findings if one.invariant == 2
    ]
    assert again.detail == "applied more than once"


def test_at_one_moment_a_split_comes_before_a_fill_whatever_the_broker_is_called() -> None:
    # Given 10 shares that become 20, of which 5 are sold at that moment
    rows = Rows()
    rows.trade(fill("1", "BUY", 10, 1_000, ts=1, broker="KIS"))
    split = Split(SAMSUNG, date(2018, 5, 8), D(2), D(1))
    rows.act(rows.book.apply_split(split, ts_ns=9, lot=D(1), price=D(1_000)))
    rows.trade(fill("2", "SELL", 5, 2_000, ts=9, broker="KIS"))
    # Then 15 are left that cost 500 each
    assert (rows.book.holding("ema", SAMSUNG), rows.book.position_rows()[0].cost) == (15, 7_500)
    assert rows.costs_hold()


@pytest.mark.parametrize(
    ("first", "second", "cost"),
    [
        (("BUY", 1, 1_000), ("BUY", 1, 2_000), 3_000),
        (("SELL", 1, 1_000), ("SELL", 1, 2_000), -3_000),
        (("BUY", 1, 1_000), ("SELL", 3, 1_500), -3_000),
        (("SELL", 1, 1_000), ("BUY", 3, 1_500), 3_000),
        (("BUY", 3, 1_000), ("SELL", 2, 1_500), 1_000),
    ],
)
def test_the_cost_of_what_is_held_is_recomputed(
    first: tuple[str, int, int], second: tuple[str, int, int], cost: int
) -> None:
    rows = Rows()
    rows.trade(fill("1", *first, ts=1))
    rows.trade(fill("2", *second, ts=2))
    assert rows.book.position_rows()[0].cost == cost
    assert rows.costs_hold()


@pytest.mark.parametrize("held", ["0", "0.5", "1", "3"])
def test_the_cost_of_shares_taken_over_is_recomputed(held: str) -> None:
    rows = Rows()
    rows.note(rows.book.adopt(D(1_100_000), {SAMSUNG: (D(8), D(8_000))}, note("opening", 1)))
    if D(held):
        rows.trade(fill("1", "BUY", held, 3_000, ts=5))
    rows.note(rows.book.take_over(SAMSUNG, D(2), note("c", 9), strategy="ema", pool=Pool.SCALP, price=D(1)))
    rows.trade(fill("2", "BUY", 1, 1_000, ts=20))
    assert rows.book.position_rows()[0].cost == D(held) * 3_000 + 3_000
    assert rows.costs_hold()


def test_rows_behind_what_was_taken_back_count() -> None:
    rows = Rows()
    first = fill("1", "BUY", 2, 1_000, ts=1)
    rows.trade(first)
    rows.note(rows.book.reverse(bust(first, ts=2)))
    rows.trade(fill("2", "BUY", 3, 2_000, ts=3))
    assert rows.book.position_rows()[0].cost == 6_000
    assert rows.costs_hold()


@pytest.mark.parametrize(("side", "after"), [("BUY", 3), ("SELL", -3)])
def test_a_fraction_of_a_short_holding_is_bought_back(side: str, after: int) -> None:
    """Of 10 shares three become one: the tenth is paid, or costs, 1,100."""
    rows = Rows()
    rows.trade(fill("1", side, 10, 1_000, ts=1))
    rows.act(rows.book.apply_split(Split(SAMSUNG, date(2018, 5, 8), D(1), D(3)), ts_ns=9, lot=D(1), price=D(1_100)))
    assert rows.book.holding("ema", SAMSUNG) == after
    assert rows.costs_hold()
    # What left more than a third would be named
    more = [replace(rows.actions[0], change=rows.actions[0].change + (1 if after > 0 else -1))]
    assert (4, SPLIT) in named(rows.audited(actions=more))


def test_one_share_that_a_split_takes_wholly_is_paid() -> None:
    rows = Rows()
    rows.trade(fill("1", "BUY", 1, 1_000, ts=1))
    rows.act(rows.book.apply_split(Split(SAMSUNG, date(2018, 5, 8), D(1), D(3)), ts_ns=9, lot=D(1), price=D(1_100)))
    assert rows.book.holding("ema", SAMSUNG) == 0
    assert rows.costs_hold()


class TestProven:
    def proven(self, rows: Rows) -> ProvenRows:
        sums = ProvenRows(rows.book.initial, D(1))
        sums.add(rows.ledger, rows.transfers, rows.orders.values(), rows.actions, rows.bookings)
        return sums

    def audit(self, sums: ProvenRows, rows: Rows, new: Rows) -> AuditResult:
        """Return the audit of what ``new`` has behind ``rows``; it is the same book."""
        return sums.audit(
            ledger=new.ledger,
            transfers=new.transfers,
            orders=new.orders.values(),
            claims=rows.claims(),
            mark=MARK,
            actions=new.actions,
            bookings=new.bookings,
        )

    @pytest.mark.parametrize("closed", [False, True])
    def test_new_rows_of_every_kind_are_added_to_those_before(self, closed: bool) -> None:
        # Given sums of a book, or those of them that a closed day leaves
        rows = everything()
        sums = self.proven(rows)
        if closed:
            sums = sums.closed()
        # When a fill of the open order, a transfer, a dividend and a deposit come
        new = Rows()
        new.book = rows.book
        new.trade(fill("4", "SELL", 1, 3_600, order="o-3", ts=80))
        new.orders["o-3"] = order("o-3", "SELL", 3, state="PARTIAL", filled=2)
        new.transfers.append(transfer("t-2", Pool.SCALP, Pool.SWING, 100, 90))
        rows.book.transfer(new.transfers[0])
        new.act(rows.book.pay_dividend(Dividend(SAMSUNG, date(2018, 6, 4), D(5)), ts_ns=95, tax=lambda _: D(1)))
        new.note(rows.book.deposit(D(1_000), note("c-3", 99), weights=BALANCED, remainder=Pool.SCALP))
        assert sums.follow(new.ledger, new.actions, new.bookings)
        # Then the claims hold, and nothing is asked for the ended orders
        assert self.audit(sums, rows, new).findings == ()
        assert (sums.fills, sums.transfers, sums.actions, sums.bookings) == (4, 2, 6, 12)
        assert sums.approvals_of_open_orders() == {"a-o-3": "o-3"}
        # And again, after nothing
        assert self.audit(sums, rows, Rows()).findings == ()

    def test_of_an_order_that_has_ended_a_closed_day_keeps_nothing(self) -> None:
        sums = self.proven(everything()).closed()
        assert set(sums._orders) == {"o-3"}
        assert dict(sums._filled) == {"o-3": 1}

    def test_an_order_that_is_open_without_a_fill_is_kept_without_one(self) -> None:
        rows = Rows()
        rows.orders["o-1"] = order("o-1", "BUY", 3, state="WORKING", filled=0)
        sums = self.proven(rows).closed()
        assert (set(sums._orders), dict(sums._filled)) == ({"o-1"}, {})

    @pytest.mark.parametrize(
        ("tell", "since"),
        [
            (lambda rows: rows.trade(fill("1", "BUY", 1, 1, ts=50)), 50),
            (
                lambda rows: rows.note(
                    rows.book.take_over(SAMSUNG, D(1), note("c", 60), strategy="ema", pool=Pool.SCALP, price=D(1))
                ),
                60,
            ),
        ],
    )
    def test_only_rows_that_are_no_older_follow(self, tell: Callable[[Rows], None], since: int) -> None:
        rows = Rows()
        rows.note(rows.book.adopt(D(1_100_000), {SAMSUNG: (D(8), D(8_000))}, note("opening", 1)))
        tell(rows)
        sums = self.proven(rows)
        for ts, follows in ((since + 1, True), (since - 1, False)):
            new = Rows()
            new.trade(fill("7", "BUY", 1, 1, ts=ts))
            assert sums.follow(new.ledger) is follows

    def test_whatever_comes_follows_rows_of_external(self) -> None:
        rows = Rows()
        rows.note(rows.book.adopt(D(1_100_000), {SAMSUNG: (D(8), D(8_000))}, note("opening", 100)))
        new = Rows()
        new.trade(fill("7", "BUY", 1, 1, ts=5))
        assert self.proven(rows).follow(new.ledger)

    @pytest.mark.parametrize("newest_first", [False, True])
    def test_opening_balances_say_how_old_their_newest_fill_is(self, newest_first: bool) -> None:
        # Given a closed day with EXTERNAL, and fills at 10 and 20 of two symbols
        shelf, rows = Shelf(), Rows()
        rows.note(rows.book.adopt(D(1_100_000), {HYNIX: (D(8), D(8_000))}, note("opening", 1)))
        times = (20, 10) if newest_first else (10, 20)
        for symbol, ts in zip((SAMSUNG, HYNIX), times, strict=True):
            rows.trade(fill(str(ts), "BUY", 1, 1, symbol=symbol, ts=ts))
        Closing(shelf).begin(rows.book)
        opening = shelf.opening()
        assert opening is not None
        # When the holding of EXTERNAL stands before those of ours
        opening.holdings.sort(key=lambda row: row.pool is not None)
        sums = ProvenRows(rows.book.initial, D(1), opening)
        # Then a fill at 15 does not follow, one at 25 does, and the sums are those of the book
        for ts, follows in ((15, False), (25, True)):
            new = Rows()
            new.trade(fill("7", "BUY", 1, 1, ts=ts))
            assert sums.follow(new.ledger) is follows
        assert self.audit(sums, rows, Rows()).findings == ()


class TestDividendsOfLateFills:
    @pytest.mark.parametrize("also", ["", "of another strategy", "of another symbol", "at its moment"])
    def test_it_was_of_what_was_known_when_it_was_paid(self, also: str) -> None:
        # Given 4 shares, a dividend of them at 20, and a purchase of 3 at 10 that is told after it
        rows = Rows()
        rows.trade(fill("1", "BUY", 4, 1_000, ts=5))
        rows.act(rows.book.pay_dividend(Dividend(SAMSUNG, date(2018, 5, 4), D(5)), ts_ns=20, tax=lambda _: D(0)))
        rows.trade(fill("2", "BUY", 3, 1_000, ts=10))
        # And one that has no part in that, told behind it
        if also == "of another strategy":
            rows.trade(fill("3", "BUY", 1, 1_000, ts=11), "turtle")
        elif also == "of another symbol":
            rows.trade(fill("3", "BUY", 1, 1_000, ts=11, symbol=HYNIX))
        elif also == "at its moment":
            rows.trade(fill("3", "BUY", 1, 1_000, ts=20))
        assert rows.actions[0].held == 4
        assert rows.costs_hold()
