"""Settings of safety: the default numbers, their bounds, contradictions."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from qts.safety.config import RELOADABLE, SafetyConfig


def test_the_defaults_are_exactly_these() -> None:
    config = SafetyConfig()
    assert config.warning_clear_minutes == 10
    assert (config.broker_failure_limit, config.broker_failure_window_minutes) == (3, 5)
    assert config.exposure_fail_safe_factor == 1.2
    assert config.cycle_jump_factor == 3
    assert config.problems() == []


@pytest.mark.parametrize(
    ("field", "below", "lowest", "highest", "above"),
    [
        ("warning_clear_minutes", 0.9, 1, 1440, 1441),
        ("broker_failure_limit", 1, 2, 10, 11),
        ("broker_failure_window_minutes", 0.4, 0.5, 60, 61),
        ("exposure_fail_safe_factor", 1, 1.01, 2, 2.01),
        ("cycle_jump_factor", 1.4, 1.5, 100, 101),
        ("history_limit", 9, 10, 10_000, 10_001),
    ],
)
def test_every_field_has_bounds(field: str, below: Any, lowest: Any, highest: Any, above: Any) -> None:
    for value in (lowest, highest):
        msgspec.convert({field: value}, SafetyConfig)
    for value in (below, above):
        with pytest.raises(msgspec.ValidationError, match=field):
            msgspec.convert({field: value}, SafetyConfig)


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="warning_clear_minuts"):
        msgspec.convert({"warning_clear_minuts": 5}, SafetyConfig)


def test_a_window_longer_than_the_clear_time_is_a_contradiction() -> None:
    assert SafetyConfig(warning_clear_minutes=5, broker_failure_window_minutes=5).problems() == []
    problems = SafetyConfig(warning_clear_minutes=4, broker_failure_window_minutes=5).problems()
    assert [field for field, _ in problems] == ["broker_failure_window_minutes"]


def test_reloadable_names_are_fields() -> None:
    assert set(SafetyConfig.__struct_fields__) >= RELOADABLE
