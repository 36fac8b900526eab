"""Windows of finished bars: each bar once, the last n, read-only views, floats."""

from __future__ import annotations

from array import array
from decimal import Decimal

import pytest

from qts.errors import ContractError
from qts.market.contracts import Bar
from qts.market.series.book import SeriesBook
from qts.market.series.wanted import MOST_BARS, WantedBars, wanted_bars

from .samples import SAMSUNG

ONE = Decimal(1)


def bar(number: int, interval: str = "1m", symbol: str = SAMSUNG) -> Bar:
    price = Decimal(number)
    return Bar(symbol, number * 60 + 60, price, price + 2, price - 1, price + 1, ONE, interval, "", number * 60)


def book(*wanted: WantedBars) -> SeriesBook:
    return SeriesBook(wanted or wanted_bars({"1m": 3}, (), "bars"))


def test_the_last_bars_are_given_the_oldest_first() -> None:
    bars = book()
    for number in range(1, 50):
        assert bars.add(bar(number))

    assert [one.open for one in bars.last(SAMSUNG, "1m", 3)] == [47, 48, 49]
    assert [one.open for one in bars.last(SAMSUNG, "1m", 2)] == [48, 49]
    assert bars.count(SAMSUNG, "1m") == 3


def test_fewer_are_given_while_there_are_fewer_and_none_of_a_symbol_that_had_none() -> None:
    bars = book()
    bars.add(bar(1))

    assert len(bars.last(SAMSUNG, "1m", 3)) == 1
    assert len(bars.last("000660", "1m", 3)) == 0
    assert list(bars.last("000660", "1m", 3).closes) == []


def test_columns_are_floats_and_belong_to_the_caller() -> None:
    bars = book()
    for number in range(1, 5):
        bars.add(bar(number))
    series = bars.last(SAMSUNG, "1m", 3)

    closes = series.closes
    closes[0] = 99.0

    assert series.opens == array("d", [2, 3, 4])
    assert series.highs == array("d", [4, 5, 6])
    assert series.lows == array("d", [1, 2, 3])
    assert series.closes == array("d", [3, 4, 5])
    assert series.volumes == array("d", [1, 1, 1])


def test_a_view_stays_as_it_was_when_it_was_asked_for() -> None:
    # Given a view whose columns were not looked at
    bars = book()
    for number in range(1, 4):
        bars.add(bar(number))
    series = bars.last(SAMSUNG, "1m", 3)
    seen = bars.last(SAMSUNG, "1m", 3)
    assert seen.closes == array("d", [2, 3, 4])

    # When bars follow, few and then so many that the window is cut
    for number in range(4, 60):
        bars.add(bar(number))
        assert series.closes == seen.closes == array("d", [2, 3, 4])
        assert bars.last(SAMSUNG, "1m", 2).closes == array("d", [number, number + 1])

    # Then it is the same
    assert [one.open for one in series] == [1, 2, 3]
    assert (series[-1].open, series[:2]) == (3, [bar(1), bar(2)])


def test_a_bar_is_in_once_and_in_order() -> None:
    bars = book()

    assert [bars.add(bar(number)) for number in (1, 2, 2, 1, 3)] == [True, True, False, False, True]
    assert [one.open for one in bars.last(SAMSUNG, "1m", 3)] == [1, 2, 3]


def test_a_day_from_a_file_and_the_same_day_from_a_feed_that_knows_it_later_are_one() -> None:
    bars = book(*wanted_bars({"1d": 3}, (), "bars"))
    first = Bar(SAMSUNG, 100, ONE, ONE, ONE, ONE, ONE, "1d", "2024-03-04", 40)
    later = Bar(SAMSUNG, 170, ONE, ONE, ONE, ONE, ONE, "1d", "2024-03-04", 40)

    assert [bars.add(first), bars.add(later)] == [True, False]


def test_bars_of_trades_may_end_at_one_nanosecond() -> None:
    bars = book(*wanted_bars({"5v": 3}, (), "bars"))
    same = [Bar(SAMSUNG, 100, ONE, ONE, ONE, ONE, ONE, "5v", "", 100) for _ in range(2)]

    assert [bars.add(one) for one in same] == [True, True]
    assert not bars.add(Bar(SAMSUNG, 99, ONE, ONE, ONE, ONE, ONE, "5v", "", 98))


def test_bars_that_are_not_wanted_are_not_kept() -> None:
    bars = book(*wanted_bars({"1m": 3}, (SAMSUNG,), "bars"))

    assert not bars.add(bar(1, "5m"))
    assert not bars.add(bar(1, symbol="000660"))


def test_the_longest_window_serves_every_strategy() -> None:
    bars = book(*wanted_bars({"1m": 3}, (SAMSUNG,), "a"), *wanted_bars({"1m": 5}, (), "b"))

    assert (bars.length(SAMSUNG, "1m"), bars.length("000660", "1m"), bars.length(SAMSUNG, "5m")) == (5, 5, 0)


@pytest.mark.parametrize(
    ("interval", "n", "reason"),
    [
        ("1m", 4, "history of 005930 1m: n must be from 1 to 3, as `bars` declares, got 4"),
        ("1m", 0, "history of 005930 1m: n must be from 1 to 3, as `bars` declares, got 0"),
        ("5m", 1, "no bars '5m' of 005930 are declared in `bars`; declared are: 1m, 1d"),
    ],
)
def test_more_than_is_declared_is_refused(interval: str, n: int, reason: str) -> None:
    bars = book(*wanted_bars({"1d": 2, "1m": 3}, (), "bars"))
    bars.add(bar(1))

    with pytest.raises(ContractError, match=f"^{reason}$"):
        bars.last(SAMSUNG, interval, n)


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ({"7x": 5}, "S.bars: interval '7x': allowed are"),
        ({5: 5}, "S.bars: interval 5 is no text"),
        ({"1m": 0}, r"S.bars\['1m'\] must be a whole number from 1 to 10000, got 0"),
        ({"1m": 100_000}, r"S.bars\['1m'\] must be a whole number from 1 to 10000, got 100000"),
        ({"1m": 2.0}, r"S.bars\['1m'\] must be a whole number from 1 to 10000, got 2.0"),
        ({"1m": True}, r"S.bars\['1m'\] must be a whole number from 1 to 10000, got True"),
        ({}, "S.bars must be a mapping such as"),
        (["1m"], r"S.bars must be a mapping such as \{\"5m\": 200\}, got \['1m'\]"),
        ({f"{n}m": 5 for n in range(1, 18)}, "S.bars has 17 intervals; at most 16 are allowed"),
    ],
)
def test_a_declaration_that_is_none_is_refused_with_what_is_allowed(declared: object, reason: str) -> None:
    with pytest.raises(ContractError, match=f"^{reason}"):
        wanted_bars(declared, (), "S.bars")


def test_a_declaration_is_sorted_by_length() -> None:
    wanted = wanted_bars({"1d": 2, "1000t": 1, "1m": MOST_BARS}, ["A"], "bars")

    assert [(one.interval.name, one.n, one.symbols) for one in wanted] == [
        ("1m", MOST_BARS, ("A",)),
        ("1d", 2, ("A",)),
        ("1000t", 1, ("A",)),
    ]
    assert (wanted[0].wants("A"), wanted[0].wants("B")) == (True, False)
