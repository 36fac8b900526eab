"""A histogram of latencies: log-linear buckets in fixed memory, percentiles within a few percent."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

import msgspec

from qts.clock import NS_PER_US

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

    The index comes from the bit length of value + 32, so no value needs a branch. The scheduler records in its own
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
        """Return the number of records."""
        return sum(self.counts)

    def percentile_ns(self, share: float) -> float:
        """Return the value below or at which ``share`` (0..1) of the records lie; 0.0 when there are none."""
        return self.percentiles_ns((share,))[0]

    def percentiles_ns(self, shares: Iterable[float]) -> list[float]:
        """Return :meth:`percentile_ns` for each share."""
        running = list(accumulate(self.counts[: _index(self.max_ns + 8) + 1]))  # 8: what the scheduler rounds to
        total = running[-1]
        if not total:
            return [0.0 for _ in shares]
        # the smallest whole number not below share x total
        ranks = (max(1, -(-share * total // 1)) for share in shares)
        return [min(_middle(bisect_left(running, rank)), float(self.max_ns)) for rank in ranks]

    def exceeds(self, share: float, bound_ns: float) -> bool:
        """Return whether ``percentile_ns(share)`` lies above ``bound_ns``, for a fraction of its cost.

        The running loop calls this ten times a second, and meanwhile no fill can start.
        """
        if self.max_ns <= bound_ns:
            return False
        first_above = _index(int(bound_ns))
        if _middle(first_above) <= bound_ns:
            first_above += 1
        below = sum(self.counts[:first_above])
        total = below + sum(self.counts[first_above : _index(self.max_ns + 8) + 1])  # 8: as above
        return below < max(1, -(-share * total // 1))

    def up_to(self, bounds_ns: Iterable[int]) -> list[int]:
        """Return how many records lie at or below each of the rising bounds, to the width of a bucket (3 %)."""
        running = [0, *accumulate(self.counts)]
        return [running[_index(bound) + 1] for bound in bounds_ns]

    @property
    def sum_ns(self) -> float:
        """Return the sum of all records, from the middles of their buckets (within 1.6 %)."""
        return sum(count * _middle(index) for index, count in enumerate(self.counts) if count)

    def snapshot(self) -> Latency:
        """Return the percentiles and the maximum in microseconds."""
        p50, p95, p99, p999 = (ns / NS_PER_US for ns in self.percentiles_ns((0.5, 0.95, 0.99, 0.999)))
        return Latency(self.total, p50, p95, p99, p999, self.max_ns / NS_PER_US)


def _index(ns: int) -> int:
    shifted = ns + SUB_BUCKETS
    exponent = shifted.bit_length() - SUB_BITS - 1
    return (exponent << SUB_BITS) + (shifted >> exponent)


def _lowest(index: int) -> int:
    exponent = (index >> SUB_BITS) - 1
    return ((index - (exponent << SUB_BITS)) << exponent) - SUB_BUCKETS


def _middle(index: int) -> float:
    exponent = (index >> SUB_BITS) - 1
    return _lowest(index) + ((1 << exponent) - 1) / 2


INDEXED_NS: Final = 1 << 19


def _by_eighths() -> list[int]:
    """Return the bucket of ``8 * eighth + 4`` for each eighth, bucket by bucket: every command waits for it."""
    table: list[int] = []
    for index in range(_index(0), _index(INDEXED_NS) + 1):
        end = min(-(-(_lowest(index + 1) - 4) // 8), INDEXED_NS >> 3)
        table += [index] * (end - len(table))
    return table


INDEX_BY_8NS: Final = _by_eighths()
"""The bucket of a value by its eighth."""
