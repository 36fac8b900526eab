"""Lanes: where handlers run that must not delay the loop.

Every such handler works on one event (or batch) at a time, so its own order is kept, and has a backlog with the
overflow policy of its priority, so a slow one does not hold up others. A call that exceeds its lane's limit is cut
off.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from qts.clock import NS_PER_MS, stopwatch_ns
from qts.errors import StorageError
from qts.event.config import EventConfig
from qts.event.contracts import Event, EventPriority, EventType
from qts.event.handlers import EventHandler, has_own_batch
from qts.event.queue import BoundedQueue, create_queue
from qts.event.scheduler import Scheduler
from qts.event.task_step import run_as_step
from qts.event.work import HandlerRegistration, InFlightEvent, Suspended, stepped
from qts.threads import start_thread

MAX_ABANDONED_THREADS: Final = 3
"""A thread that hangs cannot be ended; while this many of one handler do, its events are dead-lettered at once."""
Outcome: TypeAlias = tuple[Any, BaseException | None]
"""The outcome of a handler call: its result, or why it failed."""


class LaneTimeout(Exception):
    """A handler was cut off by its lane's limit."""


class LaneTools:
    """The parts of its dispatcher that every lane needs."""

    def __init__(
        self,
        config: EventConfig,
        scheduler: Scheduler,
        loop: asyncio.AbstractEventLoop,
        *,
        wake: Callable[[], None],
        on_code: Callable[[str, str], None],
        on_slow: Callable[[str, Event, int], None],
        batch_factor: Callable[[EventPriority], int],
        on_waits: Callable[[Event], None],
        by_hand: bool = False,
    ) -> None:
        self.config = config
        self.scheduler = scheduler
        self.loop = loop
        self.wake = wake
        self.on_code = on_code
        self.on_slow = on_slow
        self.batch_factor = batch_factor
        self.by_hand = by_hand
        """Whether what waits in a strand is taken by :meth:`StrandRunner.take_next` alone."""
        self.on_waits = on_waits
        """Called with an event that was taken and has to wait behind another of its handler on the loop."""


class LaneRunner(ABC):
    """The base of all lanes: backlog, one batch at a time, the limit. Belongs to the loop's thread."""

    def __init__(self, registration: HandlerRegistration, tools: LaneTools) -> None:
        self.registration = registration
        self.tools = tools
        self.restarts = 0
        self._is_over = False
        self._flights: dict[int, deque[InFlightEvent]] = {}
        self._working: list[InFlightEvent] = []
        self._timer: asyncio.TimerHandle | None = None
        self._backlog = create_queue(tools.config.queue_configs[registration.priority])
        self._backlog.on_lost = self._lost
        self._begun_ns = 0
        self._limit_ms = tools.config.lane_limits[registration.priority]

    @property
    def pending(self) -> list[InFlightEvent]:
        """Return events this handler has not finished with, in order."""
        queued = {number: iter(flights) for number, flights in self._flights.items()}
        return [*self._working, *(next(queued[id(event)]) for event in self._backlog.pending())]

    def submit(self, flight: InFlightEvent) -> None:
        """Accept an event; begin at once when the handler is free and nothing waits for it."""
        if self._working or self._backlog.size():
            self._enqueue(flight)
        else:
            self._begin([flight])

    @abstractmethod
    def _start(self, events: list[Event]) -> None:
        """Begin to work on ``events``; :meth:`_ended` is called on the loop with the outcome of each."""

    @abstractmethod
    def _abandon(self) -> None:
        """Drop the work in progress: its outcome is ignored."""

    @abstractmethod
    async def close(self) -> None:
        """Release the resources of the lane."""

    def stop_now(self) -> list[InFlightEvent]:
        """Stop at once; return the events that were not finished, in order."""
        left = self.pending
        self._is_over = True
        if self._stop_work():
            self._abandon()
        self._release(self._backlog.size())
        return left

    def _enqueue(self, flight: InFlightEvent) -> None:
        backlog = self._backlog
        self._flights.setdefault(id(flight.event), deque()).append(flight)
        if not isinstance(backlog, BoundedQueue):
            backlog.put_nowait(flight.event)
            return
        backlog.put_overflow(flight.event)
        flight.level.queue.held += 1
        if backlog.size() == backlog.capacity + 1:
            self.tools.on_code(
                "FS095", f"handler {self.registration.name}: more than {backlog.capacity} P0 events wait for it"
            )

    def _lost(self, event: Event) -> None:
        flight = self._flight_of(event)
        flight.lost = True
        # with the key it may block: others wait behind it
        self.tools.scheduler.finished(self.registration, flight, None)

    def _flight_of(self, event: Event) -> InFlightEvent:
        """Return the flight of an event that has left the backlog; a source may have sent it more than once."""
        flights = self._flights[id(event)]
        flight = flights.popleft()
        if not flights:
            del self._flights[id(event)]
        self._release(1)
        return flight

    def _release(self, count: int) -> None:
        """Release ``count`` P0 events from the window: others may take their place."""
        if isinstance(self._backlog, BoundedQueue):
            level = self.tools.scheduler.levels[self.registration.priority]
            if level.queue.release(count):
                self.tools.wake()

    def _begin(self, flights: list[InFlightEvent]) -> None:
        self._note_begin(flights)
        self._start([flight.event for flight in flights])

    def _note_begin(self, flights: list[InFlightEvent]) -> None:
        self._working = flights
        self._begun_ns = stopwatch_ns()
        if self._is_ready:
            self._start_clock()

    @property
    def _is_ready(self) -> bool:
        """Return whether work begins at once; a lane that needs setting up starts the clock itself, afterwards."""
        return True

    def _start_clock(self) -> None:
        """Start the limit: the handler has the work from now on."""
        for flight in self._working:
            flight.begin()
        self._begun_ns = stopwatch_ns()
        self._timer = self.tools.loop.call_later(self._limit_ms / 1_000, self._cut_off)

    def _ended(self, outcomes: Sequence[Outcome]) -> None:
        """Finish the work in progress and continue with the backlog."""
        if self._is_over:
            return
        flights = self._stop_work()
        took_ns = stopwatch_ns() - self._begun_ns
        for flight, (result, error) in zip(flights, outcomes, strict=True):
            self._report_slow(flight, took_ns)
            if error is None:
                self.tools.scheduler.finished(self.registration, flight, result)
            else:
                self.tools.scheduler.retries.failed(
                    self.registration, flight, error, fatal=isinstance(error, LaneTimeout)
                )
        self._next()
        self.tools.wake()

    def _report_slow(self, flight: InFlightEvent, took_ns: int) -> None:
        allowed_ms = flight.event.max_process_time_ms
        if allowed_ms and took_ns > allowed_ms * NS_PER_MS:
            self.tools.on_slow(self.registration.name, flight.event, took_ns)

    def _cut_off(self) -> None:
        self._abandon()
        error = LaneTimeout(f"cut off after {self._limit_ms} ms")
        self._ended([(None, error)] * len(self._working))

    def _stop_work(self) -> list[InFlightEvent]:
        flights, self._working = self._working, []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return flights

    def _next(self) -> None:
        if self._working:  # finishing has begun other work already (a retry)
            return
        batch: list[InFlightEvent] = []
        size = self._batch_size()
        while len(batch) < size and (event := self._backlog.get_nowait()) is not None:
            flight = self._flight_of(event)
            if not self.tools.scheduler.retries.wait_behind(self.registration, flight):
                batch.append(flight)
        if batch:
            self._begin(batch)

    def _batch_size(self) -> int:
        if not has_own_batch(self.registration.handler):
            return 1
        return self._backlog.batch_size * self.tools.batch_factor(self.registration.priority)


class StrandRunner(LaneRunner):
    """The strand of an async handler on the loop: what waits for something continues in a task of its own.

    As in other frameworks a strand serialises its calls. The first step runs at once, as part of that task, so most
    events cost no task switch.
    """

    def __init__(self, registration: HandlerRegistration, tools: LaneTools) -> None:
        super().__init__(registration, tools)
        self.on_idle: Callable[[], None] | None = None
        """Called once, as soon as nothing is in work; it may end this strand."""
        call = self._given = registration.call
        self._step: Callable[[Event], Any] = call if registration.is_async else lambda event: stepped(call(event))
        self._task = self._new_task()
        registration.call = self.first_step

    @property
    def is_working(self) -> bool:
        """Return whether the handler is in the middle of an event."""
        return bool(self._working)

    def first_step(self, event: Event) -> Any:
        """Call the handler as if the strand's task did."""
        if asyncio.current_task(self.tools.loop) is not None:
            return self._step(event)
        self._renew()
        return run_as_step(self._task, self._step, event)

    def submit(self, flight: InFlightEvent) -> None:
        """Accept an event, and tell when it has to wait."""
        if self._working or self._backlog.size():
            self.tools.on_waits(flight.event)
        super().submit(flight)

    def suspended(self, flight: InFlightEvent, suspended: Suspended) -> None:
        """Continue a handler whose first step did not finish it."""
        self._note_begin([flight])
        self._hand_over(suspended)
        self.registration.runner = self
        self.registration.refresh()

    def _hand_over(self, suspended: Suspended) -> None:
        self._renew()
        self._handover.set_result(suspended)

    def _renew(self) -> None:
        """Replace a task that a handler has cancelled because it found itself in it."""
        if self._task.cancelling() or self._task.done():
            self._task = self._new_task()

    def _start(self, events: list[Event]) -> None:
        (event,) = events
        began_ns = stopwatch_ns()
        try:
            outcome: Outcome = (self.first_step(event), None)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a handler may raise anything; it is retried and reported
            outcome = (None, error)
        self._report_overrun(event, stopwatch_ns() - began_ns)
        if isinstance(outcome[0], Suspended):
            self._hand_over(outcome[0])
        else:
            self._ended([outcome])

    def _report_overrun(self, event: Event, took_ns: int) -> None:
        """Report a step that exceeded the loop's limit, which holds for every step."""
        if took_ns > self.tools.scheduler.limit_ns:
            self.tools.scheduler.on_overrun(self.registration, event, took_ns)

    def _next(self) -> None:
        """Schedule the next event: higher priorities are checked before each call."""
        if self.tools.by_hand:
            return
        if self._backlog.size() or self.on_idle is not None:
            self.tools.loop.call_soon(self._continue)

    @property
    def next_type(self) -> EventType | None:
        """Return the type of the event that can begin, because nothing is in work; None: none can."""
        if self._working or not self._backlog.size():
            return None
        return self._backlog.pending()[0].event_type

    def take_next(self) -> None:
        """Begin with the next event, where that is done by hand."""
        super()._next()

    def _continue(self) -> None:
        if self._working:
            return
        on_idle, self.on_idle = self.on_idle, None
        if on_idle is not None:
            on_idle()
        if not self._is_over:
            super()._next()

    def _abandon(self) -> None:
        self._task.cancel()
        self._task = self._new_task()
        self.restarts += 1

    def restore_handler(self) -> None:
        """Restore the handler's own call and end the task."""
        self.registration.call = self._given
        self._task.cancel()

    async def close(self) -> None:
        """Restore the handler and wait for the end of the task."""
        self.restore_handler()
        await asyncio.gather(self._task, return_exceptions=True)

    def _new_task(self) -> asyncio.Task[None]:
        self._handover: asyncio.Future[Suspended] = self.tools.loop.create_future()
        task = self.tools.loop.create_task(self._run(self._handover), name=f"qts-strand-{self.registration.name}")
        task.add_done_callback(_raise_in_loop)
        return task

    async def _run(self, handover: asyncio.Future[Suspended]) -> None:
        """Finish what is handed over, until this task is cancelled by the lane or by the handler itself.

        A handler may raise CancelledError without being cancelled, from something it awaited: that is a failure
        like any other. One that cancels itself ends this task with its event; the next call makes another task.
        """
        task = asyncio.current_task()
        assert task is not None
        while not task.cancelling():
            suspended = await handover
            outcome = await _Remainder(suspended, partial(self._report_overrun, self._working[0].event))
            if handover is not self._handover:  # abandoned: the outcome is ignored
                return
            handover = self._handover = self.tools.loop.create_future()
            self._ended([outcome])

    def _batch_size(self) -> int:
        return 1


def _raise_in_loop(task: asyncio.Task[None]) -> None:
    """Raise what has ended the task of a strand, such as a lack of memory, as an error of the loop.

    What it was about to finish would otherwise stay half done without anyone noticing.
    """
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error


class _Remainder:
    """The rest of a coroutine whose first step has been run elsewhere; awaiting it returns the outcome.

    ``timed`` is called with the nanoseconds of each step.
    """

    __slots__ = ("_suspended", "_timed")

    def __init__(self, suspended: Suspended, timed: Callable[[int], None]) -> None:
        self._suspended = suspended
        self._timed = timed

    def __await__(self) -> Generator[Any, Any, Outcome]:
        coroutine, awaited = self._suspended.coroutine, self._suspended.awaited
        while True:
            try:
                sent = yield awaited
            except GeneratorExit:  # the loop is gone
                coroutine.close()
                raise
            except BaseException as error:  # noqa: BLE001 - whatever it is belongs to the coroutine
                step, value = coroutine.throw, error
            else:
                step, value = coroutine.send, sent
            began_ns = stopwatch_ns()
            try:
                awaited = step(value)
            except StopIteration as finished:
                return finished.value, None
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - a handler may raise anything; it is retried and reported
                return None, error
            finally:
                self._timed(stopwatch_ns() - began_ns)


class ThreadRunner(LaneRunner):
    """The lane of blocking I/O: one daemon thread per handler.

    A thread past the limit is abandoned and replaced.
    """

    def __init__(self, registration: HandlerRegistration, tools: LaneTools) -> None:
        super().__init__(registration, tools)
        self._jobs: queue.SimpleQueue[list[Event] | None] | None = None
        self._thread: threading.Thread | None = None
        self._abandoned: list[threading.Thread] = []

    def _start(self, events: list[Event]) -> None:
        self._abandoned = [thread for thread in self._abandoned if thread.is_alive()]
        if len(self._abandoned) >= MAX_ABANDONED_THREADS:
            error = LaneTimeout(f"{len(self._abandoned)} threads of this handler hang")
            self.tools.loop.call_soon(self._ended, [(None, error)] * len(events))
            return
        if self._jobs is None:
            try:
                self._jobs = self._new_thread()
            except StorageError as error:  # the handler has failed, and is tried again when there may be room
                self.tools.loop.call_soon(self._ended, [(None, error)] * len(events))
                return
        self._jobs.put(events)

    def _abandon(self) -> None:
        if self._jobs is not None and self._thread is not None:
            self._jobs.put(None)
            self._abandoned.append(self._thread)
            self._jobs = self._thread = None
            self.restarts += 1

    async def close(self) -> None:
        """Let the thread end after its present job, without waiting for it."""
        if self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None

    def _new_thread(self) -> queue.SimpleQueue[list[Event] | None]:
        jobs: queue.SimpleQueue[list[Event] | None] = queue.SimpleQueue()

        def report(outcomes: list[Outcome]) -> None:
            self.tools.loop.call_soon_threadsafe(self._on_outcomes, jobs, outcomes)

        name = f"qts-lane-{self.registration.name}"
        self._thread = start_thread(lambda: run_jobs(jobs, self.registration.handler, report), name)
        return jobs

    def _on_outcomes(self, jobs: object, outcomes: list[Outcome]) -> None:
        if jobs is self._jobs and self._working:
            self._ended(outcomes)


def run_jobs(
    jobs: queue.SimpleQueue[list[Event] | None],
    handler: EventHandler,
    report: Callable[[list[Outcome]], None],
) -> None:
    """Process jobs on a lane's thread until None comes. The result of a batch is that of its first event."""
    with asyncio.Runner() as runner:
        while (events := jobs.get()) is not None:
            try:
                outcomes: list[Outcome] = [
                    (runner.run(handler.handle_batch(events)), None),
                    *[(None, None)] * (len(events) - 1),
                ]
            except BaseException as error:  # noqa: BLE001 - exit and cancellation too: they end only this job
                outcomes = [(None, error)] * len(events)
            try:
                report(outcomes)
            except RuntimeError:  # the loop is closed: no one listens any more
                return
