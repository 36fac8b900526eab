"""Feeds the reject counts with the broker's answers, and raises the codes that follow from them."""

from __future__ import annotations

from collections.abc import Callable

from qts.execution.contracts import Fill, Order, OrderAck, OrderState
from qts.ledger.contracts import FillEffect
from qts.pipeline.contracts import Acted
from qts.risk.contracts import OrderRequest
from qts.runtime.shared_components import SharedComponents


class RejectWatch:
    """Counts every rejected order once, whether it is rejected on entry or later, and every other end."""

    def __init__(
        self, shared: SharedComponents, on_code: Callable[[str, str], None], log: Callable[[str, str], None]
    ) -> None:
        self._shared = shared
        self._on_code = on_code
        self._log = log

    def on_answer(self, acted: Acted, ack: OrderAck) -> None:
        """Count a rejection on entry; not where the approval had expired, which is our own lateness."""
        approved = acted.decision.approved
        if approved.expires_ns < self._shared.clock.time_ns():
            return
        request = approved.request
        self._rejected(request.symbol, request.client_order_id, ack.reason, is_exit=request.reduce_only)

    def on_sent(self, request: OrderRequest) -> None:
        """Do nothing: the broker has not answered yet."""

    def on_ended(self, order: Order) -> None:
        """Count the end of an order: a later rejection, or a cancel, which shows that it had been accepted."""
        if order.state is OrderState.REJECTED:
            self._rejected(order.symbol, order.client_order_id, order.note, is_exit=order.reduce_only)
        elif order.state is OrderState.CANCELLED:
            self._accepted(order.symbol, ends_stop=False)

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """Reset the rejects of the symbol: a fill shows that the broker accepts its orders."""
        self._accepted(order.symbol, ends_stop=True)

    def _accepted(self, symbol: str, *, ends_stop: bool) -> None:
        rejects = self._shared.rejects
        if not ends_stop and symbol in rejects.stopped:
            return
        if rejects.succeeded(symbol):
            self._log("WARNING", f"{symbol} may enter again: an order of it was filled")

    def _rejected(self, symbol: str, order_id: str, reason: str, *, is_exit: bool) -> None:
        p = self._shared
        outcome = p.rejects.rejected(symbol, order_id, reason, p.clock.time_ns(), p.config.risk, is_exit=is_exit)
        if outcome is None:
            return
        if outcome.stopped:
            self._log("WARNING", f"{p.rejects.stop_of(symbol)}: it takes no entry until the next day")
        if outcome.storm:
            self._on_code("FS043", f"{outcome.storm}, the last of {symbol}: {reason[:200]}")
