"""Values that the book of record returns: the rows of one applied fill, reservations, the answer to a transfer.

The three row types are written by the store as they are; :mod:`qts.db.contracts` names them again for its users.
"""

from __future__ import annotations

from collections.abc import Set
from decimal import Decimal
from enum import Enum
from typing import Final, NamedTuple

import msgspec

from qts.capital.contracts import Pool
from qts.strategy.contracts import Side

DEFAULT_ACCOUNT: Final = "main"
"""The name of an account that was given none."""


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


class BookingKind(str, Enum):
    """The kinds of facts beside fills, splits, dividends and transfers.

    OPENING: cash and holdings that were at the broker before us. EXTERNAL_FILL: an execution of an order that is
    not ours. DEPOSIT and WITHDRAWAL: money that came in and went out, or shares of EXTERNAL that a strategy takes
    over. FEE and TAX: what the broker's total of a day is above (below) the sum of its fills. ADJUSTMENT: what the
    broker booked for another reason, interest for example. REVERSAL: an execution that the broker took back.
    """

    OPENING = "OPENING"
    EXTERNAL_FILL = "EXTERNAL_FILL"
    DEPOSIT = "DEPOSIT"
    WITHDRAWAL = "WITHDRAWAL"
    FEE = "FEE"
    TAX = "TAX"
    ADJUSTMENT = "ADJUSTMENT"
    REVERSAL = "REVERSAL"


class Charges(NamedTuple):
    """The fees and taxes of one day, in the account's currency; below 0: given back."""

    fees: Decimal
    taxes: Decimal


class BookingRow(msgspec.Struct, frozen=True):
    """One booked fact of another kind than a fill, a split, a dividend or a transfer; append-only.

    Unique by account, kind, ``pool``, ``symbol``, ``broker``, ``day``, ``order_id`` and ``reference``. ``pool``
    None: EXTERNAL, whatever at the broker is not ours. ``strategy``: whose holding changes; "" for none of ours.

    ``qty`` shares of ``symbol`` and ``amount`` of cash came in (negative: went out), before ``fee`` and ``tax``,
    which were charged (negative: given back); ``cost`` is what was added to the cost of the holding. ``price`` is
    that of an execution, or the market's for shares that a strategy takes over; 0 for everything else.
    ``realized_pnl`` is the change of the owner's realised result; 0 where capital came in or went out.

    ``reference`` identifies the fact: an execution id (with its ``broker``, ``order_id`` and the market's date
    ``day``), the id of an operator's command, or a broker's statement (``day``: the day that it is about).
    """

    kind: BookingKind
    ts_ns: int
    pool: Pool | None
    strategy: str
    symbol: str
    qty: Decimal
    price: Decimal
    amount: Decimal
    fee: Decimal
    tax: Decimal
    cost: Decimal
    realized_pnl: Decimal
    broker: str
    order_id: str
    reference: str
    day: str
    actor: str
    reason: str
    account: str


def is_sale_taken_back(row: BookingRow) -> bool:
    """Return whether ``row`` takes back a sale of a strategy: it holds the shares again."""
    return row.kind is BookingKind.REVERSAL and row.strategy != "" and row.qty > 0


class BookingEffect(msgspec.Struct, frozen=True):
    """The rows that one booking changes; the holding and the pool as they stand after it, None where not ours."""

    booking: BookingRow
    position: PositionRow | None
    pool: PoolRow | None

    @property
    def records(self) -> tuple[BookingRow | PositionRow | PoolRow, ...]:
        """Return the rows that belong into one transaction."""
        return tuple(row for row in (self.booking, self.position, self.pool) if row is not None)


class FillEffect(msgspec.Struct, frozen=True):
    """The changes that one applied fill made.

    ``realized`` is net of fee and tax; ``gross`` is the trade's own result against average cost (0 for a fill that
    only opens). Nothing true is refused, so three flags report what should not have happened: ``oversold`` (the
    holding is below zero after it), ``overfilled`` (more than the order's reservation had left), ``overdrawn`` (the
    pool's available cash is below zero). ``late``: an earlier fill than the newest one of its holding; the later
    ones were valued again, and the difference is in this row.

    ``reversal``: the broker had taken the fill back before it was reported; the reversal was booked with it, and
    ``position`` and ``pool`` stand as after both.
    """

    ledger: LedgerRow
    position: PositionRow
    pool: PoolRow
    realized: Decimal
    gross: Decimal
    closing: bool
    oversold: bool
    overfilled: bool
    overdrawn: bool
    late: bool
    reversal: BookingEffect | None = None

    @property
    def records(self) -> tuple[LedgerRow | BookingRow | PositionRow | PoolRow, ...]:
        """Return the rows that belong into one transaction."""
        if self.reversal is not None:
            return (self.ledger, *self.reversal.records)
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
    """The account's value at the marks of one moment, how much of it is at stake, and the symbols held."""

    equity: Decimal
    exposure: Decimal
    symbol_exposure: Decimal
    positions: Set[str]


class TransferOutcome(str, Enum):
    """The answer to a transfer; only APPLIED changed anything."""

    APPLIED = "APPLIED"
    SEEN_BEFORE = "SEEN_BEFORE"
    EXCEEDS_AVAILABLE = "EXCEEDS_AVAILABLE"
