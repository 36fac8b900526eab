"""Stops, takes and trails by hand: their prices, what reaches them, what splits and dividends make of them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.execution.triggers import (
    BoundLevels,
    Bounds,
    Hit,
    TriggerKind,
    added,
    after_dividend,
    after_split,
    bid_in,
    bounds_of,
    can_be_believed,
    first_hit_in,
    hit_at,
    measured,
    opened,
    raised,
    rebound,
    take_hit_in,
    trade_in,
    wider,
)
from qts.market.actions import Split
from qts.market.contracts import Bar, Quote
from qts.market.generic import FixedTicks
from qts.strategy.levels import Away, Levels

DAY = date(2024, 8, 8)
TICKS = FixedTicks("0.5")
STOP, TAKE, TRAIL = TriggerKind


def held(cost: str = "100", **levels: object) -> BoundLevels:
    """The levels of a holding bought at ``cost``."""
    return measured(opened(rebound(None, Levels(**levels)), D(cost), 1), D(cost), TICKS, DAY)  # type: ignore[arg-type]


def bar(prices: str, volume: int = 1_000) -> Bar:
    return Bar("X", 1, *map(D, prices.split()), D(volume))


def quote(**sides: str) -> Quote:
    return Quote("X", 1, **{name: D(value) for name, value in sides.items()})  # type: ignore[arg-type]


# -- which prices ------------------------------------------------------------------------------------------------


def test_levels_without_a_holding_are_no_prices() -> None:
    bound = rebound(None, Levels(stop=D(90), take=Away(5), trail=Away(3)))
    assert (bound.since_ns, bound.prices, bound.best) == (None, (None, None, None), None)


def test_distances_are_measured_from_the_cost_and_put_on_the_grid_away_from_the_money() -> None:
    # Given a cost of 100.2 and a grid of 0.5
    bound = held("100.2", stop=Away(share=0.08), take=Away(share=0.08), trail=Away(3))
    # Then 92.184 is a stop of 92, 108.216 a take of 108.5, and 97.2 a trail of 97
    assert bound.prices == (D(92), D("108.5"), D(97))


def test_a_price_stays_and_a_distance_moves_when_the_cost_does() -> None:
    # Given a stop at a price and a take at a distance, when the average cost falls from 100 to 96
    bound = measured(held(stop=D(90), take=Away(8)), D(96), TICKS, DAY)
    # Then the take is measured again
    assert bound.prices == (D(90), D(104), None)


def test_a_stop_below_zero_is_none() -> None:
    bound = held("3", stop=Away(5), trail=Away(3))
    assert (bound.stop, bound.trail) == (None, None)
    assert hit_at(bound, D("0.5"), is_bid=True) is None


def test_later_levels_take_the_place_of_those_before_and_leave_the_others() -> None:
    bound = rebound(held(stop=D(90), take=D(110)), Levels(stop=D(95)))
    assert bound.levels == Levels(stop=D(95), take=D(110))
    assert bound.since_ns == 1


def test_a_trail_follows_the_best_price_and_never_falls() -> None:
    # Given a trail of 10 on a holding of 100
    bound = held(trail=Away(10))
    assert bound.trail == 90
    # When the price rises to 108 and falls to 99
    bound = raised(raised(bound, D(108), TICKS, DAY), D(99), TICKS, DAY)
    # Then it stays where 108 has put it
    assert (bound.best, bound.trail) == (D(108), D(98))
    # And a wider distance does not lower it, a narrower one lifts it
    assert measured(rebound(bound, Levels(trail=Away(20))), D(100), TICKS, DAY).trail == 98
    assert measured(rebound(bound, Levels(trail=Away(4))), D(100), TICKS, DAY).trail == 104


def test_a_trail_by_a_share_of_the_best_price_is_rounded_down() -> None:
    assert raised(held(trail=Away(share=0.1)), D("110.5"), TICKS, DAY).trail == 99  # 99.45


# -- which price reaches them ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "is_bid", "hit"),
    [
        ("92.5", True, None),
        ("92", True, Hit(STOP, D(92), D(92))),
        ("91", False, Hit(STOP, D(92), D(91))),
        ("107.5", True, None),
        ("108", True, Hit(TAKE, D(108), D(108))),
        ("109", True, Hit(TAKE, D(108), D(109))),
        ("109", False, None),
    ],
)
def test_a_price_reaches_a_stop_from_above_and_a_bid_a_take_from_below(
    price: str, is_bid: bool, hit: Hit | None
) -> None:
    assert hit_at(held(stop=D(92), take=D(108)), D(price), is_bid=is_bid) == hit


def test_the_higher_of_stop_and_trail_is_reached_first() -> None:
    assert hit_at(held(stop=D(92), trail=Away(5)), D(94), is_bid=True) == Hit(TRAIL, D(95), D(94))
    assert hit_at(held(stop=D(96), trail=Away(5)), D(94), is_bid=True) == Hit(STOP, D(96), D(94))
    assert hit_at(held(stop=D(95), trail=Away(5)), D(94), is_bid=True) == Hit(STOP, D(95), D(94))


def test_the_reason_names_the_level_and_the_price() -> None:
    assert Hit(STOP, D("92.5"), D("91.0")).reason == "stop 92.5 reached at 91.0"


@pytest.mark.parametrize(
    ("prices", "first", "later"),
    [
        ("100 107 93 100", None, None),
        ("100 107 92 100", Hit(STOP, D(92), D(92)), None),  # reached inside
        ("90 95 89 94", Hit(STOP, D(92), D(90)), None),  # a gap: the first price there is
        ("100 108 93 100", None, Hit(TAKE, D(108), D(108))),
        ("109 112 108 110", Hit(TAKE, D(108), D(109)), Hit(TAKE, D(108), D(109))),  # a gap up: better
        ("100 112 91 110", Hit(STOP, D(92), D(92)), Hit(TAKE, D(108), D(108))),  # both: the stop is looked at first
        ("109 112 91 110", Hit(TAKE, D(108), D(109)), Hit(TAKE, D(108), D(109))),  # the open was before the low
    ],
)
def test_a_bar_reaches_what_its_open_is_beyond_then_a_stop_then_a_take(
    prices: str, first: Hit | None, later: Hit | None
) -> None:
    bound = held(stop=D(92), take=D(108))
    assert first_hit_in(bound, bar(prices)) == first
    assert take_hit_in(bound, bar(prices)) == later


def test_a_bar_is_compared_with_the_trail_that_earlier_bars_have_left() -> None:
    # Given a trail of 10 after a best price of 105
    bound = raised(held(trail=Away(10)), D(105), TICKS, DAY)
    # When a bar rises to 120 and falls to 100: it may have fallen first
    assert first_hit_in(bound, bar("104 120 100 110")) is None
    # Then its high counts for the next
    bound = raised(bound, D(120), TICKS, DAY)
    assert first_hit_in(bound, bar("115 116 109 112")) == Hit(TRAIL, D(110), D(110))


@pytest.mark.parametrize(
    ("prices", "volume", "believed"),
    [("10 12 9 11", 1, True), ("10 12 9 11", 0, False), ("10 9 12 11", 1, False), ("0 1 0 1", 1, False)],
)
def test_a_bar_without_trades_or_with_prices_that_contradict_each_other_is_not_believed(
    prices: str, volume: int, believed: bool
) -> None:
    assert can_be_believed(bar(prices, volume)) is believed


@pytest.mark.parametrize(
    ("shown", "bid", "trade"),
    [
        (quote(bid="99", ask="101"), "99", None),
        (quote(bid="99", ask="101", last="100"), "99", None),  # the price of some trade before
        (quote(bid="99", ask="101", last="98", last_size="3"), "99", "98"),
        (quote(last="98", volume="10"), None, "98"),  # a snapshot
        (quote(bid="0", ask="101"), None, None),
        (quote(bid="99", bid_size="0", ask="101"), None, None),
        (quote(bid="102", ask="101", last="98", last_size="3"), None, None),  # crossed
        (quote(ask="101"), None, None),
        (quote(last="0", volume="10"), None, None),
        (quote(bid="99", ask="101", last="98", last_size="0"), "99", None),
    ],
)
def test_sides_that_offer_nothing_and_prices_that_cross_are_no_prices(
    shown: Quote, bid: str | None, trade: str | None
) -> None:
    assert bid_in(shown) == (None if bid is None else D(bid))
    assert trade_in(shown) == (None if trade is None else D(trade))


def test_bounds_are_the_prices_between_which_nothing_happens() -> None:
    one, other = bounds_of(held(stop=D(92), take=D(108))), bounds_of(held(stop=D(90), trail=Away(5)))
    assert (one, other) == (Bounds(D(92), D(108)), Bounds(D(95), D(100)))
    both = wider(one, other)
    assert both == Bounds(D(95), D(100))
    assert [both.touched_by(D(price)) for price in (95, 96, 99, 100)] == [True, False, False, True]
    assert not bounds_of(rebound(None, Levels(stop=D(1)))).touched_by(D("0.5"))


# -- splits and dividends ----------------------------------------------------------------------------------------


def test_a_split_divides_every_price_and_distance() -> None:
    # Given a holding of 100 with a stop at 91, a take 9 above and a trail of 7 after a best price of 121
    bound = raised(held(stop=D(91), take=Away(9), trail=Away(7)), D(121), TICKS, DAY)
    # When two shares come for one
    bound = after_split(bound, Split("X", DAY, D(2)), TICKS, DAY)
    # Then 45.5, 54.5 and 57 are left, on the grid away from the money
    assert bound.prices == (D("45.5"), D("54.5"), D(57))
    assert (bound.best, bound.levels) == (
        D("60.5"),
        Levels(stop=D("45.5"), take=Away(D("4.5")), trail=Away(D("3.5"))),
    )
    # And measured again from the new cost they are the same
    assert measured(bound, D(50), TICKS, DAY).prices == bound.prices


def test_a_split_rounds_stops_down_and_takes_up() -> None:
    bound = after_split(held(stop=D(91), take=D(109)), Split("X", DAY, D(3)), TICKS, DAY)
    assert bound.prices == (D(30), D("36.5"), None)  # 30.33 and 36.33


def test_a_dividend_lowers_every_price_by_its_amount() -> None:
    # Given a stop 8 % below a cost of 100, a take at 120 and a trail of 10 after 115
    bound = raised(held(stop=Away(share=0.08), take=D(120), trail=Away(10)), D(115), TICKS, DAY)
    # When 3 are paid for each share
    bound = after_dividend(bound, D(3), TICKS, DAY)
    # Then nothing is closer to the market than it was
    assert (bound.prices, bound.best, bound.paid) == ((D(89), D(117), D(102)), D(112), D(3))
    # And the purchase of as many shares more halves what a share was paid, since they were paid nothing
    assert added(bound, D(10), D(10)).paid == D("1.5")
    assert measured(added(bound, D(10), D(10)), D(98), TICKS, DAY).stop == D("88.5")  # 96.5 less 8 % is 88.78


def test_a_dividend_larger_than_a_stop_leaves_none() -> None:
    assert after_dividend(held(stop=D(2)), D(3), TICKS, DAY).prices == (None, None, None)


# -- properties --------------------------------------------------------------------------------------------------

prices = st.integers(1, 400).map(lambda steps: D(steps) / 2)


@given(cost=prices, seen=st.lists(prices, max_size=20), distance=st.integers(1, 50))
def test_a_trail_is_the_best_price_less_its_distance(cost: D, seen: list[D], distance: int) -> None:
    bound = held(str(cost), trail=Away(distance))
    for price in seen:
        before = bound.trail
        bound = raised(bound, price, TICKS, DAY)
        assert before is None or (bound.trail is not None and bound.trail >= before)
    best = max([cost, *seen])
    assert bound.trail == (best - distance if best > distance else None)


@given(stop=prices, take=prices, price=prices, is_bid=st.booleans())
def test_between_the_bounds_nothing_is_reached(stop: D, take: D, price: D, is_bid: bool) -> None:
    bound = held(stop=stop, take=take)
    if not bounds_of(bound).touched_by(price):
        assert hit_at(bound, price, is_bid=is_bid) is None


@given(stop=prices, take=prices, open_=prices, ends=st.lists(prices, min_size=3, max_size=3))
def test_a_bar_within_the_bounds_reaches_nothing(stop: D, take: D, open_: D, ends: list[D]) -> None:
    bound, values = held(stop=stop, take=take), [open_, *ends]
    one = Bar("X", 1, open_, max(values), min(values), ends[0], D(1))
    hits = (first_hit_in(bound, one), take_hit_in(bound, one))
    if not (bounds_of(bound).touched_by(one.low) or bounds_of(bound).touched_by(one.high)):
        assert hits == (None, None)
    for hit in filter(None, hits):  # never better than the level for a stop, never worse for a take
        assert hit.price <= hit.level if hit.kind is STOP else hit.price >= hit.level
        assert one.low <= hit.price <= one.high
