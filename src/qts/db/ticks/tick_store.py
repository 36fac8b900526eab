"""Writes and reads the market values of a server, over connections of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, timedelta
from typing import Any, Final, NamedTuple

import asyncpg

from qts.clock import NS_PER_S, stopwatch_ns, to_ns
from qts.db.adapter import END_NS, TickBlock
from qts.db.postgres.connection import SCHEMA
from qts.db.ticks.copy_rows import COLUMNS, HEADER, TRAILER, CopyRows, days_of
from qts.db.ticks.ohlcv import BarQuery, moment
from qts.db.ticks.read_rows import SELECT, Numbers, microseconds, set_codecs, values_of
from qts.db.timescale.failures import Failure, explained
from qts.errors import BatchRefused, Unavailable
from qts.market.contracts import Bar

PAGE_ROWS: Final = 20_000
PIECE_ROWS: Final = 1_024
DEADLINE_S: Final = 30.0
"""The time that writing a block or reading a page may take; the mark of a day is good for twice as long."""
COUNT_S: Final = 600.0
"""The time that computing a checksum may take."""
_CLOSE_S: Final = 2.0
_MARKED_NS: Final = 20 * NS_PER_S
"""A day that was marked so recently is not marked again."""
_COLUMNS: Final = ", ".join(COLUMNS)
_PAGE: Final = (
    f"{SELECT} WHERE symbol = $1 AND time >= $2 AND time <= $3 AND (time, ns, seq) > ($2, $4, $5) "
    f"AND (time, ns) < ($3, $6) AND seq >= $7 AND seq < $8 ORDER BY time, ns, seq LIMIT $9"
)
_COUNT: Final = """
SELECT count(*) AS values, min(seq) AS first_seq, max(seq) AS last_seq,
  coalesce(sum(('x' || left(md5(ROW(extract(epoch FROM time), ns, seq, kind, flags, price, size, bid, ask, bid_size,
    ask_size, volume, level, day, bids, asks)::text), 15))::bit(60)::bigint), 0)::text AS checksum
FROM qts.tick_data
WHERE symbol = $1 AND time >= $2 AND time < $3 AND (time, ns) >= ($2, $4) AND seq >= $5 AND seq < $6
"""
_FIRSTS: Final = """
SELECT (SELECT min(time) FROM qts.tick_data WHERE symbol = $1),
  (SELECT min(time) FROM qts.ohlcv_1m WHERE symbol = $1),
  (SELECT min(time) FROM qts.ohlcv_1d WHERE symbol = $1)
"""
_RECORDED: Final = """
SELECT d.number, r.source, r.currency, r.max_age_ns, d.values, d.first, d.last FROM (
  SELECT seq >> 40 AS number, count(*) AS values, min(time) AS first, max(time) AS last
  FROM qts.tick_data WHERE symbol = $1 AND time >= $2 AND time < $3 GROUP BY 1) AS d
LEFT JOIN qts.tick_recordings AS r USING (number) ORDER BY d.first, d.number
"""

Connect = Callable[[], Awaitable[Any]]


class Recorded(NamedTuple):
    """A recording that has values of a symbol, and the times of the first and last of them, to the µs.

    ``number`` 0: values that were stored without one. ``source``: the name of what was recorded. ``max_age_ns`` and
    ``currency`` are those of its feed; 0 and "" when they are not known.
    """

    number: int
    source: str
    currency: str
    max_age_ns: int
    values: int
    first_ns: int
    last_ns: int


class TickStore:
    """The market values of one server; for one loop.

    ``connect`` makes a connection to it (asyncpg's), ``where`` names it in messages. One connection is kept for
    writing; every reading has one of its own. One that did not answer within :data:`DEADLINE_S` is ended, and the
    next call makes another. Raises InputError and Unavailable as :class:`~qts.db.adapter.DataSourceAdapter` says.
    """

    def __init__(self, connect: Connect, where: str = "the server") -> None:
        self._connect, self._where = connect, where
        self._rows = CopyRows()
        self._writer: Any = None
        self._lock = asyncio.Lock()
        self._marked: dict[date, int] = {}

    async def close(self) -> None:
        """Close the connection for writing; may be called twice, and never raises Unavailable."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await _closed(writer)

    async def append(self, block: TickBlock, on_refused: Callable[[str], object] | None = None) -> int:
        """Store the values of a block, all or none of them, and return how many were new.

        What cannot be stored raises BatchRefused, naming the row; with ``on_refused`` that is told and the rest is
        stored.
        """
        if not block.values:
            return 0
        days = days_of(block)
        refused: list[str] = []
        async with self._lock, self._writing() as connection:
            await self._mark(connection, days)
            try:
                rows = self._pieces(block, refused, leaves_out=on_refused is not None)
                await _copy(connection, rows, schema_name=SCHEMA)
                new = len(block.values) - len(refused)
            except asyncpg.UniqueViolationError:
                new = await self._append_new(connection, block, refused, leaves_out=on_refused is not None)
            except asyncpg.CheckViolationError as error:
                if error.constraint_name is not None:
                    raise BatchRefused(f"tick_data: {error}; {error.detail}") from error
                self._marked.clear()  # its day was dropped since
                await self._mark(connection, days)
                new = await self._append_new(connection, block, refused, leaves_out=on_refused is not None)
        if on_refused is not None:
            for text in refused:
                on_refused(text)
        return new

    def _pieces(self, block: TickBlock, refused: list[str], *, leaves_out: bool) -> Iterator[bytes]:
        """Return the rows for COPY in pieces: the server works on one while the next one is made.

        ``refused`` gets what is left out.
        """
        refused.clear()
        yield HEADER
        for at in range(0, len(block.values), PIECE_ROWS):
            to = at + PIECE_ROWS
            part = TickBlock(block.seq + at, block.values[at:to], block.seqs[at:to])
            yield b"".join(self._rows.encode(part, refused.append if leaves_out else None))
        yield TRAILER

    async def _append_new(self, connection: Any, block: TickBlock, refused: list[str], *, leaves_out: bool) -> int:
        """Store the rows that are not there yet, by way of a table of this transaction; return how many."""
        async with connection.transaction():
            await connection.execute(
                f"CREATE TEMPORARY TABLE tick_data_new ON COMMIT DROP AS SELECT {_COLUMNS} FROM qts.tick_data "  # noqa: S608
                "WITH NO DATA"
            )
            await _copy(connection, self._pieces(block, refused, leaves_out=leaves_out), table="tick_data_new")
            new: int = await connection.fetchval(
                f"WITH new AS (INSERT INTO qts.tick_data ({_COLUMNS}) "  # noqa: S608
                f"SELECT {_COLUMNS} FROM pg_temp.tick_data_new "
                "ON CONFLICT (symbol, time, seq) DO NOTHING RETURNING 1) SELECT count(*) FROM new"
            )
            return new

    async def recording(self, source: str, currency: str, max_age_ns: int) -> int:
        """Return the number of the recording of a source, a new one for a source that is not known."""
        async with self._lock, self._writing() as connection:
            number: int = await connection.fetchval(
                "SELECT qts.qts_tick_recording($1, $2, $3)", source, currency, max_age_ns
            )
        return number

    async def ticks(
        self,
        symbol: str,
        start_ns: int,
        end_ns: int,
        after: tuple[int, int] | None = None,
        recording: int | None = None,
    ) -> AsyncIterator[TickBlock]:
        """Iterate over the values of a symbol with ``start_ns`` <= time < ``end_ns``, by time and number.

        ``after`` (ts_ns, seq): only what comes behind that value. ``recording``: those of one; None: of all.
        """
        async with self.reading() as connection:
            numbers = Numbers()
            await set_codecs(connection, numbers)
            span = symbol, start_ns, end_ns
            async for block in pages(connection, numbers, *span, after, recording, PAGE_ROWS):
                yield block

    async def firsts(self, symbol: str) -> tuple[int | None, int | None, int | None]:
        """Return the times of the first value, bar of a minute and bar of a day, to the µs; None where is none."""
        async with self.reading() as connection:
            row = await within(connection, connection.fetchrow(_FIRSTS, symbol))
        values, minutes, days = (None if one is None else to_ns(one) for one in row)
        return values, minutes, days

    async def recordings(self, symbol: str, start_ns: int, end_ns: int) -> Sequence[Recorded]:
        """Return the recordings with values of a symbol in a range of time, by their first value."""
        async with self.reading() as connection:
            rows = await within(connection, connection.fetch(_RECORDED, symbol, moment(start_ns), moment(end_ns)))
        return [
            Recorded(
                row["number"],
                row["source"] or "",
                row["currency"] or "",
                row["max_age_ns"] or 0,
                row["values"],
                to_ns(row["first"]),
                to_ns(row["last"]),
            )
            for row in rows
        ]

    async def contents(
        self, symbol: str, start_ns: int, end_ns: int, recording: int | None = None
    ) -> tuple[int, int, int, str]:
        """Return how many values there are, their first and last number, and a checksum of all of them.

        ``end_ns`` is a whole µs. The server computes the checksum; equal values have an equal one on any server.
        """
        (us, ns), (end_us, _) = microseconds(start_ns), microseconds(end_ns)
        async with self.reading() as connection:
            await set_codecs(connection, Numbers())
            row = await within(
                connection, connection.fetchrow(_COUNT, symbol, us, end_us, ns, *_numbers_of(recording)), COUNT_S
            )
        return row["values"], row["first_seq"] or 0, row["last_seq"] or 0, row["checksum"]

    async def ohlcv(self, symbol: str, interval: timedelta, start_ns: int, end_ns: int) -> Sequence[Bar]:
        """Return the bars that begin at ``start_ns`` or later and before ``end_ns``."""
        query = BarQuery(symbol, interval, start_ns, end_ns)
        async with self.reading() as connection:
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
        except Failure as error:
            said = explained(error, self._where, "store market values")
            if isinstance(said, Unavailable):
                self._drop_writer()
            raise said from error
        except asyncio.CancelledError:
            self._drop_writer()
            raise

    def _drop_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.terminate()  # not cancelled: that would need a second connection to a server that is silent

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Any]:
        """Return a connection for a block that reads, and close it then. Raises InputError and Unavailable."""
        connection = None
        try:
            connection = await _connected(self._connect)
            yield connection
        except Failure as error:
            raise explained(error, self._where, "read market values") from error
        finally:
            if connection is not None:
                await _closed(connection)

    async def _mark(self, connection: Any, days: Sequence[date]) -> None:
        now_ns = stopwatch_ns()
        due = [day for day in days if now_ns - self._marked.get(day, -_MARKED_NS) >= _MARKED_NS]
        if due:
            await connection.execute("SELECT qts.qts_mark_tick_days($1::date[])", due)
            if len(self._marked) > len(days) + 1_000:
                self._marked.clear()
            self._marked.update(dict.fromkeys(due, now_ns))


async def pages(
    connection: Any,
    numbers: Numbers,
    symbol: str,
    start_ns: int,
    end_ns: int,
    after: tuple[int, int] | None,
    recording: int | None,
    most: int,
) -> AsyncIterator[TickBlock]:
    """Iterate over the values that :meth:`TickStore.ticks` gives, ``most`` at a time.

    ``connection`` has the codecs of :func:`~qts.db.ticks.read_rows.set_codecs`, with ``numbers``.
    """
    at_us, at_ns = microseconds(start_ns if after is None else after[0])
    end, seqs = microseconds(end_ns), _numbers_of(recording)
    place = (at_us, at_ns, -1 if after is None else after[1])
    while True:
        rows = await within(
            connection, connection.fetch(_PAGE, symbol, place[0], end[0], *place[1:], end[1], *seqs, most)
        )
        if (block := values_of(symbol, rows, numbers)) is not None:
            yield block
        if len(rows) < most:
            break
        last = rows[-1]
        place = (last["time"][0], last["ns"], last["seq"])


async def within(connection: Any, call: Awaitable[Any], seconds: float = DEADLINE_S) -> Any:
    """Return the answer of a call, or end the connection and raise TimeoutError after ``seconds``."""
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError:
        connection.terminate()
        raise


def _numbers_of(recording: int | None) -> tuple[int, int]:
    return (-END_NS, END_NS) if recording is None else (recording << 40, (recording + 1) << 40)


async def _connected(connect: Connect) -> Any:
    async with asyncio.timeout(DEADLINE_S):
        return await connect()


async def _closed(connection: Any) -> None:
    """Close a connection; one that does not answer is ended."""
    with contextlib.suppress(OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresError):
        await connection.close(timeout=_CLOSE_S)


async def _copy(
    connection: Any, rows: Iterator[bytes], table: str = "tick_data", schema_name: str | None = None
) -> None:
    async def source() -> AsyncIterator[bytes]:
        for piece in rows:
            yield piece

    await connection.copy_to_table(
        table, source=source(), schema_name=schema_name, columns=COLUMNS, format="binary"
    )
