"""The port through which requests leave for a broker: the decision path does not wait for an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from qts.execution.contracts import OrderAck
from qts.risk.contracts import Approved


class Ticket:
    """A request that was given away, and its answer once it is there; the first one counts.

    On the session's thread alone. ``ack`` is None until then.
    """

    __slots__ = ("_listeners", "ack", "client_order_id")

    def __init__(self, client_order_id: str) -> None:
        self.client_order_id = client_order_id
        self.ack: OrderAck | None = None
        self._listeners: list[Callable[[OrderAck], None]] = []

    def when_answered(self, listener: Callable[[OrderAck], None]) -> None:
        """Call ``listener`` with the answer: at once when it is there, else as soon as it comes."""
        if self.ack is None:
            self._listeners.append(listener)
        else:
            listener(self.ack)

    def answer(self, ack: OrderAck) -> None:
        """Take the answer and call the listeners in their order. What one of them raises passes through."""
        if self.ack is not None:
            return
        self.ack = ack
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener(ack)


class OrderSender(Protocol):
    """Gives orders and cancels to a broker; never waits, never raises, and answers each of them once.

    Called on the session's thread, within a handler or between two. The answer is there at once, or comes as a call
    on the session's event loop between two handlers, never as an event. It comes in any case: what is not answered
    in time, or is cut off because the session ends, is answered UNKNOWN. REJECTED may also mean that an order
    was never sent, because too much is under way.
    """

    def submit(self, approved: Approved) -> Ticket:
        """Send one approved order.

        Called by the decision path alone, once its intent is written (``intent-before-send``).
        """
        ...

    def cancel(self, client_order_id: str) -> Ticket:
        """Ask for an order to be taken out; while such a request is under way, return the ticket of that one."""
        ...

    async def close(self, grace_s: float) -> None:
        """Wait ``grace_s`` of real time for what is under way, then cut it off: it is answered UNKNOWN.

        Called once, by the driver that ends the session; nothing is submitted after it has begun, but cancels that
        answers make necessary. Never raises.
        """
        ...
