"""What a market says: quotes, trades, books, bars, levels; and what an instrument is.

All values are frozen. Times are integer nanoseconds since the epoch (UTC): the moment at which the value
was known to us. Prices and sizes are Decimal; index levels and volatilities are indicators and may be floats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Protocol, TypeAlias

import msgspec

from qts.money import TWO, exact_quotient, plus


class Quote(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The best prices of one symbol, as far as the source gives them; ``None`` is unknown, never zero.

    ``volume`` is the day's cumulative volume. Sources without a book (snapshots) give only ``last`` and
    ``volume``; sources without trades only the two sides. With ``last_size`` the value reports a trade as well:
    so much at ``last``, just before the sides it shows. Without it ``last`` only tells what the price was.
    """

    symbol: str
    ts_ns: int
    bid: Decimal | None = None
    ask: Decimal | None = None
    bid_size: Decimal | None = None
    ask_size: Decimal | None = None
    last: Decimal | None = None
    last_size: Decimal | None = None
    volume: Decimal | None = None

    @property
    def mid(self) -> Decimal | None:
        """Half-way between the sides when both are known, else the last price, else None."""
        if self.bid is not None and self.ask is not None:
            return exact_quotient(plus(self.bid, self.ask), TWO)
        return self.last


class Tick(msgspec.Struct, frozen=True, gc=False, tag=True):
    """One trade print. ``buyer_is_maker`` None when the source does not say who was passive."""

    symbol: str
    ts_ns: int
    price: Decimal
    size: Decimal
    buyer_is_maker: bool | None = None


class BookUpdate(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Changed levels of the order book as (price, size) pairs; size 0 removes a level.

    A ``snapshot`` replaces the whole book. ``after_gap``: updates before this one are missing, so the book is
    unknown until the next snapshot. The two sides are sequences and may be read from their source only when first
    looked at: who does not need the depth does not pay for it.
    """

    symbol: str
    ts_ns: int
    bids: Sequence[tuple[Decimal, Decimal]]
    asks: Sequence[tuple[Decimal, Decimal]]
    snapshot: bool = False
    after_gap: bool = False


class Bar(msgspec.Struct, frozen=True, gc=False, tag=True):
    """Open, high, low, close and volume of an interval, told at ``ts_ns`` (never before it was complete)."""

    symbol: str
    ts_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    interval: str = "1d"
    day: str = ""


class IndexLevel(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The closing level of a stock index for ``day`` (ISO date of its own market), known at ``ts_ns``."""

    symbol: str
    ts_ns: int
    level: float
    day: str = ""


class VolatilityLevel(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The closing level of a volatility index (VIX) for ``day``, known at ``ts_ns``."""

    symbol: str
    ts_ns: int
    level: float
    day: str = ""


MarketValue: TypeAlias = Quote | Tick | BookUpdate | Bar | IndexLevel | VolatilityLevel


class Phase(Enum):
    """What the market does at a moment."""

    CLOSED = "CLOSED"
    ORDER_ENTRY = "ORDER_ENTRY"  # orders are taken and wait for the opening auction (KRX 08:30-09:00)
    CONTINUOUS = "CONTINUOUS"
    CLOSING_AUCTION = "CLOSING_AUCTION"

    @property
    def takes_orders(self) -> bool:
        return self is not Phase.CLOSED


class Calendar(Protocol):
    """Sessions of one market. All arguments are aware datetimes or dates of the market's own time zone."""

    name: str

    def phase(self, moment: datetime) -> Phase: ...

    def phase_ns(self, ns: int) -> Phase:
        """The same for nanoseconds since the epoch: asked while orders wait, without a datetime each time."""
        ...

    def local_date(self, moment: datetime) -> date:
        """The market's own date at ``moment``."""
        ...

    def local_time(self, moment: datetime) -> datetime:
        """``moment`` on the market's own clock."""
        ...

    def is_trading_day(self, day: date) -> bool: ...

    def close(self, day: date) -> datetime | None:
        """The regular close of a trading day; None when the market never closes."""
        ...

    def next_open(self, moment: datetime) -> datetime | None:
        """The next start of continuous trading at or after ``moment``; None when never closed."""
        ...

    def at(self, day: date, hour: int, minute: int = 0) -> datetime:
        """The aware moment of a wall-clock time on ``day`` in the market's time zone."""
        ...


class TickRule(Protocol):
    """The price grid of an instrument on a date."""

    def tick(self, price: Decimal, day: date) -> Decimal:
        """The grid step that applies at ``price``."""
        ...

    def is_valid(self, price: Decimal, day: date) -> bool: ...

    def round_down(self, price: Decimal, day: date) -> Decimal: ...

    def round_up(self, price: Decimal, day: date) -> Decimal: ...

    def band(self, base: Decimal, day: date) -> tuple[Decimal, Decimal] | None:
        """Lowest and highest price of the day around the base price; None where there is no limit."""
        ...


class FeeRule(Protocol):
    """What a fill costs, in the instrument's currency, already rounded to its quantum.

    ``day`` is always the trade date; a rule whose table goes by another date finds that date itself.
    """

    def fee(self, amount: Decimal, day: date) -> Decimal: ...

    def tax(self, amount: Decimal, *, is_sell: bool, day: date) -> Decimal: ...


class Instrument(msgspec.Struct, frozen=True):
    """Everything the core needs to know about a symbol (spec 00); made by configuration or a file format."""

    symbol: str
    currency: str
    quantum: Decimal
    lot: Decimal
    ticks: TickRule
    costs: FeeRule
    calendar: Calendar


class Feed(Protocol):
    """A source of market values in time order, pulled one by one.

    ``position`` is a plain value (dict of text, numbers, lists) from which :meth:`resume` continues with the
    value after the one most recently yielded, without handling the earlier ones again.
    """

    @property
    def name(self) -> str: ...

    @property
    def source_id(self) -> str:
        """Names the input for the run id: format and SHA-256 of the content, or generator and parameters."""
        ...

    @property
    def max_age_ns(self) -> int:
        """Freshness limit for decisions on this feed (spec 05: live 100 ms, generated 5 s, snapshots 15 min)."""
        ...

    @property
    def instruments(self) -> Mapping[str, Instrument]: ...

    @property
    def declares_volatility(self) -> bool:
        """Whether the source sends a volatility index, so that its silence means unknown and not absent."""
        ...

    @property
    def rows_refused(self) -> Mapping[str, int]:
        """Rows that could not be used, by reason."""
        ...

    def values(self) -> Iterator[MarketValue]: ...

    def position(self) -> dict[str, Any]: ...

    def resume(self, position: Mapping[str, Any]) -> None:
        """Go to a stored position; call before :meth:`values`. Raises DataError when it does not fit."""
        ...

    def progress(self) -> float | None:
        """Share of the input already given, 0..1; None when unknown."""
        ...
