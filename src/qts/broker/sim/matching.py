"""Matching rules as pure functions: prices and sizes in, executions out.

No rule here ever gives a price that was not handed in: an execution happens at a displayed level, at a trade's
price, or at the limit of an order that the market traded or quoted through.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from qts.market.depth import PriceLevel
from qts.money import ZERO, floor_to, minus, times


def allows(is_buy: bool, limit: Decimal | None, price: Decimal) -> bool:
    """Return whether an order may trade at ``price``: a market order always, a limit only at it or better."""
    return limit is None or (price <= limit if is_buy else price >= limit)


def through(is_buy: bool, limit: Decimal, price: Decimal) -> bool:
    """Return whether ``price`` is beyond a resting order's limit, so that it must have been reached first."""
    return price < limit if is_buy else price > limit


def take(
    is_buy: bool, limit: Decimal | None, want: Decimal, levels: Iterable[PriceLevel], lot: Decimal
) -> list[PriceLevel]:
    """Walk displayed levels from the best outward, whole lots only: (price, quantity) per level touched."""
    taken = []
    for price, size in levels:
        if want <= 0 or not allows(is_buy, limit, price):
            break
        qty = want if want <= size else floor_to(size, lot)
        if qty > 0:
            taken.append((price, qty))
            want = minus(want, qty)
    return taken


def participation(size: Decimal, share: Decimal, lot: Decimal) -> Decimal:
    """Return our part of what traded: ``share`` of ``size``, floored to whole lots; zero when nothing traded."""
    return floor_to(times(size, share), lot) if size > 0 else ZERO


def from_queue(ahead: Decimal, traded: Decimal, given: Decimal, remaining: Decimal, lot: Decimal) -> Decimal:
    """Return what a resting order gets of ``traded`` at its own price.

    ``ahead`` was displayed before we joined and goes first; ``given`` went to earlier orders of ours.
    """
    left = minus(minus(traded, ahead), given)
    if left <= 0:
        return ZERO
    return remaining if remaining <= left else floor_to(left, lot)


def shorter_queue(ahead: Decimal | None, displayed: Decimal | None) -> Decimal | None:
    """Return the queue after a new look at the displayed size: never longer than that; None stays unknown."""
    if displayed is None:
        return ahead
    return displayed if ahead is None or displayed < ahead else ahead


def hits_side(is_buy: bool, buyer_is_maker: bool | None) -> bool:
    """Return whether a trade's aggressor came from the other side, so that it ate the queue we stand in.

    None, a source that does not report the aggressor, counts: at our price the passive side is ours.
    """
    return buyer_is_maker is None or buyer_is_maker is is_buy
