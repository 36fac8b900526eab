"""What an order gets inside one bar, rule by rule: prices in, a price out."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.broker.sim.bar_rules import Execution, Stage, execution_in, slipped
from qts.market.bar_checks import is_sound
from qts.market.contracts import Bar
from qts.market.generic import FixedTicks
from qts.market.krx import KrxTicks

D = Decimal
DAY = date(2018, 1, 22)


def bar(prices: str) -> Bar:
    return Bar("S", 1, *map(D, prices.split()), D(1_000))


def executed(prices: str, side: str, limit: str | None = None, stop: str | None = None) -> str | None:
    """The stage and price of an execution as text, None without one."""
    found = execution_in(
        bar(prices), side == "buy", None if limit is None else D(limit), None if stop is None else D(stop)
    )
    return None if found is None else f"{found.stage.name} {found.price}"


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_market_order_fills_at_the_open(side: str) -> None:
    assert executed("100 110 90 105", side) == "OPEN 100"


@pytest.mark.parametrize(
    ("side", "limit", "expected"),
    [
        ("buy", "101", "OPEN 100"),  # the open is better: what the market asks, not what we would have paid
        ("buy", "100", "OPEN 100"),
        ("buy", "99", "LIMIT 99"),
        ("buy", "90", "LIMIT 90"),  # touched
        ("buy", "89", None),
        ("sell", "99", "OPEN 100"),
        ("sell", "100", "OPEN 100"),
        ("sell", "101", "LIMIT 101"),
        ("sell", "110", "LIMIT 110"),
        ("sell", "111", None),
    ],
)
def test_a_limit_fills_at_the_better_of_open_and_limit_if_the_range_reaches_it(
    side: str, limit: str, expected: str | None
) -> None:
    assert executed("100 110 90 105", side, limit) == expected


@pytest.mark.parametrize(
    ("side", "stop", "expected"),
    [
        ("sell", "101", "OPEN 100"),  # the open lies beyond the trigger already: worse than it
        ("sell", "100", "OPEN 100"),
        ("sell", "95", "STOP 95"),
        ("sell", "90", "STOP 90"),
        ("sell", "89", None),
        ("buy", "99", "OPEN 100"),
        ("buy", "105", "STOP 105"),
        ("buy", "110", "STOP 110"),
        ("buy", "111", None),
    ],
)
def test_a_stop_fills_at_the_worse_of_open_and_trigger(side: str, stop: str, expected: str | None) -> None:
    assert executed("100 110 90 105", side, stop=stop) == expected


@pytest.mark.parametrize(
    ("side", "limit", "stop", "expected"),
    [
        ("sell", "94", "95", "STOP 95"),
        ("sell", "95", "95", "STOP 95"),
        ("sell", "96", "95", "STOP None"),  # reached, but below the limit: whether it came back is not told
        ("sell", "101", "100", "OPEN None"),
        ("buy", "106", "105", "STOP 105"),
        ("buy", "104", "105", "STOP None"),
    ],
)
def test_a_stop_with_a_limit_fills_where_it_is_reached_only_if_the_limit_allows_that_price(
    side: str, limit: str, stop: str, expected: str
) -> None:
    assert executed("100 110 90 105", side, limit, stop) == expected


@pytest.mark.parametrize(
    ("prices", "sound"),
    [
        ("100 110 90 105", True),
        ("100 100 100 100", True),
        ("89 110 90 105", False),
        ("100 110 90 111", False),
        ("100 90 110 100", False),
        ("0 110 0 105", False),
        ("NaN 110 90 105", False),
        ("100 Infinity 90 105", False),
    ],
)
def test_a_bar_whose_prices_contradict_each_other_is_not_believed(prices: str, sound: bool) -> None:
    assert is_sound(bar(prices)) is sound


@pytest.mark.parametrize(
    ("price", "is_buy", "count", "limit", "expected"),
    [
        ("100", True, 0, None, "100"),
        ("100", True, 2, None, "101.0"),
        ("100", False, 2, None, "99.0"),
        ("100", True, 3, "101", "101.0"),  # a limit stays the worst price
        ("100", False, 3, "99.5", "99.5"),
        ("0.5", False, 1, None, "0.5"),  # no price is 0
    ],
)
def test_slippage_moves_a_price_against_the_order_and_never_beyond_its_limit(
    price: str, is_buy: bool, count: int, limit: str | None, expected: str
) -> None:
    moved = slipped(D(price), is_buy, count, None if limit is None else D(limit), FixedTicks("0.5"), DAY, None)
    assert str(moved) == expected


@pytest.mark.parametrize(
    ("price", "is_buy", "count", "expected"),
    [
        ("49950", True, 2, "50100"),  # 50 to 50,000, and 100 from there on
        ("50000", False, 1, "49900"),
        ("65000", True, 9, "65000"),  # the upper end of the day's band
        ("35000", False, 9, "35000"),
    ],
)
def test_slippage_stays_on_the_grid_and_inside_the_band_of_the_day(
    price: str, is_buy: bool, count: int, expected: str
) -> None:
    band = (D(35_000), D(65_000))
    assert slipped(D(price), is_buy, count, None, KrxTicks(), DAY, band) == D(expected)


PRICES = st.integers(1, 400)


@st.composite
def sound_bars(draw: st.DrawFn) -> Bar:
    first, second, third, fourth = (draw(PRICES) for _ in range(4))
    prices = [D(max(first, second, third, fourth)), D(min(first, second, third, fourth))]
    return Bar("S", 1, D(first), *prices, D(second), D(1_000))


@given(sound_bars(), st.booleans(), st.none() | PRICES, st.none() | PRICES)
def test_every_price_lies_in_the_bar_s_range_and_is_never_worse_than_the_limit(
    bar: Bar, is_buy: bool, limit: int | None, stop: int | None
) -> None:
    found = execution_in(bar, is_buy, None if limit is None else D(limit), None if stop is None else D(stop))
    if found is None or found.price is None:
        return
    assert bar.low <= found.price <= bar.high
    if limit is not None:
        assert found.price <= limit if is_buy else found.price >= limit
    if stop is not None:  # never better than the trigger
        assert found.price >= stop if is_buy else found.price <= stop


@given(sound_bars(), st.none() | PRICES, st.none() | PRICES)
def test_buying_and_selling_are_each_other_s_mirror(bar: Bar, limit: int | None, stop: int | None) -> None:
    """Given the bar upside down (each price as 1,000 less it), a sale gets what a buy gets."""

    def turned(price: Decimal | int | None) -> Decimal | None:
        return None if price is None else D(1_000) - price

    upside_down = Bar("S", 1, *(D(1_000) - price for price in (bar.open, bar.low, bar.high, bar.close)), D(1_000))
    bought = execution_in(bar, True, None if limit is None else D(limit), None if stop is None else D(stop))
    sold = execution_in(upside_down, False, turned(limit), turned(stop))
    assert sold == (None if bought is None else Execution(bought.stage, turned(bought.price)))


def test_stops_are_assumed_to_come_before_limits() -> None:
    assert sorted(Stage) == [Stage.OPEN, Stage.STOP, Stage.LIMIT]
