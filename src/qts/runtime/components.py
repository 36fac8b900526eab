"""The components of one session, made by :mod:`qts.runtime.wiring` and given to the kernel as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qts.broker.contracts import BrokerQueries, MarketDriven
from qts.broker.gateway.limits.order_limits import OrderLimits
from qts.broker.sending import OrderSender
from qts.db.session import SessionStore
from qts.event.dispatcher import EventDispatcher
from qts.event.journal import Journal
from qts.ids import CounterIds
from qts.market.series.history import RowHistory
from qts.runtime.checks.auditor import Auditor
from qts.runtime.checks.clock_check import ClockWatch
from qts.runtime.checks.invariants import Invariants
from qts.runtime.checks.risk_monitor import RiskMonitor
from qts.runtime.control.flattens import Flattens
from qts.runtime.control.stops import Stops
from qts.runtime.due_work import DueWork
from qts.runtime.intake import Intake
from qts.runtime.listeners import Listeners
from qts.runtime.market_input import MarketInput
from qts.runtime.orders.closed_trades import ClosedTrades
from qts.runtime.orders.decision_path import DecisionPath
from qts.runtime.orders.execution_reports import ExecutionReportHandler
from qts.runtime.orders.executions import Executions
from qts.runtime.orders.exit_requests import ExitRequests
from qts.runtime.orders.position_triggers import PositionTriggers
from qts.runtime.orders.protective_orders import ProtectiveOrders
from qts.runtime.orders.reconciliation import OrderReconciler
from qts.runtime.orders.reject_watch import RejectWatch
from qts.runtime.orders.report_relay import ReportRelay
from qts.runtime.orders.signals import Signals
from qts.runtime.orders.strategy_watch import StrategyWatch
from qts.runtime.orders.targets import Targets
from qts.runtime.persistence.checkpoint import Checkpoints
from qts.runtime.persistence.recovery import Recovery
from qts.runtime.persistence.session_log import Notices
from qts.runtime.session.account_opening import AccountOpening
from qts.runtime.session.capital_transfers import CapitalTransfers
from qts.runtime.session.corporate_actions import CorporateActions
from qts.runtime.session.day_charges import DayCharges
from qts.runtime.session.day_closes import DayCloses
from qts.runtime.session.day_cycle import DayCycle
from qts.runtime.session.equity_curve import EquityCurve
from qts.runtime.session.schedule import Schedule
from qts.runtime.session.session_counters import SessionCounters
from qts.runtime.session.state_evaluation import StateEvaluation
from qts.runtime.session_events import Codes
from qts.runtime.shared_components import SharedComponents
from qts.runtime.strategies.moments import Moments
from qts.runtime.strategies.strategy_host import StrategyHost


@dataclass(slots=True, frozen=True)
class Components:
    """All components of a session, connected; ``shared`` holds those that most others use.

    ``inline``: on the virtual clock, where nothing waits. ``journal`` None: the input can be read again.
    """

    shared: SharedComponents
    inline: bool
    journal: Journal | None
    store: SessionStore
    ids: Mapping[str, CounterIds]
    """Id sources by kind: "o" orders, "d" decisions, "a" approvals, "t" transfers, "e" events."""
    notices: Notices
    counters: SessionCounters
    due: DueWork
    codes: Codes
    invariants: Invariants
    listeners: Listeners
    dispatcher: EventDispatcher
    history: RowHistory | None
    """The bars of a new session from before its first value; None: there are none."""
    broker: BrokerQueries
    venue: MarketDriven
    report_relay: ReportRelay
    sender: OrderSender
    clock_watch: ClockWatch | None
    """Compares our clock with the broker's; None at a simulated venue, which has ours."""
    limits: OrderLimits | None
    """The limits of orders; None: they are off."""
    intake: Intake
    market: MarketInput
    signals: Signals
    rejects: RejectWatch
    decisions: DecisionPath
    host: StrategyHost
    targets: Targets
    execution_reports: ExecutionReportHandler
    trades: ClosedTrades
    unresolved: OrderReconciler
    exits: ProtectiveOrders
    executions: Executions
    triggers: PositionTriggers
    exit_requests: ExitRequests
    monitor: RiskMonitor
    capital: CapitalTransfers
    curve: EquityCurve
    charges: DayCharges
    days: DayCycle
    closes: DayCloses
    opening: AccountOpening
    actions: CorporateActions | None
    """Splits and dividends; None when the feed knows none."""
    moments: Moments | None
    """Timers of the strategies; None when none of them has any."""
    evaluation: StateEvaluation
    watch: StrategyWatch | None
    """The watch over strategies; None where limits are off."""
    stops: Stops
    flattens: Flattens
    auditor: Auditor
    schedule: Schedule
    checkpoints: Checkpoints
    recovery: Recovery
