"""The defaults of capital flow, and the combinations that cannot be used."""

from decimal import Decimal as D

import msgspec

from qts.capital.config import RELOADABLE, CapitalConfig, PoolLimits
from qts.capital.contracts import Pool


def limits(low: str, high: str) -> PoolLimits:
    return PoolLimits(min_share=D(low), max_share=D(high), min_amount=D(0))


def test_the_defaults_are_exactly_these() -> None:
    config = CapitalConfig()
    assert config.initial_split == "targets"
    assert config.remainder is Pool.PORTFOLIO
    assert (config.daily_transfer_limit, config.min_transfer, config.drift_limit) == (
        D("0.05"),
        D(100_000),
        D("0.10"),
    )
    assert config.limits(Pool.SCALP) == PoolLimits(
        min_share=D("0.05"), max_share=D("0.80"), min_amount=D(1_000_000)
    )
    assert config.limits(Pool.SWING) == PoolLimits(
        min_share=D("0.10"), max_share=D("0.50"), min_amount=D(2_000_000)
    )
    assert config.limits(Pool.PORTFOLIO) == PoolLimits(
        min_share=D("0.05"), max_share=D("0.80"), min_amount=D(3_000_000)
    )


def test_the_defaults_can_be_used() -> None:
    assert CapitalConfig().problems() == []


def test_reloadable_names_are_fields() -> None:
    assert {name.split(".")[0] for name in RELOADABLE} <= set(CapitalConfig.__struct_fields__)


def test_an_account_in_another_currency_keeps_the_shares_and_loses_the_floors_in_won() -> None:
    bare = CapitalConfig().without_amounts()
    assert bare.min_transfer == 0
    assert [bare.limits(pool).min_amount for pool in Pool] == [0, 0, 0]
    assert bare.limits(Pool.SWING).max_share == D("0.50")


def test_a_minimum_above_its_maximum_is_named() -> None:
    config = msgspec.structs.replace(CapitalConfig(), swing=limits("0.6", "0.5"))
    assert config.problems() == [("swing.min_share", "must not be above max_share 0.5, got 0.6")]


def test_minimums_may_sum_to_one_but_not_beyond() -> None:
    at = CapitalConfig(scalp=limits("0.4", "1"), swing=limits("0.3", "1"), portfolio=limits("0.3", "1"))
    beyond = msgspec.structs.replace(at, swing=limits("0.31", "1"))
    assert at.problems() == []
    assert beyond.problems() == [("scalp.min_share", "the three min_share may sum to at most 1, they sum to 1.01")]


def test_maximums_must_reach_one() -> None:
    at = CapitalConfig(scalp=limits("0", "0.4"), swing=limits("0", "0.3"), portfolio=limits("0", "0.3"))
    short = msgspec.structs.replace(at, scalp=limits("0", "0.39"))
    assert at.problems() == []
    assert short.problems() == [("scalp.max_share", "the three max_share must sum to at least 1, they sum to 0.99")]
