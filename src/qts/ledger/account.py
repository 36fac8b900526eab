"""The book of record in memory: cash by pool, holdings by strategy, reservations by order. No I/O, no clock.

Everything is derived from applied fills, splits, dividends, transfers and bookings; each counts once. A true fill
is never refused: what it broke is reported in its :class:`~qts.ledger.contracts.FillEffect`. Fees and taxes are
realised costs at once, so at every moment and to the last digit: Σ pools = cash + holdings valued = opening +
deposits − withdrawals + realised + unrealised. What is at the broker and not ours is kept apart, in ``external``: Σ
pools + EXTERNAL = cash + holdings of the broker.

Memory: the opening balances of the last closed day and the facts since. What comes late of a closed day, or again,
is looked up through a port (:mod:`qts.ledger.past`); the book is the same as if no day had been closed. The store's
unique index is the last check behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, NamedTuple, TypeAlias

import msgspec

from qts.capital.contracts import CapitalPool, Pool, Transfer
from qts.errors import ContractError, StateError, StorageError
from qts.execution.contracts import Fill, FillReversed, Order
from qts.execution.fit import unreadable
from qts.ledger.actions import (
    ActionId,
    Holder,
    action_id,
    action_key,
    dividend_row,
    kept_share,
    split_change,
    split_row,
)
from qts.ledger.booked import BookedFacts
from qts.ledger.bookings import (
    BookingNote,
    booking_id,
    booking_row,
    cash_change,
    check_booking,
    fill_id_of,
    key_of_booking,
    positive_quanta,
    shares_of_withdrawal,
    value_of,
)
from qts.ledger.closes import (
    BookMarks,
    DayCloseRow,
    HoldingCloseRow,
    OpeningBalances,
)
from qts.ledger.contracts import (
    DEFAULT_ACCOUNT,
    ActionEffect,
    ActionKind,
    ActionRow,
    BookingEffect,
    BookingKind,
    BookingRow,
    FillEffect,
    LedgerRow,
    PoolRow,
    PositionRow,
    Reservation,
    TransferOutcome,
)
from qts.ledger.external import External, change_at_broker, place_at_broker
from qts.ledger.fills import FillId, cash_of, check, id_of_row, ledger_row, signed_qty, utc_date
from qts.ledger.holding import FillKey, Holding, Step, close_of_holding, fill_key, opening_step
from qts.ledger.past import PastFacts
from qts.ledger.reservations import Reservations
from qts.market.actions import Dividend, Split
from qts.money import (
    ZERO,
    is_bounded,
    is_multiple,
    magnitude,
    minus,
    negated,
    plus,
    ratio,
    split,
    sum_of,
    times,
    whole_steps,
)
from qts.strategy.contracts import Side

_IN, _OUT = BookingKind.DEPOSIT, BookingKind.WITHDRAWAL
Mark: TypeAlias = Callable[[str], Decimal | None]
"""The price at which a symbol is valued; None when unknown."""

EXPORT_VERSION = 1
MAX_EARLY = 1_000
"""Reversals that may wait for their fills."""
_POOL_NAMES = tuple(pool.value for pool in Pool)
"""In the order in which every dictionary by pool is made."""


class Execution(NamedTuple):
    """A booked execution of one order: quantity above 0, price, and when it was traded (ns since 1970, UTC)."""

    execution_id: str
    ts_ns: int
    qty: Decimal
    price: Decimal


class Account:
    """One account in one currency.

    ``opening`` is divided among the pools by ``split`` (weights; a missing pool has 0) in whole quanta, the rest
    goes to ``remainder``, so that the pools add up to it. Raises ContractError when it cannot be divided or
    ``quantum`` is not above 0. ``name`` and ``trade_date``, the market's date of a moment in ns, are part of a
    fill's identity.
    """

    def __init__(
        self,
        *,
        opening: Decimal,
        quantum: Decimal,
        split: Mapping[Pool, Decimal],
        remainder: Pool = Pool.PORTFOLIO,
        name: str = DEFAULT_ACCOUNT,
        trade_date: Callable[[int], str] = utc_date,
    ) -> None:
        if not quantum > 0:
            raise ContractError(f"the quantum of a currency must be above 0, got {quantum}")
        self.name = name
        self._trade_date = trade_date
        self.opening = opening
        self.quantum = quantum
        self.initial: Mapping[Pool, Decimal] = _initial(opening, split, quantum, remainder)
        self._cash = dict(self.initial)
        self._realized = dict.fromkeys(Pool, ZERO)
        self._pool_ts = dict.fromkeys(Pool, 0)
        self._pool_of: dict[str, Pool] = {}
        self._holdings: dict[tuple[str, str], Holding] = {}
        self._of_symbol: dict[str, list[tuple[str, Holding]]] = {}
        self.changed: set[str] = set()
        """Symbols whose holdings may have changed since they were valued; who keeps their values clears it."""
        self._reservations = Reservations(quantum)
        self._touched: set[tuple[str, str]] = set()
        self._last_close: DayCloseRow | None = None
        self._closing: tuple[DayCloseRow, list[Holding]] | None = None
        self._booked = BookedFacts(name)
        self._early: dict[FillId, FillReversed] = {}
        self.external = External(quantum)
        self._opened_on = ""
        self._before_opening: set[FillId] = set()
        self.fees_total = ZERO
        self.taxes_total = ZERO
        self.dividends_total = ZERO
        """Dividends received, before tax; tax on them is not in ``taxes_total``, which is of sales."""
        self.dividend_taxes_total = ZERO
        self.fractions_total = ZERO
        """Cash paid for fractions of a share that splits left over."""
        self.deposits_total = ZERO
        self.withdrawals_total = ZERO
        """Money that left the pools for good, as a positive amount."""
        self.contributions_total = ZERO
        """The cost of shares of EXTERNAL that strategies have taken over."""
        self.contributions_value = ZERO
        """What they were worth at the market when they were taken over."""
        self.adjustments_total = ZERO
        """Other results that the broker booked, such as interest; negative: charged."""

    # -- reservations ------------------------------------------------------------------------------------------

    def reserve(
        self,
        order_id: str,
        strategy: str,
        pool: Pool,
        symbol: str,
        side: Side,
        qty: Decimal,
        price: Decimal,
        cost: Decimal,
    ) -> bool:
        """Hold back what an order may take; False (and nothing changed) when that much is not there.

        BUY holds ``cost`` of the pool's cash: the most it can take, amount and fees; ``price`` only has to be a
        price. SELL holds ``qty`` of the strategy's own holding and looks at neither. Raises StateError when the
        order already holds a reservation, ContractError for values that make none.
        """
        self._reservations.refuse_second(order_id)
        buys = side is Side.BUY
        amounts = (qty, price, cost) if buys else (qty,)
        if not all(amount.is_finite() and amount > 0 for amount in amounts):
            raise ContractError(f"order {order_id}: nothing to reserve for qty {qty}, price {price}, cost {cost}")
        cash = cost if buys else ZERO
        if buys:
            if cash > self.available(pool):
                return False
        elif qty > minus(self.holding(strategy, symbol), self.reserved_qty(strategy, symbol)):
            return False
        self._bind(strategy, pool)
        self._reservations.add(Reservation(order_id, strategy, pool, symbol, side, qty, cost, qty, cash))
        return True

    def release(self, order_id: str) -> bool:
        """Release what an order still holds back; return True the first time, False when it holds nothing (any
        more).

        Filled quantities release their share themselves; call this when an order becomes final.
        """
        return self._reservations.release(order_id)

    @property
    def open_reservations(self) -> tuple[Reservation, ...]:
        """Return what open orders hold back, in the order of their making."""
        return tuple(self._reservations)

    def reserved(self, pool: Pool) -> Decimal:
        """Return the cash of the pool held back by open orders."""
        return self._reservations.cash[pool]

    def reserved_qty(self, strategy: str, symbol: str) -> Decimal:
        """Return the quantity of the strategy's holding held back by its open sales."""
        return self._reservations.qty(strategy, symbol)

    def pool_cash(self, pool: Pool) -> Decimal:
        """Return the cash of the pool, reserved or not."""
        return self._cash[pool]

    def available(self, pool: Pool) -> Decimal:
        """Return the cash of the pool that is not reserved.

        Below zero only after a fill that cost more than was reserved.
        """
        return minus(self._cash[pool], self._reservations.cash[pool])

    # -- facts -------------------------------------------------------------------------------------------------

    def apply_fill(self, fill: Fill, *, strategy: str, pool: Pool) -> FillEffect | None:
        """Book one execution; None when the same one was booked before, whatever else the notice has.

        Raises ContractError, before anything changes, for a quantity or price that is not finite and above 0, a fee
        or tax that is not finite, or a strategy that belongs to another pool.
        """
        key = self._id_of(fill)
        if self._booked.has_fill(key):
            return None
        check(fill)
        if self._pool_of.get(strategy) is not pool:
            self._bind(strategy, pool)
        at = fill_key(fill.ts_ns, fill.broker, fill.execution_id, fill.client_order_id)
        holding = self._holding_at(strategy, fill.symbol, at)
        self._booked.fills[key] = None
        overfilled = self._reservations.fill(fill.client_order_id, fill.qty)
        held, realized_before = holding.qty, holding.realized
        signed = signed_qty(fill)
        late = holding.apply(at, signed, fill.price, fill.fee, fill.tax)
        gross = minus(holding.realized, realized_before)
        net = minus(minus(gross, fill.fee), fill.tax)
        self._book(pool, cash_of(signed, fill), net, fill)
        row = ledger_row(fill, key, strategy, pool, net)
        effect = self._effect_of(row, holding, held, gross, overfilled=overfilled, late=late)
        return self._with_reversal(effect, key, fill.symbol) if self._early and key in self._early else effect

    def apply_split(
        self, split: Split, *, ts_ns: int, lot: Decimal, price: Decimal | None
    ) -> tuple[ActionEffect, ...]:
        """Book ``split`` for every strategy that holds its symbol; each holding is rounded by itself.

        ``price`` is that of a share before the split, at which fractions are paid; None when it is unknown: then
        the average cost of the holding. A holding to which it was applied before is left out.
        """
        effects = []
        for strategy, held in self._holders_of(split.symbol):
            worth = price if price is not None else held.average_cost
            assert worth is not None  # it holds something
            row = split_row(
                split,
                Holder(self.name, strategy, self._pool_of[strategy], held.qty),
                ts_ns=ts_ns,
                lot=lot,
                price=worth,
                quantum=self.quantum,
            )
            effects.append(self._apply_action(row))
        return tuple(effect for effect in effects if effect is not None)

    def pay_dividend(
        self, dividend: Dividend, *, ts_ns: int, tax: Callable[[Decimal], Decimal]
    ) -> tuple[ActionEffect, ...]:
        """Book ``dividend`` for every strategy that holds its symbol, less what ``tax`` gives for the amount.

        A holding to which it was paid before is left out.
        """
        effects = []
        for strategy, held in self._holders_of(dividend.symbol):
            holder = Holder(self.name, strategy, self._pool_of[strategy], held.qty)
            row = dividend_row(dividend, holder, ts_ns=ts_ns, tax=tax, quantum=self.quantum)
            effects.append(self._apply_action(row))
        return tuple(effect for effect in effects if effect is not None)

    def book_external(self, fill: Fill, *, actor: str, reason: str) -> tuple[BookingEffect, ...]:
        """Book an execution of an order that is not ours to EXTERNAL; nothing when it was booked before.

        A second effect is its reversal, where the broker had taken it back before. Raises ContractError like
        :meth:`apply_fill`.
        """
        key = self._id_of(fill)
        if self._is_booked(key):
            return ()
        check(fill)
        signed = signed_qty(fill)
        row = BookingRow(
            BookingKind.EXTERNAL_FILL,
            fill.ts_ns,
            None,
            "",
            fill.symbol,
            signed,
            fill.price,
            negated(times(signed, fill.price)),
            fill.fee,
            fill.tax,
            ZERO,
            ZERO,
            fill.broker,
            fill.client_order_id,
            fill.execution_id,
            key.trade_date,
            actor,
            reason,
            self.name,
        )
        effect = self._book_row(row, self._holding_of(row))
        if key not in self._early:
            return (effect,)
        return (effect, self._reverse(key, self._early.pop(key), fill.symbol))

    def reverse(self, report: FillReversed) -> BookingEffect | None:
        """Take back an execution: holding, cash and results become what they are without it.

        None, and nothing has changed, when it was taken back before; None as well when it is not in the book yet:
        then it is taken back as soon as it is booked. Raises ContractError where :meth:`why_irreversible` has a
        reason.
        """
        key = self._id_of_reversed(report)
        if key in self._early or self._booked.has_reversed(key):
            return None
        why = self.why_irreversible(report)
        if why:
            raise ContractError(why)
        if not self._is_booked(key):
            self._early[key] = report
            return None
        return self._reverse(key, report, report.symbol)

    def has_reversed(self, report: FillReversed) -> bool:
        """Return whether the execution was taken back, or will be once it is booked."""
        key = self._id_of_reversed(report)
        return key in self._early or self._booked.has_reversed(key)

    def why_irreversible(self, report: FillReversed) -> str:
        """Return why an execution that was not taken back before cannot be; "" when it can.

        It is no fill of the symbol; the holding was split since, so that its shares are others now; or too many
        reversals wait for their fills.
        """
        key = self._id_of_reversed(report)
        if not self._is_booked(key):
            return (
                f"{MAX_EARLY} reversals wait for fills that are not known" if len(self._early) >= MAX_EARLY else ""
            )
        if self._is_in_opening(key) and not self._booked.has_fill(key):
            return (
                f"execution {report.execution_id} is from before the account was adopted: book what is due by hand"
            )
        found = self._find(key, report.symbol)
        if found is None:
            return (
                f"execution {report.execution_id} of order {report.client_order_id} is not one of {report.symbol}"
            )
        _, holding, step = found
        if holding.was_split_after(step):
            return f"{report.symbol} was split after execution {report.execution_id}: book what is due by hand"
        return ""

    def book(self, row: BookingRow) -> BookingEffect | None:
        """Book a row that follows from no execution; None when it was booked before.

        Raises ContractError, before anything changes, for a row that :func:`~qts.ledger.bookings.check_booking`
        refuses, one of another account, and a withdrawal of more than is available.
        """
        check_booking(row, self.quantum)
        if row.symbol and row.kind in (_IN, _OUT):
            raise ContractError(f"{row.kind.value} {row.reference!r}: shares are taken over, not booked one-sided")
        if row.account != self.name:
            raise ContractError(f"the booking is of account {row.account!r}, not {self.name!r}")
        if self._booked.has_booking(booking_id(row)):
            return None
        if row.kind is BookingKind.WITHDRAWAL:
            has = self.external.cash if row.pool is None else self.available(row.pool)
            if negated(row.amount) > has:
                raise ContractError(f"WITHDRAWAL {row.reference!r}: {row.amount} of {has} available")
        return self._book_row(row, self._holding_of(row) if row.symbol else None)

    def deposit(
        self, amount: Decimal, note: BookingNote, *, weights: Mapping[Pool, Decimal], remainder: Pool
    ) -> tuple[BookingEffect, ...]:
        """Divide money that came in among the pools, in whole quanta; nothing when ``note`` was booked before.

        Raises ContractError for an amount that is not whole quanta above 0, or weights that divide nothing.
        """
        positive_quanta(amount, self.quantum, f"deposit {note.reference!r}")
        if self._booked.has_noted(BookingKind.DEPOSIT, note):
            return ()
        shares = split(amount, {pool: weights.get(pool, ZERO) for pool in Pool}, self.quantum, remainder)
        return self._book_money(BookingKind.DEPOSIT, shares, note)

    def withdraw(
        self, amount: Decimal, note: BookingNote, *, weights: Mapping[Pool, Decimal], remainder: Pool
    ) -> tuple[BookingEffect, ...] | None:
        """Take money out of the pools; nothing when ``note`` was booked before.

        None, and nothing has changed, when the pools together have less available. Each pool gives its share, or
        what it has; the others give the rest. Raises ContractError like :meth:`deposit`.
        """
        positive_quanta(amount, self.quantum, f"withdrawal {note.reference!r}")
        if self._booked.has_noted(BookingKind.WITHDRAWAL, note):
            return ()
        available = {pool: self.available(pool) for pool in Pool}
        shares = shares_of_withdrawal(amount, available, weights, self.quantum, remainder)
        if shares is None:
            return None
        taken = {pool: negated(share) for pool, share in shares.items()}
        return self._book_money(BookingKind.WITHDRAWAL, taken, note)

    def adopt(
        self,
        cash: Decimal,
        holdings: Mapping[str, tuple[Decimal, Decimal]],
        note: BookingNote,
        executions: Iterable[Fill] = (),
    ) -> tuple[BookingEffect, ...]:
        """Book what the broker has beside the opening of the pools as EXTERNAL, once; nothing when it was.

        ``cash`` is all settled cash at the broker, ``holdings`` (quantity, cost) by symbol. ``executions`` of the
        day are in both already, as are those of earlier days: when they are reported they count as booked. Raises
        ContractError when the pools have opened with more than ``cash``, StateError when anything was booked
        before.
        """
        if self._booked.has_noted(BookingKind.OPENING, note):
            return ()
        if self._booked.marks != BookMarks():
            raise StateError("holdings of a broker are adopted before anything else is booked")
        if self.opening > cash:
            raise ContractError(f"the broker has {cash} of settled cash, the pools cannot open with {self.opening}")
        rows = [booking_row(BookingKind.OPENING, self.name, note, None, amount=minus(cash, self.opening))]
        rows += [
            booking_row(BookingKind.OPENING, self.name, note, None, symbol=symbol, qty=qty, cost=cost)
            for symbol, (qty, cost) in holdings.items()
        ]
        rows = [row for row in rows if row.amount or row.qty or row.cost]
        for row in rows:
            check_booking(row, self.quantum)
        self._opened_on = self._trade_date(note.ts_ns)
        self._before_opening = {self._id_of(fill) for fill in executions}
        return tuple(self._book_row(row, self._holding_of(row) if row.symbol else None) for row in rows)

    def take_over(
        self, symbol: str, qty: Decimal, note: BookingNote, *, strategy: str, pool: Pool, price: Decimal
    ) -> tuple[BookingEffect, ...]:
        """Make shares of EXTERNAL a strategy's, at what they have cost; nothing when ``note`` was booked before.

        No cash moves: the pool is given ``qty`` shares, whose value at the market, ``price`` each, is no result of
        it. They come after every fill that is booked of them. Raises ContractError, before anything changes, for
        more than EXTERNAL holds, or a strategy that belongs to another pool or has sold what it never held.
        """
        if self._booked.has_noted(BookingKind.DEPOSIT, note):
            return ()
        held = self.external.qty(symbol)
        if not (is_bounded(qty) and 0 < qty <= held):
            raise ContractError(f"EXTERNAL holds {held} {symbol}, not {qty}")
        if self.holding(strategy, symbol) < 0:
            raise ContractError(f"strategy {strategy} has sold {symbol} that it never held: nothing comes there")
        theirs = self.external.holding(symbol)
        ours = self._holdings.get((strategy, symbol), theirs)
        note = note._replace(ts_ns=max(note.ts_ns, theirs.ts_ns + 1, ours.ts_ns + 1))  # no fill is valued again
        part = whole_steps(times(theirs.cost, qty), times(held, self.quantum), ROUND_HALF_EVEN)
        cost = times(part, self.quantum) if qty < held else theirs.cost  # a cost may be finer than the quantum
        left, name = negated(qty), self.name
        rows = (
            booking_row(_OUT, name, note, None, symbol=symbol, qty=left, price=price, cost=negated(cost)),
            booking_row(_IN, name, note, pool, strategy=strategy, symbol=symbol, qty=qty, price=price, cost=cost),
        )
        for row in rows:
            check_booking(row, self.quantum)
        self._bind(strategy, pool)
        return tuple(self._book_row(row, self._holding_of(row)) for row in rows)

    def move_external_cash(
        self, amount: Decimal, note: BookingNote, *, weights: Mapping[Pool, Decimal], remainder: Pool
    ) -> tuple[BookingEffect, ...] | None:
        """Move EXTERNAL cash to the pools, or back for an ``amount`` below 0; divided like a :meth:`deposit`.

        Nothing when ``note`` was booked before; None, and nothing has changed, where that much is not there.
        Raises ContractError for an amount that is not whole quanta, or 0.
        """
        comes = amount > 0
        if self._booked.has_noted(_IN if comes else _OUT, note):
            return ()
        if comes:
            if amount > self.external.cash:
                return None
            ours = self.deposit(amount, note, weights=weights, remainder=remainder)
        else:
            taken = self.withdraw(negated(amount), note, weights=weights, remainder=remainder)
            if taken is None:
                return None
            ours = taken
        row = booking_row(_OUT if comes else _IN, self.name, note, None, amount=negated(amount))
        return (*ours, self._book_row(row, None))

    def follow_external_cash(self, change: Decimal, note: BookingNote) -> BookingEffect | None:
        """Book what the broker's settled cash has gained (below 0: lost) by nothing that is booked, as EXTERNAL's.

        None for 0, and when ``note`` was booked before. Raises ContractError, before anything changes, for an
        amount that is not whole quanta, or where EXTERNAL has less than was lost.
        """
        if not change:
            return None
        return self.book(booking_row(_IN if change > 0 else _OUT, self.name, note, None, amount=change))

    def split_external(
        self, split: Split, note: BookingNote, *, lot: Decimal, price: Decimal | None
    ) -> BookingEffect | None:
        """Book ``split`` for what EXTERNAL holds of its symbol; None when that is nothing, or was booked before.

        Arguments are those of :meth:`apply_split`; ``note`` names the split.
        """
        held, cost = self.external.qty(split.symbol), self.external.cost(split.symbol)
        if not held:
            return None
        worth = price if price is not None else ratio(cost, held)
        change, paid = split_change(split, held, lot=lot, price=worth, quantum=self.quantum)
        kept = times(times(plus(held, change), split.old), cost)
        left = times(whole_steps(kept, times(times(held, split.new), self.quantum), ROUND_HALF_EVEN), self.quantum)
        lost = minus(left, cost)
        if not (change or paid or lost):
            return None
        kind, symbol = BookingKind.ADJUSTMENT, split.symbol if change or lost else ""  # cash alone is of no symbol
        return self.book(
            booking_row(kind, self.name, note, None, symbol=symbol, qty=change, amount=paid, cost=lost)
        )

    def resize_reservation(self, order_id: str, left: Decimal) -> None:
        """Let the reservation of an open order be of ``left`` shares after a split; its cash stays as it is.

        Nothing happens for an order without one.
        """
        self._reservations.resize(order_id, left)

    def has_noted(self, kind: BookingKind, note: BookingNote) -> bool:
        """Return whether any booking of ``kind`` bears the reference of ``note``."""
        return self._booked.has_noted(kind, note)

    def has_booked(self, fill: Fill) -> bool:
        """Return whether this execution, whatever else the notice has, is in the book."""
        return self._is_booked(self._id_of(fill))

    def executions(self, strategy: str, symbol: str, order_id: str, since_ns: int) -> list[Execution]:
        """Return what is booked of an order and was not taken back, by time; none is older than ``since_ns``.

        Raises StorageError when an earlier day has to be read and cannot be.
        """
        held = self._holdings.get((strategy, symbol))
        if held is None:
            return []
        if held.opening is not None and held.opening.key[0] >= since_ns:
            self._recall(strategy, symbol, held)
        return [
            Execution(step.key[3], step.key[0], magnitude(step.signed), step.price)
            for step in held.steps_of(order_id)
        ]

    def external_executions(self, symbol: str, order_ids: Container[str], since_ns: int) -> list[Execution]:
        """Return what EXTERNAL has of orders that are not ours, without what was taken back, by time.

        None is older than ``since_ns``. Raises StorageError like :meth:`executions`.
        """
        held = self.external.holdings.get(symbol)
        if held is None:
            return []
        if held.opening is not None and held.opening.key[0] >= since_ns:
            self._recall("", symbol, held)
        return [
            Execution(step.key[3], step.key[0], magnitude(step.signed), step.price)
            for step in held.steps_of_any(order_ids)
        ]

    def is_overfilled(self, order: Order) -> bool:
        """Return whether more was executed than ordered, without what the broker has taken back.

        Raises StorageError like :meth:`executions`.
        """
        if order.filled <= order.qty:
            return False
        booked = self.executions(order.strategy, order.symbol, order.client_order_id, order.ts_intent_ns)
        return sum_of(one.qty for one in booked) > order.qty

    def identity_of(self, report: object) -> FillId | None:
        """Return the identity of the execution that ``report`` is; None when it is no readable fill. Any thread.

        None as well for one without an id of its own or without our id of its order, which the session gives it.
        """
        if not isinstance(report, Fill) or not (report.client_order_id and report.execution_id):
            return None
        return None if unreadable(report) else self._id_of(report)

    def _id_of(self, fill: Fill) -> FillId:
        day = self._trade_date(fill.ts_ns)
        return FillId(self.name, fill.broker, day, fill.client_order_id, fill.execution_id)

    def _is_booked(self, key: FillId) -> bool:
        return self._is_in_opening(key) or self._booked.has_fill(key)

    def _is_in_opening(self, key: FillId) -> bool:
        """Return whether the execution is part of what the broker had when its account was adopted."""
        return bool(self._opened_on) and (key.trade_date < self._opened_on or key in self._before_opening)

    def _id_of_reversed(self, report: FillReversed) -> FillId:
        day = self._trade_date(report.traded_ns)
        return FillId(self.name, report.broker, day, report.client_order_id, report.execution_id)

    def transfer(self, transfer: Transfer) -> TransferOutcome:
        """Move cash between pools, wholly or not at all, each id once.

        Raises ContractError for an amount that is not a whole number of quanta above 0, or a source that is the
        target.
        """
        amount = transfer.amount
        if transfer.source is transfer.target:
            raise ContractError(
                f"transfer {transfer.transfer_id}: source and target are both {transfer.source.value}"
            )
        if not (amount.is_finite() and amount > 0 and is_multiple(amount, self.quantum)):
            raise ContractError(
                f"transfer {transfer.transfer_id}: amount must be whole units of {self.quantum}, got {amount}"
            )
        if self._booked.has_transfer(transfer.transfer_id):
            return TransferOutcome.SEEN_BEFORE
        if amount > self.available(transfer.source):
            return TransferOutcome.EXCEEDS_AVAILABLE
        self._move(transfer)
        return TransferOutcome.APPLIED

    # -- questions ---------------------------------------------------------------------------------------------

    def holding(self, strategy: str, symbol: str) -> Decimal:
        """Return the signed quantity of the strategy's own fills, in shares or contracts."""
        held = self._holdings.get((strategy, symbol))
        return held.qty if held is not None else ZERO

    def held(self, strategy: str, symbol: str) -> Holding | None:
        """Return the strategy's holding of ``symbol``; None when there never was one."""
        return self._holdings.get((strategy, symbol))

    def average_cost(self, strategy: str, symbol: str) -> Decimal | None:
        """Return the average price of the strategy's holding, without fees; None when flat."""
        held = self._holdings.get((strategy, symbol))
        return held.average_cost if held is not None else None

    def pool_of(self, strategy: str) -> Pool | None:
        """Return the pool that a strategy pays from; None before its first order, fill or holding."""
        return self._pool_of.get(strategy)

    def held_by(self, strategy: str) -> list[str]:
        """Return the symbols in which the strategy's holding is not flat."""
        return [symbol for (name, symbol), held in self._holdings.items() if name == strategy and held.qty]

    def position(self, symbol: str) -> Decimal:
        """Return the signed quantity over all strategies."""
        return sum_of(held.qty for _, held in self._of_symbol.get(symbol, ()))

    def sold_by_others(self, symbol: str) -> Decimal:
        """Return how much of ``symbol`` strategies hold that others have sold: the broker has it no more.

        Any thread.
        """
        theirs = self.external.qty(symbol)
        return max(min(self.position(symbol), negated(theirs)), ZERO) if theirs < 0 else ZERO

    def short_of(self, symbol: str) -> Decimal:
        """Return how much of ``symbol`` strategies have sold and not bought: others of ours hold what is missing.

        Any thread.
        """
        return sum_of(negated(held.qty) for _, held in self._of_symbol.get(symbol, ()) if held.qty < 0)

    def positions(self) -> dict[str, Decimal]:
        """Return the signed quantity by symbol, flat symbols left out."""
        total: dict[str, Decimal] = {}
        for (_, symbol), held in self._holdings.items():
            if held.qty:
                total[symbol] = plus(total.get(symbol, ZERO), held.qty)
        return {symbol: qty for symbol, qty in total.items() if qty}

    def symbols(self) -> Iterable[str]:
        """Return the symbols in which there ever was a holding."""
        return self._of_symbol.keys()

    def holders(self, symbol: str) -> Iterator[tuple[str, Pool, Holding]]:
        """Yield the strategies that ever held ``symbol``, with pool and holding, in the order of first fills."""
        for strategy, held in self._of_symbol.get(symbol, ()):
            yield strategy, self._pool_of[strategy], held

    @property
    def cash(self) -> Decimal:
        """Return the cash of all pools, reserved or not."""
        return sum_of(self._cash.values())

    def equity(self, mark: Mark) -> Decimal:
        """Return cash plus holdings valued; a holding without a mark counts at cost (see :meth:`unmarked`)."""
        return sum_of((h.value(mark(s)) for (_, s), h in self._holdings.items() if h.qty), self.cash)

    def exposure(self, mark: Mark) -> Decimal:
        """Return the marked value of all holdings, each by its size (a short holding counts like a long one)."""
        return sum_of(magnitude(h.value(mark(s))) for (_, s), h in self._holdings.items() if h.qty)

    def symbol_exposure(self, symbol: str, mark: Mark) -> Decimal:
        """Return the :meth:`exposure` of one symbol."""
        price = mark(symbol)
        return sum_of(magnitude(held.value(price)) for _, held in self._of_symbol.get(symbol, ()))

    def unmarked(self, mark: Mark) -> tuple[str, ...]:
        """Return the symbols held that have no mark and are therefore valued at cost."""
        return tuple(sorted({s for (_, s), h in self._holdings.items() if h.qty and mark(s) is None}))

    @property
    def realized_by_pool(self) -> dict[Pool, Decimal]:
        """Return the realised result by pool, fees and taxes in."""
        return dict(self._realized)

    @property
    def actions_applied(self) -> int:
        """Return how many rows of splits and dividends were booked."""
        return self._booked.marks.actions

    @property
    def bookings_applied(self) -> int:
        """Return how many bookings were made."""
        return self._booked.marks.bookings

    @property
    def capital_paid_in(self) -> Decimal:
        """Return opening, deposits and shares taken over, at cost, less withdrawals: the worth without results."""
        paid_in = plus(plus(self.opening, self.deposits_total), self.contributions_total)
        return minus(paid_in, self.withdrawals_total)

    @property
    def broker_cash(self) -> Decimal:
        """Return the cash that the broker holds: that of the pools and EXTERNAL."""
        return plus(self.cash, self.external.cash)

    def broker_positions(self) -> dict[str, Decimal]:
        """Return what the broker holds by symbol, ours and EXTERNAL, flat symbols left out."""
        total = self.positions()
        for symbol, qty in self.external.positions().items():
            total[symbol] = plus(total.get(symbol, ZERO), qty)
        return {symbol: qty for symbol, qty in total.items() if qty}

    @property
    def fills_applied(self) -> int:
        """Return how many fills were booked."""
        return self._booked.marks.fills

    def pool(self, pool: Pool, mark: Mark, target: Decimal = ZERO) -> CapitalPool:
        """Return a snapshot of one pool; ``target`` is its share of equity by rule (0..1)."""
        return self._snapshot(pool, mark, target, self.equity(mark))

    def pools(self, mark: Mark, targets: Mapping[Pool, Decimal]) -> dict[Pool, CapitalPool]:
        """Return snapshots of all pools; a pool missing in ``targets`` has target 0."""
        equity = self.equity(mark)
        return {pool: self._snapshot(pool, mark, targets.get(pool, ZERO), equity) for pool in Pool}

    def pool_row(self, pool: Pool) -> PoolRow:
        """Return the pool as it is stored."""
        return PoolRow(pool, self._cash[pool], self._realized[pool], self._pool_ts[pool])

    def pool_rows(self) -> tuple[PoolRow, ...]:
        """Return all pools as they are stored."""
        return tuple(self.pool_row(pool) for pool in Pool)

    def position_rows(self) -> tuple[PositionRow, ...]:
        """Return every holding there ever was, flat ones too."""
        return tuple(
            _position_row(strategy, self._pool_of[strategy], symbol, held)
            for (strategy, symbol), held in self._holdings.items()
        )

    # -- opening balances --------------------------------------------------------------------------------------

    def read_past_with(self, past: PastFacts) -> None:
        """Look up facts of closed days with ``past``. Called once, before the first close or a restart from one."""
        self._booked.past = past

    @property
    def last_close(self) -> DayCloseRow | None:
        """Return the newest close, also while its rows are not stored yet; None before the first."""
        return self._last_close

    @property
    def has_news(self) -> bool:
        """Return whether anything was booked since the last close."""
        closed = BookMarks() if self._last_close is None else self._last_close.marks
        return self._booked.marks != closed

    def begin_close(
        self, day: str, ts_ns: int, *, equity: Decimal, orders: int = 0, causes: int = 0
    ) -> tuple[DayCloseRow | HoldingCloseRow, ...]:
        """Return the rows of the close of ``day``: the balances of this moment, and the holdings that changed.

        Arguments are those of the row. Memory is let go by :meth:`finish_close`, when the rows are stored. Raises
        StateError for a day that is closed already, or is before one that is.
        """
        if self._last_close is not None and day <= self._last_close.day:
            raise StateError(f"{day} cannot be closed: {self._last_close.day} is")
        close = self._last_close = self._close_row(day, ts_ns, equity, orders, causes)
        ours = [(name, held) for name, held in self._holdings.items() if name in self._touched]
        theirs = [
            (symbol, held) for symbol, held in self.external.holdings.items() if symbol in self.external.touched
        ]
        rows = [close_of_holding(self.name, day, self._pool_of[name[0]], *name, held.last) for name, held in ours]
        rows += [close_of_holding(self.name, day, None, "", symbol, held.last) for symbol, held in theirs]
        changed = [held for _, held in (*ours, *theirs)]
        for held in changed:
            held.begin_close()
        waiting = () if self._closing is None else self._closing[1]
        self._closing = close, [*waiting, *changed]
        self._touched, self.external.touched = set(), set()
        return (close, *rows)

    def finish_close(self) -> None:
        """Hold in memory no more what the rows of the newest close cover: they, and all they cover, are stored.

        Nothing happens when there is none to finish.
        """
        if self._closing is not None:
            close, holdings = self._closing
            self._closing = None
            self._booked.forget(close.marks, close.newest_trade_date)
            for held in holdings:
                held.finish_close(close.marks)

    def _close_row(self, day: str, ts_ns: int, equity: Decimal, orders: int, causes: int) -> DayCloseRow:
        marks, scalp, swing, portfolio = self._booked.marks, Pool.SCALP, Pool.SWING, Pool.PORTFOLIO
        return DayCloseRow(
            account=self.name,
            day=day,
            ts_ns=ts_ns,
            fills=marks.fills,
            actions=marks.actions,
            transfers=marks.transfers,
            bookings=marks.bookings,
            orders=orders,
            causes=causes,
            newest_trade_date=self._booked.newest_trade_date,
            equity=equity,
            scalp_cash=self._cash[scalp],
            scalp_realized=self._realized[scalp],
            scalp_ns=self._pool_ts[scalp],
            swing_cash=self._cash[swing],
            swing_realized=self._realized[swing],
            swing_ns=self._pool_ts[swing],
            portfolio_cash=self._cash[portfolio],
            portfolio_realized=self._realized[portfolio],
            portfolio_ns=self._pool_ts[portfolio],
            fees=self.fees_total,
            taxes=self.taxes_total,
            dividends=self.dividends_total,
            dividend_taxes=self.dividend_taxes_total,
            fractions=self.fractions_total,
            deposits=self.deposits_total,
            withdrawals=self.withdrawals_total,
            adjustments=self.adjustments_total,
            contributions=self.contributions_total,
            contributed_value=self.contributions_value,
            external_cash=self.external.cash,
            external_realized=self.external.realized,
        )

    def _open(self, opening: OpeningBalances) -> None:
        """Begin with the balances of a close."""
        close = self._last_close = opening.close
        self._booked.begin_with(opening)
        self._cash, self._realized, self._pool_ts = dict(close.cash), dict(close.realized), dict(close.pool_ns)
        self.fees_total, self.taxes_total = close.fees, close.taxes
        self.dividends_total, self.dividend_taxes_total = close.dividends, close.dividend_taxes
        self.fractions_total, self.adjustments_total = close.fractions, close.adjustments
        self.deposits_total, self.withdrawals_total = close.deposits, close.withdrawals
        self.contributions_total, self.contributions_value = close.contributions, close.contributed_value
        self.external.cash, self.external.realized = close.external_cash, close.external_realized
        for row in opening.holdings:
            if row.pool is None:
                held = self.external.holding(row.symbol)
            else:
                self._bind(row.strategy, row.pool)
                held = self._new_holding(row.strategy, row.symbol)
            held.begin_with(opening_step(row), close.marks)

    def _recall(self, strategy: str, symbol: str, held: Holding) -> None:
        """Read the steps of ``held`` before its opening again: something of then has come."""
        rows = self._booked.asked().holding(strategy, symbol, held.marks)
        whole = Holding(self.quantum)
        for fill in rows.ledger:
            signed = signed_qty(fill)
            key = fill_key(fill.ts_ns, fill.broker, fill.execution_id, fill.order_id)
            whole.apply(key, signed, fill.price, fill.fee, fill.tax)
        for action in rows.actions:
            if action.kind is ActionKind.SPLIT:
                self._split(whole, action)
        for booking in rows.bookings:
            if booking.kind is not BookingKind.REVERSAL and booking.pool is None:
                change_at_broker(whole, booking)
            elif booking.kind is not BookingKind.REVERSAL:
                whole.add_at_cost(key_of_booking(booking), booking.qty, booking.cost)
            elif (step := self._step_of(whole, fill_id_of(booking))) is not None:
                whole.remove(step)
        held.recall(whole)

    # -- checkpoints -------------------------------------------------------------------------------------------

    def export_state(self) -> dict[str, Any]:
        """Return what the stored rows do not show, as plain data.

        The first division, the reservations, and totals to check the rows by.
        """
        marks = self._booked.marks
        state: dict[str, Any] = {
            "version": EXPORT_VERSION,
            "opening": str(self.opening),
            "quantum": str(self.quantum),
            "initial": {pool.value: str(self.initial[pool]) for pool in Pool},
            "fills": marks.fills,
            "actions": marks.actions,
            "transfers": marks.transfers,
            "cash": dict(zip(_POOL_NAMES, map(str, self._cash.values()), strict=True)),
            "realized": dict(zip(_POOL_NAMES, map(str, self._realized.values()), strict=True)),
            "reservations": [
                [
                    r.order_id,
                    r.strategy,
                    r.pool.value,
                    r.symbol,
                    r.side.value,
                    *map(str, (r.qty, r.cost, r.left, r.cash)),
                ]
                for r in self._reservations
            ],
        }
        if marks.bookings or self._early:
            state["bookings"] = marks.bookings
            state["external"] = {
                "cash": str(self.external.cash),
                "positions": {symbol: str(qty) for symbol, qty in self.external.positions().items()},
            }
            state["early"] = [[*msgspec.structs.astuple(report)] for report in self._early.values()]
        if self._opened_on:
            state["adopted"] = {"day": self._opened_on, "executions": sorted(self._before_opening)}
        return state

    def import_state(
        self,
        state: Mapping[str, Any],
        *,
        ledger: Iterable[LedgerRow],
        transfers: Iterable[Transfer] = (),
        actions: Iterable[ActionRow] = (),
        bookings: Iterable[BookingRow] = (),
        opening: OpeningBalances | None = None,
    ) -> None:
        """Restore what :meth:`export_state` saw, from the rows stored up to that moment.

        With ``opening`` the rows are those behind its marks; None: all of them. Only on an account that has done
        nothing yet, else StateError. Raises StorageError when rows and totals disagree: the store was damaged or
        belongs to another checkpoint.
        """
        if self._booked.marks != BookMarks() or self._reservations:
            raise StateError("only a fresh account can take over a stored state")
        if state.get("version") != EXPORT_VERSION or state.get("opening") != str(self.opening):
            raise StorageError(
                f"the stored account (version {state.get('version')!r}, opening {state.get('opening')!r}) does not "
                f"fit version {EXPORT_VERSION}, opening {self.opening}; resume with the configuration of that run"
            )
        if "initial" in state:  # the targets that divided it may have been reloaded since
            self.initial = {pool: Decimal(state["initial"][pool.value]) for pool in Pool}
            self._cash = dict(self.initial)
        if opening is not None:
            self._open(opening)
        adopted = state.get("adopted")
        if adopted is not None:
            self._opened_on = adopted["day"]
            self._before_opening = {FillId(*names) for names in adopted["executions"]}
        for transfer in transfers:
            self._move(transfer)
        for row in ledger:
            self._replay(row)
        for action in actions:  # behind fills of later days: each is put in its place by time
            self._replay_action(action)
        for booking in bookings:  # behind the fills that some of them take back
            self._replay_booking(booking)
        for values in state.get("early", ()):
            report = FillReversed(*values)
            self._early[self._id_of_reversed(report)] = report
        for order_id, strategy, pool, symbol, side, *amounts in state["reservations"]:
            self._restore(order_id, strategy, Pool(pool), symbol, Side(side), [Decimal(a) for a in amounts])
        self._check_against(state)

    def roll_forward(
        self,
        state: Mapping[str, Any],
        *,
        ledger: Sequence[LedgerRow],
        transfers: Sequence[Transfer] = (),
        actions: Sequence[ActionRow] = (),
        bookings: Sequence[BookingRow] = (),
        opening: OpeningBalances | None = None,
    ) -> list[FillEffect]:
        """Restore what :meth:`export_state` saw and apply what the rows behind it show of the time since.

        Rows are in the order of booking, those behind the marks of ``opening``; the ones that ``state`` knows come
        first. Return what each fill behind them has changed. Raises like :meth:`import_state`.
        """
        closed = BookMarks() if opening is None else opening.close.marks
        fills, moved = state["fills"] - closed.fills, state["transfers"] - closed.transfers
        acted, booked = state.get("actions", 0) - closed.actions, state.get("bookings", 0) - closed.bookings
        self.import_state(
            state,
            ledger=ledger[:fills],
            transfers=transfers[:moved],
            actions=actions[:acted],
            bookings=bookings[:booked],
            opening=opening,
        )
        for transfer in transfers[moved:]:
            self._move(transfer)
        effects = [self._follow(row) for row in ledger[fills:]]
        for action in actions[acted:]:
            self._replay_action(action)
        for booking in bookings[booked:]:
            self._replay_booking(booking)
        return effects

    def hold_back(
        self,
        order_id: str,
        strategy: str,
        pool: Pool,
        symbol: str,
        side: Side,
        qty: Decimal,
        cost: Decimal | None,
    ) -> None:
        """Hold back what an order that was sent before a restart may still take, whether or not it is there.

        ``qty`` is what it has not filled; ``cost`` the most that a BUY of it can take, None for a SELL. Raises
        StateError when the order already holds a reservation.
        """
        self._reservations.refuse_second(order_id)
        cash = cost or ZERO
        self._restore(order_id, strategy, pool, symbol, side, [qty, cash, qty, cash])

    # -- inside ------------------------------------------------------------------------------------------------

    def _bind(self, strategy: str, pool: Pool) -> None:
        bound = self._pool_of.setdefault(strategy, pool)
        if bound is not pool:
            raise ContractError(f"strategy {strategy!r} belongs to pool {bound.value}, not {pool.value}")

    def _holding_at(self, strategy: str, symbol: str, key: FillKey) -> Holding:
        """Return the holding, to be changed at ``key``, with the steps that this needs."""
        name = (strategy, symbol)
        held = self._holdings.get(name) or self._new_holding(strategy, symbol)
        if held.is_before_opening(key):
            self._recall(strategy, symbol, held)
        self._touched.add(name)
        self.changed.add(symbol)
        return held

    def _new_holding(self, strategy: str, symbol: str) -> Holding:
        held = self._holdings[strategy, symbol] = Holding(self.quantum)
        self._of_symbol.setdefault(symbol, []).append((strategy, held))
        self.changed.add(symbol)
        return held

    def _holders_of(self, symbol: str) -> list[tuple[str, Holding]]:
        """Return the strategies that hold ``symbol``, with their holdings, in the order of their first fills."""
        return [(strategy, held) for strategy, held in self._of_symbol.get(symbol, ()) if held.qty]

    def _apply_action(self, row: ActionRow) -> ActionEffect | None:
        """Book one row; None when it was booked before."""
        identity = action_id(row)
        if self._booked.has_action(identity):
            return None
        holding = self._holdings[row.strategy, row.symbol]
        if row.kind is ActionKind.SPLIT:
            holding = self._holding_at(row.strategy, row.symbol, action_key(row))
            before = holding.realized
            self._split(holding, row)
            row = msgspec.structs.replace(row, realized_pnl=minus(holding.realized, before))
        self._book_action(identity, row)
        position = _position_row(row.strategy, row.pool, row.symbol, holding)
        return ActionEffect(row, position, self.pool_row(row.pool))

    def _replay_action(self, row: ActionRow) -> None:
        self._bind(row.strategy, row.pool)
        if row.kind is ActionKind.SPLIT:
            self._split(self._holding_at(row.strategy, row.symbol, action_key(row)), row)
        self._book_action(action_id(row), row)

    def _split(self, holding: Holding, row: ActionRow) -> None:
        holding.split(action_key(row), row.change, row.amount, kept_share(row))

    def _book_action(self, identity: ActionId, row: ActionRow) -> None:
        self._booked.actions[identity] = None
        if row.kind is ActionKind.DIVIDEND:
            self.dividends_total = plus(self.dividends_total, row.amount)
            self.dividend_taxes_total = plus(self.dividend_taxes_total, row.tax)
        else:
            self.fractions_total = plus(self.fractions_total, row.amount)
        self._add_to_pool(row.pool, minus(row.amount, row.tax), row.realized_pnl, row.ts_ns)

    def _with_reversal(self, effect: FillEffect, key: FillId, symbol: str) -> FillEffect:
        """Take back at once what the broker had taken back before it reported it."""
        reversal = self._reverse(key, self._early.pop(key), symbol)
        assert reversal.position is not None  # it is a fill of ours
        assert reversal.pool is not None
        position, pool = reversal.position, reversal.pool
        return msgspec.structs.replace(effect, position=position, pool=pool, reversal=reversal)

    def _reverse(self, key: FillId, report: FillReversed, symbol: str) -> BookingEffect:
        found = self._find(key, symbol)
        assert found is not None  # checked before, or booked just now
        strategy, holding, step = found
        row = BookingRow(
            BookingKind.REVERSAL,
            report.ts_ns,
            self._pool_of[strategy] if strategy else None,
            strategy,
            symbol,
            negated(step.signed),
            step.price,
            times(step.signed, step.price),
            negated(step.fee),
            negated(step.tax),
            ZERO,
            ZERO,
            report.broker,
            report.client_order_id,
            report.execution_id,
            key.trade_date,
            report.broker,
            report.reason,
            self.name,
        )
        return self._book_row(row, holding)

    def _find(self, key: FillId, symbol: str) -> tuple[str, Holding, Step] | None:
        """Return the strategy ("": EXTERNAL), the holding and the step of a booked fill; None for none of it."""
        named = self._of_symbol.get(symbol, [])
        if key in self._booked.external:
            named = [("", self.external.holding(symbol))]
        for strategy, held in named:
            step = self._step_of(held, key)
            if step is not None:
                return strategy, held, step
        row = self._booked.stored(key)
        if row is None or row.symbol != symbol:
            return None
        held = self._holdings[row.strategy, symbol] if row.strategy else self.external.holding(symbol)
        if held.opening is not None:
            self._recall(row.strategy, symbol, held)
        step = self._step_of(held, key)
        return None if step is None else (row.strategy, held, step)

    def _step_of(self, held: Holding, key: FillId) -> Step | None:
        for step in held.fills(key.broker, key.execution_id, key.order_id):
            if self._trade_date(step.key[0]) == key.trade_date:
                return step
        return None

    def _holding_of(self, row: BookingRow) -> Holding:
        """Return the holding that a booking of shares changes, of a strategy or EXTERNAL, with what it needs."""
        if row.pool is not None:
            return self._holding_at(row.strategy, row.symbol, key_of_booking(row))
        held = self.external.holding(row.symbol)
        if held.is_before_opening(place_at_broker(row)):
            self._recall("", row.symbol, held)
        return held

    def _book_money(
        self, kind: BookingKind, shares: Mapping[Pool, Decimal], note: BookingNote
    ) -> tuple[BookingEffect, ...]:
        rows = (booking_row(kind, self.name, note, pool, amount=share) for pool, share in shares.items() if share)
        return tuple(self._book_row(row, None) for row in rows)

    def _book_row(self, row: BookingRow, holding: Holding | None) -> BookingEffect:
        """Book a new row. Of an execution its cost and result are what ``holding`` makes of it."""
        if holding is not None:
            cost, realized = holding.cost, holding.realized
            self._change_shares(row, holding)
            if row.kind in (BookingKind.EXTERNAL_FILL, BookingKind.REVERSAL):
                gained = minus(minus(minus(holding.realized, realized), row.fee), row.tax)
                row = msgspec.structs.replace(row, cost=minus(holding.cost, cost), realized_pnl=gained)
        self._book_booking(row)
        if row.pool is None:
            return BookingEffect(row, None, None)
        position = None
        if holding is not None:
            position = _position_row(row.strategy, row.pool, row.symbol, holding)
        return BookingEffect(row, position, self.pool_row(row.pool))

    def _change_shares(self, row: BookingRow, holding: Holding | None) -> None:
        """Change ``holding`` by ``row``; a reversal changes that of the execution it names."""
        if row.kind is not BookingKind.REVERSAL:
            if row.pool is None:
                self.external.change_shares(row)
            else:
                assert holding is not None  # its own
                holding.add_at_cost(key_of_booking(row), row.qty, row.cost)
            return
        key = fill_id_of(row)
        found = self._find(key, row.symbol)
        if found is None:
            raise StorageError(
                f"the reversal of execution {row.reference} names no booked fill; the store is damaged, restore it "
                "from a backup or start a new run"
            )
        found[1].remove(found[2])
        if row.strategy:
            self._touched.add((row.strategy, row.symbol))
        else:
            self.external.touched.add(row.symbol)
        self.changed.add(row.symbol)
        self._booked.reversed.add(key)
        self._early.pop(key, None)

    def _book_booking(self, row: BookingRow) -> None:
        """Add the money of ``row`` to its owner and to the totals."""
        self._booked.bookings[booking_id(row)] = None
        if row.kind is BookingKind.EXTERNAL_FILL:
            self._booked.external.add(fill_id_of(row))
        if row.pool is None:
            self.external.add_money(row)
            return
        self._add_to_pool(row.pool, cash_change(row), row.realized_pnl, row.ts_ns)
        self.fees_total = plus(self.fees_total, row.fee)
        self.taxes_total = plus(self.taxes_total, row.tax)
        if row.kind is BookingKind.DEPOSIT and row.symbol:
            self.contributions_total = plus(self.contributions_total, row.cost)
            self.contributions_value = plus(self.contributions_value, value_of(row))
        elif row.kind is BookingKind.DEPOSIT:
            self.deposits_total = plus(self.deposits_total, row.amount)
        elif row.kind is BookingKind.WITHDRAWAL:
            self.withdrawals_total = minus(self.withdrawals_total, row.amount)
        elif row.kind is BookingKind.ADJUSTMENT:
            self.adjustments_total = plus(self.adjustments_total, row.amount)

    def _replay_booking(self, row: BookingRow) -> None:
        if row.kind is BookingKind.REVERSAL:
            self._change_shares(row, None)
        elif row.symbol:
            if row.pool is not None:
                self._bind(row.strategy, row.pool)
            self._change_shares(row, self._holding_of(row))
        self._book_booking(row)

    def _add_to_pool(self, pool: Pool, cash: Decimal, realized: Decimal, ts_ns: int) -> None:
        self._cash[pool] = plus(self._cash[pool], cash)
        self._realized[pool] = plus(self._realized[pool], realized)
        if ts_ns > self._pool_ts[pool]:
            self._pool_ts[pool] = ts_ns

    def _book(self, pool: Pool, cash: Decimal, realized: Decimal, fill: Fill | LedgerRow) -> None:
        self._add_to_pool(pool, cash, realized, fill.ts_ns)
        self.fees_total = plus(self.fees_total, fill.fee)
        self.taxes_total = plus(self.taxes_total, fill.tax)

    def _move(self, transfer: Transfer) -> None:
        self._booked.transfers[transfer.transfer_id] = None
        self._cash[transfer.source] = minus(self._cash[transfer.source], transfer.amount)
        self._cash[transfer.target] = plus(self._cash[transfer.target], transfer.amount)
        for pool in (transfer.source, transfer.target):
            self._pool_ts[pool] = max(self._pool_ts[pool], transfer.ts_ns)

    def _snapshot(self, pool: Pool, mark: Mark, target: Decimal, equity: Decimal) -> CapitalPool:
        invested = cost = ZERO
        for (strategy, symbol), held in self._holdings.items():
            if held.qty and self._pool_of[strategy] is pool:
                invested = plus(invested, held.value(mark(symbol)))
                cost = plus(cost, held.cost)
        total = plus(self._cash[pool], invested)
        return CapitalPool(
            pool_id=pool,
            total=total,
            available=self.available(pool),
            invested=invested,
            reserved=self._reservations.cash[pool],
            realized_pnl=self._realized[pool],
            unrealized_pnl=minus(invested, cost),
            accumulated_profit=self._realized[pool],
            allocation_pct=ratio(total, equity) if equity > 0 else ZERO,
            target_allocation_pct=target,
        )

    def _effect_of(
        self, row: LedgerRow, holding: Holding, before: Decimal, gross: Decimal, *, overfilled: bool, late: bool
    ) -> FillEffect:
        """Return what the fill of ``row`` has changed; ``before`` is what ``holding`` held until then."""
        return FillEffect(
            ledger=row,
            position=_position_row(row.strategy, row.pool, row.symbol, holding),
            pool=self.pool_row(row.pool),
            realized=row.realized_pnl,
            gross=gross,
            closing=bool(before) and (before < 0) is not (row.side is Side.SELL),
            oversold=holding.qty < 0,
            overfilled=overfilled,
            overdrawn=self.available(row.pool) < 0,
            late=late,
        )

    def _replay(self, row: LedgerRow) -> bool:
        """Apply a stored fill; True when it was a late one."""
        self._bind(row.strategy, row.pool)
        self._booked.fills[id_of_row(row)] = None
        signed = signed_qty(row)
        key = fill_key(row.ts_ns, row.broker, row.execution_id, row.order_id)
        late = self._holding_at(row.strategy, row.symbol, key).apply(key, signed, row.price, row.fee, row.tax)
        self._book(row.pool, cash_of(signed, row), row.realized_pnl, row)
        return late

    def _follow(self, row: LedgerRow) -> FillEffect:
        """Apply a stored fill that the state before it lacks; return its effect as :meth:`apply_fill` does."""
        before = self.holding(row.strategy, row.symbol)
        late = self._replay(row)
        overfilled = self._reservations.fill(row.order_id, row.qty)
        gross = plus(plus(row.realized_pnl, row.fee), row.tax)
        holding = self._holdings[row.strategy, row.symbol]
        return self._effect_of(row, holding, before, gross, overfilled=overfilled, late=late)

    def _restore(
        self, order_id: str, strategy: str, pool: Pool, symbol: str, side: Side, amounts: list[Decimal]
    ) -> None:
        self._bind(strategy, pool)
        self._reservations.add(Reservation(order_id, strategy, pool, symbol, side, *amounts))

    def _check_against(self, state: Mapping[str, Any]) -> None:
        """Check that the rows give the totals of the checkpoint, and the holdings the results the rows claim."""
        marks = self._booked.marks
        for name, now, then in (
            ("fills", marks.fills, state["fills"]),
            ("transfers", marks.transfers, state["transfers"]),
            ("splits and dividends", marks.actions, state.get("actions", 0)),
            ("bookings", marks.bookings, state.get("bookings", 0)),
            *((f"cash of {p.value}", self._cash[p], Decimal(state["cash"][p.value])) for p in Pool),
            *((f"result of {p.value}", self._realized[p], Decimal(state["realized"][p.value])) for p in Pool),
            ("result of all", self._recomputed_result(), sum_of(self._realized.values())),
            *self._external_against(state.get("external")),
        ):
            if now != then:
                raise StorageError(
                    f"the stored rows give {name} = {now}, the checkpoint says {then}; "
                    "the store is damaged, restore it from a backup or start a new run"
                )

    def _external_against(self, saved: Mapping[str, Any] | None) -> Iterable[tuple[str, object, object]]:
        if saved is not None:
            yield "cash of EXTERNAL", self.external.cash, Decimal(saved["cash"])
            then = {symbol: Decimal(qty) for symbol, qty in saved["positions"].items()}
            yield "shares of EXTERNAL", self.external.positions(), then

    def _recomputed_result(self) -> Decimal:
        gross = sum_of(h.realized for h in self._holdings.values())
        traded = plus(minus(minus(gross, self.fees_total), self.taxes_total), self.adjustments_total)
        return minus(plus(traded, self.dividends_total), self.dividend_taxes_total)


def _position_row(strategy: str, pool: Pool, symbol: str, held: Holding) -> PositionRow:
    return PositionRow(strategy, pool, symbol, held.qty, held.cost, held.ts_ns)


def _initial(
    opening: Decimal, weights: Mapping[Pool, Decimal], quantum: Decimal, remainder: Pool
) -> dict[Pool, Decimal]:
    return split(opening, {pool: weights.get(pool, ZERO) for pool in Pool}, quantum, remainder)
