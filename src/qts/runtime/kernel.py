"""Runs one session: starts and ends it, runs its scheduled tasks, and does the due work between handlers.

Its components are made by :mod:`qts.runtime.wiring`. A value comes in through :mod:`qts.runtime.market_input`.
Everything else happens in handlers, one at a time, P0 first.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final

from qts.clock import NEVER_NS, ManualClock, from_ns
from qts.config.tree import QtsConfig
from qts.db.contracts import Record
from qts.db.session import SessionStore
from qts.errors import StateError
from qts.event.contracts import EventType
from qts.event.payloads import RiskEvaluate
from qts.market.contracts import MarketValue
from qts.risk.gate import RiskGate
from qts.runtime.background_work import BackgroundWork
from qts.runtime.components import Components
from qts.runtime.persistence.checkpoint import Share
from qts.runtime.session.schedule import ScheduledTask
from qts.runtime.steps.contracts import GO_ON, TASK
from qts.strategy.moment import Moment

_AUDIT: Final = "audit"


class Kernel:
    """The core of one session; its drivers pass values to ``market``, and run the due work between them.

    On an event loop they call :attr:`on_market_value`, :meth:`run_scheduled_task` and :meth:`run_due_work`; on the
    virtual clock the scheduler draws from ``market``, and :meth:`drain` handles what is left.
    """

    def __init__(self, components: Components) -> None:
        c = self.components = components
        self.shared, self.dispatcher, self.due = c.shared, c.dispatcher, c.due
        self.broker, self.venue, self.sender = c.broker, c.venue, c.sender
        self.limits = c.limits
        self.counters, self.notices, self.invariants, self.auditor = c.counters, c.notices, c.invariants, c.auditor
        self.intake, self.market, self.host, self.signals = c.intake, c.market, c.host, c.signals
        self.execution_reports, self.trades, self.exits, self.stops = (
            c.execution_reports,
            c.trades,
            c.exits,
            c.stops,
        )
        self.rejects, self.unresolved, self.exit_requests = c.rejects, c.unresolved, c.exit_requests
        self.triggers, self.executions = c.triggers, c.executions
        self.monitor, self.days, self.capital, self.actions = c.monitor, c.days, c.capital, c.actions
        self.schedule, self.checkpoints, self.ids = c.schedule, c.checkpoints, c.ids
        self.moments = c.moments
        self.on_code = c.codes.report
        self.on_market_value = c.market.publish
        self.pending_value: MarketValue | None = None
        """The value that has left the feed and is not yet accepted; a checkpoint keeps it. None: there is none."""
        self._steps = c.shared.steps
        self._inline, self._journal = c.inline, c.journal
        self.background = BackgroundWork(self._on_work_ended)
        clock = c.shared.clock
        self._set_clock = clock.set_ns if isinstance(clock, ManualClock) else _set_nothing
        self.checkpoints.register("in_hand", Share(lambda: self.pending_value, _skip))
        journal, store = c.journal, c.store
        if journal is not None:
            journal.identify = c.shared.account.identity_of
        checkpoint_soon = c.due.checkpoint_soon
        bar_rows, closes = self.host.bar_rows, c.closes

        def on_stored() -> None:
            self.sender.end_checkpoint()
            if journal is not None:
                journal.commit(store.checkpoint_number)
            closes.on_stored()

        servers, cache = c.shared.servers, c.shared.cache

        def on_committed(records: Sequence[Record]) -> None:
            servers.committed()
            cache.committed(records)

        c.shared.record.connect(
            self._checkpoint,
            checkpoint_soon,
            on_stored,
            journal,
            on_full=checkpoint_soon,
            on_committed=on_committed,
            take_rows=closes.take_rows if bar_rows is None else lambda: [*bar_rows.take_new(), *closes.take_rows()],
        )

    async def drain(self) -> None:
        """Handle everything that is queued and all due work, on the virtual clock."""
        self.dispatcher.run_inline()
        while self.due.pending:
            await self.run_due_work()
            self.dispatcher.run_inline()  # its events belong to this moment, not to the next value's

    async def run_due_work(self) -> None:
        """Run the due work between two handlers, never inside one.

        That is: calls of other threads, forced exits, unknown orders, the audit of all books, the checkpoint. On
        the event loop, work that waits for a broker or a disk runs in the background, one task of a kind at a time.
        Raises StorageError when the store or the journal has failed, and the exception of background work.
        """
        due = self.due
        if not self._steps.is_due(due):
            return
        due.pending = False
        self.background.raise_failure()
        self.shared.record.raise_failure()
        if self._journal is not None:
            self._journal.raise_if_fatal()
        due.run_calls()
        now_ns = self.shared.clock.time_ns()
        if self.exits.due_ns <= now_ns:
            await self._do("forced-exits", partial(self.exits.retry_due, now_ns))
        if self.shared.orders.executing and self.executions.due_ns <= now_ns:
            await self._do("executions", partial(self.executions.step, now_ns))
        due.wake_ns = min(due.wake_ns, self.exits.due_ns, self.executions.due_ns)
        if self.moments is not None:
            due.wake_ns = min(due.wake_ns, self.moments.due_ns)
        if due.unresolved:
            await self._do("unknown-orders", partial(self._resolve, now_ns))
        if due.charges:
            await self._do("charges", partial(self._ask_charges, now_ns))
        if due.audit or due.daily_audit:
            await self._do(_AUDIT, partial(self._audit, now_ns))
        if due.checkpoint:
            due.checkpoint = False
            await self.shared.record.begin_checkpoint()

    async def _do(self, kind: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        if self._inline:
            await work()
        elif not self.background.is_running(kind):
            self.background.start(kind, self._in_background(kind, work))

    async def _in_background(self, kind: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await self._steps.turn(TASK, kind)
        await work()
        await self._steps.turn(GO_ON, kind)

    async def _resolve(self, now_ns: int) -> None:
        self.due.unresolved = False
        await self.unresolved.resolve(now_ns)
        if self.exits.on_books_compared(self.shared.clock.time_ns()):
            self.due.pending = True

    async def _ask_charges(self, now_ns: int) -> None:
        self.due.charges = False
        if not await self.components.charges.ask(now_ns):
            self.due.charges = True  # repeated with the next due work

    async def _audit(self, now_ns: int) -> None:
        due, auditor = self.due, self.auditor
        if not self.venue.is_simulated and await self.unresolved.resolve(now_ns):
            due.audit = due.pending = True  # what was never told is booked before the books are compared
            self.exits.on_books_compared(self.shared.clock.time_ns())
            return
        audited = await (auditor.run_full_audit(now_ns) if due.audit else auditor.run_daily_audit(now_ns))
        due.audit, due.daily_audit = not audited, False  # repeated with the next due work
        if audited and due.close_ns:
            self._close_books()

    def _close_books(self) -> None:
        """Turn the audited day into opening balances; unsound books stay open until an audit finds them sound."""
        due = self.due
        if not self.auditor.has_proven_all:
            if self.auditor.is_overtaken:
                due.audit_soon()  # a fill was booked in the last moment of the audit
            return
        close_ns, due.close_ns = due.close_ns, 0
        self.auditor.close()
        if self.components.closes.close(close_ns) and not self._inline:
            due.checkpoint_soon()

    def _on_work_ended(self) -> None:
        """Request due work when a background task failed or more came due; an audit does not repeat itself."""
        due, sooner_ns = self.due, min(self.exits.due_ns, self.executions.due_ns)
        due.wake_ns = min(due.wake_ns, sooner_ns)
        if self.background.has_failed or due.unresolved or sooner_ns <= self.shared.clock.time_ns():
            due.pending = True

    def on_command(self) -> None:
        """Request a checkpoint that contains both states, whatever an operator's command has changed."""
        self.due.checkpoint_soon()
        self.counters.codes_told += 1

    def reconfigure(self, config: QtsConfig, config_hash: str) -> None:
        """Apply a reloaded configuration: what may change while running is in force for the next decision."""
        shared = self.shared
        shared.config = config
        self.dispatcher.reconfigure(config.event)
        shared.state.reconfigure(config.state)
        shared.safety.reconfigure(config.safety)
        shared.gate = RiskGate(config.risk, config.state.table, config_hash, self.ids["a"])
        self.components.decisions.reconfigure()
        self.due.reconfigure(config.runtime)

    async def start(self, first: MarketValue | None) -> None:
        """Start a new session before its first value, which has left the feed already; store every pool.

        Instead of :meth:`restore`. The account at a real broker is adopted, see
        :meth:`~qts.runtime.session.account_opening.AccountOpening.adopt`. Raises StateError when the store holds
        rows, from which only a session that is restored can go on, and StorageError when the store has failed.
        """
        if self.components.store.batches():
            raise StateError("a session cannot begin on a store that holds rows: resume the run")
        self.pending_value = first
        await self.components.opening.adopt()
        self._begin_strategies()
        await self._keep_bars()
        self._replay_journal()
        self.components.report_relay.release()
        await self.shared.record.checkpoint(self.shared.account.pool_rows())

    def _begin_strategies(self) -> None:
        """Start the strategies of a session that has no checkpoint, and show them the bars from before it."""
        self.host.start()
        history = self.components.history
        if history is not None:
            self.host.warm_up([Moment(one.ts_ns, (), one.bars) for one in history.moments()])

    async def finish(self) -> None:
        """Finish the session after its last value: the day's remaining tasks, a last check and audit, a checkpoint.

        A second call does nothing. Raises StorageError when the store has failed.
        """
        if self.due.done:
            return  # killed between this checkpoint and the stored result
        if self._inline:
            await self.close_day()
        now_ns = self.shared.clock.time_ns()
        if not self.due.final_check_done:  # it may store rows; a run resumed after it does not repeat it
            self.monitor.check_limits(now_ns)
            self.components.curve.sample(now_ns)
            self.due.final_check_done = True
        await self.auditor.run_final_audit(now_ns)
        if self.due.close_ns:
            self._close_books()
        self.due.done = True
        await self.shared.record.checkpoint()

    async def close_day(self) -> None:
        """Run the day's remaining scheduled tasks; on an event loop while the dispatcher still runs."""
        day = self.shared.calendar.local_date(self.shared.clock.now())
        local_date, schedule = self.shared.calendar.local_date, self.schedule
        if self.moments is not None:
            self.moments.finish()
        while local_date(from_ns(schedule.next_ns)) == day:
            moment_ns = self._moment_ns(schedule.next_ns)
            if moment_ns < schedule.next_ns:
                self._run_moment(moment_ns)
            else:
                self._run_task(*schedule.pop())
            if self._inline:
                await self.drain()
        while (moment_ns := self._moment_ns(self.shared.clock.time_ns())) < NEVER_NS:
            self._run_moment(moment_ns)
            if self._inline:
                await self.drain()

    def run_scheduled_task(self, now_ns: int) -> bool:
        """Run one scheduled task that is due by ``now_ns``, at its own time; return False when none is left.

        One at a time, because the events it causes are handled before the next.
        """
        schedule, moment_ns = self.schedule, self._moment_ns(now_ns)
        while min(schedule.next_ns, moment_ns) <= now_ns:
            if moment_ns < schedule.next_ns:  # at the same time the task comes first
                self._run_moment(moment_ns)
                return True
            if schedule.next_kind is ScheduledTask.EVALUATE and (
                skipped := schedule.skip_evaluations(min(self._steady_until_ns(), now_ns + 1, moment_ns))
            ):
                self.dispatcher.factory.skip(skipped)  # the numbers of all other events stay what they were
                continue
            self._run_task(*schedule.pop())
            return True
        due = self.due
        if due.is_guard_due(now_ns):
            self._check_once_a_minute(now_ns)
            if due.pending or not self.dispatcher.straight.is_idle:
                return True
        due.wake_ns = min(schedule.next_ns, due.next_guard_ns)
        if self.moments is not None:
            due.wake_ns = min(due.wake_ns, self.moments.due_ns)
        sooner_ns = min(self.exits.due_ns, self.executions.due_ns)
        if sooner_ns > now_ns:
            due.wake_ns = min(due.wake_ns, sooner_ns)
        else:
            due.pending = True  # at the first value after it is due
        return False

    def _steady_until_ns(self) -> int:
        """Return the time before which an evaluation, and what is done before it, would change nothing.

        In real time every evaluation is made: 0.
        """
        if not self._inline or self.shared.extremes.has_moved:
            return 0
        return min(self.venue.due_ns, self.components.evaluation.steady_until_ns())

    @property
    def is_before_actions(self) -> bool:
        """Return whether the next scheduled task applies splits or dividends, so that reports come first."""
        return self.schedule.next_kind is ScheduledTask.CORPORATE_ACTIONS

    def _check_once_a_minute(self, now_ns: int) -> None:
        """Check the limits of the account, let the venue's time pass, and sample the curves when due."""
        self._set_clock(now_ns)
        self.monitor.check_limits(now_ns)
        self.venue.on_time(now_ns)
        if not self.venue.is_simulated or self.unresolved.any():
            self.due.resolve_soon()
        self.components.targets.check()
        if self.components.clock_watch is not None:
            self.components.clock_watch.check()
        if not self._inline:  # a checkpoint a minute in real time; a replay counts rows
            self.due.checkpoint_soon()
        if self.due.is_sample_due(now_ns):
            self.components.curve.sample(now_ns)

    def _moment_ns(self, now_ns: int) -> int:
        """Return the time of the next moment due by ``now_ns``; NEVER_NS when none is.

        Bars of the feed wait for others of their time: none is due later than the value that comes next.
        """
        if self.moments is None:
            return NEVER_NS
        value = self.pending_value
        return self.moments.next_ns(now_ns if value is None else min(now_ns, value.ts_ns))

    def _run_moment(self, at_ns: int) -> None:
        """Show the moment at ``at_ns`` to the strategies, at its own time."""
        assert self.moments is not None  # it alone has the time of one
        self._set_clock(max(at_ns, self.shared.clock.time_ns()))
        if self.venue.due_ns <= at_ns:
            self.venue.on_time(at_ns)
        self.market.publish_moment(self.moments.take(at_ns))

    def _run_task(self, due_ns: int, kind: ScheduledTask) -> None:
        self._set_clock(due_ns)
        if self.venue.due_ns <= due_ns:
            self.venue.on_time(due_ns)  # a connection may have come up while nothing was quoted
        self.monitor.check_limits_if_moved()
        if kind is ScheduledTask.DAY_START:
            self.days.day_start(due_ns)
            self.components.charges.ask_again()
            if self.actions is not None:
                self.actions.prepare(due_ns)
        elif kind is ScheduledTask.EVALUATE:
            self.dispatcher.publish(EventType.RISK_EVALUATE, RiskEvaluate("", due_ns, "hourly"), "schedule")
        elif kind is ScheduledTask.SESSION_END:
            self.executions.give_up_all("the session of the market ends", due_ns)
            self.venue.on_session_end(self.shared.calendar.local_date(from_ns(due_ns)), due_ns)
            if self.moments is not None:
                self.moments.end_session(due_ns)
        elif kind is ScheduledTask.CORPORATE_ACTIONS:
            assert self.actions is not None  # it alone schedules them
            self.actions.apply_due(due_ns)
        else:
            self.counters.metrics_fed += 1
            self.days.day_close(due_ns)
            self.due.close_ns = due_ns
            self.components.charges.on_day_over(self.shared.calendar.local_date(from_ns(due_ns)))
            self._request_audit(due_ns)

    def _request_audit(self, day_ns: int) -> None:
        """Request the day's audit; of the whole book on a month's last trading day and while safety is not calm.

        A replay whose books are audited at its end has none while safety is calm.
        """
        safe = self.shared.safety.is_trading_allowed
        if safe and self._inline and self.shared.config.runtime.audits == "end":
            self.due.close_ns = 0
            self.components.closes.close(day_ns)
            return
        local_date = self.shared.calendar.local_date
        month, next_month = (local_date(from_ns(ns)).month for ns in (day_ns, self.schedule.next_ns))
        if month != next_month or not safe:
            self.due.audit_soon()
        else:
            self.due.audit_day_soon()
            if not self._inline:  # a replay has one by that audit when anything was booked, else it would waste one
                self.due.checkpoint_soon()

    # -- checkpoints -------------------------------------------------------------------------------------------

    def _checkpoint(self) -> bytes:
        self.host.keep_memories()
        self.notices.flush()  # lines that a resumed session does not write again
        self.sender.begin_checkpoint()
        return self.checkpoints.encode()

    async def restore(
        self, checkpoint: bytes | None, store: SessionStore, pending_value: MarketValue | None
    ) -> None:
        """Continue from ``checkpoint`` (:mod:`qts.runtime.persistence.recovery`), instead of :meth:`start`.

        None: a session at a real broker that was killed before its first checkpoint continues from its rows alone;
        without any it is started.
        ``pending_value`` had left the feed and was not accepted; None: there was none. What the broker reports
        meanwhile waits. A real broker is not asked here: its books are compared by the first due work, and until
        then no entry leaves. Raises StorageError when the store has failed; without rows what :meth:`start` raises.
        """
        if checkpoint is None and not store.batches():
            await self.start(pending_value)
            return
        recovery = self.components.recovery
        self.execution_reports.quarantine.restore(store.quarantine())
        if self.host.bar_rows is not None:
            self.host.bar_rows.read(store.bars())
        recovery.restore(store, checkpoint)
        for waiting in (self.exits, self.due, self.unresolved):
            waiting.go_on_at(self.shared.clock.time_ns())
        await self._keep_bars()
        if self.unresolved.settle_intents(self.sender.fate_of, self.shared.clock.time_ns()):
            self.due.resolve_soon()
        self.pending_value = pending_value
        if checkpoint is None:
            self._begin_strategies()
        else:
            self.host.resume()
        recovery.follow(self.shared.clock.time_ns())
        if not self.venue.is_simulated:
            self.executions.restore(store, self.shared.clock.time_ns())
        if checkpoint is None:
            await self.shared.record.checkpoint(self.shared.account.pool_rows())
        self._replay_journal()
        self.components.report_relay.release()
        recovery.raise_safety()
        if not self.venue.is_simulated:
            self.unresolved.require_comparison("the session was started again")
            self.components.charges.ask_again()
            self.due.audit_soon()  # all books are compared before anything is built on them
            self.due.resolve_soon()

    def connect_soon(self) -> None:
        """Open the connection of a real broker beside everything else; before that no request leaves.

        The session ends with BrokerUnavailable when it cannot be opened.
        """
        self.background.start("connection", self.broker.connect())

    async def _keep_bars(self) -> None:
        """Limit the finished bars in the store to those that windows need, before the first of them is written."""
        bar_rows = self.host.bar_rows
        if bar_rows is not None:
            await self.shared.record.on_store(partial(self.components.store.keep_bars, bar_rows.kept))

    def _replay_journal(self) -> None:
        """Publish P0 that was journalled and is in no checkpoint, such as an operator's emergency stop.

        Reports of a simulated venue are left out: restored from the checkpoint, it publishes them again.
        """
        if self._journal is not None:
            self.dispatcher.replay_journal(lambda event: self.venue.will_publish_again(event.source, event.payload))


def _skip(saved: object) -> None:
    """Restore nothing: the pending value is passed to :meth:`Kernel.restore`."""


def _set_nothing(ns: int) -> None:
    """Do nothing in place of setting the clock: a clock in real time cannot be set."""
