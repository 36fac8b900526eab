"""Dates and times in the forms of vendors; what is none of them is no date."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.clock import to_ns
from qts.market.bars.dates import DAY_FIRST, MONTH_FIRST, Stamp, is_date, order_shown, stamp_of

MIDNIGHT = to_ns(datetime(2024, 1, 2, tzinfo=UTC))
MORNING = to_ns(datetime(2024, 1, 2, 9, 30, tzinfo=UTC))


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-02",
        "20240102",
        "2024/1/2",
        "2024.01.02",
        "2024. 01. 02.",
        "Jan 02, 2024",
        "02-Jan-2024",
        "2 January 2024",
    ],
)
def test_a_date_is_a_midnight_of_an_unknown_zone(text: str) -> None:
    assert stamp_of(text) == Stamp(MIDNIGHT, None)


@pytest.mark.parametrize("text", ["2024-01-02 09:30", "2024-01-02T09:30:00", "20240102 093000", "20240102093000"])
def test_a_time_without_an_offset_is_a_wall_clock(text: str) -> None:
    assert stamp_of(text) == Stamp(MORNING, None)


def test_an_offset_and_a_count_since_1970_give_utc() -> None:
    hour = 3_600 * 10**9
    assert stamp_of("2024-01-02 09:30:00-05:00") == Stamp(MORNING, MORNING + 5 * hour)
    assert stamp_of("2024-01-02T09:30:00.000Z") == Stamp(MORNING, MORNING)
    seconds = MORNING // 10**9
    for count in (seconds, seconds * 10**3, seconds * 10**6, seconds * 10**9):
        assert stamp_of(f"{count}") == Stamp(MORNING, MORNING)


def test_which_of_day_and_month_is_first_shows_above_twelve_alone() -> None:
    assert (order_shown("13/04/2024"), order_shown("04/13/2024"), order_shown("04/03/2024")) == (
        DAY_FIRST,
        MONTH_FIRST,
        "",
    )
    with pytest.raises(ValueError, match="no date"):
        stamp_of("03/04/2024")


@given(st.dates(date(1900, 1, 1), date(2199, 12, 31)))
def test_every_form_of_a_day_is_that_day(day: date) -> None:
    stamp = Stamp((day - date(1970, 1, 1)).days * 86_400 * 10**9, None)
    assert stamp_of(f"{day}") == stamp_of(f"{day:%Y%m%d}") == stamp
    assert stamp_of(f"{day.day:02}.{day.month:02}.{day.year}", DAY_FIRST) == stamp
    assert stamp_of(f"{day.month}/{day.day}/{day.year}", MONTH_FIRST) == stamp


@pytest.mark.parametrize(
    "text", ["", "Total", "2024-13-01", "2024-02-30", "2024-01-02 25:00", "12", "2300-01-01", "45293"]
)
def test_anything_else_is_no_date(text: str) -> None:
    assert not is_date(text)
