"""Market values on real servers: what comes back is what went in, once, in its order."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from qts.db.ticks import tick_store
from qts.errors import BatchRefused, Unavailable
from qts.market.contracts import BookUpdate, IndexLevel, MarketValue, Quote, Tick, VolatilityLevel
from tests.db.ticks.stores import at, block, numbers, quote, read, shown, store_at, trade
from tests.servers.fixtures import EVERY_POSTGRES, Database
from tests.servers.pglite import PGlite
from tests.servers.proxy import Proxy

D = Decimal

EVERY_KIND: tuple[MarketValue, ...] = (
    Quote("S", at("1"), D("61800.20"), D("61800.30"), D("0.001"), D("12")),
    Quote("S", at("1"), last=D("61800.2"), last_size=D("0.00000001"), volume=D(1000)),
    Quote("S", at("1.000000001"), ask=D("0.10")),
    Tick("S", at("1.000000002"), D("61800.2000"), D("1.50"), buyer_is_maker=True),
    Tick("S", at("1.000000002"), D("-37.63"), D("0"), buyer_is_maker=False),
    Tick("S", at("1.999999999"), D("0.00000001"), D("100000000000000000000")),
    BookUpdate("S", at("2"), ((D("1.10"), D("1")), (D("1.0"), D("0"))), ((D("1.2"), D("3")),), snapshot=True),
    BookUpdate("S", at("2"), (), ((D("1.3"), D("0")),)),
    BookUpdate("S", at("2"), (), (), after_gap=True),
    BookUpdate("S", at("2"), ((D("1.1"), D("0")),), ()),
    IndexLevel("S", at("3"), 1 / 3, "2026-02-13"),
    VolatilityLevel("S", at("3"), 12.5),
)


async def _comes_back(url: str, *, afresh: bool = False) -> None:
    # Given values of every kind, several of one time, two within a microsecond
    async with store_at(url, afresh=afresh) as store:
        # When they are stored between those of another symbol
        assert await store.append(block(1, trade("0", "5", symbol="T"), *EVERY_KIND)) == 13
        # Then they come back in their order, digit for digit, with their numbers
        assert shown(await read(store)) == shown(EVERY_KIND)
        assert await numbers(store) == list(range(2, 14))
        # and a range is what lies within it, its end not
        assert len(await read(store, "S", at("1.000000002"), at("2"))) == 3
        assert await read(store, "S", at("1.000000003"), at("1.999999999")) == []


@EVERY_POSTGRES
async def test_every_kind_comes_back_as_it_was(database: Database) -> None:
    await _comes_back(database.url)


async def test_every_kind_comes_back_from_timescale_as_it_was(pglite: PGlite) -> None:
    await _comes_back(pglite.url(), afresh=True)


@EVERY_POSTGRES
async def test_what_is_there_already_changes_nothing(database: Database) -> None:
    async with store_at(database.url) as store:
        # Given three values, one of them a change of two levels
        first = (trade("1", "10"), BookUpdate("S", at("2"), ((D(1), D(2)), (D(3), D(4))), ()), trade("3", "11"))
        assert await store.append(block(1, *first)) == 3
        # When they are sent again with one more
        again = await store.append(block(1, *first, trade("4", "12")))
        # Then only that is new
        assert again == 1
        assert await store.append(block(1, *first)) == 0
        assert await read(store) == [*first, trade("4", "12")]


@EVERY_POSTGRES
async def test_a_block_with_a_value_that_cannot_be_stored_leaves_nothing(database: Database) -> None:
    async with store_at(database.url) as store:
        # When a block has a NaN behind a good value
        with pytest.raises(BatchRefused, match="S, seq 2, bid NaN"):
            await store.append(block(1, trade("1", "10"), quote("2", "NaN", "2")))
        # Then nothing of it is there, and the next block goes in
        assert await read(store) == []
        assert await store.append(block(1, trade("1", "10"))) == 1


@EVERY_POSTGRES
async def test_the_table_itself_refuses_what_is_not_finite(database: Database) -> None:
    scalars = ("price", "size", "bid", "ask", "bid_size", "ask_size", "volume", "level")
    async with store_at(database.url) as store:
        await store.append(block(1, trade("1", "10")))
        for number in ("NaN", "Infinity", "-Infinity"):
            rows = [*((name, number) for name in scalars), ("bids", f"{{1,{number}}}"), ("asks", f"{{{number}}}")]
            # When it is written past the store, Then the server refuses it
            tried = ";".join(
                f"BEGIN INSERT INTO qts.tick_data (time, ns, seq, symbol, kind, flags, {column}) VALUES "
                f"('2026-02-16', 0, 9, 'S', 'Q', 0, '{value}'); RAISE 'taken: {column} {value}'; "
                "EXCEPTION WHEN check_violation THEN NULL; END"
                for column, value in rows
            )
            database.execute(f"DO $$ BEGIN {tried}; END $$")


async def test_pages_end_between_values_of_one_time(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given changes of a book of 1 to 5 levels, more than a page has, all of one time
    values = [BookUpdate("S", at("1"), tuple((D(n), D(i)) for i in range(n % 5 + 1)), ()) for n in range(40)]
    monkeypatch.setattr(tick_store, "PAGE_ROWS", 7)
    async with store_at(database.url) as store:
        await store.append(block(1, *values))
        # When they are read in pages of 7 rows, Then none is cut, skipped or doubled
        assert await read(store) == values


async def test_reading_goes_on_behind_a_value(database: Database) -> None:
    async with store_at(database.url) as store:
        # Given three values of one time
        values = [trade("1", "10"), BookUpdate("S", at("1"), ((D(1), D(1)), (D(2), D(2))), ()), trade("1", "11")]
        await store.append(block(5, *values))
        # When reading begins behind each, Then the rest comes
        for n, seq in enumerate((5, 6, 7)):
            rest = [v async for b in store.ticks("S", 0, at("9"), after=(at("1"), seq)) for v in b.values]
            assert rest == values[n + 1 :]


@EVERY_POSTGRES
async def test_a_day_gets_its_partition_when_its_first_value_comes(database: Database) -> None:
    async with store_at(database.url) as store:
        # Given a value before and one after midnight, in one block
        await store.append(block(1, trade("86399.999999999", "1"), trade("86400", "2")))
        # Then each day has a partition of its own with one row
        rows = database.query(
            "SELECT tableoid::regclass::text AS part, count(*) AS n FROM qts.tick_data GROUP BY 1 ORDER BY 1"
        )
        assert [(row["part"], row["n"]) for row in rows] == [
            ("qts.tick_data_20260216", 1),
            ("qts.tick_data_20260217", 1),
        ]
        assert [row["day"] for row in database.query("SELECT day FROM qts.tick_days ORDER BY day")] == [
            date(2026, 2, 16),
            date(2026, 2, 17),
        ]


async def test_a_partition_that_was_dropped_meanwhile_is_made_again(database: Database) -> None:
    async with store_at(database.url) as store:
        # Given a day whose values have been dropped since the store wrote to it
        await store.append(block(1, trade("1", "1")))
        database.execute("DROP TABLE qts.tick_data_20260216; DELETE FROM qts.tick_days")
        # When a value of the day comes, Then it is stored
        assert await store.append(block(2, trade("2", "2"))) == 1
        assert await read(store) == [trade("2", "2")]


@EVERY_POSTGRES
async def test_a_source_keeps_its_number(database: Database) -> None:
    async with store_at(database.url) as store:
        first = await store.recording("csv:abc", "KRW", 100)
        other = await store.recording("csv:def", "USDT", 100)
        assert await store.recording("csv:abc", "KRW", 100) == first
        assert other != first


async def test_a_server_that_is_away_is_unavailable_and_found_again(database: Database, proxy: Proxy) -> None:
    async with store_at(database.by(proxy.port)) as store:
        await store.append(block(1, trade("1", "1")))
        # When the connection is cut
        proxy.refuse()
        # Then writing and reading say so
        with pytest.raises(Unavailable):
            await store.append(block(2, trade("2", "2")))
        proxy.heal()
        # and the next call makes another connection
        assert await store.append(block(2, trade("2", "2"))) == 1
        assert len(await read(store)) == 2
