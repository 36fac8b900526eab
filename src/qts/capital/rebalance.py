"""Rebalancing: the moves of cash that bring the pools toward their targets. Pure: it plans and moves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from qts.capital.config import CapitalConfig
from qts.capital.contracts import CapitalPool, Pool, PoolState
from qts.money import ONE, ZERO, floor_to, minus, negated, split, times

TRANSFER_ORDER: Final = (Pool.PORTFOLIO, Pool.SWING, Pool.SCALP)
"""The order in which pools give, and in which they receive."""

REDUCED: Final = "GR053"
DEFERRED: Final = "GR054"


class Move(msgspec.Struct, frozen=True):
    """A move of cash from one pool to another, ``amount`` in whole quanta above 0.

    ``code`` is GR053 when the amount was reduced, else "".
    """

    source: Pool
    target: Pool
    amount: Decimal
    code: str
    reason: str


class DeferredMove(msgspec.Struct, frozen=True):
    """An excess that is not moved today; ``code`` is GR054."""

    source: Pool
    amount: Decimal
    code: str
    reason: str


class Plan(msgspec.Struct, frozen=True):
    """The moves of today, and those that have to wait, with the reason."""

    moves: tuple[Move, ...]
    waiting: tuple[DeferredMove, ...]


def moves_to_targets(
    pools: Mapping[Pool, CapitalPool],
    targets: Mapping[Pool, Decimal],
    equity: Decimal,
    moved_today: Decimal,
    config: CapitalConfig,
    *,
    quantum: Decimal = ONE,
) -> Plan:
    """Plan moves from pools above their target to pools below it, amounts in the account's currency.

    PORTFOLIO gives first, then SWING, then SCALP; receivers are filled in the same order. A move never exceeds the
    source's excess, its available cash, what keeps it at its minimum (``min_amount`` and ``min_share``), the room
    to the receiver's ``max_share``, or what is left of the day's limit after ``moved_today``: a move reduced by one
    of these has the code GR053; one below ``min_transfer`` waits with GR054. LOCKED pools neither give nor receive.
    """
    if equity <= 0:
        return Plan((), ())
    wanted = split(equity, {pool: targets.get(pool, ZERO) for pool in Pool}, quantum, config.remainder)
    excess = {pool: minus(pools[pool].total, wanted[pool]) for pool in TRANSFER_ORDER}
    room = {pool: _room(pools[pool], negated(excess[pool]), equity, config) for pool in TRANSFER_ORDER}
    budget = max(floor_to(minus(times(equity, config.daily_transfer_limit), moved_today), quantum), ZERO)
    moves: list[Move] = []
    waiting: list[DeferredMove] = []
    for source in TRANSFER_ORDER:
        left = floor_to(excess[source], quantum)
        if left <= 0:
            continue
        can_give, limit_reason = _available_of(pools[source], equity, config)
        for target in TRANSFER_ORDER:
            asked = min(left, room[target])
            if asked <= 0:
                continue
            amount = floor_to(min(asked, can_give, budget), quantum)
            reduced_by = "" if amount == floor_to(asked, quantum) else _limit_reason(can_give, budget, limit_reason)
            if amount <= 0 or amount < config.min_transfer:
                waiting.append(_deferred(source, target, asked, reduced_by, config))
                continue
            moves.append(_move(source, target, amount, asked, reduced_by, targets))
            left, can_give, budget = minus(left, amount), minus(can_give, amount), minus(budget, amount)
            room[target] = minus(room[target], amount)
    return Plan(tuple(moves), tuple(waiting))


def _room(pool: CapitalPool, lacking: Decimal, equity: Decimal, config: CapitalConfig) -> Decimal:
    """Return what a pool may receive: up to its target, never past its maximum share."""
    if pool.pool_state is PoolState.LOCKED:
        return ZERO
    return min(lacking, minus(times(equity, config.limits(pool.pool_id).max_share), pool.total))


def _available_of(pool: CapitalPool, equity: Decimal, config: CapitalConfig) -> tuple[Decimal, str]:
    """Return what a pool can give, and the reason why it is not more."""
    if pool.pool_state is PoolState.LOCKED:
        return ZERO, f"{pool.pool_id.value} is locked"
    limits = config.limits(pool.pool_id)
    minimum = max(limits.min_amount, times(equity, limits.min_share))
    above_minimum = minus(pool.total, minimum)
    if above_minimum < pool.available:
        return max(above_minimum, ZERO), f"{pool.pool_id.value} must keep {minimum:,f}"
    return max(pool.available, ZERO), f"{pool.pool_id.value} has {pool.available:,f} available"


def _limit_reason(can_give: Decimal, budget: Decimal, pool_reason: str) -> str:
    return pool_reason if can_give <= budget else f"the day's limit leaves {budget:,f}"


def _move(
    source: Pool, target: Pool, amount: Decimal, asked: Decimal, reduced_by: str, targets: Mapping[Pool, Decimal]
) -> Move:
    reason = f"{target.value} toward its target of {targets.get(target, ZERO):.2%}"
    if reduced_by:
        return Move(source, target, amount, REDUCED, f"{reason}; reduced from {asked:,f}: {reduced_by}")
    return Move(source, target, amount, "", reason)


def _deferred(source: Pool, target: Pool, asked: Decimal, reduced_by: str, config: CapitalConfig) -> DeferredMove:
    cause = reduced_by or f"less than the smallest transfer of {config.min_transfer:,f}"
    return DeferredMove(source, asked, DEFERRED, f"{asked:,f} from {source.value} to {target.value} waits: {cause}")
