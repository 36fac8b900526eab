"""Bars from KIS: days and minutes over many pages, joined without a gap or a double, and what is missing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, timedelta
from decimal import Decimal as D
from pathlib import Path

import pytest

from qts.broker.kis.history import KisHistory, csv_of, history_of
from qts.clock import NS_PER_S, from_ns, to_ns
from qts.errors import BrokerUnavailable, DataError
from qts.market.bars.opener import open_bars
from qts.market.contracts import Bar
from qts.market.files.feed_opener import AS_IT_IS
from qts.market.krx import KST, KrxCalendar, krx_instrument
from qts.market.series.history import RowHistory
from qts.market.series.intervals import parse_interval
from qts.market.series.wanted import WantedBars
from tests.broker.kis.rig import SYMBOL, Rig, served
from tests.broker.kis.wire import DONE, Answer, Wire
from tests.doubles.kis.charts import Bar as ChartBar

TODAY = date(2026, 10, 20)
FIRST = date(2026, 1, 5)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A Tuesday at 10:00 in Korea."""
    async with served(tmp_path) as found:
        yield found


def history(rig: Rig, *, adjusted: bool = True) -> KisHistory:
    return KisHistory(rig.broker._rest, rig.kis.clock, adjusted=adjusted)


def days_of(first: date, last: date) -> list[str]:
    calendar, day, found = KrxCalendar(), first, []
    while day <= last:
        found += [day.isoformat()] if calendar.is_trading_day(day) else []
        day += timedelta(days=1)
    return found


# -- days


async def test_days_are_read_over_pages_of_a_hundred_each_once_and_oldest_first(rig: Rig) -> None:
    found = await history(rig).days(SYMBOL, FIRST, TODAY)
    assert [bar.day for bar in found.bars] == days_of(FIRST, TODAY - timedelta(days=1))
    assert found.missing == ()
    assert len(found.bars) == 192
    assert len(rig.kis.made("inquire-daily-itemchartprice")) == 2


async def test_a_day_is_known_at_its_close_and_today_is_not_before_it(rig: Rig) -> None:
    rig.kis.market.trade(SYMBOL, 70_100, 5)
    bars = (await history(rig).days(SYMBOL, TODAY - timedelta(days=1), TODAY)).bars
    (bar,) = bars
    assert (bar.day, bar.interval) == ("2026-10-19", "1d")
    assert from_ns(bar.start_ns).astimezone(KST).strftime("%H:%M") == "09:00"
    assert from_ns(bar.ts_ns).astimezone(KST).strftime("%H:%M") == "15:30"
    rig.kis.clock.jump_to(rig.kis.clock.at("15:31"))
    assert [bar.day for bar in (await history(rig).days(SYMBOL, TODAY, TODAY)).bars] == ["2026-10-20"]


async def test_prices_and_volume_are_exact(rig: Rig) -> None:
    rig.kis.charts.put(SYMBOL, ChartBar("20261019", 70_000, 70_500, 69_900, 70_100, 1_234_567, 86_000_000_000))
    (bar,) = (await history(rig, adjusted=False).days(SYMBOL, date(2026, 10, 19), date(2026, 10, 19))).bars
    assert (bar.open, bar.high, bar.low, bar.close) == (D(70_000), D(70_500), D(69_900), D(70_100))
    assert (bar.volume, bar.value) == (D(1_234_567), D(86_000_000_000))


async def test_days_before_a_split_are_adjusted_or_raw(rig: Rig) -> None:
    rig.kis.charts.splits[SYMBOL] = [("20261016", 50)]
    before, day = date(2026, 10, 15), "20261015"
    raw = (await history(rig, adjusted=False).days(SYMBOL, before, before)).bars[0]
    adjusted = (await history(rig).days(SYMBOL, before, before)).bars[0]
    assert raw.close == D(rig.kis.charts.past(SYMBOL)[day].close)
    assert adjusted.close == D(rig.kis.charts.past(SYMBOL)[day].close // 50)


async def test_days_without_a_bar_are_named(rig: Rig) -> None:
    past = rig.kis.charts.past(SYMBOL)
    del past["20261014"]  # KIS does not know it
    past["20261015"] = past["20261015"]._replace(volume=0)  # halted
    found = await history(rig).days(SYMBOL, date(2026, 10, 12), date(2026, 10, 19))
    assert [bar.day for bar in found.bars] == ["2026-10-12", "2026-10-13", "2026-10-16", "2026-10-19"]
    assert found.missing == (date(2026, 10, 14), date(2026, 10, 15))


async def test_days_before_a_symbol_was_listed_are_missing_and_end_the_reading(rig: Rig) -> None:
    past = rig.kis.charts.past(SYMBOL)
    for name in [name for name in past if name < "20260901"]:
        del past[name]
    found = await history(rig).days(SYMBOL, date(2026, 8, 27), TODAY)
    assert found.bars[0].day == "2026-09-01"
    assert found.missing == (date(2026, 8, 27), date(2026, 8, 28), date(2026, 8, 31))


async def test_a_time_without_any_bar_is_refused(rig: Rig) -> None:
    with pytest.raises(DataError, match="no daily bar of 005930 from 2026-10-17 to 2026-10-18"):
        await history(rig).days(SYMBOL, date(2026, 10, 17), date(2026, 10, 18))  # a weekend


async def test_a_symbol_that_is_none_is_not_answered(rig: Rig) -> None:
    with pytest.raises(BrokerUnavailable, match="cannot list the days of 999999"):
        await history(rig).days("999999", FIRST, TODAY)


def day_row(day: str, close: str = "100") -> dict[str, str]:
    return {
        "stck_bsop_date": day, "stck_oprc": "100", "stck_hgpr": "110", "stck_lwpr": "90", "stck_clpr": close,
        "acml_vol": "5", "acml_tr_pbmn": "500",
    }  # fmt: skip


async def test_pages_that_do_not_meet_are_no_list(tmp_path: Path) -> None:
    """As where a page ends a day earlier than it was asked to: a day would be missing unseen."""
    async with Wire() as wire:
        wire.answers.clear()
        wire.answers.append(Answer({**DONE, "output2": [day_row("20261019"), day_row("20261016")]}))
        wire.answers.append(Answer({**DONE, "output2": [day_row("20261014"), day_row("20261013")]}))
        with pytest.raises(BrokerUnavailable, match="two pages of bars of 005930 do not meet at 2026-10-16"):
            await KisHistory(wire.rest(tmp_path), wire.clock).days(SYMBOL, date(2026, 10, 1), TODAY)


@pytest.mark.parametrize("close", ["120", "0", "", "x"])
async def test_prices_that_contradict_each_other_are_no_bar(tmp_path: Path, close: str) -> None:
    async with Wire() as wire:
        wire.answers.clear()
        wire.answers.append(Answer({**DONE, "output2": [day_row("20261019", close), {}]}))
        with pytest.raises(BrokerUnavailable, match="the bar of 005930 on 2026-10-19 in an answer of KIS"):
            await KisHistory(wire.rest(tmp_path), wire.clock).days(SYMBOL, date(2026, 10, 1), TODAY)


# -- minutes


def minute_bars(rig: Rig, count: int) -> list[ChartBar]:
    """Bars of the last ``count`` minutes before 10:00, each with a volume of its own."""
    begin = rig.kis.clock.at("10:00") - timedelta(minutes=count)
    names = [f"{begin + timedelta(minutes=number):%H%M}00" for number in range(count)]
    return [ChartBar(name, 70_000, 70_100, 69_900, 70_000, number + 1, 70_000) for number, name in enumerate(names)]


async def test_minutes_are_read_over_pages_of_thirty_each_once_and_oldest_first(rig: Rig) -> None:
    rig.kis.charts.put_minutes(SYMBOL, "20261020", *minute_bars(rig, 60))
    found = await history(rig).minutes(SYMBOL)
    assert [bar.volume for bar in found] == [D(number) for number in range(1, 61)]
    assert [one.ts_ns for one in found[:-1]] == [one.start_ns for one in found[1:]]
    first = found[0]
    assert from_ns(first.start_ns).astimezone(KST).strftime("%H:%M") == "09:00"
    assert (first.ts_ns - first.start_ns, first.interval, first.day) == (60 * NS_PER_S, "1m", "2026-10-20")
    assert len(rig.kis.made("inquire-time-itemchartprice")) == 4


async def test_the_minute_that_still_runs_is_left_out(rig: Rig) -> None:
    rig.kis.charts.put_minutes(SYMBOL, "20261020", *minute_bars(rig, 2))
    rig.kis.market.trade(SYMBOL, 70_100, 5)  # at 10:00:00
    assert len(await history(rig).minutes(SYMBOL)) == 2
    rig.kis.clock.jump(timedelta(seconds=60))
    assert len(await history(rig).minutes(SYMBOL)) == 3


async def test_minutes_without_a_trade_have_no_bar_and_are_no_gap(rig: Rig) -> None:
    bars = minute_bars(rig, 50)
    rig.kis.charts.put_minutes(SYMBOL, "20261020", *bars[:5], *bars[40:])
    assert [bar.volume for bar in await history(rig).minutes(SYMBOL)] == [
        D(n) for n in (*range(1, 6), *range(41, 51))
    ]


async def test_before_the_first_trade_there_are_none(rig: Rig) -> None:
    assert list(await history(rig).minutes(SYMBOL)) == []


async def test_minutes_of_another_day_are_not_taken(tmp_path: Path) -> None:
    """KIS fills a page up with those of the day before."""
    async with Wire() as wire:
        prices = {"stck_oprc": "100", "stck_hgpr": "110", "stck_lwpr": "90", "stck_prpr": "100", "cntg_vol": "1"}
        rows = [
            {"stck_bsop_date": day, "stck_cntg_hour": hour, **prices}
            for day, hour in (("20261020", "090100"), ("20261020", "090000"), ("20261019", "153000"))
        ]
        wire.answers.clear()
        wire.answers.append(Answer({**DONE, "output2": rows}))
        found = await KisHistory(wire.rest(tmp_path), wire.clock).minutes(SYMBOL)
        assert [bar.day for bar in found] == ["2026-10-20"] * 2


# -- for a session


async def read(rig: Rig, wanted: list[WantedBars], before_ns: int) -> RowHistory:
    bars = await history(rig).rows(wanted, [SYMBOL], before_ns)
    return history_of(bars, wanted, {SYMBOL: krx_instrument(SYMBOL)}, before_ns)


async def test_a_session_is_given_the_bars_that_it_wants(rig: Rig) -> None:
    # Given strategies that want 5 bars of a day, 3 of a week and 4 of five minutes
    rig.kis.charts.put_minutes(SYMBOL, "20261020", *minute_bars(rig, 60))
    wanted = [WantedBars(parse_interval(name), n) for name, n in (("5m", 4), ("1d", 5), ("1w", 3))]
    before_ns = rig.kis.clock.time_ns()
    found = await read(rig, wanted, before_ns)
    # Then all of them are there, oldest first, and over
    days = found.bars(SYMBOL, "1d", 5, before_ns)
    assert [bar.day for bar in days] == days_of(date(2026, 10, 13), date(2026, 10, 19))
    assert [bar.volume for bar in found.bars(SYMBOL, "5m", 4, before_ns)] == [D(215), D(240), D(265), D(290)]
    weeks = found.bars(SYMBOL, "1w", 3, before_ns)
    assert [bar.ts_ns for bar in weeks] == sorted(bar.ts_ns for bar in weeks)
    assert all(bar.ts_ns <= before_ns for bar in (*days, *weeks))
    assert [(one.interval, one.missing) for one in found.origins()] == [("5m", 0), ("1d", 0), ("1w", 0)]


async def test_what_is_too_little_is_told_by_symbol_and_interval(rig: Rig) -> None:
    rig.kis.charts.put_minutes(SYMBOL, "20261020", *minute_bars(rig, 12))
    wanted = [WantedBars(parse_interval("1m"), 200)]
    found = await read(rig, wanted, rig.kis.clock.time_ns())
    assert [(one.symbol, one.interval, one.found, one.missing) for one in found.origins()] == [
        (SYMBOL, "1m", 12, 188)
    ]


# -- files


async def test_a_file_of_days_is_read_back_as_the_same_bars(rig: Rig, tmp_path: Path) -> None:
    found = (await history(rig).days(SYMBOL, date(2026, 9, 1), TODAY)).bars
    file = tmp_path / f"{SYMBOL}.csv"
    file.write_text(csv_of(found))
    read = [
        value for value in open_bars([file], currency=None, read_as=AS_IT_IS).values() if isinstance(value, Bar)
    ]
    assert [(bar.day, bar.ts_ns, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in read] == [
        (bar.day, bar.ts_ns, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in found
    ]


def test_a_file_of_minutes_names_the_offset_of_seoul() -> None:
    start = to_ns(KrxCalendar().at(TODAY, 9, 0))
    prices = [D(100), D(110), D(90), D(105)]
    bar = Bar(SYMBOL, start + 60 * NS_PER_S, *prices, D(7), "1m", "2026-10-20", start_ns=start)
    assert csv_of([bar]) == "Date,Open,High,Low,Close,Volume\n2026-10-20 09:00:00+09:00,100,110,90,105,7\n"
