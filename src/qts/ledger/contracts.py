"""Values that the book of record returns: the rows of one applied fill, reservations, the answer to a transfer.

The three row types are written by the store as they are; :mod:`qts.db.contracts` names them again for its users.
"""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import NamedTuple

import msgspec

from qts.capital.contracts import Pool
from qts.strategy.contracts import Side


class LedgerRow(msgspec.Struct, frozen=True):
    """One applied fill; append-only, unique by account, broker, ``trade_date``, order and execution id.

    ``amount`` = qty × price. ``trade_date`` is the market's own date of the fill (ISO); it and ``account`` are ""
    in rows of stores from before they were kept.

    ``realized_pnl`` is what this fill changed in the realised result of its pool, fee and tax in. The sum over
    all rows of a pool is the pool's realised result.
    """

    broker: str
    execution_id: str
    ts_ns: int
    symbol: str
    side: Side
    qty: Decimal
    price: Decimal
    amount: Decimal
    fee: Decimal
    tax: Decimal
    realized_pnl: Decimal
    strategy: str
    pool: Pool
    order_id: str
    account: str = ""
    trade_date: str = ""


class PositionRow(msgspec.Struct, frozen=True):
    """The holding of one strategy in one symbol after the batch's fills (signed quantity, cost without fees).

    ``cost`` has the sign of ``qty``. ``ts_ns`` is the time of the newest fill of the holding.
    """

    strategy: str
    pool: Pool
    symbol: str
    qty: Decimal
    cost: Decimal
    ts_ns: int


class PoolRow(msgspec.Struct, frozen=True):
    """Cash of a pool and what it has earned (realised, fees and taxes in) after the batch."""

    pool: Pool
    cash: Decimal
    realized_pnl: Decimal
    ts_ns: int


class ActionKind(str, Enum):
    """The two kinds of ledger rows beside fills."""

    SPLIT = "SPLIT"
    DIVIDEND = "DIVIDEND"


class ActionRow(msgspec.Struct, frozen=True):
    """One corporate action applied to the holding of one strategy; append-only.

    Unique by account, kind, symbol, ``ex_date`` (the market's own date, ISO) and strategy. ``held`` is the signed
    quantity before it, ``change`` what it adds: 0 for a dividend. ``new``:``old`` is the ratio of a split, 1:1 for
    a dividend. ``price`` is the amount a share of a dividend, or the price of a share before a split, at which a
    fraction is paid. ``amount`` is the cash received: a dividend before ``tax``, or what was paid for a fraction.

    ``realized_pnl`` is what it changed in the realised result of its pool: a dividend less its tax; for a split
    what the fraction brought over its cost.
    """

    kind: ActionKind
    ts_ns: int
    symbol: str
    strategy: str
    pool: Pool
    held: Decimal
    change: Decimal
    new: Decimal
    old: Decimal
    price: Decimal
    amount: Decimal
    tax: Decimal
    realized_pnl: Decimal
    account: str
    ex_date: str


class ActionEffect(msgspec.Struct, frozen=True):
    """The rows that one applied action changes; ``position`` and ``pool`` as they stand after it."""

    action: ActionRow
    position: PositionRow
    pool: PoolRow

    @property
    def records(self) -> tuple[ActionRow, PositionRow, PoolRow]:
        """Return the rows that belong into one transaction."""
        return (self.action, self.position, self.pool)


class FillEffect(msgspec.Struct, frozen=True):
    """The changes that one applied fill made.

    ``realized`` is net of fee and tax; ``gross`` is the trade's own result against average cost (0 for a fill that
    only opens). ``partial``: the order has something left to fill. Nothing true is refused, so three flags report
    what should not have happened: ``oversold`` (the holding is below zero after it), ``overfilled`` (more than the
    order's reservation had left), ``overdrawn`` (the pool's available cash is below zero). ``late``: an earlier
    fill than the newest one of its holding; the later ones were valued again, and the difference is in this row.
    """

    ledger: LedgerRow
    position: PositionRow
    pool: PoolRow
    realized: Decimal
    gross: Decimal
    closing: bool
    partial: bool
    oversold: bool
    overfilled: bool
    overdrawn: bool
    late: bool

    @property
    def records(self) -> tuple[LedgerRow, PositionRow, PoolRow]:
        """Return the rows that belong into one transaction."""
        return (self.ledger, self.position, self.pool)


class Reservation(msgspec.Struct, frozen=True):
    """The part of an open order still held back: ``cash`` of the pool (BUY) or ``qty`` of the holding (SELL)."""

    order_id: str
    strategy: str
    pool: Pool
    symbol: str
    side: Side
    qty: Decimal
    cost: Decimal
    left: Decimal
    cash: Decimal


class Valuation(NamedTuple):
    """The account's value at the marks of one moment, and how much of it is at stake."""

    equity: Decimal
    exposure: Decimal
    symbol_exposure: Decimal
    positions: dict[str, Decimal]


class TransferOutcome(str, Enum):
    """The answer to a transfer; only APPLIED changed anything."""

    APPLIED = "APPLIED"
    SEEN_BEFORE = "SEEN_BEFORE"
    EXCEEDS_AVAILABLE = "EXCEEDS_AVAILABLE"
