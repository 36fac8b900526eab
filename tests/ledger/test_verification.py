"""Verification of a stored book: nothing to say about a true one, and the first difference of a changed one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from qts.capital.contracts import Pool
from qts.ledger.closes import DayCloseRow
from qts.ledger.contracts import LedgerRow
from qts.ledger.entries import Entry
from qts.ledger.fills import fill_of_row
from qts.ledger.verification import BookRows, selected, verify

from .book import SAMSUNG, account, bust, fill, note, order, transfer
from .test_audit_whole import everything

HOLDING = f"holding:ema:{SAMSUNG}"
replace = msgspec.structs.replace


def book_rows() -> BookRows:
    """Return a book of two purchases, a sale and a transfer; 15 shares at 1,100 are left."""
    book = account()
    ledger: list[LedgerRow] = []
    for number, (side, qty, price, charges) in enumerate(
        [("BUY", 10, 1_000, (0, 0)), ("BUY", 10, 1_200, (0, 0)), ("SELL", 5, 1_300, (3, 13))], 1
    ):
        fee, tax = charges
        report = fill(str(number), side, qty, price, fee=fee, tax=tax, order=f"o-{number}", ts=number)
        effect = book.apply_fill(report, strategy="ema", pool=Pool.SCALP)
        assert effect is not None
        ledger.append(effect.ledger)
    moved = transfer("t-1", Pool.SWING, Pool.PORTFOLIO, 7_000, ts=9)
    book.transfer(moved)
    orders = [
        order("o-1", "BUY", 10, state="FILLED", filled=10),
        order("o-2", "BUY", 10, state="FILLED", filled=10),
        order("o-3", "SELL", 5, state="FILLED", filled=5),
    ]
    return BookRows(
        initial=book.initial,
        quantum=D(1),
        ledger=ledger,
        transfers=[moved],
        actions=[],
        orders=orders,
        positions=book.position_rows(),
        pools=book.pool_rows(),
    )


def with_bookings() -> BookRows:
    """Return that book after a deposit, 3 shares of EXTERNAL, and the reversal of the first purchase."""
    rows, book = book_rows(), account()
    book.import_state({**book.export_state(), "fills": 3, **_totals(rows)}, ledger=rows.ledger)
    first = fill("1", "BUY", 10, 1_000, order="o-1", ts=1)
    (alien,) = book.book_external(fill("9", "BUY", 3, 900, order="x", ts=5), actor="rule", reason="unknown order")
    back = book.reverse(bust(first, ts=6))
    assert back is not None
    money = book.deposit(D(5), note("c-1", 7), weights={Pool.SWING: D(1)}, remainder=Pool.SWING)
    return replace(
        rows,
        transfers=[],
        positions=book.position_rows(),
        pools=book.pool_rows(),
        bookings=[alien.booking, back.booking, *(one.booking for one in money)],
    )


def _totals(rows: BookRows) -> dict[str, dict[str, str]]:
    """Return the totals of the fills alone, as a checkpoint has them: SCALP paid 22,000 and got 6,484."""
    cash = {"SCALP": "384484", "SWING": "350000", "PORTFOLIO": "250000"}
    return {"cash": cash, "realized": {"SCALP": "984", "SWING": "0", "PORTFOLIO": "0"}}


def changed(rows: BookRows, kind: str, place: int, **fields: Any) -> BookRows:
    """Return the book with one row changed."""
    records: list[Any] = list(getattr(rows, kind))
    records[place] = replace(records[place], **fields)
    return replace(rows, **{kind: records})


def without(rows: Sequence[Any], place: int) -> list[Any]:
    return [one for at, one in enumerate(rows) if at != place]


def test_a_true_book_has_no_difference() -> None:
    # Given a book as it was stored
    done = verify(book_rows())
    # Then everything agrees: opening, three fills and a transfer are five entries
    assert done.differences == ()
    assert done.entries == 5
    assert done.comparisons > done.entries


def test_bookings_are_part_of_the_book() -> None:
    # Given a book with a fill of another person, a reversal and a deposit
    done = verify(with_bookings())
    # Then everything agrees, and EXTERNAL holds 3 shares that cost 2,700
    assert done.differences == ()
    assert done.entries == 7
    held = {str(name): (one.amount, one.qty) for name, one in done.balances.items()}
    assert held[f"external:holding:{SAMSUNG}"] == (2_700, 3)
    assert held["external:cash"] == (-2_700, 0)
    assert held["capital"] == (-1_000_005, 0)


@pytest.mark.parametrize(
    ("place", "fields", "said"),
    [
        (0, {"price": D(901)}, "EXTERNAL_FILL 9, amount: claimed -2700, recomputed -2703"),
        (1, {"amount": D(9_999)}, "cash of SCALP: 394484 is stored, the entries give 394483"),
        (1, {"cost": D(-10_000)}, "result of SCALP: 484 is stored, the entries give 984"),
        (2, {"amount": D(6)}, "cash of SWING: 350005 is stored, the entries give 350006"),
    ],
)
def test_a_changed_booking_is_the_first_difference(place: int, fields: dict[str, Any], said: str) -> None:
    assert str(verify(changed(with_bookings(), "bookings", place, **fields)).differences[0]) == said


def test_an_entry_that_does_not_add_up_is_named() -> None:
    # Given a book whose first entry has a won too little in a pool
    class Broken(BookRows, frozen=True):
        def unordered_entries(self) -> Iterator[Entry]:
            first, *others = super().unordered_entries()
            posting, *rest = first.postings
            yield from [replace(first, postings=(posting._replace(amount=D(399_999)), *rest)), *others]

    rows = book_rows()
    # Then it is the first difference
    done = verify(Broken(**{name: getattr(rows, name) for name in rows.__struct_fields__}))
    assert str(done.differences[0]) == "opening 1 (opening cash): its postings leave -1 of money over"


def test_entries_that_do_not_add_up_are_named_in_the_order_of_time() -> None:
    # Given a transfer at 9 and a fill at 1, told after it, which both lose something
    class Broken(BookRows, frozen=True):
        def unordered_entries(self) -> Iterator[Entry]:
            entries = list(super().unordered_entries())
            for entry in reversed(entries):
                if entry.ts_ns in (1, 9):
                    yield replace(entry, postings=entry.postings[:1] + entry.postings[2:])
                else:
                    yield entry

    rows = book_rows()
    done = verify(Broken(**{name: getattr(rows, name) for name in rows.__struct_fields__}))
    assert [str(one) for one in done.differences[:2]] == [
        f"fill 1 (BUY 10 {SAMSUNG} at 1000): its postings leave -10000 of money, -10 {SAMSUNG} over",
        "transfer 1 (test): its postings leave -7000 of money over",
    ]


def closed_rows() -> BookRows:
    """Return that book, closed with its 15 shares at 1,100 and 384,484 in SCALP."""
    rows, book = book_rows(), account()
    for row in rows.ledger:
        assert book.apply_fill(fill_of_row(row, last=True), strategy=row.strategy, pool=row.pool) is not None
    book.transfer(rows.transfers[0])
    close, *held = book.begin_close("1970-01-01", 10, equity=D(1_000_984))
    assert isinstance(close, DayCloseRow)
    return replace(rows, closes=[close], holding_closes=held)


def test_opening_balances_that_the_rows_give_are_no_difference() -> None:
    assert verify(closed_rows()).differences == ()


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        ("closes", {"scalp_cash": D(384_485)}, "cash of SCALP: 384485 is stored, the rows give 384484"),
        ("holding_closes", {"cost": D(16_501)}, f"ema {SAMSUNG}, cost: 16501 is stored, the rows give 16500"),
    ],
)
def test_opening_balances_that_the_rows_do_not_give_are_named(kind: str, fields: dict[str, Any], said: str) -> None:
    # Given a close in which one balance is a won too high
    rows = changed(closed_rows(), kind, 0, **fields)
    # Then it is a difference
    assert [str(one) for one in verify(rows).differences] == [f"close of 1970-01-01, {said}"]


@pytest.mark.parametrize(
    ("kind", "place", "fields", "said"),
    [
        ("ledger", 0, {"amount": D(10_001)}, "fill 1: the amount 10001 is not 10 × 1000 = 10000"),
        ("ledger", 2, {"fee": D(4)}, "cash of SCALP: 384484 is stored, the entries give 384483"),
        ("ledger", 2, {"realized_pnl": D(1_000)}, "result of SCALP: 984 is stored, the entries give 1000"),
        ("pools", 1, {"cash": D(342_999)}, "cash of SWING: 342999 is stored, the entries give 343000"),
        ("positions", 0, {"qty": D(16)}, f"shares of holding:ema:{SAMSUNG}: 16 is stored, the entries give 15"),
        (
            "positions",
            0,
            {"cost": D(16_501)},
            f"cost of holding:ema:{SAMSUNG}: 16501 is stored, the entries give 16500",
        ),
        ("transfers", 0, {"amount": D(7_001)}, "cash of SWING: 343000 is stored, the entries give 342999"),
        ("orders", 2, {"filled": D(4)}, "order o-3 filled: claimed 4, recomputed 5"),
    ],
)
def test_one_changed_value_is_the_first_difference(
    kind: str, place: int, fields: dict[str, Any], said: str
) -> None:
    # Given a book of which one value was changed
    rows = changed(book_rows(), kind, place, **fields)
    # When it is verified
    done = verify(rows)
    # Then that is the first thing it names
    assert str(done.differences[0]) == said


def test_a_result_and_a_cost_changed_together_are_found_by_the_prices_paid() -> None:
    # Given a sale whose result, cost and pool were all changed by the same 100 won, so that the sums agree
    rows = book_rows()
    rows = changed(rows, "ledger", 2, realized_pnl=D(1_084))
    rows = changed(rows, "positions", 0, cost=D(16_600))
    rows = changed(rows, "pools", 0, realized_pnl=D(1_084))
    # When it is verified
    done = verify(rows)
    # Then the average of the prices paid, 15 × 1,100, contradicts
    assert [str(one) for one in done.differences] == [f"cost ema/{SAMSUNG}: claimed 16600, recomputed 16500.000000"]
    # And in a book that does not say how fine its money is, costs are not judged
    assert verify(replace(rows, quantum=None)).differences == ()


@pytest.mark.parametrize(("kind", "said"), [("ledger", "cash of SCALP"), ("transfers", "cash of SWING")])
def test_a_missing_row_is_found_by_the_sums(kind: str, said: str) -> None:
    # Given a book that lacks a row
    rows = book_rows()
    rows = replace(rows, **{kind: without(getattr(rows, kind), 0)})
    # Then the pool it belongs to is named first
    assert verify(rows).differences[0].subject == said


def test_a_fill_booked_twice_is_found() -> None:
    rows = book_rows()
    rows = replace(rows, ledger=[*rows.ledger, rows.ledger[0]])
    assert "fill sim/1: booked more than once" in map(str, verify(rows).differences)


class TestSelected:
    def test_an_account_is_shown_with_its_balance_after_each_entry(self) -> None:
        # When the cash of SCALP is asked for
        shown = [(e.kind.value, b and b.amount) for e, b in selected(book_rows().entries(), account="cash:SCALP")]
        # Then the balance follows the fills: − 10,000 − 12,000 + 6,500 − 3 − 13
        assert shown == [("OPENING", 400_000), ("FILL", 390_000), ("FILL", 378_000), ("FILL", 384_484)]

    def test_a_group_of_accounts_is_shown_by_the_first_parts_of_its_name(self) -> None:
        shown = [b and b.amount for _, b in selected(book_rows().entries(), account="cash")]
        assert shown == [1_000_000, 990_000, 978_000, 984_484, 984_484]

    def test_part_of_a_name_is_no_account(self) -> None:
        assert not list(selected(book_rows().entries(), account="cash:SC"))

    def test_an_order_and_a_time_are_selected_and_the_balance_counts_what_came_before(self) -> None:
        entries = book_rows().entries()
        assert [e.reference for e, _ in selected(entries, order="o-2")] == ["o-2"]
        shown = [b and b.amount for _, b in selected(entries, account="cash:SCALP", since_ns=2, until_ns=3)]
        assert shown == [378_000]


def test_it_says_how_much_it_has_compared() -> None:
    """Of a book of five entries with 4 + 3 + 3 + 6 + 2 postings: it is of use to know that nothing was left out."""
    done = verify(book_rows())
    assert (done.entries, done.postings) == (5, 18)
    # Amounts of 3 fills, 5 entries, cash and result of 3 pools, shares and cost of a holding, and what an audit
    # compares: totals, parts, results and what is available of 3 pools and cash and equity twice (15), a transfer
    # in three ways, what 3 pools reserve, the position, the holding and its cost, fills and each once (4), and of 3
    # orders that they are stored, what they allow and what they filled (9)
    assert done.comparisons == 3 + 5 + 6 + 2 + (15 + 3 + 3 + 3 + 4 + 9)
    # A close adds itself and its holding
    assert verify(closed_rows()).comparisons == done.comparisons + 2
    assert verify(changed(closed_rows(), "ledger", 0, amount=D(1))).comparisons == done.comparisons + 2


def test_a_book_with_splits_and_dividends_of_two_strategies_has_no_difference() -> None:
    rows = everything()
    book = rows.book
    stored = BookRows(
        initial=book.initial,
        quantum=D(1),
        ledger=rows.ledger,
        transfers=rows.transfers,
        actions=rows.actions,
        orders=list(rows.orders.values()),
        positions=book.position_rows(),
        pools=book.pool_rows(),
        bookings=rows.bookings,
    )
    assert verify(stored).differences == ()
    # And what it is about is named where it differs
    more = replace(stored, pools=stored.pools[:2])
    assert "PORTFOLIO total" in {one.subject for one in verify(more).differences}
    fewer = replace(stored, positions=stored.positions[:1])
    assert str(verify(fewer).differences[0]) == "shares of holding:turtle:005930: 0 is stored, the entries give 1"


class TestBounds:
    @pytest.mark.parametrize(
        ("since", "until", "shown"), [(2, None, [2, 3, 9]), (None, 3, [0, 1, 2]), (2, 2, []), (9, None, [9])]
    )
    def test_the_first_moment_is_included_and_the_last_is_not(
        self, since: int | None, until: int | None, shown: list[int]
    ) -> None:
        found = selected(book_rows().entries(), since_ns=since, until_ns=until)
        assert [(entry.ts_ns, balance) for entry, balance in found] == [(ts, None) for ts in shown]

    def test_shares_of_a_holding_add_up(self) -> None:
        found = [b and (b.amount, b.qty) for _, b in selected(book_rows().entries(), account=HOLDING)]
        assert found == [(10_000, 10), (22_000, 20), (16_500, 15)]

    def test_of_an_order_that_moves_an_account_later_entries_are_shown_too(self) -> None:
        entries = [*book_rows().entries(), *book_rows().entries()]
        assert len(list(selected(entries, order="o-2"))) == 2
        assert len(list(selected(entries, account=HOLDING))) == 6
