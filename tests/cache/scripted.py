"""A cache client in memory that fails when it is told to, and counts what it is asked."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence

from qts.cache.contracts import CacheWrite, Fields, HashWrite, LevelsRead, PoolUse
from qts.clock import NS_PER_MS, Clock
from qts.errors import InputError, Unavailable


class ScriptedClient:
    """The port of a cache over tables; several managers may have one, as several processes have one server."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.down = False
        """Whether every call is without an answer."""
        self.refusing = False
        """Whether every write is refused."""
        self.asked: Counter[str] = Counter()
        """How often each method was called."""
        self.read_at_once: list[int] = []
        """How many keys each read was of."""
        self.hashes: dict[str, Fields] = {}
        self.books: dict[str, LevelsRead] = {}
        self.sets: dict[str, set[str]] = {}
        self.locks: dict[str, tuple[str, int]] = {}
        self.lifetimes: dict[str, int] = {}
        self.server = ""
        self.pool = PoolUse(2, 50)

    async def open(self) -> None:
        await self._call("open")
        self.server = "scripted 1"

    async def close(self) -> None:
        self.asked["close"] += 1

    async def put(self, writes: Sequence[CacheWrite]) -> None:
        await self._call("put", writes=True)
        for write in writes:
            self.lifetimes[write.key] = write.ttl_ms
            if isinstance(write, HashWrite):
                self.hashes[write.key] = write.fields
            else:
                self.books[write.key] = LevelsRead(write.bids, write.asks, write.fields)

    async def get(self, key: str) -> Fields | None:
        return (await self.get_many([key]))[0]

    async def get_many(self, keys: Sequence[str]) -> Sequence[Fields | None]:
        await self._call("get_many")
        self.read_at_once.append(len(keys))
        return [self.hashes.get(key) for key in keys]

    async def levels(self, key: str, most: int) -> LevelsRead | None:
        return (await self.levels_many([key], most))[0]

    async def levels_many(self, keys: Sequence[str], most: int) -> Sequence[LevelsRead | None]:
        await self._call("levels_many")
        return [self.books.get(key) for key in keys]

    async def delete(self, keys: Sequence[str]) -> None:
        await self._call("delete", writes=True)
        for key in keys:
            self.hashes.pop(key, None)
            self.books.pop(key, None)

    async def count(self, key: str, member: str, ttl_ms: int) -> int:
        await self._call("count", writes=True)
        self.lifetimes[key] = ttl_ms
        self.sets.setdefault(key, set()).add(member)
        return len(self.sets[key])

    async def lock(self, key: str, token: str, ttl_ms: int) -> bool:
        await self._call("lock", writes=True)
        now_ns = self.clock.time_ns()
        if key in self.locks and self.locks[key][1] > now_ns:
            return False
        self.locks[key] = (token, now_ns + ttl_ms * NS_PER_MS)
        return True

    async def unlock(self, key: str, token: str) -> None:
        await self._call("unlock", writes=True)
        if self.locks.get(key, ("", 0))[0] == token:
            del self.locks[key]

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        await self._call("keys")
        for key in [*self.hashes, *self.books]:
            if key.startswith(prefix):
                yield key

    async def flush(self, prefix: str) -> int:
        found = [key async for key in self.keys(prefix)]
        await self.delete(found)
        return len(found)

    async def _call(self, method: str, *, writes: bool = False) -> None:
        self.asked[method] += 1
        await asyncio.sleep(0)  # as a server lets others run
        if self.down:
            raise Unavailable("scripted: no answer within 100 ms")
        if writes and self.refusing:
            raise InputError("scripted: no right to write")
