"""The sample table: real figures, on the grid, and a clear word about a damaged one."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D

import pytest

from qts.errors import DataError
from qts.market.krx import KrxTicks
from qts.market.sample import DayBar, SampleRow, load_sample, parse_sample, sample_sha256

HEAD = "date,sp500_close,vix_close,open,high,low,close,volume\n"


def row(day: str) -> SampleRow:
    return next(row for row in load_sample() if row.day == date.fromisoformat(day))


def test_the_spike_of_february_2018_is_there() -> None:
    spike = row("2018-02-05")
    assert (spike.sp500, spike.vix) == (2648.94, 37.32)
    assert spike.bar == DayBar(D(38_700), D(40_200), D(38_300), D(39_900), D(28_357_900))
    assert spike.traded


def test_it_covers_five_years_in_order() -> None:
    days = [row.day for row in load_sample()]
    assert (days[0], days[-1], len(days)) == (date(2014, 1, 2), date(2018, 12, 31), 1295)
    assert days == sorted(set(days))
    assert all(day.weekday() < 5 for day in days)


def test_a_closed_market_has_no_figures() -> None:
    assert row("2018-02-19").sp500 is None  # Presidents' Day: only Seoul
    assert row("2018-02-19").vix is None
    assert row("2018-02-16").bar is None  # Lunar New Year: only New York
    assert row("2014-01-02").vix is None  # the VIX series starts a day later


def test_days_without_volume_are_halts() -> None:
    halts = [row.day.isoformat() for row in load_sample() if row.bar is not None and row.bar.is_halt]
    assert halts == ["2015-08-14", "2017-09-26", "2018-04-30", "2018-05-02", "2018-05-03"]
    assert not row("2018-05-02").traded
    assert sum(row.traded for row in load_sample()) == 1220


def test_every_price_is_on_the_grid_inside_the_day_and_inside_the_limits() -> None:
    ticks = KrxTicks()
    base: D | None = None
    for entry in load_sample():
        bar = entry.bar
        if bar is None or bar.is_halt:
            continue
        prices = (bar.open, bar.high, bar.low, bar.close)
        assert all(ticks.is_valid(price, entry.day) for price in prices), entry
        assert bar.high == max(prices), entry
        assert bar.low == min(prices), entry
        assert bar.volume == int(bar.volume), entry
        if base is not None:
            lowest, highest = ticks.band(base, entry.day)
            assert lowest <= bar.low <= bar.high <= highest, entry
        base = bar.close


def test_the_hash_names_the_content() -> None:
    assert len(sample_sha256()) == 64
    assert sample_sha256() == sample_sha256().lower()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "mine.csv: the first line must be date,sp500_close"),
        ("date,open\n", "mine.csv: the first line must be date,sp500_close"),
        (HEAD + "2014-01-02,1,2,3,4,5\n", "mine.csv, line 2"),
        (HEAD + "2014-13-02,1,2,3,4,5,6,7\n", "mine.csv, line 2"),
        (HEAD + "2014-01-02,1,2,3,4,five,6,7\n", "mine.csv, line 2"),
        (HEAD + "2014-01-03,1,2,,,,,\n2014-01-03,1,2,,,,,\n", "mine.csv, line 3: 2014-01-03 must come after"),
    ],
)
def test_a_damaged_table_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_sample(text, "mine.csv")


def test_empty_cells_are_unknown_never_zero() -> None:
    (only,) = parse_sample(HEAD + "2014-01-02,,,,,,,\n", "mine.csv")
    assert (only.sp500, only.vix, only.bar, only.traded) == (None, None, None, False)
