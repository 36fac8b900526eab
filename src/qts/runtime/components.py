"""The components of one session, made by :mod:`qts.runtime.wiring` and given to the kernel as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qts.broker.contracts import Broker, MarketDriven
from qts.db.session import SessionStore
from qts.event.dispatcher import EventDispatcher
from qts.event.journal import Journal
from qts.ids import CounterIds
from qts.runtime.auditor import Auditor
from qts.runtime.capital_transfers import CapitalTransfers
from qts.runtime.checkpoint import Checkpoints
from qts.runtime.day_cycle import DayCycle
from qts.runtime.decision_path import DecisionPath
from qts.runtime.due_work import DueWork
from qts.runtime.equity_curve import EquityCurve
from qts.runtime.exit_requests import ExitRequests
from qts.runtime.exits import ForcedExits
from qts.runtime.intake import Intake
from qts.runtime.invariants import Invariants
from qts.runtime.listeners import Listeners
from qts.runtime.market_input import MarketInput
from qts.runtime.news_relay import NewsRelay
from qts.runtime.order_desk import OrderDesk
from qts.runtime.order_sender import InlineSender, TaskSender
from qts.runtime.parts import Parts
from qts.runtime.recovery import Recovery
from qts.runtime.reject_watch import RejectWatch
from qts.runtime.risk_monitor import RiskMonitor
from qts.runtime.schedule import Schedule
from qts.runtime.session_events import Codes
from qts.runtime.session_log import Notices
from qts.runtime.signals import Signals
from qts.runtime.state_evaluation import StateEvaluation
from qts.runtime.stops import Stops
from qts.runtime.strategy_host import StrategyHost
from qts.runtime.tally import Tally
from qts.runtime.trades import Trades
from qts.runtime.unresolved import UnresolvedOrders


@dataclass(slots=True, frozen=True)
class Components:
    """Everything that a session is made of, connected; ``parts`` is what most of them share.

    ``inline``: on the virtual clock, where nothing waits. ``journal`` None: the input can be had again.
    """

    parts: Parts
    inline: bool
    journal: Journal | None
    store: SessionStore
    ids: Mapping[str, CounterIds]
    """By kind: "o" orders, "d" decisions, "a" approvals, "t" transfers, "e" events."""
    notices: Notices
    tally: Tally
    due: DueWork
    codes: Codes
    invariants: Invariants
    listeners: Listeners
    dispatcher: EventDispatcher
    broker: Broker
    venue: MarketDriven
    news: NewsRelay
    sender: InlineSender | TaskSender
    intake: Intake
    market: MarketInput
    signals: Signals
    rejects: RejectWatch
    decisions: DecisionPath
    host: StrategyHost
    desk: OrderDesk
    trades: Trades
    unresolved: UnresolvedOrders
    exits: ForcedExits
    exit_requests: ExitRequests
    monitor: RiskMonitor
    capital: CapitalTransfers
    curve: EquityCurve
    days: DayCycle
    evaluation: StateEvaluation
    stops: Stops
    auditor: Auditor
    schedule: Schedule
    checkpoints: Checkpoints
    recovery: Recovery
