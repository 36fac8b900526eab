"""The upkeep of market values where TimescaleDB does not do it: partitions ahead, bars, and what is kept how long.

Every step is a transaction of its own that takes no lock on a table of the book. Several processes may do it at the
same time: each day is worked on by one of them. With TimescaleDB its own jobs do the work, and are only told how
long values are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import Any, Final

import asyncpg
import msgspec

from qts.clock import Clock
from qts.db.timescale.failures import Failure, explained

DAYS_AHEAD: Final = 3
"""Days for which there is room before their first value comes."""
PERIOD_S: Final = 60.0
_STEP_S: Final = 590.0
_JOBS: Final = "SELECT to_regprocedure('qts.qts_tick_upkeep(integer, jsonb)') IS NOT NULL"
_LOCK: Final = "SELECT pg_try_advisory_xact_lock(20817, 4)"
"""Held in the transaction of each step: who does not get it leaves the work to who has it."""


class UpkeepDone(msgspec.Struct, frozen=True, kw_only=True):
    """The work of one upkeep: bars of the last hour, days made into bars, days of values and bars dropped.

    ``by_server``: TimescaleDB does it with its own jobs, and nothing was done here.
    """

    minutes: int = 0
    rolled: tuple[date, ...] = ()
    dropped: tuple[date, ...] = ()
    dropped_minutes: int = 0
    by_server: bool = False


class TickUpkeep:
    """The upkeep of one server's market values; for one loop.

    ``connect`` makes a connection (asyncpg's) whose user may write; ``where`` names the server in messages.
    ``tick_days`` and ``minute_days`` are for how many days values and bars of a minute are kept, 0: for all time.
    ``clock`` is the machine's. Raises InputError and Unavailable.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Any]],
        where: str,
        clock: Clock,
        *,
        tick_days: int,
        minute_days: int,
    ) -> None:
        self._connect, self._where, self._clock = connect, where, clock
        self._tick_days, self._minute_days = tick_days, minute_days

    async def run(self) -> UpkeepDone:
        """Do what is due; return what was done."""
        connection = None
        try:
            connection = await self._connect()
            async with asyncio.timeout(_STEP_S):
                if await connection.fetchval(_JOBS):
                    await connection.execute(
                        "SELECT qts.qts_keep_ticks($1, $2)", self._tick_days, self._minute_days
                    )
                    return UpkeepDone(by_server=True)
                return await self._work(connection)
        except Failure as error:
            raise explained(error, self._where, "keep up the market values") from error
        finally:
            if connection is not None:
                connection.terminate()
                await asyncio.sleep(0)

    async def _work(self, connection: Any) -> UpkeepDone:
        today = self._clock.now().date()
        for ahead in range(DAYS_AHEAD + 1):
            await self._step(connection, "SELECT qts.qts_make_tick_day($1)", today + timedelta(days=ahead))
        minutes = await self._step(
            connection,
            "SELECT qts.qts_roll_minutes(date_trunc('minute', now() - interval '1 hour'), "
            "date_trunc('minute', now() - interval '1 minute'))",
        )
        to_roll = await connection.fetch("SELECT d FROM qts.qts_days_to_roll() AS d")
        rolled = [
            day
            for (day,) in to_roll
            if await self._step(connection, "SELECT qts.qts_roll_day($1)", day) is not None
        ]
        drop, keep = "SELECT qts.qts_drop_tick_day($1, $2)", self._tick_days
        to_drop = await connection.fetch("SELECT d FROM qts.qts_days_to_drop($1) AS d", keep)
        dropped = [day for (day,) in to_drop if await self._step(connection, drop, day, keep)]
        gone = await self._step(connection, "SELECT qts.qts_drop_minutes($1)", self._minute_days)
        return UpkeepDone(
            minutes=minutes or 0, rolled=tuple(rolled), dropped=tuple(dropped), dropped_minutes=gone or 0
        )

    async def _step(self, connection: Any, statement: str, *values: Any) -> Any:
        """Return the answer of one step; None when another process is at work, or a reader is in the way."""
        try:
            async with connection.transaction():
                if not await connection.fetchval(_LOCK):
                    return None
                return await connection.fetchval(statement, *values)
        except asyncpg.LockNotAvailableError:  # the next upkeep tries it again
            return None
