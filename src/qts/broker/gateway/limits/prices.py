"""The limits of an order's price: the band that the broker tells, and the collar around the last price.

The collar looks at the worst price that an order allows, and of an order without a limit at the price that it would
meet now; on the other side of the last price an order only waits. That of an exit grows with the time since a limit
refused it for the first time, in equal steps: at last it lets every exit leave.
"""

from __future__ import annotations

from decimal import Decimal

from qts.broker.gateway.limits.contracts import LimitCase, LimitRefusal, shown
from qts.clock import NS_PER_S
from qts.money import ONE, ZERO, minus, plus, times
from qts.risk.contracts import OrderType
from qts.strategy.contracts import Side


def price_band(case: LimitCase) -> LimitRefusal | None:
    """Refuse a limit or a stop price outside the day's band, as far as the broker tells it."""
    request, info = case.request, case.info
    if info is None:
        return None
    for name, price in (("limit", request.limit), ("stop price", request.stop_price)):
        if price is None:
            continue
        if info.low is not None and price < info.low:
            return LimitRefusal("price_band", f"{name} {shown(price)}, at least {shown(info.low)} today")
        if info.high is not None and price > info.high:
            return LimitRefusal("price_band", f"{name} {shown(price)}, at most {shown(info.high)} today")
    return None


def price_collar(case: LimitCase) -> LimitRefusal | None:
    """Refuse a worst price that lies too far beyond the last one, and an order of which either is not known."""
    request, facts = case.request, case.facts
    if request.armed_ns is not None or request.type is OrderType.STOP:
        return None  # reached in a bar that is over; or waits, and executes at a price that no one knows yet
    share = collar_of(case) if request.reduce_only else case.config.price_collar
    if request.reduce_only and share >= ONE:
        return None
    price, last = (
        case.worst_price,
        facts.price(request.symbol) if request.stop_price is None else request.stop_price,
    )
    if price is None or last is None:
        return LimitRefusal("price_collar", f"no price of {request.symbol} is known to judge it by{_when(case)}")
    if price <= last if request.side is Side.BUY else price >= last:
        return None  # on the other side of the last price
    if times(minus(price, last), request.side.sign) <= times(share, last):
        return None
    bound = _bound(last, share, request.side)
    which = "most" if request.side is Side.BUY else "least"
    what = "last price" if request.stop_price is None else "stop price"
    detail = (
        f"{shown(price)} {facts.currency}, at {which} {shown(bound)} ({shown(share)} from the {what} "
        f"{shown(last)}){_when(case)}"
    )
    return LimitRefusal("price_collar", detail)


def collar_bound(case: LimitCase) -> Decimal | None:
    """Return the worst price that the collar allows, at least 0; None while no price is known."""
    last = case.facts.price(case.request.symbol)
    return None if last is None else _bound(last, collar_of(case), case.request.side)


def collar_of(case: LimitCase) -> Decimal:
    """Return the share of the price that is allowed: of an exit with a step for each that has passed."""
    config = case.config
    if not case.request.reduce_only:
        return config.price_collar
    if case.waited_ns <= 0:
        return config.exit_collar
    steps = case.waited_ns // (config.exit_collar_step_s * NS_PER_S)
    return plus(config.exit_collar, times(config.exit_collar_step, Decimal(steps)))


def _bound(last: Decimal, share: Decimal, side: Side) -> Decimal:
    return max(times(last, plus(ONE, times(share, side.sign))), ZERO)


def _when(case: LimitCase) -> str:
    if not case.request.reduce_only:
        return ""
    return f"; it grows by {shown(case.config.exit_collar_step)} every {case.config.exit_collar_step_s} s"
