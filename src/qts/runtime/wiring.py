"""Which concrete component stands where: the parts one session shares, and its decision path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from qts.broker.contracts import Broker, MarketDriven
from qts.broker.sim.config import SimConfig
from qts.broker.sim.exchange import SimExchange
from qts.capital.targets import opening_weights
from qts.clock import NS_PER_MS, Clock, from_ns
from qts.config.runtime_config import FreshnessConfig
from qts.config.tree import QtsConfig
from qts.db.session import SessionStore
from qts.errors import InputError, StateError
from qts.event.contracts import EventPriority, EventType, Lane
from qts.event.dispatcher import EventDispatcher
from qts.event.handlers import Callback, CallbackHandler, TypeFilterHandler
from qts.event.monitoring import Report
from qts.execution.contracts import BrokerDisconnect, OrderNews
from qts.execution.working import WorkingOrders
from qts.ids import CounterIds, IdSource, seeded
from qts.ledger.account import Account
from qts.market.contracts import (
    Calendar,
    Feed,
    LiveFeed,
    MarketSource,
)
from qts.market.last_values import LastValues
from qts.pipeline.act import Act
from qts.pipeline.decide import Decide
from qts.pipeline.evaluate import Evaluate
from qts.pipeline.extract import Extract
from qts.pipeline.runner import Pipeline
from qts.pipeline.sending import OrderSender
from qts.pipeline.transform import Transform
from qts.risk.contracts import OrderRequest
from qts.risk.gate import RiskGate
from qts.risk.rejects import Rejects
from qts.runtime.account_metrics import AccountMetrics, MetricsSource
from qts.runtime.day import TradingDay
from qts.runtime.duties import pool_targets
from qts.runtime.extremes import Extremes
from qts.runtime.index_metrics import IndexMetrics
from qts.runtime.kill_switch import KillSwitch
from qts.runtime.order_sender import InlineSender, TaskSender
from qts.runtime.parts import Parts
from qts.runtime.price_bands import PriceBands
from qts.runtime.seat import OnFault, OnIntent, Seat
from qts.runtime.state_basis import StateBasis
from qts.runtime.store_writer import GroupCommitWriter, InlineWriter, StoreWriter
from qts.runtime.strategy_host import OnOther, StrategyHost
from qts.runtime.volatility import VolatilitySource, volatility_source
from qts.runtime.worker_seat import OnRunning, WorkerSeat
from qts.safety.scoped_stops import ScopedStops
from qts.safety.state import SafetyStateManager
from qts.state.course import TARGET_CAGR
from qts.state.operating_state import OperatingStateManager
from qts.strategy.contracts import Strategy
from qts.strategy.unmade import Unmade

_P0, _P1, _P2, _P3 = EventPriority
P1_FOR_STRATEGIES = (
    EventType.ORDERBOOK_UPDATE,
    EventType.VOLUME_UPDATE,
    EventType.INDEX_UPDATE,
    EventType.VIX_UPDATE,
)  # no strategy hears of single trades
P1_FOR_WORKERS = (EventType.ORDERBOOK_UPDATE, EventType.VOLUME_UPDATE)
P0_NEWS = (
    EventType.FILL_CONFIRMED,
    EventType.FILL_PARTIAL,
    EventType.ORDER_CANCELLED,
    EventType.ORDER_REJECTED,
    EventType.BROKER_DISCONNECT,
)


class NewsRelay:
    """Passes on what a broker publishes; made before the broker, connected to who listens after it. Any thread."""

    def __init__(self) -> None:
        self._listener: Callable[[OrderNews | BrokerDisconnect], None] | None = None

    def connect(self, listener: Callable[[OrderNews | BrokerDisconnect], None]) -> None:
        """Have ``listener`` called with all news from now on. Called once."""
        self._listener = listener

    def __call__(self, news: OrderNews | BrokerDisconnect) -> None:
        """Pass on ``news``. Raises StateError before anybody listens: a lost fill is worse than a loud end."""
        if self._listener is None:
            raise StateError(f"the broker published {news} before the session listened")
        self._listener(news)


class BrokerConnection(NamedTuple):
    """The broker of a session, what drives it if it is simulated, and how both meet the rest.

    A simulated ``venue`` matches against ``last_values``, which the session keeps. ``news`` is what the broker
    publishes to.
    """

    broker: Broker
    venue: MarketDriven
    last_values: LastValues
    news: NewsRelay


def simulated_broker(config: SimConfig, feed: MarketSource, clock: Clock, seed: int) -> BrokerConnection:
    """Make the simulated exchange of what ``feed`` trades. Raises ConfigError for a ``config`` at odds."""
    last_values, news = LastValues(), NewsRelay()
    exchange = SimExchange(
        last_values=last_values,
        instruments=feed.instruments,
        clock=clock,
        publish=news,
        on_disconnect=news,
        rng=seeded(seed, "exchange"),
        config=config,
    )
    return BrokerConnection(exchange, exchange, last_values, news)


def make_parts(
    config: QtsConfig,
    config_hash: str,
    feed: Feed | LiveFeed,
    store: SessionStore,
    clock: Clock,
    last: LastValues,
    *,
    judged_by_index: bool,
    inline: bool,
    approval_ids: IdSource,
) -> Parts:
    """The parts of a fresh session at ``clock``'s moment; ``inline``: nothing goes on beside the session."""
    instrument = next(iter(feed.instruments.values()))
    state = OperatingStateManager(config.state, clock=clock)
    properties = config.state.table
    calendar = instrument.calendar
    account = Account(
        opening=config.runtime.equity_start,
        quantum=instrument.quantum,
        split=opening_weights(config.capital, pool_targets(properties[state.current_state])),
        remainder=config.capital.remainder,
        trade_date=lambda ns: calendar.local_date(from_ns(ns)).isoformat(),
    )
    day = TradingDay(config.runtime.equity_start)
    orders, volatility = WorkingOrders(), volatility_source(declared=feed.declares_volatility)
    extremes = Extremes(account, last, clock.time_ns())
    base_prices: dict[str, Decimal] = {}
    return Parts(
        config=config,
        clock=clock,
        feed=feed,
        calendar=instrument.calendar,
        last=last,
        base_prices=base_prices,
        price_bands=PriceBands(feed.instruments, base_prices),
        account=account,
        orders=orders,
        safety=SafetyStateManager(config.safety, clock=clock),
        state=state,
        gate=RiskGate(config.risk, properties, config_hash, approval_ids),
        metrics=_metrics(account, last, day, extremes, orders, state, volatility, judged_by_index=judged_by_index),
        volatility=volatility,
        basis=StateBasis(judged_by="index" if judged_by_index else "account"),
        day=day,
        record=InlineWriter(store) if inline else GroupCommitWriter(store),
        extremes=extremes,
        leaving={},
        stops=ScopedStops(),
        kill=KillSwitch(),
        rejects=Rejects(),
    )


def make_pipeline(
    parts: Parts,
    sender: OrderSender,
    ids: Mapping[str, CounterIds],
    on_sent: Callable[[OrderRequest], None],
    *,
    stores_pending: bool,
) -> Pipeline:
    """The decision path over ``parts``, with the configuration and the gate they hold now.

    ``ids``: "o" those of orders, "a" those that the gate gives its approvals.
    """
    properties = parts.config.state.table
    return Pipeline(
        Extract(
            clock=parts.clock,
            feed=parts.feed,
            last_values=parts.last,
            base_prices=parts.base_prices,
            safety=parts.safety,
            state=parts.state,
            max_age_ns=lambda: max_age_ns(parts.feed, parts.config.runtime.freshness),
        ),
        Transform(
            account=parts.account,
            orders=parts.orders,
            last_values=parts.last,
            gate=parts.gate,
            day=parts.day,
            locked_pools={},
            leaving=parts.leaving,
            stops=parts.stops,
            in_doubt=parts.price_bands.in_doubt,
            order_ids=ids["o"],
            rejects=parts.rejects,
            config=parts.config.pipeline,
        ),
        Evaluate(properties),
        Decide(parts.gate),
        Act(
            account=parts.account,
            orders=parts.orders,
            sender=sender,
            clock=parts.clock,
            log=parts.record,
            may_enter=lambda: parts.safety.is_trading_allowed and not parts.kill.is_pressed(),
            on_sent=on_sent,
            stores_pending=stores_pending,
        ),
        (ids["o"], ids["a"]),
    )


def make_sender(connection: BrokerConnection, record: StoreWriter, *, inline: bool) -> InlineSender | TaskSender:
    """Make what sends to the broker: ``inline``, or where a simulated venue answers at once, without tasks."""
    if inline or connection.venue.is_simulated:
        return InlineSender(connection.broker)
    return TaskSender(connection.broker, record.give_up)


def make_host(
    parts: Parts,
    strategies: Sequence[Strategy],
    specs: Sequence[str],
    *,
    apart: bool,
    on_intent: OnIntent,
    on_other: OnOther,
    on_fault: OnFault,
    on_running: OnRunning,
) -> StrategyHost:
    """Every strategy on its seat; ``apart``: each in a process of its own, made there from its spec if it has one.

    Raises InputError when there may not be so many processes or when another process cannot make a strategy.
    """
    seats = [
        Seat(
            one,
            clock=parts.clock,
            account=parts.account,
            orders=parts.orders,
            state=parts.state,
            most_intents=parts.config.runtime.intents_per_call,
        )
        for one in strategies
    ]
    limit = parts.config.event.max_worker_processes
    if apart and len(seats) > limit:
        raise InputError(
            f"runtime.strategy_lane is process and there are {len(seats)} strategies, but "
            f"event.max_worker_processes is {limit}: raise it, or let them run on the loop"
        )
    away = [
        WorkerSeat(seat, spec, on_intent=on_intent, on_fault=on_fault, on_running=on_running)
        for seat, spec in zip(seats if apart else (), specs or [""] * len(seats), strict=False)
        if not isinstance(seat.strategy, Unmade)
    ]
    return StrategyHost(seats, away=away, on_intent=on_intent, on_other=on_other, on_fault=on_fault)


def register_handlers(
    dispatcher: EventDispatcher,
    *,
    news: Callback,
    stop: Callback,
    market: Callback,
    signal: Callback,
    evaluate: Callback,
    log: Callback,
    away: Iterable[WorkerSeat],
) -> None:
    """Who hears what. All but strategies ``away`` are short and run on the loop; the log only fills a buffer."""
    register = dispatcher.register_handler
    register(_P0, TypeFilterHandler(CallbackHandler(news, "order desk"), P0_NEWS))
    register(_P0, TypeFilterHandler(CallbackHandler(stop, "emergency stop"), (EventType.EMERGENCY_STOP,)))
    register(_P1, TypeFilterHandler(CallbackHandler(market, "strategies"), P1_FOR_STRATEGIES))
    register(_P2, TypeFilterHandler(CallbackHandler(signal, "decision path"), (EventType.SIGNAL_GENERATED,)))
    register(_P2, TypeFilterHandler(CallbackHandler(evaluate, "operating state"), (EventType.RISK_EVALUATE,)))
    register(_P3, TypeFilterHandler(CallbackHandler(log, "session log"), (EventType.LOG_WRITE,)))
    for seat in away:
        register(_P1, TypeFilterHandler(seat, P1_FOR_WORKERS), lane=Lane.PROCESS)


def reports_to(told: Callable[[Report], None], record: StoreWriter) -> Callable[[Report], None]:
    """Pass on what the dispatcher reports; a slice that failed may have lost an event, so it is the last."""

    def report(report: Report) -> None:
        if report.kind == "slice":
            record.give_up("a slice of the dispatcher", StateError(report.detail))
        told(report)

    return report


def first_session_day(calendar: Calendar, clock: Clock) -> date:
    """The day of the first session at or after the clock's moment."""
    opening = calendar.next_open(clock.now())
    return calendar.local_date(clock.now() if opening is None else opening)


def moves_itself(ns: int) -> None:
    """In the place of setting the clock, where real time does."""


_SPEC = FreshnessConfig()


def max_age_ns(feed: MarketSource, freshness: FreshnessConfig) -> int:
    """The configured age limit of the feed's kind; a feed names its kind by its own limit."""
    for name in FreshnessConfig.__struct_fields__:
        if feed.max_age_ns == getattr(_SPEC, name) * NS_PER_MS:
            return int(getattr(freshness, name)) * NS_PER_MS
    return feed.max_age_ns


def _metrics(
    account: Account,
    last: LastValues,
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
        equity=lambda: account.equity(last.mark),
        highest=lambda: extremes.noted.highest.amount,
        day_open=lambda: day.open_equity,
        marks_ns=lambda: last.feed_ts_ns,
        volatility=volatility,
        is_flat=lambda: not account.positions() and not any(orders),
        may_enter=lambda: state.properties.new_entry_enabled,
        flat_rebase_days=lambda: state.config.flat_rebase_days,
    )
