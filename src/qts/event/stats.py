"""Statistics of a dispatcher: its counters, latencies, and whether anything is left to do."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from qts.clock import NS_PER_MS, stopwatch_ns
from qts.event.contracts import EventPriority
from qts.event.monitoring import Monitor, stats_of
from qts.event.scheduler import Scheduler
from qts.event.work import HandlerRegistration
from qts.histogram import Histogram, LatencySnapshot

LOOK_S: Final = 0.001
"""Seconds between two checks of a caller that waits until nothing is left to do."""


class DispatcherStats:
    """Queries about a dispatcher that change nothing.

    Belongs to the thread on which events are handled; counters may be read on any thread, each for itself.
    """

    def __init__(self, scheduler: Scheduler, monitor: Monitor) -> None:
        self._scheduler = scheduler
        self._levels = scheduler.levels
        self._monitor = monitor

    @property
    def is_busy(self) -> bool:
        """Return whether an accepted event that may run now is unfinished.

        What waits for an operator does not count.
        """
        return any(level.is_busy for level in self._levels[: self._scheduler.floor + 1])

    def is_busy_with(self, priority: EventPriority) -> bool:
        """Return whether an accepted event of ``priority`` is unfinished.

        What waits for an operator does not count.
        """
        return self._levels[priority].is_busy

    async def wait_until_idle(self, timeout_ms: int) -> bool:
        """Wait until nothing is busy any more; return False when that takes longer than ``timeout_ms``."""
        until_ns = stopwatch_ns() + timeout_ms * NS_PER_MS
        while self.is_busy:
            if stopwatch_ns() >= until_ns:
                return False
            await asyncio.sleep(LOOK_S)
        return True

    def is_waiting(self, priority: EventPriority) -> bool:
        """Return whether an event of ``priority`` is queued."""
        return bool(self._levels[priority].items)

    def unfinished(self, priority: EventPriority) -> int:
        """Return the number of events of ``priority`` queued, held behind a failure, or being handled."""
        return self._levels[priority].unfinished

    def handlers(self, priority: EventPriority) -> tuple[HandlerRegistration, ...]:
        """Return the handlers of ``priority`` in the order of registration; not to be written to."""
        return tuple(self._levels[priority].registrations)

    @property
    def accepted(self) -> int:
        """Return the number of events accepted so far."""
        return sum(level.accepted for level in self._levels)

    @property
    def rejected(self) -> int:
        """Return the number of events refused because their priority was paused."""
        return sum(level.rejected for level in self._levels)

    def queue_stats(self) -> dict[str, dict[str, Any]]:
        """Return, per priority name, size, capacity, utilization, high_water, the counters, events per second.

        ``size`` is everything accepted and not finished: queued, held behind a failure, or being handled; so
        accepted = handled + dropped + collapsed + sampled + dead_lettered + size at any moment. An event of a
        stream that never had to wait counts as handled from when its handler has it.
        """
        return {level.priority.name: stats_of(level, self._monitor.rates[level.priority]) for level in self._levels}

    def latency(self, priority: EventPriority) -> LatencySnapshot:
        """Return the latencies accept → start and start → end since the process began.

        Of the events that a stream gives one in ``event.latency_sample_rows`` is measured, of others each;
        ``count`` says how many were.
        """
        level = self._levels[priority]
        return LatencySnapshot(level.wait.snapshot(), level.work.snapshot())

    def histograms(self, priority: EventPriority) -> tuple[Histogram, Histogram]:
        """Return the histograms of accept → start and start → end; not to be written to."""
        level = self._levels[priority]
        return level.wait, level.work

    def priority_check(self) -> tuple[int, int]:
        """Return the handler starts measured, and those made while something higher had waited (must be 0)."""
        return sum(level.wait.total for level in self._levels), self._scheduler.starts_violating
