"""Makes and connects everything of one session."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from qts.broker.contracts import MarketDriven
from qts.capital.contracts import Pool
from qts.clock import Clock
from qts.config.tree import QtsConfig
from qts.db.session import SessionStore
from qts.event.contracts import EventPriority, EventType
from qts.event.dispatcher import EventDispatcher
from qts.event.gc_control import collect_when_worth
from qts.event.journal import Journal
from qts.event.payloads import LogWrite
from qts.execution.contracts import Order, VenueRef
from qts.execution.working import FINAL_STATES
from qts.ids import CounterIds, id_prefixes, seeded
from qts.ledger.contracts import ActionRow
from qts.market.actions import CorporateAction, Split, actions_of
from qts.market.contracts import (
    Feed,
    LiveFeed,
)
from qts.market.last_values import LastValues
from qts.market.series.history import RowHistory
from qts.market.series.intervals import DAY
from qts.risk.contracts import OrderRequest
from qts.runtime.caching.session_cache import SessionCache
from qts.runtime.checks.auditor import Auditor
from qts.runtime.checks.clock_check import ClockWatch
from qts.runtime.checks.invariants import Invariants
from qts.runtime.checks.risk_monitor import RiskMonitor
from qts.runtime.components import Components
from qts.runtime.control.flattens import Flattens
from qts.runtime.control.stops import Stops
from qts.runtime.due_work import DueWork
from qts.runtime.intake import Intake
from qts.runtime.listeners import Listeners
from qts.runtime.market_input import MarketInput
from qts.runtime.orders.closed_trades import ClosedTrades
from qts.runtime.orders.decision_path import DecisionPath
from qts.runtime.orders.execution_reports import ExecutionReportHandler
from qts.runtime.orders.execution_volumes import measured_profile, traded_since
from qts.runtime.orders.executions import Executions, ExitsOfExecutions
from qts.runtime.orders.exit_requests import ExitRequests
from qts.runtime.orders.missed_facts import MissedFacts
from qts.runtime.orders.numbered_reports import NO_QUESTION, NumberedReports, Question
from qts.runtime.orders.order_endings import OrderEndings
from qts.runtime.orders.order_news import StrategyNews
from qts.runtime.orders.position_triggers import PositionTriggers
from qts.runtime.orders.protective_orders import ProtectiveOrders
from qts.runtime.orders.reconciliation import OrderReconciler
from qts.runtime.orders.reject_watch import RejectWatch
from qts.runtime.orders.signals import Signals
from qts.runtime.orders.strategy_watch import StrategyWatch
from qts.runtime.orders.targets import Targets
from qts.runtime.persistence.checkpoint import Checkpoints
from qts.runtime.persistence.checkpoint_registry import OPTIONAL, register_components
from qts.runtime.persistence.recovery import Recovery, RewindAndReplay, RollForward
from qts.runtime.persistence.server_copies import ServerCopies
from qts.runtime.persistence.session_log import LogPosition, Notices
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
from qts.runtime.session_events import (
    Codes,
    ExecutionReportInput,
    ExitWakeUp,
    IndexInput,
    OrderCounts,
    OrderLog,
    SafetyConsequences,
    StateHistory,
    StateWakeUp,
    StrategyFaults,
)
from qts.runtime.shared_components import SharedComponents
from qts.runtime.steps.contracts import BREAK, NOT_RECORDED, REPORT, Steps
from qts.runtime.strategies.context import OnIntent
from qts.runtime.strategies.observer import StrategyObserver
from qts.runtime.strategies.price_view import PriceView
from qts.runtime.strategies.strategy_host import StrategyHost
from qts.runtime.wiring.brokers import BrokerConnection, make_gateway
from qts.runtime.wiring.decisions import make_pipeline
from qts.runtime.wiring.handlers import breach_reporter, register_handlers, reports_to
from qts.runtime.wiring.hosts import make_host
from qts.runtime.wiring.limits import make_limits
from qts.runtime.wiring.moments import make_moments
from qts.runtime.wiring.shared_components import first_session_day, make_shared_components
from qts.runtime.wiring.strategy_watch import make_strategy_watch
from qts.strategy.contracts import AnyIntent, Strategy
from qts.strategy.loading import StrategySpec

Publish = Callable[[EventType, LogWrite, str], object]


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
    history: RowHistory | None = None,
    flush_log: Callable[[], None] = lambda: None,
    log_position: Callable[[], LogPosition | None] = lambda: None,
    journal: Journal | None = None,
    specs: Sequence[StrategySpec] = (),
    on_strategy_error: Callable[[str], None] = lambda text: None,
    observer: StrategyObserver | None = None,
    servers: ServerCopies | None = None,
    cache: SessionCache | None = None,
    steps: Steps = NOT_RECORDED,
) -> Components:
    """Make and connect everything of one session.

    ``inline``: on the virtual clock. ``journal`` None: P0 events are not journalled. ``specs``: the file of
    each strategy, so that a process can make it again. ``log_position`` returns the end of the flushed log, where
    it is cut when the session is resumed; None: it is not cut. ``on_strategy_error`` is called with the text of a
    strategy's failure, "" for one reported before. ``observer`` sees calls and intents of strategies; None: none
    does. ``history`` holds the bars of a new session from before its first value; None: there are none.
    ``servers``: the copies of the book on servers; None: there are none. ``cache``: what the session is made known
    in; None: nothing. ``steps``: what the session takes from outside, where that is recorded or repeated. Raises
    InputError when the strategies need too many processes.
    """
    servers = servers or ServerCopies()
    if servers.is_waited_for:
        steps.take(BREAK, "orders_that_wait_for_a_server")
    simulated, real = id_prefixes(run_id)
    prefix = simulated if connection.venue.is_simulated else real
    base = _make_base(
        {kind: CounterIds(f"{prefix}-{kind}") for kind in ("o", "d", "a", "t", "e")},
        config,
        config_hash,
        feed,
        store,
        clock,
        connection.last_values,
        seed=seed,
        judged_by_index=judged_by_index,
        inline=inline,
        groups_records=inline and connection.venue.is_simulated,
        journal=journal,
        notices=lambda publish: Notices(log, flush_log, publish, clock, log_position),
        history=history,
        servers=servers,
        cache=cache or SessionCache(),
        offers_intents=servers.is_waited_for and connection.venue.is_simulated,
        steps=steps,
    )
    components = _make_components(
        base,
        connection,
        strategies,
        specs,
        apart=config.runtime.strategy_lane == "process" and not inline,
        on_strategy_error=on_strategy_error,
        observer=observer,
    )
    return _connected(components, log)


@dataclass(slots=True, frozen=True)
class _Base:
    """The components from which the others are made."""

    shared: SharedComponents
    inline: bool
    journal: Journal | None
    store: SessionStore
    ids: Mapping[str, CounterIds]
    counters: SessionCounters
    due: DueWork
    codes: Codes
    invariants: Invariants
    notices: Notices
    dispatcher: EventDispatcher
    history: RowHistory | None


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
    groups_records: bool,
    journal: Journal | None,
    notices: Callable[[Publish], Notices],
    history: RowHistory | None,
    servers: ServerCopies,
    cache: SessionCache,
    offers_intents: bool,
    steps: Steps,
) -> _Base:
    shared = make_shared_components(
        config,
        config_hash,
        feed,
        store,
        clock,
        last,
        judged_by_index=judged_by_index,
        groups_records=groups_records,
        approval_ids=ids["a"],
        servers=servers,
        cache=cache,
        offers_intents=offers_intents,
        steps=steps,
    )
    counters = SessionCounters(first_session_day(shared.calendar, clock).isoformat())
    due = DueWork(config.runtime, clock.time_ns())
    codes = Codes(shared.safety, counters, due, journal)
    notified = notices(lambda *event: dispatcher.publish(*event))
    dispatcher = EventDispatcher(
        config.event,
        clock=clock,
        ids=ids["e"],
        rng=seeded(seed, "dispatcher"),
        inline=inline,
        on_code=codes.report,
        on_alert=None if inline else notified.alert,  # on the virtual clock nothing may depend on real time
        on_report=None if inline else reports_to(notified.report, shared.record),
        journal=journal,
    )
    invariants = Invariants(breach_reporter(codes.report))
    return _Base(
        shared, inline, journal, store, ids, counters, due, codes, invariants, notified, dispatcher, history
    )


def _make_components(
    base: _Base,
    connection: BrokerConnection,
    strategies: Sequence[Strategy],
    specs: Sequence[StrategySpec],
    *,
    apart: bool,
    on_strategy_error: Callable[[str], None],
    observer: StrategyObserver | None,
) -> Components:
    p, due, ids = base.shared, base.due, base.ids
    report, say, publish = base.codes.report, base.notices.say, base.dispatcher.publish
    venue, report_relay = connection.venue, connection.report_relay
    listeners, checkpoints = Listeners(), Checkpoints(OPTIONAL)
    pools = {strategy.name: p.config.capital.paying_pool(strategy.pool) for strategy in strategies}
    news = StrategyNews(p.clock, lambda: host)
    signals = Signals(
        p,
        pools=pools,
        decision_ids=ids["d"],
        counters=base.counters,
        publish=publish,
        news=news,
        cancel=lambda strategy, cancel: targets.cancel(strategy, cancel),
        lets_ask=lambda strategy: watch is None or watch.lets_ask(strategy),
    )
    watch = make_strategy_watch(
        p,
        pools,
        is_simulated=venue.is_simulated,
        stop=lambda command: stops.begin(command),
        halt=lambda strategy, why: host.halt(strategy, why),
        on_code=report,
        log=say,
    )
    rejects = RejectWatch(p, report, say)
    limits = make_limits(
        p,
        is_simulated=venue.is_simulated,
        daily_bars=lambda symbol, n: host.finished_bars(symbol, DAY, n) if prices is None else (),
        on_met=lambda met, request: due.call_soon(partial(_make_way, p, exits, venue, due, met, request)),
        on_note=partial(say, "WARNING"),
        counted=None if watch is None else watch.counted,
    )
    sender = make_gateway(
        connection,
        p,
        lambda ack: unresolved.adopt(ack, p.clock.time_ns()),
        lambda key, ref: unresolved.note_number(key, ref),
        inline=base.inline,
        limits=limits,
        why_not_part=lambda request: executions.why_not_part(request),
    )
    broker = sender.queries
    stages = partial(
        make_pipeline,
        p,
        sender,
        ids,
        listeners.on_sent,
        stores_pending=not venue.is_simulated,
        abilities=broker.capabilities,
        warming=lambda strategy, symbol: host.lacking(strategy, symbol),
        not_compared=lambda: unresolved.not_compared,
    )
    decisions = DecisionPath(
        stages,
        p,
        rejects=rejects,
        codes=base.codes,
        counters=base.counters,
        due=due,
        on_answer=lambda order, now_ns: on_answer(order, now_ns),
        on_other=lambda signal: targets.decide(signal),
        on_algo=lambda signal: executions.begin(signal),
        news=news,
        log=say,
    )

    def look_again(answered: Question = NO_QUESTION, foreign: Container[VenueRef] = ()) -> bool:
        return execution_reports.look_again(answered, foreign)

    numbers = NumberedReports(
        p.orders,
        lag_ns=broker.capabilities.visibility_lag_ns,
        on_waiting=due.resolve_soon,
        on_full=lambda one, why: execution_reports.keep(one, why),
    )
    unresolved: OrderReconciler = OrderReconciler(
        account=p.account,
        orders=p.orders,
        broker=broker,
        resolving=sender.resolving,
        record=p.record,
        on_report=report_relay.pass_on,
        on_absent=lambda order: on_absent(order),
        warn=partial(say, "WARNING"),
        on_code=report,
        is_settled=lambda: not base.dispatcher.stats.is_busy_with(EventPriority.P0_CRITICAL),
        numbers=numbers,
        look_again=look_again,
        is_simulated=venue.is_simulated,
    )
    exits = ProtectiveOrders(
        account=p.account,
        orders=p.orders,
        sender=sender,
        endings=OrderEndings(p.orders, sender, unresolved.withdraw),
        make_signal=signals.forced,
        run=decisions.decide,
        compare=partial(_compare_again, unresolved, due),
        is_compared=lambda: not unresolved.not_compared,
        on_code=report,
        warn=partial(say, "WARNING"),
        call_soon=due.call_soon,
        requests=p.protective,
        retry_s=p.config.pipeline.forced_exit_retry_s,
        limits_retry_s=p.config.broker.limits.exit_collar_step_s,
    )
    triggers = PositionTriggers(
        p,
        exits,
        venue,
        due,
        fills_at_open=p.config.broker.sim.fill_on == "open",
        exits_in_bars=broker.capabilities.exits_in_bars,
        inline=base.inline,
        log=say,
    )
    targets = Targets(
        p,
        levels=triggers,
        resolve=decisions.resolve,
        run=decisions.run,
        on_refused=decisions.on_refused,
        publish=signals.publish,
        cancel=partial(_cancel, p, exits, venue, due),
        give_up=lambda strategy, symbol, why: executions.give_up(strategy, symbol, why, p.clock.time_ns()),
        counters=base.counters,
    )

    executions = Executions(
        p,
        ExitsOfExecutions(exits, partial(_cancel, p, exits, venue, due)),
        judge=decisions.judge,
        send=decisions.decide,
        on_refused=decisions.on_refused,
        make_signal=signals.part,
        profile=partial(
            measured_profile, lambda symbol, n: host.finished_bars(symbol, "1m", n), lambda: p.config.execution
        ),
        volume=partial(traded_since, lambda symbol, n: host.finished_bars(symbol, "1m", n)),
        on_code=report,
        on_ended=targets.on_executed,
        due=due,
        log=say,
        measures=not venue.is_simulated,
    )
    exits.on_request = executions.on_exit

    def on_answer(order: Order, now_ns: int) -> bool:
        triggers.on_answer(order)
        executions.on_answer(order)
        targets.on_ended(order)
        execution_reports.look_again()
        return exits.on_answer(order, now_ns)

    def on_action(action: CorporateAction, now_ns: int) -> None:
        triggers.on_action(action, now_ns)
        targets.on_action(action, now_ns)
        if isinstance(action, Split):
            p.protective.on_split(action, p.feed.instruments[action.symbol].lot)

    def on_absent(order: Order) -> None:
        news.on_ended(order)
        triggers.on_ended(order)
        targets.on_ended(order)
        executions.on_ended(order)
        if exits.on_answer(order, p.clock.time_ns()):  # one that never left is sold again
            due.pending = True

    exit_requests = ExitRequests(p, exits, strategies)
    faults = StrategyFaults(
        clock=p.clock,
        due=due,
        codes=base.codes,
        liquidate_strategy=exit_requests.liquidate_strategy,
        on_error=on_strategy_error,
        log=say,
    )
    actions = actions_of(p.feed)
    prices = PriceView(p.config.runtime.adjust) if actions else None
    moments = make_moments(p, strategies, due, prices, base.history)
    host: StrategyHost = make_host(
        p,
        strategies,
        specs,
        apart=apart,
        on_intent=signals.on_intent if prices is None else partial(_on_shown_intent, p, prices, signals.on_intent),
        on_other=IndexInput(p, base.counters).on_value,
        on_fault=faults.on_fault,
        on_running=lambda name, pid: say("INFO", f"strategy {name} runs in process {pid}"),
        prices=prices,
        observer=observer,
        timers=None if moments is None else moments.timers,
        log=lambda name, text: due.call_soon(partial(say, "INFO", text, strategy=name)),
    )
    auditor = Auditor(
        p,
        broker,
        base.dispatcher,
        base.invariants,
        base.store,
        lambda: capital.targets,
        report,
        order_prefix=ids["o"].prefix,
        looks_twice=not venue.is_simulated,
        found_within_ns=unresolved.foreign_within_ns,
    )
    corporate_actions = None
    if prices is not None:
        corporate_actions = CorporateActions(
            p,
            venue,
            actions,
            prices,
            counters=base.counters,
            on_row=lambda row: _tell_action(row, auditor, watch),
            on_booking=auditor.on_booking,
            on_action=on_action,
            on_applied=due.checkpoint_soon,
            log=say,
        )
    ex_dates = () if corporate_actions is None else corporate_actions.ex_dates
    intake = Intake(p.last, p.extremes, venue, p.clock, p.price_bands, report, triggers, moments)
    monitor = RiskMonitor(p, on_code=report, books_agree=base.invariants.books_agree)
    capital, curve = CapitalTransfers(p, transfer_ids=ids["t"], log=say), EquityCurve(p)
    execution_reports: ExecutionReportHandler = _make_execution_reports(
        base, host, listeners, news, unresolved, numbers, sender.deliver
    )
    missed = MissedFacts(
        listeners=listeners,
        reports=execution_reports,
        news=news,
        decisions=decisions,
        exits=exits,
        triggers=triggers,
        targets=targets,
        auditor=auditor,
        counted=None if watch is None else watch.counted,
    )
    stops = _make_stops(base, exits, exit_requests, pools, watch)
    return Components(
        **{name: getattr(base, name) for name in _Base.__slots__},
        listeners=listeners,
        broker=broker,
        venue=venue,
        clock_watch=(
            None
            if venue.is_simulated
            else ClockWatch(connection.clock, lambda: p.config.broker.gateway, base.codes.report, p.steps)
        ),
        report_relay=report_relay,
        sender=sender,
        limits=limits,
        intake=intake,
        market=MarketInput(intake, publish, moments),
        signals=signals,
        rejects=rejects,
        decisions=decisions,
        host=host,
        targets=targets,
        execution_reports=execution_reports,
        trades=ClosedTrades(p.metrics, base.counters),
        unresolved=unresolved,
        exits=exits,
        executions=executions,
        triggers=triggers,
        exit_requests=exit_requests,
        monitor=monitor,
        capital=capital,
        curve=curve,
        charges=DayCharges(p, broker, venue, base.store, due, on_booking=listeners.on_booking, log=say),
        days=DayCycle(
            p,
            monitor=monitor,
            capital=capital,
            curve=curve,
            watch=watch,
            collect=collect_when_worth,
        ),
        closes=DayCloses(p, inline=base.inline, orders_sent=lambda: base.counters.orders),
        evaluation=StateEvaluation(p, base.counters, say),
        watch=watch,
        stops=stops,
        flattens=Flattens(p, exits, pools, due.look_again),
        auditor=auditor,
        opening=AccountOpening(
            p,
            broker,
            venue,
            listed=numbers.listed,
            on_orders=lambda rows: unresolved.begin(rows, p.clock.time_ns()),
            on_booking=listeners.on_booking,
            log=say,
        ),
        actions=corporate_actions,
        moments=moments,
        schedule=Schedule(p.calendar, _evaluation_hours(p.config), p.clock.now(), ex_dates),
        checkpoints=checkpoints,
        recovery=_make_recovery(base, connection, checkpoints, missed),
    )


def _tell_action(row: ActionRow, auditor: Auditor, watch: StrategyWatch | None) -> None:
    """Pass on a split or a dividend that was booked."""
    auditor.on_action(row)
    if watch is not None:
        watch.on_action(row)


def _evaluation_hours(config: QtsConfig) -> Sequence[int]:
    """Return the hours of a day at which the operating state is evaluated; none where it rules nothing."""
    return config.runtime.evaluation_hours if config.state.enabled else ()


def _on_shown_intent(
    shared: SharedComponents, prices: PriceView, on_intent: OnIntent, strategy: Strategy, intent: AnyIntent
) -> None:
    """Pass an intent on with its prices as they can be traded."""
    instrument = shared.feed.instruments.get(intent.symbol)
    day = (shared if instrument is None else instrument).calendar.local_date(shared.clock.now())
    on_intent(strategy, prices.intent(intent, instrument, day))


def _make_recovery(
    base: _Base,
    connection: BrokerConnection,
    checkpoints: Checkpoints,
    missed: MissedFacts,
) -> Recovery:
    """Make the recovery: a simulated venue is rewound, at a real broker nothing is."""
    if connection.venue.is_simulated:
        return RewindAndReplay(base.shared, checkpoints)
    return RollForward(
        base.shared,
        checkpoints,
        base.ids,
        missed,
        base.codes.report,
    )


def _cancel(
    shared: SharedComponents,
    exits: ProtectiveOrders,
    venue: MarketDriven,
    due: DueWork,
    order: Order,
    now_ns: int,
    reason: str,
) -> None:
    """Cancel an order as the forced exits do it, and wake them up should that have to be tried again.

    On bars alone a cancel takes effect at once: the market of a daily bar is closed by the time it would arrive.
    """
    exits.cancel(order, now_ns, reason)
    if shared.last.shows_bars_alone(order.symbol):
        venue.end_cancels(order.symbol)
    due.pending = True


def _make_way(
    shared: SharedComponents,
    exits: ProtectiveOrders,
    venue: MarketDriven,
    due: DueWork,
    met: Sequence[str],
    request: OrderRequest,
) -> None:
    """Cancel the entries that an exit would meet; one of the rules is tried again when they have ended."""
    now_ns = shared.clock.time_ns()
    for key in met:
        order = shared.orders.get(key)
        if order is not None and order.state not in FINAL_STATES:
            if request.forced:
                exits.wait_for(key)
            _cancel(shared, exits, venue, due, order, now_ns, f"an exit of {request.strategy} would meet it")


def _make_execution_reports(
    base: _Base,
    host: StrategyHost,
    listeners: Listeners,
    news: StrategyNews,
    unresolved: OrderReconciler,
    numbers: NumberedReports,
    deliver_answers: Callable[[], None],
) -> ExecutionReportHandler:
    return ExecutionReportHandler(
        base.shared,
        host=host,
        on_code=base.codes.report,
        on_kept=base.due.audit_soon,
        on_applied=listeners.on_fill,
        on_booked=listeners.on_booking,
        on_ended=listeners.on_ended,
        order_prefix=base.ids["o"].prefix,
        news=news,
        deliver_answers=deliver_answers,
        log=base.notices.say,
        numbers=numbers,
        cumulative=unresolved.cumulative,
        foreign=unresolved.foreign,
        on_duplicate=unresolved.unannounced.told,
        on_disconnect=lambda report: _compare_again(unresolved, base.due, f"the line to {report.broker} was lost"),
    )


def _compare_again(unresolved: OrderReconciler, due: DueWork, why: str, positions: bool = False) -> None:
    """Compare our books with the broker's before the next entry, because of ``why``."""
    if unresolved.require_comparison(why):
        due.resolve_soon()
        if positions:
            due.audit_soon()


def _make_stops(
    base: _Base,
    exits: ProtectiveOrders,
    requests: ExitRequests,
    pools: Mapping[str, Pool],
    watch: StrategyWatch | None,
) -> Stops:
    return Stops(
        base.shared,
        exits=exits,
        pools=pools,
        symbols=base.shared.feed.instruments,
        on_code=base.codes.report,
        publish=base.dispatcher.publish,
        liquidate_all=requests.liquidate_all,
        on_carried_out=base.due.checkpoint_soon,
        on_released=lambda scope: None if watch is None else watch.on_released(scope),
    )


def _connected(c: Components, log: Callable[[LogWrite], None]) -> Components:
    """Connect the listeners; they are called in the order of registration."""
    p, say = c.shared, c.notices.say
    counts = OrderCounts(c.counters, p.day, p.extremes, p.clock, p.orders)
    wake_up, order_log = ExitWakeUp(c.exits, p.protective, c.due), OrderLog(say)
    fills = (counts, c.trades, c.stops, c.flattens, c.rejects, c.auditor, c.triggers, wake_up, order_log, c.targets)
    charges = () if c.venue.is_simulated else (c.charges,)  # a fill of a simulated venue has its exact charges
    watches = () if c.watch is None else (c.watch,)
    c.listeners.fills = (*fills, c.executions, *charges, *watches)
    taken_back = (c.stops, c.flattens, wake_up)
    c.listeners.bookings = (c.auditor, counts, c.triggers, c.unresolved, *taken_back, *charges, *watches)
    orders = (counts, c.auditor, c.trades, c.rejects, c.triggers, wake_up, order_log, c.targets)
    c.listeners.orders = (*orders, c.executions)
    c.listeners.states = (
        StateHistory(p, c.counters, say),
        SafetyConsequences(c.dispatcher, p.state, lambda: p.config),
        c.auditor,
        StateWakeUp(c.capital, c.exit_requests, c.due, say),
    )
    p.safety.add_listener(c.listeners.on_safety)
    p.state.add_listener(c.listeners.on_state)
    reports = ExecutionReportInput(c.execution_reports, c.due, c.dispatcher.publish, c.broker.name).on_report
    if c.venue.is_simulated:  # what it reports follows from what came before
        c.report_relay.connect(reports)
    else:
        c.report_relay.connect(reports, partial(p.steps.take, REPORT, ""))
    register_components(c)
    register_handlers(
        c.dispatcher,
        reports=c.execution_reports.on_event,
        stop=c.stops.on_event,
        market=c.host.on_market_event if c.actions is None else c.host.on_shown_event,
        signal=c.decisions.on_signal,
        evaluate=c.evaluation.on_event,
        log=lambda event: log(event.payload),
        takes_trades=c.host.takes_trades,
        remote=c.host.remote.values(),
        steps=p.steps,
    )
    return c
