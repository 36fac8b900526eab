"""The reservations of open orders: cash of their pools, or shares of their strategies' holdings."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_CEILING, Decimal

from qts.capital.contracts import Pool
from qts.errors import StateError
from qts.ledger.contracts import Reservation
from qts.money import ZERO, minus, plus, sum_of, times, whole_steps
from qts.strategy.contracts import Side


class Reservations:
    """The reservations of one account, at most one for each order; whether there is enough is asked before."""

    def __init__(self, quantum: Decimal) -> None:
        self._quantum = quantum
        self._of_order: dict[str, Reservation] = {}
        self.cash = dict.fromkeys(Pool, ZERO)
        """Cash held back, by pool."""

    def __iter__(self) -> Iterator[Reservation]:
        """Iterate over the reservations in the order of their making."""
        return iter(self._of_order.values())

    def __len__(self) -> int:
        return len(self._of_order)

    def refuse_second(self, order_id: str) -> None:
        """Raise StateError when the order already holds a reservation."""
        if order_id in self._of_order:
            raise StateError(f"order {order_id} already holds a reservation; release it first")

    def add(self, one: Reservation) -> None:
        """Hold back what ``one`` says."""
        self._of_order[one.order_id] = one
        self.cash[one.pool] = plus(self.cash[one.pool], one.cash)

    def release(self, order_id: str) -> bool:
        """Release what an order still holds back; False when it holds nothing."""
        one = self._of_order.pop(order_id, None)
        if one is None:
            return False
        self.cash[one.pool] = minus(self.cash[one.pool], one.cash)
        return True

    def qty(self, strategy: str, symbol: str) -> Decimal:
        """Return the quantity of a strategy's holding held back by its open sales."""
        return sum_of(
            one.left
            for one in self._of_order.values()
            if one.side is Side.SELL and one.strategy == strategy and one.symbol == symbol
        )

    def fill(self, order_id: str, qty: Decimal) -> bool:
        """Release the share of ``qty`` that was filled; return whether more was filled than the order had left."""
        one = self._of_order.get(order_id)
        if one is None:
            return False
        left = minus(one.left, qty)
        if left <= 0:
            self.release(order_id)
            return left < 0
        cash = ZERO
        if one.side is Side.BUY:
            quanta = whole_steps(times(one.cost, left), times(one.qty, self._quantum), ROUND_CEILING)
            cash = min(times(quanta, self._quantum), one.cash)
        self.cash[one.pool] = minus(self.cash[one.pool], minus(one.cash, cash))
        self._of_order[order_id] = Reservation(
            one.order_id, one.strategy, one.pool, one.symbol, one.side, one.qty, one.cost, left, cash
        )
        return False

    def resize(self, order_id: str, left: Decimal) -> None:
        """Let the reservation of an order be of ``left`` shares; its cash stays. Nothing happens without one."""
        one = self._of_order.get(order_id)
        if one is not None:
            self._of_order[order_id] = Reservation(
                one.order_id, one.strategy, one.pool, one.symbol, one.side, left, one.cash, left, one.cash
            )
