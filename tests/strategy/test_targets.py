"""What a target and a cancel may say."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from qts.errors import ContractError
from qts.strategy.contracts import Intent, Side
from qts.strategy.levels import Away, Levels
from qts.strategy.order_terms import TimeInForce
from qts.strategy.targets import Cancel, Target


def test_the_quantity_is_given_by_position_and_everything_else_by_name() -> None:
    assert Target("A", 10).qty == 10
    assert Target("A", weight=0.9).weight == Decimal("0.9")
    with pytest.raises(TypeError):
        Target("A", 10, 0.9)  # type: ignore[misc]


@pytest.mark.parametrize("target", [Target("A", 0), Target("A", Decimal("0.00")), Target("A", weight=0)])
def test_nothing_is_a_target_too(target: Target) -> None:
    assert target.is_flat


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "Target takes exactly one of qty and weight=, got neither"),
        ({"qty": 1, "weight": 0.5}, "Target takes exactly one of qty and weight=, got both"),
        ({"qty": -1}, "Target.qty must be finite and at least 0, got -1"),
        ({"qty": 1.0}, "Target.qty must be a Decimal or an int, got 1.0"),
        ({"qty": Decimal("NaN")}, "Target.qty must be finite and at least 0, got Decimal('NaN')"),
        ({"qty": 10**15}, "Target.qty must be from 1E-12 to below 1E+15, got 1000000000000000"),
        ({"weight": 1.01}, "Target.weight must be from 0 to 1, got 1.01"),
        ({"weight": 10**5000}, "Target.weight must be from 0 to 1, got 1.000E+5000"),
        ({"weight": -0.1}, "Target.weight must be from 0 to 1, got -0.1"),
        (
            {"weight": float("nan")},
            "Target.weight must be finite and from 0 to 1, got nan; an indicator is NaN until it is ready",
        ),
        ({"weight": "half"}, "Target.weight must be a number from 0 to 1, got 'half'"),
        ({"qty": 1, "limit": 9.5}, "Target.limit must be a Decimal or an int, got 9.5"),
        ({"qty": 1, "stop": 9.5}, "Target.stop must be a Decimal, an int or Away(...), got the float 9.5"),
        ({"qty": 1, "take": -1}, "Target.take must be finite and above 0, got -1"),
        (
            {"qty": 1, "trail": 5},
            "Target.trail must be a distance, Away(...), since it follows the best price, got 5",
        ),
        (
            {"qty": 1, "tif": "IOC"},
            "Target.tif must be one of DAY, IOC, FOK, GTC, OPEN, CLOSE, imported from qts.kit, got 'IOC'",
        ),
        ({"qty": 1, "tag": 7}, "Target.tag must be a text, got 7"),
        ({"qty": 1, "tag": "x" * 65}, "Target.tag may have 64 characters, got 65"),
        ({"qty": 1, "confidence": 2}, "Target.confidence must be between 0 and 1, got 2"),
        ({"qty": 1, "symbol": ""}, "Target.symbol must be a text like '005930', got ''"),
    ],
)
def test_a_target_that_cannot_be_meant_is_named(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ContractError) as told:
        Target(**({"symbol": "A"} | given))
    assert str(told.value) == says


def test_the_levels_of_a_target_are_those_of_its_position() -> None:
    target = Target("A", 1, stop=90, take=Away(share=0.2), trail=Away(3))
    assert target.levels == Levels(stop=90, take=Away(share=0.2), trail=Away(3))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "Cancel takes exactly one of tag and symbol=, got neither"),
        ({"tag": "a", "symbol": "A"}, "Cancel takes exactly one of tag and symbol=, got both"),
        ({"tag": None}, "Cancel.tag must be a text, got None"),
        ({"symbol": 5930}, "Cancel.symbol must be a text, got 5930"),
    ],
)
def test_a_cancel_names_a_tag_or_a_symbol(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ContractError) as told:
        Cancel(**given)
    assert str(told.value) == says


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"trigger": 9.5}, "Intent.trigger must be a Decimal or an int, got 9.5"),
        ({"trigger": 0}, "Intent.trigger must be finite and above 0, got 0"),
        ({"tag": "\ud800"}, "Intent.tag holds half a character that no file can keep: '\\ud800'"),
        (
            {"tif": None},
            "Intent.tif must be one of DAY, IOC, FOK, GTC, OPEN, CLOSE, imported from qts.kit, got None",
        ),
    ],
)
def test_the_terms_of_an_intent_are_checked(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ContractError) as told:
        Intent("A", Side.BUY, 1.0, **given)
    assert str(told.value) == says


def test_what_a_strategy_may_want_travels_as_plain_values() -> None:
    said: list[Intent | Target | Cancel] = [
        Intent("A", Side.SELL, 1.0, 3, tif=TimeInForce.IOC, trigger=Decimal("9.5"), tag="t"),
        Target("A", weight=0.3, stop=Away(share=0.08), take=12, trail=Away(1.5), reason="up"),
        Cancel("t"),
    ]
    packed = msgspec.msgpack.encode(said)
    assert msgspec.msgpack.decode(packed, type=list[Intent | Target | Cancel]) == said
