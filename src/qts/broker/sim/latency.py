"""The time an order travels: a fixed least time plus a seeded jitter."""

from __future__ import annotations

from typing import Protocol

from qts.clock import NS_PER_MS


class Draws(Protocol):
    """A seeded stream of numbers, 0 <= x < 1."""

    def random(self) -> float:
        """Return the next number."""
        ...


class Latency:
    """Least latency plus evenly drawn jitter, both in milliseconds; :meth:`draw_ns` gives nanoseconds.

    Without jitter nothing is drawn, so that the random stream is left for what needs it.
    """

    __slots__ = ("_jitter_ns", "_least_ns")

    def __init__(self, least_ms: float, jitter_ms: float) -> None:
        self._least_ns = round(least_ms * NS_PER_MS)
        self._jitter_ns = round(jitter_ms * NS_PER_MS)

    def draw_ns(self, rng: Draws) -> int:
        """Draw one latency, in nanoseconds."""
        if not self._jitter_ns:
            return self._least_ns
        return self._least_ns + int(rng.random() * self._jitter_ns)
