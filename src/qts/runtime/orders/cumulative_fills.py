"""Finds what was executed of an order where the broker does not number executions: its cumulative quantity decides.

What it shows and we have not booked becomes an inferred fill. What we have booked and it does not show any more is
taken back, after two readings. An id is made of the day, the order's number and the quantity executed after the
fill: so each execution covers a part of the order, and a notice of a part that is covered adds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import ROUND_FLOOR, Decimal
from typing import Any, Final

from msgspec.structs import replace

from qts.broker.contracts import BrokerOrder
from qts.clock import NS_PER_S
from qts.execution.contracts import ExecutionReport, Fill, FillReversed, Order, VenueRef
from qts.execution.fit import CLOCKS_APART_NS
from qts.ledger.account import Account, Execution
from qts.ledger.contracts import BookingKind, BookingRow
from qts.money import ZERO, is_multiple, minus, plus, ratio, sum_of, times, whole_steps
from qts.runtime.orders.untold_fills import UntoldFills

BETWEEN_READINGS_NS: Final = 2 * NS_PER_S
_MOST_TAKEN_BACK: Final = 1_000
_ONE: Final = Decimal(1)


def execution_id(ref: VenueRef, cumulative: Decimal) -> str:
    """Return the id of an execution after which ``cumulative`` of the order ``ref`` was executed."""
    return f"{ref.day.isoformat()}/{ref.number}/{cumulative:f}"


class CumulativeFills:
    """Compares booked executions with cumulative quantities. For the session's thread.

    ``broker``: its name. ``lag_ns``: time for which the broker may show less than what has happened.
    """

    def __init__(self, account: Account, broker: str, lag_ns: int) -> None:
        self._account = account
        self._broker = broker
        self._patience_ns = max(lag_ns, BETWEEN_READINGS_NS)
        self._below_since: dict[str, int] = {}
        self._taken_back: dict[str, None] = {}
        """Orders of which executions were taken back: their quantity filled is more than is booked."""
        self._untold = UntoldFills()

    def reports(self, order: Order, row: BrokerOrder, now_ns: int) -> Sequence[ExecutionReport]:
        """Return what has to be booked of ``order`` so that the books show the quantity of ``row``; mostly nothing.

        ``now_ns``: when the reading began. Raises StorageError where an earlier day has to be read and cannot be.
        """
        key = order.client_order_id
        if row.filled == order.filled and key not in self._taken_back:
            self._below_since.pop(key, None)
            return ()
        booked = self._booked(order)
        total = sum_of(one.qty for one in booked)
        if row.filled >= total:
            self._below_since.pop(key, None)
            return self._inferred(order, row, booked, now_ns)
        if now_ns - self._below_since.setdefault(key, now_ns) < self._patience_ns:
            return ()
        del self._below_since[key]
        reversed_: list[ExecutionReport] = []
        kept = sorted(booked, key=_end_of)
        while kept and total > row.filled:
            last = kept.pop()
            total = minus(total, last.qty)
            reason = f"the broker shows {row.filled} executed"
            ids = (self._broker, last.execution_id, key, order.symbol)
            reversed_.append(FillReversed(*ids, last.ts_ns, now_ns, reason))
        return [*reversed_, *self._inferred(order, row, kept, now_ns)]

    def told(self, fill: Fill, order: Order) -> Fill | None:
        """Return what a notice tells that is to be booked, with an id; None: nothing, the next reading decides.

        That is so where a part of it is booked already: one without an id may be what a reading has shown that
        began no earlier than it was executed, as long as not all of that was told; and nothing beyond the ordered
        quantity is believed to a notice. Raises StorageError like :meth:`reports`.
        """
        end = _end(fill.execution_id)
        if fill.execution_id and end is None:
            return fill
        if end is not None:
            begin = minus(end, fill.qty)
            covered = any(minus(one_end, one.qty) < end and begin < one_end for one, one_end in self._ends(order))
            return None if covered else fill
        if self._untold.was_read(fill.client_order_id, fill):
            return None
        booked = self._booked(order)
        total = max([sum_of(one.qty for one in booked), *(_end_of(one)[0] for one in booked)])
        end = plus(total, fill.qty)
        if end > order.qty or order.ref is None:
            return None
        return with_new_id(replace(fill, execution_id=execution_id(order.ref, end)), self._account)

    def _booked(self, order: Order) -> list[Execution]:
        since_ns = order.ts_intent_ns - CLOCKS_APART_NS
        return self._account.executions(order.strategy, order.symbol, order.client_order_id, since_ns)

    def _ends(self, order: Order) -> list[tuple[Execution, Decimal]]:
        return [(one, end) for one in self._booked(order) if (end := _end(one.execution_id)) is not None]

    def on_booking(self, row: BookingRow) -> None:
        """Remember the order of which an execution was taken back."""
        if row.kind is BookingKind.REVERSAL:
            self._taken_back[row.order_id] = None
            if len(self._taken_back) > _MOST_TAKEN_BACK:
                del self._taken_back[next(iter(self._taken_back))]

    def export_state(self) -> dict[str, Any]:
        """Return the orders of which executions were taken back, or not told, for a checkpoint; {} for none."""
        untold = self._untold.export_state()
        return {
            **({"taken_back": list(self._taken_back)} if self._taken_back else {}),
            **({"untold": untold} if untold else {}),
        }

    def import_state(self, saved: dict[str, Any]) -> None:
        """Restore what :meth:`export_state` returned."""
        self._taken_back = dict.fromkeys(saved.get("taken_back", ()))
        self._untold.import_state(saved.get("untold", ()))

    def _inferred(self, order: Order, row: BrokerOrder, booked: Sequence[Execution], now_ns: int) -> Sequence[Fill]:
        """Return fills of what ``row`` shows beyond ``booked``, at prices that add up to its amount."""
        qty = minus(row.filled, sum_of(one.qty for one in booked))
        if not qty or row.amount is None:
            return ()
        amount = minus(row.amount, sum_of(times(one.qty, one.price) for one in booked))
        fills = []
        for end, part, price in _in_gaps(
            _gaps(booked, row.filled, qty), prices_of(qty, amount, self._account.quantum)
        ):
            fill = Fill(
                self._broker,
                execution_id(row.first_ref, end),
                order.client_order_id,
                order.symbol,
                order.side,
                part,
                price,
                ZERO,
                ZERO,
                now_ns,
                row.filled >= order.qty,
                inferred=True,
            )
            fills.append(with_new_id(fill, self._account))
        self._untold.note(order.client_order_id, qty, now_ns)
        return fills


def with_new_id(fill: Fill, account: Account) -> Fill:
    """Return ``fill`` with an id that was not booked: one with the same quantity before may be taken back."""
    number, made = 1, fill
    while account.has_booked(made):
        number += 1
        made = replace(fill, execution_id=f"{fill.execution_id}#{number}")
    return made


def prices_of(qty: Decimal, amount: Decimal, quantum: Decimal) -> Sequence[tuple[Decimal, Decimal]]:
    """Divide ``amount`` over ``qty`` in at most two prices of whole quanta whose sum it is.

    Where no whole quantities do that, at the average price.
    """
    low = times(whole_steps(amount, times(qty, quantum), ROUND_FLOOR), quantum)
    dearer = ratio(minus(amount, times(low, qty)), quantum)  # units at one quantum more
    if not dearer:
        return ((qty, low),)
    if is_multiple(qty, _ONE) and is_multiple(dearer, _ONE):
        return ((minus(qty, dearer), low), (dearer, plus(low, quantum)))
    return ((qty, ratio(amount, qty)),)


def _end(execution_id: str) -> Decimal | None:
    """Return the quantity executed after an execution, as its id says; None for an id of another kind."""
    head, _, end = execution_id.partition("#")[0].rpartition("/")
    return Decimal(end) if head and end.replace(".", "", 1).isdecimal() else None


def _end_of(one: Execution) -> tuple[Decimal, int]:
    return _end(one.execution_id) or ZERO, one.ts_ns


def _gaps(booked: Sequence[Execution], filled: Decimal, qty: Decimal) -> Sequence[tuple[Decimal, Decimal]]:
    """Return the parts of an order that no execution covers, each as (begin, end); together they are ``qty``."""
    gaps, at = [], ZERO
    for end, size in sorted((_end_of(one)[0], one.qty) for one in booked):
        if (begin := minus(end, size)) > at:
            gaps.append((at, begin))
        at = max(at, end)
    if filled > at:
        gaps.append((at, filled))
    found = sum_of(minus(end, begin) for begin, end in gaps)
    return gaps if found == qty else [(minus(filled, qty), filled)]


def _in_gaps(
    gaps: Sequence[tuple[Decimal, Decimal]], priced: Sequence[tuple[Decimal, Decimal]]
) -> Iterator[tuple[Decimal, Decimal, Decimal]]:
    """Yield (end, quantity, price) of fills that cover ``gaps`` at the prices of ``priced``, in their order."""
    prices = [list(one) for one in priced]
    for begin, end in gaps:
        at = begin
        while at < end:
            left, price = prices[0]
            part = min(left, minus(end, at))
            at = plus(at, part)
            yield at, part, price
            prices[0][0] = minus(left, part)
            if not prices[0][0]:
                del prices[0]
