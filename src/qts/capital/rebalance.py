"""Moves of cash that bring the pools toward their targets (spec 02, 04). Pure: says what to move, moves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

from qts.capital.config import CapitalConfig
from qts.capital.contracts import CapitalPool, Pool, PoolState
from qts.money import ONE, ZERO, floor_to, minus, negated, split, times

GIVING_ORDER: Final = (Pool.PORTFOLIO, Pool.SWING, Pool.SCALP)
"""Who gives first, and who is filled first (spec 02)."""

REDUCED: Final = "GR053"
WAITS: Final = "GR054"


class Move(msgspec.Struct, frozen=True):
    """Cash from one pool to another, ``amount`` in whole quanta above 0. ``code`` is GR053 when it was reduced."""

    source: Pool
    target: Pool
    amount: Decimal
    code: str
    reason: str


class Waiting(msgspec.Struct, frozen=True):
    """An excess that stays where it is for now; ``code`` is GR054."""

    source: Pool
    amount: Decimal
    code: str
    reason: str


class Plan(msgspec.Struct, frozen=True):
    """What can move today, and what has to wait and why."""

    moves: tuple[Move, ...]
    waiting: tuple[Waiting, ...]


def moves_to_targets(
    pools: Mapping[Pool, CapitalPool],
    targets: Mapping[Pool, Decimal],
    equity: Decimal,
    moved_today: Decimal,
    config: CapitalConfig,
    *,
    quantum: Decimal = ONE,
) -> Plan:
    """Moves from pools above their target to pools below it, amounts in the account's currency.

    PORTFOLIO gives first, then SWING, then SCALP; receivers are filled in the same order. A move never exceeds the
    giver's excess, its available cash, what keeps it at its minimum (``min_amount`` and ``min_share``), the room to
    the receiver's ``max_share``, or what is left of the day's limit after ``moved_today``: reduced by one of these
    it says GR053; below ``min_transfer`` it waits and says GR054. LOCKED pools neither give nor receive.
    """
    if equity <= 0:
        return Plan((), ())
    wanted = split(equity, {pool: targets.get(pool, ZERO) for pool in Pool}, quantum, config.remainder)
    excess = {pool: minus(pools[pool].total, wanted[pool]) for pool in GIVING_ORDER}
    room = {pool: _room(pools[pool], negated(excess[pool]), equity, config) for pool in GIVING_ORDER}
    budget = max(floor_to(minus(times(equity, config.daily_transfer_limit), moved_today), quantum), ZERO)
    moves: list[Move] = []
    waiting: list[Waiting] = []
    for giver in GIVING_ORDER:
        left = floor_to(excess[giver], quantum)
        if left <= 0:
            continue
        can_give, short = _can_give(pools[giver], equity, config)
        for taker in GIVING_ORDER:
            asked = min(left, room[taker])
            if asked <= 0:
                continue
            amount = floor_to(min(asked, can_give, budget), quantum)
            why = "" if amount == floor_to(asked, quantum) else _why(can_give, budget, short)
            if amount <= 0 or amount < config.min_transfer:
                waiting.append(_waiting(giver, taker, asked, why, config))
                continue
            moves.append(_move(giver, taker, amount, asked, why, targets))
            left, can_give, budget = minus(left, amount), minus(can_give, amount), minus(budget, amount)
            room[taker] = minus(room[taker], amount)
    return Plan(tuple(moves), tuple(waiting))


def _room(pool: CapitalPool, lacking: Decimal, equity: Decimal, config: CapitalConfig) -> Decimal:
    """What a pool may receive: up to its target, never past its maximum share."""
    if pool.pool_state is PoolState.LOCKED:
        return ZERO
    return min(lacking, minus(times(equity, config.limits(pool.pool_id).max_share), pool.total))


def _can_give(pool: CapitalPool, equity: Decimal, config: CapitalConfig) -> tuple[Decimal, str]:
    """What a pool can do without, and what stands in the way of more."""
    if pool.pool_state is PoolState.LOCKED:
        return ZERO, f"{pool.pool_id.value} is locked"
    limits = config.limits(pool.pool_id)
    floor = max(limits.min_amount, times(equity, limits.min_share))
    above_floor = minus(pool.total, floor)
    if above_floor < pool.available:
        return max(above_floor, ZERO), f"{pool.pool_id.value} must keep {floor:,f}"
    return max(pool.available, ZERO), f"{pool.pool_id.value} has {pool.available:,f} available"


def _why(can_give: Decimal, budget: Decimal, short: str) -> str:
    return short if can_give <= budget else f"the day's limit leaves {budget:,f}"


def _move(
    giver: Pool, taker: Pool, amount: Decimal, asked: Decimal, why: str, targets: Mapping[Pool, Decimal]
) -> Move:
    reason = f"{taker.value} toward its target of {targets.get(taker, ZERO):.2%}"
    if why:
        return Move(giver, taker, amount, REDUCED, f"{reason}; reduced from {asked:,f}: {why}")
    return Move(giver, taker, amount, "", reason)


def _waiting(giver: Pool, taker: Pool, asked: Decimal, why: str, config: CapitalConfig) -> Waiting:
    cause = why or f"less than the smallest transfer of {config.min_transfer:,f}"
    return Waiting(giver, asked, WAITS, f"{asked:,f} from {giver.value} to {taker.value} waits: {cause}")
