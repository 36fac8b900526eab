"""Settings of the operating state: the default numbers, bounds, contradictions."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from qts.state.config import RELOADABLE, StateConfig, property_rows
from qts.state.contracts import STATE_PROPERTIES, OperatingState


def made(plain: dict[str, Any]) -> StateConfig:
    return msgspec.convert(plain, StateConfig)


def test_the_defaults_are_exactly_these() -> None:
    config = StateConfig()
    assert config.default_state is OperatingState.BALANCED
    assert (config.override_max_duration_days, config.cooldown_hours) == (7, 24)
    assert (config.confirmation_cycles, config.confirmation_hours) == (2, 2)
    assert [config.hold_days(state) for state in OperatingState] == [7, 5, 3]
    one, two = config.aggressive_to_balanced, config.balanced_to_defensive
    assert (one.drawdown_pct, one.vix, one.consecutive_scalp_losses, one.daily_loss_pct) == (0.05, 25, 5, 0.02)
    assert (two.drawdown_pct, two.vix) == (0.10, 30)
    three, four = config.defensive_to_balanced, config.balanced_to_aggressive
    assert (three.drawdown_pct, three.vix, three.profitable_days, three.held_days) == (0.05, 20, 3, 5)
    assert (four.vix, four.capital_growth_pct, four.win_rate_30d, four.held_days) == (15, 0.10, 0.60, 10)
    assert config.table == dict(STATE_PROPERTIES)
    assert config.problems() == []


@pytest.mark.parametrize(
    ("path", "below", "lowest", "highest", "above"),
    [
        ("override_max_duration_days", 0, 0.01, 7, 7.01),
        ("cooldown_hours", -1, 0, 720, 721),
        ("confirmation_cycles", 0, 1, 100, 101),
        ("confirmation_hours", -0.1, 0, 240, 241),
        ("history_limit", 9, 10, 10_000, 10_001),
        ("min_hold_days.aggressive", -1, 0, 365, 366),
        ("min_hold_days.balanced", -1, 0, 365, 366),
        ("min_hold_days.defensive", -1, 0, 365, 366),
        ("aggressive_to_balanced.drawdown_pct", 0, 0.001, 0.999, 1),
        ("aggressive_to_balanced.vix", 0, 0.1, 200, 201),
        ("aggressive_to_balanced.consecutive_scalp_losses", -1, 0, 1000, 1001),
        ("aggressive_to_balanced.daily_loss_pct", 0, 0.001, 0.999, 1),
        ("balanced_to_defensive.drawdown_pct", 0, 0.001, 0.999, 1),
        ("balanced_to_defensive.vix", 0, 0.1, 200, 201),
        ("defensive_to_balanced.drawdown_pct", 0, 0.001, 0.999, 1),
        ("defensive_to_balanced.vix", 0, 0.1, 200, 201),
        ("defensive_to_balanced.profitable_days", -1, 0, 365, 366),
        ("defensive_to_balanced.held_days", -1, 0, 365, 366),
        ("balanced_to_aggressive.vix", 0, 0.1, 200, 201),
        ("balanced_to_aggressive.capital_growth_pct", -0.1, 0, 10, 10.1),
        ("balanced_to_aggressive.win_rate_30d", -0.1, 0, 1, 1.1),
        ("balanced_to_aggressive.held_days", -1, 0, 365, 366),
        ("properties.aggressive.risk_tolerance_multiplier", 0, 0.01, 2, 2.01),
        ("properties.balanced.entry_signal_threshold", -0.1, 0, 1, 1.1),
        ("properties.defensive.max_positions", 0, 1, 1000, 1001),
        ("properties.defensive.max_daily_trades", 0, 1, 100_000, 100_001),
        ("properties.aggressive.scalp_allocation_range", [-0.1, 1], [0, 1], [1, 1], [0, 1.1]),
    ],
)
def test_every_number_has_bounds(path: str, below: Any, lowest: Any, highest: Any, above: Any) -> None:
    for value in (lowest, highest):
        made(_nested(path, value))
    for value in (below, above):
        with pytest.raises(msgspec.ValidationError):
            made(_nested(path, value))


@pytest.mark.parametrize(
    "path", ["cooldown_hour", "aggressive_to_balanced.vixx", "properties.balanced.max_position"]
)
def test_unknown_keys_are_refused(path: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=path.rsplit(".", maxsplit=1)[-1]):
        made(_nested(path, 1))


def test_one_property_can_be_given_alone() -> None:
    config = made({"properties": {"aggressive": {"max_positions": 25}}})
    assert config.properties.aggressive.max_positions == 25
    assert config.properties.aggressive.max_daily_trades == 50


@pytest.mark.parametrize(
    ("plain", "field"),
    [
        ({"balanced_to_aggressive": {"vix": 25.1}}, "balanced_to_aggressive.vix"),
        ({"defensive_to_balanced": {"vix": 30.1}}, "defensive_to_balanced.vix"),
        ({"defensive_to_balanced": {"drawdown_pct": 0.101}}, "defensive_to_balanced.drawdown_pct"),
        (
            {"properties": {"balanced": {"scalp_allocation_range": [0.5, 0.3]}}},
            "properties.balanced.scalp_allocation_range",
        ),
        ({"properties": {"balanced": {"scalp_allocation_range": [0.6, 0.7]}}}, "properties.balanced"),
        ({"properties": {"defensive": {"portfolio_allocation_range": [0.1, 0.2]}}}, "properties.defensive"),
        (
            {"properties": {"balanced": {"risk_tolerance_multiplier": 1.3}}},
            "properties.balanced.risk_tolerance_multiplier",
        ),
        (
            {"properties": {"defensive": {"entry_signal_threshold": 0.6}}},
            "properties.defensive.entry_signal_threshold",
        ),
        ({"properties": {"defensive": {"new_entry_enabled": True}}}, "properties.defensive.new_entry_enabled"),
    ],
)
def test_contradictions_name_the_field(plain: dict[str, Any], field: str) -> None:
    assert [name for name, _ in made(plain).problems()] == [field]


def test_thresholds_may_touch() -> None:
    assert made({"balanced_to_aggressive": {"vix": 25}, "defensive_to_balanced": {"vix": 30}}).problems() == []


def test_reloadable_names_are_fields_and_the_first_state_is_not_among_them() -> None:
    plain = msgspec.to_builtins(StateConfig())
    for name in RELOADABLE:
        value = plain
        for part in name.split("."):
            value = value[part]
    assert "default_state" not in RELOADABLE
    assert "aggressive_to_balanced.vix" in RELOADABLE


def test_the_reference_rows_show_the_table() -> None:
    rows = property_rows()
    assert len(rows) == 11
    assert rows[0] == ("scalp_allocation_range", "0.60–0.80", "0.30–0.50", "0.05–0.15")
    assert ("risk_tolerance_multiplier", "1.2", "1.0", "0.5") in rows
    assert ("new_entry_enabled", "yes", "yes", "no") in rows


def _nested(path: str, value: Any) -> dict[str, Any]:
    for part in reversed(path.split(".")):
        value = {part: value}
    return value
