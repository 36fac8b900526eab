"""Checks the closes of days: each is what the rows up to its marks add up to, by code of its own.

Rows are added in the order of booking, so a fact that came late for a closed day is part of a later close.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple, TypeVar

from qts.capital.contracts import Pool, Transfer
from qts.ledger.closes import BookMarks, DayCloseRow, HoldingCloseRow
from qts.ledger.contracts import ActionKind, ActionRow, BookingKind, BookingRow, LedgerRow
from qts.money import ZERO, minus, plus, times
from qts.strategy.contracts import Side

_T = TypeVar("_T", Decimal, str)


class CloseDifference(NamedTuple):
    """A value of a close that its rows do not give."""

    subject: str
    stored: object
    summed: object


class _Sums:
    """The sums of the rows added so far."""

    def __init__(self, initial: dict[Pool, Decimal]) -> None:
        self.cash = dict(initial)
        self.realized = dict.fromkeys(Pool, ZERO)
        self.totals = dict.fromkeys(
            (
                *("fees", "taxes", "dividends", "dividend_taxes", "fractions"),
                *("deposits", "withdrawals", "adjustments", "contributions", "contributed_value"),
            ),
            ZERO,
        )
        self.external_cash = self.external_realized = ZERO
        self.newest_trade_date = ""
        self.held: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
        self.changed: set[tuple[str, str]] = set()

    def add_fill(self, row: LedgerRow) -> None:
        paid = times(row.qty, row.price)
        qty = row.qty
        if row.side is Side.SELL:
            paid, qty = minus(ZERO, paid), minus(ZERO, qty)
        charges = plus(row.fee, row.tax)
        self.newest_trade_date = max(self.newest_trade_date, row.trade_date)
        self._earn(row.pool, minus(minus(ZERO, paid), charges), row.realized_pnl)
        self._total("fees", row.fee)
        self._total("taxes", row.tax)
        self._hold(row.strategy, row.symbol, qty, plus(paid, plus(row.realized_pnl, charges)))

    def add_action(self, row: ActionRow) -> None:
        self._earn(row.pool, minus(row.amount, row.tax), row.realized_pnl)
        if row.kind is ActionKind.DIVIDEND:
            self._total("dividends", row.amount)
            self._total("dividend_taxes", row.tax)
            return
        self._total("fractions", row.amount)
        self._hold(row.strategy, row.symbol, row.change, minus(row.realized_pnl, row.amount))

    def add_transfer(self, row: Transfer) -> None:
        self.cash[row.source] = minus(self.cash[row.source], row.amount)
        self.cash[row.target] = plus(self.cash[row.target], row.amount)

    def add_booking(self, row: BookingRow) -> None:
        cash = minus(minus(row.amount, row.fee), row.tax)
        if row.symbol:
            self._hold(row.strategy, row.symbol, row.qty, row.cost)
        if row.kind is BookingKind.EXTERNAL_FILL:
            self.newest_trade_date = max(self.newest_trade_date, row.day)
        if row.pool is None:
            self.external_cash = plus(self.external_cash, cash)
            self.external_realized = plus(self.external_realized, row.realized_pnl)
            return
        self._earn(row.pool, cash, row.realized_pnl)
        self._total("fees", row.fee)
        self._total("taxes", row.tax)
        if row.kind is BookingKind.DEPOSIT and row.symbol:
            self._total("contributions", row.cost)
            self._total("contributed_value", times(row.qty, row.price))
        elif row.kind is BookingKind.DEPOSIT:
            self._total("deposits", row.amount)
        elif row.kind is BookingKind.WITHDRAWAL:
            self._total("withdrawals", minus(ZERO, row.amount))
        elif row.kind is BookingKind.ADJUSTMENT:
            self._total("adjustments", row.amount)

    def _earn(self, pool: Pool, cash: Decimal, realized: Decimal) -> None:
        self.cash[pool] = plus(self.cash[pool], cash)
        self.realized[pool] = plus(self.realized[pool], realized)

    def _total(self, name: str, amount: Decimal) -> None:
        self.totals[name] = plus(self.totals[name], amount)

    def _hold(self, strategy: str, symbol: str, qty: Decimal, cost: Decimal) -> None:
        name = (strategy, symbol)
        had = self.held.get(name, (ZERO, ZERO))
        self.held[name] = plus(had[0], qty), plus(had[1], cost)
        self.changed.add(name)


def differing_closes(
    initial: Mapping[Pool, Decimal],
    closes: Sequence[DayCloseRow],
    holdings: Sequence[HoldingCloseRow],
    ledger: Sequence[LedgerRow],
    actions: Sequence[ActionRow],
    transfers: Sequence[Transfer],
    bookings: Sequence[BookingRow],
) -> Iterator[CloseDifference]:
    """Yield what the rows of the book do not give of the stored closes, in their order.

    All are in the order of writing, from the first; ``initial`` is the opening cash by pool. The time grows with
    the number of rows: about 3 µs each.
    """
    by_day: dict[str, dict[tuple[str, str], HoldingCloseRow]] = {}
    for row in holdings:
        by_day.setdefault(row.day, {})[row.strategy, row.symbol] = row
    sums, begin = _Sums(dict(initial)), BookMarks()
    for close in closes:
        end = close.marks
        for fill in ledger[begin.fills : end.fills]:
            sums.add_fill(fill)
        for action in actions[begin.actions : end.actions]:
            sums.add_action(action)
        for transfer in transfers[begin.transfers : end.transfers]:
            sums.add_transfer(transfer)
        for booking in bookings[begin.bookings : end.bookings]:
            sums.add_booking(booking)
        begin = end
        there = (len(ledger), len(actions), len(transfers), len(bookings))
        if any(mark > count for mark, count in zip(end, there, strict=True)):
            yield CloseDifference(f"close of {close.day}, rows", tuple(end), there)
            return
        yield from _of_close(close, sums)
        yield from _of_holdings(close.day, by_day.pop(close.day, {}), sums)
    for day in by_day:
        yield CloseDifference(f"holdings at the close of {day}", len(by_day[day]), "no close of that day")


def _of_close(close: DayCloseRow, sums: _Sums) -> Iterator[CloseDifference]:
    for pool in Pool:
        yield from _same(f"close of {close.day}, cash of {pool.value}", close.cash[pool], sums.cash[pool])
        yield from _same(f"close of {close.day}, result of {pool.value}", close.realized[pool], sums.realized[pool])
    for name, amount in sums.totals.items():
        yield from _same(f"close of {close.day}, {name.replace('_', ' ')}", getattr(close, name), amount)
    date = f"close of {close.day}, newest trade date"
    yield from _same(date, close.newest_trade_date, sums.newest_trade_date)
    yield from _same(f"close of {close.day}, cash of EXTERNAL", close.external_cash, sums.external_cash)
    yield from _same(f"close of {close.day}, result of EXTERNAL", close.external_realized, sums.external_realized)


def _of_holdings(
    day: str, stored: dict[tuple[str, str], HoldingCloseRow], sums: _Sums
) -> Iterator[CloseDifference]:
    for name in sorted(sums.changed | stored.keys()):
        row, (qty, cost) = stored.get(name), sums.held.get(name, (ZERO, ZERO))
        subject = f"close of {day}, {name[0] or 'EXTERNAL'} {name[1]}"
        if row is None:
            yield CloseDifference(subject, "nothing", f"{qty} shares that cost {cost}")
            continue
        yield from _same(f"{subject}, shares", row.qty, qty)
        yield from _same(f"{subject}, cost", row.cost, cost)
    sums.changed.clear()


def _same(subject: str, stored: _T, summed: _T) -> Iterator[CloseDifference]:
    if stored != summed:
        yield CloseDifference(subject, stored, summed)
