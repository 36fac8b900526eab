"""The port through which the account finds what it no longer holds in memory: facts of closed days.

The account asks only when something about a closed day comes: a fill with a date of then, a reversal, a booking
told again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from qts.ledger.actions import ActionId
from qts.ledger.bookings import BookingId
from qts.ledger.closes import BookMarks
from qts.ledger.contracts import ActionRow, BookingKind, BookingRow, LedgerRow
from qts.ledger.fills import FillId


class HoldingRows(NamedTuple):
    """The facts of one holding, each kind in the order of booking."""

    ledger: Sequence[LedgerRow]
    actions: Sequence[ActionRow]
    bookings: Sequence[BookingRow]


class PastFacts(Protocol):
    """Reads the stored facts of closed days. Called on the session's thread, inside a handler.

    Every method reads the store and raises StorageError when it cannot: then nothing is known about the fact, and
    it is not a new one.
    """

    def execution(self, fill: FillId) -> LedgerRow | BookingRow | None:
        """Return the row of a booked execution, a booking for one of EXTERNAL; None when it is not stored."""
        ...

    def has_action(self, action: ActionId) -> bool:
        """Return whether a split or dividend is stored for its holding."""
        ...

    def has_transfer(self, transfer_id: str) -> bool:
        """Return whether a transfer is stored."""
        ...

    def has_booking(self, booking: BookingId) -> bool:
        """Return whether a booking is stored."""
        ...

    def has_noted(self, account: str, kind: BookingKind, reference: str) -> bool:
        """Return whether any booking of ``kind`` bears ``reference``."""
        ...

    def has_reversed(self, fill: FillId) -> bool:
        """Return whether the reversal of an execution is stored."""
        ...

    def holding(self, strategy: str, symbol: str, marks: BookMarks) -> HoldingRows:
        """Return the facts of a holding whose rows have the numbers of ``marks`` or lower.

        ``strategy`` "": that of EXTERNAL, which has bookings alone.
        """
        ...
