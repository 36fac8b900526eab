"""The book in double entry: every booked fact as an entry whose postings add up to nothing.

An entry moves money and shares between accounts of the book. Its amounts add up to 0, and so do its quantities of
each symbol, so nothing can appear or vanish: what a pool pays is what a holding costs, a broker charges and a
result loses. Amounts are in the account's currency, positive where something is held or was spent, negative where
it comes from: capital paid in and results earned. Quantities are shares or contracts.

Entries follow from the stored rows alone, by the functions of this module; they share no code with the book in
memory (:mod:`qts.ledger.account`), against whose claims :mod:`qts.ledger.verification` holds their sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Final, NamedTuple

import msgspec

from qts.capital.contracts import Pool, Transfer
from qts.ledger.bookings import FROM_OUTSIDE, OF_FILLS
from qts.ledger.contracts import ActionKind, ActionRow, BookingRow, LedgerRow
from qts.money import ZERO, minus, negated, plus, sum_of, times
from qts.strategy.contracts import Side


class BookKind(str, Enum):
    """The kinds of accounts in the book; the value is how their names begin.

    ``CASH``, ``RESULT``, ``FEES``, ``TAXES`` and ``DIVIDENDS`` are kept by pool, ``HOLDING`` by strategy and
    symbol, at cost. ``RESULT`` is what trades and fractions have earned before fees and taxes. ``CAPITAL`` is where
    opening and deposits come from and withdrawals go to, ``MARKET`` where shares come from and go to, by symbol; it
    holds no money. ``EXTERNAL`` is what is at the broker and not ours: its accounts have the same names behind it.
    """

    CASH = "cash"
    HOLDING = "holding"
    RESULT = "result"
    FEES = "fees"
    TAXES = "taxes"
    DIVIDENDS = "dividends"
    CAPITAL = "capital"
    MARKET = "market"
    EXTERNAL = "external"


class BookAccount(NamedTuple):
    """An account of the book; ``names`` are its pool, its strategy and symbol, its symbol, or empty.

    One of EXTERNAL has the kind it would have in a pool as its first name, then the symbol of a holding.
    """

    kind: BookKind
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ":".join((self.kind.value, *self.names))


class EntryKind(str, Enum):
    """The kinds of facts that are booked."""

    OPENING = "OPENING"
    DEPOSIT = "DEPOSIT"
    WITHDRAWAL = "WITHDRAWAL"
    TRANSFER = "TRANSFER"
    FILL = "FILL"
    SPLIT = "SPLIT"
    DIVIDEND = "DIVIDEND"
    EXTERNAL_FILL = "EXTERNAL_FILL"
    REVERSAL = "REVERSAL"
    FEE = "FEE"
    TAX = "TAX"
    ADJUSTMENT = "ADJUSTMENT"


class Posting(NamedTuple):
    """A change of one account: ``amount`` in the account's currency, ``qty`` shares of ``symbol`` ("": none)."""

    account: BookAccount
    amount: Decimal
    qty: Decimal = ZERO
    symbol: str = ""


class Entry(msgspec.Struct, frozen=True):
    """One booked fact. ``row`` is its number among the stored rows of its kind, from 1.

    ``reference`` is the order, the ex-date, or the id of the transfer or booking that it belongs to; ``text`` says
    what happened.
    """

    kind: EntryKind
    row: int
    ts_ns: int
    reference: str
    text: str
    postings: tuple[Posting, ...]

    def imbalance(self) -> Mapping[str, Decimal]:
        """Return what the postings leave over, by symbol, "" for money; empty when the entry is balanced."""
        left = {"": sum_of(one.amount for one in self.postings)}
        for one in self.postings:
            if one.symbol:
                left[one.symbol] = plus(left.get(one.symbol, ZERO), one.qty)
        return {name: amount for name, amount in left.items() if amount}


_CAPITAL: Final = BookAccount(BookKind.CAPITAL)


def cash_of(pool: Pool) -> BookAccount:
    """Return the account of a pool's cash."""
    return BookAccount(BookKind.CASH, (pool.value,))


def holding_of(strategy: str, symbol: str) -> BookAccount:
    """Return the account of a strategy's holding in a symbol."""
    return BookAccount(BookKind.HOLDING, (strategy, symbol))


def opening_entry(initial: Mapping[Pool, Decimal]) -> Entry:
    """Return the entry of the opening cash by pool. Its time is 0: it comes before everything."""
    paid_in = tuple(Posting(cash_of(pool), initial.get(pool, ZERO)) for pool in Pool)
    total = sum_of(one.amount for one in paid_in)
    return Entry(EntryKind.OPENING, 1, 0, "", "opening cash", (*paid_in, Posting(_CAPITAL, negated(total))))


def transfer_entry(row: int, transfer: Transfer) -> Entry:
    """Return the entry of a transfer between pools."""
    t = transfer
    postings = (Posting(cash_of(t.source), negated(t.amount)), Posting(cash_of(t.target), t.amount))
    return Entry(EntryKind.TRANSFER, row, t.ts_ns, t.transfer_id, t.reason, postings)


def fill_entry(row: int, fill: LedgerRow) -> Entry:
    """Return the entry of a fill: its cash, the change of the holding at cost, fee, tax and result.

    What the fill earned before fee and tax is its ``realized_pnl`` with both added; the cost of the holding changes
    by that and by what was paid. The amount is computed from quantity and price, not taken from the row.
    """
    amount = times(fill.qty, fill.price)
    bought = fill.side is Side.BUY
    paid, qty = (amount, fill.qty) if bought else (negated(amount), negated(fill.qty))
    earned = plus(plus(fill.realized_pnl, fill.fee), fill.tax)
    cash = negated(plus(plus(paid, fill.fee), fill.tax))
    pool = (fill.pool.value,)
    postings = [
        Posting(cash_of(fill.pool), cash),
        Posting(holding_of(fill.strategy, fill.symbol), plus(paid, earned), qty, fill.symbol),
        Posting(BookAccount(BookKind.MARKET, (fill.symbol,)), ZERO, negated(qty), fill.symbol),
    ]
    for kind, change in (
        (BookKind.FEES, fill.fee),
        (BookKind.TAXES, fill.tax),
        (BookKind.RESULT, negated(earned)),
    ):
        if change:
            postings.append(Posting(BookAccount(kind, pool), change))
    text = f"{fill.side.value} {fill.qty} {fill.symbol} at {fill.price}"
    return Entry(EntryKind.FILL, row, fill.ts_ns, fill.order_id, text, tuple(postings))


def action_entry(row: int, action: ActionRow) -> Entry:
    """Return the entry of a split or dividend.

    A split changes the shares, and the cost by that of the fraction that was paid out; a dividend brings cash, less
    its tax.
    """
    a = action
    pool, cash = (a.pool.value,), minus(a.amount, a.tax)
    taxed = (Posting(BookAccount(BookKind.TAXES, pool), a.tax),) if a.tax else ()
    if a.kind is ActionKind.DIVIDEND:
        income = Posting(BookAccount(BookKind.DIVIDENDS, pool), negated(a.amount))
        postings: tuple[Posting, ...] = (Posting(cash_of(a.pool), cash), *taxed, income)
        text = f"{a.price} a share on {a.held} {a.symbol}"
        return Entry(EntryKind.DIVIDEND, row, a.ts_ns, a.ex_date, text, postings)
    earned = plus(a.realized_pnl, a.tax)  # by the fraction that was paid out, over its cost
    postings = (
        Posting(holding_of(a.strategy, a.symbol), minus(earned, a.amount), a.change, a.symbol),
        Posting(BookAccount(BookKind.MARKET, (a.symbol,)), ZERO, negated(a.change), a.symbol),
        *((Posting(cash_of(a.pool), cash),) if cash else ()),
        *taxed,
        *((Posting(BookAccount(BookKind.RESULT, pool), negated(earned)),) if earned else ()),
    )
    text = f"{a.new}:{a.old} on {a.held} {a.symbol}"
    return Entry(EntryKind.SPLIT, row, a.ts_ns, a.ex_date, text, postings)


def booking_entry(row: int, booking: BookingRow) -> Entry:
    """Return the entry of a booking: cash, shares at cost, fee and tax; the rest is capital, or a result."""
    b = booking
    gained = plus(b.amount, b.cost)
    source = _CAPITAL if b.kind in FROM_OUTSIDE else _account(BookKind.RESULT, b)
    cash = minus(minus(b.amount, b.fee), b.tax)
    postings = [
        Posting(account, change)
        for account, change in (
            (_account(BookKind.CASH, b), cash),
            (_account(BookKind.FEES, b), b.fee),
            (_account(BookKind.TAXES, b), b.tax),
            (source, negated(gained)),
        )
        if change
    ]
    if b.symbol:
        names = ("holding", b.symbol)
        held = BookAccount(BookKind.EXTERNAL, names) if b.pool is None else holding_of(b.strategy, b.symbol)
        market = BookAccount(BookKind.MARKET, (b.symbol,))
        postings.append(Posting(held, b.cost, b.qty, b.symbol))
        postings.append(Posting(market, ZERO, negated(b.qty), b.symbol))
    text = f"execution {b.reference}: {b.qty:+f} {b.symbol} at {b.price}" if b.kind in OF_FILLS else b.reason
    return Entry(EntryKind[b.kind.value], row, b.ts_ns, b.order_id or b.reference, text, tuple(postings))


def _account(kind: BookKind, booking: BookingRow) -> BookAccount:
    if booking.pool is None:
        return BookAccount(BookKind.EXTERNAL, (kind.value,))
    return BookAccount(kind, (booking.pool.value,))


def entries_of(
    initial: Mapping[Pool, Decimal],
    ledger: Sequence[LedgerRow],
    transfers: Sequence[Transfer],
    actions: Sequence[ActionRow],
    bookings: Sequence[BookingRow] = (),
) -> Iterator[Entry]:
    """Yield the entries of all facts, kind after kind, those of a kind as they were booked; see :func:`in_time`."""
    yield opening_entry(initial)
    yield from (fill_entry(n, one) for n, one in enumerate(ledger, 1))
    yield from (action_entry(n, one) for n, one in enumerate(actions, 1))
    yield from (transfer_entry(n, one) for n, one in enumerate(transfers, 1))
    yield from (booking_entry(n, one) for n, one in enumerate(bookings, 1))


class Balance(NamedTuple):
    """The holding of an account of the book: money, and shares where it is of one symbol."""

    amount: Decimal = ZERO
    qty: Decimal = ZERO


_EMPTY: Final = Balance()


def balances_of(entries: Iterable[Entry]) -> dict[BookAccount, Balance]:
    """Return what every account holds after ``entries``, in the order in which the accounts were first used."""
    balances: dict[BookAccount, Balance] = {}
    for entry in entries:
        add_to_balances(balances, entry)
    return balances


def add_to_balances(balances: dict[BookAccount, Balance], entry: Entry) -> None:
    """Add the postings of ``entry`` to what its accounts hold."""
    for account, amount, qty, _ in entry.postings:
        before = balances.get(account)
        balances[account] = (
            Balance(amount, qty)
            if before is None
            else Balance(plus(before.amount, amount), plus(before.qty, qty) if qty else before.qty)
        )


def external_of(balances: Mapping[BookAccount, Balance], *names: str) -> Balance:
    """Return what EXTERNAL holds in cash (``names`` "cash"), or of a symbol ("holding" and it)."""
    return balances.get(BookAccount(BookKind.EXTERNAL, names), Balance())


def realized_of(balances: Mapping[BookAccount, Balance], pool: Pool) -> Decimal:
    """Return the realised result of a pool, fees, taxes and dividends in, as the book's balances show it."""
    kinds = (BookKind.RESULT, BookKind.DIVIDENDS, BookKind.FEES, BookKind.TAXES)
    spent = sum_of(balances.get(BookAccount(kind, (pool.value,)), Balance()).amount for kind in kinds)
    return negated(spent)


_ORDER: Final = {kind: place for place, kind in enumerate(EntryKind)}


def in_time(entry: Entry) -> tuple[int, int, int]:
    """Return the key that sorts entries by time; those of one moment and kind stay as they were booked."""
    return (entry.ts_ns, _ORDER[entry.kind], entry.row)
