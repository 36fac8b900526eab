"""Series merged by time: complete, in order, and from any place on the same."""

from __future__ import annotations

import itertools
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.errors import DataError
from qts.market.bars.columns import BarColumns
from qts.market.bars.feed import BarFeed
from qts.market.files.refusals import Refusals

DAY = 738_000


def series(symbol: str, times: list[int]) -> BarColumns:
    """One bar at each of ``times``, whose close is the time in hundredths."""
    prices = array("q", times)
    days = array("l", [DAY] * len(times))
    return BarColumns(symbol, "1m", array("q", times), days, (prices,) * 4, 2, array("q", times), 0)


def feed_of(times: list[list[int]]) -> BarFeed:
    every = [series(f"S{number}", one) for number, one in enumerate(times)]
    return BarFeed("bars", "bars:1", every, {}, Refusals(), ())


UNIVERSE = st.lists(
    st.lists(st.integers(-300, 300), min_size=1, max_size=90, unique=True).map(sorted), min_size=1, max_size=5
)


@given(UNIVERSE)
def test_every_bar_is_given_once_by_time_and_at_one_time_by_symbol(times: list[list[int]]) -> None:
    feed = feed_of(times)
    given_values = [(value.ts_ns, value.symbol) for value in feed.values()]
    assert given_values == sorted((time, f"S{number}") for number, one in enumerate(times) for time in one)
    assert feed.progress() == 1.0
    assert list(feed.values()) == []


@given(UNIVERSE, st.integers(0, 450))
def test_a_second_pull_and_a_resumed_feed_go_on_after_the_last_bar(times: list[list[int]], taken: int) -> None:
    whole = list(feed_of(times).values())
    feed = feed_of(times)
    before = list(itertools.islice(feed.values(), taken))
    other = feed_of(times)
    other.resume(feed.position())
    assert before + list(feed.values()) == whole
    assert before + list(other.values()) == whole


def test_a_position_of_other_files_is_refused() -> None:
    feed = feed_of([[1]])
    for position in ({"source_id": "bars:2"}, {"source_id": "bars:1"}, {"source_id": "bars:1", "ns": "x"}):
        with pytest.raises(DataError, match="position"):
            feed.resume(position)
    assert len(list(feed.values())) == 1, "it is where it was"
