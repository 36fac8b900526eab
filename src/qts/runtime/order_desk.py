"""What comes back from the broker: the P0 handler that books fills, cancels and rejections exactly once."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from qts.db.contracts import Record
from qts.event.contracts import Event, EventType
from qts.execution.contracts import (
    BrokerDisconnect,
    Fill,
    Order,
    OrderCancelled,
    OrderNews,
    OrderRejected,
    OrderState,
)
from qts.execution.lifecycle import apply_cancelled, apply_fill, apply_rejected
from qts.execution.working import FINAL_STATES, WorkingOrders
from qts.ledger.account import Account
from qts.ledger.contracts import FillEffect
from qts.runtime.record import RunRecord
from qts.runtime.strategy_host import StrategyHost
from qts.strategy.contracts import FillView

OnCode = Callable[[str, str], None]

EVENT_OF_NEWS = {
    OrderCancelled: EventType.ORDER_CANCELLED,
    OrderRejected: EventType.ORDER_REJECTED,
    BrokerDisconnect: EventType.BROKER_DISCONNECT,
}


def event_type_of(news: OrderNews | BrokerDisconnect) -> EventType:
    """FILL_CONFIRMED for the fill that completes an order, FILL_PARTIAL for the others."""
    if isinstance(news, Fill):
        return EventType.FILL_CONFIRMED if news.last else EventType.FILL_PARTIAL
    return EVENT_OF_NEWS[type(news)]


class OrderDesk:
    """Applies news in this order: book of record, order, strategy; then a transaction with a checkpoint.

    The store's unique key is the last word on "exactly once"; the account's memory of keys makes a repeated
    notice cheap. Nothing is booked blind: a fill of an order nobody knows raises FS070. What is raised while news
    is applied ends the session: tried again it would find the mark of an effect that is not whole.
    """

    def __init__(
        self,
        *,
        account: Account,
        orders: WorkingOrders,
        host: StrategyHost,
        record: RunRecord,
        on_code: OnCode,
        on_applied: Callable[[Fill, Order, FillEffect], None],
        on_ended: Callable[[Order], None],
        log: Callable[[str, str], None],
    ) -> None:
        self._account = account
        self._orders = orders
        self._host = host
        self._record = record
        self._on_code = on_code
        self._on_applied = on_applied
        self._on_ended = on_ended
        self._log = log
        self.duplicates = 0

    async def on_event(self, event: Event) -> None:
        """Apply one piece of news. Raises HalfDoneError when it could not be applied wholly."""
        news = event.payload
        with self._record.whole(f"{event.event_type.value} {event.event_id}"):
            await self._apply(news)

    async def _apply(self, news: object) -> None:
        if isinstance(news, Fill):
            await self._on_fill(news)
        elif isinstance(news, OrderCancelled):
            await self._on_end(news, "cancelled")
        elif isinstance(news, OrderRejected):
            await self._on_end(news, "rejected")
        elif isinstance(news, BrokerDisconnect):
            self._on_code("AN050", f"{news.broker}: {news.reason}")

    async def _on_fill(self, fill: Fill) -> None:
        order = self._orders.get(fill.client_order_id)
        if order is None and self._account.has_booked(fill):
            self.duplicates += 1  # of an order that ended too long ago to be remembered
            return
        misfit = self._misfit(fill, order)
        if misfit or order is None:
            # It must not be lost (BR-12): safety's history keeps the whole of it only where the state changes.
            detail = f"{misfit}; not booked: {fill!r}"
            self._log("ERROR", detail)
            self._on_code("FS041" if order is not None else "FS070", detail)
            return
        effect = self._account.apply_fill(fill, strategy=order.strategy, pool=order.pool)
        if effect is None:
            self.duplicates += 1
            return
        updated = apply_fill(order, fill)
        self._orders.put(updated)
        if updated.state in FINAL_STATES:
            self._account.release(fill.client_order_id)
        self._warn_about(order, updated, effect.oversold)
        self._host.on_fill(order.strategy, _view(fill, updated))
        self._on_applied(fill, updated, effect)
        records: tuple[Record, ...] = (*effect.records, updated)
        await self._record.book(records)

    async def _on_end(self, news: OrderCancelled | OrderRejected, word: str) -> None:
        order = self._orders.get(news.client_order_id)
        if order is None:
            self._on_code("FS070", f"{word}: nobody here knows order {news.client_order_id}")
            return
        updated = apply_cancelled(order, news) if isinstance(news, OrderCancelled) else apply_rejected(order, news)
        self._orders.put(updated)
        if updated.state in FINAL_STATES:
            self._account.release(order.client_order_id)
        self._record.write_later(updated)
        if updated.state in FINAL_STATES:
            self._on_ended(updated)

    def _misfit(self, fill: Fill, order: Order | None) -> str:
        """Why a notice cannot be booked as it stands; "" when it can (spec 09, BR-09 and BR-12)."""
        if order is None:
            return f"fill {fill.execution_id} names the unknown order {fill.client_order_id}"
        if order.symbol != fill.symbol or order.side is not fill.side:
            asked = f"{order.side.value} {order.symbol}"
            return f"fill {fill.execution_id} is {fill.side.value} {fill.symbol}, its order {asked}"
        if not (_usable(fill.qty) and _usable(fill.price)):
            return f"fill {fill.execution_id} has qty {fill.qty} and price {fill.price}"
        return ""

    def _warn_about(self, order: Order, updated: Order, oversold: bool) -> None:
        if updated.filled > updated.qty:
            self._on_code("FS070", f"order {order.client_order_id} filled {updated.filled} of {updated.qty}")
        elif order.state in FINAL_STATES and updated.state is OrderState.FILLED_LATE:
            self._on_code("AN030", f"order {order.client_order_id} filled after it was {order.state.value}")
        if oversold:
            self._on_code("FS070", f"order {order.client_order_id} sold more than was held")


def _usable(number: Decimal) -> bool:
    return number.is_finite() and number > 0


def _view(fill: Fill, order: Order) -> FillView:
    return FillView(
        symbol=fill.symbol,
        side=fill.side,
        qty=fill.qty,
        price=fill.price,
        fee=fill.fee,
        tax=fill.tax,
        ts_ns=fill.ts_ns,
        order_id=fill.client_order_id,
        execution_id=fill.execution_id,
        partial=order.remaining > 0,
    )
