"""The reading side of a cache, for programs other than the one that trades: values that are fresh, or say why not.

A value is judged by its own time and the reader's clock. It may be as old as its kind lives, and ``clock_skew_ms``
more; and no further in the future than that. What a read gives follows from what the cache has and from whether the
manager was given a source for the kind:

| the cache | counted as | with a source | without |
| --- | --- | --- | --- |
| has a value that may be used | HIT | the value | the value |
| has none | MISS | the source's, which is written to the cache | None |
| has one too old or from the future | STALE | the source's, not written | CacheStaleDataError, with its age |
| has something that is no value | DAMAGED | the source's, which is written over it | None |
| does not answer, refuses, or is left alone | AWAY | the source's, not written | None |

A stale value is left where it is: it ends with its lifetime, and a reader whose own clock is wrong would replace
what is right. For the same reason what a load writes does not replace a value that has come meanwhile. Errors of a
source are raised as they are.

Many reads of one key at once make one load: in a process by sharing it, over processes by a short lock that the
others wait for, reading again and again, for no longer than the lock lives; then they load themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Generic, TypeAlias

import msgspec

from qts.cache.config import CacheConfig
from qts.cache.contracts import BookValue, CacheClient, CacheValue, Kind
from qts.cache.encoding import KIND_OF, V, book_of, value_of
from qts.cache.stats import Load, Result
from qts.cache.writer import CacheWriter
from qts.clock import NS_PER_MS, Clock
from qts.errors import CacheStaleDataError, ContractError, InputError, Unavailable
from qts.ids import CounterIds, IdSource, random_prefix

Source: TypeAlias = Callable[[str], Awaitable[CacheValue | None]]
"""Returns the value of a symbol or id, "" for RISK and VIEW, as it is now; None when there is none.

``at_ns`` of the value is the moment at which the source was asked. It is called on the loop of the reads."""

LOCK_MS: Final = 500
"""How long a lock lives that no one lets go of, and so the longest that a load of another process is waited for."""
POLL_S: Final = 0.01
_AT_ONCE: Final = 16
"""Loads of one read of many that are under way at once."""


class Reading(msgspec.Struct, Generic[V], frozen=True):
    """The end of one read.

    ``value``: a value that may be used; None: there is none. ``result``: what the cache had. ``age_ms``: the age of
    the value that the cache had, below 0 from the future; None when it had none. ``loaded``: the value, or that
    there is none, was had from the source, by this reader or by another one at the same moment.
    """

    value: V | None
    result: Result
    age_ms: int | None = None
    loaded: bool = False


class CacheManager(CacheWriter):
    """A reader and writer of one account's values; for one loop, as :class:`~qts.cache.writer.CacheWriter` is.

    Reads follow the table above. A session has a CacheWriter, not this one.
    """

    def __init__(
        self,
        client: CacheClient,
        clock: Clock,
        config: CacheConfig,
        *,
        account: str,
        sources: Mapping[Kind, Source] | None = None,
        tell: Callable[[str], None] = lambda text: None,
        ids: IdSource | None = None,
    ) -> None:
        """Read from ``client`` and from ``sources``; ``ids`` names locks and is unique over processes.

        Raises InputError for an account that no key can hold.
        """
        super().__init__(client, clock, config, account=account, tell=tell)
        self._sources = sources or {}
        self._ids = ids or CounterIds(random_prefix())

    async def get(self, of: type[V], name: str = "") -> V | None:
        """Return a value, or None when there is none.

        Raises CacheStaleDataError for one that is too old or from the future, what a source raises, and InputError
        for a name that no key can hold.
        """
        found = await self.read(of, name)
        if found.value is None and found.result is Result.STALE and not found.loaded:
            assert found.age_ms is not None
            kind = KIND_OF[of]
            what = f"{kind.name.lower()} {name}".rstrip()
            raise CacheStaleDataError(what, found.age_ms, self._lifetimes[kind] + self._config.clock_skew_ms)
        return found.value

    async def read(self, of: type[V], name: str = "") -> Reading[V]:
        """Return a value and what the cache had, or why there is none.

        Raises what a source raises, and InputError for a name that no key can hold.
        """
        return (await self.read_many(of, [name]))[0]

    async def read_many(self, of: type[V], names: Sequence[str]) -> Sequence[Reading[V]]:
        """Return :meth:`read` of many names in their order, in one round trip."""
        if not names:
            return []
        kind = KIND_OF[of]
        keys = [self.keys.of(kind, name) for name in names]
        found = await self._look(of, keys)
        counts = self.stats.requests[kind]
        for one in found:
            counts[one.result] += 1
        source = self._sources.get(kind)
        lacking = [] if source is None else [place for place, one in enumerate(found) if one.value is None]
        if source is not None and lacking:
            room = asyncio.Semaphore(_AT_ONCE)

            async def load(place: int) -> None:
                async with room:
                    found[place] = await self._from_source(of, keys[place], names[place], source, found[place])

            ends = await asyncio.gather(*map(load, lacking), return_exceptions=True)
            for error in ends:
                if error is not None:
                    raise error
        return found

    # -- the cache ---------------------------------------------------------------------------------------------

    async def _look(self, of: type[V], keys: Sequence[str]) -> list[Reading[V]]:
        """Return what the cache has, without asking a source or counting a request."""
        try:
            if of is BookValue:
                most = self._config.book_levels
                levels = await self._guarded.ask(lambda client: client.levels_many(keys, most), self.stats.reads)
                made = [(one is not None, None if one is None else book_of(one)) for one in levels]
            else:
                texts = await self._guarded.ask(lambda client: client.get_many(keys), self.stats.reads)
                made = [(one is not None, None if one is None else value_of(of, one)) for one in texts]
        except (Unavailable, InputError):
            return [Reading(None, Result.AWAY) for _ in keys]
        now_ns = self._clock.time_ns()
        lifetime_ms, skew_ms = self._lifetimes[KIND_OF[of]], self._config.clock_skew_ms
        oldest_ns, newest_ns = now_ns - (lifetime_ms + skew_ms) * NS_PER_MS, now_ns + skew_ms * NS_PER_MS
        found: list[Reading[V]] = []
        for there, value in made:
            if value is None:
                found.append(Reading(None, Result.DAMAGED if there else Result.MISS))
                continue
            age_ms = _away_from_zero_ms(now_ns - value.at_ns)
            if oldest_ns <= value.at_ns <= newest_ns:
                found.append(Reading(value, Result.HIT, age_ms))
            else:
                found.append(Reading(None, Result.STALE, age_ms))
        return found

    # -- the source --------------------------------------------------------------------------------------------

    async def _from_source(self, of: type[V], key: str, name: str, source: Source, found: Reading[V]) -> Reading[V]:
        async def load() -> V | None:
            if found.result in (Result.MISS, Result.DAMAGED):
                return await self._load_and_write(of, key, name, source)
            return await self._load(of, name, source)

        value = await self._loads.share(key, load)
        return Reading(value, found.result, found.age_ms, loaded=True)

    async def _load(self, of: type[V], name: str, source: Source) -> V | None:
        counts, end = self.stats.loads[KIND_OF[of]], Load.FAILED
        try:
            value = await source(name)
            if value is not None and not isinstance(value, of):
                raise ContractError(f"a source of {of.__name__} returned a {type(value).__name__}")
            end = Load.NOTHING if value is None else Load.LOADED
        finally:
            counts[end] += 1
        return value

    async def _load_and_write(self, of: type[V], key: str, name: str, source: Source) -> V | None:
        """Load under the lock, or take what another process has loaded meanwhile."""
        lock, token = self.keys.lock_of(key), self._ids.next_id()
        locked: bool | None = False
        for _ in range(LOCK_MS // round(POLL_S * 1_000)):
            locked = await self._try_lock(lock, token)
            (there,) = await self._look(of, [key])
            if there.value is not None:
                if locked:
                    await self._unlock(lock, token)
                return there.value
            if locked is not False:
                break
            await self._loads.pause(POLL_S)
        try:
            value = await self._load(of, name, source)
            if value is not None and locked is not None and self._loads.is_current(key):
                await self._fill(of, key, name, value)
        finally:
            if locked:
                await self._unlock(lock, token)
        return value

    async def _fill(self, of: type[V], key: str, name: str, value: V) -> None:
        """Write a loaded value where there is none, or something that is no value."""
        (there,) = await self._look(of, [key])
        if there.result in (Result.MISS, Result.DAMAGED):
            await self.put([(name, value)])

    async def _try_lock(self, key: str, token: str) -> bool | None:
        """Return whether the lock is had; None when there is no lock to be had: away, or no right to write."""
        try:
            return await self._guarded.ask(lambda client: client.lock(key, token, LOCK_MS), self.stats.writes)
        except (Unavailable, InputError):
            return None

    async def _unlock(self, key: str, token: str) -> None:
        with suppress(Unavailable, InputError):  # it ends by itself
            await self._guarded.ask(lambda client: client.unlock(key, token), self.stats.writes)


def _away_from_zero_ms(ns: int) -> int:
    """Return ns in ms, rounded so that an age just over a limit shows as over it."""
    return -(-ns // NS_PER_MS) if ns >= 0 else ns // NS_PER_MS
