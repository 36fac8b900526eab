"""Counts of what was asked of a cache, for metrics and for people."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

import msgspec

from qts.cache.breaker import BreakerState
from qts.cache.contracts import Kind, PoolUse
from qts.clock import NS_PER_US
from qts.histogram import Histogram


class Result(str, Enum):
    """The answer of a cache to one request.

    HIT: a value that may be used. MISS: none. STALE: one that is too old or from the future. DAMAGED: something
    that is no value. AWAY: none, or a refusal, or the cache was not asked because it had failed before.
    """

    HIT = "HIT"
    MISS = "MISS"
    STALE = "STALE"
    DAMAGED = "DAMAGED"
    AWAY = "AWAY"


class Load(str, Enum):
    """The answer of a source: a value, that it has none, or an error."""

    LOADED = "LOADED"
    NOTHING = "NOTHING"
    FAILED = "FAILED"


class Written(str, Enum):
    """The end of one value that was to be written.

    WRITTEN: it is there. AWAY: the cache did not answer, or was not asked. REFUSED: the cache cannot hold it, or
    has no room.
    """

    WRITTEN = "WRITTEN"
    AWAY = "AWAY"
    REFUSED = "REFUSED"


class CacheStatus(msgspec.Struct, frozen=True):
    """Counts of a cache so far. ``requests``, ``loads``: those other than 0 by kind and then by answer.

    Latencies are those of the calls, in µs and within 5 %; 0.0 before the first. ``opened``: how often the breaker
    opened. ``server``: name and version, "" before it answered. ``connections``: those in use, of at most
    ``most_connections``; 0 of 0 where there are none.
    """

    server: str
    breaker: str
    opened: int
    connections: int
    most_connections: int
    requests: Mapping[str, Mapping[str, int]]
    loads: Mapping[str, Mapping[str, int]]
    writes: Mapping[str, int]
    read_p50_us: float
    read_p99_us: float
    write_p50_us: float
    write_p99_us: float


class CacheStats:
    """Counts since the start; written on the loop of the cache, read on any thread."""

    __slots__ = ("loads", "reads", "requests", "writes", "written")

    def __init__(self) -> None:
        # Every count is there from the start: a thread that reads meets no table that grows.
        self.requests: Final = {kind: dict.fromkeys(Result, 0) for kind in Kind}
        self.loads: Final = {kind: dict.fromkeys(Load, 0) for kind in Kind}
        self.written: Final = dict.fromkeys(Written, 0)
        self.reads: Final = Histogram()
        """Latencies of the calls that read, in ns; those without an answer too."""
        self.writes: Final = Histogram()
        """The same of all other calls."""

    def status(self, server: str, pool: PoolUse, breaker: BreakerState, opened: int) -> CacheStatus:
        """Return a copy of the counts with what server, connections and breaker are."""
        reads, writes = self.reads.percentiles_ns((0.5, 0.99)), self.writes.percentiles_ns((0.5, 0.99))
        return CacheStatus(
            server=server,
            breaker=breaker.value,
            opened=opened,
            connections=pool.in_use,
            most_connections=pool.most,
            requests=_by_name(self.requests),
            loads=_by_name(self.loads),
            writes={end.value: count for end, count in self.written.items() if count},
            read_p50_us=reads[0] / NS_PER_US,
            read_p99_us=reads[1] / NS_PER_US,
            write_p50_us=writes[0] / NS_PER_US,
            write_p99_us=writes[1] / NS_PER_US,
        )


def _by_name(counts: Mapping[Kind, Mapping[Result, int] | Mapping[Load, int]]) -> dict[str, dict[str, int]]:
    found = {
        kind.name.lower(): {answer.value: count for answer, count in row.items() if count}
        for kind, row in counts.items()
    }
    return {kind: row for kind, row in found.items() if row}
