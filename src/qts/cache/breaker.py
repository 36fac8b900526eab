"""A circuit breaker: after some failures in a row the other side is left alone for a while, then tried by one call.

It reads the clock that it is given, and of that only what never goes back, so a clock that is set changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TypeAlias

from qts.clock import NS_PER_S, Clock

OnChange: TypeAlias = "Callable[[BreakerState, BreakerState], None]"
"""Takes the state before and the state now, on the thread of the call that changed it."""


class BreakerState(str, Enum):
    """The state of a breaker.

    CLOSED: every call is let through. OPEN: none is, until the pause is over. HALF_OPEN: one call is under way, and
    its end decides.
    """

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


class CircuitBreaker:
    """A circuit breaker for calls of one thread; :attr:`state` and :attr:`opened` may be read on any.

    Each call asks :meth:`enter` for a ticket and hands it back with its end: :meth:`succeed`, :meth:`fail`, or
    :meth:`leave` where it had none. What a call reports that was let through before the state last changed is
    ignored: it says nothing of the other side as it is now.
    """

    __slots__ = (
        "_clock",
        "_failures",
        "_in_a_row",
        "_on_change",
        "_pause_ns",
        "_ticket",
        "_until_ns",
        "opened",
        "state",
    )

    def __init__(
        self,
        clock: Clock,
        *,
        failures: int,
        pause_s: float,
        on_change: OnChange = lambda before, now: None,
    ) -> None:
        """Open after ``failures`` in a row, for ``pause_s`` seconds of ``clock``."""
        self._clock = clock
        self._failures = failures
        self._pause_ns = int(pause_s * NS_PER_S)
        self._on_change = on_change
        self._in_a_row = 0
        self._ticket = 0
        self._until_ns = 0
        self.state = BreakerState.CLOSED
        self.opened = 0
        """How often it has opened so far."""

    def enter(self) -> int | None:
        """Return the ticket of a call that may be made now; None for one that may not.

        A probe whose end was not reported within another pause is given up, and the next call is the probe.
        """
        if self.state is not BreakerState.CLOSED:
            now_ns = self._clock.monotonic_ns()
            if now_ns < self._until_ns:
                return None
            self._ticket += 1
            self._until_ns = now_ns + self._pause_ns
            self._change(BreakerState.HALF_OPEN)
        return self._ticket

    def succeed(self, ticket: int) -> None:
        """Take the answer of a call: the other side works."""
        if ticket == self._ticket and self.state is not BreakerState.OPEN:
            self._in_a_row = 0
            if self.state is BreakerState.HALF_OPEN:
                self._ticket += 1
                self._change(BreakerState.CLOSED)

    def fail(self, ticket: int) -> None:
        """Take the failure of a call: one that the other side is to blame for."""
        if ticket != self._ticket or self.state is BreakerState.OPEN:
            return
        self._in_a_row += 1
        if self.state is BreakerState.HALF_OPEN or self._in_a_row >= self._failures:
            self._open(self._pause_ns)

    def leave(self, ticket: int) -> None:
        """Take a call that ended without a result, as one that was cancelled: if it was the probe, the next is."""
        if ticket == self._ticket and self.state is BreakerState.HALF_OPEN:
            self._open(0)

    def _open(self, pause_ns: int) -> None:
        self._ticket += 1
        self._in_a_row = 0
        self._until_ns = self._clock.monotonic_ns() + pause_ns
        if self.state is BreakerState.CLOSED:
            self.opened += 1
        self._change(BreakerState.OPEN)

    def _change(self, state: BreakerState) -> None:
        before, self.state = self.state, state
        if before is not state:
            self._on_change(before, state)
