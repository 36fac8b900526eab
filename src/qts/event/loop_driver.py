"""The driver of the scheduler on an asyncio loop: one short slice after the other, asleep when idle."""

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
from qts.event.admission import Admission
from qts.event.backpressure import Pauses
from qts.event.config import EventConfig
from qts.event.contracts import Event, EventPriority, EventType, Lane
from qts.event.gc_control import GcController
from qts.event.lanes import LaneRunner, LaneTools, StrandRunner, ThreadRunner
from qts.event.monitoring import Monitor, Report, Reports
from qts.event.process_lane import ProcessRunner
from qts.event.remote_lane import process_runner
from qts.event.retry import RetryBook
from qts.event.scheduler import Scheduler
from qts.event.stats import LOOK_S
from qts.event.work import BlockedKey, HandlerRegistration, InFlightEvent, Suspended
from qts.event.worker import target_of

_HALF_US: Final = 5e-7
"""Added to an interval that is restored: the interpreter cuts off what is below a microsecond."""
AUDIT_GRACE_NS: Final = 20 * NS_PER_MS
"""Tolerance of the priority audit: a thread may lose the interpreter between stamping an event and queueing it."""
_log: Final = logging.getLogger("qts.event")


class Host(Protocol):
    """The part of the dispatcher that the driver needs."""

    config: EventConfig
    """The configuration in force; reloadable settings change while running."""
    monitor: Monitor
    reports: Reports
    on_waits: Callable[[Event], None]
    """Called with an event that was taken and has to wait behind another of its handler on the loop."""
    on_pressure: Callable[[EventPriority], object]
    """Called with the lowest priority that filling queues leave running, after each change."""


class LoopDriver:
    """The driver of one dispatcher from ``start()`` to ``stop()``.

    ``by_hand``: only :meth:`take_one` takes events above P3.
    """

    def __init__(
        self,
        host: Host,
        scheduler: Scheduler,
        retries: RetryBook,
        pauses: Pauses,
        admission: Admission,
        on_code: Callable[[str, str], None],
        *,
        by_hand: bool = False,
    ) -> None:
        self._by_hand = by_hand
        self._host = host
        self._scheduler = scheduler
        self._retries = retries
        self._pauses = pauses
        self._admission = admission
        self._config = config = host.config
        self._loop = asyncio.get_running_loop()
        self._owner = threading.get_ident()
        self._slice_ns = config.slice_us * NS_PER_US
        self._wake_lock = threading.Lock()
        self._timers: set[asyncio.TimerHandle] = set()
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._monitor_timer: asyncio.TimerHandle | None = None
        self._runners: dict[int, LaneRunner] = {}
        self._strands: dict[int, StrandRunner] = {}
        self._old_interval = sys.getswitchinterval()
        self._tools = LaneTools(
            config,
            scheduler,
            self._loop,
            wake=self.wake,
            on_code=on_code,
            on_slow=host.reports.overrun,
            batch_factor=pauses.batch_factor,
            on_waits=host.on_waits,
            by_hand=by_hand,
        )
        self._collector = GcController() if config.collect_when_quiet else None
        self._ended = False

    # -- begin and end -----------------------------------------------------------------------------------------

    def begin(self, registrations: Iterable[HandlerRegistration]) -> None:
        """Start running with these handlers."""
        if self._config.switch_interval_us:
            sys.setswitchinterval(self._config.switch_interval_us / 1_000_000)
        self._scheduler.on_suspended = self._suspended
        self._scheduler.audit_grace_ns = AUDIT_GRACE_NS
        self._retries.schedule = self._retry_later
        for registration in registrations:
            self.attach(registration)
        if self._collector is not None:
            self._collector.begin()
        self._tick()
        self.watch_deadline()
        self._admission.asleep = True
        self.wake()

    def attach(self, registration: HandlerRegistration) -> None:
        """Attach the runner that a handler off the loop needs."""
        if registration.lane is Lane.THREAD:
            self._set_runner(registration, ThreadRunner(registration, self._tools))
        elif registration.lane is Lane.PROCESS:
            self._set_runner(registration, process_runner(registration, self._tools))
        elif registration.is_async:
            self._strands[id(registration)] = StrandRunner(registration, self._tools)

    def _set_runner(self, registration: HandlerRegistration, runner: LaneRunner) -> None:
        self._runners[id(registration)] = runner
        registration.runner = runner
        registration.refresh()

    async def drain(self, timeout_ms: int, *, whole_p0: bool = True) -> None:
        """Wait until P0 is empty and, ``timeout_ms`` at most, the rest. Not ``whole_p0``: P0 no longer either."""
        until = self._loop.time() + timeout_ms / 1_000
        levels = self._scheduler.levels
        while (whole_p0 and levels[0].is_busy) or (
            self._loop.time() < until and any(level.is_busy for level in levels[: self._scheduler.floor + 1])
        ):
            await asyncio.sleep(LOOK_S)

    async def end(self, registrations: Iterable[HandlerRegistration]) -> None:
        """Stop running; what lanes still held is kept for the next start."""
        self._ended = True
        self._admission.asleep = False
        for timer in [*self._timers, self._deadline_timer, self._monitor_timer]:
            if timer is not None:
                timer.cancel()
        sys.setswitchinterval(self._old_interval + _HALF_US)
        if self._collector is not None:
            self._collector.end()
        runners = [runner for registration in registrations for runner in self._detach(registration)]
        for registration in registrations:
            for blocked in registration.blocked_keys.values():
                if not blocked.parked:
                    self._due_later(blocked)
        for runner in runners:  # last: nothing may run while one of them is waited for
            await runner.close()

    def _detach(self, registration: HandlerRegistration) -> list[LaneRunner]:
        found = (self._strands.pop(id(registration), None), self._runners.pop(id(registration), None))
        runners = [runner for runner in found if runner is not None]
        registration.runner = None
        for runner in runners:
            for flight in runner.stop_now():
                self._retries.block_until_start(registration, flight)
        registration.refresh()
        return runners

    def in_lane(self, registration: HandlerRegistration) -> list[InFlightEvent]:
        """Return the events that a lane holds for ``registration``."""
        runner = self._runners.get(id(registration)) or self._strands.get(id(registration))
        return runner.pending if runner is not None else []

    # -- slices ------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Let a slice run soon; from any thread, once per burst."""
        with self._wake_lock:
            if not self._admission.asleep or self._ended:
                return
            self._admission.asleep = False
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
        if self._by_hand:
            self._admission.asleep = True
            self._take_lowest()
            return
        scheduler = self._scheduler
        try:
            scheduler.run(until_ns=stopwatch_ns() + self._slice_ns)
        except Exception as error:  # noqa: BLE001 - the edge of the loop: the next event must still be handled
            _log.exception("the dispatcher's slice failed")
            self._host.reports.add(Report("slice", "dispatcher", "", 0.0, f"{type(error).__name__}: {error}"))
        self._check_pressure()
        if scheduler.has_work():
            self._loop.call_soon(self._slice)
            return
        self._admission.asleep = True
        if scheduler.has_work():  # a thread queued something between the check and the note
            self.wake()

    def take_one(self, event_type: EventType | None) -> None:
        """Take one event above P3, where slices do not run by themselves; one of a strand comes first.

        None: what waits in a strand goes on waiting.
        """
        strand = next((one for one in self._strands.values() if one.next_type is event_type), None)
        if event_type is not None and strand is not None:
            strand.take_next()
        else:
            self._scheduler.run(EventPriority.P2_MEDIUM, until_ns=0)
        self._take_lowest()

    def _take_lowest(self) -> None:
        """Take what waits in P3 while nothing above does."""
        if not any(level.due or level.items for level in self._scheduler.levels[:3]):
            self._scheduler.run(until_ns=stopwatch_ns() + self._slice_ns)

    def _check_pressure(self) -> None:
        if not self._by_hand and self._pauses.check_pressure():
            self._host.on_pressure(self._pauses.under_pressure)

    def _tick(self) -> None:
        """Check depths and latencies, and collect garbage, every monitoring interval."""
        self._monitor_timer = self._loop.call_later(self._host.config.monitoring_interval_ms / 1_000, self._tick)
        self._check_pressure()
        self._host.monitor.check(self._scheduler.levels)
        if self._collector is not None:
            self._collector.maybe_collect(quiet=self._admission.asleep)

    def watch_deadline(self) -> None:
        """Set a timer for the deadline, for when nothing else wakes the loop."""
        scheduler = self._scheduler
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
        if not scheduler.watching:
            return
        speed = float(getattr(self._scheduler.clock_owner, "speed", 1.0))
        left_s = max(scheduler.deadline_ns - scheduler.clock_ns(), 0) / NS_PER_S / speed
        self._deadline_timer = self._loop.call_later(left_s, self._deadline_came)

    def _deadline_came(self) -> None:
        scheduler = self._scheduler
        if scheduler.clock_ns() >= scheduler.deadline_ns:
            scheduler.on_deadline()
        self.watch_deadline()

    # -- called by the scheduler -----------------------------------------------------------------------------

    def _retry_later(self, blocked: BlockedKey, delay_s: float) -> None:
        if self._ended:
            self._due_later(blocked)
            return
        if delay_s <= 0:
            self._due(blocked)
            return

        def come() -> None:
            self._timers.discard(timer)
            self._due(blocked)

        timer = self._loop.call_later(delay_s, come)
        self._timers.add(timer)

    def _due(self, blocked: BlockedKey) -> None:
        blocked.flight.level.due.append(blocked)
        self._scheduler.must_recheck = True
        self.wake()

    def _due_later(self, blocked: BlockedKey) -> None:
        """Keep a blocked key for the next start, once."""
        if blocked not in blocked.flight.level.due:
            blocked.flight.level.due.append(blocked)

    def _suspended(self, registration: HandlerRegistration, flight: InFlightEvent, suspended: Suspended) -> None:
        strand = self._strands.get(id(registration))
        if strand is None:  # a plain function that turned out to return a coroutine at this call
            strand = self._strands[id(registration)] = StrandRunner(registration, self._tools)
        strand.suspended(flight, suspended)

    def move_to_process(self, registration: HandlerRegistration) -> None:
        """Move a P2 or P3 handler that is too slow for the loop to a process, if one can import it."""
        if registration.lane is not Lane.LOOP or registration.priority < EventPriority.P2_MEDIUM:
            return
        strand = self._strands.get(id(registration))
        if strand is not None and strand.is_working:  # it moves with the events that are left, in their order
            strand.on_idle = partial(self.move_to_process, registration)
            return
        try:
            if not inspect.isfunction(registration.origin):
                raise ContractError(f"{registration.name} is not a plain function: its state lives here")
            registration.target = target_of(registration.origin)
            limit = self._config.max_worker_processes
            if (
                sum(one.lane is Lane.PROCESS for level in self._scheduler.levels for one in level.registrations)
                >= limit
            ):
                raise ContractError(f"there are {limit} worker processes already (max_worker_processes)")
        except ContractError as error:
            self._host.reports.add(Report("stays", registration.name, "", 0.0, str(error)))
            return
        registration.lane = Lane.PROCESS
        left: list[InFlightEvent] = []
        if strand is not None:
            left = strand.stop_now()
            strand.restore_handler()
            del self._strands[id(registration)]
        runner = ProcessRunner(registration, self._tools, registration.target)
        self._set_runner(registration, runner)
        for flight in left:
            runner.submit(flight)
        self._host.reports.add(
            Report("moved", registration.name, "", 0.0, f"now in a process of its own: {registration.target}")
        )
