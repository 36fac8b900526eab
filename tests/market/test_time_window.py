"""A window of days over a feed: the same values, no others, named as an input of its own."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from qts.clock import from_ns
from qts.errors import DataError, InputError
from qts.market.bars.opener import open_bars
from qts.market.contracts import Feed
from qts.market.demo_feed import DemoFeed
from qts.market.feed_view import reread
from qts.market.files.reading import ReadAs
from qts.market.flat_costs import FlatCosts
from qts.market.time_window import TimeWindow
from tests.sim.daily_bars import trading_days, write_bars

FIRST, LAST = date(2018, 1, 22), date(2018, 1, 23)


def days_of(feed: Feed) -> list[date]:
    calendar = next(iter(feed.instruments.values())).calendar
    return sorted({calendar.local_date(from_ns(value.ts_ns)) for value in feed.values()})


def test_a_window_gives_the_values_of_its_days_and_no_others() -> None:
    # Given five years of values, when two days of them are asked for
    inside = list(TimeWindow(DemoFeed(seed=7), FIRST, LAST).values())
    # Then they are those of the whole feed, in its order
    calendar = next(iter(DemoFeed(seed=7).instruments.values())).calendar
    expected = [
        value for value in DemoFeed(seed=7).values() if FIRST <= calendar.local_date(from_ns(value.ts_ns)) <= LAST
    ]
    assert inside == expected
    assert days_of(TimeWindow(DemoFeed(seed=7), FIRST, LAST)) == [FIRST, LAST]


def test_a_side_without_a_bound_is_open() -> None:
    days = days_of(TimeWindow(DemoFeed(seed=7), None, date(2014, 1, 10)))
    assert (days[0], days[-1]) == (days_of(DemoFeed(seed=7))[0], date(2014, 1, 10))
    assert days_of(TimeWindow(DemoFeed(seed=7), date(2018, 12, 27), None))[0] == date(2018, 12, 27)


def test_a_window_goes_on_where_it_was_left() -> None:
    # Given a window that was left after ten values
    window = TimeWindow(DemoFeed(seed=7), FIRST, LAST)
    values = window.values()
    taken = [next(values) for _ in range(10)]
    # When another one resumes at its position
    resumed = TimeWindow(DemoFeed(seed=7), FIRST, LAST)
    resumed.resume(window.position())
    # Then both together are the whole
    assert [*taken, *resumed.values()] == list(TimeWindow(DemoFeed(seed=7), FIRST, LAST).values())


def test_another_window_is_another_input() -> None:
    names = {
        TimeWindow(DemoFeed(seed=7), first, last).source_id
        for first, last in ((None, None), (FIRST, None), (None, LAST), (FIRST, LAST))
    }
    assert len(names) == 4


def test_an_empty_window_says_what_there_is() -> None:
    with pytest.raises(InputError, match="--from 2018-01-23 is after --to 2018-01-22"):
        TimeWindow(DemoFeed(seed=7), LAST, FIRST)
    with pytest.raises(DataError, match=r"has no value from 2030-01-01 to the end; a value was seen on 20\d\d-"):
        list(TimeWindow(DemoFeed(seed=7), date(2030, 1, 1), None).values())


def test_bars_in_memory_are_read_again_through_every_view_without_their_file(tmp_path: Path) -> None:
    # Given a window and costs over a file of bars, of which the first values are taken
    file = write_bars(tmp_path / "005930.csv", trading_days()[:30])
    day = date.fromisoformat(trading_days()[10][0])
    feed = FlatCosts(TimeWindow(open_bars([file], currency=None, read_as=ReadAs()), day, None), Decimal("0.001"))
    values = list(feed.values())
    # When the file is gone and the feed is read again
    file.unlink()
    again = reread(feed)
    # Then it is the same input from its beginning, with the same window and costs
    assert again is not None
    assert (again.source_id, list(again.values())) == (feed.source_id, values)
    assert len(values) == 20
    assert again.instruments["005930"].costs.fee(Decimal(1_000), day) == 1
    # And an input that is not in memory has to be opened
    assert reread(TimeWindow(DemoFeed(seed=7), FIRST, LAST)) is None
