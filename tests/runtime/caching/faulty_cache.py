"""A cache in memory that outlives its sessions, and that a test lets fail, hang, or lose what it has."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from qts.cache.contracts import CacheWrite
from qts.cache.memory import MemoryCache
from qts.clock import SystemClock


class FaultyCache(MemoryCache):
    """A cache as of a server: closing a connection leaves what it has.

    ``fails`` is called before each call with its name, and may raise. ``before_put`` is given each write.
    ``delay_s`` is waited before each answer.
    """

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.fails: Callable[[str], None] = lambda call: None
        self.before_put: Callable[[Sequence[CacheWrite]], None] = lambda writes: None
        self.delay_s = 0.0
        self.puts = 0
        self.wiped = 0

    async def open(self) -> None:
        self.fails("open")
        await super().open()

    async def close(self) -> None:
        self._is_open = False

    async def put(self, writes: Sequence[CacheWrite]) -> None:
        self.puts += 1
        self.fails("put")
        await asyncio.sleep(self.delay_s)
        self.before_put(writes)
        await super().put(writes)

    async def count(self, key: str, member: str, ttl_ms: int) -> int:
        self.fails("count")
        return await super().count(key, member, ttl_ms)

    def wipe_now_and_then(self, seed: int, share: float = 0.3) -> None:
        """Lose everything before some of the writes."""
        draw = random.Random(seed)

        def wipe(writes: Sequence[CacheWrite]) -> None:
            if draw.random() < share:
                self.wiped += 1
                self._entries.clear()
                self._ends.clear()

        self.before_put = wipe
