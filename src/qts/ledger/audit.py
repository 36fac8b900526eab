"""The account recomputed from stored facts alone, to be compared with what the book of record claims.

Shares no code with :mod:`qts.ledger.account` or :mod:`qts.ledger.holding`: sums are computed again, with the exact
arithmetic of :mod:`qts.money`, average cost with as many digits. Findings are values; what they mean for safety is
decided by the kernel. The invariants have the numbers and names of docs/concepts/requirements.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec

from qts.capital.contracts import CapitalPool, Pool, Transfer
from qts.execution.contracts import Order, OrderState
from qts.ledger.closes import OpeningBalances
from qts.ledger.contracts import (
    ActionKind,
    ActionRow,
    BookingKind,
    BookingRow,
    LedgerRow,
    PositionRow,
    Reservation,
)
from qts.money import PRECISION, minus, own_context, plus, sum_of, times
from qts.strategy.contracts import Side

_NOTHING: Final = Decimal(0)
_WIDE: Final = own_context(PRECISION)
_OPEN: Final = frozenset(
    {OrderState.INTENT, OrderState.PENDING_NEW, OrderState.UNKNOWN, OrderState.WORKING, OrderState.PARTIAL}
)
_TimeKey: TypeAlias = tuple[int, str, int, str, str]
_Row: TypeAlias = LedgerRow | ActionRow | BookingRow
_Execution: TypeAlias = tuple[str, str, str, str, str]
"""Account, broker, the market's date, order and execution id."""
_MOVED: Final = frozenset({BookingKind.DEPOSIT, BookingKind.WITHDRAWAL})
_PAID_IN: Final = frozenset({BookingKind.OPENING, BookingKind.DEPOSIT, BookingKind.WITHDRAWAL})
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


class ExternalClaims(msgspec.Struct, frozen=True):
    """The claims about what is at the broker and not ours: cash, and quantities and costs by symbol."""

    cash: Decimal
    positions: Mapping[str, Decimal]
    costs: Mapping[str, Decimal]


class Claims(msgspec.Struct, frozen=True):
    """The claims of the book of record about itself.

    ``broker_positions``: ours and EXTERNAL, None when the broker was not asked. ``external`` None: nothing is
    claimed of EXTERNAL.
    """

    equity: Decimal
    cash: Decimal
    positions: Mapping[str, Decimal]
    holdings: Sequence[PositionRow]
    pools: Mapping[Pool, CapitalPool]
    reservations: Sequence[Reservation]
    fills_applied: int
    actions_applied: int = 0
    broker_positions: Mapping[str, Decimal] | None = None
    bookings_applied: int = 0
    external: ExternalClaims | None = None


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
    bookings: Sequence[BookingRow] = (),
) -> AuditResult:
    """Hold ``claims`` against what opening capital by pool, fills, splits, dividends, transfers, bookings and
    orders add up to.

    ``quantum`` is how far a cost may be from the exact average (it is rounded to it); everything else is exact. The
    time grows with the number of fills: about 5 µs each.
    """
    return ProvenRows(initial, quantum).audit(
        ledger=ledger,
        transfers=transfers,
        orders=orders,
        claims=claims,
        mark=mark,
        actions=actions,
        bookings=bookings,
    )


class ProvenRows:
    """The sums of the rows that were audited, so that the next audit reads and adds up only those that are new.

    Rows are added in the order of booking. With ``opening`` those that it covers are added already: it was audited
    when it was made; ``orders`` are the open ones then. After an audit with findings, or once :meth:`follow`
    returns False, its sums are of no use: every row has to be read again, into a fresh object.
    """

    def __init__(
        self,
        initial: Mapping[Pool, Decimal],
        quantum: Decimal,
        opening: OpeningBalances | None = None,
        orders: Iterable[Order] = (),
    ) -> None:
        self.fills = self.transfers = self.actions = self.bookings = 0
        """Numbers of the fills, transfers, splits and dividends, and bookings that were added."""
        self._quantum = quantum
        self._opening = sum_of(initial.values())
        self._cash = {pool: initial.get(pool, _NOTHING) for pool in Pool}
        self._realized = dict.fromkeys(Pool, _NOTHING)
        self._qty: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        self._averages: dict[tuple[str, str], Decimal] = {}
        self._filled: dict[str, Decimal] = defaultdict(Decimal)
        self._orders: dict[str, Order] = {}
        self._transfer_ids: set[str] = set()
        self._fill_keys: set[tuple[str, ...]] = set()
        self._action_keys: set[tuple[str, ...]] = set()
        self._booking_keys: set[tuple[str, ...]] = set()
        self._reversals: dict[_Execution, BookingRow] = {}
        self._taken_back: dict[_Execution, LedgerRow | BookingRow] = {}
        self._not_yet: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        self._moved: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
        """Shares and cost that left EXTERNAL and came to no strategy, or the reverse, by booking and symbol."""
        self._external_cash = _NOTHING
        self._external_qty: dict[str, Decimal] = defaultdict(Decimal)
        self._external_cost: dict[str, Decimal] = defaultdict(Decimal)
        self._newest: _TimeKey | None = None
        self._closed_actions = self._closed_bookings = 0
        if opening is not None:
            self._open(opening)
        self._orders.update((order.client_order_id, order) for order in orders)

    def _open(self, opening: OpeningBalances) -> None:
        close = opening.close
        self.fills, self.actions, self.transfers, self.bookings = close.marks
        self._closed_actions, self._closed_bookings = self.actions, self.bookings
        self._opening = close.paid_in(self._opening)
        self._cash, self._realized = dict(close.cash), dict(close.realized)
        self._external_cash = close.external_cash
        for row in opening.holdings:
            if row.pool is None:
                self._external_qty[row.symbol], self._external_cost[row.symbol] = row.qty, row.cost
                continue
            key = (row.strategy, row.symbol)
            self._qty[key] = row.qty
            if row.qty:
                self._averages[key] = _WIDE.divide(row.basis, row.qty)
            moment = row.ts_ns, row.broker, len(row.execution_id), row.execution_id, row.order_id
            self._newest = moment if self._newest is None else max(self._newest, moment)

    def closed(self) -> ProvenRows:
        """Return a copy without what tells single rows apart; of orders it has those that are open.

        So it has as much as is held, however many rows there were. A row told again, or news of an order that had
        ended, does not fit it.
        """
        copy = ProvenRows({}, self._quantum)
        copy.fills, copy.transfers, copy.actions, copy.bookings = (
            self.fills,
            self.transfers,
            self.actions,
            self.bookings,
        )
        copy._closed_actions, copy._closed_bookings = self.actions, self.bookings
        copy._opening, copy._external_cash, copy._newest = self._opening, self._external_cash, self._newest
        copy._cash, copy._realized = dict(self._cash), dict(self._realized)
        copy._qty.update(self._qty)
        copy._averages.update(self._averages)
        copy._external_qty.update(self._external_qty)
        copy._external_cost.update(self._external_cost)
        copy._orders = {key: order for key, order in self._orders.items() if order.state in _OPEN}
        copy._filled.update((key, self._filled[key]) for key in copy._orders if key in self._filled)
        return copy

    def approvals_of_open_orders(self) -> dict[str, str]:
        """Return the order of the approval of each open order, by the approval's id."""
        return {order.approval_id: key for key, order in self._orders.items() if order.state in _OPEN}

    def follow(
        self,
        ledger: Iterable[LedgerRow],
        actions: Iterable[ActionRow] = (),
        bookings: Sequence[BookingRow] = (),
    ) -> bool:
        """Return whether none of the rows is older than one added, nor takes one back.

        Costs follow from the order in time, of the fills that were not taken back.
        """
        if not (self.fills or self.actions or self.bookings):
            return True  # there is none before them
        if any(row.kind is BookingKind.REVERSAL for row in bookings):
            return False
        newest = self._newest
        if newest is None:
            return True  # those that were added are all of EXTERNAL
        return all(_moment(row) >= newest for row in _in_time(ledger, actions, filter(_is_taken_over, bookings)))

    def add(
        self,
        ledger: Sequence[LedgerRow],
        transfers: Sequence[Transfer],
        orders: Iterable[Order],
        actions: Sequence[ActionRow] = (),
        bookings: Sequence[BookingRow] = (),
    ) -> None:
        """Add rows that were audited before, without checking them: a restart takes over what was proven."""
        self._audit_rows(_Protocol(), ledger, transfers, orders, actions, bookings)

    def audit(
        self,
        *,
        ledger: Sequence[LedgerRow],
        transfers: Sequence[Transfer],
        orders: Iterable[Order],
        claims: Claims,
        mark: Callable[[str], Decimal | None],
        actions: Sequence[ActionRow] = (),
        bookings: Sequence[BookingRow] = (),
    ) -> AuditResult:
        """Add new rows, and hold ``claims`` against what all rows add up to; see :func:`audit`.

        ``ledger``, ``transfers``, ``actions`` and ``bookings`` are the rows behind those that were added,
        ``orders`` those that have changed since. Each new row is checked; so are pools, positions and reservations,
        which are few.
        """
        protocol = _Protocol()
        self._audit_rows(protocol, ledger, transfers, orders, actions, bookings)
        self._check_pools(protocol, claims, mark)
        self._check_reservations(protocol, claims)
        self._check_positions(protocol, claims)
        protocol.same(5, "fills applied", claims.fills_applied, self.fills)
        if self.actions or claims.actions_applied:
            protocol.same(
                5, "splits and dividends, each once", self._closed_actions + len(self._action_keys), self.actions
            )
            protocol.same(5, "splits and dividends applied", claims.actions_applied, self.actions)
        if self.bookings or claims.bookings_applied:
            protocol.same(5, "bookings, each once", self._closed_bookings + len(self._booking_keys), self.bookings)
            protocol.same(5, "bookings applied", claims.bookings_applied, self.bookings)
            moved = ", ".join(" of ".join(key) for key in self._moved)
            protocol.true(1, not moved, "shares taken over", f"what left EXTERNAL and what came differ: {moved}")
            if claims.external is not None:
                self._check_external(protocol, claims.external)
        return protocol.result()

    # -- rows ----------------------------------------------------------------------------------------------------

    def _audit_rows(
        self,
        protocol: _Protocol,
        ledger: Sequence[LedgerRow],
        transfers: Sequence[Transfer],
        orders: Iterable[Order],
        actions: Sequence[ActionRow],
        bookings: Sequence[BookingRow],
    ) -> None:
        self._check_transfers(protocol, transfers)
        reversals = [row for row in bookings if row.kind is BookingKind.REVERSAL]
        self._reversals.update((_execution_of(row), row) for row in reversals)
        for row in _in_time(ledger, actions, (*reversals, *filter(_is_taken_over, bookings))):
            if isinstance(row, BookingRow):
                if row.kind is BookingKind.DEPOSIT:
                    self._take_over(row)
                    self._newest = _moment(row)
                    continue
                key = (row.strategy, row.symbol)
                self._not_yet[key] = plus(self._not_yet[key], row.qty)
                continue
            if isinstance(row, ActionRow):
                self._add_action(protocol, row, ledger)
            else:
                self._add_fill(row)
            self._newest = _moment(row)
        for booking in bookings:
            self._add_booking(protocol, booking)
        for booking in reversals:
            self._check_reversal(protocol, booking)
        self._check_orders(protocol, ledger, {order.client_order_id: order for order in orders})
        self._check_keys(protocol, ledger)
        self.fills += len(ledger)
        self.transfers += len(transfers)
        self.actions += len(actions)
        self.bookings += len(bookings)

    def _add_fill(self, row: LedgerRow) -> None:
        """Add a fill, in the order of time: a holding's cost is quantity × the average price it was entered at."""
        self._realized[row.pool] = plus(self._realized[row.pool], row.realized_pnl)
        self._filled[row.order_id] = plus(self._filled[row.order_id], row.qty)
        key = (row.strategy, row.symbol)
        change = times(row.qty, Decimal(row.side.sign))
        if self._reversals and _execution_of(row) in self._reversals:  # what it changed was taken back
            self._taken_back[_execution_of(row)] = row
            self._not_yet[key] = plus(self._not_yet[key], change)
            return
        amount = times(row.qty, row.price)
        charges = plus(row.fee, row.tax)
        cash = minus(amount, charges) if row.side is Side.SELL else minus(_NOTHING, plus(amount, charges))
        self._cash[row.pool] = plus(self._cash[row.pool], cash)
        qty, average = self._qty[key], self._averages.get(key, _NOTHING)
        after = plus(qty, change)
        if not qty or (qty > 0) is (change > 0):
            paid = _WIDE.add(_WIDE.multiply(qty, average), _WIDE.multiply(change, row.price))
            average = _WIDE.divide(paid, after)
        elif after and (after > 0) is not (qty > 0):
            average = row.price
        self._qty[key], self._averages[key] = after, average

    def _take_over(self, row: BookingRow) -> None:
        """Add shares that a strategy took over at their cost, in the order of time."""
        key = (row.strategy, row.symbol)
        qty, average = self._qty[key], self._averages.get(key, _NOTHING)
        after = self._qty[key] = plus(qty, row.qty)
        if qty >= 0:
            self._averages[key] = _WIDE.divide(_WIDE.add(_WIDE.multiply(qty, average), row.cost), after)
        elif after > 0:  # what covers a short holding is as if bought
            self._averages[key] = _WIDE.divide(row.cost, row.qty)

    def _add_action(self, protocol: _Protocol, row: ActionRow, ledger: Sequence[LedgerRow]) -> None:
        """Add a split or dividend; check ``position-from-fills``: it applies to what was held, by its own ratio.

        A split divides the average price by its ratio; shares that it takes away for cash leave at their cost. It
        leaves no more than its ratio allows, and what it takes away is paid at the price of before, to the quantum.
        A dividend is the amount a share times the shares known to be held, to the quantum. ``ledger``: the fills
        that are added with it.
        """
        key, name = (row.strategy, row.symbol), f"{row.kind.value} of {row.symbol} on {row.ex_date}"
        held = plus(self._qty[key], self._not_yet[key]) if key in self._not_yet else self._qty[key]
        if row.held != held and row.kind is ActionKind.DIVIDEND:
            held = self._known_to_be_held(row, held, ledger)
        protocol.same(4, f"{name}, held by {row.strategy}", row.held, held)
        after = self._qty[key] = plus(self._qty[key], row.change)
        if row.kind is ActionKind.DIVIDEND:
            protocol.same(4, f"{name}, change of {row.strategy}", row.change, _NOTHING)
            due = times(row.held, row.price)
        else:
            given_up = minus(times(row.held, row.new), times(after, row.old))
            fits = given_up == 0 or (row.held != 0 and (given_up > 0) is (row.held > 0))
            protocol.true(4, fits, name, f"{row.held} became {after}, more than {row.new}:{row.old} allows")
            due = _WIDE.divide(_WIDE.multiply(given_up, row.price), row.new)
            average = self._averages.get(key, _NOTHING)
            self._averages[key] = _WIDE.divide(_WIDE.multiply(average, row.old), row.new)
        off = _WIDE.subtract(row.amount, due).copy_abs()
        protocol.true(1, off < self._quantum, name, f"{row.strategy} was paid {row.amount}, {due:.6f} were due")
        self._cash[row.pool] = plus(self._cash[row.pool], minus(row.amount, row.tax))
        self._realized[row.pool] = plus(self._realized[row.pool], row.realized_pnl)
        self._action_keys.add((row.account, row.kind.value, row.symbol, row.ex_date, row.strategy))

    def _known_to_be_held(self, row: ActionRow, held: Decimal, ledger: Sequence[LedgerRow]) -> Decimal:
        """Return what was booked of a holding when its dividend was, where that is ``row.held``; else ``held``.

        A fill of before may be told after it. ``ledger`` is in the order of booking, so what was told after it are
        the last of the fills that came before it in time.
        """
        known = held
        for fill in reversed(ledger):
            if (fill.strategy, fill.symbol) != (row.strategy, row.symbol) or _moment(fill) >= _moment(row):
                continue
            back = self._reversals.get(_execution_of(fill))
            if back is None or _moment(back) >= _moment(row):
                known = minus(known, times(fill.qty, Decimal(fill.side.sign)))
                if known == row.held:
                    return known
        return held

    def _add_booking(self, protocol: _Protocol, row: BookingRow) -> None:
        """Add a booking; check that it is whole: what it earned, or that it brought capital and earned nothing.

        Of an execution that was taken back, and of what took it back, neither cash nor shares count; results and
        costs do, because later rows were booked between the two.
        """
        name = _name_of(row)
        gained = minus(minus(plus(row.amount, row.cost), row.fee), row.tax)
        is_capital = row.kind in _PAID_IN
        protocol.same(1, f"{name}, result", row.realized_pnl, _NOTHING if is_capital else gained)
        is_execution = row.kind in (BookingKind.EXTERNAL_FILL, BookingKind.REVERSAL)
        if is_execution:
            protocol.same(1, f"{name}, amount", row.amount, times(minus(_NOTHING, row.qty), row.price))
        cash, qty = minus(minus(row.amount, row.fee), row.tax), row.qty
        if row.symbol and row.kind in _MOVED:
            moved = self._moved.pop((row.reference, row.symbol), (_NOTHING, _NOTHING))
            left = (plus(moved[0], row.qty), plus(moved[1], row.cost))
            if any(left):
                self._moved[row.reference, row.symbol] = left
        if is_execution and _execution_of(row) in self._reversals:
            cash = qty = _NOTHING
            if row.kind is BookingKind.EXTERNAL_FILL:
                self._taken_back[_execution_of(row)] = row
        if row.pool is None:
            self._external_cash = plus(self._external_cash, cash)
            self._external_qty[row.symbol] = plus(self._external_qty[row.symbol], qty)
            self._external_cost[row.symbol] = plus(self._external_cost[row.symbol], row.cost)
        else:
            if is_capital:
                self._opening = plus(self._opening, plus(cash, row.cost))
            self._cash[row.pool] = plus(self._cash[row.pool], cash)
            self._realized[row.pool] = plus(self._realized[row.pool], row.realized_pnl)
        self._booking_keys.add(_key_of_booking(row))

    def _check_reversal(self, protocol: _Protocol, row: BookingRow) -> None:
        """Check that what was taken back is one booked execution, with all its amounts."""
        fill, name = self._taken_back.get(_execution_of(row)), _name_of(row)
        protocol.true(5, fill is not None, name, "takes back an execution that is not booked")
        if fill is not None:
            qty = times(fill.qty, Decimal(fill.side.sign)) if isinstance(fill, LedgerRow) else fill.qty
            strategy = fill.strategy if isinstance(fill, LedgerRow) else ""
            back = (fill.pool, strategy, fill.symbol, qty, fill.price, fill.fee, fill.tax)
            less = [minus(_NOTHING, one) for one in (row.qty, row.fee, row.tax)]
            protocol.same(5, name, (row.pool, row.strategy, row.symbol, less[0], row.price, *less[1:]), back)

    def _check_external(self, protocol: _Protocol, claims: ExternalClaims) -> None:
        """Check what is at the broker and not ours: cash and quantities exactly, costs as sums of bookings."""
        protocol.same(1, "cash of EXTERNAL", claims.cash, self._external_cash)
        for symbol in sorted(self._external_qty.keys() | claims.positions.keys() | claims.costs.keys()):
            if symbol:
                qty, cost = claims.positions.get(symbol, _NOTHING), claims.costs.get(symbol, _NOTHING)
                protocol.same(4, f"EXTERNAL {symbol}", qty, self._external_qty.get(symbol, _NOTHING))
                protocol.same(4, f"cost of EXTERNAL {symbol}", cost, self._external_cost.get(symbol, _NOTHING))

    def _check_transfers(self, protocol: _Protocol, transfers: Sequence[Transfer]) -> None:
        """Check ``whole-transfer``: each id once, between two pools, above zero."""
        for transfer in transfers:
            name = f"transfer {transfer.transfer_id}"
            protocol.true(2, transfer.transfer_id not in self._transfer_ids, name, "applied more than once")
            protocol.true(2, transfer.amount > 0, name, f"amount {transfer.amount} is not above 0")
            protocol.true(2, transfer.source is not transfer.target, name, f"stays in {transfer.source.value}")
            self._transfer_ids.add(transfer.transfer_id)
            self._cash[transfer.source] = minus(self._cash[transfer.source], transfer.amount)
            self._cash[transfer.target] = plus(self._cash[transfer.target], transfer.amount)

    def _check_orders(self, protocol: _Protocol, ledger: Sequence[LedgerRow], orders: Mapping[str, Order]) -> None:
        """Check ``within-approval``: how much the orders take that changed or were filled."""
        self._orders.update(orders)
        filled_now = dict.fromkeys(row.order_id for row in ledger)
        for order_id in filled_now:
            order, qty = self._orders.get(order_id), self._filled[order_id]
            protocol.true(6, order is not None, f"order {order_id}", f"filled {qty}, but no such order is stored")
            if order is not None:
                allowed = qty <= order.qty or OVERFILL_NOTE in order.note.lower()
                protocol.true(6, allowed, f"order {order_id}", f"filled {qty} of {order.qty}")
        for order_id in dict.fromkeys((*orders, *filled_now)):
            if (order := self._orders.get(order_id)) is not None:
                filled = self._filled.get(order_id, _NOTHING)
                protocol.same(6, f"order {order_id} filled", order.filled, filled)

    def _check_keys(self, protocol: _Protocol, ledger: Sequence[LedgerRow]) -> None:
        """Check ``fill-once``: no key twice."""
        for row in ledger:
            key = (row.account, row.broker, row.trade_date, row.order_id, row.execution_id)
            subject = f"fill {row.broker}/{row.execution_id}"
            protocol.true(5, key not in self._fill_keys, subject, "booked more than once")
            self._fill_keys.add(key)

    # -- claims --------------------------------------------------------------------------------------------------

    def _check_pools(self, protocol: _Protocol, claims: Claims, mark: Callable[[str], Decimal | None]) -> None:
        """Check ``pools-equal-equity``: Σ pools = equity = opening + deposits − withdrawals + realised +
        unrealised, each from its own sum.

        Also that no pool is below zero.
        """
        total_cost = sum_of(row.cost for row in claims.holdings)
        value = dict.fromkeys(Pool, _NOTHING)
        for row in claims.holdings:
            price = mark(row.symbol)
            worth = row.cost if price is None else times(row.qty, price)
            value[row.pool] = plus(value[row.pool], worth)
        for pool in Pool:
            claimed = claims.pools[pool]
            parts = sum_of((claimed.available, claimed.invested, claimed.reserved))
            protocol.same(1, f"{pool.value} total", claimed.total, plus(self._cash[pool], value[pool]))
            protocol.same(1, f"{pool.value} parts", parts, claimed.total)
            protocol.same(1, f"{pool.value} realized_pnl", claimed.realized_pnl, self._realized[pool])
            available = claimed.available
            protocol.true(2, available >= 0, f"{pool.value} available", f"{available} is below 0")
        total = sum_of(value.values())
        everything = sum_of(pool.total for pool in claims.pools.values())
        realized = sum_of(self._realized.values())
        protocol.same(1, "cash", claims.cash, sum_of(self._cash.values()))
        protocol.same(1, "equity of pools", everything, claims.equity)
        unrealized = minus(total, total_cost)
        protocol.same(1, "equity of origin", claims.equity, sum_of((self._opening, realized, unrealized)))

    def _check_reservations(self, protocol: _Protocol, claims: Claims) -> None:
        """Check ``reserved-cash``: who holds money back, and how much."""
        held = dict.fromkeys(Pool, _NOTHING)
        for reservation in claims.reservations:
            held[reservation.pool] = plus(held[reservation.pool], reservation.cash)
            order = self._orders.get(reservation.order_id)
            state = "unknown" if order is None else order.state.value
            is_open = order is not None and order.state in _OPEN
            protocol.true(3, is_open, f"reservation {reservation.order_id}", f"its order is {state}")
        for pool in Pool:
            protocol.same(3, f"{pool.value} reserved", claims.pools[pool].reserved, held[pool])

    def _check_positions(self, protocol: _Protocol, claims: Claims) -> None:
        """Check ``position-from-fills``: quantities exactly, costs to the quantum, the broker's view if known."""
        by_symbol: dict[str, Decimal] = defaultdict(Decimal)
        for (_, symbol), qty in self._qty.items():
            by_symbol[symbol] = plus(by_symbol[symbol], qty)
        claimed = {(row.strategy, row.symbol): row for row in claims.holdings}
        external = {symbol: qty for symbol, qty in self._external_qty.items() if qty}
        for symbol in sorted(by_symbol.keys() | claims.positions.keys() | external.keys()):
            qty = by_symbol.get(symbol, _NOTHING)
            protocol.same(4, f"position {symbol}", claims.positions.get(symbol, _NOTHING), qty)
            if claims.broker_positions is not None:
                theirs = claims.broker_positions.get(symbol, _NOTHING)
                protocol.same(4, f"broker's {symbol}", theirs, plus(qty, external.get(symbol, _NOTHING)))
        for key in sorted(self._qty.keys() | claimed.keys()):
            row, name = claimed.get(key), "/".join(key)
            qty = self._qty.get(key, _NOTHING)
            protocol.same(4, f"holding {name}", row.qty if row else _NOTHING, qty)
            cost, exact = row.cost if row else _NOTHING, _WIDE.multiply(qty, self._averages.get(key, _NOTHING))
            protocol.true(
                4,
                _WIDE.subtract(cost, exact).copy_abs() < self._quantum,
                f"cost {name}",
                f"claimed {cost}, recomputed {exact:.6f}",
            )


def _is_taken_over(row: BookingRow) -> bool:
    """Return whether the booking brings shares to a strategy."""
    return row.kind is BookingKind.DEPOSIT and bool(row.symbol)


def _in_time(
    ledger: Iterable[LedgerRow], actions: Iterable[ActionRow], bookings: Iterable[BookingRow] = ()
) -> list[_Row]:
    """Return fills, actions and bookings of shares in the order of time; at one moment actions come first."""
    rows: list[_Row] = [*actions, *ledger, *bookings]
    return sorted(rows, key=_moment)


def _moment(row: _Row) -> _TimeKey:
    if isinstance(row, ActionRow):
        return row.ts_ns, "", 0, "", row.ex_date
    execution_id = row.reference if isinstance(row, BookingRow) else row.execution_id
    return row.ts_ns, row.broker, len(execution_id), execution_id, row.order_id


def _execution_of(row: LedgerRow | BookingRow) -> _Execution:
    if isinstance(row, BookingRow):
        return row.account, row.broker, row.day, row.order_id, row.reference
    return row.account, row.broker, row.trade_date, row.order_id, row.execution_id


def _key_of_booking(row: BookingRow) -> tuple[str, ...]:
    pool = "EXTERNAL" if row.pool is None else row.pool.value
    return (row.account, row.kind.value, pool, row.symbol, row.broker, row.day, row.order_id, row.reference)


def _name_of(row: BookingRow) -> str:
    return f"{row.kind.value} {row.reference}"
