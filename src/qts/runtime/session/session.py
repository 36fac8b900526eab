"""Runs one session from its plan to its stored result: configuration, input, data directory, kernel, driver."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from qts.broker.contracts import BrokerQueries
from qts.clock import Clock, HeldClock, ManualClock, PacedClock, SystemClock, from_ns, stopwatch_ns, to_ns
from qts.config.loader import LoadedConfig, load_config
from qts.config.manager import ConfigManager
from qts.db.contracts import RunRow
from qts.db.datadir import DATABASE_NAME, LOCK_NAME, RECORD_NAME, SENT_NAME, STEPS_NAME, DataDir
from qts.db.find_run import DEFAULT_ROOT
from qts.db.session import SessionStore
from qts.errors import BrokerUnavailable, DataError, HalfDoneError, InputError, QtsError
from qts.event.contracts import events_made_by
from qts.event.journal import Journal
from qts.event.payloads import LogWrite
from qts.execution.triggers import level_of
from qts.execution.working import in_order_of_intent
from qts.ids import run_id_of
from qts.market.contracts import Calendar, Feed, MarketValue
from qts.market.day_record import DayRecord, days_by
from qts.market.feed_view import reread, source_of
from qts.market.series.history import RowHistory
from qts.money import standard_context
from qts.runtime.caching.session_cache import SessionCache
from qts.runtime.control.command_files import DIRECTORY as OPERATOR_DIRECTORY
from qts.runtime.control.command_handler import CommandHandler
from qts.runtime.control.config_reload import ConfigReloader
from qts.runtime.control.operators import Operators
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.drivers.event_loop import (
    fastest_loop,
    plain_loop,
    require_no_running_loop,
    require_session_files,
)
from qts.runtime.drivers.hang_file import FILE_NAME as HANG_NAME
from qts.runtime.drivers.hang_report import HangReport, report_previous_hang
from qts.runtime.drivers.live_driver import run_live
from qts.runtime.drivers.paced_driver import run_paced
from qts.runtime.drivers.repeat_driver import conducted, run_repeated
from qts.runtime.drivers.replay_driver import run_replay
from qts.runtime.drivers.standard_output import characters, dropped, say
from qts.runtime.drivers.watchdog import Watchdog
from qts.runtime.kernel import Kernel
from qts.runtime.persistence.agreement import open_journal
from qts.runtime.persistence.charts_file import FILE_NAME as CHARTS_NAME
from qts.runtime.persistence.charts_file import Charts, Line, read_charts, write_charts
from qts.runtime.persistence.checkpoint import decode
from qts.runtime.persistence.checkpoint_registry import decode_pending_value
from qts.runtime.persistence.config_history import change_text, changes_since, next_row
from qts.runtime.persistence.day_report_file import DIRECTORY as DAYS_NAME
from qts.runtime.persistence.day_report_file import write_missing, write_soon
from qts.runtime.persistence.recovery import resume_point
from qts.runtime.persistence.server_copies import ServerCopies
from qts.runtime.persistence.session_log import FILE_NAME as LOG_NAME
from qts.runtime.persistence.session_log import LogPosition, SessionLog
from qts.runtime.persistence.view_file import ViewFile
from qts.runtime.session.assessment import Assessment, Books, assess
from qts.runtime.session.cache_publishing import (
    begin_publishing,
    end_publisher,
    session_cache,
    settle_publisher,
    started_publisher,
)
from qts.runtime.session.defect import record_defect
from qts.runtime.session.live_source import LiveSource
from qts.runtime.session.outputs import require_distinct_files
from qts.runtime.session.progress import Progress
from qts.runtime.session.result import SessionFacts, SessionResult, summarize
from qts.runtime.session.resume_check import check_resumes_something, previous_run
from qts.runtime.session.run_inputs import check_currency, files_read, specs_of, strategy_files
from qts.runtime.session.server_follower import begin, connected, drained
from qts.runtime.session.server_history import with_server_history
from qts.runtime.session.session_plan import AnyFeed, OpenLive, SessionPlan
from qts.runtime.session.session_view import VIEW_NAME, SessionView
from qts.runtime.session.tick_recording import (
    close_recorder,
    end_recorder,
    live_recording,
    recorded,
    recorded_live,
    started_recorder,
)
from qts.runtime.steps.contracts import END, NOT_RECORDED, Steps
from qts.runtime.steps.lines import Entry, text_of
from qts.runtime.steps.recorder import StepRecorder, head_of
from qts.runtime.wiring.brokers import BrokerConnection, simulated_broker
from qts.runtime.wiring.components import make_components
from qts.runtime.wiring.moments import wanted_by
from qts.runtime.wiring.stores import open_store, stored_run
from qts.runtime.wiring.warm_up import read_history
from qts.strategy.contracts import Strategy
from qts.strategy.loading import load_strategies
from qts.strategy.unavailable import restore_names
from qts.threads import off_loop

if TYPE_CHECKING:  # without a server nothing of it is imported
    from qts.db.follower import Follower
    from qts.runtime.caching.publisher import CachePublisher
    from qts.runtime.recording.tick_recorder import TickRecorder

_RESERVED_NAMES: Final = frozenset(
    {
        LOCK_NAME,
        DATABASE_NAME,
        SENT_NAME,
        RECORD_NAME,
        OPERATOR_DIRECTORY,
        LOG_NAME,
        VIEW_NAME,
        HANG_NAME,
        CHARTS_NAME,
        DAYS_NAME,
        STEPS_NAME,
    }
)


@standard_context()
def run_session(
    plan: SessionPlan, *, progress: Progress, stop: StopFlag, machine: Clock | None = None
) -> SessionResult:
    """Run the session of ``plan``, resume it, or return the stored result of a finished one.

    ``progress`` and ``stop`` are used on this thread, ``machine`` is the machine's clock (None: the system's).
    Raises InputError for anything the user gave that cannot be used, UnfinishedRunError when the data directory
    holds an unfinished run and resuming was not requested, StateError when it holds another run or an event loop
    runs in this thread, StorageError when the disk or the system fails, HalfDoneError when an event was half
    applied.
    """
    require_no_running_loop()
    loop_factory = fastest_loop() if plan.paced else plain_loop()
    with Watchdog(stop) as watchdog, asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(_run_session(plan, progress, stop, machine or SystemClock(), watchdog))


class _Opened(NamedTuple):
    """The parts of a session before its directory is taken.

    ``live`` None: its feed is pulled. ``strategies`` None: they are not loaded yet.
    """

    plan: SessionPlan
    config: LoadedConfig
    feed: AnyFeed
    strategies: Sequence[Strategy] | None
    source_id: str
    directory: Path
    live: LiveSource | None = None


async def _run_session(
    plan: SessionPlan, progress: Progress, stop: StopFlag, machine: Clock, watchdog: Watchdog
) -> SessionResult:
    options = plan.options
    opened = _open_pulled(plan, machine) if plan.open_live is None else _open_live(plan, plan.open_live, machine)
    plan, config, directory = opened.plan, opened.config, opened.directory
    run = _run_row(plan, config.hash, config, opened.source_id, machine)
    if options.resume and options.data_dir is None:
        check_resumes_something(directory, plan.command)
    require_distinct_files(
        options.outputs,
        files_read(plan, config),
        data_dir=directory,
        config_dir=config.directory,
        journal=config.tree.event.journal.directory,
    )
    strategies = _strategies(plan, config) if opened.strategies is None else opened.strategies
    opened = opened._replace(strategies=strategies)
    _require_same_files(plan, config, run, machine)
    followers = connected(plan, config.tree.store, run, directory, machine)
    recorder: TickRecorder | None = None
    publisher: CachePublisher | None = None
    try:
        publisher = started_publisher(plan, run, config.tree.cache, machine)
        source = opened.source_id
        if opened.live is not None:
            source = live_recording(source, to_ns(machine.now()))
        recorder = started_recorder(options, config.tree, opened.feed, source, os.environ)
        with DataDir(directory) as place:
            given = place, run, opened, followers, recorder, publisher
            return await _run_in(*given, progress, stop, machine, watchdog)
    finally:
        end_publisher(publisher)
        end_recorder(recorder, config.tree.store.drain_s)
        for follower in followers:
            follower.stop()


def _open_pulled(plan: SessionPlan, machine: Clock) -> _Opened:
    options = plan.options
    feed = plan.open_feed()
    config = load_config(options.config_dir, {**plan.overrides_for(feed), **options.overrides}, os.environ)
    check_currency(feed, config)
    run = _run_row(plan, config.hash, config, feed.source_id, machine)
    strategies: Sequence[Strategy] | None = None
    if plan.stored_rows is not None:  # the bars that strategies declare decide which rows are part of the input
        strategies = _strategies(plan, config)
        _require_same_files(plan, config, run, machine)
        plan, feed = with_server_history(plan, feed, strategies)
        run = _run_row(plan, config.hash, config, feed.source_id, machine)
    directory = options.data_dir or DEFAULT_ROOT / f"{plan.command}-{run.run_id}"
    return _Opened(plan, config, feed, strategies, feed.source_id, directory)


def _open_live(plan: SessionPlan, open_live: OpenLive, machine: Clock) -> _Opened:
    options = plan.options
    config = load_config(options.config_dir, options.overrides, os.environ)
    strategies = _strategies(plan, config)
    live = open_live(config.tree, strategies, machine)
    check_currency(live.feed, config)
    source_id = live.source_id(None if options.data_dir is None else options.data_dir / DATABASE_NAME)
    run = _run_row(plan, config.hash, config, source_id, machine)
    if live.repeats is not None and live.repeats.run_id != run.run_id:
        raise InputError(
            f"the steps are those of run {live.repeats.run_id}: repeat them with its strategies, parameters, seed "
            "and settings"
        )
    directory = options.data_dir or DEFAULT_ROOT / f"{plan.command}-{run.run_id}"
    return _Opened(plan, config, live.feed, strategies, source_id, directory, live)


async def _run_in(
    place: DataDir,
    run: RunRow,
    opened: _Opened,
    followers: Sequence[Follower],
    recorder: TickRecorder | None,
    publisher: CachePublisher | None,
    progress: Progress,
    stop: StopFlag,
    machine: Clock,
    watchdog: Watchdog,
) -> SessionResult:
    plan, config = opened.plan, opened.config
    previous = previous_run(
        place,
        run,
        plan,
        config,
        begun_under=lambda config_hash: _run_row(plan, config_hash, config, opened.source_id, machine),
        resume=plan.options.resume,
    )
    stored = None
    if previous is not None and previous.finished:
        stored = SessionResult.stored(previous.result, place.path, config.tree.runtime.gain_color)
    if stored is not None and not followers:
        return stored
    store = open_store(place.database, paced=plan.paced)
    session: Session | None = None
    try:
        if stored is not None:  # what the server lacks of it is sent
            begin(followers, store)
            result = stored
        else:
            given = opened, previous or run, place, store
            session = Session(*given, watchdog, followers, recorder, publisher)
            result = await session.run(progress, stop, machine, resumed=previous is not None)
        for note in await drained(followers, place.path, config.tree.store.drain_s, stop):
            result = result.with_note(note)
        return result
    finally:
        for follower in followers:
            follower.stop()
        store.close()
        if session is not None and session.was_refused and not followers:  # a server may know of it already
            place.discard({*_RESERVED_NAMES, config.tree.event.journal.directory})


class Session:
    """One kernel with its feed, clock and store, from the first value to the stored result."""

    def __init__(
        self,
        opened: _Opened,
        run: RunRow,
        place: DataDir,
        store: SessionStore,
        watchdog: Watchdog,
        followers: Sequence[Follower] = (),
        recorder: TickRecorder | None = None,
        publisher: CachePublisher | None = None,
    ) -> None:
        self._plan = opened.plan
        self._watchdog = watchdog
        self._config = opened.config
        self._feed = opened.feed
        self._live = opened.live
        self._strategies: Sequence[Strategy] = opened.strategies or ()
        self._run = run
        self._place = place
        self._store = store
        self._history_note = ""
        self._followers = followers
        self._recorder = recorder
        self._publisher = publisher
        self._broker: BrokerQueries | None = None
        self.was_refused = False
        """Whether a new session has ended before it began, because keys, an account or a setting were refused."""

    async def run(self, progress: Progress, stop: StopFlag, machine: Clock, *, resumed: bool) -> SessionResult:
        """Run the session to the end of its input or to a stop, and return its result, which is then stored."""
        started = stopwatch_ns()
        # Before anything is written: the journal may belong to another run, or to another state of this one.
        with self._journal(resumed=resumed) or nullcontext() as journal:
            return await self._run_with(journal, progress, stop, machine, started, resumed=resumed)

    async def _run_with(
        self,
        journal: Journal | None,
        progress: Progress,
        stop: StopFlag,
        machine: Clock,
        started: int,
        *,
        resumed: bool,
    ) -> SessionResult:
        lost_before = dropped()
        checkpoint = self._find_checkpoint() if resumed else None
        share = None if checkpoint is None else decode(checkpoint)["parts"]["strategies"]
        self._strategies = restore_names(self._strategies, share)
        if not resumed:
            self._store.open_run(self._run, strategy_files(self._plan, self._config))
        begin(self._followers, self._store)
        values, first, start_ns = self._values(checkpoint)
        runtime = self._config.tree.runtime
        clock = self._clock(start_ns)
        steps, record = self._steps(clock)
        log = SessionLog(
            self._place.path,
            runtime.log_level,
            most_bytes=runtime.log_file_mb << 20,
            older=runtime.log_files_kept,
            replaces_old=not resumed,
            resumes_at=self._log_end(checkpoint) if resumed else None,
        )
        has_begun = resumed
        try:
            if self._history_note:
                log.record(LogWrite("WARNING", self._history_note, start_ns))
            tell = self._teller(log, clock)
            if self._live is not None:
                self._live.teller.to = tell
                if self._live.money:
                    log.record(LogWrite("WARNING", self._live.money, start_ns))
            servers = ServerCopies(
                self._followers, self._config.tree.store, in_real_time=self._plan.paced, tell=tell
            )
            cache = session_cache(self._publisher, self._config.tree.cache, machine, tell)
            self._record_config(log, start_ns, "resume" if resumed else "start")
            servers.run_changed()
            history = None if checkpoint is not None else await self._history_at(start_ns, tell)
            kernel = self._kernel(clock, log, journal, stop, servers, cache, history, steps)
            if self._plan.paced:
                kernel.components.closes.on_closed = partial(write_soon, self._place.path)
                if resumed:
                    account = kernel.shared.account
                    write_missing(
                        self._place.path, self._store, account.opening, self._config.tree.runtime.currency
                    )
            with events_made_by(kernel.dispatcher.factory), conducted(kernel, steps, stop):
                self._broker = kernel.broker
                connects_beside = checkpoint is not None and not kernel.venue.is_simulated
                if not connects_beside:
                    await kernel.broker.connect()
                hang_file = self._watchdog.open_hang_file(self._place.path) if self._plan.paced else None
                hang = hang_file.read(self._strategies) if hang_file is not None and resumed else None
                if checkpoint is None:
                    await kernel.start(first)
                    has_begun = True
                else:
                    kernel.host.hung = hang.strategies if hang is not None else ()
                    await kernel.restore(checkpoint, self._store, first)
                if connects_beside:  # stops and other commands do not wait for it
                    kernel.connect_soon()
                if journal is not None:
                    journal.flush()  # from the second checkpoint on it must contain the mark of the store
                if hang is not None:
                    report_previous_hang(kernel, hang)
                    await kernel.shared.record.checkpoint()
                if hang_file is not None:
                    hang_file.clear()  # its content is in the checkpoint
                view = ViewFile(
                    self._place.path,
                    kernel,
                    self._run,
                    self._mode,
                    machine,
                    self._plan.options.profile,
                    cache.show,
                )
                begin_publishing(cache, self._publisher, kernel)
                view.write_if_due()
                along = cache.along(servers.along(view.along(progress)))
                finished = await self._drive(kernel, clock, log, values, along, stop, machine)
                await (kernel.finish() if finished else kernel.shared.record.checkpoint())
                await steps.turn(END)
                await settle_publisher(self._publisher)
                last = await view.end("finished" if finished else "stopped")
                if lost := dropped() - lost_before:
                    text = f"{characters(lost)} for standard error dropped: it was not read"
                    log.record(LogWrite("WARNING", text, clock.time_ns()))
            took_ns = stopwatch_ns() - started
            assessment = self._assess(kernel, log, again=finished and self._plan.reads_again)
            write_charts(
                self._place.path,
                Charts(
                    lines=_lines_of(kernel),
                    candles=assessment.candles,
                    benchmark=assessment.benchmark,
                    trips=list(assessment.trips),
                ),
            )
            result = self._result(last, kernel.shared.calendar, machine, took_ns, assessment)
            servers.run_changed()
            return result
        except Exception as error:
            if not isinstance(error, QtsError) or isinstance(error, HalfDoneError):
                record_defect(error, log, self._place.path, clock.time_ns())
            is_refusal = isinstance(error, InputError | BrokerUnavailable)
            self.was_refused = is_refusal and self._live is not None and not has_begun
            raise
        finally:
            try:
                if self._broker is not None:
                    await self._broker.close()
                if self._live is not None and self._live.close is not None:
                    await self._live.close()
            finally:
                log.close()
                if record is not None:
                    await off_loop(record.close)

    @property
    def _mode(self) -> str:
        if self._live is not None and not self._live.is_simulated:
            return self._live.mode
        return "paper" if self._plan.paced else "replay"

    def _teller(self, log: SessionLog, clock: Clock) -> Callable[[str], None]:
        """Return what tells an operator of a server or a cache that is away."""

        def tell(text: str) -> None:
            if self._plan.paced:
                log.record(LogWrite("WARNING", text, clock.time_ns()))
            else:  # the log of a replay depends on its input alone
                say(text)

        return tell

    def _record_config(self, log: SessionLog, now_ns: int, actor: str) -> None:
        """Store the configuration that is in force from now on, unless it was in force already."""
        known = self._store.configs()
        if known and known[-1].config_hash == self._config.hash:
            return
        reason = "given with --resume" if known else "first load"
        self._store.accept_config(next_row(known, self._config, now_ns, actor, reason))
        if known:
            changes = "; ".join(map(change_text, changes_since(known, self._config)))
            log.record(
                LogWrite("WARNING", f"configuration {self._config.hash[:12]} is in force: {changes}", now_ns)
            )

    def _journal(self, *, resumed: bool) -> Journal | None:
        """Open the journal of P0 events of a paper session; None for a replay, whose input can be read again."""
        config = self._config.tree.event.journal
        if not self._plan.paced or not config.enabled:
            return None
        if config.directory in _RESERVED_NAMES:
            raise InputError(
                f"event.journal.directory: {config.directory!r} is the name of something else in a data directory; "
                f"any other but {', '.join(sorted(_RESERVED_NAMES))} will do"
            )
        return open_journal(self._place.path / config.directory, config, self._run, self._store, resumed=resumed)

    def _find_checkpoint(self) -> bytes | None:
        self._history_note = self._store.verify_history()
        return resume_point(self._store, is_simulated=self._live is None or self._live.is_simulated)

    def _log_end(self, checkpoint: bytes | None) -> LogPosition | None:
        """Return where the log of a resumed session is cut; None in real time, whose lines do not come again."""
        if self._plan.paced:
            return None
        return LogPosition(0, 0) if checkpoint is None else LogPosition(*decode(checkpoint)["parts"]["log"])

    def _values(self, checkpoint: bytes | None) -> tuple[Iterator[MarketValue], MarketValue | None, int]:
        """Return the values to come, the value that has left the feed already, and the session's time (ns)."""
        if not isinstance(self._feed, Feed):
            assert self._live is not None  # it has a feed of its own
            return iter(()), None, self._live.clock.time_ns()
        if checkpoint is not None:
            shares = decode(checkpoint)["parts"]
            self._feed.resume(shares["feed"])
            return self._feed.values(), decode_pending_value(shares["in_hand"]), shares["clock"]
        values: Iterator[MarketValue] = self._feed.values()
        first = next(values, None)
        if first is None:
            raise DataError(f"{self._feed.name}: no usable row; refused rows: {dict(self._feed.rows_refused)}")
        calendar = next(iter(self._feed.instruments.values())).calendar
        start = calendar.at(calendar.local_date(from_ns(first.ts_ns)), 0)
        if self._plan.paced:
            return values, first, paced_start_ns(calendar, first.ts_ns)
        return values, first, to_ns(start)

    def _clock(self, start_ns: int) -> ManualClock | PacedClock:
        if self._live is not None:
            return self._live.clock
        if self._plan.paced:
            return PacedClock(from_ns(start_ns), self._plan.options.speed or 1.0)
        clock = ManualClock(from_ns(start_ns))
        clock.set_ns(start_ns)  # a datetime has no nanoseconds
        return clock

    def _steps(self, clock: Clock) -> tuple[Steps, DayRecord[Entry] | None]:
        """Return the steps of the session, and their record if there is one, which is begun."""
        live = self._live
        if live is not None and live.repeats is not None:
            return live.repeats.steps, None
        if live is None or not live.records_steps:
            return NOT_RECORDED, None
        assert isinstance(clock, HeldClock)  # such a source has one
        record = DayRecord(
            self._place.path / STEPS_NAME,
            of="the record of steps",
            day_of=days_by(next(iter(live.feed.instruments.values())).calendar),
            head=head_of(self._run.run_id, self._run.source_id, clock.time_ns(), live.facts),
            text_of=text_of,
            tell=live.teller,
        )
        record.begin()
        return StepRecorder(clock, record), record

    async def _history_at(self, start_ns: int, tell: Callable[[str], None]) -> RowHistory | None:
        """Return the bars from before the session that its strategies want; None: there are none."""
        wanted = wanted_by(self._strategies)
        if not wanted:
            return None
        if isinstance(self._feed, Feed):
            return read_history(wanted, self._feed, self._plan.open_feed)
        if self._live is None or self._live.read_history is None:
            return None
        try:
            return await self._live.read_history(wanted, start_ns, self._place.path)
        except BrokerUnavailable as error:
            tell(f"strategies are not warmed up: {error}")
            return None

    def _kernel(
        self,
        clock: ManualClock | PacedClock,
        log: SessionLog,
        journal: Journal | None,
        stop: StopFlag,
        servers: ServerCopies,
        cache: SessionCache,
        history: RowHistory | None,
        steps: Steps,
    ) -> Kernel:
        def on_strategy_error(text: str) -> None:
            if text:
                say(text)
            if self._plan.options.strict:
                stop.request()

        components = make_components(
            run_id=self._run.run_id,
            seed=self._run.seed,
            config=self._config.tree,
            config_hash=self._config.hash,
            feed=self._feed,
            connection=self._connection(clock),
            strategies=self._strategies,
            specs=specs_of(self._plan, self._config),
            store=self._store,
            clock=clock,
            history=history,
            log=log.write,
            flush_log=log.flush,
            log_position=lambda: None if self._plan.paced else log.position,
            judged_by_index=self._plan.judged_by_index,
            inline=not self._plan.paced,
            journal=journal,
            on_strategy_error=on_strategy_error,
            observer=self._plan.observer,
            servers=servers,
            cache=cache,
            steps=steps,
        )
        return Kernel(components)

    def _connection(self, clock: Clock) -> BrokerConnection:
        tree, seed = self._config.tree, self._run.seed
        if self._live is None:
            return simulated_broker(tree.broker.sim, self._feed, clock, seed)
        return self._live.connect(tree, self._place.path, self._run.run_id, seed)

    async def _drive(
        self,
        kernel: Kernel,
        clock: ManualClock | PacedClock,
        log: SessionLog,
        values: Iterator[MarketValue],
        progress: Progress,
        stop: StopFlag,
        machine: Clock,
    ) -> bool:
        if isinstance(clock, PacedClock):
            kernel.shared.kill = stop.kill
            values = recorded(kernel, self._recorder, values)
            operators = self._operators(kernel, clock, log, machine)
            require_session_files()
            timeout_s = self._config.tree.event.stop_timeout_ms / 1_000
            repeats = self._live is not None and self._live.repeats is not None
            watch = nullcontext() if repeats else self._watchdog.watching_loop(HangReport(kernel), timeout_s)
            with closing(operators), watch:
                given = progress, stop, clock, operators.run_commands, operators.begin_stops
                if self._live is None:
                    finished = await run_paced(kernel, values, *given)
                elif self._live.repeats is not None:
                    assert isinstance(clock, HeldClock)  # such a source has one
                    live, steps = self._live, self._live.repeats.steps
                    finished = await run_repeated(kernel, live.feed, steps, clock, live.follow)
                else:
                    self._live.follow(kernel)
                    record = recorded_live(kernel, self._recorder)
                    finished = await run_live(kernel, self._live.feed, *given, record=record)
            await close_recorder(self._recorder, self._config.tree.store.drain_s)
            return finished
        speed = self._plan.options.speed
        first_ns = clock.time_ns() if kernel.pending_value is None else kernel.pending_value.ts_ns
        begins = from_ns(paced_start_ns(kernel.shared.calendar, first_ns))
        pace = PacedClock(begins, speed) if speed is not None else None
        with self._watchdog.watching_values(lambda: (kernel.intake.rows, kernel.shared.clock.time_ns())):
            return await run_replay(kernel, values, progress, stop, pace)

    def _operators(self, kernel: Kernel, clock: Clock, log: SessionLog, machine: Clock) -> Operators:
        overrides = {**self._plan.overrides_for(self._feed), **self._plan.options.overrides}
        manager = ConfigManager(
            self._plan.options.config_dir,
            overrides=overrides,
            env=os.environ,
            clock=clock,
            loaded=self._config,
            machine=machine,
        )

        def put_in_force(config: LoadedConfig) -> None:
            kernel.reconfigure(config.tree, config.hash)
            log.set_level(config.tree.runtime.log_level)
            kernel.shared.servers.run_changed()
            kernel.shared.cache.strategies_changed()

        reloader = ConfigReloader(manager, self._store, kernel.shared.record, clock, put_in_force)
        handler = CommandHandler(kernel, reloader)
        return Operators(kernel, handler, lambda: reloader.config_hash, log, self._place.path)

    def _assess(self, kernel: Kernel, log: SessionLog, *, again: bool) -> Assessment:
        """Judge the run; ``again``: with its input read again, unless it has changed meanwhile."""
        store, calendar, settings = self._store, kernel.shared.calendar, self._config.tree.runtime
        forced = store.orders() if kernel.counters.forced_exits else ()
        levels = {order.client_order_id: kind.value for order in forced if (kind := level_of(order)) is not None}
        opening, rows = kernel.shared.account.opening, (store.equity_curve(), store.ledger(), store.actions())
        books = Books(opening, *rows, levels, store.bookings())
        benchmark = self._plan.options.benchmark == "hold"
        source = source_of(self._feed) if isinstance(self._feed, Feed) else self._feed
        next_day = bool(getattr(source, "is_known_next_day", False))
        try:
            open_feed = self._open_again if again else None
            return assess(
                books,
                calendar,
                risk_free=settings.risk_free,
                open_feed=open_feed,
                with_benchmark=benchmark,
                is_known_next_day=next_day,
                dividend_tax_rate=settings.dividend_tax_rate,
            )
        except DataError as error:
            text = f"no charts of prices and no benchmark: {error}"
            say(text)
            log.record(LogWrite("WARNING", text, kernel.shared.clock.time_ns()))
            return assess(books, calendar, risk_free=settings.risk_free, is_known_next_day=next_day)

    def _open_again(self) -> Feed:
        assert isinstance(self._feed, Feed)  # what is live is not read again
        feed = reread(self._feed) or self._plan.open_feed()
        if feed.source_id != self._feed.source_id:
            raise DataError(f"{feed.name} has changed since the session read it")
        return feed

    def _result(
        self, view: SessionView, calendar: Calendar, machine: Clock, took_ns: int, assessment: Assessment
    ) -> SessionResult:
        values = summarize(
            view,
            self._run,
            calendar,
            states=self._store.state_history(),
            safety=self._store.safety_history(),
            orders=self._store.orders(),
            settings=self._plan.overrides_for(self._feed),
            finished_at=machine.now(),
            took_ns=took_ns,
            performance=assessment.performance,
            more_notes=() if assessment.why is None else (assessment.why,),
        )
        result = SessionResult(values, self._place.path, self._config.tree.runtime.gain_color)
        if result.finished:
            self._store.verify_history()
            self._store.finish_run(result.to_json())
        return result


def _lines_of(kernel: Kernel) -> list[Line]:
    """Return what the strategies have plotted."""
    known = kernel.shared.feed.instruments
    return [
        Line(
            strategy=context.strategy.name,
            pane=pane,
            name=name,
            times_ns=[moment for moment, _ in series.points()],
            values=[value for _, value in series.points()],
            symbols=[word for word in dict.fromkeys([*name.split(), *pane.split()]) if word in known],
        )
        for context in kernel.host.contexts
        for (pane, name), series in context.plots
    ]


def paced_start_ns(calendar: Calendar, first_ns: int) -> int:
    """Return the moment (ns) at which the clock of a paced session starts: the open of the first value's day.

    Earlier values are taken at once, because a session need not wait for the hours before the open.
    """
    opening = calendar.next_open(from_ns(first_ns))
    if opening is None or calendar.local_date(opening) != calendar.local_date(from_ns(first_ns)):
        return first_ns
    return max(first_ns, to_ns(opening))


def session_facts(result: SessionResult) -> SessionFacts:
    """Read everything that the report shows from the run's store. Raises StorageError when it cannot be read."""
    with stored_run(result.directory / DATABASE_NAME) as store:
        run = store.run()
        assert run is not None  # the result came from there
        return SessionFacts(
            result=result.values,
            run=run,
            equity=store.equity_curve(),
            ledger=store.ledger(),
            states=store.state_history(),
            safety=store.safety_history(),
            orders=in_order_of_intent(store.orders()),
            transfers=store.transfers(),
            actions=store.actions(),
            bookings=store.bookings(),
            gain_color=result.gain_color,
            charts=read_charts(result.directory),
            refusals=store.refusals(),
        )


def _strategies(plan: SessionPlan, config: LoadedConfig) -> Sequence[Strategy]:
    specs = specs_of(plan, config)
    return load_strategies(specs, resumed=plan.options.resume) if specs else plan.default_strategies()


def _require_same_files(plan: SessionPlan, config: LoadedConfig, run: RunRow, machine: Clock) -> None:
    """Raise InputError when a file of a strategy is another than that of ``run``."""
    if _run_row(plan, config.hash, config, run.source_id, machine).run_id != run.run_id:
        raise InputError("a file of a strategy changed while it was read; start again when it is saved")


def _run_row(plan: SessionPlan, config_hash: str, config: LoadedConfig, source_id: str, machine: Clock) -> RunRow:
    seed = plan.options.seed
    prints = [part for spec in specs_of(plan, config) for part in spec.identity] or plan.own_identity
    return RunRow(
        run_id=run_id_of(plan.command, str(seed), source_id, config_hash, *prints),
        command=plan.command,
        seed=seed,
        source_id=source_id,
        config_hash=config_hash,
        started_at=machine.now().isoformat(),
        finished=False,
        account=config.tree.runtime.account,
    )
