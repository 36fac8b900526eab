"""Targets by operating state, worked by hand from the default ranges."""

from decimal import Decimal as D

import pytest

from qts.capital.config import CapitalConfig
from qts.capital.contracts import CapitalPool, Pool
from qts.capital.targets import drift, opening_weights, targets_for_state
from qts.errors import ContractError


def shares(*parts: str) -> dict[Pool, D]:
    return dict(zip((Pool.SCALP, Pool.SWING, Pool.PORTFOLIO), map(D, parts), strict=True))


def test_aggressive_midpoints_already_sum_to_one() -> None:
    # (0.60+0.80)/2 = 0.70, (0.15+0.30)/2 = 0.225, (0.05+0.10)/2 = 0.075
    got = targets_for_state((D("0.60"), D("0.80")), (D("0.15"), D("0.30")), (D("0.05"), D("0.10")))
    assert got == shares("0.70", "0.225", "0.075")


def test_balanced_and_defensive_midpoints() -> None:
    balanced = targets_for_state((D("0.30"), D("0.50")), (D("0.30"), D("0.40")), (D("0.20"), D("0.30")))
    defensive = targets_for_state((D("0.05"), D("0.15")), (D("0.15"), D("0.25")), (D("0.60"), D("0.80")))
    assert balanced == shares("0.40", "0.35", "0.25")
    assert defensive == shares("0.10", "0.20", "0.70")


def test_midpoints_that_sum_to_two_are_halved() -> None:
    got = targets_for_state((D(1), D(1)), (D("0.4"), D("0.6")), (D("0.5"), D("0.5")))
    assert got == shares("0.5", "0.25", "0.25")


def test_a_range_upside_down_is_refused_by_name() -> None:
    with pytest.raises(ContractError, match=r"SWING needs 0 <= low <= high, got 0\.4 and 0\.3"):
        targets_for_state((D(0), D(1)), (D("0.4"), D("0.3")), (D(0), D(1)))


def test_a_negative_share_is_refused() -> None:
    with pytest.raises(ContractError, match="SCALP"):
        targets_for_state((D("-0.1"), D(1)), (D(0), D(1)), (D(0), D(1)))


def test_three_empty_ranges_are_refused() -> None:
    with pytest.raises(ContractError, match="at least one pool"):
        targets_for_state((D(0), D(0)), (D(0), D(0)), (D(0), D(0)))


def test_the_opening_follows_the_targets_or_goes_all_to_scalp() -> None:
    targets = shares("0.40", "0.35", "0.25")
    assert opening_weights(CapitalConfig(), targets) == targets
    assert opening_weights(CapitalConfig(initial_split="scalp"), targets) == shares("1", "0", "0")


def test_drift_is_the_largest_distance_from_a_target() -> None:
    def pool(name: Pool, has: str, wants: str) -> CapitalPool:
        return CapitalPool(name, *[D(0)] * 7, D(has), D(wants))

    pools = {
        Pool.SCALP: pool(Pool.SCALP, "0.45", "0.40"),
        Pool.SWING: pool(Pool.SWING, "0.24", "0.35"),
        Pool.PORTFOLIO: pool(Pool.PORTFOLIO, "0.31", "0.25"),
    }
    assert drift(pools) == D("0.11")


def test_where_there_is_one_pool_it_pays_for_every_strategy_and_has_everything() -> None:
    # Given one pool
    config = CapitalConfig(pools="one", initial_split="scalp")
    # Then it pays whatever pool a strategy names, and the opening capital is all in it
    assert {config.paying_pool(pool) for pool in Pool} == {Pool.PORTFOLIO}
    everything = shares("0", "0", "1")
    assert opening_weights(config, everything) == everything
    # And with three each pays for its own
    assert [CapitalConfig().paying_pool(pool) for pool in Pool] == list(Pool)
