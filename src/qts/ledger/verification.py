"""Verification of a stored book: every entry balances, and the sums of all entries are what the book claims."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal

import msgspec

from qts.capital.contracts import CapitalPool, Pool, Transfer
from qts.execution.contracts import Order
from qts.ledger.audit import Claims, ProvenRows
from qts.ledger.close_check import differing_closes
from qts.ledger.closes import DayCloseRow, HoldingCloseRow
from qts.ledger.contracts import ActionRow, BookingRow, LedgerRow, PoolRow, PositionRow
from qts.ledger.entries import (
    Balance,
    BookAccount,
    BookKind,
    Entry,
    add_to_balances,
    cash_of,
    entries_of,
    holding_of,
    in_time,
    realized_of,
)
from qts.money import ZERO, plus, sum_of, times


class BookRows(msgspec.Struct, frozen=True):
    """The stored rows of one run at one moment, and its opening cash by pool.

    ``quantum`` is the least amount of the currency; None where a run of an earlier version has not stored it: costs
    are then not computed again from the prices paid.
    """

    initial: Mapping[Pool, Decimal]
    quantum: Decimal | None
    ledger: Sequence[LedgerRow]
    transfers: Sequence[Transfer]
    actions: Sequence[ActionRow]
    orders: Sequence[Order]
    positions: Sequence[PositionRow]
    pools: Sequence[PoolRow]
    bookings: Sequence[BookingRow] = ()
    closes: Sequence[DayCloseRow] = ()
    holding_closes: Sequence[HoldingCloseRow] = ()

    def entries(self) -> list[Entry]:
        """Return the entries of all facts in the order of time."""
        return sorted(self.unordered_entries(), key=in_time)

    def unordered_entries(self) -> Iterator[Entry]:
        """Yield the entries of all facts, kind after kind, each made when it is asked for."""
        return entries_of(self.initial, self.ledger, self.transfers, self.actions, self.bookings)


class Difference(msgspec.Struct, frozen=True):
    """A place where the book is not what its rows add up to: what it is about, and both values in words."""

    subject: str
    detail: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.detail}"


class Verification(msgspec.Struct, frozen=True):
    """The outcome of a verification. ``comparisons`` counts the values that were held against each other."""

    entries: int
    postings: int
    comparisons: int
    differences: tuple[Difference, ...]
    balances: Mapping[BookAccount, Balance]


class _Comparison:
    """Counts comparisons and keeps what differs."""

    def __init__(self) -> None:
        self.count = 0
        self.differences: list[Difference] = []

    def same(self, subject: str, stored: object, summed: object) -> None:
        self.count += 1
        if stored != summed:
            self.differences.append(Difference(subject, f"{stored} is stored, the entries give {summed}"))


def verify(rows: BookRows) -> Verification:
    """Compute the book again from its rows; differences come in the order: rows, entries, sums, average costs.

    The time grows with the number of fills: about 30 µs each. No more than one entry is in memory at a time.
    """
    found = _Comparison()
    _compare_amounts(found, rows.ledger)
    entries = postings = 0
    unbalanced: list[Entry] = []
    balances: dict[BookAccount, Balance] = {}
    for entry in rows.unordered_entries():
        entries += 1
        postings += len(entry.postings)
        if entry.imbalance():
            unbalanced.append(entry)
        add_to_balances(balances, entry)
    found.count += entries
    found.differences += map(_imbalance_of, sorted(unbalanced, key=in_time))
    _compare_sums(found, rows, balances)
    _compare_with_audit(found, rows)
    _compare_closes(found, rows)
    return Verification(entries, postings, found.count, tuple(found.differences), balances)


def _compare_closes(found: _Comparison, rows: BookRows) -> None:
    """Compare the opening balances of each day with what the rows until then add up to."""
    found.count += len(rows.closes) + len(rows.holding_closes)
    facts = (rows.ledger, rows.actions, rows.transfers, rows.bookings)
    for one in differing_closes(rows.initial, rows.closes, rows.holding_closes, *facts):
        found.differences.append(Difference(one.subject, f"{one.stored} is stored, the rows give {one.summed}"))


def _imbalance_of(entry: Entry) -> Difference:
    rest = ", ".join(f"{amount} {symbol or 'of money'}" for symbol, amount in entry.imbalance().items())
    return Difference(_named(entry), f"its postings leave {rest} over")


def _compare_amounts(found: _Comparison, ledger: Sequence[LedgerRow]) -> None:
    for number, row in enumerate(ledger, 1):
        amount = times(row.qty, row.price)
        found.count += 1
        if row.amount != amount:
            found.differences.append(
                Difference(f"fill {number}", f"the amount {row.amount} is not {row.qty} × {row.price} = {amount}")
            )


def _compare_sums(found: _Comparison, rows: BookRows, balances: Mapping[BookAccount, Balance]) -> None:
    """Compare pools and positions with what the entries add up to, both ways."""
    nothing = Balance()
    for pool in rows.pools:
        found.same(f"cash of {pool.pool.value}", pool.cash, balances.get(cash_of(pool.pool), nothing).amount)
        found.same(f"result of {pool.pool.value}", pool.realized_pnl, realized_of(balances, pool.pool))
    stored = {holding_of(row.strategy, row.symbol): row for row in rows.positions}
    booked = [account for account in balances if account.kind is BookKind.HOLDING]
    for account in dict.fromkeys((*booked, *stored)):
        row, summed = stored.get(account), balances.get(account, nothing)
        found.same(f"shares of {account}", row.qty if row else ZERO, summed.qty)
        found.same(f"cost of {account}", row.cost if row else ZERO, summed.amount)


def _compare_with_audit(found: _Comparison, rows: BookRows) -> None:
    """Hold what is stored against the audit's own sums: keys, orders, and costs from the prices paid."""
    quantum = rows.quantum
    claims = _claims_of(rows)
    sums = ProvenRows(rows.initial, quantum if quantum is not None else _ANY_COST)
    result = sums.audit(
        ledger=rows.ledger,
        transfers=rows.transfers,
        orders=rows.orders,
        claims=claims,
        mark=lambda symbol: None,
        actions=rows.actions,
        bookings=rows.bookings,
    )
    found.count += sum(result.checks.values())
    found.differences += (Difference(one.subject, one.detail) for one in result.findings)


_ANY_COST = Decimal("1E+60")
"""In place of an unknown quantum: no cost is further than this from another."""


def _claims_of(rows: BookRows) -> Claims:
    """Return what the stored rows claim, holdings valued at cost, nothing held back."""
    cost = dict.fromkeys(Pool, ZERO)
    by_symbol: dict[str, Decimal] = {}
    for row in rows.positions:
        cost[row.pool] = plus(cost[row.pool], row.cost)
        by_symbol[row.symbol] = plus(by_symbol.get(row.symbol, ZERO), row.qty)
    stored = {row.pool: row for row in rows.pools}
    pools = {pool: _pool_at_cost(pool, stored.get(pool), cost[pool]) for pool in Pool}
    return Claims(
        equity=sum_of(pool.total for pool in pools.values()),
        cash=sum_of(pool.available for pool in pools.values()),
        positions=by_symbol,
        holdings=rows.positions,
        pools=pools,
        reservations=(),
        fills_applied=len(rows.ledger),
        actions_applied=len(rows.actions),
        bookings_applied=len(rows.bookings),
    )


def _pool_at_cost(pool: Pool, row: PoolRow | None, cost: Decimal) -> CapitalPool:
    cash, realized = (ZERO, ZERO) if row is None else (row.cash, row.realized_pnl)
    return CapitalPool(
        pool_id=pool,
        total=plus(cash, cost),
        available=cash,
        invested=cost,
        reserved=ZERO,
        realized_pnl=realized,
        unrealized_pnl=ZERO,
        accumulated_profit=realized,
        allocation_pct=ZERO,
        target_allocation_pct=ZERO,
    )


def selected(
    entries: Sequence[Entry],
    *,
    account: str = "",
    order: str = "",
    since_ns: int | None = None,
    until_ns: int | None = None,
) -> Iterator[tuple[Entry, Balance | None]]:
    """Yield the entries that a reader asks for, each with the balance of ``account`` after it.

    ``account`` names an account or a group of them by its first parts (``cash``, ``cash:SCALP``); the balance is
    None without one. ``order`` is an order or another reference. The times are ns since 1970, UTC, the second one
    not included; None: from the first, up to the last. The balance includes what came before ``since_ns``.
    """
    held = Balance()
    for entry in entries:
        if account:
            mine = [one for one in entry.postings if is_in(one.account, account)]
            if not mine:
                continue
            amount, qty = sum_of(one.amount for one in mine), sum_of(one.qty for one in mine)
            held = Balance(plus(held.amount, amount), plus(held.qty, qty))
        if order and entry.reference != order:
            continue
        if (since_ns is None or entry.ts_ns >= since_ns) and (until_ns is None or entry.ts_ns < until_ns):
            yield entry, held if account else None


def is_in(account: BookAccount, name: str) -> bool:
    """Return whether ``account`` is the one called ``name``, or one of the group of that name."""
    text = str(account)
    return text == name or text.startswith(f"{name}:")


def _named(entry: Entry) -> str:
    return f"{entry.kind.value.lower()} {entry.row} ({entry.text})"
