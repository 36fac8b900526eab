"""The straight path: P1 events of a stream that nothing waits for, passed to their handler by their source.

Making an event, numbering it and measuring its latency costs more than a handler that does little. Where one
handler alone would get the event, and at once, its source may call that handler with the payload and report how
many it passed on: then the counts and the numbers of later events are as if each had been an event of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from qts.event.contracts import EventPriority, EventType
from qts.event.scheduler import Scheduler

_P1 = EventPriority.P1_HIGH


class StraightPath:
    """The straight path of one dispatcher on the virtual clock. For the thread on which events are handled.

    Its source calls :meth:`is_open` before it begins, stops at what needs care, such as a handler's result, and
    calls :meth:`pass_on` before anything else of the dispatcher runs.
    """

    __slots__ = ("_scheduler",)

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def is_open(self, event_type: EventType, handler: Callable[..., Any] | None) -> bool:
        """Return whether an event of ``event_type`` would go at once to ``handler`` alone; None: to no handler.

        Not while anything is queued, P1 is paused, a deadline is watched or an earlier event of the handler waits
        to be tried again. The answer holds until a handler runs or something is published.
        """
        scheduler = self._scheduler
        if scheduler.floor < _P1 or not self.is_idle:
            return False
        handlers = scheduler.levels[_P1].routes[event_type]
        if handler is None:
            return not handlers
        return len(handlers) == 1 and not handlers[0].special and handlers[0].origin == handler

    @property
    def is_idle(self) -> bool:
        """Return whether the scheduler has nothing to do: no event is queued, no deadline is watched."""
        scheduler = self._scheduler
        if scheduler.watching or scheduler.must_recheck:
            return False
        p0, p1, p2, p3 = scheduler.levels  # one by one: asked for nearly every row of a sparse feed
        return not (p0.items or p1.items or p2.items or p3.items or p0.due or p1.due or p2.due or p3.due)

    @property
    def urgent(self) -> Collection[object]:
        """Return the queued P0 events. The same object stays in use until a handler runs."""
        waiting: Collection[object] = self._scheduler.levels[0].items
        return waiting

    @property
    def unmeasured(self) -> int:
        """Return how many events come before the next whose latency is measured."""
        return self._scheduler.unmeasured_rows

    @property
    def sample_rows(self) -> int:
        """Return the distance between two events whose latency is measured."""
        return self._scheduler.sample_rows

    def measure(self, accepted_ns: int, started_ns: int, ended_ns: int) -> None:
        """Record the latency of an event whose turn it was, in ns of the stopwatch."""
        level = self._scheduler.levels[_P1]
        level.wait.record(started_ns - accepted_ns)
        level.work.record(ended_ns - started_ns)

    def pass_on(self, count: int) -> None:
        """Count ``count`` events that were passed to their handler, and take their numbers."""
        scheduler = self._scheduler
        assert scheduler.factory is not None
        scheduler.levels[_P1].passed += count
        scheduler.factory.skip(count)
        scheduler.unmeasured_rows = (scheduler.unmeasured_rows - count) % scheduler.sample_rows
