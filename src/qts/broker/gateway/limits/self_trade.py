"""The limit that keeps orders of ours from meeting each other, of whichever strategies they are.

Markets forbid it, and brokers refuse such orders. An entry is refused. The entries that an exit would meet are
cancelled first: getting out comes before getting in. An order without a limit may meet what lies within its collar.
After a minute an exit leaves all the same: it must not wait without end for an answer that does not come.
Where orders of ours never trade with each other it is not asked.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from qts.broker.gateway.limits.contracts import LimitCase, LimitRefusal, shown
from qts.broker.gateway.limits.prices import collar_bound
from qts.clock import NS_PER_S
from qts.execution.contracts import Order, OrderState
from qts.risk.contracts import OrderType
from qts.strategy.contracts import Side
from qts.strategy.order_terms import TimeInForce

_PATIENCE_NS: Final = 60 * NS_PER_S
"""How long an exit waits for the end of entries: one may be of unknown fate, and a cancel unanswered."""
_WAIT: Final = frozenset({OrderType.STOP, OrderType.STOP_LIMIT})
_AT_ONCE: Final = frozenset({TimeInForce.IOC, TimeInForce.FOK})


def self_trade(case: LimitCase) -> LimitRefusal | None:
    """Refuse an order that would meet a resting one of ours."""
    request, facts = case.request, case.facts
    if request.reduce_only and case.waited_ns >= _PATIENCE_NS:
        return None
    if request.armed_ns is not None or request.type in _WAIT:
        return None
    worst = request.limit if request.limit is not None else collar_bound(case)
    met = [
        order
        for order in facts.open_orders(request.symbol)
        if order.side is not request.side and _rests(order, case) and _meets(request.side, worst, order)
    ]
    if not met:
        return None
    first = met[0]
    price = "the market" if first.request.limit is None else shown(first.request.limit)
    what = (
        f"it would meet {first.side.value} {shown(first.remaining)} at {price} of {first.strategy} "
        f"(order {first.client_order_id})"
    )
    entries = tuple(order.client_order_id for order in met if not order.reduce_only)
    if not request.reduce_only or len(entries) < len(met):
        return LimitRefusal("self_trade", what)
    return LimitRefusal("self_trade", f"{what}, which is cancelled first", entries)


def _rests(order: Order, case: LimitCase) -> bool:
    """Return whether an order may stand in the market's book: with a limit, or at the market before an auction."""
    request = order.request
    if order.state is OrderState.INTENT or order.client_order_id == case.request.client_order_id:
        return False
    if request.type in _WAIT or request.time_in_force in _AT_ONCE:
        return False
    return request.type is not OrderType.MARKET or case.facts.is_auction(request.symbol)


def _meets(side: Side, worst: Decimal | None, resting: Order) -> bool:
    """Return whether the prices of both allow a trade; an unknown one, and one at the market, allow any."""
    other = resting.request.limit
    if worst is None or other is None:
        return True
    return worst >= other if side is Side.BUY else worst <= other
