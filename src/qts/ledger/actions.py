"""Ledger rows of splits and dividends: what an action does to one holding, as pure functions.

A split leaves whole lots; the fraction of a lot that is left over is paid in cash at the price at which the holding
was valued, so the account is worth the same to the quantum. A dividend is paid on the shares held, less its tax.
Amounts are rounded to the nearest quantum, half to even.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from typing import NamedTuple

from qts.capital.contracts import Pool
from qts.ledger.contracts import ActionKind, ActionRow
from qts.ledger.holding import FillKey, fill_key
from qts.market.actions import Dividend, Split
from qts.market.contracts import Instrument
from qts.money import ONE, ZERO, minus, multiple_of, plus, times, truncate_to, whole_steps


class ActionId(NamedTuple):
    """The identity of a booked action, whatever else its row has. ``ex_date``: the market's own, ISO."""

    account: str
    kind: ActionKind
    symbol: str
    ex_date: str
    strategy: str


class Holder(NamedTuple):
    """The holding that an action applies to: whose it is, and how many shares (signed)."""

    account: str
    strategy: str
    pool: Pool
    qty: Decimal


def action_id(row: ActionRow) -> ActionId:
    """Return the identity of a row."""
    return ActionId(row.account, row.kind, row.symbol, row.ex_date, row.strategy)


def action_key(row: ActionRow) -> FillKey:
    """Return the place of an action among the fills of its holding."""
    return fill_key(row.ts_ns, "", "", row.ex_date)


def split_row(
    split: Split, holder: Holder, *, ts_ns: int, lot: Decimal, price: Decimal, quantum: Decimal
) -> ActionRow:
    """Return the row of ``split`` without its realised result; ``price`` is of a share before the split."""
    change, paid = split_change(split, holder.qty, lot=lot, price=price, quantum=quantum)
    return ActionRow(
        ActionKind.SPLIT,
        ts_ns,
        split.symbol,
        holder.strategy,
        holder.pool,
        holder.qty,
        change,
        split.new,
        split.old,
        price,
        paid,
        ZERO,
        ZERO,
        holder.account,
        split.day.isoformat(),
    )


def split_change(
    split: Split, held: Decimal, *, lot: Decimal, price: Decimal, quantum: Decimal
) -> tuple[Decimal, Decimal]:
    """Return the change of ``held`` shares by ``split`` to whole lots, and the cash for the fraction left over.

    ``price`` is of a share before the split. A fraction is (held × new − whole × old) ÷ old shares, each worth
    price × old ÷ new: one division, one rounding.
    """
    whole = split.shares(held, lot)
    left_over = minus(times(held, split.new), times(whole, split.old))
    quanta = whole_steps(times(left_over, price), times(split.new, quantum), ROUND_HALF_EVEN)
    return minus(whole, held), times(quanta, quantum)


def dividend_row(
    dividend: Dividend, holder: Holder, *, ts_ns: int, tax: Callable[[Decimal], Decimal], quantum: Decimal
) -> ActionRow:
    """Return the row of ``dividend``; ``tax`` gives the tax on what is received. A short holding pays."""
    amount = multiple_of(times(holder.qty, dividend.amount), quantum, ROUND_HALF_EVEN)
    kept_back = tax(amount) if amount > 0 else ZERO
    return ActionRow(
        ActionKind.DIVIDEND,
        ts_ns,
        dividend.symbol,
        holder.strategy,
        holder.pool,
        holder.qty,
        ZERO,
        ONE,
        ONE,
        dividend.amount,
        amount,
        kept_back,
        minus(amount, kept_back),
        holder.account,
        dividend.day.isoformat(),
    )


def dividend_tax(instrument: Instrument, day: date, rate: Decimal | None) -> Callable[[Decimal], Decimal]:
    """Return the function that gives the tax on a dividend of ``day``: by ``rate``, else by the market's rules."""
    if rate is None:
        return lambda amount: instrument.costs.dividend_tax(amount, day)
    return lambda amount: truncate_to(times(amount, rate), instrument.quantum)


def kept_share(row: ActionRow) -> tuple[Decimal, Decimal]:
    """Return the part of the cost that stays with the whole lots of a split, as numerator and denominator."""
    return times(plus(row.held, row.change), row.old), times(row.held, row.new)
