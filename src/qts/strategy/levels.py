"""The prices at which a position is sold by itself: stop, take, trail; each a price or a distance from one."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TypeAlias

import msgspec
from msgspec.structs import force_setattr

from qts.errors import ContractError
from qts.market.contracts import TickRule
from qts.money import ONE, minus, plus, times
from qts.strategy.checked_fields import checked_amount, checked_distance, checked_share


class _Distance(msgspec.Struct, frozen=True):
    """The field of :class:`Away` that is given by position."""

    distance: Decimal | float | None = None


class Away(_Distance, frozen=True, tag=True, kw_only=True):
    """A distance from a price: an amount of money, or a ``share`` of that price. Exactly one of the two is given.

    Both may be floats, as indicators give them: it becomes a price only when it is put on the price grid, away from
    the money (a stop down, a take up). A float is kept as the Decimal that is written like it. Raises
    :class:`~qts.errors.ContractError` for a distance that is not finite and above 0, absurdly small or large, and
    for a share that is not above 0 and below 1.
    """

    share: Decimal | float | None = None

    def __post_init__(self) -> None:
        if (self.distance is None) is (self.share is None):
            given = "neither" if self.share is None else "both"
            raise ContractError(f"Away takes exactly one of distance and share=, got {given}")
        if self.distance is not None:
            force_setattr(self, "distance", checked_distance("Away.distance", self.distance))
        if self.share is not None:
            force_setattr(self, "share", checked_share("Away.share", self.share, whole=False))

    def below(self, price: Decimal) -> Decimal:
        """Return the price so far below ``price``, off the grid; 0 or less where the distance is not smaller."""
        if self.share is not None:
            return times(price, minus(ONE, Decimal(self.share)))
        return minus(price, Decimal(self.distance or 0))

    def above(self, price: Decimal) -> Decimal:
        """Return the price so far above ``price``, off the grid."""
        if self.share is not None:
            return times(price, plus(ONE, Decimal(self.share)))
        return plus(price, Decimal(self.distance or 0))


Level: TypeAlias = Decimal | int | Away
"""A level of a position: a price in the instrument's currency, or a distance from one."""


class Levels(msgspec.Struct, frozen=True, tag=True):
    """The levels of one position; None: there is no such level, or it is to stay as it is.

    ``stop``: sold at or below it, to limit a loss. ``take``: sold at or above it. ``trail``: a stop that follows
    the best price since the entry, so it is always a distance. Distances of ``stop`` and ``take`` are measured
    from the average cost of the position. Raises :class:`~qts.errors.ContractError` for a price that is not above
    0 or is a float, and for a trail that is a price.
    """

    stop: Level | None = None
    take: Level | None = None
    trail: Away | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "stop", checked_level("Levels.stop", self.stop))
        force_setattr(self, "take", checked_level("Levels.take", self.take))
        checked_trail("Levels.trail", self.trail)

    @property
    def is_empty(self) -> bool:
        """Return whether there is no level."""
        return self.stop is None and self.take is None and self.trail is None

    def over(self, before: Levels) -> Levels:
        """Return these levels, and those of ``before`` where this has none."""
        return Levels(
            stop=before.stop if self.stop is None else self.stop,
            take=before.take if self.take is None else self.take,
            trail=before.trail if self.trail is None else self.trail,
        )


def checked_level(where: str, value: object) -> Level | None:
    """Return a level, None for none; ``where`` names the field. Raises ContractError for what is no level."""
    if value is None or isinstance(value, Away):
        return value
    if isinstance(value, float):
        raise ContractError(f"{where} must be a Decimal, an int or Away(...), got the float {value!r}")
    return checked_amount(where, value)


def checked_trail(where: str, value: object) -> Away | None:
    """Return a trailing distance, None for none. Raises ContractError for anything else."""
    if value is None or isinstance(value, Away):
        return value
    raise ContractError(f"{where} must be a distance, Away(...), since it follows the best price, got {value!r}")


def price_below(level: Level, anchor: Decimal, ticks: TickRule, day: date) -> Decimal:
    """Return the price of a stop or trail: a price as it is, a distance below ``anchor`` rounded down on the grid.

    0 or less where the distance leaves no price.
    """
    if not isinstance(level, Away):
        return Decimal(level)
    exact = level.below(anchor)
    return ticks.round_down(exact, day) if exact > 0 else exact


def price_above(level: Level, anchor: Decimal, ticks: TickRule, day: date) -> Decimal:
    """Return the price of a take: a price as it is, a distance above ``anchor`` rounded up on the grid."""
    return ticks.round_up(level.above(anchor), day) if isinstance(level, Away) else Decimal(level)
