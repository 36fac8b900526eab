"""Limits of the connections to a cache server: how long things may take, and how many there may be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import msgspec

HELD_UP_S: Final = 0.01
"""A timer that runs so much late shows that the loop itself was held up, so that an answer may be there already."""
MORE_S: Final = 0.02


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of one client, of a cluster for each of its nodes; times in seconds.

    ``call_s``: how long a call may take, its repeats included, and ``each_s`` so much more for each further key of
    many. ``connect_s``: how long it may take to make a connection, which goes on when its call gave up waiting.
    ``repeats`` and ``pause_s``: how often what failed before its time is asked again, and how long after.
    ``least``: how many connections :meth:`open` makes; ``most``: how many there are at most.
    """

    call_s: float = 0.1
    each_s: float = 0.0001
    connect_s: float = 0.5
    repeats: int = 3
    pause_s: float = 0.01
    least: int = 10
    most: int = 50

    def of(self, keys: int) -> float:
        """Return how long a call with so many keys may take."""
        return self.call_s + self.each_s * max(keys - 1, 0)


@asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[None]:
    """End the block after ``seconds``; raises TimeoutError then.

    Where the loop was held up itself the block gets a moment more, once: an answer that has long arrived is read.
    """
    async with asyncio.timeout(None) as limit:
        timer = _Timer(limit, seconds)
        try:
            yield
        finally:
            timer.cancel()


class _Timer:
    def __init__(self, limit: asyncio.Timeout, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit = limit
        self._end = self._loop.time() + seconds
        self._has_given_more = False
        self._handle = self._loop.call_at(self._end, self._expire)

    def cancel(self) -> None:
        """Let the block end by itself."""
        self._handle.cancel()

    def _expire(self) -> None:
        now = self._loop.time()
        if now - self._end > HELD_UP_S and not self._has_given_more:
            self._has_given_more = True
            self._handle = self._loop.call_at(now + MORE_S, self._expire)
        else:
            self._limit.reschedule(now)
