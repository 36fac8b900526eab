"""The limits of orders as pure rules, in the order in which they are asked. The first that refuses ends the matter.

An order that can only reduce a holding is not held back by its size: what cannot be sold is worse than what is sold
at once, and the gate and the last check let no exit sell more than is held.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from qts.broker.gateway.limits.contracts import LimitCase, LimitRefusal, LimitRule


def max_order_qty(case: LimitCase) -> LimitRefusal | None:
    """Refuse an entry of more shares or contracts than one order may have."""
    qty, most = case.request.qty, case.config.max_order_qty
    if case.request.reduce_only or qty <= most:
        return None
    return LimitRefusal("max_order_qty", f"{shown(qty)} shares or contracts, at most {shown(most)}")


def shown(number: Decimal) -> str:
    """Return a number for people: thousands separated, without an exponent and without zeros at its end."""
    text = f"{number:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


ORDER_RULES: Final[tuple[LimitRule, ...]] = (max_order_qty,)
