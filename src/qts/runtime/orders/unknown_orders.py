"""Gathers what a session shows of its orders whose fate is unknown."""

from __future__ import annotations

from qts.clock import NS_PER_S
from qts.execution.contracts import Order, OrderState
from qts.money import ZERO
from qts.runtime.orders.reconciliation import OrderReconciler
from qts.runtime.orders.unknown_view import UnknownOrderView
from qts.runtime.shared_components import SharedComponents
from qts.strategy.contracts import Side


def unknown_orders(shared: SharedComponents, reconciler: OrderReconciler) -> tuple[UnknownOrderView, ...]:
    """Return the orders whose fate is unknown, oldest first. Changes nothing."""
    return tuple(_view(order, shared, reconciler) for order in shared.orders if order.state is OrderState.UNKNOWN)


def _view(order: Order, shared: SharedComponents, reconciler: OrderReconciler) -> UnknownOrderView:
    key = order.client_order_id
    held = next((one for one in shared.account.open_reservations if one.order_id == key), None)
    is_sale = order.side is Side.SELL
    next_ns = max(0, reconciler.next_question_ns - shared.clock.time_ns())
    return UnknownOrderView(
        key,
        order.strategy,
        order.symbol,
        order.side.value,
        order.qty,
        order.filled,
        order.limit,
        order.ts_update_ns,
        reconciler.questions_about(key),
        round(next_ns / NS_PER_S, 1),
        ZERO if held is None else held.cash,
        held.left if held is not None and is_sale else ZERO,
        shared.config.runtime.currency,
    )
