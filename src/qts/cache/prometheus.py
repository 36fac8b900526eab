"""A cache for Prometheus: what was asked of it, what it answered, how long that took, and its breaker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from qts.cache.breaker import BreakerState
from qts.cache.writer import CacheWriter
from qts.clock import NS_PER_S, NS_PER_US
from qts.exposition import prometheus_core

LATENCY_BOUNDS_NS: Final = tuple(
    us * NS_PER_US for us in (10, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000)
)
"""Upper bounds of the exported latency buckets; a call ends after some 100 ms."""


class CacheMetrics:
    """A collector of a cache for Prometheus: ``prometheus_client.REGISTRY.register(CacheMetrics(manager))``.

    Takes a CacheWriter or CacheManager. Reads counts when it is scraped, which may be on any thread. Raises
    :class:`~qts.errors.MissingExtraError` without the extra ``metrics``.
    """

    def __init__(self, cache: CacheWriter, name: str = "cache") -> None:
        """Name the breaker ``name``."""
        self._cache = cache
        self._name = name
        self._core = prometheus_core()

    def collect(self) -> Iterator[Any]:
        """Yield the metric families; ``prometheus_client`` calls it on the thread of a scrape."""
        stats = self._cache.stats
        text = "Reads by what the cache had."
        yield self._by_kind("qts_cache_requests", text, "result", stats.requests)
        yield self._by_kind("qts_cache_loads", "Questions to the source of a value.", "outcome", stats.loads)
        written = self._core.CounterMetricFamily(
            "qts_cache_writes", "Values that were to be written.", labels=["outcome"]
        )
        for end, count in stats.written.items():
            written.add_metric([end.value.lower()], count)
        yield written
        yield self._latency()
        status = self._cache.status()
        connections = self._core.GaugeMetricFamily(
            "qts_cache_connections",
            "Connections to the server in use, and how many there may be.",
            labels=["state"],
        )
        connections.add_metric(["in_use"], status.connections)
        connections.add_metric(["most"], status.most_connections)
        yield connections
        yield from self._breaker()

    def _by_kind(self, name: str, text: str, label: str, counts: Mapping[Any, Mapping[Any, int]]) -> Any:
        family = self._core.CounterMetricFamily(name, text, labels=["kind", label])
        for kind, row in counts.items():
            for one, count in row.items():
                family.add_metric([kind.name.lower(), one.value.lower()], count)
        return family

    def _latency(self) -> Any:
        family = self._core.HistogramMetricFamily(
            "qts_cache_call_seconds", "Calls of the cache, those without an answer too.", labels=["op"]
        )
        for op, histogram in (("read", self._cache.stats.reads), ("write", self._cache.stats.writes)):
            counts = histogram.up_to(LATENCY_BOUNDS_NS)
            bounds = [*(f"{bound / NS_PER_S:g}" for bound in LATENCY_BOUNDS_NS), "+Inf"]
            buckets = list(zip(bounds, [*counts, histogram.total], strict=True))
            family.add_metric([op], buckets, histogram.sum_ns / NS_PER_S)
        return family

    def _breaker(self) -> Iterator[Any]:
        state = self._core.GaugeMetricFamily(
            "qts_breaker_state", "1 for the state of the breaker.", labels=["name", "state"]
        )
        for one in BreakerState:
            state.add_metric([self._name, one.value], float(one is self._cache.breaker.state))
        yield state
        opened = self._core.CounterMetricFamily("qts_breaker_opened", "How often it opened.", labels=["name"])
        opened.add_metric([self._name], self._cache.breaker.opened)
        yield opened
