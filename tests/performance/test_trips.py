"""Figures of round trips, by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from qts.performance import Amount, Figure, by_strategy, by_symbol, trip_figures
from qts.performance.trips import adverse_excursion, favourable_excursion

from .series import trip

D = Decimal


def code(unknown: Figure | Amount) -> str:
    assert unknown.value is None
    assert unknown.why is not None
    return unknown.why.code


def test_four_trips() -> None:
    # Given two that won 300 and 100, one that lost 200, one of 0; 1,000 each was bought
    found = trip_figures([trip(300, costs=3), trip(-200, costs="2.5"), trip(100, costs=1), trip(0)])

    # Then
    assert (found.count, found.won, found.lost) == (4, 2, 1)
    assert (found.result, found.profit, found.loss, found.costs) == (D(200), D(400), D(200), D("6.5"))
    assert found.profit_factor.value == 2.0
    assert found.win_rate.value == 0.5
    assert found.expectancy.value == D(50)
    assert found.expectancy_share.value == pytest.approx(0.05)
    assert found.average_win.value == D(200)
    assert found.average_loss.value == D(200)


def test_sums_are_exact() -> None:
    found = trip_figures([trip("0.1"), trip("0.2")])

    assert found.result == D("0.3")
    assert found.profit == D("0.3")


def test_expectancy_in_what_was_at_stake_is_of_the_trips_with_a_stop() -> None:
    """+300 of 100, −100 of 100, and one without a stop: (3 − 1) ÷ 2 = 1."""
    found = trip_figures([trip(300, risk=100), trip(-100, risk=100), trip(500)])

    assert found.expectancy_r.value == pytest.approx(1.0)


def test_no_trip_is_not_enough_for_anything() -> None:
    found = trip_figures([])

    assert (found.count, found.result, found.profit, found.loss, found.costs) == (0, 0, 0, 0, 0)
    ratios = (found.profit_factor, found.win_rate, found.expectancy_share, found.expectancy_r)
    excursions = (found.adverse, found.favourable, found.worst_adverse)
    amounts = (found.expectancy, found.average_win, found.average_loss)
    assert {code(one) for one in (*ratios, *excursions, *amounts)} == {"figure-no-trips"}


def test_without_a_loss_there_is_no_profit_factor() -> None:
    found = trip_figures([trip(300), trip(0)])

    assert code(found.profit_factor) == "figure-no-losing-trip"
    assert code(found.average_loss) == "figure-no-losing-trip"
    assert found.win_rate.value == 0.5


def test_without_a_win_the_profit_factor_is_0_and_there_is_no_average_win() -> None:
    found = trip_figures([trip(-300)])

    assert found.profit_factor.value == 0.0
    assert found.win_rate.value == 0.0
    assert code(found.average_win) == "figure-no-winning-trip"


def test_without_a_stop_nothing_says_what_was_at_stake() -> None:
    assert code(trip_figures([trip(1)]).expectancy_r) == "figure-no-stop"


def test_excursions_are_shares_of_the_entry_price() -> None:
    """Bought at 100: down to 80 and up to 150; the other only up, from 110 to 120."""
    trips = [trip(0, low=80, high=150), trip(0, low=110, high=120)]
    found = trip_figures(trips)

    assert [adverse_excursion(one) for one in trips] == [D("0.2"), 0]
    assert [favourable_excursion(one) for one in trips] == [D("0.5"), D("0.2")]
    assert found.adverse.value == pytest.approx(0.1)
    assert found.worst_adverse.value == pytest.approx(0.2)
    assert found.favourable.value == pytest.approx(0.35)


def test_a_trip_whose_prices_are_not_known_has_no_excursion() -> None:
    found = trip_figures([trip(0)])

    assert adverse_excursion(trip(0)) is None
    assert favourable_excursion(trip(0)) is None
    assert code(found.adverse) == code(found.favourable) == code(found.worst_adverse) == "figure-no-prices"


def test_groups_are_in_order_and_sum_to_the_whole() -> None:
    # Given trips of two symbols and two strategies
    trips = [
        trip(5, symbol="B", strategy="swing"),
        trip(-2, symbol="A", strategy="swing"),
        trip(4, symbol="B", strategy="scalp"),
    ]

    # Then
    assert [(name, one.result) for name, one in by_symbol(trips).items()] == [("A", D(-2)), ("B", D(9))]
    assert [(name, one.result) for name, one in by_strategy(trips).items()] == [("scalp", D(4)), ("swing", D(3))]
    assert by_symbol([]) == {}
