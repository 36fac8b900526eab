"""The requests that a broker takes in a second, as tokens: each comes back a second after it was used."""

from __future__ import annotations

from collections import deque
from typing import Final

from qts.clock import NS_PER_S, Clock

KEEPS_FROM: Final = 4
"""From this many requests in a second up, half of them are kept for what cannot wait."""


class ElapsedTime:
    """The time that has passed, ns since it was made: a clock that is set back stops it, and nothing moves it back.

    Any thread, one at a time.
    """

    __slots__ = ("_clock", "_elapsed", "_last")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = clock.monotonic_ns()
        self._elapsed = 0

    def ns(self) -> int:
        """Return the time that has passed, ns."""
        now = self._clock.monotonic_ns()
        if now > self._last:
            self._elapsed += now - self._last
        self._last = now
        return self._elapsed


class Tokens:
    """Tokens for ``per_s`` requests in any second; None: without a limit. Times are ns of one clock.

    ``used_up_ns``: all count as used then, as by a process that was killed a moment ago; None: none was used.
    """

    __slots__ = ("_per_s", "_used")

    def __init__(self, per_s: int | None, used_up_ns: int | None = None) -> None:
        self._per_s = per_s
        self._used: deque[int] = deque(maxlen=per_s)
        if per_s is not None and used_up_ns is not None:
            self._used.extend([used_up_ns] * per_s)

    @property
    def kept(self) -> int:
        """Return how many tokens are kept for what cannot wait."""
        return 0 if self._per_s is None or self._per_s < KEEPS_FROM else (self._per_s + 1) // 2

    def earliest_ns(self, now_ns: int, *, can_wait: bool) -> int:
        """Return from when on a token is free: ``now_ns``, or a later moment.

        ``can_wait``: for a request that must leave the kept tokens to others.
        """
        if self._per_s is None:
            return now_ns
        most = self._per_s - (self.kept if can_wait else 0)
        if len(self._used) < most:
            return now_ns
        return max(now_ns, self._used[-most] + NS_PER_S)

    def use(self, now_ns: int) -> None:
        """Use one at ``now_ns``, at which one is free."""
        if self._per_s is not None:
            self._used.append(now_ns)

    def copy(self) -> Tokens:
        """Return tokens of the same state, to try out what would happen."""
        other = Tokens(self._per_s)
        other._used.extend(self._used)
        return other
