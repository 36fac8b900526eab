"""The port through which requests leave for a broker: the decision path does not wait for an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from qts.broker.gateway.view import GatewayView
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
    in time, or is cut off because the session ends, is answered UNKNOWN. NOT_SENT proves that an order never left:
    its approval was used or had expired, it was not wanted any more, a limit refused it, or it was an entry that
    waited too long.
    """

    @property
    def in_flight(self) -> int:
        """Return the number of requests that were given away and are not answered."""
        ...

    def view(self) -> GatewayView | None:
        """Return what a session shows of it; None where every request leaves at once."""
        ...

    def submit(self, approved: Approved) -> Ticket:
        """Send one approved order.

        Called by the decision path alone, once its intent is written (``intent-before-send``).
        """
        ...

    def cancel(self, client_order_id: str) -> Ticket:
        """Ask for an order to be taken out; while such a request is under way, return the ticket of that one."""
        ...

    def take_back(self, client_order_id: str, why: str) -> bool:
        """Take back an order that has not left yet; it is answered NOT_SENT before this returns True.

        False: it may be at the broker, or is not under way.
        """
        ...

    def deliver(self) -> None:
        """Pass on the answers that are there to their listeners now, so that they come before what follows."""
        ...

    def deliver_repeated(self) -> None:
        """Pass on the answer that comes next in a record that is repeated. Raises DataError if none was sent."""
        ...

    def let_exits_wait(self, waiting: bool) -> None:
        """Note whether an exit waits until an order's fate is known: questions about it then have its place."""
        ...

    def fate_of(self, client_order_id: str) -> OrderAck:
        """Return what is known of an order that an earlier process of the session was about to send."""
        ...

    def begin_checkpoint(self) -> None:
        """Note that a checkpoint is made: it contains the answers that were given until now."""
        ...

    def end_checkpoint(self) -> None:
        """Note that the checkpoint of the last :meth:`begin_checkpoint` is on disk."""
        ...

    def export_state(self) -> dict[str, int]:
        """Return what a checkpoint has to hold of it; where there is a :meth:`view`."""
        ...

    def import_state(self, saved: Mapping[str, int]) -> None:
        """Continue from :meth:`export_state`, before :meth:`fate_of` is asked."""
        ...

    async def close(self, grace_s: float) -> None:
        """Wait ``grace_s`` of real time for what is under way, then cut it off: it is answered UNKNOWN or NOT_SENT.

        Called once, by the driver that ends the session; nothing is submitted after it has begun, but cancels that
        answers make necessary. Never raises.
        """
        ...
