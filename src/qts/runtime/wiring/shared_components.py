"""Makes the components that most others use: account, orders, both states, gate, metrics."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from qts.capital.targets import opening_weights
from qts.clock import NS_PER_MS, Clock, from_ns
from qts.config.runtime_config import FreshnessConfig
from qts.config.tree import QtsConfig
from qts.db.session import SessionStore
from qts.execution.protective.requests import ProtectiveRequests
from qts.execution.working import WorkingOrders
from qts.ids import IdSource
from qts.ledger.account import Account
from qts.ledger.kept_values import KeptValues
from qts.market.contracts import (
    Calendar,
    Feed,
    LiveFeed,
    MarketSource,
)
from qts.market.last_values import LastValues
from qts.market.session_info import SessionInfos, tells_session_info
from qts.risk.gate import RiskGate
from qts.risk.rejects import Rejects
from qts.runtime.caching.session_cache import SessionCache
from qts.runtime.checks.price_bands import PriceBands
from qts.runtime.control.kill_switch import KillSwitch
from qts.runtime.metrics.account_metrics import AccountMetrics, MetricsSource
from qts.runtime.metrics.extremes import Extremes
from qts.runtime.metrics.index_metrics import IndexMetrics
from qts.runtime.metrics.state_basis import StateBasis
from qts.runtime.metrics.volatility import VolatilitySource, volatility_source
from qts.runtime.persistence.server_copies import ServerCopies
from qts.runtime.persistence.store_writer import GroupCommitWriter, InlineWriter
from qts.runtime.session.capital_transfers import pool_targets
from qts.runtime.session.trading_day import TradingDay
from qts.runtime.shared_components import SharedComponents
from qts.runtime.steps.contracts import Steps
from qts.runtime.steps.wrapping import stepped_writer
from qts.safety.scoped_stops import ScopedStops
from qts.safety.state import SafetyStateManager
from qts.state.index_performance import TARGET_CAGR
from qts.state.operating_state import OperatingStateManager


def make_shared_components(
    config: QtsConfig,
    config_hash: str,
    feed: Feed | LiveFeed,
    store: SessionStore,
    clock: Clock,
    last: LastValues,
    *,
    judged_by_index: bool,
    groups_records: bool,
    approval_ids: IdSource,
    servers: ServerCopies,
    cache: SessionCache,
    offers_intents: bool,
    steps: Steps,
) -> SharedComponents:
    """Make the shared components of a fresh session at ``clock``'s moment.

    ``groups_records``: intents and fills may wait for a checkpoint of many records, because the venue and the clock
    are taken back to it with the store. ``servers``: the copies of the book on servers, ``cache``: what the session
    is made known in; with ``offers_intents`` an intent is written so that followers are shown it at once.
    ``steps``: what the session takes from outside.
    """
    instrument = next(iter(feed.instruments.values()))
    state = OperatingStateManager(config.state, clock=clock)
    properties = config.state.table
    calendar = instrument.calendar
    account = Account(
        opening=config.runtime.equity_start,
        quantum=instrument.quantum,
        split=opening_weights(config.capital, pool_targets(config.capital, properties[state.current_state])),
        remainder=config.capital.remainder,
        name=config.runtime.account,
        trade_date=lambda ns: calendar.local_date(from_ns(ns)).isoformat(),
    )
    account.read_past_with(store.past())
    day = TradingDay(config.runtime.equity_start)
    orders, volatility = WorkingOrders(past=store.past()), volatility_source(declared=feed.declares_volatility)
    worth = KeptValues(account, last)
    extremes = Extremes(worth, clock.time_ns())
    base_prices: dict[str, Decimal] = {}
    return SharedComponents(
        config=config,
        clock=clock,
        feed=feed,
        calendar=instrument.calendar,
        last=last,
        session_infos=SessionInfos(is_told=tells_session_info(feed)),
        base_prices=base_prices,
        price_bands=PriceBands(feed.instruments, base_prices),
        account=account,
        worth=worth,
        orders=orders,
        safety=SafetyStateManager(config.safety, clock=clock),
        state=state,
        gate=RiskGate(config.risk, properties, config_hash, approval_ids),
        metrics=_metrics(worth, day, extremes, orders, state, volatility, judged_by_index=judged_by_index),
        volatility=volatility,
        basis=StateBasis(judged_by="index" if judged_by_index else "account"),
        day=day,
        record=stepped_writer(
            steps,
            InlineWriter(store) if groups_records else GroupCommitWriter(store, offers_intents=offers_intents),
        ),
        steps=steps,
        servers=servers,
        cache=cache,
        extremes=extremes,
        protective=ProtectiveRequests(),
        stops=ScopedStops(),
        kill=KillSwitch(),
        rejects=Rejects(),
    )


def first_session_day(calendar: Calendar, clock: Clock) -> date:
    """Return the day of the first session at or after the clock's moment."""
    opening = calendar.next_open(clock.now())
    return calendar.local_date(clock.now() if opening is None else opening)


_DEFAULTS = FreshnessConfig()


def max_age_ns(feed: MarketSource, freshness: FreshnessConfig) -> int:
    """Return the configured age limit, ns, of the feed's kind, which is known by the default limit it declares."""
    for name in FreshnessConfig.__struct_fields__:
        if feed.max_age_ns == getattr(_DEFAULTS, name) * NS_PER_MS:
            return int(getattr(freshness, name)) * NS_PER_MS
    return feed.max_age_ns


def _metrics(
    worth: KeptValues,
    day: TradingDay,
    extremes: Extremes,
    orders: WorkingOrders,
    state: OperatingStateManager,
    volatility: VolatilitySource,
    *,
    judged_by_index: bool,
) -> MetricsSource:
    if judged_by_index:
        return IndexMetrics(target_cagr=TARGET_CAGR, volatility=volatility)
    return AccountMetrics(
        target_cagr=TARGET_CAGR,
        equity=worth.equity,
        highest=lambda: extremes.values.highest.amount,
        day_open=lambda: day.open_equity,
        marks_ns=lambda: worth.last.feed_ts_ns,
        volatility=volatility,
        is_flat=lambda: not worth.has_positions() and not len(orders),
        may_enter=lambda: state.properties.new_entry_enabled,
        flat_rebase_days=lambda: state.config.flat_rebase_days,
    )
