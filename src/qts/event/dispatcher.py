"""The dispatcher: accepts events from any thread and gives them to handlers in strict priority.

With ``inline=True`` it belongs to a virtual clock: nothing happens until :meth:`EventDispatcher.run_inline`, and
then everything happens in one thread, in an order that depends only on the events. Otherwise it runs on
the asyncio loop that :meth:`EventDispatcher.start` was called on. Both use the same scheduler.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from qts.clock import NS_PER_MS, NS_PER_US, Clock, SystemClock
from qts.errors import ContractError, StateError
from qts.event.admission import Admission, DispatchNowait, Publish
from qts.event.backpressure import SAFETY_TO_DEGRADATION, Pauses
from qts.event.config import EventConfig, reloaded
from qts.event.contracts import (
    DegradationLevel,
    Event,
    EventFactory,
    EventPriority,
    EventType,
    Lane,
    default_factory,
)
from qts.event.dead_letter import DeadLetterQueue
from qts.event.handlers import Callback, EventHandler, as_handler
from qts.event.journal import Journal
from qts.event.journal_bridge import DEAD_LETTERS, JournaledIngress, events_in_memory
from qts.event.loop_driver import LoopDriver
from qts.event.monitoring import Alert, Monitor, Report, Reports
from qts.event.queue import EventQueue, create_queue
from qts.event.retry import RetryBook
from qts.event.scheduler import Scheduler
from qts.event.snapshot import export_scheduler, import_scheduler
from qts.event.stats import DispatcherStats
from qts.event.straight import StraightPath
from qts.event.stream import Stream
from qts.event.work import BlockedKey, HandlerRegistration, InFlightEvent, PriorityLevel
from qts.event.worker import target_of
from qts.ids import CounterIds, IdSource, random_prefix
from qts.safety.contracts import SafetyState

__all__ = ["SAFETY_TO_DEGRADATION", "EventDispatcher"]
_P0: Final = EventPriority.P0_CRITICAL
_log: Final = logging.getLogger("qts.event")


class EventDispatcher:
    """The dispatcher: accepts events and gives them to handlers in strict priority.

    ``on_code`` is called with fail-safe codes (FS095 a P0 producer waited over a second, FS096/FS097 a queue broke,
    FS098 a P0 event was dead-lettered) and a detail text, ``on_alert`` with thresholds that were crossed,
    ``on_report`` with handlers that took too long and parts that failed; what they raise is logged. ``rng`` is the
    random source of P3 sampling. ``EventDispatcher()`` works with nothing given.

    With a ``journal`` every P0 event is on disk before it is acknowledged; no producer waits for a full P0 queue,
    later events are read back from the journal. What an earlier process left there is handled
    first. Dead letters are kept beside it unless ``dead_letter_path`` is given. The journal belongs to
    the caller, who closes it after :meth:`stop`.
    """

    publish: Publish
    """Make an event and accept it in one step, from any thread: :meth:`qts.event.admission.Admission.publish`."""
    dispatch: Callable[[Event], Coroutine[Any, Any, bool]]
    """Accept an event on the loop: :meth:`qts.event.admission.Admission.dispatch`."""
    dispatch_nowait: DispatchNowait
    """Accept an event from any thread: :meth:`qts.event.admission.Admission.dispatch_nowait`."""

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
        self.reports = Reports(on_report=None if on_report is None else _logged(on_report, "on_report"))
        self._clock = clock or SystemClock()
        self._rng = rng
        self._on_code = _logged(on_code or (lambda code, detail: None), "on_code")
        own = clock is not None or ids is not None
        self._factory = EventFactory(self._clock, ids or CounterIds(random_prefix())) if own else default_factory()
        if journal is not None and dead_letter_path is None:
            dead_letter_path = journal.directory / DEAD_LETTERS
        self.dead_letter_queue = DeadLetterQueue(self.config.dead_letter_capacity, dead_letter_path)
        self._ingress = None if journal is None else self._new_ingress(journal)
        self._levels = tuple(PriorityLevel(priority, self._new_queue(priority)) for priority in EventPriority)
        self._levels[0].on_done = None if self._ingress is None else self._ingress.done
        self._retries = RetryBook(
            self.config,
            self.dead_letter_queue,
            now_ns=self._clock.time_ns,
            on_code=self._on_code,
            schedule=self._retry_at_once,
        )
        self._scheduler = Scheduler(self.config, self._levels, self._retries, self._clock)
        self._pauses = Pauses(self.config, self._scheduler)
        self.monitor = Monitor(self.config, None if on_alert is None else _logged(on_alert, "on_alert"))
        self.stats = DispatcherStats(self._scheduler, self.monitor)
        self.straight = StraightPath(self._scheduler)
        self.on_waits: Callable[[Event], None] = _ignore
        """Called with an event that was taken and has to wait behind another of its handler on the loop."""
        self.on_pressure: Callable[[EventPriority], object] = _ignore
        """Called with the lowest priority that filling queues leave running, after each change on a loop."""
        self._driver: LoopDriver | None = None
        self._admission = Admission(
            self.config,
            self._scheduler,
            self._factory,
            self._pauses,
            ingress=self._ingress,
            new_queue=self._new_queue,
            reports=self.reports,
            on_code=self._on_code,
        )
        self.publish = self._admission.publish
        self.dispatch = self._admission.dispatch
        self.dispatch_nowait = self._admission.dispatch_nowait
        self._pauses.on_change = self._admission.wake_if_asleep
        self._scheduler.emit = self._admission.dispatch_nowait
        self._scheduler.on_queue_failure = self._admission.rebuild
        if not inline:  # where time is virtual nothing waits for a slow handler
            self._scheduler.on_overrun = self._overran
        self._scheduler.on_deadline_failure = self._deadline_failed

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

    # -- running -----------------------------------------------------------------------------------------------

    def run_inline(self, lowest: EventPriority = EventPriority.P3_LOW, stream: Stream | None = None) -> int:
        """Handle everything queued at ``lowest`` or higher now, in strict priority; return the number of events.

        Every lane runs here, failed handlers are tried again at once (after the event that failed, before newer
        ones of its priority). ``stream`` is drawn from whenever nothing is left, until it ends. Raises StateError
        for a handler that waits for something, and on a dispatcher that was started.
        """
        if self._driver is not None:
            raise StateError("run_inline() is for the virtual clock; this dispatcher runs on an event loop")
        if self._ingress is not None:
            self.replay_journal()
        handled = self._scheduler.run(lowest, stream=stream)
        if self._scheduler.serving >= 0:  # called by a handler: the batch it interrupts checks all levels again
            self._scheduler.must_recheck = True
        return handled

    async def start(self, *, by_hand: bool = False) -> None:
        """Run on the present event loop until :meth:`stop`. Raises StateError when inline or running already.

        ``by_hand``: no event above P3 is taken but by :meth:`take_one`, and depths of queues pause nothing.
        """
        if self.inline or self._driver is not None:
            raise StateError("an inline dispatcher is run by run_inline()" if self.inline else "already started")
        self._admission.use_thread()
        if self._ingress is not None:
            self.replay_journal()
            self._ingress.run_on(asyncio.get_running_loop())
        self._driver = LoopDriver(
            self,
            self._scheduler,
            self._retries,
            self._pauses,
            self._admission,
            self._on_code,
            by_hand=by_hand,
        )
        self._admission.attach(self._driver.wake)
        self._driver.begin(self._registrations())

    def take_one(self, event_type: EventType | None) -> None:
        """Take one event above P3, of the highest priority that waits, of a dispatcher that was started by hand.

        One of ``event_type`` that has waited behind another of its handler comes first; None: it goes on waiting.
        """
        if self._driver is not None:
            self._driver.take_one(event_type)

    def press(self, lowest: EventPriority) -> None:
        """Let queues of a dispatcher that was started by hand pause what is below ``lowest``."""
        self._pauses.press(lowest)

    async def stop(self, timeout_ms: int | None = None, *, whole_p0: bool = True) -> dict[str, int]:
        """Drain P0 fully and the rest until the deadline; return what was left, by priority name.

        ``timeout_ms`` None takes the configured one. ``whole_p0`` False drains P0 no longer than that either: when
        the store of its handlers has failed they cannot finish, and waiting would never end. What was left
        stays queued: :meth:`start` goes on with it; P0 that is held for an operator is in the journal too.
        """
        driver = self._driver
        if driver is not None:
            limit_ms = self.config.stop_timeout_ms if timeout_ms is None else timeout_ms
            await driver.drain(limit_ms, whole_p0=whole_p0)
            self._driver = None
            self._admission.detach()
            await driver.end(self._registrations())
            self._retries.schedule = self._retry_at_once
        if self._ingress is not None:
            await self._ingress.flush()
            self._ingress.run_on(None)
        return {level.priority.name: level.unfinished for level in self._levels}

    @property
    def is_running(self) -> bool:
        """Return whether it runs on an event loop: between :meth:`start` and :meth:`stop`."""
        return self._driver is not None

    def replay_journal(self, withdraw: Callable[[Event], bool] | None = None) -> int:
        """Queue what the journal holds unfinished, in order; return the number of events.

        :meth:`start` does it when it was not done before; register every P0 handler first. Events for which
        ``withdraw`` returns True are withdrawn instead: their source was rewound with the checkpoint and sends them
        again.
        """
        ingress = self._ingress
        if ingress is None or not ingress.needs_replay:
            return 0
        count = ingress.replay(withdraw)
        self._retries.restore_parked(self._levels)
        for event_id in ingress.reopened():
            count += self.replay_dead_letter(event_id)
        return count

    def set_deadline(self, callback: Callable[[], None], interval_ms: float) -> None:
        """Call ``callback`` every ``interval_ms`` of the injected clock, between two handler calls.

        It is checked before every handler call, P0 too, so no load can starve it; missed intervals are skipped.
        Raises ContractError unless the interval is above 0.
        """
        if not interval_ms > 0:
            raise ContractError(f"interval_ms must be above 0, got {interval_ms!r}")
        self._scheduler.watch(callback, round(interval_ms * NS_PER_MS))
        if self._driver is not None:
            self._driver.watch_deadline()

    def reconfigure(self, config: EventConfig) -> None:
        """Apply the settings that may change while running (``qts.event.config.RELOADABLE``); the rest stays."""
        self.config = reloaded(self.config, config)
        self._scheduler.limit_ns = self.config.loop_handler_limit_us * NS_PER_US
        self.monitor.reconfigure(self.config)
        self._pauses.reconfigure(self.config)

    # -- pausing -----------------------------------------------------------------------------------------------

    def set_degradation_level(self, level: DegradationLevel) -> None:
        """Pause the priorities below ``level``: refused and counted when dispatched, kept when queued already."""
        self._pauses.degrade(level)

    def apply_safety_state(self, state: SafetyState) -> DegradationLevel:
        """Set the level that belongs to a safety state.

        Anything that is no safety state pauses all but P0 and raises ContractError (`unknown-is-unsafe`).
        """
        return self._pauses.apply(state)

    @property
    def degradation_level(self) -> DegradationLevel:
        """Return the degradation level in force."""
        return self._pauses.degradation

    def is_priority_allowed(self, priority: EventPriority) -> bool:
        """Return whether events of ``priority`` are accepted and handled at present."""
        return priority <= self._scheduler.floor

    def check_pressure(self) -> None:
        """Read the depths and pause or resume lower priorities; the running loop does it every slice."""
        self._pauses.check_pressure()

    def batch_factor(self, priority: EventPriority) -> int:
        """Return the factor by which batches of ``priority`` are larger at present (backpressure warning)."""
        return self._pauses.batch_factor(priority)

    # -- dead letters ------------------------------------------------------------------------------------------

    def replay_dead_letter(self, event_id: str, handler: str | None = None) -> bool:
        """Replay a dead letter to its handler; what is held behind it follows when it succeeds.

        ``handler`` None takes the first letter of the event. False when there is no such letter. Raises StateError
        when its handler is not registered any more.
        """
        return self._resolve_dead_letter(event_id, handler, replay=True)

    def skip_dead_letter(self, event_id: str, handler: str | None = None) -> bool:
        """Remove a dead letter that was dealt with by hand; what is held behind it continues.

        ``handler`` None takes the first letter of the event. False when there is no such letter.
        """
        return self._resolve_dead_letter(event_id, handler, replay=False)

    def _resolve_dead_letter(self, event_id: str, handler: str | None, *, replay: bool) -> bool:
        letter = self.dead_letter_queue.find(event_id, handler)
        if self._ingress is not None and letter is not None:
            (self._ingress.reopen if replay else self._ingress.skip)(letter.event)
        found = self._retries.resolve_dead_letter(self._levels, event_id, handler, replay=replay)
        self._admission.wake_if_asleep()
        return found

    # -- queries ----------------------------------------------------------------------------------------------

    @property
    def factory(self) -> EventFactory:
        """Return the factory of its events, with its clock and its ids."""
        return self._factory

    @property
    def dispatch_count(self) -> int:
        """Return the number of events accepted so far."""
        return self.stats.accepted

    @property
    def reject_count(self) -> int:
        """Return the number of events refused because their priority was paused."""
        return self.stats.rejected

    def queue_stats(self) -> dict[str, dict[str, Any]]:
        """Return, per priority name, size, capacity, utilization, high_water, the counters, events per second.

        See :meth:`qts.event.stats.DispatcherStats.queue_stats`; ``stats`` answers everything else.
        """
        return self.stats.queue_stats()

    # -- state -------------------------------------------------------------------------------------------------

    def export_state(self) -> dict[str, Any]:
        """Return counters, queued and held events, dead letters and degradation as plain values.

        Take it between events, or from the last handler of the event being handled (which counts as handled).
        """
        driver = self._driver

        def in_lane(registration: HandlerRegistration) -> Sequence[InFlightEvent]:
            return driver.in_lane(registration) if driver else ()

        return {
            "journal": self._ingress.export(events_in_memory(self._levels[0], in_lane)) if self._ingress else None,
            "degradation": self._pauses.degradation.value,
            **export_scheduler(self._scheduler, self._factory, self.dead_letter_queue, in_lane),
        }

    def import_state(self, state: Mapping[str, Any]) -> None:
        """Undo :meth:`export_state` on a fresh dispatcher with the same handlers registered.

        Raises StateError when the handlers differ or events were accepted already.
        """
        import_scheduler(state, self._scheduler, self._factory, self.dead_letter_queue)
        self.set_degradation_level(DegradationLevel(state["degradation"]))
        if self._ingress is not None:
            self._ingress.restore(state.get("journal"), events_in_memory(self._levels[0], lambda registration: ()))
        self._admission.connect()

    # -- failures ----------------------------------------------------------------------------------------------

    def _retry_at_once(self, blocked: BlockedKey, delay_s: float) -> None:
        blocked.flight.level.due.append(blocked)
        self._scheduler.must_recheck = True

    def _deadline_failed(self, error: BaseException) -> None:
        self.reports.add(Report("deadline", "set_deadline", "", 0.0, repr(error)))
        self._on_code("FS100", f"the callback of the deadline failed: {error!r}")

    def _overran(self, registration: HandlerRegistration, event: Event, took_ns: int) -> None:
        registration.count_overrun(self._levels[registration.priority].handled)
        self.reports.overrun(registration.name, event, took_ns)
        if self._driver is not None and registration.overruns == self.config.overruns_before_move:
            self._driver.move_to_process(registration)

    def _new_ingress(self, journal: Journal) -> JournaledIngress:
        return JournaledIngress(
            journal,
            self.config,
            self.dead_letter_queue,
            on_code=self._on_code,
            on_broken_queue=lambda error: self._admission.rebuild(self._levels[0], error),
        )

    def _new_queue(self, priority: EventPriority) -> EventQueue:
        if priority is _P0 and self._ingress is not None:
            return self._ingress.new_queue()
        return create_queue(self.config.queue_configs[priority], rng=self._rng)


def _ignore(told: object) -> None:
    """Do nothing."""


def _logged(callback: Callable[..., None], name: str) -> Callable[..., None]:
    """Wrap a ``callback`` that only observes: what it raises is logged, and the event continues."""

    def call(*arguments: object) -> None:
        try:
            callback(*arguments)
        except Exception:  # noqa: BLE001 - edge: foreign code, and a P0 event may be in work
            _log.exception("%s raised", name)

    return call
