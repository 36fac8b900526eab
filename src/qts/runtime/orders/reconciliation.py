"""Reconciles orders whose fate is unknown with the broker's books; nothing is sent again before the fate is known.

An order present at the broker is adopted. One that is absent in two answers at least two seconds apart, both
requested when the broker had to show it (``visibility_lag_ns``), without a fill and without an order there that
might be it, was never sent. Any other stays unknown, and its key stays closed for new orders.

An order that was accepted and that the broker does not show is in doubt: absent in two answers in the same way,
what is left of it has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
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
    VenueRef,
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
    """Resolves UNKNOWN orders, and finds what was never told, in the broker's own books.

    Fills and ends that the books show are given to ``on_report`` as if they came now, an order that was never sent
    to ``on_absent``, and open orders that are not ours in words to ``on_foreign``.
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
        on_foreign: Callable[[str], None],
        is_simulated: bool,
    ) -> None:
        self._account = account
        self._orders = orders
        self._broker = broker
        self._record = record
        self._on_report = on_report
        self._on_absent = on_absent
        self._on_foreign = on_foreign
        self._is_simulated = is_simulated
        self._absent_since: dict[str, int] = {}
        self._doubted: dict[str, None] = {}
        """Orders that are open here and that the broker does not show."""
        self._is_asking = False
        """Whether a question of :meth:`resolve` is under way."""
        self._told: set[str] = set()
        """Fills that were found in the broker's books, given on and not booked when it was asked last."""
        self._foreign: set[VenueRef] = set()
        """Open orders of others at the broker that were reported."""

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

    async def resolve(self, now_ns: int) -> bool:
        """Ask the broker about what is not certain; return whether there was news. Without an answer it stays so.

        Of a simulated venue only orders that are UNKNOWN or in doubt: it tells all else.
        """
        if self._is_asking or (self._is_simulated and not self.any()):
            return False
        self._is_asking = True
        try:
            return await self.catch_up(now_ns)
        except BrokerUnavailable:
            return False  # the connection is down: asked again later
        finally:
            self._is_asking = False

    async def catch_up(self, now_ns: int) -> bool:
        """Take over what the broker's books show and ours lack; return whether there was anything.

        Fills of its day, of whatever order, and the ends of orders that are open here. Raises BrokerUnavailable.
        """
        fills = await answered(self._broker.fills_since(0))  # by the broker's clock, which may be behind ours
        theirs = await answered(self._broker.orders())
        new = self._untold(fills)
        open_here = {order.client_order_id: order for order in self._orders}
        self._doubted = {key: None for key in self._doubted if key in open_here}
        self._absent_since = {key: ns for key, ns in self._absent_since.items() if key in open_here}
        executed = {fill.client_order_id for fill in fills}
        has_ended = False
        for key, order in open_here.items():
            if self._is_asked_about(order) or not (self._is_simulated or order.state in _MAY_BE_SENT):
                mine = [fill for fill in new if fill.client_order_id == key]
                has_ended |= self._compare(order, theirs, executed, mine, now_ns)
        if not self._is_simulated:
            for fill in new:
                if fill.client_order_id not in open_here:  # of one that has ended here, or is not ours
                    self._on_report(fill)
            self._tell_foreign(theirs)
        return bool(new) or has_ended

    def _compare(
        self,
        order: Order,
        theirs: Sequence[BrokerOrder],
        executed: Container[str],
        new: Sequence[Fill],
        now_ns: int,
    ) -> bool:
        """Compare an order that is open here with the broker's books; return whether they show its end.

        ``executed``: the orders that have fills there; ``new``: those of this one that are not booked.
        """
        key, is_unknown = order.client_order_id, order.state is OrderState.UNKNOWN
        found = next((one for one in theirs if is_same(one, order)), None)
        if is_unknown and (found is not None or key in executed):
            ref = None if found is None else found.ref
            ack = kept_ack(OrderAck(AckStatus.ACCEPTED, key, ref, "found at the broker"))
            self._put(apply_ack(order, ack, now_ns))
        for fill in new:
            self._on_report(fill)
        if found is not None:
            self._absent_since.pop(key, None)
            self._doubted.pop(key, None)
            end = end_of(found, order, self._broker.name, now_ns)
            if end is not None:
                self._on_report(end)  # the broker does not report it again
            return end is not None
        if not is_unknown or key in executed:
            self._doubted[key] = None  # what is left of it may have ended: a broker need not show that
        if self._may_be_one_of(order, theirs) or (is_unknown and key in executed):
            self._absent_since.pop(key, None)
        elif now_ns - order.ts_update_ns >= self._broker.capabilities.visibility_lag_ns:
            return self._count_absence(order, now_ns)
        return False

    def _untold(self, fills: Sequence[Fill]) -> list[Fill]:
        """Return the fills that are not booked and were not given on before; those that were may still wait."""
        unbooked = {repr(fill): fill for fill in fills if is_new(fill, self._account)}
        told, self._told = self._told, set(unbooked)
        return [fill for key, fill in unbooked.items() if key not in told]

    def _tell_foreign(self, theirs: Sequence[BrokerOrder]) -> None:
        """Report each open order at the broker that is not ours, once."""
        told = self._foreign
        foreign = [one for one in theirs if one.is_open and one.ref not in told and not is_known(one, self._orders)]
        for one in foreign:
            what = f"{one.side.value} {one.remaining} {one.symbol}"
            self._on_foreign(f"order {one.ref.number} at {self._broker.name} is not ours: {what}")
        self._foreign = {one.ref for one in theirs if one.ref in told} | {one.ref for one in foreign}

    def _may_be_one_of(self, order: Order, theirs: Sequence[BrokerOrder]) -> bool:
        """Return whether the broker shows an order of the same symbol and side that belongs to none of ours."""
        nameless = {
            one.ref
            for one in theirs
            if one.client_order_id is None and (one.symbol, one.side) == (order.symbol, order.side)
        }
        return bool(nameless) and bool(nameless - self._orders.refs())

    def _count_absence(self, order: Order, now_ns: int) -> bool:
        """Count one answer in which ``order`` is absent; return whether it has ended thereby."""
        first = self._absent_since.setdefault(order.client_order_id, now_ns)
        if now_ns - first < BETWEEN_ANSWERS_NS:
            return False
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
        return True

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


def is_known(theirs: BrokerOrder, orders: WorkingOrders) -> bool:
    """Return whether ``theirs`` is one of ours, open or ended; the last that have ended are remembered."""
    key = theirs.client_order_id
    return theirs.ref in orders.refs() if key is None else orders.get(key) is not None


def is_new(fill: Fill, account: Account) -> bool:
    """Return whether ``fill`` has to be applied; an unreadable one is, because applying it quarantines it."""
    return bool(unreadable(fill)) or not account.has_booked(fill)


def end_of(theirs: BrokerOrder, ours: Order, broker: str, now_ns: int) -> OrderCancelled | OrderRejected | None:
    """Return the report of an end that the broker's books give; None while the order can fill, or has filled."""
    kind = _ENDS.get(theirs.state)
    key = ours.client_order_id
    return None if kind is None else kind(broker, key, ours.symbol, now_ns, "so the broker's books say")
