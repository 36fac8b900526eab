"""The upkeep of market values: room before midnight, bars, whole days dropped, and no lock on the book."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta

import asyncpg

from qts.clock import ManualClock
from qts.db.ticks.upkeep import TickUpkeep, UpkeepDone
from tests.db.ticks.stores import at, block, read, store_at, trade
from tests.servers.fixtures import EVERY_POSTGRES, Database
from tests.servers.pglite import PGlite
from tests.servers.sql import execute, query

NOON = datetime(2026, 2, 20, 12, tzinfo=UTC)
MONDAY = date(2026, 2, 16)


def _upkeep(url: str, *, tick_days: int = 30, minute_days: int = 30, now: datetime = NOON) -> TickUpkeep:
    clock = ManualClock(now)
    return TickUpkeep(lambda: asyncpg.connect(url), "test", clock, tick_days=tick_days, minute_days=minute_days)


def _partitions(database: Database) -> list[str]:
    rows = database.query(
        "SELECT c.relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid "
        "WHERE inhparent = 'qts.tick_data'::regclass ORDER BY 1"
    )
    return [row[0].removeprefix("tick_data_") for row in rows]


def _age(url: str, days: float) -> None:
    """Let all days have been written to so many days ago."""
    execute(url, f"UPDATE qts.tick_days SET changed = now() - interval '{days} days', rolled = NULL")


@EVERY_POSTGRES
async def test_there_is_room_for_the_next_days_before_midnight(database: Database) -> None:
    async with store_at(database.url):
        # When the upkeep runs a minute before midnight, Then there is a partition of that day and the next three
        await _upkeep(database.url, now=datetime(2026, 2, 28, 23, 59, tzinfo=UTC)).run()
        assert _partitions(database) == ["20260228", "20260301", "20260302", "20260303"]
        # and a minute after it, one more
        await _upkeep(database.url, now=datetime(2026, 3, 1, 0, 0, tzinfo=UTC)).run()
        assert _partitions(database)[-1] == "20260304"


@EVERY_POSTGRES
async def test_a_day_that_rests_is_made_into_bars_and_again_when_more_comes(database: Database) -> None:
    async with store_at(database.url) as store:
        await store.append(block(1, trade("1", "10"), trade("2", "11")))
        # Given a day that was written to just now, Then it is left until it has rested for a minute
        assert (await _upkeep(database.url).run()).rolled == ()
        _age(database.url, 0.01)
        assert (await _upkeep(database.url).run()).rolled == (MONDAY,)
        assert (await _upkeep(database.url).run()).rolled == ()
        # When a late value comes, Then it gets into the bars
        store._marked.clear()
        await store.append(block(3, trade("3", "12")))
        _age(database.url, 0.01)
        assert (await _upkeep(database.url).run()).rolled == (MONDAY,)
        (bar,) = database.query("SELECT close, trades, last_seq FROM qts.ohlcv_1d")
        assert (bar["close"], bar["trades"], bar["last_seq"]) == (12, 3, 3)


@EVERY_POSTGRES
async def test_whole_days_are_dropped_after_their_time_and_their_bars_stay(database: Database) -> None:
    async with store_at(database.url) as store:
        # Given an old day, and one that is as old and was recorded only now
        await store.append(block(1, trade("1", "10")))
        _age(database.url, 31)
        await store.append(block(1, trade("-86399", "10")))
        # When values are kept for 30 days, Then the first goes as a whole, once its bars are made
        done = await _upkeep(database.url).run()
        assert (done.rolled, done.dropped) == ((MONDAY,), (MONDAY,))
        assert "20260216" not in _partitions(database)
        assert "20260215" in _partitions(database)
        assert len(await read(store)) == 1
        assert [row["time"].date() for row in database.query("SELECT time FROM qts.ohlcv_1d")] == [MONDAY]
        # and its bars of a minute go with it, as they are older than 30 days
        assert done.dropped_minutes == 1
        # When a value of it comes again, Then there is room again
        assert await store.append(block(1, trade("1", "10"))) == 1


async def test_with_no_limit_nothing_is_dropped(database: Database) -> None:
    async with store_at(database.url) as store:
        await store.append(block(1, trade("1", "10")))
        _age(database.url, 4_000)
        done = await _upkeep(database.url, tick_days=0, minute_days=0).run()
        assert (done.rolled, done.dropped, done.dropped_minutes) == ((MONDAY,), (), 0)
        assert len(await read(store)) == 1


async def test_the_last_hour_is_made_into_minutes(database: Database) -> None:
    async with store_at(database.url) as store:
        # Given trades of 2 hours, 30 minutes and some seconds ago
        now_ns = round(database.value("SELECT extract(epoch FROM now())")) * 1_000_000_000
        ago = [timedelta(hours=2), timedelta(minutes=30), timedelta(seconds=5)]
        seconds = [str((now_ns - at("0")) // 1_000_000_000 - one // timedelta(seconds=1)) for one in ago]
        await store.append(block(1, *(trade(one, "10") for one in seconds)))
        # When the upkeep runs, Then the middle one alone is in a bar of a minute
        assert (await _upkeep(database.url).run()).minutes == 1
        assert database.value("SELECT count(*) FROM qts.ohlcv_1m") == 1


async def test_no_step_waits_for_the_book_nor_locks_it(database: Database) -> None:
    async with store_at(database.url) as store:
        await store.append(block(1, trade("1", "10")))
        _age(database.url, 31)
        # Given a transaction that has all tables of the book for itself
        names = [
            row[0]
            for row in database.query(
                "SELECT tablename FROM pg_tables "
                "WHERE schemaname = 'qts' AND tablename !~ '^(tick_|ohlcv_|schema_)'"
            )
        ]
        assert {"t_ledger", "batches", "orders", "positions"} <= set(names)
        book = await asyncpg.connect(database.url)
        async with book.transaction():
            await book.execute(f"LOCK TABLE {', '.join(f'qts.{name}' for name in names)} IN ACCESS EXCLUSIVE MODE")
            # When everything of the upkeep is done meanwhile, Then it ends, and nothing waited
            async with asyncio.timeout(20):
                done = await _upkeep(database.url).run()
            assert (done.rolled, done.dropped) == ((MONDAY,), (MONDAY,))
        await book.close()


async def test_a_step_that_another_process_does_is_left_to_it(database: Database) -> None:
    async with store_at(database.url) as store:
        await store.append(block(1, trade("1", "10")))
        _age(database.url, 31)
        other = await asyncpg.connect(database.url)
        async with other.transaction():
            await other.execute("SELECT pg_advisory_xact_lock(20817, 4)")
            assert await _upkeep(database.url).run() == UpkeepDone()
        await other.close()


async def test_timescale_does_it_with_a_job_that_is_told_how_long_to_keep_what(pglite: PGlite) -> None:
    url = pglite.url()
    async with store_at(url, afresh=True) as store:
        await store.append(block(1, trade("1", "10"), trade("86401", "11")))
        execute(url, "UPDATE qts.tick_days SET changed = now() - interval '9 days' WHERE day = '2026-02-16'")
        # When values are kept for 8 days, Then the job of the server knows it
        assert await _upkeep(url, tick_days=8, minute_days=9).run() == UpkeepDone(by_server=True)
        (job,) = query(
            url, "SELECT job_id, config::text FROM timescaledb_information.jobs WHERE proc_name = 'qts_tick_upkeep'"
        )
        assert '"tick_days": 8' in job["config"]
        assert '"minute_days": 9' in job["config"]
        # When it runs, Then the first day's bars are made and its values dropped; the other is written to
        execute(url, f"CALL run_job({job['job_id']})")
        assert [row[0].date() for row in query(url, "SELECT time FROM qts.ohlcv_1d")] == [MONDAY]
        assert await read(store) == [trade("86401", "11")]
        execute(url, "UPDATE qts.tick_days SET changed = now() - interval '5 minutes'")
        execute(url, f"CALL run_job({job['job_id']})")
        assert len(query(url, "SELECT FROM qts.ohlcv_1m WHERE time >= '2026-02-17'")) == 1
