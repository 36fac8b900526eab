"""Waiting for a moment of the session's clock, and the pace of requests."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeAlias

from qts.broker.gateway.tokens import Tokens
from qts.clock import NS_PER_MS, NS_PER_S, Clock, PacedClock

Pause: TypeAlias = Callable[[float], Awaitable[None]]
"""Waits so many seconds of the clock."""
MARGIN_NS: Final = 100 * NS_PER_MS
"""How much longer than a second a request counts here: KIS counts from when it came, and ways differ in length."""
_BEHIND_S: Final = 0.001
"""How long a request that gives way to another one waits before it looks again."""


def pause_on(clock: Clock) -> Pause:
    """Return what waits so many seconds of ``clock``, which moves by itself."""
    speed = clock.speed if isinstance(clock, PacedClock) else 1.0

    async def pause(seconds: float) -> None:
        """Wait so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds / speed):
                await asyncio.Event().wait()

    return pause


class Pace:
    """The pace of requests to one host: at most ``per_s`` in any second of ``clock``; orders go first.

    Every page of a list is a request, so what the gateway counts as one question may be several here. The event
    loops of a broker and of a feed may share it: at worst one request leaves too early.
    """

    def __init__(self, per_s: int, clock: Clock, pause: Pause) -> None:
        self._tokens = Tokens(per_s)
        self._clock, self._pause = clock, pause
        self._orders: deque[object] = deque()
        self._others: deque[object] = deque()

    async def turn(self, *, is_order: bool) -> None:
        """Wait until one more request may begin, and count it."""
        queue, place = self._orders if is_order else self._others, object()
        queue.append(place)
        try:
            while True:
                now_ns = self._clock.monotonic_ns()
                at_ns = self._tokens.earliest_ns(now_ns, can_wait=False)
                if at_ns <= now_ns and (self._orders or self._others)[0] is place:
                    self._tokens.use(now_ns + MARGIN_NS)
                    return
                await self._pause(max((at_ns - now_ns) / NS_PER_S, _BEHIND_S))
        finally:
            queue.remove(place)
