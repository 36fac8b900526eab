"""The operating states and what each allows, number by number."""

from __future__ import annotations

from decimal import Decimal

import pytest

from qts.state import STATE_PROPERTIES, OperatingState, StateProperties, TransitionMetrics
from qts.state.contracts import UNKNOWN_METRICS

A, B, D = OperatingState.AGGRESSIVE, OperatingState.BALANCED, OperatingState.DEFENSIVE


@pytest.mark.parametrize(
    ("name", "aggressive", "balanced", "defensive"),
    [
        ("scalp_allocation_range", (0.60, 0.80), (0.30, 0.50), (0.05, 0.15)),
        ("swing_allocation_range", (0.15, 0.30), (0.30, 0.40), (0.15, 0.25)),
        ("portfolio_allocation_range", (0.05, 0.10), (0.20, 0.30), (0.60, 0.80)),
        ("risk_tolerance_multiplier", 1.2, 1.0, 0.5),
        ("entry_signal_threshold", 0.60, 0.70, 0.90),
        ("max_positions", 20, 15, 10),
        ("max_daily_trades", 50, 30, 10),
        ("rebalancing_enabled", False, True, True),
        ("new_entry_enabled", True, True, False),
        ("scalp_engine_active", True, True, False),
        ("swing_engine_active", True, True, True),
    ],
)
def test_the_table_of_properties(name: str, aggressive: object, balanced: object, defensive: object) -> None:
    assert [getattr(STATE_PROPERTIES[state], name) for state in (A, B, D)] == [aggressive, balanced, defensive]


def test_every_property_is_in_that_table() -> None:
    assert len(StateProperties.__struct_fields__) == 11


def test_where_properties_meet_money_they_are_exact() -> None:
    assert [STATE_PROPERTIES[state].multiplier for state in (A, B, D)] == [
        Decimal("1.2"),
        Decimal("1.0"),
        Decimal("0.5"),
    ]
    assert STATE_PROPERTIES[A].allocation_ranges()["SCALP"] == (Decimal("0.6"), Decimal("0.8"))


def test_ranges_for_money_are_the_decimals_that_were_written() -> None:
    found = STATE_PROPERTIES[A].allocation_ranges()
    assert found == {
        "SCALP": (Decimal("0.6"), Decimal("0.8")),
        "SWING": (Decimal("0.15"), Decimal("0.3")),
        "PORTFOLIO": (Decimal("0.05"), Decimal("0.1")),
    }


@pytest.mark.parametrize(
    "value", [STATE_PROPERTIES[B], TransitionMetrics(), UNKNOWN_METRICS], ids=["properties", "metrics", "unknown"]
)
def test_values_never_change_after_they_are_made(value: object) -> None:
    with pytest.raises(AttributeError):
        setattr(value, value.__struct_fields__[0], 1)  # type: ignore[attr-defined]


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        STATE_PROPERTIES[A] = STATE_PROPERTIES[B]  # type: ignore[index]


def test_metrics_default_to_measured_and_calm_and_unknown_is_none_everywhere() -> None:
    calm = TransitionMetrics()
    assert (calm.vix, calm.drawdown_pct, calm.market_circuit_breaker) == (0.0, 0.0, False)
    assert all(getattr(UNKNOWN_METRICS, name) is None for name in TransitionMetrics.__struct_fields__)
    assert TransitionMetrics.__struct_fields__ == (
        "drawdown_pct",
        "vix",
        "consecutive_scalp_losses",
        "daily_loss_pct",
        "market_circuit_breaker",
        "consecutive_profitable_days",
        "cagr",
        "target_cagr",
        "capital_growth_pct",
        "win_rate_30d",
    )


def test_states_are_texts_and_know_their_order() -> None:
    assert OperatingState("BALANCED") is B
    assert B == "BALANCED"
    assert sorted(OperatingState, key=lambda state: state.boldness) == [D, B, A]
