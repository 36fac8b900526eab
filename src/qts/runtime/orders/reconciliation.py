"""Orders whose fate is unknown: the broker is asked until it is known, and nothing is sent again before.

Present at the broker: adopted. Absent in two answers at least two seconds apart, and without a fill: it was never
sent (spec 09, decision 3 and BR-02). Anything else stays unknown, and its key stays closed for new orders.
"""

from __future__ import annotations

from typing import Any

from qts.broker.contracts import Broker
from qts.clock import NS_PER_S
from qts.errors import BrokerUnavailable
from qts.execution.contracts import AckStatus, Order, OrderAck, OrderState
from qts.execution.lifecycle import apply_absent, apply_ack
from qts.execution.working import FINAL_STATES, WorkingOrders
from qts.ledger.account import Account
from qts.pipeline.act import withdraw
from qts.runtime.persistence.store_writer import StoreWriter

BETWEEN_ANSWERS_NS = 2 * NS_PER_S
_ON_ITS_WAY = frozenset({OrderState.INTENT, OrderState.PENDING_NEW})


class OrderReconciler:
    """Resolves UNKNOWN orders from the broker's own books."""

    def __init__(self, *, account: Account, orders: WorkingOrders, broker: Broker, record: StoreWriter) -> None:
        self._account = account
        self._orders = orders
        self._broker = broker
        self._record = record
        self._absent_since: dict[str, int] = {}

    def doubt_intents(self, now_ns: int) -> bool:
        """After a restart an order whose intent was written may have left, answered or not: it counts as unknown.

        Whether there was one (spec 09, PR-07 and PR-08).
        """
        intents = [order for order in self._orders if order.state in _ON_ITS_WAY]
        for order in intents:
            ack = OrderAck(AckStatus.UNKNOWN, order.client_order_id, reason="the session ended while it was sent")
            self._put(apply_ack(order, ack, now_ns))
        return bool(intents)

    def withdraw(self, order: Order, now_ns: int, why: str) -> None:
        """End an order whose intent is still being written."""
        withdraw(order, now_ns, why, orders=self._orders, account=self._account, log=self._record)

    def any(self) -> bool:
        return any(order.state is OrderState.UNKNOWN for order in self._orders)

    async def work(self, now_ns: int) -> None:
        """Ask the broker about every unknown order; a broker that does not answer leaves them unknown."""
        unknown = [order for order in self._orders if order.state is OrderState.UNKNOWN]
        if not unknown:
            return
        try:
            present = {order.client_order_id for order in await self._broker.orders()}
            since = min(order.ts_intent_ns for order in unknown)
            present |= {fill.client_order_id for fill in await self._broker.fills_since(since)}
        except BrokerUnavailable:
            return  # the line is down: asked again later
        for order in unknown:
            self._resolve(order, order.client_order_id in present, now_ns)

    def _resolve(self, order: Order, is_present: bool, now_ns: int) -> None:
        key = order.client_order_id
        if is_present:
            self._absent_since.pop(key, None)
            self._put(apply_ack(order, OrderAck(AckStatus.ACCEPTED, key, reason="found at the broker"), now_ns))
            return
        first = self._absent_since.setdefault(key, now_ns)
        if now_ns - first >= BETWEEN_ANSWERS_NS:
            del self._absent_since[key]
            evidence = f"absent in two answers {(now_ns - first) / NS_PER_S:.1f} s apart"
            self._put(apply_absent(order, now_ns, evidence))

    def _put(self, order: Order) -> None:
        self._orders.put(order)
        self._record.write_later(order)
        if order.state in FINAL_STATES:
            self._account.release(order.client_order_id)

    def export_state(self) -> dict[str, Any]:
        return {"absent_since": self._absent_since}

    def import_state(self, saved: dict[str, Any]) -> None:
        self._absent_since = dict(saved["absent_since"])
