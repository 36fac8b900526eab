"""Round trips from fills, by hand."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.errors import ContractError
from qts.performance import OpenTrip, RoundTrip, TripAction, TripFill, round_trips

D = Decimal


def buy(at: int, qty: int, price: int, costs: int = 0, *, strategy: str = "swing", symbol: str = "A") -> TripFill:
    return TripFill(at, strategy, symbol, True, D(qty), D(price), D(costs))


def sell(at: int, qty: int, price: int, costs: int = 0, *, strategy: str = "swing", symbol: str = "A") -> TripFill:
    return TripFill(at, strategy, symbol, False, D(qty), D(price), D(costs))


def split(at: int, change: int, cash: int = 0) -> TripAction:
    return TripAction(at, "swing", "A", D(change), D(cash), D(0))


def test_a_trip_ends_when_it_is_flat() -> None:
    # Given 10 at 100 and 10 at 120, sold as 5 at 130 and 15 at 140
    fills = [buy(1, 10, 100, 2), buy(2, 10, 120, 3), sell(3, 5, 130, 4), sell(4, 15, 140, 5)]

    # When
    found = round_trips(fills)

    # Then it bought for 2,200, sold for 2,750 and paid 14
    assert found.held == []
    assert found.completed == [
        RoundTrip(
            strategy="swing",
            symbol="A",
            begun_ns=1,
            ended_ns=4,
            bought=D(2_200),
            sold=D(2_750),
            costs=D(14),
            entry_price=D(110),
            result=D(536),
        )
    ]


def test_a_trip_is_ended_by_the_level_of_its_last_sale() -> None:
    # Given a holding of which a part is sold by the strategy, and the rest as its stop is reached
    fills = [buy(1, 10, 100), sell(2, 4, 105), msgspec.structs.replace(sell(3, 6, 92), level="stop")]
    assert [one.ended_by for one in round_trips(fills).completed] == ["stop"]
    # And the other way round it is the strategy that ended it
    fills = [buy(1, 10, 100), msgspec.structs.replace(sell(2, 4, 92), level="stop"), sell(3, 6, 95)]
    assert [one.ended_by for one in round_trips(fills).completed] == [""]


def test_what_is_bought_after_being_flat_is_the_next_trip() -> None:
    found = round_trips([buy(1, 1, 100), sell(2, 1, 110), buy(3, 1, 100), sell(4, 1, 90)])

    assert [(one.begun_ns, one.ended_ns, one.result) for one in found.completed] == [(1, 2, 10), (3, 4, -10)]


def test_strategies_and_symbols_have_trips_of_their_own_in_the_order_of_their_ends() -> None:
    fills = [
        buy(1, 1, 100),
        buy(2, 1, 100, strategy="scalp"),
        buy(3, 1, 50, symbol="B"),
        sell(4, 1, 60, symbol="B"),
        sell(5, 1, 110, strategy="scalp"),
    ]
    found = round_trips(fills)

    assert [(one.strategy, one.symbol, one.result) for one in found.completed] == [
        ("swing", "B", 10),
        ("scalp", "A", 10),
    ]
    assert found.held == [OpenTrip("swing", "A", 1, D(1))]


def test_a_split_counts_the_shares_again_and_a_dividend_belongs_to_the_result() -> None:
    """10 at 100 become 20 at an entry of 50; a dividend of 30 less 5 tax; sold at 60: 1,200 + 30 − 1,000 − 5."""
    dividend = TripAction(3, "swing", "A", D(0), D(30), D(5))
    [trip] = round_trips([buy(1, 10, 100), split(2, 10), dividend, sell(4, 20, 60)]).completed

    assert (trip.entry_price, trip.paid, trip.costs, trip.result) == (50, 30, 5, 225)


def test_a_fraction_paid_in_cash_ends_the_trip_of_a_single_share() -> None:
    """One share of which a 1:2 split leaves a half, paid with 45."""
    [trip] = round_trips([buy(1, 1, 100), split(2, -1, 45)]).completed

    assert (trip.ended_ns, trip.sold, trip.paid, trip.result) == (2, 0, 45, -55)


def test_the_extreme_prices_are_asked_for_each_trip() -> None:
    asked = []

    def range_of(symbol: str, begun_ns: int, ended_ns: int) -> tuple[Decimal, Decimal] | None:
        asked.append((symbol, begun_ns, ended_ns))
        return (D(90), D(130)) if symbol == "A" else None

    fills = [buy(1, 1, 100), sell(2, 1, 110), buy(3, 1, 10, symbol="B"), sell(4, 1, 11, symbol="B")]
    found = round_trips(fills, range_of)

    assert asked == [("A", 1, 2), ("B", 3, 4)]
    assert [(one.low, one.high) for one in found.completed] == [(90, 130), (None, None)]


def test_the_prices_of_its_own_fills_are_among_the_extremes() -> None:
    # Given a stop that sold at 90 in a bar of which only the open, 99, counts
    found = round_trips([buy(1, 1, 100), sell(2, 1, 90)], lambda symbol, begun, ended: (D(99), D(101)))
    assert [(trip.low, trip.high) for trip in found.completed] == [(90, 101)]


def test_prices_before_and_after_a_split_are_not_compared() -> None:
    [trip] = round_trips([buy(1, 1, 100), split(2, 1), sell(3, 2, 50)], lambda *_: (D(1), D(2))).completed

    assert (trip.low, trip.high) == (None, None)


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([sell(10**9, 1, 100)], "swing holds no A at 1970-01-01T00:00:01"),
        ([split(10**9, 1)], "swing holds no A at 1970-01-01T00:00:01"),
        ([buy(1, 1, 100), sell(10**9, 2, 100)], "swing sells more A than it holds at 1970-01-01T00:00:01"),
    ],
)
def test_a_sale_without_a_holding_is_refused(events: list[TripFill | TripAction], told: str) -> None:
    with pytest.raises(ContractError, match=told):
        round_trips(events)


@given(st.lists(st.tuples(st.sampled_from("AB"), st.integers(-9, 9), st.integers(1, 50), st.integers(0, 5))))
def test_the_results_are_what_cash_changed_by_while_nothing_is_held(
    orders: list[tuple[str, int, int, int]],
) -> None:
    # Given any fills that never sell more than is held, and in the end a sale of all that is left
    held, cash, fills = {"A": 0, "B": 0}, D(0), list[TripFill | TripAction]()

    def trade(symbol: str, qty: int, price: int, costs: int) -> None:
        nonlocal cash
        held[symbol] += qty
        cash -= qty * price + costs
        make = buy if qty > 0 else sell
        fills.append(make(len(fills), abs(qty), price, costs, symbol=symbol))

    for symbol, wanted, price, costs in orders:
        if qty := max(wanted, -held[symbol]):
            trade(symbol, qty, price, costs)
    for symbol, left in list(held.items()):
        if left:
            trade(symbol, -left, 7, 1)

    # When
    found = round_trips(fills)

    # Then nothing is held and the results are the change of cash, to the last digit
    assert found.held == []
    assert sum((trip.result for trip in found.completed), D(0)) == cash
