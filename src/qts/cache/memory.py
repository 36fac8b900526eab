"""A cache in the memory of this process: the same answers as a server's, and lifetimes by the injected clock."""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias

from qts.cache.contracts import CacheWrite, Fields, LevelsRead, LevelsWrite, PoolUse
from qts.cache.writing import ASK, BID, best_first, check_prefix, check_texts, check_ttl, check_write
from qts.clock import NS_PER_MS, Clock
from qts.errors import InputError

MOST_KEYS: Final = 100_000
_SPARE: Final = 64
_Levels: TypeAlias = tuple[tuple[str, str], ...]
_Entry: TypeAlias = tuple[int, Fields | None, _Levels | set[str] | str | None]
"""Until when it holds by the clock; the fields of a hash; and what stands at a key that is none: levels of one
side, members of a set, or the token of a lock."""


class MemoryCache:
    """A cache of at most ``most`` keys, above which those that expire first are dropped.

    Whether a key has expired is decided by the clock's monotonic time when it is read.
    """

    def __init__(self, clock: Clock, *, most: int = MOST_KEYS) -> None:
        self._now = clock.monotonic_ns
        self._most = most
        self._entries: dict[str, _Entry] = {}
        self._ends: list[tuple[int, str]] = []
        """A heap of when keys expire; it also holds earlier ends of keys that were written again since."""
        self._is_open = False

    @property
    def server(self) -> str:
        return "memory" if self._is_open else ""

    @property
    def pool(self) -> PoolUse:
        return PoolUse()

    async def open(self) -> None:
        self._is_open = True

    async def close(self) -> None:
        self._is_open = False
        self._entries.clear()
        self._ends.clear()

    async def put(self, writes: Sequence[CacheWrite]) -> None:
        for write in writes:
            check_write(write)
        for write in writes:
            until = self._now() + write.ttl_ms * NS_PER_MS
            self._set(write.key, (until, MappingProxyType(dict(write.fields)), None))
            if isinstance(write, LevelsWrite):
                self._set_side(write.key + BID, until, best_first(write.bids, are_bids=True))
                self._set_side(write.key + ASK, until, best_first(write.asks, are_bids=False))
        self._drop()

    async def get(self, key: str) -> Fields | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[0] <= self._now():
            del self._entries[key]
            return None
        return {} if entry[1] is None else entry[1]

    async def get_many(self, keys: Sequence[str]) -> Sequence[Fields | None]:
        return [await self.get(key) for key in keys]

    async def levels(self, key: str, most: int) -> LevelsRead | None:
        fields = await self.get(key)
        if fields is None:
            return None
        return LevelsRead(self._side(key + BID)[:most], self._side(key + ASK)[:most], fields)

    async def levels_many(self, keys: Sequence[str], most: int) -> Sequence[LevelsRead | None]:
        return [await self.levels(key, most) for key in keys]

    async def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            for name in (key, key + BID, key + ASK):
                self._entries.pop(name, None)

    async def count(self, key: str, member: str, ttl_ms: int) -> int:
        check_ttl(key, ttl_ms)
        check_texts(key, key, member)
        held = self._value(key)
        members = {member} if held is None else held
        if not isinstance(members, set):
            raise InputError(f"memory: cannot count in {key!r}: it holds another kind of value; use another key")
        members.add(member)
        self._set(key, (self._now() + ttl_ms * NS_PER_MS, None, members))
        self._drop()
        return len(members)

    async def lock(self, key: str, token: str, ttl_ms: int) -> bool:
        check_ttl(key, ttl_ms)
        check_texts(key, key, token)
        held = self._value(key)
        if held is not None:
            return held == token
        self._set(key, (self._now() + ttl_ms * NS_PER_MS, None, token))
        self._drop()
        return True

    async def unlock(self, key: str, token: str) -> None:
        if self._value(key) == token:
            del self._entries[key]

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        for key in self._beginning_with(prefix):
            yield key

    async def flush(self, prefix: str) -> int:
        check_prefix(prefix)
        found = self._beginning_with(prefix)
        for key in found:
            del self._entries[key]
        return len(found)

    def _beginning_with(self, prefix: str) -> list[str]:
        now = self._now()
        return [key for key, entry in self._entries.items() if entry[0] > now and key.startswith(prefix)]

    def _value(self, key: str) -> Fields | _Levels | set[str] | str | None:
        """Return what stands at a key, of whatever kind; None if nothing does, or it has expired."""
        entry = self._entries.get(key)
        if entry is None or entry[0] <= self._now():
            return None
        return entry[2] if entry[1] is None else entry[1]

    def _side(self, key: str) -> _Levels:
        held = self._value(key)
        return held if isinstance(held, tuple) else ()

    def _set_side(self, key: str, until: int, levels: Sequence[tuple[str, str]]) -> None:
        if levels:
            self._set(key, (until, None, tuple(levels)))
        else:
            self._entries.pop(key, None)

    def _set(self, key: str, entry: _Entry) -> None:
        self._entries[key] = entry
        heapq.heappush(self._ends, (entry[0], key))

    def _drop(self) -> None:
        """Remove what has expired, then what expires first until no more than allowed are left."""
        now = self._now()
        ends, entries = self._ends, self._entries
        while ends and (ends[0][0] <= now or len(entries) > self._most):
            until, key = heapq.heappop(ends)
            entry = entries.get(key)
            if entry is not None and entry[0] == until:
                del entries[key]
        if len(ends) > 2 * len(entries) + _SPARE:
            self._ends = [(entry[0], key) for key, entry in entries.items()]
            heapq.heapify(self._ends)
