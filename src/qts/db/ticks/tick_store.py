"""Writes and reads the market values of a server, over connections of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import date, timedelta
from typing import Any, Final

import asyncpg

from qts.clock import NS_PER_S, stopwatch_ns
from qts.db.adapter import TickBlock
from qts.db.ticks.copy_rows import COLUMNS, HEADER, TRAILER, CopyRows, days_of
from qts.db.ticks.ohlcv import BarQuery
from qts.db.ticks.read_rows import SELECT, microseconds, set_codecs, values_of
from qts.errors import BatchRefused, Unavailable
from qts.market.contracts import Bar

PAGE_ROWS: Final = 20_000
DEADLINE_S: Final = 30.0
"""The time that writing a block or reading a page may take; the mark of a day is good for twice as long."""
_CLOSE_S: Final = 2.0
_MARKED_NS: Final = 20 * NS_PER_S
"""A day that was marked so recently is not marked again."""
_COPY: Final = f"COPY tick_data ({', '.join(COLUMNS)}) FROM STDIN (FORMAT binary)"
_COLUMNS: Final = ", ".join(COLUMNS)
_PAGE: Final = (
    f"{SELECT} WHERE symbol = $1 AND time >= $2 AND time <= $3 AND (time, ns, seq) > ($2, $4, $5) "
    f"AND (time, ns) < ($3, $6) ORDER BY time, ns, seq LIMIT {PAGE_ROWS}"
)

Connect = Callable[[], Awaitable[Any]]


class TickStore:
    """The market values of one server; for one loop.

    ``connect`` makes a connection to it (asyncpg's). One is kept for writing; every reading has one of its own. A
    connection that did not answer within :data:`DEADLINE_S` is ended, and the next call makes another. Raises
    Unavailable as :class:`~qts.db.adapter.DataSourceAdapter` says.
    """

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._rows = CopyRows()
        self._writer: Any = None
        self._lock = asyncio.Lock()
        self._marked: dict[date, int] = {}

    async def close(self) -> None:
        """Close the connection for writing; may be called twice, and never raises Unavailable."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await _closed(writer)

    async def append(self, block: TickBlock) -> int:
        """Store the values of a block, all or none of them, and return how many were new.

        Raises BatchRefused, naming the row, for what cannot be stored.
        """
        parts = self._rows.encode(block)
        if not parts:
            return 0
        rows = b"".join((HEADER, *parts, TRAILER))
        async with self._lock, self._writing() as connection:
            await self._mark(connection, days_of(block))
            try:
                await _copy(connection, "tick_data", rows)
            except asyncpg.UniqueViolationError:
                return await _append_new(connection, rows)
            except asyncpg.CheckViolationError as error:
                if error.constraint_name is not None:
                    raise BatchRefused(f"tick_data: {error}; {error.detail}") from error
                self._marked.clear()  # its day was dropped since
                await self._mark(connection, days_of(block))
                return await _append_new(connection, rows)
        return len(block.values)

    async def recording(self, source: str, currency: str, max_age_ns: int) -> int:
        """Return the number of the recording of a source, a new one for a source that is not known."""
        async with self._lock, self._writing() as connection:
            number: int = await connection.fetchval(
                "SELECT qts_tick_recording($1, $2, $3)", source, currency, max_age_ns
            )
        return number

    async def ticks(
        self, symbol: str, start_ns: int, end_ns: int, after: tuple[int, int] | None = None
    ) -> AsyncIterator[TickBlock]:
        """Iterate over the values of a symbol with ``start_ns`` <= time < ``end_ns``, by time and number.

        ``after`` (ts_ns, seq): only what comes behind that value.
        """
        at_us, at_ns = microseconds(start_ns if after is None else after[0])
        end = microseconds(end_ns)
        place = (at_us, at_ns, -1 if after is None else after[1])
        async with reading(self._connect) as connection:
            await set_codecs(connection)
            while True:
                rows = await within(
                    connection,
                    connection.fetch(_PAGE, symbol, place[0], end[0], *place[1:], end[1]),
                )
                if (block := values_of(symbol, rows)) is not None:
                    yield block
                if len(rows) < PAGE_ROWS:
                    break
                last = rows[-1]
                place = (last["time"][0], last["ns"], last["seq"])

    async def ohlcv(self, symbol: str, interval: timedelta, start_ns: int, end_ns: int) -> Sequence[Bar]:
        """Return the bars that begin at ``start_ns`` or later and before ``end_ns``."""
        query = BarQuery(symbol, interval, start_ns, end_ns)
        async with reading(self._connect) as connection:
            bars: Sequence[Bar] = await within(connection, query.run(connection))
        return bars

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Any]:
        """Return the connection for writing, for a block; one that is broken is not kept."""
        try:
            if self._writer is None or self._writer.is_closed():
                self._writer = await _connected(self._connect)
                self._marked.clear()
            async with asyncio.timeout(DEADLINE_S):
                yield self._writer
        except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError) as error:
            raise self._gone(error) from error
        except asyncpg.OperatorInterventionError as error:  # the server stops, or ended the statement
            raise self._gone(error) from error
        except asyncio.CancelledError:
            self._gone(TimeoutError())
            raise

    def _gone(self, error: BaseException) -> Unavailable:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.terminate()  # not cancelled: that would need a second connection to a server that is silent
        return unavailable(error)

    async def _mark(self, connection: Any, days: Sequence[date]) -> None:
        now_ns = stopwatch_ns()
        due = [day for day in days if now_ns - self._marked.get(day, -_MARKED_NS) >= _MARKED_NS]
        if due:
            await connection.execute("SELECT qts_mark_tick_days($1::date[])", due)
            if len(self._marked) > len(days) + 1_000:
                self._marked.clear()
            self._marked.update(dict.fromkeys(due, now_ns))


@asynccontextmanager
async def reading(connect: Connect) -> AsyncIterator[Any]:
    """Return a connection for a block that reads, and close it then. Raises Unavailable for what breaks it."""
    connection = None
    try:
        connection = await _connected(connect)
        yield connection
    except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError) as error:
        raise unavailable(error) from error
    except asyncpg.OperatorInterventionError as error:
        raise unavailable(error) from error
    finally:
        if connection is not None:
            await _closed(connection)


async def within(connection: Any, call: Awaitable[Any]) -> Any:
    """Return the answer of a call, or end the connection and raise TimeoutError after :data:`DEADLINE_S`."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await call
    except TimeoutError:
        connection.terminate()
        raise


def unavailable(error: BaseException) -> Unavailable:
    """Return the error that a server which did not answer leads to."""
    why = str(error) or "no answer in time"
    return Unavailable(f"the server of market values does not answer ({type(error).__name__}: {why})")


async def _connected(connect: Connect) -> Any:
    async with asyncio.timeout(DEADLINE_S):
        connection = await connect()
    await connection.execute(f"SET statement_timeout = {round(DEADLINE_S * 1_000)}")
    return connection


async def _closed(connection: Any) -> None:
    """Close a connection; one that does not answer is ended."""
    with contextlib.suppress(OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresError):
        await connection.close(timeout=_CLOSE_S)


async def _copy(connection: Any, table: str, rows: bytes) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield rows

    await connection.copy_to_table(table, source=source(), columns=COLUMNS, format="binary")


async def _append_new(connection: Any, rows: bytes) -> int:
    """Store the rows that are not there yet, by way of a table of this transaction; return how many values."""
    async with connection.transaction():
        await connection.execute(
            f"CREATE TEMPORARY TABLE tick_data_new ON COMMIT DROP AS SELECT {_COLUMNS} FROM tick_data WITH NO DATA"  # noqa: S608
        )
        await _copy(connection, "tick_data_new", rows)
        new: int = await connection.fetchval(
            f"WITH new AS (INSERT INTO tick_data ({_COLUMNS}) SELECT {_COLUMNS} FROM tick_data_new "  # noqa: S608
            "ON CONFLICT (symbol, time, seq) DO NOTHING RETURNING 1) SELECT count(*) FROM new"
        )
        return new
