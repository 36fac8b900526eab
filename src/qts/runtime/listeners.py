"""Notifies listeners of fills, orders and states: each list is called in its order.

Listeners are called on the session's thread, inside the handler of the event. Those of a fill run in the block that
books it: an exception of one of them ends the session, and nothing is stored of the half-applied fill.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from qts.execution.contracts import Fill, Order
from qts.ledger.contracts import BookingRow, FillEffect
from qts.risk.contracts import OrderRequest
from qts.safety.contracts import SafetyChange
from qts.state.contracts import TransitionRecord


class FillListener(Protocol):
    """A listener that is notified of every fill once, when account and order are updated, before it is stored."""

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """Handle a booked fill; ``order`` is its order after the fill, ``effect`` its effect on the account.

        Called on the session's thread. Must not wait. Any exception ends the session.
        """


class BookingListener(Protocol):
    """A listener that is notified of every booking once, when the account is updated, before it is stored."""

    def on_booking(self, row: BookingRow) -> None:
        """Handle a booking: an execution that is not ours or was taken back, or money that came in or went out.

        A reversal that was booked with its fill comes before that fill. Called on the session's thread. Must not
        wait. Any exception ends the session.
        """


class OrderListener(Protocol):
    """A listener that is notified of an order when it is approved and when it has ended without being filled."""

    def on_sent(self, request: OrderRequest) -> None:
        """Handle an approved order whose cash or shares are reserved; its intent is stored next, then it is sent.

        A stop may still withdraw it. Called on the session's thread. Must not wait. Any exception keeps the order
        from being sent and ends the session.
        """

    def on_ended(self, order: Order) -> None:
        """Handle an order that was cancelled or rejected; a filled one ends with its last fill instead.

        A late fill may still follow. Called on the session's thread. Must not wait. Any exception ends the session.
        """


class StateListener(Protocol):
    """A listener that is notified of every safety cause and of every record of the operating state."""

    def on_safety(self, change: SafetyChange) -> None:
        """Handle a cause that safety has judged; the state need not have changed.

        Called on the session's thread. Must not wait. An exception is counted by safety, and the listeners after
        this one are not called.
        """

    def on_state(self, record: TransitionRecord) -> None:
        """Handle a record of the operating state, also of a refused transition.

        Called on the session's thread. Must not wait. An exception is counted by the operating state, and the
        listeners after this one are not called.
        """


class Listeners:
    """The lists of listeners of a session. Complete before the session starts."""

    def __init__(self) -> None:
        self.fills: Sequence[FillListener] = ()
        self.bookings: Sequence[BookingListener] = ()
        self.orders: Sequence[OrderListener] = ()
        self.states: Sequence[StateListener] = ()

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """Notify the listeners of a booked fill."""
        for one in self.fills:
            one.on_fill(fill, order, effect)

    def on_booking(self, row: BookingRow) -> None:
        """Notify the listeners of a booking."""
        for one in self.bookings:
            one.on_booking(row)

    def on_sent(self, request: OrderRequest) -> None:
        """Notify the listeners of an approved order, before it is stored and sent."""
        for one in self.orders:
            one.on_sent(request)

    def on_ended(self, order: Order) -> None:
        """Notify the listeners of an order that was cancelled or rejected."""
        for one in self.orders:
            one.on_ended(order)

    def on_safety(self, change: SafetyChange) -> None:
        """Notify the listeners of a safety cause."""
        for one in self.states:
            one.on_safety(change)

    def on_state(self, record: TransitionRecord) -> None:
        """Notify the listeners of a record of the operating state."""
        for one in self.states:
            one.on_state(record)
