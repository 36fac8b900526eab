"""The stored values of a symbol as a feed: those of the recording, from any place on, under a name of their own."""

from __future__ import annotations

import asyncio
from datetime import date
from decimal import Decimal
from functools import partial
from itertools import islice
from pathlib import Path

import asyncpg
import pytest

from qts.db.ticks.db_feed import DbFeed, Stored
from qts.db.ticks.tick_store import TickStore
from qts.errors import DataError, InputError
from qts.market.contracts import MarketValue
from qts.market.files import open_feed
from tests.conformance.feed import FeedTests, Opens
from tests.db.ticks.stores import block, migrated, quote, shown, trade
from tests.market.files.test_resume import capture
from tests.servers.fixtures import Database, MakeDatabase

D = Decimal


def stored(database: Database, symbol: str = "S", **wanted: object) -> Stored:
    return Stored(_store(database), "test", symbol, **{"currency": "USDT", **wanted})  # type: ignore[arg-type]


def _store(database: Database) -> partial[TickStore]:
    return partial(TickStore, lambda: asyncpg.connect(database.url))


def fill(database: Database, *values: MarketValue, first: int = 1) -> None:
    """Store values, numbered from ``first`` on."""

    async def append() -> None:
        await migrated(database.url)
        store = TickStore(lambda: asyncpg.connect(database.url))
        await store.append(block(first, *values))
        await store.close()

    asyncio.run(append())


def values_of(n: int) -> list[MarketValue]:
    """A quote and a trade in turns, three at each moment."""
    return [
        quote(f"{i // 3}.{i // 3:09d}", f"10.{i:03d}", "20")
        if i % 2
        else trade(f"{i // 3}.{i // 3:09d}", f"1{i}.5")
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def filled(new_database: MakeDatabase) -> Database:
    made, _ = new_database("18")
    fill(made, *values_of(21), trade("1", "5", symbol="OTHER"))
    return made


class TestConformance(FeedTests):
    @pytest.fixture
    def opens(self, filled: Database) -> Opens:
        return stored(filled).open

    @pytest.fixture
    def opens_another(self, filled: Database) -> Opens:
        return stored(filled, "OTHER").open


def test_a_recording_is_replayed_value_for_value_with_its_instruments(database: Database, tmp_path: Path) -> None:
    # Given a raw capture with quotes, trades and a book, stored as it was read
    path = tmp_path / "capture"
    path.write_bytes(b"\n".join(capture()))
    recorded = open_feed(path)
    values = list(recorded.values())
    fill(database, *values)
    symbol = next(iter(recorded.instruments))
    # When one of its symbols is replayed from the server
    feed = stored(database, symbol).open()
    # Then it is the same, digit for digit, on the same grid
    assert shown(feed.values()) == shown(value for value in values if value.symbol == symbol)
    there, here = feed.instruments[symbol], recorded.instruments[symbol]
    day = date(2026, 2, 16)
    assert there.ticks.tick(D(1), day) == here.ticks.tick(D(1), day)
    assert (there.lot, there.quantum, there.currency) == (here.lot, here.quantum, here.currency)


def test_the_name_is_that_of_the_content(database: Database, new_database: MakeDatabase) -> None:
    # Given the same values on two servers, and others of them that differ in one digit, number or value
    fill(database, *values_of(9))
    first = stored(database).open().source_id
    other, _ = new_database("15")
    fill(other, *values_of(9))
    # Then the same values have the same name on every version of the server
    assert stored(other).open().source_id == first
    # and another number, value or range has another one
    other.execute("UPDATE qts.tick_data SET size = 1.0 WHERE seq = 1")
    assert stored(other).open().source_id != first
    assert stored(database, last=date(2026, 3, 1)).open().source_id != first


def test_days_are_those_of_the_market(database: Database) -> None:
    # Given a value in each of three days (UTC, the days of a market that never closes)
    fill(database, *(trade(f"{86_400 * n}", "1") for n in range(3)))
    # When the second is asked for, Then its value comes, and nothing at midnight after it
    feed = stored(database, first=date(2026, 2, 17), last=date(2026, 2, 17)).open()
    assert list(feed.values()) == [trade("86400", "1")]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"symbol": "X"}, "test has no value of X from the start to the end; it has none of it at all"),
        # X cannot be traded in won: there is nothing to trade all the same
        (
            {"symbol": "X", "currency": "KRW"},
            "test has no value of X from the start to the end; it has none of it at all",
        ),
        (
            {"first": date(2026, 3, 1)},
            "test has no value of S from 2026-03-01 to the end; it has 9 from 2026-02-16 00:00 to 2026-02-16 00:00 "
            "UTC (recording 0)",
        ),
        ({"recording": 3}, "test has no value of S of recording 3 from the start to the end; it has 9 from"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(database: Database, wanted: dict[str, object], said: str) -> None:
    fill(database, *values_of(9))
    with pytest.raises(InputError) as refused:
        stored(database, **{"symbol": "S", **wanted}).open()  # type: ignore[arg-type]
    assert str(refused.value).startswith(said)


def test_what_was_recorded_twice_is_refused_until_one_is_chosen(database: Database) -> None:
    # Given the same market recorded by two sessions, as recordings 1 and 2
    fill(database, *values_of(9), first=(1 << 40) + 1)
    fill(database, *values_of(9), first=(2 << 40) + 1)
    # When it is opened, Then both are named
    with pytest.raises(InputError, match=r"recording 1\).*recording 2\); choose one of them with --recording"):
        stored(database).open()
    # and one of them is what was recorded
    assert shown(stored(database, recording=2).open().values()) == shown(values_of(9))


def test_values_that_are_dropped_while_they_are_read_are_missed(database: Database) -> None:
    # Given a feed that was opened
    fill(database, *values_of(9))
    feed: DbFeed = stored(database).open()
    # When values are dropped before they are read
    database.execute("DELETE FROM qts.tick_data WHERE seq = 5")
    # Then the rest comes, and the loss is said
    values = feed.values()
    assert list(islice(values, 8)) == [value for n, value in enumerate(values_of(9)) if n != 4]
    with pytest.raises(DataError, match="gave 8 values where there were 9"):
        next(values)
