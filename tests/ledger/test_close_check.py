"""Closes of a book with every kind of row are what the rows add up to, and a row that differs is seen in them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D
from typing import Any

import pytest
from msgspec.structs import replace

from qts.capital.contracts import Pool
from qts.ledger.bookings import booking_row
from qts.ledger.close_check import differing_closes
from qts.ledger.closes import DayCloseRow, HoldingCloseRow
from qts.ledger.contracts import BookingKind
from qts.market.actions import Dividend, Split

from .book import BALANCED, SAMSUNG, fill, note, transfer
from .past import Closing, Shelf
from .test_audit_whole import Rows, everything

DAY_NS = 86_400 * 10**9


class Closes:
    """Everything, a close, more of everything, and a second close."""

    def __init__(self) -> None:
        self.rows: Rows = everything()
        self.shelf = Shelf()
        closing = Closing(self.shelf)
        closing.begin(self.rows.book)
        book, rows = self.rows.book, self.rows
        rows.trade(fill("5", "BUY", 10, 1_100, fee=7, tax=3, order="o-5", ts=2 * DAY_NS))
        rows.act(
            book.apply_split(Split(SAMSUNG, date(2018, 6, 8), D(1), D(3)), ts_ns=3 * DAY_NS, lot=D(1), price=D(9))
        )
        rows.act(book.pay_dividend(Dividend(SAMSUNG, date(2018, 7, 4), D(5)), ts_ns=4 * DAY_NS, tax=lambda _: D(2)))
        rows.transfers.append(transfer("t-2", Pool.SWING, Pool.SCALP, 70, 5))
        book.transfer(rows.transfers[-1])
        rows.note(book.withdraw(D(40), note("w"), weights=BALANCED, remainder=Pool.SCALP))
        late = fill("8", "BUY", 3, 700, order="x", ts=6 * DAY_NS, fee=2, tax=1)
        rows.note(book.book_external(late, actor="rule", reason=""))
        for number, change in enumerate(
            (
                {"kind": BookingKind.FEE, "fee": D(13), "day": "1971-01-01"},
                {"kind": BookingKind.TAX, "tax": D(5), "day": "1971-01-01"},
                {"kind": BookingKind.ADJUSTMENT, "amount": D(70)},
            )
        ):
            kind = change.pop("kind")
            rows.note(book.book(booking_row(kind, "main", note(f"b-{number}"), Pool.SWING, **change)))
        closing.begin(book)

    def differences(self, **changed: Any) -> list[str]:
        rows = self.rows
        given = {"ledger": rows.ledger, "actions": rows.actions, "transfers": rows.transfers}
        return [
            one.subject
            for one in differing_closes(
                rows.book.initial,
                [row for row in self.shelf.closes if isinstance(row, DayCloseRow)],
                [row for row in self.shelf.closes if isinstance(row, HoldingCloseRow)],
                **({"bookings": rows.bookings, **given} | changed),
            )
        ]


def test_they_are_what_every_kind_of_row_adds_up_to() -> None:
    closes = Closes()
    assert closes.differences() == []
    assert closes.rows.costs_hold()
    # And the newest date is that of the execution of others, not that of a charge
    newest = [row.newest_trade_date for row in closes.shelf.closes if isinstance(row, DayCloseRow)]
    assert newest == ["1970-01-01", "1970-01-07"]


@pytest.mark.parametrize(
    ("field", "subject"),
    [
        *((name, name.replace("_", " ")) for name in ("dividends", "dividend_taxes", "fractions", "deposits")),
        *(
            (name, name.replace("_", " "))
            for name in ("withdrawals", "adjustments", "contributions", "fees", "taxes")
        ),
        ("contributed_value", "contributed value"),
        ("external_realized", "result of EXTERNAL"),
        ("swing_cash", "cash of SWING"),
        ("portfolio_realized", "result of PORTFOLIO"),
    ],
)
def test_each_of_their_sums_is_compared(field: str, subject: str) -> None:
    closes = Closes()
    place = max(n for n, row in enumerate(closes.shelf.closes) if isinstance(row, DayCloseRow))
    row = closes.shelf.closes[place]
    closes.shelf.closes[place] = replace(row, **{field: getattr(row, field) + 1})
    assert closes.differences() == [f"close of 2026-01-03, {subject}"]


def test_holdings_without_a_close_are_named_with_their_day() -> None:
    closes = Closes()
    (first, *_) = [row for row in closes.shelf.closes if isinstance(row, HoldingCloseRow)]
    closes.shelf.closes.append(replace(first, day="2026-01-09"))
    assert closes.differences() == ["holdings at the close of 2026-01-09"]
    holdings = [row for row in closes.shelf.closes if isinstance(row, HoldingCloseRow)]
    (found,) = differing_closes(closes.rows.book.initial, [], holdings[-1:], [], [], [], [])
    assert (found.stored, found.summed) == (1, "no close of that day")


def test_every_holding_that_differs_is_named_in_order() -> None:
    closes = Closes()
    kept = [
        row for row in closes.shelf.closes if not (isinstance(row, HoldingCloseRow) and row.day == "2026-01-02")
    ]
    closes.shelf.closes[:] = kept
    about = ("EXTERNAL 000660", "EXTERNAL 005930", "ema 005930", "turtle 005930")
    assert closes.differences() == [f"close of 2026-01-02, {one}" for one in about]


def test_rows_that_are_too_few_are_named_once() -> None:
    closes = Closes()
    assert closes.differences(transfers=closes.rows.transfers[:1]) == ["close of 2026-01-03, rows"]
    assert closes.differences(transfers=[]) == ["close of 2026-01-02, rows"]
