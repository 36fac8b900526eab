"""The port to closed days over lists of rows, and the opening balances that closes leave: what a store does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qts.ledger.account import Account
from qts.ledger.actions import ActionId, action_id
from qts.ledger.bookings import BookingId, booking_id, fill_id_of
from qts.ledger.closes import BookMarks, DayCloseRow, HoldingCloseRow, OpeningBalances
from qts.ledger.contracts import ActionRow, BookingKind, BookingRow, LedgerRow
from qts.ledger.fills import FillId, id_of_row
from qts.ledger.past import HoldingRows


class Shelf:
    """The rows of one account. ``asked`` counts the questions."""

    def __init__(self) -> None:
        self.ledger: list[LedgerRow] = []
        self.actions: list[ActionRow] = []
        self.transfers: list[str] = []
        self.bookings: list[BookingRow] = []
        self.closes: list[DayCloseRow | HoldingCloseRow] = []
        self.asked = 0

    def execution(self, fill: FillId) -> LedgerRow | BookingRow | None:
        self.asked += 1
        ours = (row for row in self.ledger if id_of_row(row) == fill)
        of_others = (row for row in self.bookings if row.kind is BookingKind.EXTERNAL_FILL)
        return next(ours, None) or next((row for row in of_others if fill_id_of(row) == fill), None)

    def has_action(self, action: ActionId) -> bool:
        return any(action_id(row) == action for row in self.actions)

    def has_transfer(self, transfer_id: str) -> bool:
        return transfer_id in self.transfers

    def has_booking(self, booking: BookingId) -> bool:
        return any(booking_id(row) == booking for row in self.bookings)

    def has_noted(self, account: str, kind: BookingKind, reference: str) -> bool:
        return any((row.account, row.kind, row.reference) == (account, kind, reference) for row in self.bookings)

    def has_reversed(self, fill: FillId) -> bool:
        return any(row.kind is BookingKind.REVERSAL and fill_id_of(row) == fill for row in self.bookings)

    def holding(self, strategy: str, symbol: str, marks: BookMarks) -> HoldingRows:
        def mine(rows: Iterable[LedgerRow | ActionRow]) -> list:  # type: ignore[type-arg]
            return [row for row in rows if (row.strategy, row.symbol) == (strategy, symbol)]

        bookings = [
            row
            for row in self.bookings[: marks.bookings]
            if (row.strategy, row.symbol) == (strategy, symbol) and (row.pool is None) is not bool(strategy)
        ]
        return HoldingRows(mine(self.ledger[: marks.fills]), mine(self.actions[: marks.actions]), bookings)

    def opening(self) -> OpeningBalances | None:
        """Return what the newest close leaves: each holding as its newest row has it, in the order of the first."""
        closes = [row for row in self.closes if isinstance(row, DayCloseRow)]
        holdings: dict[tuple[str, str], HoldingCloseRow] = {}
        for row in self.closes:
            if isinstance(row, HoldingCloseRow):
                holdings[row.strategy, row.symbol] = row
        return OpeningBalances(closes[-1], list(holdings.values())) if closes else None


class Closing:
    """Closes days of a book whose rows are on a shelf."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.days = 0

    def begin(self, book: Account) -> Sequence[DayCloseRow | HoldingCloseRow]:
        """Begin the close of the next day; its rows belong onto the shelf."""
        self.days += 1
        rows = book.begin_close(
            f"2026-{self.days // 28 + 1:02}-{self.days % 28 + 1:02}", self.days, equity=book.cash
        )
        self.shelf.closes += rows
        return rows
