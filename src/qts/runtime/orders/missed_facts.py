"""Tells the components of a resumed session what is stored and in no checkpoint: their memory is older than that.

Against a real broker nothing that is stored happens again, so each component has to be told of it as if it happened
now: the strategies of their orders and fills, levels and exits of what they watch, the counts of what they limit. A
checkpoint that follows contains the telling; after a kill before it, a memory that was not told is told.
"""

from __future__ import annotations

from collections.abc import Iterable

from qts.broker.gateway.limits.counted import CountedLimits
from qts.execution.contracts import Order, OrderState
from qts.ledger.contracts import ActionRow, BookingRow
from qts.pipeline.act import levels_of
from qts.runtime.checks.auditor import Auditor
from qts.runtime.listeners import Listeners
from qts.runtime.orders.decision_path import DecisionPath
from qts.runtime.orders.execution_reports import ExecutionReportHandler
from qts.runtime.orders.order_news import StrategyNews
from qts.runtime.orders.position_triggers import PositionTriggers
from qts.runtime.orders.protective_orders import ProtectiveOrders
from qts.runtime.orders.targets import Targets
from qts.runtime.persistence.stored_facts import Ended, Filled, Happened, Sent


class MissedFacts:
    """Passes on what happened to orders and books after a checkpoint. For the session's thread, before any event.

    The account and the orders have it already, so ``auditor`` is given the quantities alone: it compares the two in
    its next audit. ``counted``: the limits that remember what was sent; None: there are none.
    """

    def __init__(
        self,
        *,
        listeners: Listeners,
        reports: ExecutionReportHandler,
        news: StrategyNews,
        decisions: DecisionPath,
        exits: ProtectiveOrders,
        triggers: PositionTriggers,
        targets: Targets,
        auditor: Auditor,
        counted: CountedLimits | None,
    ) -> None:
        self._listeners = listeners
        self._reports = reports
        self._news = news
        self._decisions = decisions
        self._exits = exits
        self._triggers = triggers
        self._targets = targets
        self._auditor = auditor
        self._counted = counted

    def tell(self, happened: Iterable[Happened], now_ns: int) -> None:
        """Pass on what became of orders, in the given order; the session goes on at ``now_ns``."""
        for one in happened:
            if isinstance(one, Sent):
                self._tell_sent(one, now_ns)
            elif isinstance(one, Filled):
                self._tell_filled(one)
            elif isinstance(one, Ended):
                self._tell_ended(one)

    def tell_booked(self, actions: Iterable[ActionRow], bookings: Iterable[BookingRow]) -> None:
        """Pass on splits, dividends and bookings."""
        for action in actions:
            self._auditor.on_action(action)
        for booking in bookings:
            self._listeners.on_booking(booking)

    def forget_decided(self, decision_ids: set[str]) -> None:
        """Let no signal or target be decided again whose decision is stored."""
        self._decisions.skip(decision_ids)
        self._targets.forget(decision_ids)

    def _tell_sent(self, sent: Sent, now_ns: int) -> None:
        request, levels = sent.order.request, levels_of(sent.decision)
        if sent.is_counted:
            self._tell_accepted(sent.order)
            return
        if levels is not None:
            self._triggers.bind(request.strategy, request.symbol, levels, request.ts_ns)
        for listener in self._listeners.orders:
            if listener is not self._auditor:  # it judges an order by the safety state in which it was sent
                listener.on_sent(request)
        self._auditor.note_stored(sent.order)
        self._tell_accepted(sent.order)
        if request.forced:  # what is left of the holding has to be sold as well
            self._exits.on_sent_before(request, now_ns)

    def _tell_accepted(self, order: Order) -> None:
        if self._counted is not None and order.state is not OrderState.NOT_SENT:
            self._counted.note(order.request)
        self._news.on_accepted(order.request)

    def _tell_filled(self, filled: Filled) -> None:
        order = filled.order
        self._reports.show(filled.fill, order)
        self._auditor.note_stored(order, filled.fill)
        for listener in self._listeners.fills:
            if listener is not self._auditor:
                listener.on_fill(filled.fill, order, filled.effect)

    def _tell_ended(self, ended: Ended) -> None:
        self._news.on_ended(ended.order)
        self._listeners.on_ended(ended.order)
