"""The scheduler: takes events in strict priority and calls their handlers.

The same code runs on the virtual clock, where it is called until everything is done, and on an event loop,
where it is called for one time slice after the other. It knows neither threads nor asyncio: what a handler
cannot finish at once is given to its *runner* (lanes), and a key whose event failed is *blocked* (retries).
"""

from __future__ import annotations

from collections.abc import Callable
from types import CoroutineType
from typing import Any, Final, TypeAlias

from qts.clock import NS_PER_US, Clock, stopwatch_ns
from qts.errors import StateError
from qts.event.config import EventConfig
from qts.event.contracts import Event, EventFactory, EventPriority, EventType
from qts.event.handlers import events_in
from qts.event.retry import RetryBook
from qts.event.stream import Stream
from qts.event.work import (
    RAISED,
    BlockedKey,
    HandlerRegistration,
    InFlightEvent,
    PriorityLevel,
    Suspended,
    blocking_key,
    step,
    stepped,
)
from qts.histogram import INDEX_BY_8NS, INDEXED_NS

FOREVER_NS: Final = 1 << 62
_LOWEST: Final = EventPriority.P3_LOW
_P1: Final = EventPriority.P1_HIGH
OnOverrun: TypeAlias = Callable[[HandlerRegistration, Event, int], None]
"""Called with a handler, the event that took it too long, and its duration in nanoseconds."""
_make: Final[Callable[..., Event]] = Event  # with id and time in their stored form, as numbers


class Scheduler:
    """A scheduler with strict priority over four levels. Belongs to one thread.

    ``floor`` is the lowest priority that may run now. ``must_recheck`` makes a running batch stop after the present
    event, because something else may go first. ``deadline_ns`` (of ``clock_ns``) is when
    ``on_deadline`` is called next, between two handler calls, whatever is queued.
    """

    __slots__ = (
        "_served", "audit_grace_ns", "clock_ns", "clock_owner", "deadline_ns", "emit",
        "factory", "floor", "levels", "limit_ns", "must_recheck", "on_deadline",
        "on_deadline_failure", "on_overrun", "on_queue_failure", "on_suspended",
        "retries", "sample_rows", "serving", "stamp_ns", "starts_violating", "unmeasured", "unmeasured_rows",
        "watching",
    )  # fmt: skip

    def __init__(
        self, config: EventConfig, levels: tuple[PriorityLevel, ...], retries: RetryBook, clock: Clock
    ) -> None:
        self.levels = levels
        self._served = [levels[: count + 1] for count in range(len(levels))]
        self.must_recheck = False
        self.rewire()
        self.retries = retries
        self.clock_owner = clock
        self.clock_ns = clock.monotonic_ns
        self.floor = int(EventPriority.P3_LOW)
        self.limit_ns = config.loop_handler_limit_us * NS_PER_US
        self.sample_rows = config.latency_sample_rows
        self.unmeasured_rows = 0
        """Rows that a stream will still give before the latency of one is measured."""
        self.unmeasured: Event | None = None
        """The newest event of a stream that had to be queued and whose latency is not measured."""
        self.must_recheck = False
        self.serving = -1
        self.stamp_ns = 0
        self.starts_violating = 0
        self.audit_grace_ns = 0
        self.watching = False
        self.deadline_ns = FOREVER_NS
        self.on_deadline: Callable[[], None] = lambda: None
        self.on_deadline_failure: Callable[[BaseException], None] = _raise
        self.factory: EventFactory | None = None
        self.emit: Callable[[Event], Any] = lambda event: None
        self.on_overrun: OnOverrun = lambda handler, event, took_ns: None
        self.on_queue_failure: Callable[[PriorityLevel, Exception], None] = _raise_queue_failure
        self.on_suspended: Callable[[HandlerRegistration, InFlightEvent, Suspended], None] = _refuse_suspension

    def run(self, lowest: int = _LOWEST, until_ns: int = FOREVER_NS, stream: Stream | None = None) -> int:
        """Handle what is queued at ``lowest`` or higher until nothing is left or the stopwatch shows ``until_ns``.

        ``stream`` is drawn from whenever nothing is left, until it ends or is paused. Returns the number of
        events taken.
        """
        taken = 0
        while True:
            self.must_recheck = False
            if self.watching and self.clock_ns() >= self.deadline_ns:
                self.on_deadline()
            floor = self.floor
            if lowest is not _LOWEST and lowest < floor:
                floor = lowest
            for level in self._served[floor]:
                if level.due:
                    self._retry(level.due.popleft())
                    if self.stamp_ns >= until_ns:
                        return taken
                    break
                if level.items:
                    taken += self._drain(level, until_ns)
                    if self.stamp_ns >= until_ns:
                        return taken
                    if self.must_recheck:  # something above came up, or anything else changed
                        break
            else:
                if stream is None or stream.ended or stream.paused:
                    return taken
                taken += self._draw(self.levels[_P1], stream)

    def watch(self, callback: Callable[[], None], interval_ns: int) -> None:
        """Call ``callback`` every ``interval_ns`` of the clock; this is checked before every handler call."""

        def fire() -> None:
            self.deadline_ns = self.clock_ns() + interval_ns
            try:
                callback()
            except RAISED as error:  # it must come again, whatever happened this time
                self.on_deadline_failure(error)

        self.on_deadline = fire
        self.deadline_ns = self.clock_ns() + interval_ns
        self.watching = self.must_recheck = True

    def rewire(self) -> None:
        """Refresh what the loop needs of every level; call it after a queue or a handler was added."""
        for level in self.levels:
            higher = [*(one.items for one in self.levels[: level.number]), (), (), ()]
            level.loop = (
                level.number, level.items, level.routes, level.queue, level.queue.takes_directly,
                *higher[:3], level.wait, level.wait.counts, level.work, level.work.counts, level.on_done,
            )  # fmt: skip
        self.must_recheck = True

    def has_work(self) -> bool:
        """Return whether :meth:`run` would find something to do."""
        return any(level.due or level.items for level in self.levels[: self.floor + 1])

    def _drain(self, level: PriorityLevel, until_ns: int) -> int:
        """Handle the events of one level until it is empty or something above it waits.

        This loop runs for every event: counting and both histograms are written out in it.
        """
        number, items, routes, queue, direct, first, second, third, wait, waits, work, works, on_done = level.loop
        limit_ns = self.limit_ns
        outer, self.serving = self.serving, number
        taken = started = 0
        unmeasured = self.unmeasured
        now = stopwatch_ns()
        try:
            while items and not (first or second or third or self.must_recheck):
                if self.watching and self.clock_ns() >= self.deadline_ns:
                    self.on_deadline()
                try:
                    if direct:
                        event = items.popleft()
                        queue.taken += 1
                    else:
                        event = queue.get_nowait()
                except Exception as error:  # noqa: BLE001 - whatever broke the queue, it is rebuilt and reported
                    self.on_queue_failure(level, error)
                    break
                taken += 1
                if event.accepted_ns > now:
                    now = stopwatch_ns()
                started = now
                handlers = routes[event.event_type]
                spent = now - event.accepted_ns
                if event is unmeasured or (handlers and handlers[0].special):
                    pass  # or recorded when its lane begins with it, or its key is unblocked
                elif spent < INDEXED_NS:
                    waits[INDEX_BY_8NS[spent >> 3]] += 1
                    if spent > wait.max_ns:
                        wait.max_ns = spent
                else:
                    wait.record(spent)
                flight: InFlightEvent | None = None
                for handler in handlers:
                    if first or second or third:
                        self._serve_above(number)
                        now = stopwatch_ns()
                    if handler.special:
                        flight = self._divert(handler, event, level, flight, started, first=handler is handlers[0])
                        continue
                    call = handler.call  # apart from calling it: as a method call CPython searches the class first
                    try:
                        result = call(event)
                    except RAISED as error:  # it is retried and reported
                        flight = self._failed(handler, event, level, flight, started, error)
                        result = None
                    if result is not None:
                        flight = self._result(handler, event, level, flight, started, result)
                    ended = stopwatch_ns()
                    if ended - now > limit_ns:
                        self.on_overrun(handler, event, ended - now)
                    now = ended
                if flight is None:
                    level.finished += 1
                    spent = now - started
                    if event is unmeasured:
                        pass
                    elif spent < INDEXED_NS:
                        works[INDEX_BY_8NS[spent >> 3]] += 1
                        if spent > work.max_ns:
                            work.max_ns = spent
                    else:
                        work.record(spent)
                    if on_done is not None:
                        on_done(event, False)
                else:
                    flight.done()
                if now >= until_ns:
                    break
            if first or second or third:
                self.must_recheck = True
                self._audit(number, started)
        finally:
            self.serving = outer
            self.stamp_ns = now
        return taken

    def _draw(self, level: PriorityLevel, stream: Stream) -> int:
        """Handle what ``stream`` gives until it ends or something is queued; the loop of every replay.

        Only the plain case is handled here: an event with no handler, or with one that needs no care. Everything
        else goes into the queue. This loop runs for many rows of a replay and takes as few steps as it can: of
        ``sample_rows`` rows only the first has its latency measured, and the others bear its accept stamp.
        """
        plan, source, wait, work = stream.plan(level.routes).get, stream.source, level.wait, level.work
        first, items, queued2, queued3 = (one.items for one in self.levels)
        factory = self.factory
        assert factory is not None
        numbers, time_ns, run = factory.numbers, factory.time_ns, factory.run
        waits, works = wait.counts, work.counts
        watching, clock_ns = self.watching, self.clock_ns
        outer, self.serving = self.serving, level.number
        drawn, in_hand, straight, accepted = 0, False, False, stopwatch_ns()
        kind: type | None = None
        event_type: EventType | None = None
        call: Callable[[Event], Any] = _no_handler
        handler: Any = None
        try:
            for payload in stream.payloads:
                if payload is None:
                    return drawn
                measured = not self.unmeasured_rows
                if measured:
                    self.unmeasured_rows = self.sample_rows
                    accepted = stopwatch_ns()
                self.unmeasured_rows -= 1
                if payload.__class__ is not kind:
                    kind = payload.__class__
                    planned = plan(kind)
                    if planned is None:
                        raise stream.unlisted(payload)
                    event_type, handlers = planned
                    handler = handlers[0] if handlers else None
                    call = _no_handler if handler is None else handler.call
                    straight = self.floor >= _P1 and len(handlers) < 2 and not (handler and handler.special)
                event = _make(event_type, _P1, source, payload, next(numbers), time_ns(), run, accepted)
                if watching and clock_ns() >= self.deadline_ns:
                    self.on_deadline()
                if first or items or self.must_recheck or not straight:  # the stream or the deadline may publish
                    if not measured:
                        self.unmeasured = event
                    self.emit(event)
                    return drawn
                drawn += 1
                level.passed += 1
                in_hand = True
                flight: InFlightEvent | None = None
                started = stopwatch_ns() if measured else 0
                try:
                    result = call(event)
                except RAISED as error:  # it is retried and reported
                    flight = self._failed(handler, event, level, None, started, error)
                else:
                    if result is not None:
                        flight = self._result(handler, event, level, None, started, result)
                in_hand = False
                if measured:
                    ended = stopwatch_ns()
                    spent = started - accepted
                    if spent < INDEXED_NS:
                        waits[INDEX_BY_8NS[spent >> 3]] += 1
                        if spent > wait.max_ns:
                            wait.max_ns = spent
                    else:
                        wait.record(spent)
                    spent = ended - started
                    if flight is not None:
                        pass  # recorded when the last of its attempts has ended
                    elif spent < INDEXED_NS:
                        works[INDEX_BY_8NS[spent >> 3]] += 1
                        if spent > work.max_ns:
                            work.max_ns = spent
                    else:
                        work.record(spent)
                if flight is not None:
                    _count_as_queued(level)
                    flight.done()
                    return drawn
                if first or items or queued2 or queued3 or self.must_recheck:
                    return drawn
            stream.ended = True
            return drawn
        finally:
            self.serving = outer
            if in_hand:  # an event that cannot be continued is not handled
                _count_as_queued(level)

    def _audit(self, number: int, started_ns: int) -> None:
        """Count a violation when an event above ``number`` had waited already as the last handler call started."""
        for level in self.levels[:number]:
            waiting = level.queue.peek()
            if waiting is not None and waiting.accepted_ns < started_ns - self.audit_grace_ns:
                self.starts_violating += 1
                return

    def _serve_above(self, number: int) -> None:
        """Handle everything above ``number`` before the next handler call of an event already begun.

        The batch that is interrupted checks all levels again afterwards, for what was queued meanwhile.
        """
        self.run(number - 1)
        self.must_recheck = True

    def _divert(
        self,
        handler: HandlerRegistration,
        event: Event,
        level: PriorityLevel,
        flight: InFlightEvent | None,
        started: int,
        *,
        first: bool,
    ) -> InFlightEvent:
        """Pass the event to the handler's runner, or let it wait behind an earlier one of its key."""
        flight = flight or self._in_flight(event, level, started)
        flight.open += 1
        flight.waits = first and event is not self.unmeasured
        if not self.retries.wait_behind(handler, flight):
            self._call(handler, flight)
        return flight

    def _in_flight(self, event: Event, level: PriorityLevel, started: int) -> InFlightEvent:
        return InFlightEvent(event, level, 0 if event is self.unmeasured else started)

    def _failed(
        self,
        handler: HandlerRegistration,
        event: Event,
        level: PriorityLevel,
        flight: InFlightEvent | None,
        started: int,
        error: BaseException,
    ) -> InFlightEvent:
        flight = flight or self._in_flight(event, level, started)
        flight.open += 1
        self.retries.failed(handler, flight, error)
        return flight

    def _result(
        self,
        handler: HandlerRegistration,
        event: Event,
        level: PriorityLevel,
        flight: InFlightEvent | None,
        started: int,
        result: Any,
    ) -> InFlightEvent | None:
        """Process a handler's result: dispatch events, continue a coroutine."""
        if isinstance(result, CoroutineType):
            try:
                result = step(result)
            except RAISED as error:  # it is retried and reported
                return self._failed(handler, event, level, flight, started, error)
        if isinstance(result, Suspended):
            flight = flight or self._in_flight(event, level, started)
            flight.open += 1
            self.on_suspended(handler, flight, result)
        else:
            try:
                for out in events_in(result):
                    self.emit(out)
            except RAISED as error:  # what it returned is refused: its failure, not that of the present event
                return self._failed(handler, event, level, flight, started, error)
        return flight

    def _retry(self, blocked: BlockedKey) -> None:
        """Try the event of a blocked key again."""
        before, self.serving = self.serving, blocked.flight.level.number
        try:
            self._call(blocked.registration, blocked.flight, blocked)
        finally:
            self.serving = before
            self.stamp_ns = stopwatch_ns()

    def _call(self, handler: HandlerRegistration, flight: InFlightEvent, blocked: BlockedKey | None = None) -> None:
        """Call a handler that needs care: through its runner, or with its blocked key to be unblocked."""
        if handler.runner is not None:
            handler.runner.submit(flight)
            return
        began_ns = stopwatch_ns()
        self._attempt(handler, flight, blocked)
        took_ns = stopwatch_ns() - began_ns
        if took_ns > self.limit_ns:
            self.on_overrun(handler, flight.event, took_ns)

    def _attempt(self, handler: HandlerRegistration, flight: InFlightEvent, blocked: BlockedKey | None) -> None:
        """Call a handler now and process the outcome."""
        flight.begin()
        try:
            result = stepped(handler.call(flight.event))
        except RAISED as error:  # it is retried and reported
            self.retries.failed(handler, flight, error)
            return
        if isinstance(result, Suspended):
            self.on_suspended(handler, flight, result)
            return
        self.finished(handler, flight, result, blocked)

    def finished(
        self,
        handler: HandlerRegistration,
        flight: InFlightEvent,
        result: Any,
        blocked: BlockedKey | None = None,
    ) -> None:
        """Finish an event of one handler: dispatch what it returned, count it, unblock the next of its key."""
        try:
            for out in events_in(result):
                self.emit(out)
        except RAISED as error:  # what it returned is refused
            self.retries.failed(handler, flight, error)
            return
        blocked = blocked or handler.blocked_keys.get(blocking_key(flight.event))
        if blocked is not None and blocked.flight is flight:
            self.retries.succeeded(blocked)
        else:
            flight.done()


def _count_as_queued(level: PriorityLevel) -> None:
    """Count an event of a stream that is not finished like one that had to wait."""
    level.passed -= 1
    level.queue.count_passed()


def _refuse_suspension(handler: HandlerRegistration, flight: InFlightEvent, suspended: Suspended) -> None:
    suspended.coroutine.close()
    raise StateError(
        f"handler {handler.name!r} waited for something while handling {flight.event.event_type.value}: on the "
        "virtual clock handlers must finish at once; take the await out or run with the real clock"
    )


def _raise(error: BaseException) -> None:
    raise error


def _raise_queue_failure(level: PriorityLevel, error: Exception) -> None:
    raise error


def _no_handler(event: object) -> None:
    """Do nothing, in place of a handler, when there is none for events of this type."""
