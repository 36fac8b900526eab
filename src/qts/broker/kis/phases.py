"""Phases of the venues by the codes of KIS: those of the market's operation, and those of trades and books."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time
from typing import Final

from qts.broker.kis.config import Exchange
from qts.broker.kis.stream_config import Venue
from qts.market.session_info import VenuePhase

EXCHANGE_OF: Final[Mapping[Venue, Exchange]] = {"KRX": "KRX", "NXT": "NXT", "unified": "SOR"}
"""Whose phase the trades and books of a venue tell; those of both together tell that of an order for both."""
_OPERATIONS: Final[Mapping[str, VenuePhase]] = {
    "110": VenuePhase.OPENING_AUCTION,
    "112": VenuePhase.CONTINUOUS,
    "121": VenuePhase.CLOSING_AUCTION,
    "129": VenuePhase.CLOSED,
    "174": VenuePhase.BREAK,  # a circuit breaker; what follows its end, 175, is told by the next trade
}
_CLASSES: Final[Mapping[str, VenuePhase]] = {
    "2": VenuePhase.CONTINUOUS,
    "4": VenuePhase.AFTER_SINGLE_PRICE,
}
_AFTER_MARKET_FROM: Final = time(16)


def phase_of_operation(code: str) -> VenuePhase | None:
    """Return the phase of KRX that begins with an operation of its market (``MKOP_CLS_CODE``).

    None for one that is not known: the phase is unknown then.
    """
    return _OPERATIONS.get(code)


def phase_of_class(code: str, exchange: Exchange, moment: datetime) -> VenuePhase | None:
    """Return the phase that the class of a trade or a book (``NEW_MKOP_CLS_CODE``) tells of ``exchange``.

    ``moment`` in Seoul: KRX trades at the close until 16:00 and in its after-market from then on, under one class.
    None for a class that is not known.
    """
    kind = code[:1]
    if kind == "1":
        return VenuePhase.OPENING_AUCTION if exchange == "KRX" else VenuePhase.PRE_MARKET
    if kind == "3":
        is_fixed = exchange == "KRX" and moment.time() < _AFTER_MARKET_FROM
        return VenuePhase.AFTER_CLOSE if is_fixed else VenuePhase.AFTER_MARKET
    return _CLASSES.get(kind)


def named_phases(known: Mapping[Exchange, VenuePhase], exchange: Exchange) -> Mapping[str, VenuePhase]:
    """Return phases by the names of venues in orders; "" is ``exchange``, where orders go that name none.

    An order for SOR goes to either venue: its phase is that of KRX where that is known, else that of NXT.
    """
    phases: dict[str, VenuePhase] = dict(known.items())
    either = known.get("SOR") or known.get("KRX") or known.get("NXT")
    if either is not None:
        phases["SOR"] = either
    own = phases.get(exchange)
    return phases if own is None else {**phases, "": own}
