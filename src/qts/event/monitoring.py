"""Monitoring of queues and handlers: counters, depths, latencies in fixed memory, alerts once per crossing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import msgspec

from qts.clock import NS_PER_MS, NS_PER_S, NS_PER_US, stopwatch_ns
from qts.event.config import EventConfig, LatencySla, QueueAlert
from qts.event.contracts import Event, EventPriority
from qts.event.work import PriorityLevel
from qts.histogram import Histogram

_PERCENTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


class Alert(msgspec.Struct, frozen=True):
    """A depth or latency threshold was crossed upward. ``measure`` is "depth" or "p50", "p95", "p99", "max"."""

    priority: EventPriority
    measure: str
    severity: str
    value: float
    threshold: float


class Monitor:
    """A monitor of depths and accept→start latencies that alerts once for each crossing of a threshold.

    An alert fires again only after its value has been at or below the threshold in between.
    """

    def __init__(self, config: EventConfig, on_alert: Callable[[Alert], None] | None = None) -> None:
        self.reconfigure(config)
        self._slas = dict(
            zip(EventPriority, (config.latency_sla.p0, config.latency_sla.p1, config.latency_sla.p2), strict=False)
        )
        self._on_alert = on_alert
        self._above: set[tuple[EventPriority, str, str]] = set()
        self._seen: dict[EventPriority, int] = {}  # events taken at the last check; without new ones it is skipped
        self._rate_base: dict[EventPriority, tuple[int, int]] = {}
        self.rates: dict[EventPriority, float] = dict.fromkeys(EventPriority, 0.0)

    def reconfigure(self, config: EventConfig) -> None:
        """Compare with the depths of ``config`` from now on."""
        depths = config.queue_alerts
        self._alerts: dict[EventPriority, QueueAlert] = dict(
            zip(EventPriority, (depths.p0, depths.p1, depths.p2), strict=False)
        )

    def check(self, levels: Iterable[PriorityLevel]) -> list[Alert]:
        """Check every level and return the alerts; call it every ``monitoring_interval_ms``."""
        fired = [alert for level in levels for alert in self._check_level(level)]
        for alert in fired:
            if self._on_alert is not None:
                self._on_alert(alert)
        return fired

    def _check_level(self, level: PriorityLevel) -> Iterable[Alert]:
        priority = level.priority
        self._measure_rate(priority, level.handled)
        depth = level.queue.note_depth()
        if (bounds := self._alerts.get(priority)) is not None:
            yield from self._crossed(priority, "depth", "warning", depth, bounds.warning)
            yield from self._crossed(priority, "depth", "critical", depth, bounds.critical)
        taken = level.queue.taken + level.passed
        if (sla := self._slas.get(priority)) is not None and taken != self._seen.get(priority):
            self._seen[priority] = taken
            yield from self._late(priority, level.wait, sla)

    def _late(self, priority: EventPriority, wait: Histogram, sla: LatencySla) -> Iterable[Alert]:
        for measure, share in _PERCENTILES:
            bound_ms = getattr(sla, measure)
            is_late = wait.exceeds(share, bound_ms * NS_PER_MS)
            key = (priority, measure, "warning")
            if is_late and key not in self._above:  # the value costs more, and is wanted only now
                self._above.add(key)
                yield Alert(priority, measure, "warning", wait.percentile_ns(share) / NS_PER_MS, bound_ms)
            elif not is_late:
                self._above.discard(key)
        yield from self._crossed(priority, "max", "warning", wait.max_ns / NS_PER_MS, sla.max)

    def _crossed(
        self, priority: EventPriority, measure: str, severity: str, value: float, bound: float
    ) -> Iterable[Alert]:
        key = (priority, measure, severity)
        if value < bound if measure == "depth" else value <= bound:
            self._above.discard(key)
        elif key not in self._above:
            self._above.add(key)
            yield Alert(priority, measure, severity, value, bound)

    def _measure_rate(self, priority: EventPriority, handled: int) -> None:
        now = stopwatch_ns()
        then, base = self._rate_base.get(priority, (now, handled))
        if now > then:
            self.rates[priority] = (handled - base) * NS_PER_S / (now - then)
        self._rate_base[priority] = (now, handled)


class Report(msgspec.Struct, frozen=True):
    """A message about a handler or queue for the operator.

    ``kind``: "overrun" (longer on the loop than allowed), "too long" (past the event's max_process_time_ms),
    "moved" or "stays" (after repeated overruns), "queue" (rebuilt), "slice" (a slice of the loop failed),
    "deadline" (its callback failed).
    """

    kind: str
    name: str
    event_id: str
    took_us: float
    detail: str = ""


class OverrunTotal(msgspec.Struct):
    """The calls of a handler that took longer than allowed: their count, and the longest in microseconds."""

    count: int = 0
    longest_us: float = 0.0


class Reports:
    """The newest reports, the count of each kind, and the overruns by handler.

    ``on_report`` is called with each; it must be short.
    """

    def __init__(self, capacity: int = 1_000, on_report: Callable[[Report], None] | None = None) -> None:
        self._newest: deque[Report] = deque(maxlen=capacity)
        self._on_report = on_report
        self.counts: dict[str, int] = {}
        self.overruns: dict[str, OverrunTotal] = {}

    def __iter__(self) -> Iterator[Report]:
        return iter(tuple(self._newest))

    def __len__(self) -> int:
        return len(self._newest)

    def add(self, report: Report) -> None:
        """Keep, count and publish a report."""
        self._newest.append(report)
        self.counts[report.kind] = self.counts.get(report.kind, 0) + 1
        if self._on_report is not None:
            self._on_report(report)

    def overrun(self, name: str, event: Event, took_ns: int) -> None:
        """Report that a handler took ``took_ns`` for one event, longer than allowed."""
        allowed_ms = event.max_process_time_ms
        kind = "too long" if allowed_ms and took_ns > allowed_ms * NS_PER_MS else "overrun"
        took_us = took_ns / NS_PER_US
        total = self.overruns.setdefault(name, OverrunTotal())
        total.count += 1
        total.longest_us = max(total.longest_us, took_us)
        self.add(Report(kind, name, event.event_id, took_us))


def stats_of(level: PriorityLevel, events_per_s: float) -> dict[str, Any]:
    """Return one level's row of ``queue_stats()``."""
    queue = level.queue
    return {
        "size": level.unfinished,
        "queued": queue.note_depth(),
        "capacity": queue.capacity,
        "utilization": queue.utilization(),
        "high_water": queue.high_water,
        "accepted": level.accepted,
        "handled": level.handled,
        "dropped": queue.dropped_count + level.lost,
        "collapsed": queue.collapsed_count,
        "sampled": queue.sampled_out_count,
        "rejected": level.rejected,
        "dead_lettered": level.dead_lettered,
        "overflow": getattr(queue, "overflow_count", 0),
        "in_flight": level.in_flight,
        "events_per_s": events_per_s,
    }
