"""AdaptiveAdjust: what becomes of a part that does not fill. Pure.

Its price is improved by a small step, onto the grid, never past the touch, never past what the order itself allows,
and all steps together by no more than a share of the price at which the part was decided.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from enum import Enum

import msgspec

from qts.market.contracts import TickRule
from qts.money import ONE, magnitude, minus, plus, ratio, times
from qts.strategy.contracts import Side


class AdjustAction(str, Enum):
    """The answers of AdaptiveAdjust. REPRICE: cancel it and send the rest at the new price."""

    WAIT = "WAIT"
    REPRICE = "REPRICE"
    GIVE_UP = "GIVE_UP"


class AdjustInputs(msgspec.Struct, frozen=True):
    """Everything that AdaptiveAdjust looks at.

    ``limit`` is the price at which the part works, None at the market; ``worst`` the worst price that its order
    allows, None for none. ``decided_at``: the price at which the part was decided. ``touch``: the best price of the
    other side, None where it is not known. ``step``, ``most`` and ``rounds`` are the settings of the pool.
    """

    side: Side
    limit: Decimal | None
    worst: Decimal | None
    decided_at: Decimal
    touch: Decimal | None
    round: int
    rounds: int
    step: Decimal
    most: Decimal


class Adjusted(msgspec.Struct, frozen=True):
    """AdaptiveAdjust's answer: what to do, at which price, and why; ``code`` is raised, "" for none."""

    action: AdjustAction
    reason: str
    limit: Decimal | None = None
    code: str = ""


def adjusted(inputs: AdjustInputs, ticks: TickRule, day: date) -> Adjusted:
    """Return what becomes of a part that does not fill in its round; the last one takes the price of the touch."""
    if inputs.round >= inputs.rounds:
        return Adjusted(AdjustAction.GIVE_UP, f"it did not fill in {inputs.rounds} rounds", code="FS093")
    if inputs.limit is None or inputs.touch is None or not inputs.touch > 0:
        return Adjusted(AdjustAction.WAIT, "it has no price that could be improved")
    is_last = inputs.round + 1 == inputs.rounds
    price = inputs.touch if is_last else _stepped(inputs, ticks, day)
    if inputs.worst is not None and _worse(inputs.side, price, inputs.worst):
        price = inputs.worst
    if not _worse(inputs.side, price, inputs.limit):
        return Adjusted(AdjustAction.WAIT, f"{inputs.limit:f} is as far as it may go")
    slipped = slippage(inputs.side, price, inputs.decided_at)
    if slipped > inputs.most:
        detail = (
            f"{price:f} would be {slipped:f} worse than {inputs.decided_at:f}, at most {inputs.most:f} is allowed"
        )
        return Adjusted(AdjustAction.GIVE_UP, detail, code="FS094")
    return Adjusted(AdjustAction.REPRICE, f"from {inputs.limit:f} to {price:f}", price)


def _stepped(inputs: AdjustInputs, ticks: TickRule, day: date) -> Decimal:
    """Return the price one step nearer to the touch: on the grid, at least one tick, not past the touch."""
    limit, touch = inputs.limit, inputs.touch
    assert limit is not None  # the caller has asked
    assert touch is not None
    if inputs.side is Side.BUY:
        price = ticks.round_down(times(limit, plus(ONE, inputs.step)), day)
        return min(max(price, plus(limit, ticks.tick(limit, day))), max(touch, limit))
    price = ticks.round_up(times(limit, minus(ONE, inputs.step)), day)
    return max(min(price, minus(limit, ticks.tick(limit, day))), min(touch, limit))


def _worse(side: Side, price: Decimal, than: Decimal) -> bool:
    return price > than if side is Side.BUY else price < than


def slippage(side: Side, price: Decimal, decided_at: Decimal) -> Decimal:
    """Return how much worse ``price`` is than the one of the decision, as a share of it; below 0: better."""
    worse = minus(price, decided_at) if side is Side.BUY else minus(decided_at, price)
    return ratio(worse, magnitude(decided_at))
