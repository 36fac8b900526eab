"""Which concrete component stands where: the parts one session shares, and its decision path."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial
from typing import NamedTuple

from qts.broker.contracts import Broker, MarketDriven
from qts.broker.sim.config import SimConfig
from qts.broker.sim.exchange import SimExchange
from qts.capital.contracts import Pool
from qts.capital.targets import opening_weights
from qts.clock import NS_PER_MS, Clock, from_ns
from qts.config.runtime_config import FreshnessConfig
from qts.config.tree import QtsConfig
from qts.db.session import SessionStore
from qts.errors import InputError, StateError
from qts.event.contracts import EventPriority, EventType, Lane
from qts.event.dispatcher import EventDispatcher
from qts.event.handlers import Callback, CallbackHandler, TypeFilterHandler
from qts.event.journal import Journal
from qts.event.monitoring import Report
from qts.event.payloads import LogWrite
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
from qts.runtime.auditor import Auditor
from qts.runtime.capital_transfers import CapitalTransfers, pool_targets
from qts.runtime.checkpoint import Checkpoints
from qts.runtime.checkpoint_registry import register_components
from qts.runtime.components import Components
from qts.runtime.day import TradingDay
from qts.runtime.day_cycle import DayCycle
from qts.runtime.decision_path import DecisionPath
from qts.runtime.due_work import DueWork
from qts.runtime.equity_curve import EquityCurve
from qts.runtime.exit_requests import ExitRequests
from qts.runtime.exits import ForcedExits
from qts.runtime.extremes import Extremes
from qts.runtime.index_metrics import IndexMetrics
from qts.runtime.intake import Intake
from qts.runtime.invariants import MONEY_INVARIANTS, Invariants
from qts.runtime.kill_switch import KillSwitch
from qts.runtime.listeners import Listeners
from qts.runtime.market_input import MarketInput
from qts.runtime.news_relay import NewsRelay
from qts.runtime.order_desk import OrderDesk
from qts.runtime.order_sender import InlineSender, TaskSender
from qts.runtime.parts import Parts
from qts.runtime.price_bands import PriceBands
from qts.runtime.recovery import Recovery, RewindAndReplay, RollForward
from qts.runtime.reject_watch import RejectWatch
from qts.runtime.risk_monitor import RiskMonitor
from qts.runtime.schedule import Schedule
from qts.runtime.seat import OnFault, OnIntent, Seat
from qts.runtime.session_events import (
    Codes,
    ExitWakeUp,
    OrderCounts,
    OrderLog,
    OrderNewsInput,
    OtherValues,
    SafetyConsequences,
    StateHistory,
    StateWakeUp,
    StrategyFaults,
)
from qts.runtime.session_log import Notices
from qts.runtime.signals import Signals
from qts.runtime.state_basis import StateBasis
from qts.runtime.state_evaluation import StateEvaluation
from qts.runtime.stops import Stops
from qts.runtime.store_writer import GroupCommitWriter, InlineWriter, StoreWriter
from qts.runtime.strategy_host import OnOther, StrategyHost
from qts.runtime.tally import Tally
from qts.runtime.trades import Trades
from qts.runtime.unresolved import UnresolvedOrders
from qts.runtime.volatility import VolatilitySource, volatility_source
from qts.runtime.worker_seat import OnRunning, WorkerSeat
from qts.safety.scoped_stops import ScopedStops
from qts.safety.state import SafetyStateManager
from qts.state.course import TARGET_CAGR
from qts.state.operating_state import OperatingStateManager
from qts.strategy.contracts import Strategy
from qts.strategy.unmade import Unmade

Publish = Callable[[EventType, LogWrite, str], object]
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


def make_components(
    *,
    run_id: str,
    seed: int,
    config: QtsConfig,
    config_hash: str,
    feed: Feed | LiveFeed,
    connection: BrokerConnection,
    strategies: Sequence[Strategy],
    store: SessionStore,
    clock: Clock,
    log: Callable[[LogWrite], None],
    judged_by_index: bool,
    inline: bool,
    flush_log: Callable[[], None] = lambda: None,
    journal: Journal | None = None,
    specs: Sequence[str] = (),
    on_strategy_error: Callable[[str], None] = lambda told: None,
) -> Components:
    """Make and connect everything of one session.

    ``inline``: on the virtual clock. ``journal`` None: P0 events are not kept. ``specs``: where each strategy comes
    from, so that a process can make it anew. ``on_strategy_error`` gets what a strategy has raised, "" when that is
    on the record already. Raises InputError when there may not be so many processes.
    """
    base = _make_base(
        {kind: CounterIds(f"{run_id[:8]}-{kind}") for kind in ("o", "d", "a", "t", "e")},
        config,
        config_hash,
        feed,
        store,
        clock,
        connection.last_values,
        seed=seed,
        judged_by_index=judged_by_index,
        inline=inline,
        journal=journal,
        notices=lambda publish: Notices(log, flush_log, publish, clock),
    )
    components = _make_components(
        base,
        connection,
        strategies,
        specs,
        apart=config.runtime.strategy_lane == "process" and not inline,
        on_strategy_error=on_strategy_error,
    )
    return _connected(components, log)


@dataclass(slots=True, frozen=True)
class _Base:
    """What everything else is made with."""

    parts: Parts
    inline: bool
    journal: Journal | None
    store: SessionStore
    ids: Mapping[str, CounterIds]
    tally: Tally
    due: DueWork
    codes: Codes
    invariants: Invariants
    notices: Notices
    dispatcher: EventDispatcher


def _make_base(
    ids: Mapping[str, CounterIds],
    config: QtsConfig,
    config_hash: str,
    feed: Feed | LiveFeed,
    store: SessionStore,
    clock: Clock,
    last: LastValues,
    *,
    seed: int,
    judged_by_index: bool,
    inline: bool,
    journal: Journal | None,
    notices: Callable[[Publish], Notices],
) -> _Base:
    parts = make_parts(
        config,
        config_hash,
        feed,
        store,
        clock,
        last,
        judged_by_index=judged_by_index,
        inline=inline,
        approval_ids=ids["a"],
    )
    tally = Tally(first_session_day(parts.calendar, clock).isoformat())
    due = DueWork(config.runtime, clock.time_ns())
    codes = Codes(parts.safety, tally, due, journal)
    said = notices(lambda *told: dispatcher.publish(*told))
    dispatcher = EventDispatcher(
        config.event,
        clock=clock,
        ids=ids["e"],
        rng=seeded(seed, "dispatcher"),
        inline=inline,
        on_code=codes.report,
        on_alert=None if inline else said.alert,  # on the virtual clock nothing may depend on real time
        on_report=None if inline else reports_to(said.report, parts.record),
        journal=journal,
    )
    invariants = Invariants(breach_reporter(codes.report))
    return _Base(parts, inline, journal, store, ids, tally, due, codes, invariants, said, dispatcher)


def _make_components(
    base: _Base,
    connection: BrokerConnection,
    strategies: Sequence[Strategy],
    specs: Sequence[str],
    *,
    apart: bool,
    on_strategy_error: Callable[[str], None],
) -> Components:
    p, due, ids = base.parts, base.due, base.ids
    report, say, publish = base.codes.report, base.notices.say, base.dispatcher.publish
    broker, venue, _, news = connection
    listeners, checkpoints = Listeners(), Checkpoints()
    pools = {strategy.name: strategy.pool for strategy in strategies}
    signals = Signals(p, pools=pools, decision_ids=ids["d"], tally=base.tally, publish=publish)
    rejects = RejectWatch(p, report, say)
    sender = make_sender(connection, p.record, inline=base.inline)
    stages = partial(make_pipeline, p, sender, ids, listeners.on_sent, stores_pending=not venue.is_simulated)
    decisions = DecisionPath(
        stages,
        p,
        rejects=rejects,
        codes=base.codes,
        tally=base.tally,
        due=due,
        answered=lambda order, now_ns: exits.answered(order, now_ns),
    )
    unresolved = UnresolvedOrders(account=p.account, orders=p.orders, broker=broker, record=p.record)
    exits = ForcedExits(
        account=p.account,
        orders=p.orders,
        sender=sender,
        make_signal=signals.forced,
        run=decisions.decide,
        withdraw=unresolved.withdraw,
        wanted=p.leaving,
        retry_s=p.config.pipeline.forced_exit_retry_s,
    )
    exit_requests = ExitRequests(p, exits, strategies)
    faults = StrategyFaults(
        clock=p.clock,
        due=due,
        codes=base.codes,
        want_out=exit_requests.want_out,
        on_error=on_strategy_error,
        log=say,
    )
    host = make_host(
        p,
        strategies,
        specs,
        apart=apart,
        on_intent=signals.on_intent,
        on_other=OtherValues(p, base.tally).on_value,
        on_fault=faults.on_fault,
        on_running=lambda name, pid: say("INFO", f"strategy {name} runs in process {pid}"),
    )
    intake = Intake(p.last, p.extremes, venue, p.clock, p.price_bands, report)
    monitor = RiskMonitor(p, on_code=report, books_agree=base.invariants.books_agree)
    capital, curve = CapitalTransfers(p, transfer_ids=ids["t"], log=say), EquityCurve(p)
    return Components(
        **{name: getattr(base, name) for name in _Base.__slots__},
        listeners=listeners,
        broker=broker,
        venue=venue,
        news=news,
        sender=sender,
        intake=intake,
        market=MarketInput(intake, publish),
        signals=signals,
        rejects=rejects,
        decisions=decisions,
        host=host,
        desk=_make_desk(base, host, listeners),
        trades=Trades(p.metrics, base.tally),
        unresolved=unresolved,
        exits=exits,
        exit_requests=exit_requests,
        monitor=monitor,
        capital=capital,
        curve=curve,
        days=DayCycle(p, monitor=monitor, capital=capital, curve=curve, collect=partial(gc.collect, 1)),
        evaluation=StateEvaluation(p, base.tally, say),
        stops=_make_stops(base, exits, exit_requests, pools),
        auditor=Auditor(p, broker, base.dispatcher, base.invariants, base.store, lambda: capital.targets, report),
        schedule=Schedule(p.calendar, p.config.runtime.evaluation_hours, p.clock.now()),
        checkpoints=checkpoints,
        recovery=_make_recovery(base, connection, checkpoints),
    )


def _make_recovery(base: _Base, connection: BrokerConnection, checkpoints: Checkpoints) -> Recovery:
    """Make the way in which a session goes on: a simulated venue is rewound, a real one is asked what it did."""
    if connection.venue.is_simulated:
        return RewindAndReplay(base.parts, checkpoints)
    return RollForward(
        base.parts,
        checkpoints,
        base.ids,
        connection.broker,
        on_news=connection.news,
        on_code=base.codes.report,
        on_foreign=lambda told: base.notices.say("WARNING", told),
    )


def _make_desk(base: _Base, host: StrategyHost, listeners: Listeners) -> OrderDesk:
    return OrderDesk(
        base.parts,
        host=host,
        on_code=base.codes.report,
        on_kept=base.due.audit_soon,
        on_applied=listeners.on_fill,
        on_ended=listeners.on_ended,
        log=base.notices.say,
    )


def _make_stops(base: _Base, exits: ForcedExits, requests: ExitRequests, pools: Mapping[str, Pool]) -> Stops:
    return Stops(
        base.parts,
        exits=exits,
        pools=pools,
        symbols=base.parts.feed.instruments,
        on_code=base.codes.report,
        publish=base.dispatcher.publish,
        want_all_out=partial(requests.want_all_out, ordered=True),
        on_carried_out=base.due.checkpoint_soon,
    )


def _connected(c: Components, log: Callable[[LogWrite], None]) -> Components:
    """Register who listens to whom. The order of listeners is the order in which they are told."""
    p, say = c.parts, c.notices.say
    counts = OrderCounts(c.tally, p.day, p.extremes, p.clock)
    wake_up, order_log = ExitWakeUp(c.exits, p.leaving, c.due), OrderLog(say)
    c.listeners.fills = (counts, c.trades, c.stops, c.rejects, c.auditor, wake_up, order_log)
    c.listeners.orders = (counts, c.auditor, c.trades, c.rejects, wake_up, order_log)
    c.listeners.states = (
        StateHistory(p, c.tally, say),
        SafetyConsequences(c.dispatcher, p.state, lambda: p.config),
        c.auditor,
        StateWakeUp(c.capital, c.exit_requests, c.due, say),
    )
    p.safety.add_listener(c.listeners.on_safety)
    p.state.add_listener(c.listeners.on_state)
    c.news.connect(OrderNewsInput(c.desk, c.due, c.dispatcher.publish, c.broker.name).on_news)
    register_components(c)
    register_handlers(
        c.dispatcher,
        news=c.desk.on_event,
        stop=c.stops.on_event,
        market=c.host.on_market_event,
        signal=c.decisions.on_signal,
        evaluate=c.evaluation.on_event,
        log=lambda event: log(event.payload),
        away=c.host.away.values(),
    )
    return c


def breach_reporter(report: Callable[[str, str], None]) -> Callable[[int, str, bool], None]:
    """Return what makes a code of a broken invariant: money made from nothing, or one broken again, locks down."""

    def on_breach(number: int, detail: str, again: bool) -> None:
        code = "FS104" if again or number in MONEY_INVARIANTS else "FS070"
        report(code, f"invariant {number}: {detail}")

    return on_breach


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
