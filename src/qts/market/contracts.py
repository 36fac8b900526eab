"""Values of a market: quotes, trades, books, bars, levels; and the ports of feed, calendar, price grid and costs.

All values are frozen. Times are integer nanoseconds since the epoch (UTC): the moment at which the value
was known to us. Prices and sizes are Decimal; index levels and volatilities are indicators and may be floats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Protocol, TypeAlias, runtime_checkable

import msgspec

from qts.money import TWO, exact_quotient, plus


class Quote(msgspec.Struct, frozen=True, gc=False, tag=True):
    """The best prices of one symbol, as far as the source gives them; ``None`` is unknown, never zero.

    ``volume`` is the day's cumulative volume. Sources without a book (snapshots) give only ``last`` and
    ``volume``; sources without trades only the two sides. With ``last_size`` the value reports a trade as well:
    so much at ``last``, just before the sides it shows. Without it ``last`` is only the price of some trade before.
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
        """Return the middle between the sides when both are known, else the last price, else None."""
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
    """Open, high, low, close and volume of an interval, known at ``ts_ns`` (never before it was complete).

    ``interval`` is the text of :mod:`qts.market.series.intervals` ("5m", "1000t"). ``start_ns`` is when it began, 0
    when the source does not say so; ``value`` is its turnover (price × size of every trade) and ``trades`` their
    number, None when the source does not say so. ``partial``: the close of the session cut it short. ``ts_ns`` of a
    bar that QTS built is its end; the last bar of a session also has the trades that were printed after the close.
    """

    symbol: str
    ts_ns: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    interval: str = "1d"
    day: str = ""
    start_ns: int = 0
    value: Decimal | None = None
    trades: int | None = None
    partial: bool = False


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
    """The phases of a market."""

    CLOSED = "CLOSED"
    ORDER_ENTRY = "ORDER_ENTRY"  # orders are taken and wait for the opening auction (KRX 08:30-09:00)
    CONTINUOUS = "CONTINUOUS"
    CLOSING_AUCTION = "CLOSING_AUCTION"

    @property
    def takes_orders(self) -> bool:
        """Return whether the market takes orders."""
        return self is not Phase.CLOSED


class Calendar(Protocol):
    """Sessions of one market. Arguments are aware datetimes, or dates of the market's own time zone.

    Asked from any component, on the session's thread; pure, and raises only for a naive datetime.
    """

    name: str

    def phase(self, moment: datetime) -> Phase:
        """Return the phase of the market at ``moment``."""
        ...

    def phase_ns(self, ns: int) -> Phase:
        """Return the :meth:`phase` at ``ns`` since 1970 UTC; asked at every value, without a datetime each time."""
        ...

    def local_date(self, moment: datetime) -> date:
        """Return the market's own date at ``moment``."""
        ...

    def local_time(self, moment: datetime) -> datetime:
        """Return ``moment`` on the market's own clock."""
        ...

    def is_trading_day(self, day: date) -> bool:
        """Return whether the market opens on ``day``."""
        ...

    def close(self, day: date) -> datetime | None:
        """Return the regular close of a trading day; None when there is no session, or the market never closes."""
        ...

    def next_open(self, moment: datetime) -> datetime | None:
        """Return the next start of continuous trading at or after ``moment``.

        None when it never closes, or none is known.
        """
        ...

    def at(self, day: date, hour: int, minute: int = 0) -> datetime:
        """Return the aware moment of a wall-clock time on ``day`` in the market's time zone."""
        ...


class TickRule(Protocol):
    """The price grid of an instrument on a date, in the instrument's currency.

    Asked from any component, on the session's thread; pure, and never raises.
    """

    def tick(self, price: Decimal, day: date) -> Decimal:
        """Return the grid step that applies at ``price``."""
        ...

    def is_valid(self, price: Decimal, day: date) -> bool:
        """Return whether an order may carry ``price`` on ``day``; False for what is no price."""
        ...

    def round_down(self, price: Decimal, day: date) -> Decimal:
        """Return the highest valid price that is not above ``price``."""
        ...

    def round_up(self, price: Decimal, day: date) -> Decimal:
        """Return the lowest valid price that is not below ``price``."""
        ...

    def band(self, base: Decimal, day: date) -> tuple[Decimal, Decimal] | None:
        """Return the lowest and highest price of the day around the base price; None where there is no limit."""
        ...


class FeeRule(Protocol):
    """The costs of a fill, in the instrument's currency, already rounded to its quantum.

    ``day`` is always the trade date; a rule whose table goes by another date finds that date itself. Asked from any
    component, on the session's thread; pure, and never raises.
    """

    def fee(self, amount: Decimal, day: date) -> Decimal:
        """Return the commission on an ``amount`` of quantity × price."""
        ...

    def tax(self, amount: Decimal, *, is_sell: bool, day: date) -> Decimal:
        """Return the tax on an ``amount`` of quantity × price; many markets tax sales alone."""
        ...

    def dividend_tax(self, amount: Decimal, day: date) -> Decimal:
        """Return what is kept back of a dividend of ``amount`` in all; ``day`` is its ex-date."""
        ...


class Instrument(msgspec.Struct, frozen=True):
    """Everything the core needs to know about a symbol; made by configuration or a file format."""

    symbol: str
    currency: str
    quantum: Decimal
    lot: Decimal
    ticks: TickRule
    costs: FeeRule
    calendar: Calendar
    name: str = ""
    """Its English name; "" when that is not known."""
    name_ko: str = ""
    """Its Korean name; "" when that is not known."""


class MarketSource(Protocol):
    """The part of any source of market values, pulled or pushed, that a session has to know.

    Read on the loop's thread, at any time, also before the first value; reading never raises and never waits.
    """

    @property
    def name(self) -> str:
        """Return its name for people: a path, or the name of a generator or a connection."""
        ...

    @property
    def max_age_ns(self) -> int:
        """Return how old a price may be when something is decided on it, in ns; it may change from value to value.

        100 ms for a live stream, 5 s for a generated one, 15 min for snapshots.
        """
        ...

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """Return the instruments by symbol, at least one; those of every price given so far are among them.

        Indices are none. The mapping is one and the same object for the life of the source, and may grow.
        """
        ...

    @property
    def declares_volatility(self) -> bool:
        """Return whether the source sends a volatility index, so that its silence means unknown and not absent."""
        ...

    @property
    def rows_refused(self) -> Mapping[str, int]:
        """Return how many rows or messages could not be used, by reason; they never became values."""
        ...


@runtime_checkable
class Feed(MarketSource, Protocol):
    """A source of market values that is pulled one by one and can be read again, such as a file or a generator.

    One session has it for itself; every method is called on that session's thread.
    """

    @property
    def source_id(self) -> str:
        """Name the input for the run id: format and SHA-256 of the content, or generator and parameters.

        The same input has the same name in every process; another input has another one.
        """
        ...

    def values(self) -> Iterator[MarketValue]:
        """Return the values after the present position, their times never falling.

        Pulled by a driver, one at a time, each when nothing of the one before waits. May block for a disk. Raises
        DataError when the source cannot be read on; nothing comes after that, nor after the end. A second call
        continues where the first one was left.
        """
        ...

    def position(self) -> dict[str, Any]:
        """Return the place after the value most recently given, in plain data (texts, numbers, lists, mappings).

        Called between two values, for each checkpoint: it must be cheap. Never raises.
        """
        ...

    def resume(self, position: Mapping[str, Any]) -> None:
        """Move to a stored position: :meth:`values` then gives the rest, without handling earlier rows again.

        Called once, before :meth:`values`; the position has been through JSON or MessagePack. Counts of refused
        rows come with it. Raises DataError when it belongs to another input or is none.
        """
        ...

    def progress(self) -> float | None:
        """Return the share of the input already given, 0..1, never falling; None when unknown. Never raises."""
        ...


class FeedGap(msgspec.Struct, frozen=True):
    """A notice that values are missing before those that follow: a lost connection, a lost message.

    ``symbols`` empty means all of the feed's. ``ts_ns`` is when it was noticed (ns since 1970, UTC), ``reason`` one
    line for people, in whatever words the source has; what no file can hold of it is kept as escapes.
    """

    ts_ns: int
    reason: str
    symbols: tuple[str, ...] = ()


class LiveFeed(MarketSource, Protocol):
    """A source that pushes market values as they happen, such as a websocket; what is over cannot be read again.

    One that is told of halts, bands and the like has :class:`~qts.market.session_info.TellsSessionInfo` as well. It
    has no position and no hash of its content: a session on it is named by what it trades on and since when
    (:func:`qts.runtime.session.run_identity.live_source_id`). Every method is called on the loop's thread.
    """

    @property
    def connected(self) -> bool:
        """Return whether values can come at present: False before :meth:`run`, while disconnected, and after it.

        Read for people and for the progress of a session. It decides nothing: prices grow old meanwhile, and none
        past :attr:`max_age_ns` is decided on.
        """
        ...

    async def run(self, on_value: Callable[[MarketValue], object], on_gap: Callable[[FeedGap], object]) -> None:
        """Connect, and call ``on_value`` with each value in the order in which it came, until the feed is over.

        Called once, as a task on the session's loop, by the live driver. Both callables are called on the loop's
        thread only, never wait and never raise; a feed that reads on another thread passes its values over
        (``loop.call_soon_threadsafe``). ``ts_ns`` of a value is when it was known here, not before that of the
        value before.

        A lost connection is made again in here, with a bounded growing pause; ``connected`` is False meanwhile.
        Before the first value after it, and wherever else values are missing, ``on_gap`` is called. A return means
        that no value will ever come again (the market's day is over, the subscription ended), and the session
        closes its day. Cancellation means that the session stops: close the connection and let it through. Raises
        QtsError when it cannot go on at all, such as after refused credentials: the session stops as if it were
        asked to, and the error is passed on.
        """
        ...
