"""Rules by which an order fills inside one bar, as pure functions: prices in, a price out.

A bar tells four prices and nothing of the way between them. So only the open is a price that an order can count on;
inside the bar an order gets the price that it names, never one that the bar went on to afterwards.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import IntEnum
from typing import NamedTuple

from qts.broker.sim import matching
from qts.market.contracts import Bar, TickRule
from qts.money import minus, plus


class Stage(IntEnum):
    """The part of a bar in which an order executes, in the order in which the parts are assumed to happen.

    Stops come before limits, because a bar that reached both may have done so either way, and a stop is what costs.
    """

    OPEN = 0
    STOP = 1
    LIMIT = 2


class Execution(NamedTuple):
    """The stage and the price of an execution; None: a stop was reached, and its limit lets nothing through."""

    stage: Stage
    price: Decimal | None


def execution_in(bar: Bar, is_buy: bool, limit: Decimal | None, stop: Decimal | None) -> Execution | None:
    """Return how an order that was there before the bar began executes in it; None when it does not.

    Without ``limit`` and ``stop`` a market order: at the open. A limit: at the open where that is allowed, else at
    the limit where the range reaches it. A stop: at the open where that is beyond the trigger already, else at the
    trigger where the range reaches it; with a limit as well, only where the limit allows this price.
    """
    if stop is not None:
        if is_reached(is_buy, stop, bar.open):
            stage, price = Stage.OPEN, bar.open
        elif is_reached(is_buy, stop, bar.high if is_buy else bar.low):
            stage, price = Stage.STOP, stop
        else:
            return None
        return Execution(stage, price if matching.allows(is_buy, limit, price) else None)
    if limit is None or matching.allows(is_buy, limit, bar.open):
        return Execution(Stage.OPEN, bar.open)
    if matching.allows(is_buy, limit, bar.low if is_buy else bar.high):
        return Execution(Stage.LIMIT, limit)
    return None


def slipped(
    price: Decimal,
    is_buy: bool,
    count: int,
    limit: Decimal | None,
    ticks: TickRule,
    day: date,
    band: tuple[Decimal, Decimal] | None,
) -> Decimal:
    """Return ``price`` moved by ``count`` ticks against the order, but not beyond its limit or the day's band."""
    worst = limit
    if band is not None:
        edge = band[1] if is_buy else band[0]
        worst = edge if limit is None else (min(limit, edge) if is_buy else max(limit, edge))
    for _ in range(count):
        step = ticks.tick(price, day)
        moved = plus(price, step) if is_buy else minus(price, step)
        if moved <= 0 or (worst is not None and not matching.allows(is_buy, worst, moved)):
            break
        price = moved
    return price


def is_reached(is_buy: bool, stop: Decimal, price: Decimal) -> bool:
    """Return whether a stop's trigger is reached at ``price``: from below for a buy, from above for a sell."""
    return price >= stop if is_buy else price <= stop
