"""Targets of the pools: the share of equity that each should have."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TypeAlias

from qts.capital.config import CapitalConfig
from qts.capital.contracts import CapitalPool, Pool
from qts.errors import ContractError
from qts.money import TWO, exact_quotient, magnitude, minus, plus, ratio, sum_of

ShareRange: TypeAlias = tuple[Decimal, Decimal]
"""Lowest and highest share of equity."""


def targets_for_state(scalp: ShareRange, swing: ShareRange, portfolio: ShareRange) -> dict[Pool, Decimal]:
    """Return the midpoints of a state's three allocation ranges, normalised to 1 (GR050).

    Raises ContractError for a range that is upside down or below 0, or when all three are empty.
    """
    ranges = {Pool.SCALP: scalp, Pool.SWING: swing, Pool.PORTFOLIO: portfolio}
    for pool, (low, high) in ranges.items():
        if not 0 <= low <= high:
            raise ContractError(f"allocation range of {pool.value} needs 0 <= low <= high, got {low} and {high}")
    middle = {pool: exact_quotient(plus(low, high), TWO) for pool, (low, high) in ranges.items()}
    whole = sum_of(middle.values())
    if whole <= 0:
        raise ContractError("the three allocation ranges are all 0; at least one pool needs a share")
    return {pool: ratio(share, whole) for pool, share in middle.items()}


def opening_weights(config: CapitalConfig, targets: Mapping[Pool, Decimal]) -> dict[Pool, Decimal]:
    """Return the division of the opening capital: the targets of the state at the start, or all of it SCALP.

    Where there is one pool the targets give it everything.
    """
    if config.initial_split == "scalp" and config.pools == "three":
        return {pool: Decimal(int(pool is Pool.SCALP)) for pool in Pool}
    return dict(targets)


def drift(pools: Mapping[Pool, CapitalPool]) -> Decimal:
    """Return the largest distance of a pool from its target share (0.10 = 10 points).

    Above ``drift_limit`` it is GR055.
    """
    return max(magnitude(minus(pool.allocation_pct, pool.target_allocation_pct)) for pool in pools.values())
