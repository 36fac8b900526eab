"""Makes the view of a session: reads every component once, through calls that change none of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import msgspec

from qts.clock import NS_PER_S, Clock, from_ns
from qts.db.contracts import RunRow
from qts.event.contracts import EventPriority
from qts.event.dispatcher import EventDispatcher
from qts.execution.contracts import Order
from qts.execution.executions import Execution
from qts.ledger.account import Account
from qts.ledger.contracts import PositionRow
from qts.market.contracts import Calendar, MarketSource
from qts.market.files.refusals import ALLOWED, RefusalExample
from qts.market.files.remedies import sentence_of
from qts.market.live_view import ShowsLine
from qts.money import minus, times
from qts.notes import Note, in_english
from qts.runtime.caching.cache_view import CacheView
from qts.runtime.checks.price_bands import doubtful_rows, notes_on_doubts
from qts.runtime.kernel import Kernel
from qts.runtime.orders.exit_view import notes_on_exits
from qts.runtime.orders.open_exits import exits_of
from qts.runtime.orders.quarantine import MAX_SHOWN, Quarantine
from qts.runtime.orders.unknown_orders import unknown_orders
from qts.runtime.orders.unknown_view import notes_on_unknown
from qts.runtime.recording.recording_view import RecordingView
from qts.runtime.session.session_plan import Profile
from qts.runtime.session.session_view import (
    LIVE,
    PAPER_ACCOUNT,
    ActionsView,
    BookingsView,
    CauseView,
    ChangeView,
    CloseView,
    CountsView,
    DoubtView,
    ErrorView,
    ExecutionView,
    ExtremesView,
    InvariantView,
    OrderView,
    OverrunView,
    PoolView,
    PositionView,
    QuarantineView,
    QueueView,
    RefusedRowView,
    SessionView,
    StateBasisView,
    StateView,
    StrategyView,
)
from qts.runtime.shared_components import SharedComponents
from qts.runtime.strategies.context import StrategyContext
from qts.runtime.wiring.shared_components import max_age_ns
from qts.safety.contracts import SafetyChange
from qts.safety.scoped_stops import ScopedStop, ScopeKind
from qts.state.contracts import TransitionRecord
from qts.strategy.params import values_of

_CHANGES_SHOWN: Final = 10
_OLD_DAYS: Final = 10
"""A holding without a price for so many days is named."""
_DAY_NS: Final = 86_400 * NS_PER_S
_SHORT: Final = {priority: f"P{priority.value}" for priority in EventPriority}


@runtime_checkable
class HasNotes(Protocol):
    """Market rules that say when they had to be stretched."""

    def notes(self, day: date) -> list[Note]:
        """Return what had to be assumed on ``day``; none when nothing had to."""
        ...


@runtime_checkable
class HasInputNotes(Protocol):
    """A feed that says what was wrong with its input as a whole, such as a damaged end."""

    @property
    def notes(self) -> Sequence[Note]:
        """Return what a reader must know of the input, oldest first; they may grow while the feed is read."""
        ...


def view_of(
    kernel: Kernel, run: RunRow, mode: str, ended: str, machine: Clock, profile: Profile = Profile.RULES
) -> SessionView:
    """Return what ``kernel``'s session shows at this moment; ``machine`` is the machine's clock.

    ``ended`` is "" while the session runs; at its end, metrics may be updated to report what DEFENSIVE waits for.
    """
    shared = kernel.shared
    now_ns = shared.clock.time_ns()
    pools = shared.account.pools(shared.last.mark, {})
    safety = shared.safety.snapshot()
    stated = shared.state.history
    recording, cache = shared.recording(), shared.cache.view()
    unknown, exits = unknown_orders(shared, kernel.unresolved), exits_of(shared)
    notes = (
        *_money(mode),
        *notes_of(kernel),
        *notes_on_unknown(unknown, ended=bool(ended)),
        *(notes_on_exits(exits) if ended else ()),
        *_recorded(recording),
        *_cached(cache),
    )
    return SessionView(
        run_id=run.run_id,
        command=run.command,
        mode=mode,
        profile=profile.value,
        account=run.account,
        pid=os.getpid(),
        started_at=run.started_at,
        written_ns=machine.time_ns(),
        ended=ended,
        clock_ns=now_ns,
        time_zone=_zone(shared.calendar, now_ns),
        currency=shared.config.runtime.currency,
        equity_start=shared.account.opening,
        equity=shared.equity(),
        cash=shared.account.cash,
        symbol_names=_names(shared),
        safety=StateView(
            safety.state.value, safety.since_ns, "" if safety.last_change is None else safety.last_change.reason
        ),
        safety_causes=tuple(CauseView(c.code, c.count, c.last_ns, c.detail) for c in safety.causes),
        safety_next=safety.next_step,
        safety_changes=tuple(map(_safety_change, shared.safety.history[-_CHANGES_SHOWN:])),
        stops=tuple(shared.stops),
        quarantine=_quarantine(kernel.execution_reports.quarantine),
        no_entries=(
            *map(shared.rejects.stop_of, shared.rejects.stopped),
            *shared.price_bands.doubt_reasons(),
            *filter(None, (shared.servers.why_no_entries(),)),
        ),
        operating=_operating(stated, shared),
        operating_changes=tuple(map(_state_change, stated[-_CHANGES_SHOWN:])),
        pools=tuple(
            PoolView(
                pool.value,
                one.total,
                one.available,
                one.invested,
                one.reserved,
                one.realized_pnl,
                one.unrealized_pnl,
            )
            for pool, one in pools.items()
        ),
        positions=tuple(_position(row, kernel) for row in shared.account.position_rows() if row.qty),
        orders=tuple(map(_order, shared.orders)),
        unknown_orders=unknown,
        exits=exits,
        executions=tuple(map(_execution, kernel.executions.active)),
        executions_ended=dict(kernel.executions.ended),
        slowest_stage_us=kernel.executions.slowest_stage_us,
        last_close=_last_close(shared),
        counts=CountsView(
            rows=kernel.intake.rows,
            orders=kernel.counters.orders,
            fills=kernel.counters.fills,
            ledger_rows=shared.account.fills_applied,
            forced_exits=kernel.counters.forced_exits,
            duplicate_fills=kernel.execution_reports.duplicates,
            refusals=dict(kernel.counters.refusals),
            targets_reached=kernel.counters.targets_reached,
            cancels_of_nothing=kernel.counters.cancels_of_nothing,
        ),
        queues=_queues(kernel.dispatcher),
        strategies=tuple(map(_strategy, kernel.host.contexts)),
        extremes=_extremes(shared),
        fees=shared.account.fees_total,
        taxes=shared.account.taxes_total,
        actions=_actions(shared.account),
        bookings=_bookings(shared.account),
        charges_due=kernel.components.charges.days,
        state_basis=_basis(kernel, ended),
        overruns={
            name: OverrunView(one.count, one.longest_us)
            for name, one in sorted(kernel.dispatcher.reports.overruns.items())
        },
        rows_refused=dict(shared.feed.rows_refused),
        rows_refused_examples=_refused_rows(shared.feed),
        doubtful_prices=msgspec.convert(doubtful_rows(shared.price_bands), dict[str, DoubtView]),
        risk_limits=dict(shared.gate.values()),
        max_price_age_s=max_age_ns(shared.feed, shared.config.runtime.freshness) / NS_PER_S,
        invariants=msgspec.convert(kernel.invariants.summary(), dict[str, InvariantView]),
        servers=shared.servers.views(),
        gateway=kernel.sender.view(),
        broker_clock=None if (watch := kernel.components.clock_watch) is None else watch.view(),
        limits=None if kernel.limits is None else kernel.limits.view(),
        limit_counts=() if kernel.components.watch is None else tuple(kernel.components.watch.rows()),
        recording=recording,
        feed=shared.feed.live_view() if isinstance(shared.feed, ShowsLine) else None,
        cache=cache,
        notes=tuple(map(in_english, notes)),
        note_values=notes,
    )


def _names(shared: SharedComponents) -> dict[str, dict[str, str]]:
    names = {}
    for symbol in sorted({row.symbol for row in shared.account.position_rows()}):
        instrument = shared.feed.instruments.get(symbol)
        if instrument is not None and (instrument.name or instrument.name_ko):
            either = instrument.name or instrument.name_ko
            names[symbol] = {"en": either, "ko": instrument.name_ko or either}
    return names


def _execution(one: Execution) -> ExecutionView:
    return ExecutionView(
        execution_id=one.execution_id,
        strategy=one.strategy,
        symbol=one.symbol,
        side=one.side.value,
        algo=one.kind.value,
        state=one.state.value,
        qty=one.qty,
        filled=one.filled,
        average_price=one.average_price,
        parts=len(one.children),
        planned=0 if one.plan is None else len(one.plan.slices),
        reason=one.reason,
    )


def _last_close(shared: SharedComponents) -> CloseView | None:
    close = shared.account.last_close
    return None if close is None else CloseView(close.day, close.ts_ns, close.equity, close.fills)


def _extremes(shared: SharedComponents) -> ExtremesView:
    record = shared.extremes.values
    return ExtremesView(record.highest, record.lowest, record.deepest, record.worst_day, record.highest_exposure)


def _basis(kernel: Kernel, ended: str) -> StateBasisView:
    evaluation = kernel.components.evaluation
    values = kernel.shared.basis.values() | {
        "enabled": kernel.shared.config.state.enabled,
        "waits": evaluation.waiting_reason() if ended else evaluation.last_waiting_reason,
    }
    return msgspec.convert(values, StateBasisView)


def _strategy(context: StrategyContext) -> StrategyView:
    """Return what is known of the strategy in ``context``."""
    strategy = context.strategy
    errors = tuple(ErrorView(callback, one.count, one.first) for callback, one in context.faults.items())
    params = {name: str(value) for name, value in values_of(strategy).items()}
    return StrategyView(strategy.name, context.pool.value, context.halted, context.why, errors, params)


def _quarantine(kept: Quarantine) -> QuarantineView | None:
    first = kept.first
    if first is None:
        return None
    return QuarantineView(kept.count, first.ts_ns, first.code, first.reason, first.notice[:MAX_SHOWN])


def _zone(calendar: Calendar, now_ns: int) -> str:
    return f"{calendar.local_time(from_ns(now_ns)):%Z %z}"


def _operating(history: tuple[TransitionRecord, ...], shared: SharedComponents) -> StateView:
    """Return the operating state from its records: a query of the state itself would end an expired override."""
    if not history:
        return StateView(shared.config.state.default_state.value, 0, "")
    moved = next((record for record in reversed(history) if record.is_transition), history[0])
    return StateView(history[-1].to_state.value, moved.ts_ns, moved.reason)


def _safety_change(change: SafetyChange) -> ChangeView:
    return ChangeView(
        change.ts_ns, change.from_state.value, change.to_state.value, change.code, change.reason, change.actor
    )


def _state_change(record: TransitionRecord) -> ChangeView:
    return ChangeView(record.ts_ns, record.from_state.value, record.to_state.value, "", record.reason, record.actor)


def _position(row: PositionRow, kernel: Kernel) -> PositionView:
    shared, bound = kernel.shared, kernel.triggers.of(row.strategy, row.symbol)
    mark = shared.last.mark(row.symbol)
    value = None if mark is None else times(row.qty, mark)
    return PositionView(
        row.strategy,
        row.pool.value,
        row.symbol,
        row.qty,
        shared.account.average_cost(row.strategy, row.symbol),
        mark,
        value,
        None if value is None else minus(value, row.cost),
        *((None, None, None) if bound is None else bound.prices),
        levels_watcher="" if bound is None else "QTS",
        leaving=shared.protective.reason_of(row.strategy, row.symbol),
    )


def _order(order: Order) -> OrderView:
    return OrderView(
        order.client_order_id,
        order.strategy,
        order.symbol,
        order.side.value,
        order.qty,
        order.filled,
        order.limit,
        order.state.value,
        order.ts_intent_ns,
        order.forced,
        order.reason,
    )


def _queues(dispatcher: EventDispatcher) -> tuple[QueueView, ...]:
    stats = dispatcher.queue_stats()
    shown = []
    for priority in EventPriority:
        row, start = stats[priority.name], dispatcher.stats.latency(priority).start
        errors = [one.error for one in dispatcher.dead_letter_queue if one.event.priority is priority]
        shown.append(
            QueueView(
                _SHORT[priority],
                row["size"],
                row["capacity"],
                row["high_water"],
                row["accepted"],
                row["handled"],
                row["dropped"],
                start.p50_us,
                start.p99_us,
                start.max_us,
                start.p999_us,
                row["collapsed"],
                row["sampled"],
                row["rejected"],
                row["dead_lettered"],
                errors[-1] if errors else "",
                start.count,
            )
        )
    return tuple(shown)


def _refused_rows(feed: MarketSource) -> dict[str, tuple[RefusedRowView, ...]]:
    """Return the first refused rows of each reason: where, what, what is allowed there and what to do.

    Empty for a feed that has no lines.
    """
    examples: Mapping[str, Sequence[RefusalExample]] = getattr(feed, "refusal_examples", {})
    return {
        reason: tuple(
            RefusedRowView(
                Path(one.file or feed.name).name,
                one.line,
                one.column,
                one.value,
                ALLOWED[reason],
                sentence_of(one.remedy),
                one.remedy,
            )
            for one in shown
        )
        for reason, shown in sorted(examples.items())
    }


def _fills_on_bars(shared: SharedComponents) -> list[Note]:
    """Return the rule by which orders fill on bars, where a symbol was seen by nothing else."""
    if not any(map(shared.last.shows_bars_alone, shared.last.bars)):
        return []
    sim = shared.config.broker.sim
    share = f"{100 * sim.snapshot_participation:g}"
    if sim.fill_on == "close":
        return [Note.of("fills-on-close", share=share)]
    return [Note.of("fills-on-open", ticks=sim.slippage_ticks, share=share)]


def _held_without_price(shared: SharedComponents) -> list[Note]:
    """Return a note when a holding has had no price for long, as after its listing ended; the oldest is named."""
    last = shared.last
    held = {row.symbol for row in shared.account.position_rows() if row.qty}
    if not held:
        return []
    newest_ns = max(map(last.last_value_ns, last.symbols()), default=0)
    old = sorted((seen_ns, symbol) for symbol in held if (seen_ns := last.last_value_ns(symbol)) > 0)
    count = sum(newest_ns - seen_ns >= _OLD_DAYS * _DAY_NS for seen_ns, _ in old)
    if not count:
        return []
    since = f"{shared.calendar.local_date(from_ns(old[0][0] - 1)):%Y-%m-%d}"
    return [Note.of("held-without-price", count=count, days=_OLD_DAYS, symbol=old[0][1], since=since)]


def dead_letters_of(dispatcher: EventDispatcher) -> list[Note]:
    """Return a note for each priority with events that failed for good: they are in no other number."""
    notes = []
    for priority in EventPriority:
        count = int(dispatcher.queue_stats()[priority.name]["dead_lettered"])
        if count:
            errors = [one.error for one in dispatcher.dead_letter_queue if one.event.priority is priority]
            last = Note.of("last-error", error=errors[-1]) if errors else ""
            notes.append(Note.of("dead-letters", count=count, priority=_SHORT[priority], last=last))
    return notes


def _money(mode: str) -> list[Note]:
    """Return what a session at a real broker trades with."""
    if mode == LIVE:
        return [Note.of("real-money")]
    return [Note.of("paper-account")] if mode == PAPER_ACCOUNT else []


def _recorded(recording: RecordingView | None) -> list[Note]:
    """Return what a reader must know of the values that were recorded on a server."""
    if recording is None:
        return []
    notes = [Note.of("values-recorded", count=recording.recorded, waiting=recording.waiting)]
    if lost := sum(recording.dropped.values()):
        symbols = [symbol for symbol, _ in sorted(recording.dropped.items(), key=lambda one: -one[1])]
        notes.append(Note.of("values-not-recorded", count=lost, symbols=", ".join(symbols[:_SYMBOLS_NAMED])))
    if recording.refused:
        notes.append(Note.of("values-refused-by-server", count=recording.refused, why=recording.why))
    return notes


_SYMBOLS_NAMED: Final = 5


def _cached(cache: CacheView | None) -> list[Note]:
    """Return what a reader must know of the cache: that readers of it have missed something.

    Prices and order books are left out: they live for so short that a busy machine is enough to drop some.
    """
    dropped = {} if cache is None else {kind: n for kind, n in cache.dropped.items() if kind not in _SHORT_LIVED}
    if not dropped:
        return []
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in dropped.items())
    return [Note.of("values-not-cached", count=sum(dropped.values()), kinds=kinds)]


_SHORT_LIVED: Final = ("price", "book")


def notes_of(kernel: Kernel) -> tuple[Note, ...]:
    """Return what a reader must know to judge the result, in the order of the English texts, each once.

    Damage of the input, events that could not be handled, parts an operator has stopped, impossible prices,
    stand-ins, and rules taken beyond their first dated row.
    """
    shared = kernel.shared
    calendar = shared.calendar
    notes = [*dead_letters_of(kernel.dispatcher), *_not_booked(kernel.execution_reports.quarantine, calendar)]
    notes += [
        Note.of("stopped-after-rejects", count=shared.rejects.in_a_row(symbol), symbol=symbol, reason=said)
        for symbol, said in shared.rejects.stopped.items()
    ]
    notes += [_stopped(stop, calendar) for stop in shared.stops]
    notes += _limits(kernel)
    notes += notes_on_doubts(shared.price_bands, f"{calendar.local_time(shared.clock.now()):%Z}")
    if isinstance(shared.feed, HasInputNotes):
        notes += shared.feed.notes
    if count := sum(_has_band(shared, symbol) for symbol in kernel.counters.stand_in_bases):
        notes.append(Note.of("no-previous-close", count=count))
    if kernel.moments is not None:
        notes += kernel.moments.notes
    notes += [
        Note.of("warm-up-dropped", strategy=context.strategy.name, count=context.dropped)
        for context in kernel.host.contexts
        if context.dropped
    ]
    notes += [
        Note.of("bars-none", strategy=context.strategy.name, interval=interval)
        for context in kernel.host.contexts
        if context.bars is not None
        for interval in context.bars.intervals_without_bars()
    ]
    if kernel.venue.is_simulated:
        notes += _fills_on_bars(shared)
    notes += _held_without_price(shared)
    instrument = next(iter(shared.feed.instruments.values()))
    for source in (instrument.calendar, instrument.ticks, instrument.costs):
        if isinstance(source, HasNotes):
            notes += source.notes(date.fromisoformat(kernel.counters.first_day))
    texts = {in_english(note): note for note in notes}
    return tuple(texts[text] for text in sorted(texts))


def _not_booked(kept: Quarantine, calendar: Calendar) -> list[Note]:
    """Return a note when notices of the broker were not booked: what the account shows may lack them."""
    first = kept.first
    if first is None:
        return []
    at = _written(first.ts_ns, calendar)
    return [Note.of("quarantine", count=kept.count, at=at, code=first.code, reason=first.reason)]


def _limits(kernel: Kernel) -> Iterator[Note]:
    """Yield what the limits of orders have refused, and at a real broker what they cannot judge by."""
    if kernel.limits is None:
        return
    view = kernel.limits.view()
    for limit, count in view.refused.items():
        yield Note.of("limit-refused", count=count, limit=limit)
    if kernel.venue.is_simulated:
        return
    if view.without_volume:
        yield Note.of("limit-volume-unknown", count=view.without_volume)
    if not view.session_info:
        yield Note.of("limit-session-info-unknown")


def _stopped(stop: ScopedStop, calendar: Calendar) -> Note:
    name = stop.scope.name
    scope = {
        ScopeKind.STRATEGY: Note.of("scope-strategy", name=name),
        ScopeKind.SYMBOL: Note.of("scope-symbol", name=name),
        ScopeKind.POOL: Note.of("scope-pool", name=name),
    }[stop.scope.kind]
    since = _written(stop.ts_ns, calendar)
    return Note.of("stopped-by-operator", scope=scope, since=since, operator=stop.operator, reason=stop.reason)


def _written(ts_ns: int, calendar: Calendar) -> str:
    """Return the market's own date and time with the name of its zone."""
    return f"{calendar.local_time(from_ns(ts_ns)):%Y-%m-%d %H:%M:%S %Z}"


def _has_band(shared: SharedComponents, symbol: str) -> bool:
    """Return whether the market of ``symbol`` has daily price limits, so that a missing previous close matters."""
    instrument, base = shared.feed.instruments.get(symbol), shared.base_prices.get(symbol)
    if instrument is None or base is None:
        return False
    return instrument.ticks.band(base, shared.calendar.local_date(shared.clock.now())) is not None


def _actions(account: Account) -> ActionsView | None:
    if not account.actions_applied:
        return None
    return ActionsView(
        account.actions_applied, account.dividends_total, account.dividend_taxes_total, account.fractions_total
    )


def _bookings(account: Account) -> BookingsView | None:
    if not account.bookings_applied:
        return None
    external = account.external
    return BookingsView(
        account.bookings_applied,
        account.deposits_total,
        account.withdrawals_total,
        account.adjustments_total,
        external.cash,
        external.positions(),
        account.contributions_value,
        {symbol: external.cost(symbol) for symbol in external.positions()},
    )
