"""What the queues and handlers are doing: counters, depths, latencies in fixed memory, alerts once per crossing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from qts.clock import NS_PER_S, NS_PER_US, stopwatch_ns
from qts.event.config import EventConfig, QueueAlert
from qts.event.contracts import EventPriority

if TYPE_CHECKING:
    from qts.event.engine import Level

SUB_BITS: Final = 4
"""Each power of two is cut into 16 equal buckets: half a bucket is at most 1/32 of the value, 3.2 %."""
SUB_BUCKETS: Final = 1 << SUB_BITS
BUCKETS: Final = 64 * SUB_BUCKETS
LARGEST_NS: Final = (1 << 62) - 1


class Latency(msgspec.Struct, frozen=True):
    """Percentiles in microseconds (0.0 when nothing was recorded); ``max`` is exact, the others within 3.2 %."""

    count: int
    p50: float
    p95: float
    p99: float
    p999: float
    max: float


class LatencySnapshot(msgspec.Struct, frozen=True):
    """Both latencies of a priority: accept → handler start, and handler start → end."""

    wait: Latency
    work: Latency


class Histogram:
    """A log-linear histogram of nanoseconds, 8 KB whatever is recorded.

    The index comes from the bit length of value + 16, so no value needs a branch. The engine records in its own
    loop with the same two lines as :meth:`record`.
    """

    __slots__ = ("counts", "max_ns")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.max_ns = 0

    def record(self, ns: int) -> None:
        """Count one value; below 0 counts as 0, above 2^62 as 2^62."""
        ns = min(max(ns, 0), LARGEST_NS)
        shifted = ns + SUB_BUCKETS
        exponent = shifted.bit_length() - SUB_BITS - 1
        self.counts[(exponent << SUB_BITS) + (shifted >> exponent)] += 1
        if ns > self.max_ns:
            self.max_ns = ns

    @property
    def total(self) -> int:
        return sum(self.counts)

    def percentile_ns(self, share: float) -> float:
        """The value below or at which ``share`` (0..1) of the records lie; 0.0 when there are none."""
        total = self.total
        rank = max(1, -(-share * total // 1))  # the smallest whole number not below share x total
        seen = 0
        for index, count in enumerate(self.counts):
            seen += count
            if count and seen >= rank:
                return min(_middle(index), float(self.max_ns))
        return 0.0

    def snapshot(self) -> Latency:
        p50, p95, p99, p999 = (self.percentile_ns(share) / NS_PER_US for share in (0.5, 0.95, 0.99, 0.999))
        return Latency(self.total, p50, p95, p99, p999, self.max_ns / NS_PER_US)

    def export(self) -> dict[str, Any]:
        """Only the buckets that hold something, as plain values."""
        return {"max_ns": self.max_ns, "counts": [[i, n] for i, n in enumerate(self.counts) if n]}

    def restore(self, stored: Mapping[str, Any]) -> None:
        self.max_ns = stored["max_ns"]
        for index, count in stored["counts"]:
            self.counts[index] = count


def _middle(index: int) -> float:
    exponent = (index >> SUB_BITS) - 1
    low = ((index - (exponent << SUB_BITS)) << exponent) - SUB_BUCKETS
    return low + ((1 << exponent) - 1) / 2


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
        self._alerts: dict[EventPriority, QueueAlert] = dict(
            zip(
                EventPriority,
                (config.queue_alerts.p0, config.queue_alerts.p1, config.queue_alerts.p2),
                strict=False,
            )
        )
        self._slas = dict(
            zip(EventPriority, (config.latency_sla.p0, config.latency_sla.p1, config.latency_sla.p2), strict=False)
        )
        self._on_alert = on_alert
        self._above: set[tuple[EventPriority, str, str]] = set()
        self._rate_base: dict[EventPriority, tuple[int, int]] = {}
        self.rates: dict[EventPriority, float] = dict.fromkeys(EventPriority, 0.0)

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
        if (sla := self._slas.get(priority)) is not None:
            latency = level.wait.snapshot()
            for measure in ("p50", "p95", "p99", "max"):
                value_ms = getattr(latency, measure) / 1_000
                yield from self._crossed(priority, measure, "warning", value_ms, getattr(sla, measure))

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
