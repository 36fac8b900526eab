"""Tells strategies what becomes of their orders: sent, refused, rejected, cancelled, expired, stopped out.

Each is told when it has happened and before any fill of the same order. A strategy without ``on_order`` costs
nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from qts.clock import Clock
from qts.execution.contracts import Order, OrderState
from qts.execution.triggers import level_of
from qts.money import ZERO
from qts.risk.contracts import OrderRequest, Refusal, Refused
from qts.strategy.contracts import Intent, Side, Signal
from qts.strategy.order_news import OrderNews, OrderStatus


class Audience(Protocol):
    """The strategies that are told of their orders. Called on the session's thread."""

    def hears_of_orders(self, name: str) -> bool:
        """Return whether the strategy ``name`` has the hook and is not halted; False for a name that is none."""
        ...

    def on_order(self, name: str, news: OrderNews) -> None:
        """Pass ``news`` to the strategy ``name``; what it raises is its failure and passes no further."""
        ...


class StrategyNews:
    """Makes the news of orders and passes them on to ``audience``, which is made later."""

    def __init__(self, clock: Clock, audience: Callable[[], Audience]) -> None:
        self._clock = clock
        self._audience = audience

    def on_accepted(self, request: OrderRequest) -> None:
        """Report an order that was approved and given to the sender, before its answer is booked."""
        stopped_out = level_of(request) is not None
        self._tell(request, OrderStatus.STOPPED_OUT if stopped_out else OrderStatus.SENT)

    def on_refused(self, refused: Refused) -> None:
        """Report an order that was not sent, and why; one that was withdrawn before it was sent is cancelled."""
        if refused.reason is Refusal.WITHDRAWN:
            self._tell(refused.request, OrderStatus.CANCELLED, detail=refused.detail)
            return
        self._tell(refused.request, OrderStatus.REFUSED, refused.reason.value, refused.detail, refused.code)

    def on_paused(self, signal: Signal) -> None:
        """Report a signal that was not decided, because decisions are paused."""
        if not self._audience().hears_of_orders(signal.strategy):
            return
        intent = signal.intent
        is_sale = isinstance(intent, Intent) and intent.side is Side.SELL
        news = OrderNews(
            symbol=signal.symbol,
            side=Side.SELL if is_sale else Side.BUY,
            status=OrderStatus.REFUSED,
            qty=ZERO,
            filled=ZERO,
            tag=intent.tag,
            order_id="",
            reason=Refusal.SIGNALS_PAUSED.value,
            detail="signals are not decided now",
            code="",
            ts_ns=self._clock.time_ns(),
        )
        self._audience().on_order(signal.strategy, news)

    def on_ended(self, order: Order, *, expired: bool = False) -> None:
        """Report an order that has ended without being filled; ``expired``: because its time was over."""
        rejected = order.state in (OrderState.REJECTED, OrderState.NOT_SENT)
        status = OrderStatus.REJECTED if rejected else OrderStatus.EXPIRED if expired else OrderStatus.CANCELLED
        self._tell(order.request, status, order.reason, order.note, order=order)

    def _tell(
        self,
        request: OrderRequest,
        status: OrderStatus,
        reason: str | None = None,
        detail: str = "",
        code: str = "",
        *,
        order: Order | None = None,
    ) -> None:
        audience = self._audience()
        if not audience.hears_of_orders(request.strategy):
            return
        news = OrderNews(
            symbol=request.symbol,
            side=request.side,
            status=status,
            qty=request.qty,
            filled=ZERO if order is None else order.filled,
            tag=request.tag,
            order_id="" if status is OrderStatus.REFUSED else request.client_order_id,
            reason=request.reason if reason is None else reason,
            detail=detail,
            code=code,
            ts_ns=self._clock.time_ns(),
        )
        audience.on_order(request.strategy, news)
