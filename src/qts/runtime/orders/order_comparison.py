"""Compares one of our orders with its row in the broker's books, and says what follows.

An order of unknown fate that is present is adopted; where the broker keeps no ids, the only one there that is just
what was asked for. What is absent in two answers at least two seconds apart, both requested when the broker had to
show it, was never sent, or has ended where it was there before. What the broker says of an order ends it only when
all that it has executed is known, and when it speaks of the quantity that was ordered.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Final

from qts.broker.contracts import BrokerOrder, BrokerOrderState, BrokerQueries
from qts.clock import NS_PER_S
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
from qts.execution.lifecycle import apply_absent, apply_ack, renumbered
from qts.execution.texts import kept_ack, kept_ref
from qts.execution.working import WorkingOrders
from qts.money import plus, sum_of
from qts.runtime.orders.broker_answers import BrokerAnswer
from qts.runtime.orders.cumulative_fills import CumulativeFills
from qts.runtime.orders.numbered_reports import NumberedReports
from qts.runtime.orders.order_matching import claimable, sole_match
from qts.runtime.orders.order_warnings import OrderWarnings

BETWEEN_ANSWERS_NS = 2 * NS_PER_S
_ENDS: Final[Mapping[BrokerOrderState, type[OrderCancelled | OrderRejected]]] = {
    BrokerOrderState.CANCELLED: OrderCancelled,
    BrokerOrderState.REJECTED: OrderRejected,
}


class OrderComparison:
    """The orders that are absent or in doubt, and what an answer means for each. For the session's thread.

    ``put`` keeps a changed order; ``look_again`` applies reports that waited for a number that is known now, and
    says whether there were any. ``on_fill`` takes an execution that the books show and ours lack; what it is not
    given of one answer, the next has again. The others as in
    :class:`~qts.runtime.orders.reconciliation.OrderReconciler`.
    """

    def __init__(
        self,
        *,
        broker: BrokerQueries,
        is_simulated: bool,
        orders: WorkingOrders,
        numbers: NumberedReports,
        cumulative: CumulativeFills,
        warnings: OrderWarnings,
        put: Callable[[Order], None],
        look_again: Callable[[], bool],
        on_fill: Callable[[Fill], object],
        on_report: Callable[[ExecutionReport], None],
        on_absent: Callable[[Order], None],
        on_code: Callable[[str, str], object],
    ) -> None:
        self._broker = broker
        self._lag_ns = broker.capabilities.visibility_lag_ns
        self._is_simulated = is_simulated
        self._orders = orders
        self._numbers = numbers
        self._cumulative = cumulative
        self._warnings = warnings
        self._put = put
        self._look_again = look_again
        self._on_fill = on_fill
        self._on_report = on_report
        self._on_absent = on_absent
        self._on_code = on_code
        self._absent_since: dict[str, int] = {}
        self._went_on_ns = 0
        self._doubted: dict[str, None] = {}
        """Orders that are open here and that the broker does not show, or of which it shows too little."""

    def is_uncertain(self, order: Order) -> bool:
        """Return whether ``order`` is UNKNOWN or in doubt."""
        return order.state is OrderState.UNKNOWN or order.client_order_id in self._doubted

    def doubt(self, order: Order) -> None:
        """Note that ``order`` has to be asked about again."""
        self._doubted[order.client_order_id] = None

    def was_answered(self, order: Order) -> None:
        """Forget since when ``order`` is absent: the broker has answered it."""
        self._absent_since.pop(order.client_order_id, None)

    def keep(self, keys: Container[str]) -> None:
        """Forget the doubts about orders that are not in ``keys``: they are not open any more."""
        self._doubted = {key: None for key in self._doubted if key in keys}
        self._absent_since = {key: ns for key, ns in self._absent_since.items() if key in keys}

    def compare(self, order: Order, answer: BrokerAnswer) -> bool:
        """Compare an order that is open here with the broker's books; return whether they show something new."""
        key, now_ns, is_unknown = order.client_order_id, answer.asked_ns, order.state is OrderState.UNKNOWN
        found, is_executed = answer.ours.get(key), key in answer.executed
        may_be: Sequence[BrokerOrder] = ()
        has_number = bool(order.venue_refs) or self._broker.capabilities.client_order_ids
        if found is None and not has_number:
            may_be = claimable(order, answer.others, self._lag_ns)
            found = sole_match(order, may_be, self._orders)
        if (is_unknown and is_executed) or (found is not None and (is_unknown or not has_number)):
            ref = None if found is None else found.ref
            ack = kept_ack(OrderAck(AckStatus.ACCEPTED, key, ref, "found at the broker"))
            order = apply_ack(order, ack, now_ns)
            self._put(order)
        elif found is not None and not self._is_simulated and found.ref not in order.venue_refs:
            order = renumbered(order, kept_ref(found.ref))  # by someone else
            self._put(order)
        if self._look_again():
            self._doubted[key] = None  # the answer is older than what was applied now
            return True
        fills = [fill for fill in answer.fills if fill.client_order_id == key]
        for fill in fills:
            self._on_fill(fill)
        if found is not None:
            self._absent_since.pop(key, None)
            self._doubted.pop(key, None)
            return self._compare_with(order, found, fills, answer)
        if not is_unknown or is_executed:
            self._doubted[key] = None  # what is left of it may have ended: a broker need not show that
        if may_be or (is_unknown and is_executed):
            self._absent_since.pop(key, None)
            if is_unknown and may_be:
                self._warnings.warn(
                    key, f"order {key} may be one of {_names(may_be)} at {self._broker.name}, or none of them"
                )
        elif self._numbers.has_news_of(order):
            self._absent_since.pop(key, None)
        elif now_ns - self._known_since_ns(order, now_ns) >= self._lag_ns:
            return self._count_absence(order, now_ns)
        return False

    def _known_since_ns(self, order: Order, now_ns: int) -> int:
        """Return when an order changed last; of one from before the clock was set back, when we went on."""
        return order.ts_update_ns if order.ts_update_ns <= now_ns else self._went_on_ns

    def _compare_with(self, order: Order, found: BrokerOrder, fills: Sequence[Fill], answer: BrokerAnswer) -> bool:
        """Compare an order that is open here with ``found``, its row; return whether that shows something new.

        ``fills``: its executions in the same ``answer`` that were not booked.
        """
        key, now_ns = order.client_order_id, answer.asked_ns
        if found.qty != order.qty and not self._is_simulated:
            self._doubted[key] = None  # a row of another quantity than was ordered proves nothing
            said = f"{found.filled} of {found.qty} {found.state.value}"
            self._warnings.warn(key, f"{self._broker.name} shows order {key} as {said}, ordered were {order.qty}")
            return False
        inferred = self._infer(order, found, answer)
        filled = plus(order.filled, sum_of(fill.qty for fill in fills))
        if found.filled > filled or inferred:
            self._doubted[key] = None  # an execution is not listed yet: it ends when all of them are known
            if not inferred and answer.is_settled and self._warnings.has_differed(order, now_ns):
                name, shown = self._broker.name, f"{found.filled} of order {key} executed"
                self._warnings.warn(key, f"{name} shows {shown} and has told of {filled}", "FS070")
            return inferred
        self._warnings.agrees(key)
        end = _end_of(found, order, self._broker.name, now_ns)
        if end is not None:
            self._on_report(end)  # the broker does not report it again
        return end is not None

    def compare_ended(self, order: Order, found: BrokerOrder, answer: BrokerAnswer) -> bool:
        """Compare an order that has ended here with its row; return whether that shows something new."""
        key, now_ns = order.client_order_id, answer.asked_ns
        if found.qty == order.qty and self._infer(order, found, answer):
            return True
        if not found.is_open:
            self._warnings.agrees(key)
        elif self._warnings.has_differed(order, now_ns):
            what = f"{self._broker.name} still works {found.remaining} of it"
            self._warnings.warn(key, f"order {key} is {order.state.value} here, {what}", "FS070")
        return False

    def _infer(self, order: Order, found: BrokerOrder, answer: BrokerAnswer) -> bool:
        """Book what the row shows of an order where executions have no numbers; return whether there was anything.

        Not while a notice waits to be handled: it may be just that execution.
        """
        if self._is_simulated or self._broker.capabilities.execution_ids or not answer.is_settled:
            return False
        reports = self._cumulative.reports(order, found, answer.asked_ns)
        for report in reports:
            self._on_report(report)
        if reports:
            key, name = order.client_order_id, self._broker.name
            code = "AN030" if isinstance(reports[0], Fill) else "FS041"
            self._on_code(code, f"{name} shows {found.filled} of order {key} executed, its notices told otherwise")
        return bool(reports)

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

    def export_state(self) -> dict[str, Any]:
        """Return since when which order was absent, and the orders in doubt, for a checkpoint."""
        doubted = {"doubted": list(self._doubted)} if self._doubted else {}
        return {"absent_since": self._absent_since, **doubted}

    def go_on_at(self, now_ns: int) -> None:
        """Note that a resumed session goes on at ``now_ns``: absence before counts from then on, at the latest."""
        self._went_on_ns = now_ns
        self._absent_since = {key: min(since_ns, now_ns) for key, since_ns in self._absent_since.items()}

    def import_state(self, saved: dict[str, Any]) -> None:
        """Restore what :meth:`export_state` returned."""
        self._absent_since = dict(saved["absent_since"])
        self._doubted = dict.fromkeys(saved.get("doubted", ()))


def _end_of(theirs: BrokerOrder, ours: Order, broker: str, now_ns: int) -> OrderCancelled | OrderRejected | None:
    """Return the report of an end that the broker's books give; None while the order can fill, or has filled."""
    kind = _ENDS.get(theirs.state)
    key = ours.client_order_id
    return None if kind is None else kind(broker, key, ours.symbol, now_ns, "so the broker's books say")


def _names(theirs: Sequence[BrokerOrder]) -> str:
    return ", ".join(f"{one.ref.number} ({one.side.value} {one.qty} {one.symbol})" for one in theirs[:5])
