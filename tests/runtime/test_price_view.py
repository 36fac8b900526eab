"""Prices as strategies are shown them; forward from the beginning, worked by hand."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.market.actions import Dividend, Split
from qts.market.contracts import Bar, IndexLevel, Instrument, Quote, Tick
from qts.market.generic import AlwaysOpen, FixedTicks, RateCosts
from qts.runtime.strategies.price_view import Adjust, PriceView
from qts.strategy.contracts import FillView, Intent, Side

DAY = date(2024, 6, 6)
SHARE = Instrument("A", "USD", D("0.01"), D(1), FixedTicks("0.01"), RateCosts("0", "0", "0.01"), AlwaysOpen())
BAR = Bar("A", 200, D(10), D(12), D(9), D(11), D(300))


def view(adjust: Adjust, *, ratio: tuple[int, int] = (3, 1)) -> PriceView:
    """A split at 100, and a dividend of 2 on a close of 100 at 150."""
    prices = PriceView(adjust)
    prices.on_split(Split("A", DAY, D(ratio[0]), D(ratio[1])), 100)
    prices.on_dividend(Dividend("A", DAY, D(2)), D(100), 150)
    return prices


def test_as_traded_nothing_changes() -> None:
    prices = view("none")
    assert prices.value(BAR) is BAR
    assert prices.price("A", D(10)) == 10
    intent = Intent("A", Side.BUY, 1.0, limit=D("10.005"))
    assert prices.intent(intent, SHARE, DAY) is intent


def test_over_a_split_prices_grow_by_the_ratio_and_volumes_shrink_by_it() -> None:
    shown = view("split").value(BAR)
    assert shown == Bar("A", 200, D(30), D(36), D(27), D(33), D(100))
    quote = Quote("A", 200, D(10), None, D(30), None, D(11), volume=D(60))
    assert view("split").value(quote) == Quote("A", 200, D(30), None, D(10), None, D(33), volume=D(20))
    assert view("split").value(Tick("A", 200, D(10), D(30))) == Tick("A", 200, D(30), D(10))


def test_with_total_a_dividend_multiplies_by_close_over_close_less_dividend() -> None:
    shown = view("total").value(BAR)
    # 3 × 100 ÷ 98 × 11
    assert isinstance(shown, Bar)
    assert shown.close == D("33.673469387755")
    assert shown.volume == 100


@pytest.mark.parametrize("close", [None, D(2), D(1)])
def test_a_dividend_without_a_close_above_it_changes_nothing(close: D | None) -> None:
    prices = PriceView("total")
    prices.on_dividend(Dividend("A", DAY, D(2)), close, 150)
    assert prices.value(BAR) is BAR


def test_a_value_of_before_is_shown_as_it_was_then() -> None:
    prices = view("split")
    early = Bar("A", 99, D(10), D(12), D(9), D(11), D(300))
    assert prices.value(early) is early
    other = Bar("B", 200, D(10), D(12), D(9), D(11), D(300))
    assert prices.value(other) is other
    level = IndexLevel("A", 200, 1.0)
    assert prices.value(level) is level


def test_a_fill_shows_its_price_and_keeps_quantity_and_costs() -> None:
    fill = FillView("A", Side.BUY, D(7), D(10), D(1), D(2), 200, "o", "x", False)
    shown = view("split").fill(fill)
    assert (shown.price, shown.qty, shown.fee, shown.tax) == (30, 7, 1, 2)


def test_a_limit_is_traded_on_the_grid_away_from_the_money() -> None:
    prices = view("split")
    for side, traded in ((Side.BUY, "10.00"), (Side.SELL, "10.01")):
        assert prices.intent(Intent("A", side, 1.0, limit=D("30.02")), SHARE, DAY).limit == D(traded)
    market = Intent("A", Side.BUY, 1.0, qty=5)
    assert prices.intent(market, SHARE, DAY) is market
    assert prices.intent(Intent("A", Side.BUY, 1.0, limit=D("30.02")), None, DAY).limit == D("30.02")


@given(
    cents=st.integers(1, 10_000_000),
    ratio=st.tuples(st.integers(1, 60), st.integers(1, 60)).filter(lambda pair: pair[0] != pair[1]),
    side=st.sampled_from(Side),
)
def test_a_limit_at_a_shown_price_is_the_traded_price_itself(
    cents: int, ratio: tuple[int, int], side: Side
) -> None:
    prices, traded = view("total", ratio=ratio), D(cents) / 100
    limit = prices.price("A", traded)
    assert prices.intent(Intent("A", side, 1.0, limit=limit), SHARE, DAY).limit == traded


def test_a_restored_view_shows_the_same() -> None:
    prices, restored = view("total"), PriceView("total")
    restored.import_state(prices.export_state())
    assert restored.value(BAR) == prices.value(BAR)
    assert restored.export_state() == prices.export_state()
