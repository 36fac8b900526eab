"""The orders that can still change, in memory, with the questions that others ask about them.

Final orders stay for a while (``keep_final``), because late fills and repeated reports are facts too. Later they
are found in the store (:meth:`WorkingOrders.recall`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import islice

from qts.execution.contracts import Order, OrderState, VenueRef
from qts.execution.executions import Execution
from qts.execution.past import PastOrders
from qts.money import ZERO, minus, negated, sum_of, times
from qts.risk.contracts import OrderRequest
from qts.strategy.contracts import Side

FINAL_STATES = frozenset(
    {
        OrderState.FILLED,
        OrderState.CANCELLED,
        OrderState.REJECTED,
        OrderState.NOT_SENT,
        OrderState.FILLED_LATE,
    }
)


def in_order_of_intent(orders: Iterable[Order]) -> list[Order]:
    """Return ``orders`` by the time of their intent, those of one moment by the number at the end of their id."""
    return sorted(orders, key=lambda one: (one.ts_intent_ns, len(one.client_order_id), one.client_order_id))


class WorkingOrders:
    """The orders of one account; values are replaced, never changed.

    ``past`` finds orders that are in memory no more; None: they are forgotten. More than ``keep_final`` final
    orders are in memory until what is known of them is stored (:meth:`begin_store`).
    """

    def __init__(self, keep_final: int = 1_000, past: PastOrders | None = None) -> None:
        self._past = past
        self._leaving: list[Order] = []
        self._open: dict[str, Order] = {}
        self._final: OrderedDict[str, Order] = OrderedDict()
        self._keep_final = keep_final
        self.executing: dict[tuple[str, str], Execution] = {}
        """The executions in parts that have not ended, by strategy and symbol."""

    def put(self, order: Order) -> None:
        """Insert or replace; a final order moves to the bounded memory of final ones."""
        key = order.client_order_id
        if order.state in FINAL_STATES:
            self._open.pop(key, None)
            self._final[key] = order
            self._final.move_to_end(key)
            if self._past is None:
                while len(self._final) > self._keep_final:
                    self._final.popitem(last=False)
        else:
            self._final.pop(key, None)
            self._open[key] = order

    def get(self, client_order_id: str) -> Order | None:
        """Return an order that is open or remembered; None for any other."""
        return self._open.get(client_order_id) or self._final.get(client_order_id)

    def recall(self, client_order_id: str) -> Order | None:
        """Return an order that is in memory or stored; None for none of ours. Raises StorageError when unknown."""
        order = self.get(client_order_id)
        return order if order is not None or self._past is None else self._past.order(client_order_id)

    def numbered(self, ref: VenueRef) -> Order | None:
        """Return the order in memory that has or had the number ``ref``; None for none."""
        everything = (*self._open.values(), *reversed(self._final.values()))
        return next((order for order in everything if ref in order.venue_refs), None)

    def recall_numbered(self, ref: VenueRef) -> Order | None:
        """Return the order in memory or stored that has or had the number ``ref``; None for none of ours.

        Raises StorageError when unknown.
        """
        order = self.numbered(ref)
        return order if order is not None or self._past is None else self._past.numbered(ref)

    def begin_store(self) -> None:
        """Note which final orders may leave the memory once what is known of them now is stored."""
        more = len(self._final) - self._keep_final
        self._leaving = [] if more <= 0 else list(islice(self._final.values(), more))

    def end_store(self) -> None:
        """Let the noted orders that have not changed since leave: their rows are stored."""
        for order in self._leaving:
            if self._final.get(order.client_order_id) is order:
                del self._final[order.client_order_id]
        self._leaving = []

    def __iter__(self) -> Iterator[Order]:
        return iter(tuple(self._open.values()))

    def __len__(self) -> int:
        return len(self._open)

    def of(self, strategy: str, symbol: str) -> list[Order]:
        """Return the open orders of one strategy in one symbol."""
        return [o for o in self._open.values() if o.strategy == strategy and o.symbol == symbol]

    def entry_value(self, symbol: str | None = None) -> Decimal:
        """Sum what the open buys would still add, at their limit or decision price (one symbol, or all)."""
        if not self._open:
            return ZERO
        return sum_of(
            times(o.remaining, o.limit or o.decision_price)
            for o in self._open.values()
            if o.side is Side.BUY and (symbol is None or o.symbol == symbol)
        )

    def entry_symbols(self) -> set[str]:
        """Return the symbols with an open buy."""
        return {o.symbol for o in self._open.values() if o.side is Side.BUY}

    def unsent(self, strategy: str, symbol: str) -> Decimal:
        """Return what an execution in parts has still to buy, below 0 to sell, and no open order does."""
        one = self.executing.get((strategy, symbol))
        if one is None:
            return ZERO
        rest = minus(one.remaining, sum_of(o.remaining for o in self.of(strategy, symbol) if o.side is one.side))
        return max(rest, ZERO) if one.side is Side.BUY else negated(max(rest, ZERO))

    def is_later_part(self, request: OrderRequest) -> bool:
        """Return whether an order is a part of an execution of which another part was sent before."""
        if not request.parent_id:
            return False
        one = self.executing.get((request.strategy, request.symbol))
        return one is None or bool(one.children and one.children[0] != request.client_order_id)

    def working_sells(self, strategy: str, symbol: str) -> Decimal:
        """Sum what is left of a strategy's open sells in one symbol, in shares or contracts."""
        if not self._open:
            return ZERO
        return sum_of(o.remaining for o in self.of(strategy, symbol) if o.side is Side.SELL)

    def working_buys(self, strategy: str, symbol: str) -> Decimal:
        """Sum what is left of a strategy's open buys in one symbol, in shares or contracts."""
        if not self._open:
            return ZERO
        return sum_of(o.remaining for o in self.of(strategy, symbol) if o.side is Side.BUY)

    def sells_of_all(self, symbol: str) -> Decimal:
        """Sum what is left of the open sells of every strategy in one symbol, in shares or contracts."""
        return sum_of(o.remaining for o in self._open.values() if o.symbol == symbol and o.side is Side.SELL)

    def unknown(self, symbol: str, side: Side) -> bool:
        """Return whether an order of this key has an unknown fate; at most one may (``one-unknown-order``)."""
        return bool(self._open) and any(
            o.state is OrderState.UNKNOWN and o.symbol == symbol and o.side is side for o in self._open.values()
        )

    def has_tag(self, strategy: str, tag: str) -> bool:
        """Return whether an open order of ``strategy`` carries ``tag``."""
        return any(o.request.tag == tag and o.strategy == strategy for o in self._open.values())

    def by_ref(self) -> dict[VenueRef, Order]:
        """Return the remembered orders, open and final, by each number under which venues know them."""
        return {ref: order for order in self.remembered() for ref in order.venue_refs}

    def remembered(self) -> tuple[Order, ...]:
        """Return the orders that are in memory, open and final."""
        return (*self._final.values(), *self._open.values())

    def export_state(self) -> list[str]:
        """Return the ids of the open orders in their order, for a checkpoint; the orders are in the store."""
        return list(self._open)

    def import_state(self, orders: Iterable[Order]) -> None:
        """Replace everything by ``orders``, open and final."""
        self._open.clear()
        self._final.clear()
        for order in orders:
            self.put(order)
