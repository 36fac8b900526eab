"""How many calls are taken in a second, by the clock of the double."""

from __future__ import annotations

from collections import deque

from qts.clock import NS_PER_S
from tests.doubles.kis.answers import gateway
from tests.doubles.kis.clock import DoubleClock
from tests.doubles.kis.settings import Settings


class PerSecond:
    """Calls of a second, of one kind."""

    def __init__(self, clock: DoubleClock, settings: Settings, code: str) -> None:
        self._clock, self._settings, self._code = clock, settings, code
        self._taken: dict[str, deque[int]] = {}

    def take(self, appkey: str, limit: int | None) -> None:
        """Count a call. Raises Refused beyond ``limit`` in a second; None is no limit."""
        now = self._clock.time_ns()
        begin = now - NS_PER_S if self._settings.sliding_second else now // NS_PER_S * NS_PER_S - 1
        taken = self._taken.setdefault(appkey, deque())
        while taken and taken[0] <= begin:
            taken.popleft()
        is_over = limit is not None and len(taken) >= limit
        if not is_over or self._settings.refused_calls_count:
            taken.append(now)
        if is_over:
            raise gateway(self._code)
