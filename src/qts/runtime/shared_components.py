"""The components that most of a session uses, made by :mod:`qts.runtime.wiring.shared_components`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from qts.clock import Clock, from_ns
from qts.config.tree import QtsConfig
from qts.execution.protective.requests import ProtectiveRequests
from qts.execution.working import WorkingOrders
from qts.ledger.account import Account
from qts.ledger.kept_values import KeptValues
from qts.market.contracts import Calendar, Feed, IndexLevel, LiveFeed, MarketValue, VolatilityLevel
from qts.market.last_values import LastValues
from qts.market.session_info import SessionInfos
from qts.risk.gate import RiskGate
from qts.risk.rejects import Rejects
from qts.runtime.caching.session_cache import SessionCache
from qts.runtime.checks.price_bands import PriceBands
from qts.runtime.control.kill_switch import KillSwitch
from qts.runtime.metrics.account_metrics import MetricsSource
from qts.runtime.metrics.extremes import Extremes
from qts.runtime.metrics.state_basis import StateBasis
from qts.runtime.metrics.volatility import VolatilitySource
from qts.runtime.persistence.server_copies import ServerCopies
from qts.runtime.persistence.store_writer import StoreWriter
from qts.runtime.recording.recording_view import RecordingView
from qts.runtime.session.trading_day import TradingDay
from qts.runtime.steps.contracts import NOT_RECORDED, Steps
from qts.safety.scoped_stops import ScopedStops
from qts.safety.state import SafetyStateManager
from qts.state.operating_state import OperatingStateManager


def _not_recorded() -> RecordingView | None:
    return None


@dataclass(slots=True)
class SharedComponents:
    """Prices, money, orders, both states, counts of the day and the store's writer.

    Only the kernel assigns ``config`` and ``gate``, when the configuration is reloaded, and the session ``kill``
    and ``recording``.
    """

    config: QtsConfig
    clock: Clock
    feed: Feed | LiveFeed
    calendar: Calendar
    last: LastValues
    session_infos: SessionInfos
    """What the broker says of instruments beside their prices."""
    base_prices: dict[str, Decimal]
    price_bands: PriceBands
    account: Account
    worth: KeptValues
    orders: WorkingOrders
    safety: SafetyStateManager
    state: OperatingStateManager
    gate: RiskGate
    metrics: MetricsSource
    volatility: VolatilitySource
    basis: StateBasis
    day: TradingDay
    record: StoreWriter
    servers: ServerCopies
    """The copies of the book on servers; without one it does nothing."""
    cache: SessionCache
    """The cache that the session is made known in; without one it does nothing."""
    extremes: Extremes
    protective: ProtectiveRequests
    """The exits that rules and operators require, by (strategy, symbol)."""
    stops: ScopedStops
    """Strategies, symbols and pools that an operator has stopped."""
    kill: KillSwitch
    """The stop that waits to be carried out; in real time the one that signals press."""
    rejects: Rejects
    """Symbols whose orders the broker has rejected."""
    steps: Steps = NOT_RECORDED
    """What the session takes from outside, step by step."""
    recording: Callable[[], RecordingView | None] = _not_recorded
    """Returns what became of the values that are recorded on a server; None: none are."""

    def equity(self) -> Decimal:
        """Return cash plus holdings at the last price, in the account's currency."""
        return self.worth.equity()

    def trade_date(self, ts_ns: int) -> str:
        """Return the market's own date (ISO) of a moment."""
        return self.calendar.local_date(from_ns(ts_ns)).isoformat()

    def measure(self, value: MarketValue) -> None:
        """Pass an index or volatility level to the metrics of the operating state; ignore other values."""
        if isinstance(value, IndexLevel):
            self.metrics.on_index(value)
        elif isinstance(value, VolatilityLevel):
            self.volatility.on_level(value)
