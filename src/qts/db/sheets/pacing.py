"""The pace of calls: never more than allowed in a minute, and none in the pause behind a failure."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Final, NamedTuple, TypeAlias

from qts.clock import NS_PER_S, Clock, SystemClock
from qts.db.sheets_config import SheetsConfig
from qts.errors import QtsError
from qts.ids import random_prefix, seeded

Pause: TypeAlias = Callable[[float], Awaitable[None]]
"""Waits so many seconds of the clock."""

MINUTE_S: Final = 60
_LONGEST_S: Final = 64
"""The longest pause of our own behind a failure, in s."""
_LONGEST_ASKED_S: Final = 3_600
"""The longest pause that is kept because the API asked for it, in s."""
_AT_ONCE: Final = 5
"""The part of a minute's calls that may come at once: one in so many."""
REFUSED_S: Final = 60
"""How long is waited behind a refusal that only a person can end, in s."""


async def real_pause(seconds: float) -> None:
    """Wait so many real seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()


class Pace:
    """A pace of at most ``most`` calls in any minute of ``clock``; ``pause`` waits.

    A fifth of them may come at once. The others are spread over the minute, so that what is to be written gathers
    between two calls instead of waiting for the next minute behind many small ones.
    """

    def __init__(self, most: int, clock: Clock, pause: Pause) -> None:
        self._clock, self._pause = clock, pause
        self._begun: deque[int] = deque(maxlen=most)
        self._between_ns = MINUTE_S * NS_PER_S // most
        self._at_once_ns = max(most // _AT_ONCE - 1, 0) * self._between_ns
        self._next_ns = clock.monotonic_ns()
        """When the next call would come if all were spread evenly."""

    async def turn(self) -> None:
        """Wait until one more call may begin, and count it."""
        while (left_ns := self._left_ns(self._clock.monotonic_ns())) > 0:
            await self._pause(left_ns / NS_PER_S)
        now_ns = self._clock.monotonic_ns()
        self._begun.append(now_ns)
        self._next_ns = max(self._next_ns, now_ns) + self._between_ns

    def _left_ns(self, now_ns: int) -> int:
        spread_ns = self._next_ns - self._at_once_ns - now_ns
        if len(self._begun) < (self._begun.maxlen or 0):
            return spread_ns
        return max(spread_ns, self._begun[0] + MINUTE_S * NS_PER_S - now_ns)


class Backoff:
    """A pause behind each failure, during which no call is made: the error of the failure is raised again at once.

    It doubles from one failure in a row to the next, up to 64 s, and has up to a second of ``jitter`` on top, so
    that many clients do not come back together.
    """

    def __init__(self, clock: Clock, jitter: Random) -> None:
        self._clock, self._jitter = clock, jitter
        self._failures = 0
        self._until_ns = 0
        self._error: QtsError | None = None

    def require_over(self) -> None:
        """Raise the error of the last failure again while its pause lasts."""
        left_ns = self._until_ns - self._clock.monotonic_ns()
        if self._error is not None and left_ns > 0:
            raise type(self._error)(f"{self._error}; asked again in {-(-left_ns // NS_PER_S)} s")

    def failed(self, error: QtsError, asked_s: float = 0) -> None:
        """Begin a pause behind a failure; the API has asked for at least ``asked_s``, in s."""
        own_s = min(2**self._failures, _LONGEST_S) + self._jitter.random()
        self._failures = min(self._failures + 1, 30)
        self._begin(error, max(own_s, min(asked_s, _LONGEST_ASKED_S)))

    def refused(self, error: QtsError) -> None:
        """Begin a pause behind a refusal: it would be the same again until a person changes something."""
        self._begin(error, REFUSED_S)

    def worked(self) -> None:
        """Begin from the start: a call was answered."""
        self._failures, self._error = 0, None

    def _begin(self, error: QtsError, pause_s: float) -> None:
        self._error = error
        self._until_ns = self._clock.monotonic_ns() + round(pause_s * NS_PER_S)


class Pacing(NamedTuple):
    """The pace of all calls to a spreadsheet and the pauses behind its failures, on one clock.

    It outlives the adapters of a follower, which are made again while the spreadsheet cannot be opened.
    """

    clock: Clock
    pace: Pace
    backoff: Backoff


def pacing_of(
    config: SheetsConfig, clock: Clock | None = None, jitter: Random | None = None, pause: Pause | None = None
) -> Pacing:
    """Return the pacing of the settings: of real time, with a jitter of its own, where nothing else is given."""
    clock = clock or SystemClock()
    jitter = jitter or seeded(int(random_prefix(), 16), "sheets")
    pace = Pace(config.calls_per_minute, clock, pause or real_pause)
    return Pacing(clock, pace, Backoff(clock, jitter))
