"""The account recomputed from stored facts alone, to be compared with what the book of record claims.

Shares no code with :mod:`qts.ledger.account` or :mod:`qts.ledger.holding`: sums are computed again, with the exact
arithmetic of :mod:`qts.money`, average cost with as many digits. Findings are values; what they mean for safety is
decided by the kernel. The invariants have the numbers and names of docs/concepts/requirements.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from qts.capital.contracts import CapitalPool, Pool, Transfer
from qts.execution.contracts import Order, OrderState
from qts.ledger.contracts import ActionKind, ActionRow, LedgerRow, PositionRow, Reservation
from qts.money import PRECISION, minus, own_context, plus, sum_of, times
from qts.strategy.contracts import Side

_NOTHING: Final = Decimal(0)
_WIDE: Final = own_context(PRECISION)
_OPEN: Final = frozenset(
    {OrderState.INTENT, OrderState.PENDING_NEW, OrderState.UNKNOWN, OrderState.WORKING, OrderState.PARTIAL}
)
OVERFILL_NOTE: Final = "overfill"
"""An order whose note contains this word was flagged: the broker filled more than was asked for."""

INVARIANTS: Final[Mapping[int, str]] = {
    1: "pools, equity and their origin agree",
    2: "transfers are whole, single and covered",
    3: "reserved cash is what open orders hold",
    4: "positions and costs are the sum of fills and splits",
    5: "every fill is booked once",
    6: "fills stay within their orders",
}


class Claims(msgspec.Struct, frozen=True):
    """The claims of the book of record about itself; ``broker_positions`` None when the broker was not asked."""

    equity: Decimal
    cash: Decimal
    positions: Mapping[str, Decimal]
    holdings: Sequence[PositionRow]
    pools: Mapping[Pool, CapitalPool]
    reservations: Sequence[Reservation]
    fills_applied: int
    actions_applied: int = 0
    broker_positions: Mapping[str, Decimal] | None = None


class Finding(msgspec.Struct, frozen=True):
    """One broken promise: the invariant's number, what it is about, and both numbers."""

    invariant: int
    subject: str
    detail: str


class AuditResult(msgspec.Struct, frozen=True):
    """``checks`` counts comparisons made by invariant; an invariant without findings and with checks holds."""

    checks: Mapping[int, int]
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Return whether nothing was found."""
        return not self.findings

    def holds(self, invariant: int) -> bool | None:
        """Return whether an invariant holds; None when nothing was compared."""
        if not self.checks.get(invariant):
            return None
        return all(finding.invariant != invariant for finding in self.findings)


def audit(
    *,
    initial: Mapping[Pool, Decimal],
    quantum: Decimal,
    ledger: Sequence[LedgerRow],
    transfers: Sequence[Transfer],
    orders: Iterable[Order],
    claims: Claims,
    mark: Callable[[str], Decimal | None],
    actions: Sequence[ActionRow] = (),
) -> AuditResult:
    """Hold ``claims`` against what opening capital by pool, fills, splits, dividends, transfers and orders add up
    to.

    ``quantum`` is how far a cost may be from the exact average (it is rounded to it); everything else is exact. The
    time grows with the number of fills: about 5 µs each.
    """
    protocol = _Protocol()
    books = _Books(initial, ledger, transfers, actions)
    _check_pools(protocol, books, claims, mark)
    _check_transfers(protocol, transfers, claims)
    _check_reservations(protocol, {order.client_order_id: order for order in orders}, ledger, claims)
    _check_positions(protocol, books, claims, quantum)
    _check_actions(protocol, ledger, actions, quantum)
    _check_keys(protocol, ledger, actions, claims)
    return protocol.result()


class _Protocol:
    """Counts every comparison and keeps those that failed."""

    def __init__(self) -> None:
        self._checks = dict.fromkeys(INVARIANTS, 0)
        self._findings: list[Finding] = []

    def same(self, invariant: int, subject: str, claimed: object, recomputed: object) -> None:
        self.true(invariant, claimed == recomputed, subject, f"claimed {claimed}, recomputed {recomputed}")

    def true(self, invariant: int, holds: bool, subject: str, detail: str) -> None:
        self._checks[invariant] += 1
        if not holds:
            self._findings.append(Finding(invariant, subject, detail))

    def result(self) -> AuditResult:
        return AuditResult(self._checks, tuple(self._findings))


class _Books:
    """Plain sums over the stored rows."""

    def __init__(
        self,
        initial: Mapping[Pool, Decimal],
        ledger: Sequence[LedgerRow],
        transfers: Sequence[Transfer],
        actions: Sequence[ActionRow],
    ) -> None:
        self.opening = sum_of(initial.values())
        self.cash = {pool: initial.get(pool, _NOTHING) for pool in Pool}
        self.moved = dict.fromkeys(Pool, _NOTHING)
        self.realized = dict.fromkeys(Pool, _NOTHING)
        self.charges = _NOTHING
        self.qty: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        self.pool_of: dict[str, Pool] = {}
        for transfer in transfers:
            self.moved[transfer.source] = minus(self.moved[transfer.source], transfer.amount)
            self.moved[transfer.target] = plus(self.moved[transfer.target], transfer.amount)
        for row in ledger:
            self._add(row)
        for action in actions:
            self._add_action(action)
        for pool in Pool:
            self.cash[pool] = plus(self.cash[pool], self.moved[pool])
        self.cost = _costs(ledger, actions)

    def _add_action(self, row: ActionRow) -> None:
        self.qty[row.strategy, row.symbol] = plus(self.qty[row.strategy, row.symbol], row.change)
        self.cash[row.pool] = plus(self.cash[row.pool], minus(row.amount, row.tax))
        self.realized[row.pool] = plus(self.realized[row.pool], row.realized_pnl)

    def _add(self, row: LedgerRow) -> None:
        amount = times(row.qty, row.price)
        charges = plus(row.fee, row.tax)
        if row.side is Side.SELL:
            self.qty[row.strategy, row.symbol] = minus(self.qty[row.strategy, row.symbol], row.qty)
            self.cash[row.pool] = plus(self.cash[row.pool], minus(amount, charges))
        else:
            self.qty[row.strategy, row.symbol] = plus(self.qty[row.strategy, row.symbol], row.qty)
            self.cash[row.pool] = minus(self.cash[row.pool], plus(amount, charges))
        self.charges = plus(self.charges, charges)
        self.realized[row.pool] = plus(self.realized[row.pool], row.realized_pnl)
        self.pool_of[row.strategy] = row.pool


def _costs(ledger: Sequence[LedgerRow], actions: Sequence[ActionRow]) -> dict[tuple[str, str], Decimal]:
    """Return the signed cost of what each strategy holds: quantity × the average price it was entered at.

    A split divides the average price by its ratio; shares that it takes away for cash leave at their cost.
    """
    held: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
    splits = [row for row in actions if row.kind is ActionKind.SPLIT]
    for row in _in_time(ledger, splits):
        key = (row.strategy, row.symbol)
        qty, average = held.get(key, (_NOTHING, _NOTHING))
        if isinstance(row, ActionRow):
            held[key] = (plus(qty, row.change), _WIDE.divide(_WIDE.multiply(average, row.old), row.new))
            continue
        change = times(row.qty, Decimal(row.side.sign))
        after = plus(qty, change)
        if not qty or (qty > 0) is (change > 0):
            paid = _WIDE.add(_WIDE.multiply(qty, average), _WIDE.multiply(change, row.price))
            average = _WIDE.divide(paid, after)
        elif after and (after > 0) is not (qty > 0):
            average = row.price
        held[key] = (after, average)
    return {key: _WIDE.multiply(qty, average) for key, (qty, average) in held.items()}


def _in_time(ledger: Sequence[LedgerRow], actions: Sequence[ActionRow]) -> list[LedgerRow | ActionRow]:
    """Return fills and actions in the order of time; actions come before the fills of their moment."""
    rows: list[LedgerRow | ActionRow] = [*actions, *ledger]
    return sorted(rows, key=_moment)


def _moment(row: LedgerRow | ActionRow) -> tuple[int, str, int, str, str]:
    if isinstance(row, ActionRow):
        return row.ts_ns, "", 0, "", row.ex_date
    return row.ts_ns, row.broker, len(row.execution_id), row.execution_id, row.order_id


def _check_pools(protocol: _Protocol, books: _Books, claims: Claims, mark: Callable[[str], Decimal | None]) -> None:
    """Check ``pools-equal-equity``: Σ pools = equity = opening + realised + unrealised, each from its own sum."""
    total_cost = sum_of(row.cost for row in claims.holdings)
    value = dict.fromkeys(Pool, _NOTHING)
    for row in claims.holdings:
        price = mark(row.symbol)
        worth = row.cost if price is None else times(row.qty, price)
        value[row.pool] = plus(value[row.pool], worth)
    for pool in Pool:
        claimed = claims.pools[pool]
        parts = sum_of((claimed.available, claimed.invested, claimed.reserved))
        protocol.same(1, f"{pool.value} total", claimed.total, plus(books.cash[pool], value[pool]))
        protocol.same(1, f"{pool.value} parts", parts, claimed.total)
        protocol.same(1, f"{pool.value} realized_pnl", claimed.realized_pnl, books.realized[pool])
    total = sum_of(value.values())
    everything = sum_of(pool.total for pool in claims.pools.values())
    realized = sum_of(books.realized.values())
    protocol.same(1, "cash", claims.cash, sum_of(books.cash.values()))
    protocol.same(1, "equity of pools", everything, claims.equity)
    unrealized = minus(total, total_cost)
    protocol.same(1, "equity of origin", claims.equity, sum_of((books.opening, realized, unrealized)))


def _check_transfers(protocol: _Protocol, transfers: Sequence[Transfer], claims: Claims) -> None:
    """Check ``whole-transfer``: each id once, between two pools, above zero; and no pool below zero."""
    seen: set[str] = set()
    for transfer in transfers:
        name = f"transfer {transfer.transfer_id}"
        protocol.true(2, transfer.transfer_id not in seen, name, "applied more than once")
        protocol.true(2, transfer.amount > 0, name, f"amount {transfer.amount} is not above 0")
        protocol.true(2, transfer.source is not transfer.target, name, f"stays in {transfer.source.value}")
        seen.add(transfer.transfer_id)
    for pool in Pool:
        available = claims.pools[pool].available
        protocol.true(2, available >= 0, f"{pool.value} available", f"{available} is below 0")


def _check_reservations(
    protocol: _Protocol, orders: Mapping[str, Order], ledger: Sequence[LedgerRow], claims: Claims
) -> None:
    """Check ``reserved-cash`` and ``within-approval``: who holds money back, how much, how much an order takes."""
    held = dict.fromkeys(Pool, _NOTHING)
    for reservation in claims.reservations:
        held[reservation.pool] = plus(held[reservation.pool], reservation.cash)
        order = orders.get(reservation.order_id)
        state = "unknown" if order is None else order.state.value
        is_open = order is not None and order.state in _OPEN
        protocol.true(3, is_open, f"reservation {reservation.order_id}", f"its order is {state}")
    for pool in Pool:
        protocol.same(3, f"{pool.value} reserved", claims.pools[pool].reserved, held[pool])
    filled: dict[str, Decimal] = defaultdict(Decimal)
    for row in ledger:
        filled[row.order_id] = plus(filled[row.order_id], row.qty)
    for order_id, qty in filled.items():
        order = orders.get(order_id)
        protocol.true(6, order is not None, f"order {order_id}", f"filled {qty}, but no such order is stored")
        if order is not None:
            allowed = qty <= order.qty or OVERFILL_NOTE in order.note.lower()
            protocol.true(6, allowed, f"order {order_id}", f"filled {qty} of {order.qty}")
    for order_id, order in orders.items():
        protocol.same(6, f"order {order_id} filled", order.filled, filled.get(order_id, _NOTHING))


def _check_positions(protocol: _Protocol, books: _Books, claims: Claims, quantum: Decimal) -> None:
    """Check ``position-from-fills``: quantities exactly, costs to the quantum, the broker's view if known."""
    by_symbol: dict[str, Decimal] = defaultdict(Decimal)
    for (_, symbol), qty in books.qty.items():
        by_symbol[symbol] = plus(by_symbol[symbol], qty)
    claimed = {(row.strategy, row.symbol): row for row in claims.holdings}
    for symbol in sorted(by_symbol.keys() | claims.positions.keys()):
        qty = by_symbol.get(symbol, _NOTHING)
        protocol.same(4, f"position {symbol}", claims.positions.get(symbol, _NOTHING), qty)
        if claims.broker_positions is not None:
            protocol.same(4, f"broker's {symbol}", claims.broker_positions.get(symbol, _NOTHING), qty)
    for key in sorted(books.qty.keys() | claimed.keys()):
        row, name = claimed.get(key), "/".join(key)
        protocol.same(4, f"holding {name}", row.qty if row else _NOTHING, books.qty.get(key, _NOTHING))
        cost, exact = row.cost if row else _NOTHING, books.cost.get(key, _NOTHING)
        protocol.true(
            4,
            _WIDE.subtract(cost, exact).copy_abs() < quantum,
            f"cost {name}",
            f"claimed {cost}, recomputed {exact:.6f}",
        )


def _check_actions(
    protocol: _Protocol, ledger: Sequence[LedgerRow], actions: Sequence[ActionRow], quantum: Decimal
) -> None:
    """Check ``position-from-fills`` of splits and dividends: each applies to what was held then, by its own ratio.

    A split leaves no more than its ratio allows, and what it takes away is paid at the price of before, to the
    quantum. A dividend is the amount a share times the shares held, to the quantum.
    """
    if not actions:
        return
    held: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in _in_time(ledger, actions):
        key = (row.strategy, row.symbol)
        if not isinstance(row, ActionRow):
            held[key] = plus(held[key], times(row.qty, Decimal(row.side.sign)))
            continue
        name = f"{row.kind.value} of {row.symbol} on {row.ex_date}"
        protocol.same(4, f"{name}, held by {row.strategy}", row.held, held[key])
        held[key] = plus(held[key], row.change)
        if row.kind is ActionKind.DIVIDEND:
            protocol.same(4, f"{name}, change of {row.strategy}", row.change, _NOTHING)
            due = times(row.held, row.price)
        else:
            given_up = minus(times(row.held, row.new), times(held[key], row.old))
            fits = given_up == 0 or (given_up > 0) is (row.held > 0)
            protocol.true(4, fits, name, f"{row.held} became {held[key]}, more than {row.new}:{row.old} allows")
            due = _WIDE.divide(_WIDE.multiply(given_up, row.price), row.new)
        off = _WIDE.subtract(row.amount, due).copy_abs()
        protocol.true(1, off < quantum, name, f"{row.strategy} was paid {row.amount}, {due:.6f} were due")


def _check_keys(
    protocol: _Protocol, ledger: Sequence[LedgerRow], actions: Sequence[ActionRow], claims: Claims
) -> None:
    """Check ``fill-once``: no key twice, and the book knows as many fills, splits and dividends as are stored."""
    seen: set[tuple[str, ...]] = set()
    for row in ledger:
        key = (row.account, row.broker, row.trade_date, row.order_id, row.execution_id)
        protocol.true(5, key not in seen, f"fill {row.broker}/{row.execution_id}", "booked more than once")
        seen.add(key)
    protocol.same(5, "fills applied", claims.fills_applied, len(ledger))
    if not actions and not claims.actions_applied:
        return
    applied = {(row.account, row.kind, row.symbol, row.ex_date, row.strategy) for row in actions}
    protocol.same(5, "splits and dividends, each once", len(applied), len(actions))
    protocol.same(5, "splits and dividends applied", claims.actions_applied, len(actions))
