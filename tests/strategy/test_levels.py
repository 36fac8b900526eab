"""What a distance and a level may be, and the price that a distance becomes."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from qts.errors import ContractError
from qts.market.generic import FixedTicks
from qts.strategy.levels import Away, Levels, price_above, price_below

DAY = date(2026, 1, 5)
GRID = FixedTicks(Decimal("0.5"))


def test_a_distance_is_an_amount_or_a_share_and_a_float_is_kept_as_it_is_written() -> None:
    assert Away(0.1).distance == Decimal("0.1")
    assert Away(2).distance == Decimal(2)
    assert Away(share=0.08).share == Decimal("0.08")
    assert Away(share=Decimal("0.08")) == Away(share=0.08)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "Away takes exactly one of distance and share=, got neither"),
        ({"distance": 1, "share": 0.1}, "Away takes exactly one of distance and share=, got both"),
        ({"distance": 0.0}, "Away.distance must be finite and above 0, got 0.0"),
        ({"distance": -1.5}, "Away.distance must be finite and above 0, got -1.5"),
        (
            {"distance": float("nan")},
            "Away.distance must be finite and above 0, got nan; an indicator is NaN until it is ready",
        ),
        ({"distance": float("inf")}, "Away.distance must be finite and above 0, got inf"),
        (
            {"distance": Decimal("sNaN")},
            "Away.distance must be finite and above 0, got Decimal('sNaN'); an indicator is NaN until it is ready",
        ),
        ({"distance": "2"}, "Away.distance must be a number above 0, got '2'"),
        ({"distance": True}, "Away.distance must be a number above 0, got True"),
        ({"distance": 1e-13}, "Away.distance must be from 1E-12 to below 1E+15, got Decimal('1E-13')"),
        ({"share": 1}, "Away.share must be above 0 and below 1, got 1"),
        ({"share": 1.5}, "Away.share must be above 0 and below 1, got 1.5"),
        ({"share": 0.0}, "Away.share must be above 0 and below 1, got 0.0"),
        (
            {"share": float("nan")},
            "Away.share must be finite and above 0 and below 1, got nan; an indicator is NaN until it is ready",
        ),
    ],
)
def test_a_distance_that_is_none_is_named(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ContractError) as told:
        Away(**given)
    assert str(told.value) == says


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"stop": 1.5}, "Levels.stop must be a Decimal, an int or Away(...), got the float 1.5"),
        ({"stop": 0}, "Levels.stop must be finite and above 0, got 0"),
        ({"take": "9"}, "Levels.take must be a Decimal or an int, got '9'"),
        (
            {"trail": Decimal(2)},
            "Levels.trail must be a distance, Away(...), since it follows the best price, got Decimal('2')",
        ),
    ],
)
def test_a_level_is_a_price_or_a_distance_and_a_trail_is_a_distance(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ContractError) as told:
        Levels(**given)
    assert str(told.value) == says


def test_a_distance_goes_onto_the_grid_away_from_the_money() -> None:
    """Given an average cost of 100 on a grid of 0.5, then a stop is rounded down and a take up.

    100 - 2.3 = 97.7, below it 97.5. 100 + 2.3 = 102.3, above it 102.5. 8 % of 99.5 are 7.96: 91.54 and 107.46.
    """
    assert price_below(Away(2.3), Decimal(100), GRID, DAY) == Decimal("97.5")
    assert price_above(Away(2.3), Decimal(100), GRID, DAY) == Decimal("102.5")
    assert price_below(Away(share=0.08), Decimal("99.5"), GRID, DAY) == Decimal("91.5")
    assert price_above(Away(share=0.08), Decimal("99.5"), GRID, DAY) == Decimal("107.5")


def test_a_level_that_is_a_price_stays_that_price() -> None:
    assert price_below(90, Decimal(100), GRID, DAY) == Decimal(90)
    assert price_above(Decimal("110.5"), Decimal(100), GRID, DAY) == Decimal("110.5")


def test_a_stop_further_away_than_the_price_is_high_is_no_price() -> None:
    assert price_below(Away(100), Decimal(100), GRID, DAY) == 0
    assert price_below(Away(101.2), Decimal(100), GRID, DAY) == Decimal("-1.2")


def test_levels_that_are_left_out_stay_as_they_were() -> None:
    before = Levels(stop=90, take=Away(5), trail=Away(share=0.1))
    assert Levels(stop=95).over(before) == Levels(stop=95, take=Away(5), trail=Away(share=0.1))
    assert Levels().over(before) == before
    assert Levels().is_empty
    assert not before.is_empty


def test_levels_come_back_from_a_checkpoint_as_they_were() -> None:
    levels = Levels(stop=90, take=Away(2.5), trail=Away(share=0.1))
    assert msgspec.json.decode(msgspec.json.encode(levels), type=Levels) == levels
    assert msgspec.convert(msgspec.to_builtins(levels), Levels) == levels
