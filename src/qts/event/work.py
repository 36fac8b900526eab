"""The work of the dispatcher: priority levels, handler registrations, events in flight, blocked keys.

They refer to each other: a level to its registrations, an event in flight to its level, a blocked key to its
registration and the events that wait, a registration to the keys that are blocked for it. Only a level's queue is
safe for threads; everything else belongs to the thread on which events are handled.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Collection
from types import CoroutineType
from typing import Any, Final, Protocol

from qts.clock import stopwatch_ns
from qts.event.contracts import Event, EventPriority, EventType, Lane, stored_id
from qts.event.handlers import EventHandler, direct_call, name_of, types_of
from qts.event.ordering_keys import order_key
from qts.event.queue import EventQueue
from qts.histogram import Histogram

OVERRUNS_BELONG_TOGETHER: Final = 100
RAISED: Final = (Exception, CancelledError, GeneratorExit)
"""What a handler may raise without ending the dispatcher: that something it waited for was cancelled is the
handler's failure, not the end of the loop. SystemExit and KeyboardInterrupt end the process, as they are meant
to."""


class PriorityLevel:
    """One priority: its queue, its handlers by type, the keys due for another attempt, and its counters."""

    __slots__ = (
        "dead_lettered",
        "due",
        "finished",
        "in_flight",
        "items",
        "loop",
        "lost",
        "number",
        "on_done",
        "passed",
        "priority",
        "queue",
        "registrations",
        "rejected",
        "routes",
        "wait",
        "work",
    )  # fmt: skip

    def __init__(self, priority: EventPriority, queue: EventQueue) -> None:
        self.priority = priority
        self.number = int(priority)
        self.registrations: list[HandlerRegistration] = []
        self.due: deque[BlockedKey] = deque()
        self.wait = Histogram()
        self.work = Histogram()
        self.finished = self.rejected = self.dead_lettered = self.lost = self.in_flight = 0
        self.passed = 0
        """Events that went straight from a stream to their handlers: in no counter of the queue, nor in
        ``finished``."""
        self.loop: tuple[Any, ...] = ()
        self.on_done: Callable[[Event, bool], None] | None = None
        """Called with an event when every handler has finished with it, and whether one of them dead-lettered it.
        """
        self.routes: dict[EventType, tuple[HandlerRegistration, ...]] = dict.fromkeys(EventType, ())
        self.use(queue)

    def use(self, queue: EventQueue) -> None:
        """Take events from ``queue`` from now on."""
        self.queue = queue
        self.items = queue.items

    @property
    def accepted(self) -> int:
        """Return the number of events accepted, whatever their outcome."""
        return self.queue.accepted + self.passed

    @property
    def handled(self) -> int:
        """Return the number of events that all handlers have finished; a stream's event counts from its call."""
        return self.finished + self.passed

    @property
    def unfinished(self) -> int:
        """Return the number of events queued, held, in a lane or, but for a stream's, being handled."""
        return self.queue.size() + self.queue.taken - self.finished - self.dead_lettered - self.lost

    @property
    def is_busy(self) -> bool:
        """Return whether anything is left that does not wait for an operator."""
        return bool(self.due or self.items) or any(registration.is_busy for registration in self.registrations)

    @property
    def names(self) -> list[str]:
        """Return the names of its handlers, in the order of registration."""
        return [registration.name for registration in self.registrations]

    @property
    def is_special(self) -> bool:
        """Return whether a handler has a runner or a blocked key."""
        for registration in self.registrations:  # noqa: SIM110 - called at every checkpoint, and this costs half of any()
            if registration.special:
                return True
        return False

    def add(self, registration: HandlerRegistration) -> None:
        """Register a handler behind the others; its name is made unique."""
        registration.make_name_unique(self.names)
        self.registrations.append(registration)
        self.routes = {kind: tuple(e for e in self.registrations if kind in e.types) for kind in EventType}


class HandlerRegistration:
    """One registered handler.

    ``special``: it has a runner or blocked keys, which the scheduler has to consider. ``origin`` is what the user
    gave, ``target`` the ``module:name`` of a handler that runs in another process ("" when unknown).
    """

    __slots__ = (
        "blocked_keys",
        "call",
        "handler",
        "is_async",
        "lane",
        "last_overrun_at",
        "name",
        "origin",
        "overruns",
        "priority",
        "runner",
        "special",
        "target",
        "types",
    )  # fmt: skip

    def __init__(self, handler: EventHandler, priority: EventPriority, lane: Lane) -> None:
        self.handler = handler
        self.priority = priority
        self.lane = lane
        self.name = handler.name or name_of(handler)
        self.types = types_of(handler)
        self.origin, call, self.is_async = direct_call(handler)
        self.call: Callable[[Event], Any] = _first_step(call) if self.is_async else call
        self.blocked_keys: dict[object, BlockedKey] = {}
        self.runner: Runner | None = None
        self.overruns = self.last_overrun_at = 0
        self.special = False
        self.target = ""

    def make_name_unique(self, taken: Collection[str]) -> None:
        """Take a name that is not ``taken`` by another handler of the priority: dead letters refer to it."""
        given, count = self.name, 1
        while self.name in taken:
            count += 1
            self.name = f"{given}#{count}"

    def count_overrun(self, handled: int) -> None:
        """Count an overrun. ``handled`` is the number of events of the priority handled so far.

        Overruns count together while at most a hundred events lie between two of them: a slow handler overruns
        again and again, a fast one is pre-empted by the system once in a while.
        """
        self.overruns = self.overruns + 1 if handled - self.last_overrun_at <= OVERRUNS_BELONG_TOGETHER else 1
        self.last_overrun_at = handled

    def refresh(self) -> None:
        """Set ``special`` after blocked keys or runner changed."""
        self.special = bool(self.blocked_keys) or self.runner is not None

    @property
    def is_busy(self) -> bool:
        """Return whether an event of it is unfinished; one that waits for an operator does not count."""
        return (self.runner is not None and bool(self.runner.pending)) or any(
            not blocked.parked for blocked in self.blocked_keys.values()
        )


class InFlightEvent:
    """An event that some handler has not finished with yet; it is counted once, when the last one has."""

    __slots__ = ("counted", "dead", "event", "level", "lost", "open", "started_ns", "waits")

    def __init__(self, event: Event, level: PriorityLevel, started_ns: int, *, counted: bool = True) -> None:
        self.event = event
        self.level = level
        self.started_ns = started_ns
        """The stopwatch when its first handler began; 0: its latency is not measured."""
        self.open = 1
        self.dead = self.lost = self.waits = False
        self.counted = counted
        level.in_flight += counted

    def begin(self) -> None:
        """Record how long it has waited since it was accepted, when the first of its handlers begins."""
        if self.waits:
            self.waits = False
            self.started_ns = stopwatch_ns()
            self.level.wait.record(self.started_ns - self.event.accepted_ns)

    def done(self) -> None:
        """Note that one handler has finished with the event; the last one counts it."""
        self.open -= 1
        if self.open:
            return
        level = self.level
        if not (self.dead or self.lost):
            self.begin()  # finished without a handler: none wanted it
        if level.on_done is not None:
            level.on_done(self.event, self.dead)
        if not self.counted:
            return
        level.in_flight -= 1
        if self.dead:
            level.dead_lettered += 1
        elif self.lost:
            level.lost += 1
        else:
            level.finished += 1
            if self.started_ns:
                level.work.record(stopwatch_ns() - self.started_ns)


class BlockedKey:
    """A failing event of one handler and the later events of its key that wait behind it."""

    __slots__ = ("attempts", "flight", "key", "parked", "registration", "waiting")

    def __init__(self, registration: HandlerRegistration, key: object, flight: InFlightEvent) -> None:
        self.registration = registration
        self.key = key
        self.flight = flight
        self.attempts = 0
        self.parked = False
        self.waiting: deque[InFlightEvent] = deque()

    def add(self, flight: InFlightEvent) -> None:
        """Add an event that waits, in the order of acceptance: a lane's backlog may give an older one late."""
        waiting, at = self.waiting, len(self.waiting)
        while at and waiting[at - 1].event.accepted_ns > flight.event.accepted_ns:
            at -= 1
        waiting.insert(at, flight)


class Runner(Protocol):
    """The lane of a handler that does not finish at once. Called on the thread of the scheduler."""

    @property
    def pending(self) -> list[InFlightEvent]:
        """Return the events it has not finished with, in order. Must not raise."""
        ...

    def submit(self, flight: InFlightEvent) -> None:
        """Accept the event for its handler; ends with :meth:`Scheduler.finished` or :meth:`RetryBook.failed`."""
        ...


class Suspended:
    """An async handler that waits for something: its coroutine and what it waits for."""

    __slots__ = ("awaited", "coroutine")

    def __init__(self, coroutine: Any, awaited: Any) -> None:
        self.coroutine = coroutine
        self.awaited = awaited


def blocking_key(event: Event) -> object:
    """Return the key under which events wait: order is kept in P0 to P2; an event without a key waits alone."""
    key = order_key(event) if event.priority is not EventPriority.P3_LOW else None
    return key if key is not None else (event.run, stored_id(event))


def _first_step(call: Callable[[Event], Any]) -> Callable[[Event], Any]:
    """Return a call that runs an async handler up to its first wait; most never wait."""
    return lambda event: step(call(event))


def step(coroutine: Any) -> Any:
    """Run a coroutine up to its first wait; return its result, or what is left of it as :class:`Suspended`."""
    try:
        awaited = coroutine.send(None)
    except StopIteration as finished:
        return finished.value
    return Suspended(coroutine, awaited)


def stepped(result: Any) -> Any:
    """Return the result of a call; a coroutine is run as :func:`step` does."""
    return step(result) if isinstance(result, CoroutineType) else result
