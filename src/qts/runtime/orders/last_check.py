"""The questions that the gateway asks the session's memory right before an order leaves."""

from __future__ import annotations

from typing import Final

from qts.execution.contracts import OrderState, VenueRef
from qts.money import minus, negated
from qts.risk.contracts import OrderRequest
from qts.runtime.shared_components import SharedComponents
from qts.strategy.contracts import Side

_NOT_SETTLED: Final = frozenset({OrderState.INTENT, OrderState.PENDING_NEW, OrderState.UNKNOWN})


class LastCheck:
    """Reads of the session's memory, one value at a time. On the gateway's thread or the session's."""

    def __init__(self, shared: SharedComponents) -> None:
        self._shared = shared

    def why_not(self, request: OrderRequest) -> str:
        """Return why the order of ``request`` may not leave now; "" when it may."""
        p = self._shared
        order = p.orders.get(request.client_order_id)
        if order is None or order.state is not OrderState.PENDING_NEW:
            return f"it is {'not in the book' if order is None else order.state.value}"
        if not request.reduce_only:
            if p.kill.is_pressed():  # the session's thread may be busy, and the stop not in force yet
                return "a stop came before it was sent"
            return "" if p.safety.is_trading_allowed else "safety stopped it before it was sent"
        held = p.account.holding(request.strategy, request.symbol)
        if (held if request.side is Side.SELL else negated(held)) < request.qty:
            return f"{request.strategy} holds {held:f} {request.symbol}"
        if request.side is Side.BUY:
            return ""
        missing, short = p.account.sold_by_others(request.symbol), p.account.short_of(request.symbol)
        if (missing or short) and minus(p.account.position(request.symbol), missing) < request.qty:
            return f"{'others' if missing else 'other strategies'} have sold {missing or short:f} {request.symbol}"
        return ""

    def is_settled(self, client_order_id: str) -> bool:
        """Return whether the fate of an order is known; one that is not in memory has ended."""
        order = self._shared.orders.get(client_order_id)
        return order is None or order.state not in _NOT_SETTLED

    def ref_of(self, client_order_id: str) -> VenueRef | None:
        """Return the number by which an order goes at its venue; None while none is known."""
        order = self._shared.orders.get(client_order_id)
        return None if order is None else order.ref
