"""Notices of a broker on instruments beside prices: base price, band, halts, designations, phases of venues."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Protocol, runtime_checkable

import msgspec

from qts.errors import ContractError
from qts.money import is_bounded


class TradingStatus(str, Enum):
    """The ways in which an instrument trades at a moment.

    SINGLE_PRICE: in call auctions all day, as the exchange orders it. VI_STATIC and VI_DYNAMIC: in the call auction
    of a volatility interruption, of one kind or of both. HALTED: not at all.
    """

    NORMAL = "NORMAL"
    SINGLE_PRICE = "SINGLE_PRICE"
    VI_STATIC = "VI_STATIC"
    VI_DYNAMIC = "VI_DYNAMIC"
    VI_STATIC_AND_DYNAMIC = "VI_STATIC_AND_DYNAMIC"
    HALTED = "HALTED"


class Designation(str, Enum):
    """A mark that an exchange puts on an instrument, for a day or longer.

    ADMINISTRATIVE: an administrative issue. CAUTION, WARNING, DANGER: the three steps of an investment warning.
    OVERHEATED: short-term overheated. LIQUIDATION: its last days before it is delisted. NEW_LISTING: its first day.
    """

    ADMINISTRATIVE = "ADMINISTRATIVE"
    CAUTION = "CAUTION"
    WARNING = "WARNING"
    DANGER = "DANGER"
    OVERHEATED = "OVERHEATED"
    LIQUIDATION = "LIQUIDATION"
    NEW_LISTING = "NEW_LISTING"


class VenuePhase(str, Enum):
    """The phases of a venue's day.

    PRE_MARKET and AFTER_MARKET trade continuously before and after the regular session, BEFORE_OPEN and AFTER_CLOSE
    at the last close alone, AFTER_SINGLE_PRICE in call auctions. BREAK: no trading between two phases.
    """

    CLOSED = "CLOSED"
    BEFORE_OPEN = "BEFORE_OPEN"
    PRE_MARKET = "PRE_MARKET"
    OPENING_AUCTION = "OPENING_AUCTION"
    CONTINUOUS = "CONTINUOUS"
    CLOSING_AUCTION = "CLOSING_AUCTION"
    BREAK = "BREAK"
    AFTER_CLOSE = "AFTER_CLOSE"
    AFTER_SINGLE_PRICE = "AFTER_SINGLE_PRICE"
    AFTER_MARKET = "AFTER_MARKET"


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A broker's notice of what holds for an instrument on a day. None is unknown, never "no" and never "normal".

    ``ts_ns``: when it was known here, ns since 1970 (UTC). ``day``: the day of its market that it is about.
    ``base_price``: around which the day's band lies; ``low`` and ``high``: the lowest and the highest price of the
    day; all three in the instrument's currency. ``designations``: every mark it has, empty for none.
    ``phases``: of the venues that are known, by their name in :class:`~qts.risk.contracts.OrderRequest`; "" is
    where orders go that name none. ``average_volume``: that of the last twenty days before ``day``, in shares or
    contracts as they are traded on ``day``. Raises ContractError for a price that is not finite or not above 0, and
    a low above the high.
    """

    symbol: str
    ts_ns: int
    day: date
    base_price: Decimal | None = None
    low: Decimal | None = None
    high: Decimal | None = None
    status: TradingStatus | None = None
    designations: frozenset[Designation] | None = None
    phases: Mapping[str, VenuePhase] = {}
    average_volume: Decimal | None = None

    def __post_init__(self) -> None:
        prices = {"base price": self.base_price, "low": self.low, "high": self.high}
        for name, price in prices.items():
            if price is not None and not (price.is_finite() and price > 0 and is_bounded(price)):
                raise ContractError(
                    f"session info of {self.symbol}: its {name} is {price}; leave out what is unknown"
                )
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ContractError(f"session info of {self.symbol}: its low {self.low} is above its high {self.high}")


@runtime_checkable
class TellsSessionInfo(Protocol):
    """The part of a :class:`~qts.market.contracts.LiveFeed` that tells session info beside market values.

    A feed that has it declares session info: what it has not told of an instrument is then unknown, and no entry
    leaves on it. Of a feed without it nothing is expected.
    """

    def tell_session_info(self, on_info: Callable[[SessionInfo], object]) -> None:
        """Call ``on_info`` from now on with each info: all that is known of the instrument, not what has changed.

        Called once, before ``run``, on the loop's thread; only there may ``on_info`` be called, from within ``run``
        or here. It never waits and never raises. What it is told holds at once, also before values that came
        earlier and wait for the session.
        """
        ...


class SessionInfos:
    """The newest session info of every instrument.

    ``is_told``: whether the source declares any. ``are_known``: whether any was put, which every order asks.
    """

    def __init__(self, *, is_told: bool = False) -> None:
        self.is_told = is_told
        self.are_known = False
        self._newest: dict[str, SessionInfo] = {}

    def put(self, info: SessionInfo) -> bool:
        """Keep an info; return False for one that is older than what is known of its symbol, which is dropped."""
        known = self._newest.get(info.symbol)
        if known is not None and info.ts_ns < known.ts_ns:
            return False
        self._newest[info.symbol] = info
        self.are_known = True
        return True

    def of(self, symbol: str, day: date) -> SessionInfo | None:
        """Return what is known of ``symbol`` on ``day`` of its market; None: nothing."""
        info = self._newest.get(symbol)
        return info if info is not None and info.day == day else None

    def bases(self, day: date) -> dict[str, Decimal]:
        """Return the base prices that were told for ``day``, by symbol."""
        return {
            symbol: info.base_price
            for symbol, info in self._newest.items()
            if info.day == day and info.base_price is not None
        }

    def __len__(self) -> int:
        return len(self._newest)


def tells_session_info(feed: object) -> bool:
    """Return whether ``feed`` declares session info."""
    return isinstance(feed, TellsSessionInfo)
