"""How many calls are taken in a second, by the clock of the double."""

from __future__ import annotations

from collections import deque

from qts.clock import NS_PER_S
from tests.doubles.kis.answers import gateway
from tests.doubles.kis.clock import DoubleClock


class PerSecond:
    """Calls of the last second, of one kind; those that are refused do not count."""

    def __init__(self, clock: DoubleClock, code: str) -> None:
        self._clock, self._code = clock, code
        self._taken: dict[str, deque[int]] = {}

    def take(self, appkey: str, limit: int | None) -> None:
        """Count a call. Raises Refused beyond ``limit`` in a second; None is no limit."""
        now = self._clock.time_ns()
        taken = self._taken.setdefault(appkey, deque())
        while taken and now - taken[0] >= NS_PER_S:
            taken.popleft()
        if limit is not None and len(taken) >= limit:
            raise gateway(self._code)
        taken.append(now)
