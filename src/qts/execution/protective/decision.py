"""Decides the next step of the exits of one holding: what is cancelled, and the one order that is sent.

At most one order of the exits is open at a time. It is sized by what no order takes out already. A stronger request
that wants more than the open order of a weaker one is for has that order cancelled, and goes on once the cancel is
confirmed. An open order that is for everything is left alone, of any origin: the holding leaves just as fast.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from qts.execution.contracts import Order
from qts.execution.protective.contracts import ExitRequest, Standing, Step, Waits
from qts.money import ZERO, magnitude, minus, sum_of
from qts.strategy.contracts import Side


def side_of(qty: Decimal) -> Side:
    """Return the side of the orders that end a holding of ``qty``: a buy where it is short."""
    return Side.BUY if qty < 0 else Side.SELL


def wanted_of(request: ExitRequest, qty: Decimal) -> Decimal:
    """Return how much of a holding of ``qty`` the request still wants, at least 0; nothing of the other side."""
    if request.left is None:
        return magnitude(qty)
    if (request.left < 0) != (qty < 0):
        return ZERO
    return min(magnitude(request.left), magnitude(qty))


def leading(requests: Iterable[ExitRequest], qty: Decimal) -> ExitRequest | None:
    """Return the request that is carried out: the strongest of those that want the most; None without any.

    Those that have not begun want nothing yet.
    """
    begun = [one for one in requests if one.is_begun]
    if not begun:
        return None
    return min(begun, key=lambda one: (minus(ZERO, wanted_of(one, qty)), one.origin.strength, not one.is_whole))


def blocks(order: Order, qty: Decimal, *, is_whole: bool) -> bool:
    """Return whether ``order`` keeps an exit of a holding of ``qty`` from going on.

    What adds to the holding does, but for a buy where only a part is sold; and what reserves it at a price that may
    never come.
    """
    side = side_of(qty)
    if not is_whole and side is Side.SELL and order.side is Side.BUY:
        return False
    if order.side is not side or (side is Side.BUY and not order.reduce_only):
        return True
    return order.limit is not None or order.request.stop_price is not None


def next_step(requests: Sequence[ExitRequest], standing: Standing, *, one_order: bool = False) -> Step | None:
    """Return the next step of the exits that ``requests`` ask for; None where none has begun.

    ``one_order``: the strategy's own orders are cancelled also where they would be executed at once, so that one
    order takes out the whole.
    """
    lead = leading(requests, standing.qty)
    if lead is None:
        return None
    is_whole = any(one.is_whole and one.is_begun for one in requests)
    measured = next((one for one in requests if one.is_measured and one.is_begun), None)
    side, wanted = side_of(standing.qty), wanted_of(lead, standing.qty)
    live = [one for one in standing.orders if one.forced and one.side is side]
    cancels = tuple(
        order
        for order in standing.orders
        if blocks(order, standing.qty, is_whole=is_whole)
        or (not order.forced and (one_order or measured is not None))
        or (order in live and _is_outdone(order, lead, wanted, requests))
    )
    is_over = not wanted and not ((is_whole or measured is not None) and standing.orders)

    def step(waits: Waits, qty: Decimal = ZERO, *, asks: bool = False, is_over: bool = False) -> Step:
        is_all = qty > 0 and lead.is_whole
        return Step(lead, cancels, side, qty, is_all=is_all, asks=asks, is_over=is_over, waits=waits)

    if measured is not None and not standing.is_measured and not standing.orders:
        return step(Waits.BOOKS, asks=True)
    if is_over:
        return step(Waits.NOTHING, is_over=True)
    if not wanted or (measured is not None and (cancels or _others(standing.orders, live))):
        return step(Waits.CANCELS)
    if live:
        return step(Waits.ORDER)
    if standing.must_compare:
        return step(Waits.BOOKS)
    free = minus(wanted, sum_of(order.remaining for order in standing.orders if order.side is side))
    if free <= 0:
        return step(Waits.CANCELS if cancels else Waits.ORDER)
    if side is Side.SELL and standing.left_there is not None and standing.left_there < free:
        free = standing.left_there
    return step(Waits.NOTHING, free) if free > 0 else step(Waits.THERE)


def _is_outdone(order: Order, lead: ExitRequest, wanted: Decimal, requests: Iterable[ExitRequest]) -> bool:
    """Return whether ``order``, of a request that is weaker or not there any more, is for less than is wanted."""
    if order.reason == lead.reason or order.remaining >= wanted:
        return False
    its_own = next((one for one in requests if one.reason == order.reason), None)
    return its_own is None or its_own.origin.strength >= lead.origin.strength


def _others(orders: Iterable[Order], live: Sequence[Order]) -> bool:
    return any(order not in live for order in orders)
