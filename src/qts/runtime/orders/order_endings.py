"""Ends orders that are not wanted any more: takes them back, or cancels them until the broker has accepted that."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeGuard

from qts.broker.sending import OrderSender
from qts.execution.contracts import AckStatus, Order, OrderAck, OrderState
from qts.execution.working import FINAL_STATES, WorkingOrders

Withdraw = Callable[[Order, int, str], None]


class OrderEndings:
    """The cancels that are asked for and not accepted yet. For the session's thread alone.

    ``withdraw`` ends an order whose intent is still being written.
    """

    def __init__(self, orders: WorkingOrders, sender: OrderSender, withdraw: Withdraw) -> None:
        self._orders = orders
        self._sender = sender
        self._withdraw = withdraw
        self._pending: dict[str, str] = {}
        """Orders whose cancel is not accepted yet, with the reason of each."""

    def __len__(self) -> int:
        return len(self._pending)

    def end(self, order: Order, now_ns: int, reason: str) -> bool:
        """Withdraw or cancel ``order``; return whether it is certain that the order ends.

        It is when the order never left or the broker has accepted the cancel. An order that may be at the broker
        can be neither withdrawn nor cancelled before it is answered.
        """
        if order.state is OrderState.INTENT:  # not on disk yet: it is not sent at all
            self._withdraw(order, now_ns, reason)
            return True
        if order.state is OrderState.PENDING_NEW:
            return self._sender.take_back(order.client_order_id, reason)
        ticket = self._sender.cancel(order.client_order_id)
        if ticket.ack is None:
            ticket.when_answered(partial(self._on_answered, order.client_order_id))
            return False
        return ticket.ack.status is AckStatus.ACCEPTED

    def keep_trying(self, order: Order, reason: str) -> None:
        """Cancel ``order`` again with each :meth:`retry`, until it has ended or the cancel is accepted."""
        self._pending[order.client_order_id] = reason

    def is_pending(self, order: Order) -> bool:
        """Return whether a cancel of ``order`` is asked for and not accepted yet."""
        return order.client_order_id in self._pending

    def on_answer(self, order: Order, now_ns: int) -> bool:
        """Send the cancel that waited for the answer to ``order``; return whether there was one."""
        reason = self._pending.get(order.client_order_id)
        if reason is not None and self.end(order, now_ns, reason):
            self._pending.pop(order.client_order_id, None)
        return reason is not None

    def retry(self, now_ns: int) -> None:
        """Cancel again what was not accepted, and forget what has ended."""
        for key, reason in list(self._pending.items()):
            order = self._orders.get(key)
            if not is_open(order) or self.end(order, now_ns, reason):
                self._pending.pop(key, None)

    def _on_answered(self, client_order_id: str, ack: OrderAck) -> None:
        if ack.status is AckStatus.ACCEPTED:
            self._pending.pop(client_order_id, None)

    def export_state(self) -> dict[str, str]:
        """Return the reasons by order, for a checkpoint."""
        return self._pending

    def import_state(self, saved: dict[str, str]) -> None:
        """Restore what :meth:`export_state` returned."""
        self._pending = dict(saved)


def is_open(order: Order | None) -> TypeGuard[Order]:
    """Return whether ``order`` is one that has not ended."""
    return order is not None and order.state not in FINAL_STATES
