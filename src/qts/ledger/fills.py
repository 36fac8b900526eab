"""The effect of one execution on the book: whether it can be booked, the cash it moves, the row it leaves."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from qts.capital.contracts import Pool
from qts.clock import from_ns
from qts.errors import ContractError
from qts.execution.contracts import Fill
from qts.ledger.contracts import LedgerRow
from qts.money import MAX_DECIMALS, MAX_WHOLE_DIGITS, is_bounded, minus, negated, times
from qts.strategy.contracts import Side


class FillId(NamedTuple):
    """The identity of an execution, whatever else its notice has. ``trade_date``: the market's own, ISO."""

    account: str
    broker: str
    trade_date: str
    order_id: str
    execution_id: str


def id_of_row(row: LedgerRow) -> FillId:
    """Return the identity of a booked fill."""
    return FillId(row.account, row.broker, row.trade_date, row.order_id, row.execution_id)


def fill_of_row(row: LedgerRow, *, last: bool) -> Fill:
    """Return the execution of a booked row; ``last``: its order had nothing left to fill after it."""
    return Fill(
        row.broker,
        row.execution_id,
        row.order_id,
        row.symbol,
        row.side,
        row.qty,
        row.price,
        row.fee,
        row.tax,
        row.ts_ns,
        last,
    )


def utc_date(ts_ns: int) -> str:
    """Return the date of a market whose days are UTC days."""
    return from_ns(ts_ns).date().isoformat()


def check(fill: Fill) -> None:
    """Raise ContractError for numbers that cannot be booked exactly; called before anything is."""
    for name, value in (("qty", fill.qty), ("price", fill.price)):
        if not (value.is_finite() and value > 0):
            raise ContractError(f"fill {fill.execution_id}: {name} must be finite and above 0, got {value}")
    for name, value in (("fee", fill.fee), ("tax", fill.tax)):
        if not value.is_finite():
            raise ContractError(f"fill {fill.execution_id}: {name} must be finite, got {value}")
    for name, value in (("qty", fill.qty), ("price", fill.price), ("fee", fill.fee), ("tax", fill.tax)):
        if not is_bounded(value):
            raise ContractError(
                f"fill {fill.execution_id}: {name} may have {MAX_WHOLE_DIGITS} digits before and {MAX_DECIMALS} "
                f"behind the point, got {value}"
            )


def signed_qty(fill: Fill | LedgerRow) -> Decimal:
    """Return the quantity that an execution adds to its holding: below 0 for a sale."""
    return fill.qty if fill.side is Side.BUY else negated(fill.qty)


def cash_of(signed: Decimal, row: Fill | LedgerRow) -> Decimal:
    """Return what an execution changes in the pool's cash."""
    return minus(minus(negated(times(signed, row.price)), row.fee), row.tax)


def ledger_row(fill: Fill, identity: FillId, strategy: str, pool: Pool, net: Decimal) -> LedgerRow:
    """Return the row of an execution; ``net`` is what it changed in the realised result of its pool."""
    return LedgerRow(
        fill.broker,
        fill.execution_id,
        fill.ts_ns,
        fill.symbol,
        fill.side,
        fill.qty,
        fill.price,
        times(fill.qty, fill.price),
        fill.fee,
        fill.tax,
        net,
        strategy,
        pool,
        fill.client_order_id,
        identity.account,
        identity.trade_date,
    )
