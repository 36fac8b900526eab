"""Admission: how events come into the queues, from any thread, and what takes the place of a queue that broke."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import get_ident
from typing import Any, Final, Protocol

from qts.clock import stopwatch_ns
from qts.errors import ContractError
from qts.event.ack_waiters import AckCallback
from qts.event.backpressure import Pauses
from qts.event.config import EventConfig
from qts.event.contracts import (
    DegradationLevel,
    Event,
    EventFactory,
    EventPriority,
    EventType,
    priority_for,
    set_payload,
    stamp,
)
from qts.event.journal_bridge import JournaledIngress
from qts.event.monitoring import Report, Reports
from qts.event.ordering_keys import is_risk_reducing
from qts.event.payloads import typed_payload
from qts.event.queue import BoundedQueue, EventQueue, RingBuffer
from qts.event.scheduler import Scheduler
from qts.event.work import PriorityLevel

_P0: Final = EventPriority.P0_CRITICAL
_make: Final[Callable[..., Event]] = Event  # with id and time in their stored form, as numbers


class Publish(Protocol):
    """The signature of :meth:`Admission.publish`."""

    def __call__(self, event_type: EventType, payload: Any = None, source: str = "") -> bool:
        """Make an event and accept it, from any thread; False when it was not kept.

        See :meth:`Admission.publish`.
        """
        ...


class DispatchNowait(Protocol):
    """The signature of :meth:`Admission.dispatch_nowait`."""

    def __call__(self, event: Event, on_ack: AckCallback | None = None) -> bool:
        """Accept an event, from any thread; False when it was not kept. See :meth:`Admission.dispatch_nowait`."""
        ...


class PublishPath:
    """The path of published events of one type. ``arrivals`` is None unless the level's queue needs no lock."""

    __slots__ = ("append", "arrivals", "number", "priority", "put")

    def __init__(self, priority: EventPriority, level: PriorityLevel, put: Callable[[Event], bool]) -> None:
        queue = level.queue
        self.number = level.number
        self.priority = priority
        self.put = put
        self.arrivals = queue.arrivals if isinstance(queue, RingBuffer) else None
        self.append: Callable[[Event], None] = queue.items.append if self.arrivals is not None else _never


class Admission:
    """The entry of events: counts those that are refused, journals P0, puts the rest into queues, wakes the loop.

    :meth:`publish`, :meth:`dispatch_nowait` and :meth:`wake_if_asleep` may be called from any thread, the rest
    belongs to the thread on which events are handled. ``asleep`` is set by what runs the scheduler on a loop: the
    next event has to ``wake`` it. ``may_wait`` is whether there is one: else :meth:`dispatch` never waits.
    """

    def __init__(
        self,
        config: EventConfig,
        scheduler: Scheduler,
        factory: EventFactory,
        pauses: Pauses,
        *,
        ingress: JournaledIngress | None,
        new_queue: Callable[[EventPriority], EventQueue],
        reports: Reports,
        on_code: Callable[[str, str], None],
    ) -> None:
        self.asleep = self.may_wait = False
        self.wake: Callable[[], None] = _no_loop
        self._config = config
        self._scheduler = scheduler
        self._levels = scheduler.levels
        self._factory = factory
        self._pauses = pauses
        self._ingress = ingress
        self._new_queue = new_queue
        self._reports = reports
        self._on_code = on_code
        self.use_thread()
        self.connect()

    def use_thread(self) -> None:
        """Note that events are handled on the present thread: it never waits for room in P0."""
        self._owner = get_ident()

    def attach(self, wake: Callable[[], None]) -> None:
        """Note that a loop runs the scheduler; ``wake``, callable from any thread, makes it check the queues."""
        self.wake = wake
        self.may_wait = True

    def detach(self) -> None:
        """Note that no loop runs the scheduler any more."""
        self.wake = _no_loop
        self.may_wait = False

    # -- accepting ---------------------------------------------------------------------------------------------

    def publish(self, event_type: EventType, payload: Any = None, source: str = "") -> bool:
        """Make an event and accept it in one step; thread-safe, see :meth:`dispatch_nowait`.

        A typed payload is passed as it is; a mapping must not be changed afterwards. False when the event was not
        kept.
        """
        path = self._paths[event_type]
        if path.number > self._scheduler.floor or self._checks:
            return self.dispatch_nowait(self._factory.create(event_type, source, payload))
        time_ns = self._time_ns  # looked up separately: as a method call CPython searches the class first
        number, run = next(self._numbers), self._run
        event = _make(event_type, path.priority, source, payload, number, time_ns(), run, stopwatch_ns())
        arrivals = path.arrivals
        if arrivals is not None:  # RingBuffer.put_nowait, written out
            next(arrivals)
            append = path.append
            append(event)
            if self.asleep:
                self.wake()
            return True
        kept = path.put(event)
        if self.asleep:
            self.wake()
        return kept

    async def dispatch(self, event: Event) -> bool:
        """Accept an event; False when its priority is paused or a full queue did not keep it (both counted).

        Waits only when P0 is full, and never on itself: a P0 handler goes to the overflow lane instead. With a
        journal it returns once an event that ``requires_ack`` is on disk (handlers start without waiting for
        that, and a handler that dispatches does not wait either) and raises StorageError when the event, though
        queued, will never be. Raises ContractError for a mapping that does not fit when payloads are checked
        and for a P0 event that cannot be stored.
        """
        level = self._admit(event)
        if level is None:
            return False
        if self._ingress is not None and level.number == 0:
            sequence = self._accept_p0(self._ingress, event)
            if event.requires_ack and not (self._scheduler.serving >= 0 and get_ident() == self._owner):
                await self._ingress.acknowledged(sequence)
            return True
        queue = level.queue
        if not (isinstance(queue, BoundedQueue) and self.may_wait and self._scheduler.serving != _P0):
            return self._enqueue(level, event)
        kept = await queue.put(event)
        self.wake_if_asleep()
        return kept

    def dispatch_nowait(self, event: Event, on_ack: AckCallback | None = None) -> bool:
        """Accept an event from any thread. A thread other than the loop's waits while P0 is full.

        ``on_ack`` is called, on any thread, once the event is on disk, or with the error when it never will be;
        without a journal and for lower priorities at once. An event that is refused is not acknowledged.
        """
        level = self._admit(event)
        if level is None:
            return False
        if self._ingress is not None and level.number == 0:
            sequence = self._accept_p0(self._ingress, event)
            if on_ack is not None:
                self._ingress.when_acknowledged(sequence, on_ack)
            return True
        kept = self._enqueue(level, event)
        if kept and on_ack is not None:
            on_ack(None)
        return kept

    def wake_if_asleep(self) -> None:
        """Wake the loop when it sleeps."""
        if self.asleep:
            self.wake()

    def _admit(self, event: Event) -> PriorityLevel | None:
        """Return the level that takes ``event``, or None when it is refused and counted."""
        level = self._levels[event.priority]
        if level.number > self._scheduler.floor and (
            level.number > self._pauses.lowest_allowed or not is_risk_reducing(event)
        ):  # pressure, other than degradation, may delay a risk-reducing signal, never refuse it
            level.rejected += 1
            return None
        if self._checks and isinstance(event.body, Mapping):
            set_payload(event, typed_payload(event.event_type, event.body))
        stamp(event, stopwatch_ns())
        return level

    def _enqueue(self, level: PriorityLevel, event: Event) -> bool:
        try:
            kept = self._puts[level.number](event)
        except ContractError:  # the event is at fault, not the queue
            raise
        except Exception as error:  # noqa: BLE001 - whatever broke the queue, it is rebuilt and reported
            self.rebuild(level, error)
            kept = self._puts[level.number](event)
        if self.asleep:
            self.wake()
        return kept

    def _put_p0(self, event: Event) -> bool:
        if self._ingress is not None:
            self._accept_p0(self._ingress, event)
            return True
        queue: BoundedQueue = self._levels[0].queue  # type: ignore[assignment]
        return queue.put_overflow(event) if get_ident() == self._owner else queue.put_blocking(event)

    def _accept_p0(self, ingress: JournaledIngress, event: Event) -> int:
        if ingress.journal.crowded and get_ident() != self._owner:
            ingress.wait_for_room(self._config.block_report_ms / 1_000, lambda: self._stalled(event))
        sequence = ingress.accept(event)
        if self.asleep:
            self.wake()
        return sequence

    def _stalled(self, event: Event) -> None:
        waited = f"waited {self._config.block_report_ms} ms for room in P0; kept"
        self._on_code("FS095", f"{event.event_type.value} {event.event_id} {waited}")

    # -- queues and ids ----------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Bind every path to the present queues and ids; call it after either was replaced."""
        for level in self._levels:
            if isinstance(level.queue, BoundedQueue):
                level.queue.patience_s = self._config.block_report_ms / 1_000
                level.queue.on_stall = self._stalled
        self._puts = [self._put_p0, *(level.queue.put_nowait for level in self._levels[1:])]
        self._paths = {
            kind: PublishPath(priority, self._levels[priority], self._puts[priority])
            for kind, priority in ((kind, priority_for(kind)) for kind in EventType)
        }
        used = 0 if self._ingress is None else self._ingress.journal.last_numbers.get(self._factory.run, 0)
        if self._factory.run and used > self._factory.last_number:
            self._factory.continue_after(used)  # ids of events that no checkpoint knows must not be used again
        self._numbers, self._run, self._time_ns = self._factory.numbers, self._factory.run, self._factory.time_ns
        self._checks = self._config.check_payloads
        self._scheduler.factory = self._factory
        self._scheduler.rewire()

    def rebuild(self, level: PriorityLevel, error: Exception) -> None:
        """Replace a queue that broke; raise FS096 for P0, FS097 for P1 when its events are lost."""
        priority = level.priority
        problem, saved = replace_queue(level, self._new_queue(priority), error)
        self._reports.add(Report("queue", priority.name, "", 0.0, problem))
        self.connect()
        if priority is EventPriority.P1_HIGH and not saved:
            self._on_code("FS097", problem)
        if priority is _P0:
            self._pauses.degrade(DegradationLevel.P2_P3_PAUSED)
            self._on_code("FS096", f"{problem}; trading is suspended")


def replace_queue(level: PriorityLevel, queue: EventQueue, error: Exception) -> tuple[str, bool]:
    """Replace the queue that failed with ``error`` by ``queue``, with all its events and counts.

    Returns what happened, and whether the events could be saved.
    """
    old = level.queue
    level.use(queue)
    queue.held = old.held
    problem = f"{level.priority.name} queue failed ({type(error).__name__}: {error})"
    try:
        queue.restore(old.pending(), old.counts())
    except Exception as failure:  # noqa: BLE001 - the old queue may be broken in any way; the new one stays empty
        return f"{problem}, its events could not be saved ({type(failure).__name__}: {failure})", False
    return problem, True


def _no_loop() -> None:
    """Do nothing: no loop runs the scheduler."""


def _never(event: Event) -> None:
    raise AssertionError("only lock-free queues are appended to directly")
