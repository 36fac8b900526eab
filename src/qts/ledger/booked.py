"""The facts that are booked, by their identities: those since the last close in memory, older ones in the store.

So a fact that is told again is recognised however old it is, and memory is bounded by what a day brings.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

from qts.errors import StateError
from qts.ledger.actions import ActionId
from qts.ledger.bookings import BookingId, BookingNote
from qts.ledger.closes import BookMarks, OpeningBalances
from qts.ledger.contracts import BookingKind, BookingRow, LedgerRow
from qts.ledger.fills import FillId
from qts.ledger.past import PastFacts


class BookedFacts:
    """The fills, splits and dividends, transfers and bookings that are booked; each counts once.

    ``account`` is its name. Questions about closed days go to ``past``, which is needed from the first close on.
    Raises StorageError where that cannot answer, StateError where there is none.
    """

    def __init__(self, account: str) -> None:
        self._account = account
        self.past: PastFacts | None = None
        self.closed = BookMarks()
        """How many facts of each kind are in memory no more."""
        self.closed_date = ""
        """The latest date of a fill among them; "" for none."""
        self.fills: dict[FillId, None] = {}
        self.actions: dict[ActionId, None] = {}
        self.transfers: dict[str, None] = {}
        self.bookings: dict[BookingId, None] = {}
        self.external: set[FillId] = set()
        """Executions of EXTERNAL."""
        self.reversed: set[FillId] = set()

    @property
    def marks(self) -> BookMarks:
        """Return how many facts of each kind are booked, closed ones included."""
        c = self.closed
        return BookMarks(
            c.fills + len(self.fills),
            c.actions + len(self.actions),
            c.transfers + len(self.transfers),
            c.bookings + len(self.bookings),
        )

    @property
    def newest_trade_date(self) -> str:
        """Return the latest date of any booked fill; "" for none."""
        newest = max((fill.trade_date for fill in self.fills), default="")
        return max(self.closed_date, newest, *(fill.trade_date for fill in self.external), "")

    def is_old(self, fill: FillId) -> bool:
        """Return whether an execution that is not in memory can be one of a closed day."""
        return fill.trade_date <= self.closed_date and self.closed != _NONE

    def stored(self, fill: FillId) -> LedgerRow | BookingRow | None:
        """Return the stored row of an execution of a closed day; None when it is none."""
        return self.asked().execution(fill) if self.is_old(fill) else None

    def has_fill(self, fill: FillId) -> bool:
        """Return whether an execution is booked, as ours or as one of EXTERNAL."""
        if fill in self.fills or (self.external and fill in self.external):
            return True
        return self.is_old(fill) and self.asked().execution(fill) is not None

    def has_reversed(self, fill: FillId) -> bool:
        """Return whether an execution was taken back."""
        return fill in self.reversed or (self.closed.bookings > 0 and self.asked().has_reversed(fill))

    def has_action(self, action: ActionId) -> bool:
        """Return whether a split or dividend was booked for its holding."""
        return action in self.actions or (self.closed.actions > 0 and self.asked().has_action(action))

    def has_transfer(self, transfer_id: str) -> bool:
        """Return whether a transfer was booked."""
        known = transfer_id in self.transfers
        return known or (self.closed.transfers > 0 and self.asked().has_transfer(transfer_id))

    def has_booking(self, booking: BookingId) -> bool:
        """Return whether a booking was made."""
        return booking in self.bookings or (self.closed.bookings > 0 and self.asked().has_booking(booking))

    def has_noted(self, kind: BookingKind, note: BookingNote) -> bool:
        """Return whether any booking of ``kind`` bears the reference of ``note``."""
        if any(one.kind is kind and one.reference == note.reference for one in self.bookings):
            return True
        return self.closed.bookings > 0 and self.asked().has_noted(self._account, kind, note.reference)

    def asked(self) -> PastFacts:
        """Return the port to the facts of closed days. Raises StateError when there is none."""
        if self.past is None:
            raise StateError("facts of a closed day are asked for, and no store is given to read them from")
        return self.past

    def forget(self, marks: BookMarks, date: str) -> None:
        """Hold the facts up to ``marks`` in memory no more; ``date`` is the latest of a fill among them."""
        closed = self.closed
        _drop(self.fills, marks.fills - closed.fills)
        _drop(self.actions, marks.actions - closed.actions)
        _drop(self.transfers, marks.transfers - closed.transfers)
        for one in _drop(self.bookings, marks.bookings - closed.bookings):
            fill = FillId(one.account, one.broker, one.day, one.order_id, one.reference)
            if one.kind is BookingKind.EXTERNAL_FILL:
                self.external.discard(fill)
            elif one.kind is BookingKind.REVERSAL:
                self.reversed.discard(fill)
        self.closed, self.closed_date = marks, max(self.closed_date, date)

    def begin_with(self, opening: OpeningBalances) -> None:
        """Begin with what a close covers, all of it in the store."""
        self.closed, self.closed_date = opening.close.marks, opening.close.newest_trade_date


_NONE = BookMarks()


def _drop(facts: dict[Any, None], count: int) -> Iterable[Any]:
    """Remove and return the first ``count`` keys."""
    dropped = list(islice(facts, max(count, 0)))
    for key in dropped:
        del facts[key]
    return dropped
