"""What a server has from before a session: as far back as bars need it, of all symbols in the order of time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

import asyncpg
import pytest

from qts.clock import NS_PER_S, to_ns
from qts.db.ticks.stored_rows import RowsOfServer, at_close, find_rows, one_to_a_close
from qts.db.ticks.tick_store import TickStore
from qts.errors import DataError
from qts.market.contracts import Bar, Instrument, MarketValue
from qts.market.files.symbols import Grid, SymbolTable, instrument_maker
from qts.market.krx import KrxCalendar
from qts.market.series.sessions import Sessions
from qts.market.series.wanted import wanted_bars
from tests.db.ticks.stores import at, block, shown, trade
from tests.servers.fixtures import Database

D = Decimal
DAY_S = 86_400
FIRST, SECOND = (1 << 40) + 1, (2 << 40) + 1
"""Numbers of the first values of two recordings."""


def store_of(database: Database) -> partial[TickStore]:
    return partial(TickStore, lambda: asyncpg.connect(database.url))


def fill(database: Database, *values: MarketValue, first: int = FIRST) -> None:
    async def append() -> None:
        store = store_of(database)()
        await store.append(block(first, *values))
        await store.close()

    asyncio.run(append())


def instruments(*symbols: str) -> Mapping[str, Instrument]:
    table = SymbolTable(instrument_maker("USDT"))
    table.prepare({symbol: Grid().steps() for symbol in symbols})
    return table.instruments


def found(
    database: Database, declared: dict[str, int], seconds: str, symbols: tuple[str, ...] = ("S",)
) -> RowsOfServer | None:
    """Return what is found from before a session that begins so many seconds after the start of the first day."""
    wanted = wanted_bars(declared, (), "bars")
    return find_rows(store_of(database), "test", wanted, instruments(*symbols), at(seconds))


def values_of(rows: RowsOfServer | None) -> list[str]:
    assert rows is not None
    return shown(value for source in rows.sources() for value in source.values)


def test_values_reach_back_as_far_as_the_bars_need(book_database: Database) -> None:
    # Given a trade a minute in the first half hour of each of six days, and a session at the end of the sixth
    trades = [
        trade(f"{DAY_S * day + 60 * minute}", f"1{day}.{minute:02d}") for day in range(6) for minute in range(30)
    ]
    fill(book_database, *trades)
    end = str(DAY_S * 6)
    # Then 20 bars of a minute need one day of them, 50 two, and a number of trades everything
    assert values_of(found(book_database, {"1m": 20}, end)) == shown(trades[-30:])
    assert values_of(found(book_database, {"1m": 50}, end)) == shown(trades[-60:])
    assert values_of(found(book_database, {"10t": 1}, end)) == shown(trades)
    # and nothing of the session itself is among them
    assert values_of(found(book_database, {"1m": 5}, "60.000001")) == shown(trades[:2])
    assert values_of(found(book_database, {"1m": 5}, "60")) == shown(trades[:1])
    assert found(book_database, {"1m": 5}, "0") is None


def test_values_of_all_symbols_come_in_the_order_of_time(book_database: Database) -> None:
    # Given trades of three symbols by turns, of which one is not in the session
    names = ["A", "B", "X"]
    trades = [trade(str(n), f"{n + 1}", symbol=names[n % 3]) for n in range(1_200)]
    fill(book_database, *trades)
    # Then those of the two come in the order of time
    rows = found(book_database, {"1m": 5}, "1200", ("A", "B"))
    assert values_of(rows) == shown(one for one in trades if one.symbol != "X")


def test_of_recordings_that_overlap_the_newest_is_taken(book_database: Database) -> None:
    # Given a recording of two days, and a later one of the second day
    old = [trade("10", "1"), trade("20", "2"), trade(f"{DAY_S + 10}", "3")]
    new = [trade(f"{DAY_S + 5}", "7"), trade(f"{DAY_S + 15}", "8")]
    fill(book_database, *old)
    fill(book_database, *new, first=SECOND)
    # Then only the later one is read: together they are no market
    assert values_of(found(book_database, {"1d": 9}, str(2 * DAY_S))) == shown(new)


def test_the_name_is_that_of_the_content(book_database: Database) -> None:
    # Given a trade on each of two days
    fill(book_database, trade("10", "1"), trade(f"{DAY_S + 10}", "2"))

    def name() -> str:
        rows = found(book_database, {"1d": 9}, str(2 * DAY_S))
        assert rows is not None
        return rows.source_id

    # Then its name is the same each time, and another when a value differs in one digit or became a bar
    first = name()
    assert name() == first
    book_database.execute("UPDATE qts.tick_data SET price = 1.0 WHERE price = 1")
    other = name()
    book_database.execute("SELECT qts.qts_roll_day('2026-02-16'); DELETE FROM qts.tick_data WHERE price = 1")
    assert len({first, other, name()}) == 3


def test_values_that_are_dropped_before_they_are_read_are_missed(book_database: Database) -> None:
    fill(book_database, trade("10", "1"), trade("20", "2"))
    rows = found(book_database, {"1d": 9}, str(DAY_S))
    assert rows is not None
    book_database.execute("DELETE FROM qts.tick_data WHERE price = 2")
    with pytest.raises(DataError, match="test gave 1 values from before the session where there were 2"):
        values_of(rows)


def minute(clock: str, price: int) -> Bar:
    """A bar of a minute of KRX on a Friday, which begins at ``clock`` (UTC)."""
    start_ns = to_ns(datetime.fromisoformat(f"2026-01-23T{clock}:00").replace(tzinfo=UTC))
    prices = D(price), D(price + 5), D(price - 5), D(price)
    return Bar("005930", start_ns + 60 * NS_PER_S, *prices, D(10), "1m", "", start_ns, D(1_000), 3)


def test_trades_after_the_close_are_in_the_last_minute_of_the_session() -> None:
    # Given bars before the close of 15:30 (06:30 UTC), and one of the closing auction
    sessions = Sessions(KrxCalendar())
    last, auction = minute("06:29", 100), minute("06:30", 110)
    # Then the auction is in the last bar of the session, or the only thing in it
    merged = Bar("005930", last.ts_ns, D(100), D(115), D(95), D(110), D(20), "1m", "", last.start_ns, D(2_000), 6)
    assert one_to_a_close([minute("06:28", 90), last, auction], sessions) == [minute("06:28", 90), merged]
    (alone,) = one_to_a_close([auction], sessions)
    assert (alone.start_ns, alone.ts_ns, alone.close) == (last.start_ns, last.ts_ns, D(110))


def test_a_bar_of_a_day_is_known_at_the_close_of_its_session() -> None:
    midnight = to_ns(datetime(2026, 1, 23, tzinfo=UTC))
    prices = (D(1), D(2), D(1), D(2))
    bar = Bar("005930", midnight + DAY_S * NS_PER_S, *prices, D(10), "1d", "2026-01-23", midnight)
    told = at_close(bar, Sessions(KrxCalendar()))
    assert told.ts_ns == minute("06:29", 1).ts_ns
    assert (told.start_ns, told.day) == (midnight, "2026-01-23")  # the open is at 09:00, midnight UTC
