"""Reacts to events of orders, states and strategies: small listeners of a session, each for one purpose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from qts.clock import Clock
from qts.config.tree import QtsConfig
from qts.event.contracts import EventType
from qts.event.dispatcher import EventDispatcher
from qts.event.journal import Journal
from qts.execution.contracts import BrokerDisconnect, ExecutionReport, Fill, Order, OrderState
from qts.execution.protective.requests import ProtectiveRequests
from qts.execution.working import WorkingOrders
from qts.ledger.contracts import BookingRow, FillEffect, is_sale_taken_back
from qts.market.contracts import MarketValue
from qts.market.session_info import SessionInfo
from qts.risk.contracts import OrderRequest
from qts.runtime.due_work import DueWork
from qts.runtime.metrics.extremes import Extremes
from qts.runtime.orders.execution_reports import ExecutionReportHandler, event_type_of
from qts.runtime.orders.exit_requests import ExitRequests
from qts.runtime.orders.protective_orders import ProtectiveOrders
from qts.runtime.persistence.history_rows import safety_row, safety_text, state_row
from qts.runtime.session.capital_transfers import CapitalTransfers
from qts.runtime.session.session_counters import SessionCounters
from qts.runtime.session.trading_day import TradingDay
from qts.runtime.shared_components import SharedComponents
from qts.safety.contracts import SafetyChange, SafetyState
from qts.safety.state import SafetyStateManager
from qts.state.contracts import TransitionRecord
from qts.state.operating_state import OperatingStateManager


class Log(Protocol):
    """A log for people. Called on the session's thread; never raises."""

    def __call__(self, level: str, message: str, **fields: str) -> None:
        """Log ``message`` at ``level`` (INFO, WARNING, ERROR) with ``fields``."""


class Codes:
    """The path of every code from the component that raises it to safety."""

    def __init__(
        self, safety: SafetyStateManager, counters: SessionCounters, due: DueWork, journal: Journal | None
    ) -> None:
        self._safety = safety
        self._counters = counters
        self._due = due
        self._journal = journal

    def report(self, code: str, detail: str, actor: str = "rule") -> None:
        """Report ``code`` to safety, which judges it; ``actor`` is an operator who raised it.

        For the session's thread alone.
        """
        self._counters.codes_told += 1
        if self._journal is not None and self._journal.must_exit:
            self._due.pending = True  # its files are in an unknown state: the session ends between handlers
        self._safety.apply_code(code, detail, actor=actor)


class OrderCounts:
    """A counter of orders and fills, of session and day, that also updates the extremes after each fill."""

    def __init__(
        self,
        counters: SessionCounters,
        day: TradingDay,
        extremes: Extremes,
        clock: Clock,
        orders: WorkingOrders,
    ) -> None:
        self._orders = orders
        self._counters = counters
        self._day = day
        self._extremes = extremes
        self._clock = clock

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """Count a fill."""
        self._counters.fills += 1
        self._extremes.book_changed(self._clock.time_ns())

    def on_booking(self, row: BookingRow) -> None:
        """Value the account again: the booking may have changed what is held."""
        self._extremes.book_changed(self._clock.time_ns())

    def on_sent(self, request: OrderRequest) -> None:
        """Count an order; the parts of an execution together are one entry."""
        self._counters.orders += 1
        is_entry = not (request.reduce_only or self._orders.is_later_part(request))
        self._day.count_order(request.ts_ns, is_entry=is_entry)

    def on_ended(self, order: Order) -> None:
        """Count nothing: an end is in the order's row."""


class SessionInfoInput:
    """Takes what a feed tells of its instruments; around a base price of today lies the band of the day."""

    def __init__(self, shared: SharedComponents) -> None:
        self._shared = shared

    def on_info(self, info: SessionInfo) -> None:
        """Keep an info of an instrument of the feed; any other is none of ours."""
        p = self._shared
        instrument = p.feed.instruments.get(info.symbol)
        if instrument is None or not p.session_infos.put(info):
            return
        base = info.base_price
        is_of_today = info.day == instrument.calendar.local_date(p.clock.now())
        if base is not None and is_of_today and p.base_prices.get(info.symbol) != base:
            p.base_prices[info.symbol] = base
            p.price_bands.on_base(info.symbol)


class ExitWakeUp:
    """A listener that passes order events to the forced exits, and requests due work when one can continue."""

    def __init__(
        self,
        exits: ProtectiveOrders,
        requests: ProtectiveRequests,
        due: DueWork,
    ) -> None:
        self._exits = exits
        self._requests = requests
        self._due = due

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """Continue a forced exit if the fill allows it."""
        self._exits.on_fill(order, fill.side, fill.qty)
        self._continue_exit(order)

    def on_booking(self, row: BookingRow) -> None:
        """Continue a forced exit of which the broker has taken a sale back."""
        if is_sale_taken_back(row):
            self._exits.on_taken_back(row)
            self._due.pending = True

    def on_sent(self, request: OrderRequest) -> None:
        """Report an entry to the forced exits: what it buys does not belong to an exit requested before."""
        if not request.reduce_only:
            self._exits.on_entry(request.strategy, request.symbol)

    def on_ended(self, order: Order) -> None:
        """Continue a forced exit if the end of the order allows it."""
        self._continue_exit(order)

    def _continue_exit(self, order: Order) -> None:
        is_any = len(self._requests) or order.state is OrderState.FILLED_LATE
        if is_any and self._exits.on_order_update(order):
            self._due.pending = True


class OrderLog:
    """A log of orders and fills."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """Log the fill."""
        self._log("INFO", f"filled {fill.qty} {fill.symbol} at {fill.price}", order=order.client_order_id)

    def on_sent(self, request: OrderRequest) -> None:
        """Log the order that is sent."""
        self._log("INFO", f"{request.side.value} {request.qty} {request.symbol}", order=request.client_order_id)

    def on_ended(self, order: Order) -> None:
        """Ignore the end: the component that ended the order has logged it."""


class StateHistory:
    """The stored history of both states."""

    def __init__(self, shared: SharedComponents, counters: SessionCounters, log: Log) -> None:
        self._record = shared.record
        self._counters = counters
        self._log = log

    def on_safety(self, change: SafetyChange) -> None:
        """Store and log a safety cause."""
        self._counters.changes += 1
        self._record.write_later(safety_row(change))
        self._log("WARNING", f"safety {safety_text(change)}")

    def on_state(self, record: TransitionRecord) -> None:
        """Store a record of the operating state."""
        self._counters.changes += 1
        self._record.write_later(state_row(record))


class SafetyConsequences:
    """A listener that makes the dispatcher and the operating state follow safety."""

    def __init__(
        self, dispatcher: EventDispatcher, state: OperatingStateManager, config: Callable[[], QtsConfig]
    ) -> None:
        self._dispatcher = dispatcher
        self._state = state
        self._config = config

    def on_safety(self, change: SafetyChange) -> None:
        """Pause or resume queues, and force the operating state or end the force."""
        self._dispatcher.apply_safety_state(change.to_state)
        if not self._config().state.enabled:
            return  # the operating state has no effect in this run
        if change.from_state is SafetyState.LOCKDOWN:
            self._state.on_lockdown_release()
        else:
            self._state.apply_safety_override(change.to_state)

    def on_state(self, record: TransitionRecord) -> None:
        """Ignore the record: safety outranks the operating state."""


class StateWakeUp:
    """A listener that requests what a change of either state makes due: transfers, exits, audit, checkpoint."""

    def __init__(self, capital: CapitalTransfers, exits: ExitRequests, due: DueWork, log: Log) -> None:
        self._capital = capital
        self._exits = exits
        self._due = due
        self._log = log

    def on_safety(self, change: SafetyChange) -> None:
        """Request a checkpoint, and an audit of all books when entries are not allowed any more."""
        self._due.audit |= not change.to_state.allows_entries
        self._due.checkpoint_soon()

    def on_state(self, record: TransitionRecord) -> None:
        """Request a checkpoint, and after a transition the transfers and exits of the new state."""
        if record.is_transition:
            self._capital.on_state_changed()
            self._exits.on_state_changed(record.ts_ns)
            self._log("INFO", f"{record.from_state.value} -> {record.to_state.value}: {record.reason}")
        self._due.checkpoint_soon()


class StrategyFaults:
    """A receiver of strategies' errors: it logs them, and requests the exit of what a halted strategy holds.

    ``on_error`` takes the text for standard error, "" when it was written before.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        due: DueWork,
        codes: Codes,
        liquidate_strategy: Callable[[str, str, int], None],
        on_error: Callable[[str], None],
        log: Log,
    ) -> None:
        self._clock = clock
        self._due = due
        self._codes = codes
        self._liquidate_strategy = liquidate_strategy
        self._on_error = on_error
        self._log = log

    def on_fault(self, name: str, callback: str, fault: str, halted: bool, trace: str) -> None:
        """Handle the failure of ``callback`` of strategy ``name``; ``trace`` is "" when it was logged before."""
        what = f"strategy {name} raised {fault} in {callback}" + ("; it is halted" if halted else "")
        self._log("ERROR", f"{what}\n{trace}" if trace else what)
        self._on_error(f"{what}\n{trace}" if trace else "")
        if halted:
            self._liquidate_strategy(name, f"its strategy was halted: {fault}", self._clock.time_ns())
            self._due.pending = True
            self._codes.report("AN060", f"strategy {name} halted: {fault}")


class ExecutionReportInput:
    """A publisher of a broker's reports as P0 events; what a journal cannot hold is kept raw between handlers."""

    def __init__(
        self,
        execution_reports: ExecutionReportHandler,
        due: DueWork,
        publish: Callable[[EventType, Any, str], object],
        broker: str,
    ) -> None:
        self._execution_reports = execution_reports
        self._due = due
        self._publish = publish
        self._broker = broker

    def on_report(self, report: ExecutionReport | BrokerDisconnect) -> None:
        """Publish one report from the broker. Callable from any thread; never waits."""
        readable = self._execution_reports.readable(report, self._due.call_soon)
        if readable is not None:
            self._publish(event_type_of(readable), readable, self._broker)


class IndexInput:
    """A handler of index values, on which the operating state is judged."""

    def __init__(self, shared: SharedComponents, counters: SessionCounters) -> None:
        self._shared = shared
        self._counters = counters

    def on_value(self, value: MarketValue) -> None:
        """Accept an index or volatility level."""
        self._counters.metrics_fed += 1
        self._shared.measure(value)
