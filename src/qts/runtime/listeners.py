"""Says who is told of fills, orders and states: each list is called in the order in which it was made.

Everybody is called on the thread of the session, inside the handler in which the thing happened. A fill's listeners
run in the block that books it: what one of them raises ends the session with nothing written after half an effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from qts.execution.contracts import Fill, Order
from qts.ledger.contracts import FillEffect
from qts.risk.contracts import OrderRequest
from qts.safety.contracts import SafetyChange
from qts.state.contracts import TransitionRecord


class FillListener(Protocol):
    """Is told of every fill once, after account and order know of it and before it is stored."""

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """Take a booked fill; ``order`` is as the fill has left it, ``effect`` what it did to the account.

        Must not wait. Whatever it raises ends the session.
        """


class OrderListener(Protocol):
    """Is told of an order when it is decided and when nothing more of it can happen but a late fill."""

    def on_sent(self, request: OrderRequest) -> None:
        """Take an approved order whose money is held back; its intent is stored next, and then it leaves.

        A stop may still keep it from leaving. Must not wait. Whatever it raises keeps it from leaving and ends the
        session.
        """

    def on_ended(self, order: Order) -> None:
        """Take an order that was cancelled or rejected; one that was filled ends with its last fill.

        Must not wait. Whatever it raises ends the session.
        """


class StateListener(Protocol):
    """Is told of every change of the safety state and of every record of the operating state."""

    def on_safety(self, change: SafetyChange) -> None:
        """Take a cause that safety has judged; it need not have moved the state.

        Must not wait. What it raises is counted by safety, and no later listener is told.
        """

    def on_state(self, record: TransitionRecord) -> None:
        """Take a record of the operating state, also one of a transition that was refused.

        Must not wait. What it raises is counted by the state, and no later listener is told.
        """


class Listeners:
    """Tells everybody. Complete before the session starts."""

    def __init__(self) -> None:
        self.fills: Sequence[FillListener] = ()
        self.orders: Sequence[OrderListener] = ()
        self.states: Sequence[StateListener] = ()

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """Tell of a fill that account and order know of."""
        for one in self.fills:
            one.on_fill(fill, order, effect)

    def on_sent(self, request: OrderRequest) -> None:
        """Tell of an order that is stored next and then goes to the broker."""
        for one in self.orders:
            one.on_sent(request)

    def on_ended(self, order: Order) -> None:
        """Tell of an order that was cancelled or rejected."""
        for one in self.orders:
            one.on_ended(order)

    def on_safety(self, change: SafetyChange) -> None:
        """Tell of a change of the safety state."""
        for one in self.states:
            one.on_safety(change)

    def on_state(self, record: TransitionRecord) -> None:
        """Tell of a record of the operating state."""
        for one in self.states:
            one.on_state(record)
