"""What an intent may say, and the small answers of the strategy contracts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from qts.capital.contracts import Pool
from qts.errors import ContractError
from qts.strategy.contracts import Intent, Side, Signal


@pytest.mark.parametrize("confidence", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("qty", [None, 1, Decimal("0.001")])
def test_a_sensible_intent_is_kept_as_said(confidence: float, qty: Any) -> None:
    intent = Intent("005930", Side.BUY, confidence, qty=qty, limit=75_000)
    assert (intent.confidence, intent.qty, intent.limit) == (confidence, qty, 75_000)


@pytest.mark.parametrize("confidence", [-0.001, 1.001, float("nan"), float("inf"), Decimal("NaN"), Decimal("sNaN")])
def test_confidence_lies_between_zero_and_one(confidence: float) -> None:
    with pytest.raises(ContractError, match="confidence must be between 0 and 1"):
        Intent("A", Side.BUY, confidence)


@pytest.mark.parametrize("name", ["qty", "limit"])
@pytest.mark.parametrize("value", [0, -1, Decimal(0), Decimal("NaN"), Decimal("Infinity"), 1.5, True, "10"])
def test_quantities_and_limits_are_exact_finite_and_above_zero(name: str, value: Any) -> None:
    with pytest.raises(ContractError, match=rf"Intent\.{name} must be"):
        Intent("A", Side.BUY, 0.5, **{name: value})


@pytest.mark.parametrize("name", ["qty", "limit"])
@pytest.mark.parametrize("value", [10**15, 10**30, Decimal("1e999999"), Decimal("0.9e-12"), Decimal("1e-999999")])
def test_quantities_and_limits_beyond_all_sense_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ContractError, match=rf"Intent\.{name} must be from 1E-12 to below 1E\+15"):
        Intent("A", Side.BUY, 0.5, **{name: value})


def test_an_integer_too_long_to_be_written_out_is_told_in_short() -> None:
    with pytest.raises(ContractError, match=r"Intent\.qty must be from 1E-12 to below 1E\+15, got 1\.000E\+5000"):
        Intent("A", Side.BUY, 0.5, qty=10**5000)


@pytest.mark.parametrize("value", [10**15 - 1, Decimal("1e-12"), Decimal("999999999999999.9")])
def test_the_largest_and_the_least_quantity_are_kept(value: Any) -> None:
    assert Intent("A", Side.BUY, 0.5, qty=value, limit=value).qty == value


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("symbol", None, "Intent.symbol must be a text like '005930', got None"),
        ("symbol", 5930, "Intent.symbol must be a text like '005930', got 5930"),
        ("symbol", "", "Intent.symbol must be a text like '005930', got ''"),
        ("symbol", "\ud800", "Intent.symbol must be a text like '005930', got '\\ud800'"),
        ("confidence", None, "Intent.confidence must be a number between 0 and 1, got None"),
        ("confidence", "0.9", "Intent.confidence must be a number between 0 and 1, got '0.9'"),
        ("reason", None, "Intent.reason must be a text, got None"),
    ],
)
def test_a_field_of_another_type_is_named(name: str, value: Any, says: str) -> None:
    given: dict[str, Any] = {"symbol": "A", "side": Side.BUY, "confidence": 0.5}
    with pytest.raises(ContractError) as told:
        Intent(**given | {name: value})
    assert str(told.value) == says


def test_an_intent_holds_plain_values_that_a_checkpoint_can_keep() -> None:
    """Given numbers and texts of classes of their own (as numpy has), then equal ones of plain types are kept."""

    class Ratio(float): ...

    class Count(int): ...

    class Label(str): ...

    intent = Intent(Label("A"), Side.BUY, Ratio(0.75), qty=Count(3), limit=Count(7), reason=Label("up"))

    assert intent == Intent("A", Side.BUY, 0.75, qty=Decimal(3), limit=Decimal(7), reason="up")
    kept = [type(value) for value in (intent.symbol, intent.confidence, intent.qty, intent.limit, intent.reason)]
    assert kept == [str, float, Decimal, Decimal, str]
    assert type(Intent("A", Side.BUY, Decimal("0.9")).confidence) is float


def test_a_side_is_a_side() -> None:
    with pytest.raises(ContractError, match=r"Side\.BUY or Side\.SELL, got 'BUY'"):
        Intent("A", "BUY", 0.5)  # type: ignore[arg-type]
    assert (Side.BUY.sign, Side.SELL.sign) == (1, -1)


def test_a_signal_speaks_of_its_intents_symbol_and_side() -> None:
    signal = Signal("d", "s", Pool.SCALP, Intent("A", Side.SELL, 1.0), 1)
    assert (signal.symbol, signal.side) == ("A", Side.SELL)
