"""The question to the limits, its facts and its answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Final, Protocol, TypeAlias

import msgspec

from qts.broker.gateway.limits.config import LimitsConfig
from qts.execution.contracts import Order
from qts.market.session_info import SessionInfo
from qts.risk.contracts import OrderRequest
from qts.strategy.contracts import Side

VOLUME_DAYS: Final = 20
"""Days over which the volume is averaged."""


class LimitFacts(Protocol):
    """Facts of the session that the limits ask for. Asked on the session's thread; never waits, never raises.

    Prices and values are in the instrument's currency, which is the account's. None is unknown.
    """

    @property
    def currency(self) -> str:
        """Return the currency of the account."""
        ...

    @property
    def is_simulated(self) -> bool:
        """Return whether the venue is simulated: orders of ours never trade with each other there."""
        ...

    @property
    def tells_session_info(self) -> bool:
        """Return whether session info is declared, so that its absence means unknown."""
        ...

    def session_info(self, symbol: str) -> SessionInfo | None:
        """Return what the broker says of ``symbol`` today."""
        ...

    def price(self, symbol: str) -> Decimal | None:
        """Return the price to judge by: the last trade, else the middle of the sides, else the base price."""
        ...

    def price_met(self, symbol: str, side: Side) -> Decimal | None:
        """Return the price at which an order of ``side`` would begin to execute now.

        The best price of the other side. Where that side is empty: the worst price of the day's band.
        """
        ...

    def average_volume(self, symbol: str) -> Decimal | None:
        """Return the average volume of the last :data:`VOLUME_DAYS` days, in shares or contracts."""
        ...

    def open_notional(self, besides: str) -> Decimal | None:
        """Return the value of all holdings and open entries but the order ``besides``."""
        ...

    def open_orders(self, symbol: str) -> Iterable[Order]:
        """Return the open orders of all strategies in ``symbol``, oldest first."""
        ...

    def is_auction(self, symbol: str) -> bool:
        """Return whether orders in ``symbol`` wait for a call auction."""
        ...


class LimitCase(msgspec.Struct, frozen=True, gc=False):
    """One question to the limits: what is to leave, what is known, what is allowed.

    ``now_ns``: since 1970, UTC. ``info``: what the broker says of the symbol today. ``worst_price``: see
    :func:`worst_price_of`; ``average_volume``: that of the facts. ``waited_ns``: how long ago this exit was refused
    for the first time.
    """

    request: OrderRequest
    facts: LimitFacts
    config: LimitsConfig
    now_ns: int
    info: SessionInfo | None
    worst_price: Decimal | None
    average_volume: Decimal | None
    waited_ns: int = 0


class LimitRefusal(msgspec.Struct, frozen=True):
    """A limit's answer that an order may not leave. ``detail`` names the value and the bound, with their units.

    ``meets``: orders of ours that it would meet and that have to be cancelled before it leaves.
    """

    limit: str
    detail: str
    meets: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Return it in words, for people."""
        return f"limit {self.limit}: {self.detail}"


def worst_price_of(request: OrderRequest, facts: LimitFacts) -> Decimal | None:
    """Return the worst price at which an order may begin to execute: its limit, else what it would meet."""
    if request.limit is not None:
        return request.limit
    if request.stop_price is not None:
        return request.stop_price
    return facts.price_met(request.symbol, request.side)


LimitRule: TypeAlias = Callable[[LimitCase], LimitRefusal | None]
"""A rule: pure, and None for an order that may leave."""


def shown(number: Decimal) -> str:
    """Return a number for people: thousands separated, without an exponent and without zeros at its end."""
    text = f"{number:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
