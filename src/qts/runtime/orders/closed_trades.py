"""Counts closed trades as won or lost: one sale is one trade, however many fills it takes.

A thin market fills a sale in many parts; six parts of one loss are not six losses in a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from qts.execution.contracts import Fill, Order, OrderState
from qts.execution.working import FINAL_STATES
from qts.ledger.contracts import FillEffect
from qts.money import ZERO, minus, plus
from qts.risk.contracts import OrderRequest
from qts.runtime.metrics.account_metrics import MetricsSource
from qts.runtime.session.session_counters import SessionCounters


class ClosedTrades:
    """Adds up the realised result of a closing order's fills, net of costs, and reports the trade when it ends."""

    def __init__(self, metrics: MetricsSource, counters: SessionCounters) -> None:
        self._metrics = metrics
        self._counters = counters
        self._results: dict[str, Decimal] = {}

    def on_sent(self, request: OrderRequest) -> None:
        """Do nothing: an order that was sent has closed nothing yet."""

    def on_fill(self, fill: Fill, order: Order, effect: FillEffect) -> None:
        """Add the realised result of ``fill``; ``order`` is the order after the fill.

        A late fill of a sale that was reported already belongs to the same trade and is not counted again.
        """
        before = minus(order.filled, effect.ledger.qty)
        if before > 0 and (order.state is OrderState.FILLED_LATE or before >= order.qty):
            return
        if effect.closing:
            key = order.client_order_id
            self._results[key] = plus(self._results.get(key, ZERO), effect.realized)
        if order.state in FINAL_STATES:
            self.on_ended(order)

    def on_ended(self, order: Order) -> None:
        """Report the trade to the metrics: nothing more of ``order`` will be filled."""
        result = self._results.pop(order.client_order_id, None)
        if result is not None:
            self._counters.metrics_fed += 1
            self._metrics.on_closed_trade(order.pool, lost=result < 0, now_ns=order.ts_update_ns)

    def export_state(self) -> dict[str, Any]:
        """Return the results of sales that have not ended, for a checkpoint."""
        return {order_id: str(result) for order_id, result in self._results.items()}

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Restore what :meth:`export_state` returned."""
        self._results = {order_id: Decimal(result) for order_id, result in saved.items()}
