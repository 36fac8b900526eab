"""A cache on a Redis or Valkey server, or on a cluster of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from decimal import InvalidOperation
from itertools import chain
from typing import Any, Final

from qts.cache.access import Access
from qts.cache.contracts import CacheWrite, Fields, LevelsRead, LevelsWrite, PoolUse
from qts.cache.server.commands import FOREIGN, Command, Word
from qts.cache.server.connecting import Connector
from qts.cache.server.limits import Limits
from qts.cache.server.opening import open_nodes
from qts.cache.server.pool import Pool
from qts.cache.server.routing import Nodes
from qts.cache.server.scripts import COUNT, LEVELS, PUT, PUT_LEVELS, UNLOCK
from qts.cache.writing import ASK, BID, best_first, check_prefix, check_texts, check_ttl, check_write
from qts.errors import StateError

_NO_BOOK: Final = LevelsRead((), (), {})
_SCANNED: Final = 500
"""Keys that a server looks at in one step of a scan; it answers others in between."""
_SPECIAL: Final = str.maketrans({one: f"\\{one}" for one in "\\*?[]^"})


class RedisCache:
    """A cache on a server; every call ends within the time of its :class:`~qts.cache.server.limits.Limits`.

    Whatever fails before its time is asked again, at most three times: each command changes nothing more when it is
    repeated. ``writes`` False: it is only read, so that a replica and a user without the right to write will do.
    """

    def __init__(self, access: Access, *, limits: Limits | None = None, writes: bool = True) -> None:
        self._access = access
        self._limits = limits or Limits()
        self._writes = writes
        self._opened: Nodes | None = None
        self._server = ""

    def __repr__(self) -> str:
        return f"RedisCache({self._access!r})"

    @property
    def server(self) -> str:
        return self._server

    @property
    def pool(self) -> PoolUse:
        return PoolUse(self._opened.in_use, self._opened.most) if self._opened else PoolUse()

    async def open(self) -> None:
        if self._opened is None:
            connector = Connector(self._access, self._limits)
            self._opened, self._server = await open_nodes(connector, writes=self._writes)

    async def close(self) -> None:
        nodes, self._opened = self._opened, None
        if nodes is not None:
            await nodes.close()

    async def put(self, writes: Sequence[CacheWrite]) -> None:
        for write in writes:
            check_write(write)
        if writes:
            await self._nodes.run([_put(write) for write in writes], "write")

    async def get(self, key: str) -> Fields | None:
        return (await self.get_many([key]))[0]

    async def get_many(self, keys: Sequence[str]) -> Sequence[Fields | None]:
        if not keys:
            return []
        found = await self._nodes.run([Command(key, ("HGETALL", key), reads=True) for key in keys], "read")
        return [{} if fields is FOREIGN else fields or None for fields in found]

    async def levels(self, key: str, most: int) -> LevelsRead | None:
        return (await self.levels_many([key], most))[0]

    async def levels_many(self, keys: Sequence[str], most: int) -> Sequence[LevelsRead | None]:
        if not keys:
            return []
        found = await self._nodes.run(
            [Command(key, (3, key, key + BID, key + ASK, most), LEVELS, reads=True) for key in keys], "read"
        )
        return [_NO_BOOK if one is FOREIGN else _levels(one, most) for one in found]

    async def delete(self, keys: Sequence[str]) -> None:
        names = [name for key in keys for name in (key, key + BID, key + ASK)]
        if names:
            await self._nodes.run([Command(name, ("UNLINK", name)) for name in names], "delete")

    async def count(self, key: str, member: str, ttl_ms: int) -> int:
        check_ttl(key, ttl_ms)
        check_texts(key, key, member)
        [count] = await self._nodes.run((Command(key, (1, key, member, ttl_ms), COUNT),), "count")
        return int(count)

    async def lock(self, key: str, token: str, ttl_ms: int) -> bool:
        check_ttl(key, ttl_ms)
        check_texts(key, key, token)
        command = Command(key, ("SET", key, token, "NX", "GET", "PX", ttl_ms))
        [held] = await self._nodes.run((command,), "lock")
        # With the same token it is a lock whose answer was lost.
        return held is None or held == token

    async def unlock(self, key: str, token: str) -> None:
        await self._nodes.run((Command(key, (1, key, token), UNLOCK),), "unlock")

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        seen: set[str] = set()
        for pool in self._nodes.masters:
            async for found in self._scan(pool, prefix):
                for key in found:
                    if key not in seen:
                        seen.add(key)
                        yield key

    async def flush(self, prefix: str) -> int:
        check_prefix(prefix)
        count = 0
        for pool in self._nodes.masters:
            async for found in self._scan(pool, prefix):
                if found:
                    removed = await self._nodes.run([Command(key, ("UNLINK", key)) for key in found], "delete")
                    count += sum(removed)
        return count

    async def _scan(self, pool: Pool, prefix: str) -> AsyncIterator[list[str]]:
        """Iterate over the keys of one node that begin with ``prefix``, some at a time, some of them twice."""
        cursor: Word = "0"
        while True:
            command = Command("", ("SCAN", cursor, "MATCH", f"{prefix.translate(_SPECIAL)}*", "COUNT", _SCANNED))
            cursor, found = await self._nodes.run_at(pool, command, "look for keys")
            yield [key for key in found if key.startswith(prefix)]
            if cursor == "0":
                return

    @property
    def _nodes(self) -> Nodes:
        if self._opened is None:
            raise StateError("the cache is not open; await its open() first")
        return self._opened


def _levels(reply: Any, most: int) -> LevelsRead | None:
    flat, bids, more_bids, asks, more_asks = reply
    if not flat:
        return None
    try:
        return LevelsRead(
            best_first(map(_level, chain(bids, more_bids)), are_bids=True)[:most],
            best_first(map(_level, chain(asks, more_asks)), are_bids=False)[:most],
            dict(zip(flat[::2], flat[1::2], strict=True)),
        )
    except InvalidOperation:  # another program has put a level there whose price is no number
        return _NO_BOOK


def _put(write: CacheWrite) -> Command:
    key = write.key
    fields: tuple[str, ...] = tuple(chain.from_iterable(write.fields.items()))
    if not isinstance(write, LevelsWrite):
        return Command(key, (1, key, write.ttl_ms, *fields), PUT)
    bids, asks = _members(write.bids), _members(write.asks)
    words: tuple[Word, ...] = (len(fields), *fields, len(bids), *bids, len(asks), *asks)
    return Command(key, (3, key, key + BID, key + ASK, write.ttl_ms, *words), PUT_LEVELS)


def _members(levels: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    return tuple(word for price, volume in levels for word in (price, f"{price}:{volume}"))


def _level(member: str) -> tuple[str, str]:
    price, _, volume = member.partition(":")
    return price, volume
