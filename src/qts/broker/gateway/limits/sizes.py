"""The limits of an order's size: its quantity, its value, its share of the volume, what is open with it."""

from __future__ import annotations

from decimal import Decimal

from qts.broker.gateway.limits.contracts import VOLUME_DAYS, LimitCase, LimitRefusal, shown
from qts.money import plus, times


def max_order_qty(case: LimitCase) -> LimitRefusal | None:
    """Refuse more shares or contracts than one order may have."""
    qty, most = case.request.qty, case.config.max_order_qty
    if qty <= most:
        return None
    return LimitRefusal("max_order_qty", f"{shown(qty)} shares or contracts, at most {shown(most)}")


def max_order_value(case: LimitCase) -> LimitRefusal | None:
    """Refuse more value than one order may have, and an order whose value is not known."""
    value, most = value_of(case), case.config.max_order_value
    if value is None:
        return LimitRefusal("max_order_value", f"no price of {case.request.symbol} is known to value it by")
    if value <= most:
        return None
    currency = case.facts.currency
    return LimitRefusal("max_order_value", f"{shown(value)} {currency}, at most {shown(most)}")


def max_volume_share(case: LimitCase) -> LimitRefusal | None:
    """Refuse more than a share of the average volume; where that is not known, the quantity alone is limited."""
    average, share, qty = case.average_volume, case.config.max_volume_share, case.request.qty
    if average is None:
        return None
    most = times(share, average)
    if qty <= most:
        return None
    detail = (
        f"{shown(qty)} shares or contracts, at most {shown(most)} ({shown(share)} of the average volume "
        f"{shown(average)} of {VOLUME_DAYS} days)"
    )
    return LimitRefusal("max_volume_share", detail)


def max_open_notional(case: LimitCase) -> LimitRefusal | None:
    """Refuse an order with which all holdings and open entries would be worth more than they may."""
    others, value = case.facts.open_notional(case.request.client_order_id), value_of(case)
    if others is None or value is None:
        return LimitRefusal("max_open_notional", "the value of what is held and ordered is not known")
    after, most = plus(others, value), case.config.max_open_notional
    if after <= most:
        return None
    return LimitRefusal("max_open_notional", f"{shown(after)} {case.facts.currency} with it, at most {shown(most)}")


def value_of(case: LimitCase) -> Decimal | None:
    """Return what the order may cost at most, without fees but those within a cap; None when it is not known."""
    request, price = case.request, case.worst_price
    if request.max_cost is not None:
        return request.max_cost
    return None if price is None else times(request.qty, price)
