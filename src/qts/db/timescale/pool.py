"""The connections that read runs; those for batches and for market values never come from here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from qts.db.access import Access
from qts.db.timescale.connecting import connect_arguments, finish
from qts.db.timescale.failures import Failure, explained
from qts.db.timescale.stats import AdapterStats
from qts.errors import Unavailable

LEAST: Final = 5
MOST: Final = 20
ACQUIRE_S: Final = 1.0
_CROWDED: Final = 0.9


class Pool:
    """Up to ``most`` connections; ``least`` of them are made when the first one is asked for."""

    def __init__(self, access: Access, stats: AdapterStats, *, least: int = LEAST, most: int = MOST) -> None:
        self._access, self._stats = access, stats
        self._least, self._most = least, most
        self._pool: asyncpg.Pool | None = None
        self._making = asyncio.Lock()

    @property
    def place(self) -> str:
        """Return user, host and database as messages name them."""
        return self._access.place

    @property
    def stats(self) -> AdapterStats:
        """Return the counts to which calls on these connections are added."""
        return self._stats

    async def fetch(self, what: str, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Return the rows of a query. Raises InputError and Unavailable; ``what`` says what could not be done."""
        async with self.connection(what) as connection:
            work = connection.fetch(sql, *values)
            return list(await finish(connection, work, where=self.place, what=what, stats=self._stats))

    @asynccontextmanager
    async def connection(self, what: str) -> AsyncIterator[asyncpg.Connection]:
        """Take a connection for the length of the block; errors of asyncpg that leave it are explained.

        Calls on it go through :func:`~qts.db.timescale.connecting.finish`. Raises InputError and Unavailable.
        """
        try:
            pool = await self._opened()
            connection = await self._acquired(pool, what)
            try:
                yield connection
            finally:
                await pool.release(connection)
                self._count(pool)
        except Failure as error:
            raise explained(error, self.place, what) from error

    async def close(self) -> None:
        """End all connections; calls that are under way fail."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.terminate()

    async def _opened(self) -> asyncpg.Pool:
        async with self._making:
            if self._pool is None:
                pool = asyncpg.create_pool(
                    min_size=0,  # it would go on connecting by itself to a server that is away
                    max_size=self._most,
                    reset=_leave,
                    timeout=ACQUIRE_S,
                    **connect_arguments(self._access, "qts reader"),
                )
                await pool
                await self._warm(pool)
                self._pool = pool
            return self._pool

    async def _warm(self, pool: asyncpg.Pool) -> None:
        """Make the first connections, all of them or none."""
        made = await asyncio.gather(*(pool.acquire() for _ in range(self._least)), return_exceptions=True)
        failed = [one for one in made if isinstance(one, BaseException)]
        if failed:
            pool.terminate()
            raise failed[0]
        for connection in made:
            await pool.release(connection)

    async def _acquired(self, pool: asyncpg.Pool, what: str) -> asyncpg.Connection:
        try:
            connection = await pool.acquire(timeout=ACQUIRE_S)
        except TimeoutError:
            raise Unavailable(
                f"{self.place}: cannot {what}: no connection within {ACQUIRE_S:g} s, {pool.get_size()} of "
                f"{self._most} are made and {pool.get_idle_size()} free"
            ) from None
        self._count(pool)
        if self._stats.pool_in_use > _CROWDED * self._most:
            self._stats.crowded += 1
        return connection

    def _count(self, pool: asyncpg.Pool) -> None:
        self._stats.pool_in_use = pool.get_size() - pool.get_idle_size()
        self._stats.pool_most = self._most


async def _leave(connection: asyncpg.Connection) -> None:
    """Leave a connection as it is when it comes back: no call changes its settings, and to ask is a round trip."""
