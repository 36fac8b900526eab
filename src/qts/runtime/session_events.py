"""What a session does when something has happened to its orders, its states or its strategies: small listeners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from qts.clock import Clock
from qts.config.tree import QtsConfig
from qts.event.contracts import EventType
from qts.event.dispatcher import EventDispatcher
from qts.event.journal import Journal
from qts.execution.contracts import BrokerDisconnect, ExecutionReport, Fill, Order, OrderState
from qts.ledger.contracts import FillEffect
from qts.market.contracts import MarketValue
from qts.risk.contracts import OrderRequest
from qts.runtime.due_work import DueWork
from qts.runtime.metrics.extremes import Extremes
from qts.runtime.orders.execution_reports import ExecutionReportHandler, event_type_of
from qts.runtime.orders.exit_requests import ExitRequests
from qts.runtime.orders.forced_exits import ForcedExits
from qts.runtime.persistence.history_rows import safety_row, safety_text, state_row
from qts.runtime.session.capital_transfers import CapitalTransfers
from qts.runtime.session.session_counters import SessionCounters
from qts.runtime.session.trading_day import TradingDay
from qts.runtime.shared_components import SharedComponents
from qts.safety.contracts import SafetyChange, SafetyState
from qts.safety.state import SafetyStateManager
from qts.state.contracts import TransitionRecord
from qts.state.operating_state import OperatingStateManager
from qts.strategy.contracts import Side


class Log(Protocol):
    """Says something for people; called on the session's thread, never raises."""

    def __call__(self, level: str, message: str, **fields: str) -> None:
        """Say ``message`` at ``level`` (INFO, WARNING, ERROR)."""


class Codes:
    """Brings a code raised by any component to safety, whatever its family."""

    def __init__(
        self, safety: SafetyStateManager, counters: SessionCounters, due: DueWork, journal: Journal | None
    ) -> None:
        self._safety = safety
        self._counters = counters
        self._due = due
        self._journal = journal

    def report(self, code: str, detail: str) -> None:
        """Have safety judge ``code``. On the session's thread."""
        self._counters.codes_told += 1
        if self._journal is not None and self._journal.must_exit:
            self._due.pending = True  # nobody knows what is on its disk: the session ends at the next quiet moment
        self._safety.apply_code(code, detail)


class OrderCounts:
    """Counts orders and fills, of the session and of the day, and shows the extremes that the book has changed."""

    def __init__(self, counters: SessionCounters, day: TradingDay, extremes: Extremes, clock: Clock) -> None:
        self._counters = counters
        self._day = day
        self._extremes = extremes
        self._clock = clock

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """Count a fill."""
        self._counters.fills += 1
        self._extremes.book_changed(self._clock.time_ns())

    def on_sent(self, request: OrderRequest) -> None:
        """Count an order."""
        self._counters.orders += 1
        self._day.sent(request.ts_ns, is_entry=request.side is Side.BUY)

    def on_ended(self, order: Order) -> None:
        """Count nothing: an end is in the order's row."""


class ExitWakeUp:
    """Tells the forced exits what has happened to orders, and asks for attention when one can go on."""

    def __init__(self, exits: ForcedExits, forced_exit_reasons: dict[tuple[str, str], str], due: DueWork) -> None:
        self._exits = exits
        self._leaving = forced_exit_reasons
        self._due = due

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """See whether the fill lets an exit go on."""
        self._moved(order)

    def on_sent(self, request: OrderRequest) -> None:
        """Note an entry: what it buys belongs to an exit that has ended."""
        if request.side is Side.BUY:
            self._exits.on_entry(request.strategy, request.symbol)

    def on_ended(self, order: Order) -> None:
        """See whether the end lets an exit go on."""
        self._moved(order)

    def _moved(self, order: Order) -> None:
        if (self._leaving or order.state is OrderState.FILLED_LATE) and self._exits.on_order_update(order):
            self._due.pending = True


class OrderLog:
    """Says of orders and fills what is of interest."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """Say what was filled."""
        self._log("INFO", f"filled {fill.qty} {fill.symbol} at {fill.price}", order=order.client_order_id)

    def on_sent(self, request: OrderRequest) -> None:
        """Say what is sent."""
        self._log("INFO", f"{request.side.value} {request.qty} {request.symbol}", order=request.client_order_id)

    def on_ended(self, order: Order) -> None:
        """Say nothing: who ended it has said why."""


class StateHistory:
    """Stores every change of both states, and has a checkpoint taken behind it."""

    def __init__(self, shared: SharedComponents, counters: SessionCounters, log: Log) -> None:
        self._record = shared.record
        self._counters = counters
        self._log = log

    def on_safety(self, change: SafetyChange) -> None:
        """Store and say a change of the safety state."""
        self._counters.changes += 1
        self._record.write_later(safety_row(change))
        self._log("WARNING", f"safety {safety_text(change)}")

    def on_state(self, record: TransitionRecord) -> None:
        """Store a record of the operating state."""
        self._counters.changes += 1
        self._record.write_later(state_row(record))


class SafetyConsequences:
    """Lets the dispatcher and the operating state follow safety."""

    def __init__(
        self, dispatcher: EventDispatcher, state: OperatingStateManager, config: Callable[[], QtsConfig]
    ) -> None:
        self._dispatcher = dispatcher
        self._state = state
        self._config = config

    def on_safety(self, change: SafetyChange) -> None:
        """Pause or resume queues, and force the operating state or let it go."""
        self._dispatcher.apply_safety_state(change.to_state)
        if not self._config().state.enabled:
            return  # it rules nothing: what safety says is enough
        if change.from_state is SafetyState.LOCKDOWN:
            self._state.on_lockdown_release()
        else:
            self._state.apply_safety_override(change.to_state)

    def on_state(self, record: TransitionRecord) -> None:
        """Do nothing: safety stands above the operating state."""


class StateWakeUp:
    """Lets what the pools hold follow the operating state, and asks for what a change of either state makes due."""

    def __init__(self, capital: CapitalTransfers, exits: ExitRequests, due: DueWork, log: Log) -> None:
        self._capital = capital
        self._exits = exits
        self._due = due
        self._log = log

    def on_safety(self, change: SafetyChange) -> None:
        """Ask for a checkpoint, and for a look at all books when no entry is allowed any more."""
        self._due.audit |= not change.to_state.allows_entries
        self._due.checkpoint_soon()

    def on_state(self, record: TransitionRecord) -> None:
        """Ask for a checkpoint, and for the exits that a transition orders."""
        if record.is_transition:
            self._capital.on_state_changed()
            self._exits.on_state_changed(record.ts_ns)
            self._log("INFO", f"{record.from_state.value} -> {record.to_state.value}: {record.reason}")
        self._due.checkpoint_soon()


class StrategyFaults:
    """Tells of what a strategy has raised, and has sold what a halted one holds.

    ``on_error`` gets the text for standard error; "" when it is on the record already.
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
        """Take the failure of ``callback`` of strategy ``name``; ``trace`` "": it was told before."""
        what = f"strategy {name} raised {fault} in {callback}" + ("; it is halted" if halted else "")
        self._log("ERROR", f"{what}\n{trace}" if trace else what)
        self._on_error(f"{what}\n{trace}" if trace else "")
        if halted:
            self._liquidate_strategy(name, f"its strategy was halted: {fault}", self._clock.time_ns())
            self._due.pending = True
            self._codes.report("AN060", f"strategy {name} halted: {fault}")


class ExecutionReportInput:
    """Publishes a broker's reports as P0 events; what a journal cannot hold is kept raw between two handlers."""

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
        """Take one report from the broker. Any thread."""
        heard = self._execution_reports.heard(report, self._due.call_soon)
        if heard is not None:
            self._publish(event_type_of(heard), heard, self._broker)


class OtherValues:
    """Shows values that are no prices to those by which the operating state is judged."""

    def __init__(self, shared: SharedComponents, counters: SessionCounters) -> None:
        self._shared = shared
        self._counters = counters

    def on_value(self, value: MarketValue) -> None:
        """Take an index or volatility level."""
        self._counters.metrics_fed += 1
        self._shared.measure(value)
