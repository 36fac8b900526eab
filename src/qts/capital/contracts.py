"""The values of capital: pools, their states, transfers between them."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum

import msgspec


class Pool(str, Enum):
    """A slice of capital with a horizon: minutes to hours, days to weeks, months to years."""

    SCALP = "SCALP"
    SWING = "SWING"
    PORTFOLIO = "PORTFOLIO"


class PoolState(str, Enum):
    """The state of a pool: does it trade? LOCKED neither gives nor receives capital."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    LOCKED = "LOCKED"


class CapitalPool(msgspec.Struct, frozen=True):
    """A snapshot of one pool, amounts in the account's currency.

    ``available`` = ``total`` − ``invested`` − ``reserved``, never negative; ``invested`` is the marked value of
    the pool's holdings. ``allocation_pct`` and ``target_allocation_pct`` are shares of equity (0..1).
    """

    pool_id: Pool
    total: Decimal
    available: Decimal
    invested: Decimal
    reserved: Decimal
    realized_pnl: Decimal
    unrealized_pnl: Decimal
    accumulated_profit: Decimal
    allocation_pct: Decimal
    target_allocation_pct: Decimal
    pool_state: PoolState = PoolState.ACTIVE


class Transfer(msgspec.Struct, frozen=True):
    """One transfer between pools: two rows of the same id whose amounts sum to zero (`whole-transfer`).

    ``ts_ns`` is nanoseconds since the epoch, ``amount`` above 0 in the account's currency.
    """

    transfer_id: str
    ts_ns: int
    source: Pool
    target: Pool
    amount: Decimal
    rule: str
    reason: str
