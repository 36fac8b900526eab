"""The positions, orders and fills that the local book of a session has committed, for the cache.

The session's thread adds the rows of each transaction that is on disk: it assigns to dictionaries, nothing else.
The publisher's thread copies and empties them; each is one step of the interpreter, so no one waits for the other.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any, TypeVar

from qts.db.contracts import Record
from qts.execution.contracts import Order
from qts.execution.working import FINAL_STATES
from qts.ledger.contracts import LedgerRow, PositionRow

_T = TypeVar("_T")


class CommittedBook:
    """The newest committed row of each holding and order, and the fills since they were last taken.

    ``positions`` has every holding there ever was, by strategy and symbol; ``working`` the orders that have not
    ended. Of more than ``most`` orders or fills that were not taken yet the oldest is dropped and counted.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.positions: dict[tuple[str, str], PositionRow] = {}
        self.working: dict[str, Order] = {}
        self.dropped: Counter[str] = Counter()
        self._orders: OrderedDict[str, Order] = OrderedDict()
        self._fills: OrderedDict[tuple[str, str, str, str], LedgerRow] = OrderedDict()
        self._day, self._trades = "", 0

    # -- the session's thread ----------------------------------------------------------------------------------

    def begin(self, positions: Sequence[PositionRow], orders: Sequence[Order], day: str, trades: int) -> None:
        """Begin with what the book has already; ``trades`` is the number of its fills of ``day`` (ISO)."""
        for row in positions:
            self.positions.setdefault((row.strategy, row.symbol), row)
        for order in orders:
            if order.client_order_id not in self._orders:
                self._put(order)
        if not self._day:
            self._day, self._trades = day, trades

    def add(self, records: Sequence[Record]) -> None:
        """Add the rows of a transaction that is on disk."""
        for record in records:
            kind = record.__class__
            if kind is Order:
                self._put(record)  # type: ignore[arg-type]
            elif kind is PositionRow:
                self.positions[record.strategy, record.symbol] = record  # type: ignore[union-attr, assignment]
            elif kind is LedgerRow:
                self._count(record)  # type: ignore[arg-type]

    def trades_of(self, day: str) -> int:
        """Return how many fills of ``day``, the newest market's date, are committed."""
        return self._trades if day == self._day else 0

    def _put(self, order: Order) -> None:
        key = order.client_order_id
        if order.state in FINAL_STATES:
            self.working.pop(key, None)
        else:
            self.working[key] = order
        self._orders[key] = order
        if len(self._orders) > self._most:
            self._drop(self._orders, "ord")

    def _count(self, row: LedgerRow) -> None:
        if row.trade_date > self._day:
            self._day, self._trades = row.trade_date, 0
        self._trades += row.trade_date == self._day
        self._fills[row.trade_date, row.broker, row.order_id, row.execution_id] = row
        if len(self._fills) > self._most:
            self._drop(self._fills, "trades")

    def _drop(self, waiting: OrderedDict[Any, Any], name: str) -> None:
        try:
            waiting.popitem(last=False)
        except KeyError:  # the other thread has taken them meanwhile
            return
        self.dropped[name] += 1

    # -- the publisher's thread --------------------------------------------------------------------------------

    def take_orders(self) -> list[Order]:
        """Take out the orders that have changed, those first that wait longest."""
        return _emptied(self._orders)

    def take_fills(self) -> list[LedgerRow]:
        """Take out the fills that were added, the oldest first."""
        return _emptied(self._fills)


def _emptied(waiting: OrderedDict[Any, _T]) -> list[_T]:
    """Take everything out, one by one: the session's thread may put more in meanwhile."""
    taken = []
    for _ in range(len(waiting)):
        try:
            taken.append(waiting.popitem(last=False)[1])
        except KeyError:
            break
    return taken
