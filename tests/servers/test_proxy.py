"""The proxy of the tests does to a connection what it says, and counts what passes."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.servers.fixtures import Database
from tests.servers.proxy import Proxy

asyncpg = pytest.importorskip("asyncpg", reason="needs the extra postgres")

LOST = (asyncpg.PostgresConnectionError, asyncpg.ConnectionDoesNotExistError, ConnectionError)


async def _connect(database: Database, proxy: Proxy) -> asyncpg.Connection:
    return await asyncpg.connect(database.by(proxy.port), timeout=20, statement_cache_size=100)


async def test_each_time_that_the_client_waits_is_one_round_trip(database: Database, proxy: Proxy) -> None:
    # Given a connection on which a statement was prepared
    connection = await _connect(database, proxy)
    prepared = await connection.prepare("SELECT $1::int")
    # When it is executed, and a script is sent
    before, seen = proxy.round_trips, len(proxy.statements)
    assert await prepared.fetchval(3) == 3
    await connection.execute("SELECT 1; SELECT 2")
    # Then each was one round trip, and both were seen
    assert proxy.round_trips - before == 2
    assert proxy.statements[seen:] == ["SELECT $1::int", "SELECT 1; SELECT 2"]
    await connection.close()


async def test_a_delay_holds_in_its_direction_until_it_is_healed(database: Database, proxy: Proxy) -> None:
    connection = await _connect(database, proxy)
    for direction in ("up", "down"):
        # Given a delay of 0.2 s in one direction
        proxy.delay(0.2, direction)  # type: ignore[arg-type]
        # When a statement is sent, then it takes at least as long
        begun = time.monotonic()
        await connection.execute("SELECT 1")
        assert time.monotonic() - begun >= 0.2
        proxy.heal()
    assert await connection.fetchval("SELECT 2") == 2
    await connection.close()


async def test_an_answer_is_lost_only_after_the_server_committed(database: Database, proxy: Proxy) -> None:
    # Given a proxy that loses the answer to the second COMMIT
    connection = await _connect(database, proxy)
    await connection.execute("CREATE TABLE kept (n int)")
    proxy.lose_answer("COMMIT", at=2)
    async with connection.transaction():
        await connection.execute("INSERT INTO kept VALUES (1)")
    # When the second transaction commits
    with pytest.raises(LOST):
        async with connection.transaction():
            await connection.execute("INSERT INTO kept VALUES (2)")
    # Then the client lost its connection, and both rows are there; the next connection works
    assert connection.is_closed()
    again = await _connect(database, proxy)
    assert [row["n"] for row in await again.fetch("SELECT n FROM kept ORDER BY n")] == [1, 2]
    await again.close()


async def test_half_open_connections_hear_no_end_and_new_ones_work(database: Database, proxy: Proxy) -> None:
    # Given a connection whose other machine lost its power
    connection = await _connect(database, proxy)
    proxy.half_open()
    # When a statement is sent, then nothing comes, not even an end
    waiting = asyncio.ensure_future(connection.execute("SELECT 1"))
    done, _ = await asyncio.wait([waiting], timeout=0.3)
    assert not done
    # and a new connection works
    again = await _connect(database, proxy)
    assert await again.fetchval("SELECT 2") == 2
    await again.close()
    proxy.cut()
    with pytest.raises(LOST):
        await waiting


async def test_what_a_silent_direction_swallows_never_arrives(database: Database, proxy: Proxy) -> None:
    # Given a proxy that passes on statements and swallows the answers
    connection = await _connect(database, proxy)
    proxy.silence("down")
    # When a statement is sent
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(connection.execute("CREATE TABLE t ()"))), 0.3)
    # Then the server had it
    assert database.value("SELECT count(*) FROM pg_class WHERE relname = 't'") == 1
    proxy.cut()


async def test_a_proxy_that_refuses_ends_connections_until_it_is_healed(database: Database, proxy: Proxy) -> None:
    connection = await _connect(database, proxy)
    proxy.refuse()
    with pytest.raises(LOST):
        await connection.execute("SELECT 1")
    with pytest.raises(LOST):
        await _connect(database, proxy)
    proxy.heal()
    await (await _connect(database, proxy)).close()
