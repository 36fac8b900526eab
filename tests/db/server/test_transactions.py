"""A batch is applied wholly, once, or not at all: errors in the middle, deadlocks, servers without a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from qts.db.adapter import Query
from qts.db.batch import Batch
from qts.db.contracts import LedgerRow
from qts.db.timescale import TimescaleDBAdapter
from qts.errors import BatchRefused, InputError, Unavailable
from tests.db.server.following import adapter_of, until
from tests.db.server.trader import RUN, Trader
from tests.servers.fixtures import EVERY_BOOK, Database, OwnServer, database_of

FAILING = """
CREATE SEQUENCE public.calls;
CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF nextval('public.calls') <= {times} THEN RAISE EXCEPTION 'not now' USING ERRCODE = '{code}'; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER fail BEFORE INSERT ON qts.capital_pools FOR EACH ROW EXECUTE FUNCTION public.fail()
"""
"""Lets the first inserts into the pools fail, the last rows of a fill's batch, with a code."""


WRITER = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'qts ledger'"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'qts ledger' AND wait_event_type = 'Lock'"
Batches = Callable[[int], Sequence[Batch]]


@pytest.fixture
def batches(tmp_path: Path) -> Batches:
    """Return a function that gives the batches of so many fills."""

    def make(fills: int) -> Sequence[Batch]:
        trader = Trader(tmp_path / "live.sqlite")
        trader.store.follow(["postgres"])
        for _ in range(fills):
            trader.trade()
        found = trader.store.pending("postgres", 1_000)
        trader.store.close()
        return found

    return make


@asynccontextmanager
async def writing(url: str) -> AsyncIterator[TimescaleDBAdapter]:
    """Open an adapter that has claimed the run."""
    adapter = adapter_of(url)
    await adapter.open()
    try:
        await adapter.claim(RUN, whole_account=True)
        await adapter.put_run(RUN, (), ())
        yield adapter
    finally:
        await adapter.close()


def counts(database: Database) -> dict[str, int]:
    """Return how many rows there are by table, and how many batches count as applied."""
    found = {
        table: database.value(f"SELECT count(*) FROM qts.{table}")
        for table in ("t_ledger", "orders", "decisions", "positions", "capital_pools", "batches")
    }
    return found | {"applied": database.value("SELECT applied FROM qts.run_progress")}


def after(fills: int) -> dict[str, int]:
    """Return the counts after 3 fills at most."""
    return {
        "t_ledger": fills,
        "orders": fills,
        "decisions": fills,
        "positions": fills,
        "capital_pools": min(fills, 2),
        "batches": 2 * fills,
        "applied": 2 * fills,
    }


@EVERY_BOOK
@pytest.mark.parametrize(("code", "error"), [("23514", BatchRefused), ("53100", Unavailable)])
async def test_an_error_in_the_middle_leaves_nothing_of_a_batch(
    book_database: Database, batches: Batches, code: str, error: type[Exception]
) -> None:
    # Given a server with a fill, whose pools cannot be written for now
    made = batches(2)
    async with writing(book_database.url) as adapter:
        await adapter.apply(made[:2])
        pid = book_database.value(WRITER)
        book_database.execute(FAILING.format(times=1_000, code=code))
        # When the next fill is applied, whose other rows were written before its pool
        with pytest.raises(error, match="not now"):
            await adapter.apply(made[2:])
        # Then nothing of it is there
        assert counts(book_database) == after(1)
        # and the same connection writes all of it when that is possible again
        book_database.execute("DROP TRIGGER fail ON qts.capital_pools")
        assert await adapter.apply(made[2:]) == 4
        assert counts(book_database) == after(2)
        assert book_database.value(WRITER) == pid


async def test_the_loser_of_a_deadlock_is_applied_as_a_whole(own_server: OwnServer, batches: Batches) -> None:
    # Given a server that looks for deadlocks, and another session that holds the position of the next fill
    made = batches(2)
    server = own_server(deadlock_timeout="300ms", log_lock_waits="off")
    database = database_of(server)
    async with writing(server.url()) as adapter:
        await adapter.apply(made[:2])
        other = await asyncpg.connect(server.url())
        await other.execute("SET deadlock_timeout = '1min'")  # so that the other one is not the loser
        transaction = other.transaction()
        await transaction.start()
        await other.execute("LOCK TABLE qts.capital_pools IN SHARE ROW EXCLUSIVE MODE")
        # When a batch waits for it, and it for the batch
        applying = asyncio.ensure_future(adapter.apply(made[2:]))
        await asyncio.to_thread(until, lambda: database.value(WAITING) == 1)
        await other.execute("UPDATE qts.run_progress SET changed_at = now()")
        await transaction.commit()
        # Then the batch lost, was tried again, and is there once
        assert await applying == 4
        assert adapter.stats.again >= 1
        await other.close()
    assert counts(database) == after(2)


async def test_a_server_without_free_connections_is_said_at_once_and_the_writer_keeps_its_own(
    own_server: OwnServer, batches: Batches
) -> None:
    made = batches(1)
    server = own_server(max_connections="6", superuser_reserved_connections="0")
    # Given a writer, and others that hold every other connection, idle in a transaction
    async with writing(server.url()) as adapter:
        holders = [await asyncpg.connect(server.url()) for _ in range(5)]
        for holder in holders:
            await holder.execute("BEGIN")
        # When a reader asks, and a second writer comes, then they are told so, and do not wait
        with pytest.raises(Unavailable, match="too many clients"):
            await asyncio.wait_for(_read(adapter), 10)
        with pytest.raises(Unavailable, match="too many clients"):
            await asyncio.wait_for(adapter_of(server.url()).open(), 10)
        # and the writer writes over the connection that it has
        assert await adapter.apply(made) == 2
        for holder in holders:
            await holder.close()
        # and a reader reads when there are connections again
        assert [row.execution_id for row in await _read(adapter)] == ["x-1"]


async def _read(adapter: TimescaleDBAdapter) -> list[LedgerRow]:
    return [row async for row in adapter.read(LedgerRow, Query(run_id=RUN.run_id))]


async def test_a_replica_is_refused_with_what_to_do(own_server: OwnServer) -> None:
    # Given a server that was told to be a replica
    server = own_server()
    server.stop()
    (server.data / "standby.signal").touch()
    server.start()
    # When it is opened, then it is refused
    with pytest.raises(InputError, match=r"the server is a replica .* give its host"):
        await adapter_of(server.url()).open()
