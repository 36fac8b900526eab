"""The dispatcher: accepts events from any thread and gives them to handlers in strict priority.

With ``inline=True`` it belongs to a virtual clock: nothing happens until :meth:`EventDispatcher.run_inline`, and
then everything happens in one thread, in an order that depends on nothing but the events. Otherwise it runs on
the asyncio loop that :meth:`EventDispatcher.start` was called on. Both use the same scheduler.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import get_ident
from typing import Any, Final

from qts.clock import NS_PER_MS, NS_PER_US, Clock, SystemClock, stopwatch_ns
from qts.errors import ContractError, StateError
from qts.event.ack_waiters import Told
from qts.event.backpressure import SAFETY_TO_DEGRADATION, BackpressureGuard
from qts.event.config import EventConfig, reloaded
from qts.event.contracts import (
    DegradationLevel,
    Event,
    EventFactory,
    EventPriority,
    EventType,
    Lane,
    default_factory,
    give_payload,
    priority_for,
    stamp,
)
from qts.event.dead_letter import DeadLetterQueue
from qts.event.doors import Door, outlived, replace_queue
from qts.event.handlers import Callback, EventHandler, as_handler
from qts.event.journal import Journal
from qts.event.journal_bridge import DEAD_LETTERS, JournaledIngress, events_in_memory
from qts.event.loop_driver import LoopDriver
from qts.event.monitoring import Alert, Monitor, Report, Reports
from qts.event.ordering_keys import is_risk_reducing
from qts.event.payloads import typed_payload
from qts.event.queue import BoundedQueue, EventQueue, create_queue
from qts.event.readings import Readings
from qts.event.retry import RetryBook
from qts.event.scheduler import Scheduler
from qts.event.snapshot import export_scheduler, import_scheduler
from qts.event.stream import Stream
from qts.event.work import BlockedKey, HandlerRegistration, InFlightEvent, PriorityLevel
from qts.event.worker import target_of
from qts.ids import CounterIds, IdSource, random_prefix
from qts.safety.contracts import SafetyState

__all__ = ["SAFETY_TO_DEGRADATION", "EventDispatcher"]
_P0: Final = EventPriority.P0_CRITICAL
_make: Final[Callable[..., Event]] = Event  # with id and time in their stored form, as numbers


class EventDispatcher(Readings):
    """Accepts, orders, hands out and accounts for events (spec 01).

    ``on_code`` is told of fail-safe codes (FS095 a P0 producer waited over a second, FS096/FS097 a queue broke,
    FS098 a P0 event was dead-lettered) with a detail text, ``on_alert`` of thresholds crossed, ``on_report`` of
    handlers that overstay and machinery that failed. ``rng`` is the random source of P3 sampling.
    ``EventDispatcher()`` works with nothing given.

    With a ``journal`` (spec 09) every P0 event is on disk before it is acknowledged; a full P0 queue makes
    nobody wait, later events are read back from the journal. What an earlier process left there is handled
    first. Dead letters are kept beside it unless ``dead_letter_path`` says otherwise. The journal belongs to
    the caller, who closes it after :meth:`stop`.
    """

    def __init__(
        self,
        config: EventConfig | None = None,
        *,
        clock: Clock | None = None,
        ids: IdSource | None = None,
        rng: random.Random | None = None,
        inline: bool = False,
        on_code: Callable[[str, str], None] | None = None,
        on_alert: Callable[[Alert], None] | None = None,
        on_report: Callable[[Report], None] | None = None,
        dead_letter_path: Path | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.config = config or EventConfig()
        self.inline = inline
        self.reports = Reports(on_report=None if on_report is None else outlived(on_report, "on_report"))
        self._clock = clock or SystemClock()
        self._rng = rng
        self._on_code = outlived(on_code or (lambda code, detail: None), "on_code")
        own = clock is not None or ids is not None
        self._factory = EventFactory(self._clock, ids or CounterIds(random_prefix())) if own else default_factory()
        if journal is not None and dead_letter_path is None:
            dead_letter_path = journal.directory / DEAD_LETTERS
        self.dead_letter_queue = DeadLetterQueue(self.config.dead_letter_capacity, dead_letter_path)
        self._line = None if journal is None else self._new_line(journal)
        self._levels = tuple(PriorityLevel(priority, self._new_queue(priority)) for priority in EventPriority)
        self._levels[0].on_done = None if self._line is None else self._line.done
        self._retries = RetryBook(
            self.config,
            self.dead_letter_queue,
            now_ns=self._clock.time_ns,
            on_code=self._on_code,
            schedule=self._retry_at_once,
        )
        self._scheduler = Scheduler(self.config, self._levels, self._retries, self._clock)
        self._scheduler.emit = self.dispatch_nowait
        self._scheduler.on_queue_failure = self._rebuild
        self._scheduler.on_overrun = self._overran
        self._scheduler.on_deadline_failure = self._deadline_failed
        self._degradation = DegradationLevel.NORMAL
        self._pressure = BackpressureGuard(self.config.backpressure)
        self.monitor = Monitor(self.config, None if on_alert is None else outlived(on_alert, "on_alert"))
        self._owner = get_ident()
        self.asleep = False
        self._driver: LoopDriver | None = None
        self._connect()

    # -- handlers ----------------------------------------------------------------------------------------------

    def register_handler(
        self,
        priority: EventPriority,
        handler: EventHandler | type[EventHandler] | Callback,
        *,
        lane: Lane = Lane.LOOP,
    ) -> None:
        """Call ``handler`` with every event of ``priority``, in the order of registration, on ``lane``.

        A PROCESS handler must be a function, or a class made without arguments, at the top of an importable
        module. Raises ContractError for a handler that cannot run on its lane or when the lane is full.
        """
        registration = HandlerRegistration(as_handler(handler), EventPriority(priority), Lane(lane))
        if registration.lane is not Lane.LOOP:
            self._check_lane(registration, handler)
        self._levels[registration.priority].add(registration)
        if self._driver is not None:
            self._driver.attach(registration)
        self._scheduler.rewire()

    def _check_lane(self, registration: HandlerRegistration, given: object) -> None:
        limit = (
            self.config.max_worker_threads if registration.lane is Lane.THREAD else self.config.max_worker_processes
        )
        if sum(one.lane is registration.lane for one in self._registrations()) >= limit:
            raise ContractError(
                f"lane {registration.lane.value} has its {limit} handlers already; "
                f"{registration.name!r} is one more"
            )
        if registration.lane is Lane.PROCESS and not self.inline:
            registration.target = target_of(given if isinstance(given, type) else registration.origin)

    def _registrations(self) -> list[HandlerRegistration]:
        return [registration for level in self._levels for registration in level.registrations]

    # -- accepting ---------------------------------------------------------------------------------------------

    def publish(self, event_type: EventType, payload: Any = None, source: str = "") -> bool:
        """Make an event and accept it in one step; thread-safe, see :meth:`dispatch_nowait`.

        A typed payload is passed as it is; a mapping must not be changed afterwards.
        """
        door = self._doors[event_type]
        if door.number > self._scheduler.floor or self._checks:
            return self.dispatch_nowait(self._factory.create(event_type, source, payload))
        time_ns = self._time_ns  # looked up apart: as a method call CPython searches the class first
        number, run = next(self._numbers), self._run
        event = _make(event_type, door.priority, source, payload, number, time_ns(), run, stopwatch_ns())
        arrivals = door.arrivals
        if arrivals is not None:  # RingBuffer.put_nowait, written out
            next(arrivals)
            append = door.append
            append(event)
            if self.asleep:
                self._wake()
            return True
        kept = door.put(event)
        if self.asleep:
            self._wake()
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
        if self._line is not None and level.number == 0:
            sequence = self._accept_p0(self._line, event)
            if event.requires_ack and not (self._scheduler.serving >= 0 and get_ident() == self._owner):
                await self._line.acknowledged(sequence)
            return True
        queue = level.queue
        may_wait = isinstance(queue, BoundedQueue) and self._driver is not None and self._scheduler.serving != _P0
        if not may_wait:
            return self._enqueue(level, event)
        kept = await queue.put(event)
        if self.asleep:
            self._wake()
        return kept

    def dispatch_nowait(self, event: Event, on_ack: Told | None = None) -> bool:
        """Accept an event from any thread. A thread other than the loop's waits while P0 is full.

        ``on_ack`` is called, on any thread, once the event is on disk, or with the error when it never will be;
        without a journal and for lower priorities at once. An event that is refused is not acknowledged.
        """
        level = self._admit(event)
        if level is None:
            return False
        if self._line is not None and level.number == 0:
            sequence = self._accept_p0(self._line, event)
            if on_ack is not None:
                self._line.tell(sequence, on_ack)
            return True
        kept = self._enqueue(level, event)
        if kept and on_ack is not None:
            on_ack(None)
        return kept

    def _accept_p0(self, line: JournaledIngress, event: Event) -> int:
        if line.journal.crowded and get_ident() != self._owner:
            line.wait_for_room(self.config.block_report_ms / 1_000, lambda: self._stalled(event))
        sequence = line.accept(event)
        if self.asleep:
            self._wake()
        return sequence

    def _enqueue(self, level: PriorityLevel, event: Event) -> bool:
        try:
            kept = self._puts[level.number](event)
        except ContractError:  # the event is at fault, not the queue
            raise
        except Exception as error:  # noqa: BLE001 - whatever broke the queue, it is rebuilt and reported
            self._rebuild(level, error)
            kept = self._puts[level.number](event)
        if self.asleep:
            self._wake()
        return kept

    def _admit(self, event: Event) -> PriorityLevel | None:
        """The level that takes ``event``, or None when it is refused and counted."""
        level = self._levels[event.priority]
        if level.number > self._scheduler.floor and (
            level.number > self._degradation.lowest_allowed or not is_risk_reducing(event)
        ):  # pressure, other than degradation, may delay a risk-reducing signal, never refuse it
            level.rejected += 1
            return None
        if self._checks and isinstance(event.body, Mapping):
            give_payload(event, typed_payload(event.event_type, event.body))
        stamp(event, stopwatch_ns())
        return level

    def _put_p0(self, event: Event) -> bool:
        if self._line is not None:
            self._accept_p0(self._line, event)
            return True
        queue: BoundedQueue = self._levels[0].queue  # type: ignore[assignment]
        return queue.put_overflow(event) if get_ident() == self._owner else queue.put_blocking(event)

    # -- running -----------------------------------------------------------------------------------------------

    def run_inline(self, lowest: EventPriority = EventPriority.P3_LOW, stream: Stream | None = None) -> int:
        """Handle everything queued at ``lowest`` or higher, in strict priority, on the spot; how many events.

        Every lane runs here, failed handlers are tried again at once (after the event that failed, before newer
        ones of its priority). ``stream`` is drawn from whenever nothing is left, until it ends. Raises StateError
        for a handler that waits for something, and on a dispatcher that was started.
        """
        if self._driver is not None:
            raise StateError("run_inline() is for the virtual clock; this dispatcher runs on an event loop")
        if self._line is not None:
            self.replay_journal()
        handled = self._scheduler.run(lowest, stream=stream)
        if self._scheduler.serving >= 0:  # called by a handler: the batch it interrupts looks at everything anew
            self._scheduler.attention = True
        return handled

    async def start(self) -> None:
        """Run on the present event loop until :meth:`stop`. Raises StateError when inline or running already."""
        if self.inline or self._driver is not None:
            raise StateError("an inline dispatcher is run by run_inline()" if self.inline else "already started")
        self._owner = get_ident()
        if self._line is not None:
            self.replay_journal()
            self._line.run_on(asyncio.get_running_loop())
        self._driver = LoopDriver(self, self._scheduler, self._retries, self.config, self._on_code)
        self._driver.begin(self._registrations())

    async def stop(self, timeout_ms: int | None = None, *, whole_p0: bool = True) -> dict[str, int]:
        """Drain P0 fully and the rest until the deadline; what was left, by priority name.

        ``timeout_ms`` None takes the configured one. ``whole_p0`` False drains P0 no longer than that either: where
        what its handlers write to has failed they cannot finish, and waiting would never end. What was left
        stays queued: :meth:`start` goes on with it; P0 that is held for an operator is in the journal too.
        """
        driver = self._driver
        if driver is not None:
            limit_ms = self.config.stop_timeout_ms if timeout_ms is None else timeout_ms
            await driver.drain(limit_ms, whole_p0=whole_p0)
            self._driver = None
            await driver.end(self._registrations())
            self._retries.schedule = self._retry_at_once
        if self._line is not None:
            await self._line.flush()
            self._line.run_on(None)
        return {level.priority.name: level.unfinished for level in self._levels}

    @property
    def is_running(self) -> bool:
        return self._driver is not None

    def replay_journal(self, withdraw: Callable[[Event], bool] | None = None) -> int:
        """Queue what the journal holds and nobody has finished with, in order; how many events.

        :meth:`start` does it when it was not done before; register every P0 handler first. Events that ``withdraw``
        says are withdrawn instead: their source was set back with the checkpoint and tells them again.
        """
        line = self._line
        if line is None or not line.has_leftovers:
            return 0
        count = line.take_up(withdraw)
        self._retries.park_again(self._levels)
        for event_id in line.reopened():
            count += self.replay_dead_letter(event_id)
        return count

    def set_deadline(self, callback: Callable[[], None], interval_ms: float) -> None:
        """Call ``callback`` every ``interval_ms`` of the injected clock, between two handler calls.

        It is looked at before every handler call, P0 too, so no load can starve it; intervals that were missed
        are not made up for. Raises ContractError unless the interval is above 0.
        """
        if not interval_ms > 0:
            raise ContractError(f"interval_ms must be above 0, got {interval_ms!r}")
        self._scheduler.watch(callback, round(interval_ms * NS_PER_MS))
        if self._driver is not None:
            self._driver.watch_deadline()

    def _wake(self) -> None:
        driver = self._driver
        if driver is not None:
            driver.wake()

    def reconfigure(self, config: EventConfig) -> None:
        """Take over what may change while running (``qts.event.config.RELOADABLE``); the rest stays as it is."""
        self.config = reloaded(self.config, config)
        self._scheduler.limit_ns = self.config.loop_handler_limit_us * NS_PER_US
        self.monitor.reconfigure(self.config)
        self._pressure.reconfigure(self.config.backpressure)
        self._set_floor()

    # -- pausing -----------------------------------------------------------------------------------------------

    def set_degradation_level(self, level: DegradationLevel) -> None:
        """Pause the priorities below ``level``: refused and counted when dispatched, kept when queued already."""
        self._degradation = DegradationLevel(level)
        self._set_floor()

    def apply_safety_state(self, state: SafetyState) -> DegradationLevel:
        """Set the level that belongs to a safety state.

        Anything that is no safety state pauses all but P0 and raises ContractError: unknown is never fine.
        """
        level = SAFETY_TO_DEGRADATION.get(state) if isinstance(state, SafetyState) else None
        self.set_degradation_level(level or DegradationLevel.CRITICAL_ONLY)
        if level is None:
            raise ContractError(
                f"{state!r} is no safety state (allowed: {', '.join(SafetyState)}); only P0 runs now"
            )
        return level

    def check_pressure(self) -> None:
        """Look at the depths and pause or resume lower priorities; the running loop does it every slice."""
        if self._pressure.read(self._levels):
            self._set_floor()

    def _set_floor(self) -> None:
        self._scheduler.floor = min(int(self._degradation.lowest_allowed), self._pressure.floor)
        self._scheduler.attention = True
        if self.asleep:
            self._wake()

    # -- dead letters ------------------------------------------------------------------------------------------

    def replay_dead_letter(self, event_id: str, handler: str | None = None) -> bool:
        """Give a dead letter to its handler again; what is held behind it follows when it succeeds.

        False when there is no such letter. Raises StateError when its handler is not registered any more.
        """
        return self._settle_dead_letter(event_id, handler, replay=True)

    def skip_dead_letter(self, event_id: str, handler: str | None = None) -> bool:
        """Forget a dead letter that was dealt with by hand; what is held behind it goes on."""
        return self._settle_dead_letter(event_id, handler, replay=False)

    def _settle_dead_letter(self, event_id: str, handler: str | None, *, replay: bool) -> bool:
        letter = self.dead_letter_queue.find(event_id, handler)
        if self._line is not None and letter is not None:
            (self._line.reopen if replay else self._line.skip)(letter.event)
        found = self._retries.settle(self._levels, event_id, handler, replay=replay)
        if self.asleep:
            self._wake()
        return found

    # -- state -------------------------------------------------------------------------------------------------

    def export_state(self) -> dict[str, Any]:
        """Counters, queued and held events, dead letters and degradation as plain values.

        Take it between events, or from the last handler of the event being handled (which counts as handled).
        """
        driver = self._driver

        def in_lane(registration: HandlerRegistration) -> Sequence[InFlightEvent]:
            return driver.in_lane(registration) if driver else ()

        return {
            "journal": self._line.export(events_in_memory(self._levels[0], in_lane)) if self._line else None,
            "degradation": self._degradation.value,
            **export_scheduler(self._scheduler, self._factory, self.dead_letter_queue, in_lane),
        }

    def import_state(self, state: Mapping[str, Any]) -> None:
        """Undo :meth:`export_state` on a fresh dispatcher with the same handlers registered.

        Raises StateError when the handlers differ or events were accepted already.
        """
        import_scheduler(state, self._scheduler, self._factory, self.dead_letter_queue)
        self.set_degradation_level(DegradationLevel(state["degradation"]))
        if self._line is not None:
            self._line.restore(state.get("journal"), events_in_memory(self._levels[0], lambda registration: ()))
        self._connect()

    # -- trouble -----------------------------------------------------------------------------------------------

    def _retry_at_once(self, blocked: BlockedKey, delay_s: float) -> None:
        blocked.flight.level.due.append(blocked)
        self._scheduler.attention = True

    def _deadline_failed(self, error: BaseException) -> None:
        self.reports.add(Report("deadline", "set_deadline", "", 0.0, repr(error)))
        self._on_code("FS100", f"the callback of the deadline failed: {error!r}")

    def _overran(self, registration: HandlerRegistration, event: Event, took_ns: int) -> None:
        registration.count_overrun(self._levels[registration.priority].handled)
        self.reports.overrun(registration.name, event, took_ns)
        if self._driver is not None and registration.overruns == self.config.overruns_before_move:
            self._driver.move_to_process(registration)

    def _rebuild(self, level: PriorityLevel, error: Exception) -> None:
        """The queue of ``level`` broke: a new one takes over what can be saved."""
        priority = level.priority
        problem, saved = replace_queue(level, self._new_queue(priority), error)
        self.reports.add(Report("queue", priority.name, "", 0.0, problem))
        self._connect()
        if priority is EventPriority.P1_HIGH and not saved:
            self._on_code("FS097", problem)
        if priority is _P0:
            self.set_degradation_level(DegradationLevel.P2_P3_PAUSED)
            self._on_code("FS096", f"{problem}; trading is suspended")

    def _connect(self) -> None:
        """Point every short cut at the present queues and the present factory."""
        for level in self._levels:
            if isinstance(level.queue, BoundedQueue):
                level.queue.patience_s = self.config.block_report_ms / 1_000
                level.queue.on_stall = self._stalled
        self._doors = {
            kind: Door(priority_for(kind), self._levels[priority_for(kind)], self._put_p0) for kind in EventType
        }
        self._puts = [self._put_p0, *(level.queue.put_nowait for level in self._levels[1:])]
        used = 0 if self._line is None else self._line.journal.last_numbers.get(self._factory.run, 0)
        if self._factory.run and used > self._factory.last_number:
            self._factory.continue_after(used)  # ids of events no checkpoint knows must not come again
        self._numbers, self._run, self._time_ns = self._factory.numbers, self._factory.run, self._factory.time_ns
        self._checks = self.config.check_payloads
        self._scheduler.factory = self._factory
        self._scheduler.rewire()

    def _stalled(self, event: Event) -> None:
        waited = f"waited {self.config.block_report_ms} ms for room in P0; kept"
        self._on_code("FS095", f"{event.event_type.value} {event.event_id} {waited}")

    def _new_line(self, journal: Journal) -> JournaledIngress:
        return JournaledIngress(
            journal,
            self.config,
            self.dead_letter_queue,
            on_code=self._on_code,
            on_broken_queue=lambda error: self._rebuild(self._levels[0], error),
        )

    def _new_queue(self, priority: EventPriority) -> EventQueue:
        if priority is _P0 and self._line is not None:
            return self._line.new_queue()
        return create_queue(self.config.queue_configs[priority], rng=self._rng)
