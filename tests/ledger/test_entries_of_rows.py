"""Entries of rows that are seldom: texts, references, numbers, and what is left out where nothing moves."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D

import pytest
from msgspec.structs import replace

from qts.capital.contracts import Pool
from qts.errors import ContractError
from qts.ledger.bookings import booking_row
from qts.ledger.closes import DayCloseRow
from qts.ledger.contracts import BookingKind
from qts.ledger.entries import (
    Entry,
    EntryKind,
    Posting,
    action_entry,
    booking_entry,
    entries_of,
    holding_of,
    opening_entry,
)
from qts.ledger.fills import check
from qts.market.actions import Split

from .book import BALANCED, SAMSUNG, account, fill, note
from .past import Closing, Shelf
from .test_audit_whole import Rows, everything


def test_shares_that_come_from_nowhere_are_left_over_by_symbol() -> None:
    lost = Entry(EntryKind.FILL, 1, 0, "", "", (Posting(holding_of("ema", SAMSUNG), D(0), D(3), SAMSUNG),) * 2)
    assert lost.imbalance() == {SAMSUNG: 6}


def test_the_opening_comes_before_everything_and_refers_to_nothing() -> None:
    entry = opening_entry(account().initial)
    assert (entry.ts_ns, entry.row, entry.reference, entry.text) == (0, 1, "", "opening cash")


@pytest.mark.parametrize(
    ("qty", "price", "tax", "postings"),
    [
        # The tenth share, which cost 1,000, is paid at 1,200 less 5: 195 were earned
        (10, 1_200, 5, {"holding": -1_000, "market": 0, "cash": 1_195, "taxes": 5, "result": -200}),
        (10, 1_000, 0, {"holding": -1_000, "market": 0, "cash": 1_000}),
        (9, 1_200, 0, {"holding": 0, "market": 0}),  # no fraction: shares alone
    ],
)
def test_a_split_moves_what_it_moves_and_nothing_of_nought(
    qty: int, price: int, tax: int, postings: dict[str, int]
) -> None:
    rows = Rows()
    rows.trade(fill("1", "BUY", qty, 1_000, ts=1))
    rows.act(rows.book.apply_split(Split(SAMSUNG, date(2018, 5, 4), D(1), D(3)), ts_ns=9, lot=D(1), price=D(price)))
    (row,) = rows.actions
    entry = action_entry(1, replace(row, tax=D(tax), realized_pnl=row.realized_pnl - tax))
    assert {str(one.account).split(":")[0]: one.amount for one in entry.postings} == postings
    assert entry.imbalance() == {}
    assert entry.text == f"1:3 on {qty} {SAMSUNG}"


def test_bookings_say_what_they_are_and_whose() -> None:
    rows = Rows()
    rows.note(rows.book.book_external(fill("9", "SELL", 2, 900, order="by hand"), actor="rule", reason="seen"))
    rows.note(rows.book.deposit(D(5), note("c-1"), weights={Pool.SWING: D(1)}, remainder=Pool.SWING))
    by_hand, money = (booking_entry(n, row) for n, row in enumerate(rows.bookings, 1))
    assert (by_hand.reference, by_hand.text) == ("by hand", f"execution 9: -2 {SAMSUNG} at 900")
    assert (money.reference, money.text) == ("c-1", "test")


def test_the_rows_of_each_kind_are_numbered_from_one() -> None:
    rows = everything()
    found: dict[str, list[int]] = {}
    for one in entries_of(rows.book.initial, rows.ledger, rows.transfers, rows.actions, rows.bookings):
        kind = one.kind.value if one.kind.value in ("OPENING", "FILL", "TRANSFER") else "other"
        found.setdefault(kind, []).append(one.row)
    assert found["FILL"] == [1, 2, 3]
    assert found["TRANSFER"] == [1]
    # The opening of the pools, then 4 splits and dividends, then 9 bookings, of which three are openings
    assert found["OPENING"] == [1, 1, 2, 3]
    assert found["other"] == [1, 2, 3, 4, *range(4, 10)]


def test_what_was_paid_in_at_a_close_is_less_what_was_withdrawn() -> None:
    rows = everything()  # 1,000 came in, and shares that cost 2,000
    rows.note(rows.book.withdraw(D(40), note("w"), weights=BALANCED, remainder=Pool.SCALP))
    (close, *_) = Closing(Shelf()).begin(rows.book)
    assert isinstance(close, DayCloseRow)
    assert close.paid_in(D(1_000_000)) == rows.book.capital_paid_in == 1_002_960


@pytest.mark.parametrize("field", ["qty", "price", "fee", "tax"])
def test_the_number_that_cannot_be_booked_is_named(field: str) -> None:
    for bad in (D("NaN"), D("1E+40")):
        with pytest.raises(ContractError, match=rf"fill 1: {field} m(ust|ay)"):
            check(replace(fill("1", "BUY", 1, 1), **{field: bad}))


def test_a_booking_without_money_is_refused() -> None:
    with pytest.raises(ContractError, match="has nothing; allowed: fee"):
        account().book(booking_row(BookingKind.FEE, "main", note("f"), Pool.SCALP))
