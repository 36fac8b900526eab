"""Shows the exits that rules and people require of a session, and that are not over."""

from __future__ import annotations

from qts.execution.protective.decision import leading, wanted_of
from qts.runtime.orders.exit_view import ExitView
from qts.runtime.shared_components import SharedComponents


def exits_of(shared: SharedComponents) -> tuple[ExitView, ...]:
    """Return the exits that are required now, oldest first; one that is not on disk yet is left out."""
    shown = []
    for strategy, symbol in shared.protective:
        requests = shared.protective.of((strategy, symbol))
        held = shared.account.holding(strategy, symbol)
        lead = leading(requests, held)
        if lead is None:
            continue
        orders = [order.client_order_id for order in shared.orders.of(strategy, symbol) if order.forced]
        shown.append(
            ExitView(
                strategy=strategy,
                symbol=symbol,
                origin=lead.origin.value,
                reason=lead.reason,
                qty=wanted_of(lead, held),
                held=held,
                order_id=orders[0] if orders else "",
                waits="" if orders else lead.why,
                required=len(requests),
            )
        )
    return tuple(shown)
