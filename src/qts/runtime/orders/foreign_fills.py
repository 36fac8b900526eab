"""Finds what was executed of orders that are not ours, where the broker does not number executions.

What the row of such an order shows beyond what EXTERNAL has of it, in two readings that are at least the broker's
visibility lag apart and never less than two seconds, was told by no notice: it becomes an inferred fill.
What had been executed when the account was adopted is part of its opening, and is not booked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from qts.broker.contracts import BrokerOrder
from qts.clock import NS_PER_S, to_ns
from qts.execution.contracts import Fill, VenueRef
from qts.execution.fit import CLOCKS_APART_NS
from qts.ledger.account import Account
from qts.money import ZERO, minus, plus, sum_of, times
from qts.runtime.orders.cumulative_fills import BETWEEN_READINGS_NS, prices_of, with_new_id
from qts.runtime.orders.numbered_reports import foreign_id
from qts.runtime.orders.untold_fills import UntoldFills

_MOST: Final = 1_000
_DAY_NS: Final = 86_400 * NS_PER_S


class _Executed(NamedTuple):
    """A quantity and what was paid for it; ``amount`` None: the broker does not say."""

    qty: Decimal
    amount: Decimal | None


class ForeignFills:
    """Compares EXTERNAL with the rows of orders that are not ours. For the session's thread.

    ``broker``: its name. ``lag_ns``: time for which it may show less than what has happened. ``is_ours``: whether
    an order of ours, remembered or stored, has a number; it may raise StorageError. At most 1,000 orders are
    remembered.
    """

    def __init__(self, account: Account, broker: str, lag_ns: int, is_ours: Callable[[VenueRef], bool]) -> None:
        self._account = account
        self._broker = broker
        self._is_ours = is_ours
        self.patience_ns = max(lag_ns, BETWEEN_READINGS_NS)
        """Time between the two readings that show an execution."""
        self._before: dict[str, _Executed] | None = None
        """By order: what EXTERNAL has of it by its opening; None: not known, the next reading says it."""
        self._more_since: dict[str, int] = {}
        self._first: dict[str, str] = {}
        """By the id that a later number gives an order: the one that its first number gives it."""
        self._untold = UntoldFills()

    @property
    def is_waiting(self) -> bool:
        """Return whether a reading has shown more, which another one has to confirm."""
        return bool(self._more_since)

    def begin(self, rows: Sequence[BrokerOrder], now_ns: int) -> None:
        """Note that all that ``rows``, read at ``now_ns``, show as executed is in what EXTERNAL has."""
        self._before = {}
        for row in rows:
            qty, amount = self._booked(row)
            rest = minus(row.filled, qty)
            if rest > 0:
                key = foreign_id(row.first_ref)
                self._before[key] = _Executed(rest, None if row.amount is None else minus(row.amount, amount))
                self._untold.note(key, rest, now_ns)
                if len(self._before) > _MOST:
                    del self._before[next(iter(self._before))]

    def inferred(self, rows: Sequence[BrokerOrder], now_ns: int) -> Sequence[Fill]:
        """Return the fills that EXTERNAL lacks; mostly none.

        ``rows``: the orders that none of ours in memory can be, of a reading that began at ``now_ns``. Raises
        StorageError when it cannot be known whether one is ours, or an earlier day has to be read and cannot be.
        """
        rows = [row for row in rows if row.client_order_id is None]
        self._learn_numbers(rows)
        if self._before is None:
            self.begin(rows, now_ns)
        fills: list[Fill] = []
        more_since: dict[str, int] = {}
        for row in rows:
            if row.filled <= 0:
                continue
            key = foreign_id(row.first_ref)
            missing = self._missing(key, row)
            if missing.qty <= 0 or any(map(self._is_ours, (row.ref, *row.earlier))):
                continue
            since_ns = self._more_since.get(key, now_ns)
            if now_ns - since_ns < self.patience_ns:
                more_since[key] = since_ns
            elif missing.amount is not None and missing.amount > 0:
                fills += self._fills(key, row, missing, now_ns)
        self._more_since = more_since
        return fills

    def told(self, fill: Fill) -> Fill | None:
        """Return a notice of an order that is not ours with an id; None: what it tells was read before.

        The id is made of what EXTERNAL has of that order. Raises StorageError like :meth:`inferred`.
        """
        if fill.execution_id:
            return fill
        key = fill.client_order_id
        if self._untold.was_read(self._first.get(key, key), fill):
            return None
        booked = self._account.external_executions(fill.symbol, {key}, fill.ts_ns - _DAY_NS)
        end = plus(sum_of(one.qty for one in booked), fill.qty)
        return with_new_id(replace(fill, execution_id=f"{key}/{end:f}"), self._account)

    def export_state(self) -> dict[str, Any]:
        """Return what is remembered, for a checkpoint."""
        before = None if self._before is None else [[key, *one] for key, one in self._before.items()]
        more, first = [[key, ns] for key, ns in self._more_since.items()], list(self._first.items())
        return {"before": before, "more": more, "first": first, "untold": self._untold.export_state()}

    def go_on_at(self, now_ns: int) -> None:
        """Note that a resumed session goes on at ``now_ns``, also behind a clock that was set back."""
        self._more_since = {key: min(since_ns, now_ns) for key, since_ns in self._more_since.items()}

    def import_state(self, saved: dict[str, Any]) -> None:
        """Restore what :meth:`export_state` returned."""
        before = saved["before"]
        self._before = None if before is None else {key: _read(qty, amount) for key, qty, amount in before}
        self._more_since, self._first = dict(saved["more"]), dict(saved["first"])
        self._untold.import_state(saved["untold"])

    def _learn_numbers(self, rows: Sequence[BrokerOrder]) -> None:
        for row in rows:
            for ref in (*row.earlier[1:], row.ref) if row.earlier else ():
                self._first[foreign_id(ref)] = foreign_id(row.first_ref)
        while len(self._first) > _MOST:
            del self._first[next(iter(self._first))]

    def _missing(self, key: str, row: BrokerOrder) -> _Executed:
        (qty, amount), before = self._booked(row), (self._before or {}).get(key, _Executed(ZERO, ZERO))
        rest = minus(row.filled, plus(qty, before.qty))
        if row.amount is None or before.amount is None:
            return _Executed(rest, None)
        return _Executed(rest, minus(row.amount, plus(amount, before.amount)))

    def _booked(self, row: BrokerOrder) -> tuple[Decimal, Decimal]:
        """Return the quantity and the amount that EXTERNAL has of ``row``'s order, beside its opening."""
        keys = {foreign_id(ref) for ref in (row.ref, *row.earlier)}
        taken = datetime(row.ref.day.year, row.ref.day.month, row.ref.day.day, tzinfo=UTC)
        since_ns = row.ts_ns - CLOCKS_APART_NS if row.ts_ns else to_ns(taken) - _DAY_NS
        booked = self._account.external_executions(row.symbol, keys, since_ns)
        return sum_of(one.qty for one in booked), sum_of(times(one.qty, one.price) for one in booked)

    def _fills(self, key: str, row: BrokerOrder, missing: _Executed, now_ns: int) -> Sequence[Fill]:
        assert missing.amount is not None  # the caller has checked it
        fills, end = [], minus(row.filled, missing.qty)
        for part, price in prices_of(missing.qty, missing.amount, self._account.quantum):
            end = plus(end, part)
            fill = Fill(
                self._broker,
                f"{key}/{end:f}",
                key,
                row.symbol,
                row.side,
                part,
                price,
                ZERO,
                ZERO,
                now_ns,
                not row.is_open,
                inferred=True,
            )
            fills.append(with_new_id(fill, self._account))
        self._untold.note(key, missing.qty, now_ns)
        return fills


def _read(qty: str | Decimal, amount: str | Decimal | None) -> _Executed:
    return _Executed(Decimal(qty), None if amount is None else Decimal(amount))
