"""The market of the double: what is listed, its quotes at each venue, and what a test lets happen to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.doubles.kis.clock import DoubleClock
from tests.doubles.kis.grid import band_of, step_of

KRX, NXT = "KRX", "NXT"
BUY, AUCTION, SELL = "1", "3", "5"
"""Who was the active side of a trade, as frames write it; trades of an auction have none."""
STATIC_VI, DYNAMIC_VI = "1", "2"
TAPE = 2_000
LEVELS = 10
BOOK_QTY = 1_000


class Print(NamedTuple):
    """A trade: time (HHMMSS), price, quantity, active side, and the day's volume behind it."""

    time: str
    price: int
    qty: int
    side: str
    volume: int


@dataclass
class Quotes:
    """A listing at one venue today; prices 0 before the first trade."""

    last: int = 0
    open: int = 0
    high: int = 0
    low: int = 0
    open_time: str = "000000"
    high_time: str = "000000"
    low_time: str = "000000"
    volume: int = 0
    amount: int = 0
    bids: list[tuple[int, int]] = field(default_factory=list)
    asks: list[tuple[int, int]] = field(default_factory=list)
    expected: tuple[int, int] = (0, 0)
    """Price and quantity that an auction would give now; zeros outside one."""
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys((BUY, AUCTION, SELL), 0))
    volumes: dict[str, int] = field(default_factory=lambda: dict.fromkeys((BUY, AUCTION, SELL), 0))
    tape: deque[Print] = field(default_factory=lambda: deque(maxlen=TAPE))

    def add(self, time: str, price: int, qty: int, side: str) -> Print:
        """Count a trade."""
        if not self.volume:
            self.open, self.open_time = price, time
            self.high, self.high_time, self.low, self.low_time = price, time, price, time
        if price > self.high:
            self.high, self.high_time = price, time
        if price < self.low:
            self.low, self.low_time = price, time
        self.last = price
        self.volume += qty
        self.amount += price * qty
        self.counts[side] += 1
        self.volumes[side] += qty
        printed = Print(time, price, qty, side, self.volume)
        self.tape.append(printed)
        return printed


@dataclass
class Listing:
    """A listed name: base price of the day (the close before it), flags, and its quotes."""

    code: str
    name: str
    base: int
    board: str = "KOSPI"
    is_etf: bool = False
    on_nxt: bool = True
    halted: bool = False
    halt_reason: str = ""
    vi: str = "N"
    """N none, 1 static, 2 dynamic, 3 both."""
    single_price: bool = False
    """Whether it is traded in auctions of a single price only (overheated, or called illiquid)."""
    status: str = "55"
    """State of the name: 51 under administration, 52 to 54 investment warnings, 55 ordinary, 58 halted, 59
    overheated for a short term."""
    origin: tuple[str, int] = ("", 0)
    """The day on which the double first had it, and its base then."""
    krx: Quotes = field(default_factory=Quotes)
    nxt: Quotes = field(default_factory=Quotes)

    @property
    def band(self) -> tuple[int, int]:
        return band_of(self.base, etf=self.is_etf)

    def step(self, price: int) -> int:
        return step_of(price, etf=self.is_etf)

    def at(self, venue: str) -> Quotes:
        return self.nxt if venue == NXT else self.krx

    @property
    def price(self) -> int:
        """The last price of the exchange, before the first one the base."""
        return self.krx.last or self.base

    def begin_day(self) -> None:
        """Make the last price the base of a new day, and empty its quotes."""
        self.base = self.price
        step = self.step(self.base - 1)
        for venue in (KRX, NXT):
            bids = [(price, BOOK_QTY) for price in self.ladder(self.base - step, LEVELS, -1)]
            asks = [(price, BOOK_QTY) for price in self.ladder(self.base, LEVELS, 1)]
            setattr(self, venue.lower(), Quotes(bids=bids, asks=asks))
        self.vi, self.single_price = "N", False

    def ladder(self, price: int, levels: int, direction: int) -> list[int]:
        """Return ``levels`` prices of the grid from ``price`` on, up (1) or down (-1), inside the band."""
        low, high = self.band
        found: list[int] = []
        while len(found) < levels and low <= price <= high:
            found.append(price)
            price += direction * self.step(price if direction > 0 else price - 1)
        return found


class Vi(NamedTuple):
    """One interruption by volatility: times (HHMMSS; the end 000000 while it lasts) and prices."""

    code: str
    day: str
    began: str
    ended: str
    kind: str
    price: int
    reference: int


class Market:
    """All listings. Its methods are the script of a test: they happen at once and send the frames that follow."""

    def __init__(self, clock: DoubleClock) -> None:
        self.listings: dict[str, Listing] = {}
        self.vis: list[Vi] = []
        self.clock = clock
        self.on_trades: list[Callable[[Listing, str, Sequence[Print]], None]] = []
        """Called with trades of any origin, to send them."""
        self.on_prints: list[Callable[[Listing, str, Sequence[Print]], None]] = []
        """Called with trades of others, to match orders against them."""
        self.on_book: list[Callable[[Listing, str], None]] = []
        self.on_status: list[Callable[[Listing, str], None]] = []
        self.on_expected: list[Callable[[Listing, str], None]] = []
        for code, name, base in (("005930", "삼성전자", 70_000), ("000660", "SK하이닉스", 200_000)):
            self.add(code, base, name=name)

    def add(self, code: str, base: int, *, name: str = "", **flags: Any) -> Listing:
        """Add a listing, with a book of ten levels around ``base``; ``flags`` are fields of :class:`Listing`."""
        listing = Listing(code, name or f"종목{code}", base, **flags)
        listing.origin = (self.clock.day, base)
        self.listings[code] = listing
        listing.begin_day()
        listing.single_price = bool(flags.get("single_price"))
        return listing

    def __getitem__(self, code: str) -> Listing:
        return self.listings[code]

    # -- trades and books --------------------------------------------------------------------------------------

    def trade(self, code: str, price: int, qty: int = 10, *, side: str = BUY, venue: str = KRX) -> None:
        """Let a trade of others happen."""
        self.trades(code, [(price, qty, side)], venue=venue)

    def trades(self, code: str, several: Sequence[tuple[int, int, str]], *, venue: str = KRX) -> None:
        """Let trades happen in one moment: (price, quantity, active side) each; up to 20 share a frame."""
        listing = self.listings[code]
        prints = [listing.at(venue).add(self.clock.hms, *one) for one in several]
        self.show(listing, venue, prints)
        for told in self.on_prints:
            told(listing, venue, prints)

    def show(self, listing: Listing, venue: str, prints: Sequence[Print]) -> None:
        """Send trades that have happened."""
        for told in self.on_trades:
            told(listing, venue, prints)

    def book(
        self,
        code: str,
        bids: Sequence[tuple[int, int]],
        asks: Sequence[tuple[int, int]],
        *,
        venue: str = KRX,
    ) -> None:
        """Put up to ten levels of (price, quantity) on each side, best first."""
        quotes = self.listings[code].at(venue)
        quotes.bids, quotes.asks = [*bids], [*asks]
        for told in self.on_book:
            told(self.listings[code], venue)

    def quote(self, code: str, bid: int, ask: int, qty: int = BOOK_QTY, *, venue: str = KRX) -> None:
        """Put a whole ladder with ``qty`` at each level behind a best bid and ask."""
        listing = self.listings[code]
        bids = [(price, qty) for price in listing.ladder(bid, LEVELS, -1)]
        asks = [(price, qty) for price in listing.ladder(ask, LEVELS, 1)]
        self.book(code, bids, asks, venue=venue)

    def expect(self, code: str, price: int, qty: int, *, venue: str = KRX) -> None:
        """Say what an auction would give now."""
        self.listings[code].at(venue).expected = (price, qty)
        for told in self.on_expected:
            told(self.listings[code], venue)

    # -- states ------------------------------------------------------------------------------------------------

    def start_vi(self, code: str, kind: str = STATIC_VI) -> None:
        """Interrupt continuous trading by an auction of two minutes; :meth:`end_vi` ends it."""
        listing = self.listings[code]
        listing.vi = kind
        self.vis.append(
            Vi(
                code,
                self.clock.day,
                self.clock.hms,
                "000000",
                kind,
                listing.price,
                listing.krx.open or listing.base,
            )
        )
        self._tell(listing)

    def end_vi(self, code: str) -> None:
        """Trade continuously again."""
        listing = self.listings[code]
        listing.vi = "N"
        last = max(place for place, one in enumerate(self.vis) if one.code == code)
        self.vis[last] = self.vis[last]._replace(ended=self.clock.hms)
        self._tell(listing)

    def halt(self, code: str, reason: str = "거래정지") -> None:
        """Stop all trading of a name."""
        self.listings[code].halted, self.listings[code].halt_reason = True, reason
        self._tell(self.listings[code])

    def resume(self, code: str) -> None:
        """Trade a halted name again."""
        self.listings[code].halted, self.listings[code].halt_reason = False, ""
        self._tell(self.listings[code])

    def single_price(self, code: str, *, on: bool = True) -> None:
        """Trade a name in auctions of a single price only, or continuously again."""
        self.listings[code].single_price = on
        self._tell(self.listings[code])

    def announce(self, operation: str) -> None:
        """Send the state of the market to all.

        110 and 112: the opening auction and the open. 121 and 129: the closing auction and the close. 174 and 175:
        a circuit breaker and its end.
        """
        for listing in self.listings.values():
            self._tell(listing, operation)

    def _tell(self, listing: Listing, operation: str = "") -> None:
        for told in self.on_status:
            told(listing, operation)
