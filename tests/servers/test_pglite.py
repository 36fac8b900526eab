"""TimescaleDB in WebAssembly behind its front: statements of several clients, and COPY."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.servers.pglite import PGlite

asyncpg = pytest.importorskip("asyncpg", reason="needs the extra postgres")

DAY = datetime(2026, 3, 2, tzinfo=UTC)


async def test_a_hypertable_is_filled_by_copy_and_rolled_up(pglite: PGlite) -> None:
    # Given a hypertable
    connection = await asyncpg.connect(pglite.url())
    await connection.execute(
        "DROP TABLE IF EXISTS ticked CASCADE;"
        "CREATE TABLE ticked (time timestamptz NOT NULL, price numeric NOT NULL);"
        "SELECT create_hypertable('ticked', by_range('time', INTERVAL '1 day'))"
    )
    # When 2,000 rows, one a minute, go in by binary COPY
    rows = [(DAY + timedelta(minutes=n), n) for n in range(2_000)]
    await connection.copy_records_to_table("ticked", records=rows)
    # Then they lie in two daily chunks, and an hour has the first and last of its 60 rows
    assert await connection.fetchval("SELECT count(*) FROM show_chunks('ticked')") == 2
    hours = await connection.fetch(
        "SELECT first(price, time) AS open, last(price, time) AS close, count(*) AS n"
        " FROM ticked GROUP BY time_bucket('1 hour', time) ORDER BY time_bucket('1 hour', time)"
    )
    assert [tuple(map(int, hour.values())) for hour in hours[:2]] == [(0, 59, 60), (60, 119, 60)]
    await connection.execute("DROP TABLE ticked CASCADE")
    await connection.close()


async def test_several_clients_take_turns_and_one_that_vanishes_blocks_none(pglite: PGlite) -> None:
    # Given a client that vanishes inside of a transaction
    connection = await asyncpg.connect(pglite.url())
    await connection.execute("DROP TABLE IF EXISTS counted; CREATE TABLE counted (n int)")
    vanishing = await asyncpg.connect(pglite.url())
    await vanishing.execute("BEGIN; INSERT INTO counted VALUES (100)")
    vanishing.terminate()
    # When four others write at the same time

    async def write(of: asyncpg.Connection, start: int) -> None:
        for n in range(start, start + 10):
            async with of.transaction():
                await of.execute("INSERT INTO counted VALUES ($1)", n)

    others = [await asyncpg.connect(pglite.url()) for _ in range(4)]
    await asyncio.gather(*(write(one, number * 10) for number, one in enumerate(others)))
    # Then their rows are there and nothing of the one that vanished
    assert await connection.fetchval("SELECT array_agg(n ORDER BY n) FROM counted") == list(range(40))
    for one in (*others, connection):
        await one.close()
