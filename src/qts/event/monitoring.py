"""What the queues and handlers are doing: counters, depths, latencies in fixed memory, alerts once per crossing."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import msgspec

from qts.clock import NS_PER_MS, NS_PER_S, NS_PER_US, stopwatch_ns
from qts.event.config import EventConfig, LatencySla, QueueAlert
from qts.event.contracts import DegradationLevel, Event, EventPriority
from qts.exposition import prometheus_core

if TYPE_CHECKING:
    from qts.event.engine import Level
    from qts.event.readings import Readings

SUB_BITS: Final = 5
"""Each power of two is cut into 32 equal buckets: half a bucket is at most 1/64 of the value, 1.6 %."""
SUB_BUCKETS: Final = 1 << SUB_BITS
BUCKETS: Final = 64 * SUB_BUCKETS
LARGEST_NS: Final = (1 << 62) - 1


class Latency(msgspec.Struct, frozen=True):
    """Percentiles in microseconds (0.0 when nothing was recorded); the maximum is exact, the others within 5 %."""

    count: int
    p50_us: float
    p95_us: float
    p99_us: float
    p999_us: float
    max_us: float


class LatencySnapshot(msgspec.Struct, frozen=True):
    """Both latencies of a priority: ``start`` is accept → handler start, ``end`` handler start → end."""

    start: Latency
    end: Latency


class Histogram:
    """A log-linear histogram of nanoseconds, 16 KB whatever is recorded.

    The index comes from the bit length of value + 32, so no value needs a branch. The engine records in its own
    loop, through :data:`INDEX_BY_8NS` while the value is below :data:`INDEXED_NS` (up to 4 ns of rounding: within
    5 % from 128 ns on, and a stopwatch reading takes 40 ns itself).
    """

    __slots__ = ("counts", "max_ns")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.max_ns = 0

    def record(self, ns: int) -> None:
        """Count one value; below 0 counts as 0, above 2^62 as 2^62."""
        ns = min(max(ns, 0), LARGEST_NS)
        self.counts[_index(ns)] += 1
        if ns > self.max_ns:
            self.max_ns = ns

    @property
    def total(self) -> int:
        return sum(self.counts)

    def percentile_ns(self, share: float) -> float:
        """The value below or at which ``share`` (0..1) of the records lie; 0.0 when there are none."""
        return self.percentiles_ns((share,))[0]

    def percentiles_ns(self, shares: Iterable[float]) -> list[float]:
        """One for each share."""
        running = list(accumulate(self.counts[: _index(self.max_ns + 8) + 1]))  # 8: what the engine rounds to
        total = running[-1]
        if not total:
            return [0.0 for _ in shares]
        # the smallest whole number not below share x total
        ranks = (max(1, -(-share * total // 1)) for share in shares)
        return [min(_middle(bisect_left(running, rank)), float(self.max_ns)) for rank in ranks]

    def exceeds(self, share: float, bound_ns: float) -> bool:
        """Whether ``percentile_ns(share)`` lies above ``bound_ns``, for a fraction of its cost.

        The running loop asks this ten times a second, and meanwhile no fill can start.
        """
        if self.max_ns <= bound_ns:
            return False
        first_above = _index(int(bound_ns))
        if _middle(first_above) <= bound_ns:
            first_above += 1
        below = sum(self.counts[:first_above])
        total = below + sum(self.counts[first_above : _index(self.max_ns + 8) + 1])  # 8: what the engine rounds to
        return below < max(1, -(-share * total // 1))

    def up_to(self, bounds_ns: Iterable[int]) -> list[int]:
        """How many records lie at or below each of the rising bounds, within the width of one bucket (3 %)."""
        running = [0, *accumulate(self.counts)]
        return [running[_index(bound) + 1] for bound in bounds_ns]

    @property
    def sum_ns(self) -> float:
        """The sum of all records, from the middles of their buckets (within 1.6 %)."""
        return sum(count * _middle(index) for index, count in enumerate(self.counts) if count)

    def snapshot(self) -> Latency:
        p50, p95, p99, p999 = (ns / NS_PER_US for ns in self.percentiles_ns((0.5, 0.95, 0.99, 0.999)))
        return Latency(self.total, p50, p95, p99, p999, self.max_ns / NS_PER_US)


def _index(ns: int) -> int:
    shifted = ns + SUB_BUCKETS
    exponent = shifted.bit_length() - SUB_BITS - 1
    return (exponent << SUB_BITS) + (shifted >> exponent)


INDEXED_NS: Final = 1 << 19
INDEX_BY_8NS: Final = [_index(8 * eighth + 4) for eighth in range(INDEXED_NS >> 3)]
"""The bucket of a value by its eighth."""


def _middle(index: int) -> float:
    exponent = (index >> SUB_BITS) - 1
    low = ((index - (exponent << SUB_BITS)) << exponent) - SUB_BUCKETS
    return low + ((1 << exponent) - 1) / 2


_PERCENTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


class Alert(msgspec.Struct, frozen=True):
    """A depth or latency threshold was crossed upward. ``measure`` is "depth" or "p50", "p95", "p99", "max"."""

    priority: EventPriority
    measure: str
    severity: str
    value: float
    threshold: float


class Monitor:
    """Compares depths and accept→start latencies with the thresholds and tells of each crossing once.

    An alert fires again only after its value has been at or below the threshold in between.
    """

    def __init__(self, config: EventConfig, on_alert: Callable[[Alert], None] | None = None) -> None:
        self.reconfigure(config)
        self._slas = dict(
            zip(EventPriority, (config.latency_sla.p0, config.latency_sla.p1, config.latency_sla.p2), strict=False)
        )
        self._on_alert = on_alert
        self._above: set[tuple[EventPriority, str, str]] = set()
        self._seen: dict[EventPriority, int] = {}  # events taken at the last look: without new ones nothing changes
        self._rate_base: dict[EventPriority, tuple[int, int]] = {}
        self.rates: dict[EventPriority, float] = dict.fromkeys(EventPriority, 0.0)

    def reconfigure(self, config: EventConfig) -> None:
        """Compare with the depths of ``config`` from now on."""
        depths = config.queue_alerts
        self._alerts: dict[EventPriority, QueueAlert] = dict(
            zip(EventPriority, (depths.p0, depths.p1, depths.p2), strict=False)
        )

    def check(self, levels: Iterable[Level]) -> list[Alert]:
        """Look at every level once; call it every ``monitoring_interval_ms``."""
        fired = [alert for level in levels for alert in self._check_level(level)]
        for alert in fired:
            if self._on_alert is not None:
                self._on_alert(alert)
        return fired

    def _check_level(self, level: Level) -> Iterable[Alert]:
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
    """Something about a handler or queue that a person should know.

    ``kind``: "overrun" (longer on the loop than allowed), "too long" (past the event's max_process_time_ms),
    "moved" or "stays" (after repeated overruns), "queue" (rebuilt), "slice" (the machinery itself failed).
    """

    kind: str
    name: str
    event_id: str
    took_us: float
    detail: str = ""


class Overstay(msgspec.Struct):
    """How often a handler took longer than its place allows, and the longest of them in microseconds."""

    count: int = 0
    longest_us: float = 0.0


class Reports:
    """The newest reports, how many there were of each kind, and who overstayed how often and how long.

    ``on_report`` is told of each; it must be quick.
    """

    def __init__(self, capacity: int = 1_000, on_report: Callable[[Report], None] | None = None) -> None:
        self._newest: deque[Report] = deque(maxlen=capacity)
        self._on_report = on_report
        self.counts: dict[str, int] = {}
        self.overstays: dict[str, Overstay] = {}

    def __iter__(self) -> Iterator[Report]:
        return iter(tuple(self._newest))

    def __len__(self) -> int:
        return len(self._newest)

    def add(self, report: Report) -> None:
        self._newest.append(report)
        self.counts[report.kind] = self.counts.get(report.kind, 0) + 1
        if self._on_report is not None:
            self._on_report(report)

    def overrun(self, name: str, event: Event, took_ns: int) -> None:
        """A handler took ``took_ns`` for one event, longer than its place allows."""
        allowed_ms = event.max_process_time_ms
        kind = "too long" if allowed_ms and took_ns > allowed_ms * NS_PER_MS else "overrun"
        took_us = took_ns / NS_PER_US
        overstay = self.overstays.setdefault(name, Overstay())
        overstay.count += 1
        overstay.longest_us = max(overstay.longest_us, took_us)
        self.add(Report(kind, name, event.event_id, took_us))


LATENCY_BOUNDS_NS: Final = tuple(
    us * NS_PER_US
    for us in (1, 5, 10, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000)
)
"""Upper bounds of the exported latency buckets; the SLA of spec 01 lies among them."""
OUTCOMES: Final = ("accepted", "handled", "dropped", "collapsed", "sampled", "rejected", "dead_lettered")


class QueueMetrics:
    """Everything above for Prometheus: ``prometheus_client.REGISTRY.register(QueueMetrics(dispatcher))``.

    Reads counters when it is scraped and costs nothing in between; the scrape may come on any thread. Raises
    :class:`~qts.errors.MissingExtraError` without the extra ``metrics``.
    """

    def __init__(self, dispatcher: Readings) -> None:
        self._dispatcher = dispatcher
        self._core = prometheus_core()

    def collect(self) -> Iterator[Any]:
        """The metric families, as ``prometheus_client`` asks for them."""
        stats = {name.split("_")[0]: row for name, row in self._dispatcher.queue_stats().items()}
        yield self._events(stats)
        for name, key, text in (
            ("qts_queue_depth", "queued", "Events waiting in the queue."),
            ("qts_queue_capacity", "capacity", "Events the queue holds before its overflow policy acts."),
            ("qts_queue_high_water", "high_water", "The deepest the queue has been."),
            ("qts_events_unfinished", "size", "Events accepted and not finished: queued, held or being handled."),
            ("qts_events_per_second", "events_per_s", "Events handled a second, over the last interval."),
        ):
            family = self._core.GaugeMetricFamily(name, text, labels=["priority"])
            for priority, row in stats.items():
                family.add_metric([priority], row[key])
            yield family
        yield self._latency()
        yield from self._overstays()
        level = self._core.GaugeMetricFamily("qts_degradation_level", "1 for the level in force.", labels=["level"])
        for one in DegradationLevel:
            level.add_metric([one.value], float(one is self._dispatcher.degradation_level))
        yield level

    def _events(self, stats: dict[str, dict[str, Any]]) -> Any:
        family = self._core.CounterMetricFamily(
            "qts_events", "Events by what became of them.", labels=["priority", "outcome"]
        )
        for priority, row in stats.items():
            for outcome in OUTCOMES:
                family.add_metric([priority, outcome], row[outcome])
        return family

    def _latency(self) -> Any:
        family = self._core.HistogramMetricFamily(
            "qts_event_latency_seconds",
            "start: from accept to the start of the handler; end: from there to its end.",
            labels=["priority", "span"],
        )
        for priority in EventPriority:
            for span, histogram in zip(("start", "end"), self._dispatcher.histograms(priority), strict=True):
                counts = histogram.up_to(LATENCY_BOUNDS_NS)
                bounds = [*(f"{bound / NS_PER_S:g}" for bound in LATENCY_BOUNDS_NS), "+Inf"]
                buckets = list(zip(bounds, [*counts, histogram.total], strict=True))
                family.add_metric([f"P{priority:d}", span], buckets, histogram.sum_ns / NS_PER_S)
        return family

    def _overstays(self) -> Iterator[Any]:
        times = self._core.CounterMetricFamily(
            "qts_handler_overstays", "Calls longer on the loop than allowed.", labels=["handler"]
        )
        longest = self._core.GaugeMetricFamily(
            "qts_handler_longest_overstay_seconds", "The longest of them.", labels=["handler"]
        )
        for name, one in sorted(self._dispatcher.reports.overstays.items()):
            times.add_metric([name], one.count)
            longest.add_metric([name], one.longest_us / 1e6)
        yield times
        yield longest


def stats_of(level: Level, events_per_s: float) -> dict[str, Any]:
    """One level's row of ``queue_stats()``."""
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
