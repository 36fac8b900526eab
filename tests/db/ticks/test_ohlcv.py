"""Bars on real servers: of the finest that a day has, open and close by number, the same from every source."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from qts.clock import NS_PER_S
from qts.db.adapter import END_NS
from qts.db.ticks.tick_store import TickStore
from qts.errors import InputError
from qts.market.contracts import Bar, BookUpdate, Quote
from tests.db.ticks.stores import DAY_START_NS, at, block, store_at, trade
from tests.servers.fixtures import EVERY_POSTGRES, Database
from tests.servers.pglite import PGlite
from tests.servers.sql import execute

D = Decimal
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

VALUES = (
    trade("0", "10.00", "2"),
    trade("0.000000001", "12", "1"),
    # Three trades within a microsecond: the number decides which came first.
    trade("59.9999991", "9.5", "3"),
    trade("59.9999992", "11", "4"),
    Quote("S", at("60"), D("1"), D("2")),
    Quote("S", at("60"), last=D("7"), last_size=D("5"), volume=D("99")),
    Quote("S", at("60"), last=D("6")),
    BookUpdate("S", at("60"), ((D("3"), D("3")),), ()),
    trade("60", "8", "0"),
    trade("86399.999999999", "20", "1"),
    trade("86400", "30", "1"),
)
"""Trades of a day and one of the next: 4 in the first minute, 1 in the second (of a quote), 1 in the last."""


def _bar(begin: int, length: timedelta, prices: str, volume: str, value: str, trades: int, name: str) -> Bar:
    start_ns = DAY_START_NS + begin * NS_PER_S
    ns = length // SECOND * NS_PER_S
    day = "" if length < DAY else ("2026-02-16" if not begin else "2026-02-17")
    numbers = [D(price) for price in prices.split()]
    return Bar("S", start_ns + ns, *numbers, D(volume), name, day, start_ns, D(value), trades)


MINUTES = [
    _bar(0, MINUTE, "10 12 9.5 11", "10", "104.5", 4, "1m"),
    _bar(60, MINUTE, "7 7 7 7", "5", "35", 1, "1m"),
    _bar(86_340, MINUTE, "20 20 20 20", "1", "20", 1, "1m"),
    _bar(86_400, MINUTE, "30 30 30 30", "1", "30", 1, "1m"),
]
DAYS = [
    _bar(0, DAY, "10 20 7 20", "16", "159.5", 6, "1d"),
    _bar(86_400, DAY, "30 30 30 30", "1", "30", 1, "1d"),
]


async def _bars_of_every_source(store: TickStore, url: str) -> None:
    await store.append(block(1, *VALUES))
    # Given ticks: minutes, seconds and days are made of them
    assert await store.ohlcv("S", MINUTE, 0, END_NS) == MINUTES
    assert await store.ohlcv("S", DAY, 0, END_NS) == DAYS
    assert [bar.trades for bar in await store.ohlcv("S", 30 * SECOND, 0, END_NS)] == [2, 2, 1, 1, 1]
    hours = await store.ohlcv("S", 7 * HOUR, 0, END_NS)
    # the last of four bars of 7 hours ends with its day, 3 hours after it began
    assert [(bar.ts_ns - bar.start_ns) // NS_PER_S for bar in hours] == [25_200, 10_800, 25_200]
    assert await store.ohlcv("S", MINUTE, at("60"), at("86340")) == MINUTES[1:2]
    assert await store.ohlcv("X", MINUTE, 0, END_NS) == []
    # When the first day's values are dropped after its bars were made
    execute(url, "SELECT qts.qts_roll_day('2026-02-16'); DELETE FROM qts.tick_data WHERE time < '2026-02-17'")
    # Then the same bars come from its minutes, and none of seconds
    assert await store.ohlcv("S", MINUTE, 0, END_NS) == MINUTES
    assert await store.ohlcv("S", DAY, 0, END_NS) == DAYS
    assert await store.ohlcv("S", 7 * HOUR, 0, END_NS) == hours
    assert [bar.trades for bar in await store.ohlcv("S", 30 * SECOND, 0, END_NS)] == [1]
    # a week has the days of two sources
    (week,) = await store.ohlcv("S", 7 * DAY, 0, END_NS)
    assert (week.open, week.high, week.low, week.close, week.trades) == (10, 30, 7, 30, 7)


@EVERY_POSTGRES
async def test_bars_are_the_same_from_ticks_and_from_minutes(database: Database) -> None:
    async with store_at(database.url) as store:
        await _bars_of_every_source(store, database.url)
        # When the minutes go, too, Then its day has bars of a day alone
        database.execute("DELETE FROM qts.ohlcv_1m")
        assert await store.ohlcv("S", DAY, 0, END_NS) == DAYS
        assert await store.ohlcv("S", MINUTE, 0, END_NS) == MINUTES[3:]


async def test_bars_of_timescale_are_those_of_plain_postgresql(pglite: PGlite) -> None:
    refresh = "CALL refresh_continuous_aggregate('qts.ohlcv_1m', '2026-02-16', '2026-02-18')"
    async with store_at(pglite.url(), afresh=True) as store:
        await store.append(block(1, *VALUES))
        execute(pglite.url(), refresh)
        await _bars_of_every_source(store, pglite.url())


@pytest.mark.parametrize(
    "interval", [timedelta(0), timedelta(milliseconds=500), timedelta(seconds=1.5), timedelta(days=1, hours=1)]
)
async def test_an_interval_that_has_no_place_in_a_day_is_refused(interval: timedelta) -> None:
    async def never() -> None:
        raise AssertionError

    with pytest.raises(InputError, match="allowed are whole seconds up to a day, and whole days beyond"):
        await TickStore(never).ohlcv("S", interval, 0, END_NS)
