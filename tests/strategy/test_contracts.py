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


@pytest.mark.parametrize("confidence", [-0.001, 1.001, float("nan"), float("inf")])
def test_confidence_lies_between_zero_and_one(confidence: float) -> None:
    with pytest.raises(ContractError, match="confidence must be between 0 and 1"):
        Intent("A", Side.BUY, confidence)


@pytest.mark.parametrize("name", ["qty", "limit"])
@pytest.mark.parametrize("value", [0, -1, Decimal(0), Decimal("NaN"), Decimal("Infinity"), 1.5, True, "10"])
def test_quantities_and_limits_are_exact_finite_and_above_zero(name: str, value: Any) -> None:
    with pytest.raises(ContractError, match=rf"Intent\.{name} must be"):
        Intent("A", Side.BUY, 0.5, **{name: value})


def test_a_side_is_a_side() -> None:
    with pytest.raises(ContractError, match=r"Side\.BUY or Side\.SELL, got 'BUY'"):
        Intent("A", "BUY", 0.5)  # type: ignore[arg-type]
    assert (Side.BUY.sign, Side.SELL.sign) == (1, -1)


def test_a_signal_speaks_of_its_intents_symbol_and_side() -> None:
    signal = Signal("d", "s", Pool.SCALP, Intent("A", Side.SELL, 1.0), 1)
    assert (signal.symbol, signal.side) == ("A", Side.SELL)
