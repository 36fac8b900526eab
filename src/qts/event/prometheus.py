"""The dispatcher for Prometheus: its counters, depths and latency histograms, read when they are scraped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from qts.clock import NS_PER_S, NS_PER_US
from qts.event.contracts import DegradationLevel, EventPriority
from qts.event.dispatcher import EventDispatcher
from qts.exposition import prometheus_core

LATENCY_BOUNDS_NS: Final = tuple(
    us * NS_PER_US
    for us in (1, 5, 10, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000)
)
"""Upper bounds of the exported latency buckets; the default limits lie among them."""
OUTCOMES: Final = ("accepted", "handled", "dropped", "collapsed", "sampled", "rejected", "dead_lettered")


class QueueMetrics:
    """A collector of a dispatcher for Prometheus:
    ``prometheus_client.REGISTRY.register(QueueMetrics(dispatcher))``.

    Reads counters when it is scraped and costs nothing in between; the scrape may come on any thread. Raises
    :class:`~qts.errors.MissingExtraError` without the extra ``metrics``.
    """

    def __init__(self, dispatcher: EventDispatcher) -> None:
        self._dispatcher = dispatcher
        self._core = prometheus_core()

    def collect(self) -> Iterator[Any]:
        """Yield the metric families; ``prometheus_client`` calls it on the thread of a scrape."""
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
        yield from self._overruns()
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
            "start: from accept to the start of the handler; end: from there to its end. Of a replay's rows one in "
            "event.latency_sample_rows is measured; _count is the number of samples.",
            labels=["priority", "span"],
        )
        for priority in EventPriority:
            for span, histogram in zip(("start", "end"), self._dispatcher.stats.histograms(priority), strict=True):
                counts = histogram.up_to(LATENCY_BOUNDS_NS)
                bounds = [*(f"{bound / NS_PER_S:g}" for bound in LATENCY_BOUNDS_NS), "+Inf"]
                buckets = list(zip(bounds, [*counts, histogram.total], strict=True))
                family.add_metric([f"P{priority:d}", span], buckets, histogram.sum_ns / NS_PER_S)
        return family

    def _overruns(self) -> Iterator[Any]:
        # Overruns; the names are kept for readers of earlier results.
        times = self._core.CounterMetricFamily(
            "qts_handler_overstays", "Handler calls over their time limit on the loop.", labels=["handler"]
        )
        longest = self._core.GaugeMetricFamily(
            "qts_handler_longest_overstay_seconds", "The longest of them.", labels=["handler"]
        )
        for name, one in sorted(self._dispatcher.reports.overruns.items()):
            times.add_metric([name], one.count)
            longest.add_metric([name], one.longest_us / 1e6)
        yield times
        yield longest
