"""Reconciles orders whose fate is unknown with the broker's books; nothing is sent again before the fate is known.

An order present at the broker is adopted. One that is absent in two answers at least two seconds apart, both
requested when the broker had to show it (``visibility_lag_ns``), without a fill and without an order there that
might be it, was never sent. Any other stays unknown, and its key stays closed for new orders.

An order that was accepted and that the broker does not show, when the session is resumed or after its fills were
found, is in doubt: absent in two answers in the same way, what is left of it has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from qts.broker.contracts import Broker, BrokerOrder, BrokerOrderState
from qts.clock import NS_PER_S
from qts.errors import BrokerUnavailable
from qts.execution.contracts import (
    AckStatus,
    ExecutionReport,
    Fill,
    Order,
    OrderAck,
    OrderCancelled,
    OrderRejected,
    OrderState,
)
from qts.execution.fit import unreadable
from qts.execution.lifecycle import apply_absent, apply_ack
from qts.execution.texts import kept_ack
from qts.execution.working import FINAL_STATES, WorkingOrders
from qts.ledger.account import Account
from qts.pipeline.act import withdraw
from qts.runtime.orders.broker_queries import answered
from qts.runtime.persistence.store_writer import StoreWriter

BETWEEN_ANSWERS_NS = 2 * NS_PER_S
_ENDS: Final[Mapping[BrokerOrderState, type[OrderCancelled | OrderRejected]]] = {
    BrokerOrderState.CANCELLED: OrderCancelled,
    BrokerOrderState.REJECTED: OrderRejected,
}
_MAY_BE_SENT = frozenset({OrderState.INTENT, OrderState.PENDING_NEW})


class OrderReconciler:
    """Resolves UNKNOWN orders from the broker's own books.

    Fills and ends that the books show of an order found there are given to ``on_report`` as if they came now, an
    order that was never sent to ``on_absent``.
    """

    def __init__(
        self,
        *,
        account: Account,
        orders: WorkingOrders,
        broker: Broker,
        record: StoreWriter,
        on_report: Callable[[ExecutionReport], None],
        on_absent: Callable[[Order], None],
    ) -> None:
        self._account = account
        self._orders = orders
        self._broker = broker
        self._record = record
        self._on_report = on_report
        self._on_absent = on_absent
        self._absent_since: dict[str, int] = {}
        self._doubted: dict[str, None] = {}
        """Orders that are open here and that the broker did not show when the session was resumed."""

    def doubt_absent(self, client_order_ids: Iterable[str]) -> None:
        """Ask the broker again about orders that are open here and that it does not show: they may have ended."""
        self._doubted.update(dict.fromkeys(client_order_ids))

    def doubt_intents(self, now_ns: int) -> bool:
        """Mark as UNKNOWN every order whose intent was stored before a restart; return whether there was one.

        Such an order may have been sent, and answered or not.
        """
        intents = [order for order in self._orders if order.state in _MAY_BE_SENT]
        for order in intents:
            ack = OrderAck(AckStatus.UNKNOWN, order.client_order_id, reason="the session ended while it was sent")
            self._put(apply_ack(order, ack, now_ns))
        return bool(intents)

    def withdraw(self, order: Order, now_ns: int, why: str) -> None:
        """End ``order``, whose intent is still being written, at ``now_ns``, with ``why`` as its note."""
        withdraw(order, now_ns, why, orders=self._orders, account=self._account, log=self._record)

    def any(self) -> bool:
        """Return whether any order is UNKNOWN or in doubt."""
        return len(self._orders) > 0 and any(map(self._is_asked_about, self._orders))

    def _is_asked_about(self, order: Order) -> bool:
        return order.state is OrderState.UNKNOWN or order.client_order_id in self._doubted

    async def resolve(self, now_ns: int) -> None:
        """Ask the broker about every order that is UNKNOWN or in doubt; without an answer they stay as they are."""
        unknown = [order.client_order_id for order in self._orders if self._is_asked_about(order)]
        self._doubted = {key: None for key in self._doubted if key in unknown}
        self._absent_since = {key: ns for key, ns in self._absent_since.items() if key in unknown}
        if not unknown:
            return
        try:
            theirs = await answered(self._broker.orders())
            fills = await answered(self._broker.fills_since(0))  # by the broker's clock, which may be behind ours
        except BrokerUnavailable:
            return  # the connection is down: asked again later
        for key in unknown:
            order = self._orders.get(key)
            if order is not None and self._is_asked_about(order):  # else a report came while we asked
                self._resolve(order, theirs, [fill for fill in fills if fill.client_order_id == key], now_ns)

    def _resolve(self, order: Order, theirs: Sequence[BrokerOrder], fills: Sequence[Fill], now_ns: int) -> None:
        key, is_unknown = order.client_order_id, order.state is OrderState.UNKNOWN
        found = next((one for one in theirs if is_same(one, order)), None)
        if is_unknown and (found is not None or fills):
            ref = None if found is None else found.ref
            ack = kept_ack(OrderAck(AckStatus.ACCEPTED, key, ref, "found at the broker"))
            self._put(apply_ack(order, ack, now_ns))
        for fill in fills:
            if is_new(fill, self._account):
                self._on_report(fill)
        if found is not None:
            self._absent_since.pop(key, None)
            self._doubted.pop(key, None)
            if (end := end_of(found, order, self._broker.name, now_ns)) is not None:
                self._on_report(end)
        elif is_unknown and fills:
            self._absent_since.pop(key, None)
            self._doubted[key] = None  # what is left of it may have ended: a broker need not show that
        elif self._may_be_one_of(order, theirs):
            self._absent_since.pop(key, None)
        elif now_ns - order.ts_update_ns >= self._broker.capabilities.visibility_lag_ns:
            self._count_absence(order, now_ns)

    def _may_be_one_of(self, order: Order, theirs: Sequence[BrokerOrder]) -> bool:
        """Return whether the broker shows an order of the same symbol and side that belongs to none of ours."""
        nameless = {
            one.ref
            for one in theirs
            if one.client_order_id is None and (one.symbol, one.side) == (order.symbol, order.side)
        }
        return bool(nameless) and bool(nameless - self._orders.refs())

    def _count_absence(self, order: Order, now_ns: int) -> None:
        first = self._absent_since.setdefault(order.client_order_id, now_ns)
        if now_ns - first < BETWEEN_ANSWERS_NS:
            return
        key = order.client_order_id
        del self._absent_since[key]
        evidence = f"absent in two answers {(now_ns - first) / NS_PER_S:.1f} s apart"
        if order.state is OrderState.UNKNOWN:
            absent = apply_absent(order, now_ns, evidence)
            self._put(absent)
            self._on_absent(absent)
        else:  # it was there: what is left of it has ended
            self._doubted.pop(key, None)
            self._on_report(OrderCancelled(self._broker.name, key, order.symbol, now_ns, evidence))

    def _put(self, order: Order) -> None:
        self._orders.put(order)
        self._record.write_later(order)
        if order.state in FINAL_STATES:
            self._account.release(order.client_order_id)

    def export_state(self) -> dict[str, Any]:
        """Return since when which order was absent, and the orders in doubt, for a checkpoint."""
        doubted = {"doubted": list(self._doubted)} if self._doubted else {}
        return {"absent_since": self._absent_since, **doubted}

    def import_state(self, saved: dict[str, Any]) -> None:
        """Restore what :meth:`export_state` returned."""
        self._absent_since = dict(saved["absent_since"])
        self._doubted = dict.fromkeys(saved.get("doubted", ()))


def is_same(theirs: BrokerOrder, ours: Order) -> bool:
    """Return whether ``theirs`` is ``ours``: by client order id, or by venue reference where there is no id."""
    if theirs.client_order_id is None:
        return theirs.ref in ours.venue_refs
    return theirs.client_order_id == ours.client_order_id


def is_new(fill: Fill, account: Account) -> bool:
    """Return whether ``fill`` has to be applied; an unreadable one is, because applying it quarantines it."""
    return bool(unreadable(fill)) or not account.has_booked(fill)


def end_of(theirs: BrokerOrder, ours: Order, broker: str, now_ns: int) -> OrderCancelled | OrderRejected | None:
    """Return the report of an end that the broker's books give; None while the order can fill, or has filled."""
    kind = _ENDS.get(theirs.state)
    key = ours.client_order_id
    return None if kind is None else kind(broker, key, ours.symbol, now_ns, "so the broker's books say")
