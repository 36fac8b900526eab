"""Drives the engine on an asyncio loop: one short slice after the other, asleep when there is nothing to do."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, Protocol

from qts.clock import NS_PER_MS, NS_PER_S, NS_PER_US, stopwatch_ns
from qts.errors import ContractError
from qts.event.config import EventConfig
from qts.event.contracts import EventPriority, Lane
from qts.event.engine import Engine
from qts.event.entry import Entry, Suspended
from qts.event.garbage import QuietCollector
from qts.event.lanes import LaneRunner, LaneTools, StrandRunner, ThreadRunner
from qts.event.monitoring import Monitor, Report, Reports
from qts.event.process_lane import ProcessRunner
from qts.event.readings import LOOK_S
from qts.event.remote_lane import process_runner
from qts.event.retry import Flight, Hold, RetryBook
from qts.event.worker import target_of

AUDIT_GRACE_NS: Final = 20 * NS_PER_MS
"""A thread may lose the interpreter between stamping an event and queueing it; that is not our reordering."""
_log: Final = logging.getLogger("qts.event")


class Host(Protocol):
    """What the driver needs of its dispatcher."""

    config: EventConfig
    monitor: Monitor
    reports: Reports
    asleep: bool

    def check_pressure(self) -> None: ...

    def batch_factor(self, priority: EventPriority) -> int: ...


class LoopDriver:
    """Lives from ``start()`` to ``stop()`` of a dispatcher."""

    def __init__(
        self,
        host: Host,
        engine: Engine,
        retries: RetryBook,
        config: EventConfig,
        on_code: Callable[[str, str], None],
    ) -> None:
        self._host = host
        self._engine = engine
        self._retries = retries
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._owner = threading.get_ident()
        self._slice_ns = config.slice_us * NS_PER_US
        self._monitor_ns = 0
        self._wake_lock = threading.Lock()
        self._timers: set[asyncio.TimerHandle] = set()
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._monitor_timer: asyncio.TimerHandle | None = None
        self._runners: dict[int, LaneRunner] = {}
        self._strands: dict[int, StrandRunner] = {}
        self._old_interval = sys.getswitchinterval()
        self._tools = LaneTools(
            config,
            engine,
            self._loop,
            wake=self.wake,
            on_code=on_code,
            on_slow=host.reports.overrun,
            batch_factor=host.batch_factor,
        )
        self._garbage = QuietCollector() if config.collect_when_quiet else None
        self._ended = False

    # -- begin and end -----------------------------------------------------------------------------------------

    def begin(self, entries: Iterable[Entry]) -> None:
        if self._config.switch_interval_us:
            sys.setswitchinterval(self._config.switch_interval_us / 1_000_000)
        self._engine.on_suspended = self._suspended
        self._engine.audit_grace_ns = AUDIT_GRACE_NS
        self._retries.schedule = self._retry_later
        for entry in entries:
            self.attach(entry)
        if self._garbage is not None:
            self._garbage.begin()
        self._tick()
        self.watch_deadline()
        self._host.asleep = True
        self.wake()

    def attach(self, entry: Entry) -> None:
        """Give a handler what it needs to run beside the loop."""
        if entry.lane is Lane.THREAD:
            self._set_runner(entry, ThreadRunner(entry, self._tools))
        elif entry.lane is Lane.PROCESS:
            self._set_runner(entry, process_runner(entry, self._tools))
        elif entry.is_async:
            self._strands[id(entry)] = StrandRunner(entry, self._tools)

    def _set_runner(self, entry: Entry, runner: LaneRunner) -> None:
        self._runners[id(entry)] = runner
        entry.runner = runner
        entry.refresh()

    async def drain(self, timeout_ms: int, *, whole_p0: bool = True) -> None:
        """Wait until P0 is empty and, ``timeout_ms`` at most, the rest. Not ``whole_p0``: P0 no longer either."""
        until = self._loop.time() + timeout_ms / 1_000
        levels = self._engine.levels
        while (whole_p0 and levels[0].is_busy) or (
            self._loop.time() < until and any(level.is_busy for level in levels[: self._engine.floor + 1])
        ):
            await asyncio.sleep(LOOK_S)

    async def end(self, entries: Iterable[Entry]) -> None:
        """Stop running; what lanes still held goes back to be tried by the next start."""
        self._ended = True
        self._host.asleep = False
        for timer in [*self._timers, self._deadline_timer, self._monitor_timer]:
            if timer is not None:
                timer.cancel()
        sys.setswitchinterval(self._old_interval)
        if self._garbage is not None:
            self._garbage.end()
        runners = [runner for entry in entries for runner in self._detach(entry)]
        for entry in entries:
            for hold in entry.holds.values():
                if not hold.parked:
                    self._due_later(hold)
        for runner in runners:  # last: nothing may go on while one of them is waited for
            await runner.close()

    def _detach(self, entry: Entry) -> list[LaneRunner]:
        found = (self._strands.pop(id(entry), None), self._runners.pop(id(entry), None))
        runners = [runner for runner in found if runner is not None]
        entry.runner = None
        for runner in runners:
            for flight in runner.give_up():
                self._retries.hold_for_later(entry, flight)
        entry.refresh()
        return runners

    def in_lane(self, entry: Entry) -> list[Flight]:
        """Events a lane holds for ``entry``."""
        runner = self._runners.get(id(entry)) or self._strands.get(id(entry))
        return runner.pending if runner is not None else []

    # -- slices ------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Let a slice run soon; from any thread, once per burst."""
        with self._wake_lock:
            if not self._host.asleep or self._ended:
                return
            self._host.asleep = False
        if threading.get_ident() == self._owner:
            self._loop.call_soon(self._slice)
            return
        try:
            self._loop.call_soon_threadsafe(self._slice)
        except RuntimeError:  # the loop was closed without stop(): the event stays queued
            _log.warning("an event came after the loop was closed; it stays queued")

    def _slice(self) -> None:
        if self._ended:
            return
        engine = self._engine
        try:
            engine.run(until_ns=stopwatch_ns() + self._slice_ns)
        except Exception as error:  # noqa: BLE001 - the edge of the loop: the next event must still be handled
            _log.exception("the dispatcher's slice failed")
            self._host.reports.add(Report("slice", "dispatcher", "", 0.0, f"{type(error).__name__}: {error}"))
        self._host.check_pressure()
        if engine.has_work():
            self._loop.call_soon(self._slice)
            return
        self._host.asleep = True
        if engine.has_work():  # a thread queued something between the look and the note
            self.wake()

    def _tick(self) -> None:
        """Depths and latencies against their thresholds, and the garbage, every monitoring interval."""
        self._monitor_timer = self._loop.call_later(self._host.config.monitoring_interval_ms / 1_000, self._tick)
        self._host.check_pressure()
        self._host.monitor.check(self._engine.levels)
        if self._garbage is not None:
            self._garbage.look(quiet=self._host.asleep)

    def watch_deadline(self) -> None:
        """Wake up for the deadline when nothing else does."""
        engine = self._engine
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
        if not engine.watching:
            return
        speed = float(getattr(self._engine.clock_owner, "speed", 1.0))
        left_s = max(engine.deadline_ns - engine.clock_ns(), 0) / NS_PER_S / speed
        self._deadline_timer = self._loop.call_later(left_s, self._deadline_came)

    def _deadline_came(self) -> None:
        engine = self._engine
        if engine.clock_ns() >= engine.deadline_ns:
            engine.on_deadline()
        self.watch_deadline()

    # -- what the engine asks for ------------------------------------------------------------------------------

    def _retry_later(self, hold: Hold, delay_s: float) -> None:
        if self._ended:
            self._due_later(hold)
            return
        if delay_s <= 0:
            self._due(hold)
            return

        def come() -> None:
            self._timers.discard(timer)
            self._due(hold)

        timer = self._loop.call_later(delay_s, come)
        self._timers.add(timer)

    def _due(self, hold: Hold) -> None:
        hold.flight.level.due.append(hold)
        self._engine.attention = True
        self.wake()

    def _due_later(self, hold: Hold) -> None:
        """Leave a hold to the next start; once, whoever asks for it."""
        if hold not in hold.flight.level.due:
            hold.flight.level.due.append(hold)

    def _suspended(self, entry: Entry, flight: Flight, suspended: Suspended) -> None:
        strand = self._strands.get(id(entry))
        if strand is None:  # a plain function that turned out to return a coroutine at this call
            strand = self._strands[id(entry)] = StrandRunner(entry, self._tools)
        strand.suspended(flight, suspended)

    def move_to_process(self, entry: Entry) -> None:
        """A P2 or P3 handler that overstays on the loop leaves it, when another process can find it."""
        if entry.lane is not Lane.LOOP or entry.priority < EventPriority.P2_MEDIUM:
            return
        strand = self._strands.get(id(entry))
        if strand is not None and strand.is_working:  # it goes with the events that are left, in their order
            strand.on_rest = partial(self.move_to_process, entry)
            return
        try:
            if not inspect.isfunction(entry.origin):
                raise ContractError(f"{entry.name} is not a plain function: its state lives here")
            entry.target = target_of(entry.origin)
            limit = self._config.max_worker_processes
            if sum(one.lane is Lane.PROCESS for level in self._engine.levels for one in level.entries) >= limit:
                raise ContractError(f"there are {limit} worker processes already (max_worker_processes)")
        except ContractError as error:
            self._host.reports.add(Report("stays", entry.name, "", 0.0, str(error)))
            return
        entry.lane = Lane.PROCESS
        left: list[Flight] = []
        if strand is not None:
            left = strand.give_up()
            strand.retire()
            del self._strands[id(entry)]
        runner = ProcessRunner(entry, self._tools, entry.target)
        self._set_runner(entry, runner)
        for flight in left:
            runner.submit(flight)
        self._host.reports.add(Report("moved", entry.name, "", 0.0, f"now in a process of its own: {entry.target}"))
