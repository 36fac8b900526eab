"""When a bar began and to which session an order belongs that waits for one."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from qts.broker.sim.bar_times import (
    NO_BAR,
    LastBar,
    bar_day,
    began_ns,
    is_whole_life,
    order_end_ns,
    overlaps,
    session_day,
    start_ns,
)
from qts.broker.sim.session_times import SessionTimes
from qts.clock import NS_PER_MS, NS_PER_S, to_ns
from qts.market.contracts import Bar
from qts.market.generic import AlwaysOpen
from qts.market.krx import KrxCalendar
from qts.market.series.intervals import length_ns, whole_second

from .exchange_rig import kst

ONE = Decimal(1)
KRX, COINS = SessionTimes(KrxCalendar()), SessionTimes(AlwaysOpen())


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def bar(end: datetime, interval: str = "1d", day: str = "", ms: int = 0) -> Bar:
    return Bar("S", to_ns(end) + ms * NS_PER_MS, ONE, ONE, ONE, ONE, ONE, interval, day)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("5m", 300),
        ("4h", 14_400),
        ("1d", 86_400),
        ("1w", 604_800),
        ("1M", None),
        ("", None),
        ("0m", None),
    ],
)
def test_an_interval_is_a_count_and_a_unit(text: str, seconds: int | None) -> None:
    assert length_ns(text) == (None if seconds is None else seconds * NS_PER_S)


def test_a_daily_bar_begins_with_the_session_of_its_day_whenever_it_is_known() -> None:
    opening = kst("2018-01-22 09:00:00")
    assert start_ns(bar(kst("2018-01-22 15:30:00")), KRX) == to_ns(opening)
    assert start_ns(bar(kst("2018-01-23 08:30:00"), day="2018-01-22"), KRX) == to_ns(opening)


def test_on_the_first_day_of_a_year_the_session_begins_an_hour_later() -> None:
    assert start_ns(bar(kst("2018-01-02 15:30:00")), KRX) == to_ns(kst("2018-01-02 10:00:00"))


def test_where_the_calendar_knows_no_session_a_daily_bar_begins_at_midnight() -> None:
    assert start_ns(bar(kst("2018-01-21 15:30:00")), KRX) == to_ns(kst("2018-01-21 00:00:00"))


@pytest.mark.parametrize("ms", [0, -1])
def test_a_daily_bar_of_a_market_that_never_closes_is_its_utc_day(ms: int) -> None:
    """Sources write its end as midnight or as the last millisecond before it."""
    whole = bar(utc("2024-08-09 00:00:00"), ms=ms)
    assert start_ns(whole, COINS) == to_ns(utc("2024-08-08 00:00:00"))
    assert start_ns(bar(utc("2024-08-09 05:00:00"), day="2024-08-08"), COINS) == to_ns(utc("2024-08-08 05:00:00"))
    assert bar_day(whole, COINS).isoformat() == "2024-08-08"


@pytest.mark.parametrize("ms", [0, -1])
def test_a_shorter_bar_begins_its_interval_before_its_end(ms: int) -> None:
    assert start_ns(bar(utc("2024-08-08 12:05:00"), "5m", ms=ms), COINS) == to_ns(utc("2024-08-08 12:00:00"))


def test_the_last_bar_of_a_session_may_be_shorter_than_its_interval() -> None:
    """Given hours from 9 to 15:30: the last one began when the one before it had ended, not at 14:30."""
    last = bar(kst("2018-01-22 15:30:00"), "1h")
    before = LastBar(to_ns(kst("2018-01-22 15:00:00")), "1h")
    assert began_ns(last, KRX, before) == before.end_ns
    assert began_ns(last, KRX, NO_BAR) == to_ns(kst("2018-01-22 14:30:00"))


def test_an_interval_that_cannot_be_read_began_with_the_bar_before_it_or_is_not_known() -> None:
    month = bar(kst("2018-01-31 15:30:00"), "1M")
    before = LastBar(to_ns(kst("2017-12-28 15:30:00")), "1M")
    assert began_ns(month, KRX, before) == before.end_ns
    assert began_ns(month, KRX, NO_BAR) is None


def test_a_bar_that_covers_what_finer_bars_have_shown_did_not_begin() -> None:
    day = bar(kst("2018-01-22 15:30:00"))
    minute = LastBar(to_ns(kst("2018-01-22 15:29:00")), "1m")
    assert overlaps(day, KRX, minute)
    assert began_ns(day, KRX, minute) is None
    assert not overlaps(
        bar(kst("2018-01-22 09:01:00"), "1m"), KRX, LastBar(to_ns(kst("2018-01-19 15:30:00")), "1d")
    )


def test_a_second_bar_of_the_same_moment_did_not_begin() -> None:
    one = bar(utc("2024-08-08 12:05:00"), "5m")
    assert began_ns(one, COINS, LastBar(one.ts_ns, "5m")) is None


@pytest.mark.parametrize(
    ("entered", "day"),
    [
        ("2018-01-22 08:40:00", "2018-01-22"),
        ("2018-01-22 15:29:59", "2018-01-22"),
        ("2018-01-22 15:30:00", "2018-01-23"),  # Monday's close
        ("2018-01-26 15:30:00", "2018-01-29"),  # over a weekend
        ("2018-01-27 12:00:00", "2018-01-29"),
    ],
)
def test_an_order_belongs_to_the_session_in_which_it_can_first_fill(entered: str, day: str) -> None:
    assert session_day(KRX, to_ns(kst(entered))).isoformat() == day


def test_an_order_of_a_market_that_never_closes_belongs_to_the_day_that_begins() -> None:
    midnight = to_ns(utc("2024-08-09 00:00:00"))
    assert session_day(COINS, midnight).isoformat() == "2024-08-09"
    assert session_day(COINS, midnight - NS_PER_MS).isoformat() == "2024-08-09"
    assert session_day(COINS, midnight - NS_PER_S).isoformat() == "2024-08-08"


@pytest.mark.parametrize(
    ("times", "interval", "end"),
    [
        (KRX, "1m", kst("2018-01-23 15:30:00")),  # the close of its session
        (KRX, "1d", kst("2018-01-23 15:30:00")),
        (KRX, "1w", kst("2018-02-05 15:30:00")),  # twice a bar, in case no other comes
        (KRX, "1mo", kst("2018-03-25 15:30:00")),
        (COINS, "1h", kst("2018-01-23 15:30:00")),  # a day later
        (COINS, "1d", kst("2018-02-06 15:30:00")),  # longer than any holiday of a stock exchange
    ],
)
def test_an_order_ends_with_its_session_or_where_bars_are_longer_with_the_next(
    times: SessionTimes, interval: str, end: datetime
) -> None:
    entered = to_ns(kst("2018-01-22 15:30:00"))
    assert order_end_ns(times, entered, session_day(times, entered), interval) == to_ns(end)


def test_a_bar_of_a_day_or_longer_is_the_whole_life_of_an_order() -> None:
    assert [is_whole_life(interval) for interval in ("1s", "4h", "1d", "1w", "1mo")] == [
        False,
        False,
        True,
        True,
        True,
    ]


def test_seconds_are_rounded_up() -> None:
    assert [whole_second(ns) for ns in (0, 1, NS_PER_S, NS_PER_S + 1)] == [0, NS_PER_S, NS_PER_S, 2 * NS_PER_S]
