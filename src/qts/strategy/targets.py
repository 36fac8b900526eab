"""Targets and cancels: a holding that is to be reached, and orders that are to be taken out."""

from __future__ import annotations

from decimal import Decimal

import msgspec
from msgspec.structs import force_setattr

from qts.errors import ContractError
from qts.strategy.algo import Algo, checked_algo
from qts.strategy.checked_fields import (
    checked_amount,
    checked_confidence,
    checked_share,
    checked_symbol,
    checked_tag,
    checked_text,
    checked_tif,
)
from qts.strategy.levels import Away, Level, Levels, checked_level, checked_trail
from qts.strategy.order_terms import TimeInForce


class _Holding(msgspec.Struct, frozen=True):
    """The fields of :class:`Target` that are given by position."""

    symbol: str
    qty: Decimal | int | None = None


class Target(_Holding, frozen=True, tag=True, kw_only=True):
    """A request to hold ``qty`` of ``symbol``, or as much as ``weight`` of the equity buys; exactly one is given.

    What is to be bought or sold is found when the request is decided: the target less the holding and less what
    works already, so saying it again changes nothing, and heals what was refused, rejected or lost. 0 sells all.
    ``weight`` is a share of the pool's equity, of the account's in a plain backtest; a float is kept as the Decimal
    that is written like it. ``limit`` None: at the market. ``stop``, ``take`` and ``trail`` are bound to the
    position (:class:`~qts.strategy.levels.Levels`); None leaves what is bound as it is. ``tif``, ``reason``,
    ``tag``, ``confidence`` and ``algo`` are those of the order (:class:`~qts.strategy.contracts.Intent`).

    Raises :class:`~qts.errors.ContractError` for both or none of qty and weight, a negative or inexact qty, a
    weight outside 0 to 1, and for a limit, a level or a text that an Intent would not take either.
    """

    weight: Decimal | float | None = None
    limit: Decimal | int | None = None
    stop: Level | None = None
    take: Level | None = None
    trail: Away | None = None
    tif: TimeInForce = TimeInForce.DAY
    reason: str = ""
    tag: str = ""
    confidence: float = 1.0
    algo: Algo | None = None

    def __post_init__(self) -> None:
        force_setattr(self, "symbol", checked_symbol("Target.symbol", self.symbol))
        if (self.qty is None) is (self.weight is None):
            given = "neither" if self.qty is None else "both"
            raise ContractError(f"Target takes exactly one of qty and weight=, got {given}")
        if self.qty is not None:
            force_setattr(self, "qty", checked_amount("Target.qty", self.qty, or_zero=True))
        if self.weight is not None:
            force_setattr(self, "weight", checked_share("Target.weight", self.weight, whole=True))
        if self.limit is not None:
            force_setattr(self, "limit", checked_amount("Target.limit", self.limit))
        force_setattr(self, "stop", checked_level("Target.stop", self.stop))
        force_setattr(self, "take", checked_level("Target.take", self.take))
        checked_trail("Target.trail", self.trail)
        checked_tif("Target.tif", self.tif)
        force_setattr(self, "reason", checked_text("Target.reason", self.reason))
        force_setattr(self, "tag", checked_tag("Target.tag", self.tag))
        force_setattr(self, "confidence", checked_confidence("Target.confidence", self.confidence))
        if self.algo is not None:
            checked_algo("Target.algo", self.algo, in_parts=self.tif is TimeInForce.DAY)

    @property
    def levels(self) -> Levels:
        """Return the levels that it binds to the position."""
        return Levels(stop=self.stop, take=self.take, trail=self.trail)

    @property
    def is_flat(self) -> bool:
        """Return whether it sells everything."""
        return not (self.weight if self.qty is None else self.qty)


class Cancel(msgspec.Struct, frozen=True, tag=True):
    """A request to take out the strategy's own working orders with ``tag``, or those in ``symbol``; one is given.

    A target that waits for such an order is dropped as well. Without such an order nothing happens. Raises
    :class:`~qts.errors.ContractError` for both or none of tag and symbol, and for what is no text.
    """

    tag: str = ""
    symbol: str = ""

    def __post_init__(self) -> None:
        force_setattr(self, "tag", checked_tag("Cancel.tag", self.tag))
        force_setattr(self, "symbol", checked_text("Cancel.symbol", self.symbol))
        if bool(self.tag) is bool(self.symbol):
            given = "both" if self.tag else "neither"
            raise ContractError(f"Cancel takes exactly one of tag and symbol=, got {given}")
