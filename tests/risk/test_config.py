"""The gate's settings: base limits, bounds on every field, impossible combinations."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from qts.risk.config import RELOADABLE, RiskConfig


def test_the_base_limits() -> None:
    config = RiskConfig()
    assert config.exposure_limit == 0.95
    assert config.symbol_weight_limit == 0.15
    assert (config.daily_loss_warning, config.daily_loss_limit) == (0.03, 0.05)
    assert config.market_order_allowance == 0.005
    assert config.problems() == []


@pytest.mark.parametrize("name", RiskConfig.__struct_fields__)
def test_every_field_has_bounds_and_a_description(name: str) -> None:
    (field,) = [f for f in msgspec.inspect.type_info(RiskConfig).fields if f.name == name]  # type: ignore[attr-defined]
    kind = field.type
    assert isinstance(kind, msgspec.inspect.Metadata)
    assert kind.extra_json_schema
    assert kind.extra_json_schema["description"]
    for bad in (-1, 10**9):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert({name: bad}, RiskConfig)


@pytest.mark.parametrize("document", [{"max_los": 0.05}, {"exposure_limit": "0.5"}, {"exposure_limit": True}])
def test_unknown_keys_and_other_types_are_refused(document: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(document, RiskConfig)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"daily_loss_warning": 0.05}, "daily_loss_warning"),
        ({"symbol_weight_limit": 0.96}, "symbol_weight_limit"),
        ({"order_rate_kept_for_exits": 15}, "order_rate_kept_for_exits"),
        ({"exposure_limit": float("nan")}, "exposure_limit"),
        ({"daily_loss_limit": float("inf")}, "daily_loss_limit"),
    ],
)
def test_impossible_combinations_are_named(changes: dict[str, Any], field: str) -> None:
    ((where, message),) = RiskConfig(**changes).problems()
    assert where == field
    assert field in message


@pytest.mark.parametrize(
    "changes", [{"daily_loss_warning": 0.049}, {"symbol_weight_limit": 0.95}, {"order_rate_kept_for_exits": 14}]
)
def test_the_other_side_of_each_is_possible(changes: dict[str, Any]) -> None:
    assert RiskConfig(**changes).problems() == []


def test_what_reloads_exists() -> None:
    assert set(RiskConfig.__struct_fields__) >= RELOADABLE
    assert "approval_ttl_ms" not in RELOADABLE
