"""Rows of deposits, withdrawals, true-ups of fees and taxes, adjustments and EXTERNAL, as pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from qts.capital.contracts import Pool
from qts.errors import ContractError
from qts.ledger.contracts import BookingKind, BookingRow, Charges, LedgerRow
from qts.ledger.fills import FillId
from qts.ledger.holding import FillKey, fill_key
from qts.money import (
    ZERO,
    floor_to,
    is_bounded,
    is_multiple,
    magnitude,
    minus,
    negated,
    plus,
    split,
    sum_of,
    times,
)

FROM_OUTSIDE: Final = frozenset({BookingKind.OPENING, BookingKind.DEPOSIT, BookingKind.WITHDRAWAL})
"""Kinds that bring or take capital; what all others bring is a result."""
OF_FILLS: Final = frozenset({BookingKind.EXTERNAL_FILL, BookingKind.REVERSAL})
"""Kinds that follow from an execution, whose id they bear."""
_WHOLE: Final = ("qty", "price", "amount", "fee", "tax", "cost", "realized_pnl")


class BookingId(NamedTuple):
    """The identity of a booking, whatever else its row has."""

    account: str
    kind: BookingKind
    pool: Pool | None
    symbol: str
    broker: str
    day: str
    order_id: str
    reference: str


class BookingNote(NamedTuple):
    """The source of a booking: the id that identifies it, when (ns since 1970, UTC), who booked it, and why."""

    reference: str
    ts_ns: int
    actor: str
    reason: str


def booking_id(row: BookingRow) -> BookingId:
    """Return the identity of a row."""
    return BookingId(row.account, row.kind, row.pool, row.symbol, row.broker, row.day, row.order_id, row.reference)


def fill_id_of(row: BookingRow) -> FillId:
    """Return the identity of the execution that an EXTERNAL_FILL or a REVERSAL is about."""
    return FillId(row.account, row.broker, row.day, row.order_id, row.reference)


def key_of_booking(row: BookingRow) -> FillKey:
    """Return the place of a booking of shares among the fills of its holding: before those of its moment."""
    return fill_key(row.ts_ns, "", "", f"{row.kind.value} {row.reference}")


def cash_change(row: BookingRow) -> Decimal:
    """Return what the booking changes in its owner's cash."""
    return minus(minus(row.amount, row.fee), row.tax)


def booking_row(
    kind: BookingKind,
    account: str,
    note: BookingNote,
    pool: Pool | None,
    *,
    strategy: str = "",
    symbol: str = "",
    qty: Decimal = ZERO,
    price: Decimal = ZERO,
    amount: Decimal = ZERO,
    fee: Decimal = ZERO,
    tax: Decimal = ZERO,
    cost: Decimal = ZERO,
    day: str = "",
) -> BookingRow:
    """Return the row of a fact that follows from no execution, with its result."""
    gained = ZERO if kind in FROM_OUTSIDE else minus(minus(plus(amount, cost), fee), tax)
    return BookingRow(
        kind,
        note.ts_ns,
        pool,
        strategy,
        symbol,
        qty,
        price,
        amount,
        fee,
        tax,
        cost,
        gained,
        "",
        "",
        note.reference,
        day,
        note.actor,
        note.reason,
        account,
    )


def check_booking(row: BookingRow, quantum: Decimal) -> None:
    """Raise ContractError for a row that cannot be booked, or one that follows from an execution.

    Amounts must be whole quanta (fees and taxes bring a sum of finer ones to the broker's total, and shares that
    were bought at a finer price have a finer cost), and only what its kind has may differ from 0.
    """
    name = f"{row.kind.value} {row.reference!r}"
    if row.kind in OF_FILLS:
        raise ContractError(f"{name}: it follows from an execution and is booked with that alone")
    for field in _WHOLE:
        value = getattr(row, field)
        if not is_bounded(value):
            raise ContractError(f"{name}: {field} is no amount that can be booked, got {value}")
        if field == "amount" and not is_multiple(value, quantum):
            raise ContractError(f"{name}: {field} must be whole units of {quantum}, got {value}")
    used = {field for field in _WHOLE if getattr(row, field) and field != "realized_pnl"}
    allowed = _ALLOWED[row.kind]
    if row.pool is None and row.kind in (BookingKind.OPENING, BookingKind.ADJUSTMENT):
        allowed = frozenset({"qty", "amount", "cost"})
    elif row.symbol and row.kind in _IN_KIND and not row.amount:
        allowed = frozenset({"qty", "price", "cost"})
    if not used or not used <= allowed:
        raise ContractError(
            f"{name}: has {', '.join(sorted(used)) or 'nothing'}; allowed: {', '.join(sorted(allowed))}"
        )
    if bool(row.symbol) is not bool({"qty", "cost"} & used):
        raise ContractError(f"{name}: shares and their cost need a symbol, and only they have one")
    if row.kind is BookingKind.OPENING and row.pool is not None:
        raise ContractError(f"{name}: only EXTERNAL is opened by a booking")
    if row.symbol and row.kind in _IN_KIND:
        _check_in_kind(row, name)
    if (row.amount > 0, row.amount < 0) == _WRONG_SIGN.get(row.kind):
        raise ContractError(f"{name}: the amount has the wrong sign, got {row.amount}")
    gained = ZERO if row.kind in FROM_OUTSIDE else minus(minus(plus(row.amount, row.cost), row.fee), row.tax)
    if row.realized_pnl != gained:
        raise ContractError(f"{name}: the result is {gained}, got {row.realized_pnl}")


def _check_in_kind(row: BookingRow, name: str) -> None:
    """Raise ContractError unless shares leave EXTERNAL, or come to a strategy of a pool."""
    comes = row.kind is BookingKind.DEPOSIT
    if comes is (row.pool is None) or comes is not bool(row.strategy):
        raise ContractError(f"{name}: shares are withdrawn from EXTERNAL and deposited for a strategy of a pool")
    if not (row.price > 0 and (row.qty > 0 if comes else row.qty < 0)):
        raise ContractError(f"{name}: it has the wrong sign: {row.qty} shares at {row.price}")


_IN_KIND: Final = frozenset({BookingKind.DEPOSIT, BookingKind.WITHDRAWAL})
_ALLOWED: Final[Mapping[BookingKind, frozenset[str]]] = {
    BookingKind.OPENING: frozenset({"amount"}),
    BookingKind.DEPOSIT: frozenset({"amount"}),
    BookingKind.WITHDRAWAL: frozenset({"amount"}),
    BookingKind.FEE: frozenset({"fee"}),
    BookingKind.TAX: frozenset({"tax"}),
    BookingKind.ADJUSTMENT: frozenset({"amount"}),
}
_WRONG_SIGN: Final = {BookingKind.DEPOSIT: (False, True), BookingKind.WITHDRAWAL: (True, False)}


def value_of(row: BookingRow) -> Decimal:
    """Return what a deposit or withdrawal was worth at its moment: its money, or its shares at the market."""
    return plus(row.amount, times(row.qty, row.price))


def positive_quanta(amount: Decimal, quantum: Decimal, what: str) -> None:
    """Raise ContractError unless ``amount`` is a whole number of quanta above 0."""
    if not (is_bounded(amount) and amount > 0 and is_multiple(amount, quantum)):
        raise ContractError(f"{what}: the amount must be whole units of {quantum:f} above 0, got {amount:f}")


def shares_of_withdrawal(
    amount: Decimal,
    available: Mapping[Pool, Decimal],
    weights: Mapping[Pool, Decimal],
    quantum: Decimal,
    remainder: Pool,
) -> dict[Pool, Decimal] | None:
    """Return what each pool gives of ``amount``; None when all of them together have not that much available.

    Each gives its share by ``weights``, or what it has in whole quanta; what is lacking then comes from the
    ``remainder`` pool, and from the others in their order.
    """
    most = {pool: max(ZERO, floor_to(available[pool], quantum)) for pool in Pool}
    if amount > sum_of(most.values()):
        return None
    wanted = split(amount, {pool: weights.get(pool, ZERO) for pool in Pool}, quantum, remainder)
    given = {pool: min(wanted[pool], most[pool]) for pool in Pool}
    lacking = minus(amount, sum_of(given.values()))
    for pool in (remainder, *(pool for pool in Pool if pool is not remainder)):
        more = min(lacking, minus(most[pool], given[pool]))
        given[pool], lacking = plus(given[pool], more), minus(lacking, more)
    return given


def charges_by_owner(
    ledger: Iterable[LedgerRow], bookings: Iterable[BookingRow], day: str
) -> dict[Pool | None, Charges]:
    """Return what is booked as fees and taxes of the market's ``day`` (ISO), by pool; None is EXTERNAL."""
    found: dict[Pool | None, Charges] = {}

    def add(owner: Pool | None, fee: Decimal, tax: Decimal) -> None:
        fees, taxes = found.get(owner, Charges(ZERO, ZERO))
        found[owner] = Charges(plus(fees, fee), plus(taxes, tax))

    for fill in ledger:
        if fill.trade_date == day:
            add(fill.pool, fill.fee, fill.tax)
    for row in bookings:
        if row.day == day:
            add(row.pool, row.fee, row.tax)
    return found


def true_ups(
    booked: Mapping[Pool | None, Charges],
    totals: Charges,
    day: str,
    note: BookingNote,
    *,
    account: str,
    quantum: Decimal,
    remainder: Pool = Pool.PORTFOLIO,
    available: Mapping[Pool, Decimal] | None = None,
) -> tuple[BookingRow, ...]:
    """Return the rows that make the fees and taxes of ``day`` the broker's ``totals``; none when they are that.

    ``booked``: what :func:`charges_by_owner` found of that day. A difference is shared by what each owner was
    charged, in whole quanta, the rest to the ``remainder`` pool; so is one of a day without any charges. A pool
    pays no more than its ``available`` cash in whole quanta (None: whatever it has to) while another has any left.
    """
    left = None if available is None else {pool: max(ZERO, floor_to(available[pool], quantum)) for pool in Pool}
    rows = []
    for kind, total, known in (
        (BookingKind.FEE, totals.fees, {owner: one.fees for owner, one in booked.items()}),
        (BookingKind.TAX, totals.taxes, {owner: one.taxes for owner, one in booked.items()}),
    ):
        shares = _shared(minus(total, sum_of(known.values())), known, quantum, remainder)
        if left is not None:
            _pay_from(left, shares, remainder)
        for owner, share in shares.items():
            fee, tax = (share, ZERO) if kind is BookingKind.FEE else (ZERO, share)
            if share:
                rows.append(booking_row(kind, account, note, owner, fee=fee, tax=tax, day=day))
    return tuple(rows)


def _shared(
    difference: Decimal, known: Mapping[Pool | None, Decimal], quantum: Decimal, remainder: Pool
) -> dict[Pool | None, Decimal]:
    weights: dict[Pool | None, Decimal] = {owner: max(ZERO, charged) for owner, charged in known.items()}
    weights.setdefault(remainder, ZERO)
    if not any(weights.values()):
        weights[remainder] = quantum
    shares = split(magnitude(difference), weights, quantum, remainder)
    return shares if difference > 0 else {owner: negated(share) for owner, share in shares.items()}


def _pay_from(left: dict[Pool, Decimal], shares: dict[Pool | None, Decimal], remainder: Pool) -> None:
    """Take ``shares`` out of what is ``left`` in the pools; who lacks a part of its own has it paid by the others.

    By the ``remainder`` pool first, then in their order. What none of them has stays with whom it was charged to.
    """
    order = (remainder, *(pool for pool in Pool if pool is not remainder))
    for owner in order:
        lacking = minus(shares.get(owner, ZERO), left[owner])
        for other in order:
            more = min(lacking, minus(left[other], shares.get(other, ZERO)))
            if more > 0:
                shares[owner], shares[other] = minus(shares[owner], more), plus(shares.get(other, ZERO), more)
                lacking = minus(lacking, more)
    for owner in order:
        left[owner] = minus(left[owner], shares.get(owner, ZERO))
