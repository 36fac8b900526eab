"""The market of the double: what is listed, its quotes at each venue, and what a test lets happen to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.doubles.kis.clock import DoubleClock
from tests.doubles.kis.grid import band_of, step_of

KRX, NXT = "KRX", "NXT"
BUY, AUCTION, SELL = "1", "3", "5"
"""Who was the active side of a trade, as frames write it; trades of an auction have none."""
TAPE = 2_000


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

    def ladder(self, price: int, levels: int, direction: int) -> list[int]:
        """Return ``levels`` prices of the grid from ``price`` on, up (1) or down (-1), inside the band."""
        low, high = self.band
        found = []
        while len(found) < levels and low <= price <= high:
            found.append(price)
            price += direction * self.step(price if direction > 0 else price - 1)
        return found


class Market:
    """All listings. Its methods are the script of a test: they happen at once and send the frames that follow."""

    def __init__(self, clock: DoubleClock) -> None:
        self.listings: dict[str, Listing] = {}
        self.clock = clock
        self.on_trades: list[Callable[[Listing, str, Sequence[Print]], None]] = []
        self.on_book: list[Callable[[Listing, str], None]] = []
        self.on_status: list[Callable[[Listing], None]] = []
        self.on_expected: list[Callable[[Listing, str], None]] = []
        for code, name, base in (("005930", "삼성전자", 70_000), ("000660", "SK하이닉스", 200_000)):
            self.list(code, base, name=name)

    def list(self, code: str, base: int, *, name: str = "", **flags: object) -> Listing:
        """Add a listing, with a book of ten levels around ``base``."""
        listing = Listing(code, name or f"종목{code}", base, **flags)  # type: ignore[arg-type]
        self.listings[code] = listing
        for venue in (KRX, NXT):
            self._set_book(listing, venue, base - listing.step(base - 1), base)
        return listing

    def __getitem__(self, code: str) -> Listing:
        return self.listings[code]

    # -- what happens ------------------------------------------------------------------------------------------

    def trade(self, code: str, price: int, qty: int = 10, *, side: str = BUY, venue: str = KRX) -> None:
        """Let a trade happen."""
        self.trades(code, [(price, qty, side)], venue=venue)

    def trades(self, code: str, several: Sequence[tuple[int, int, str]], *, venue: str = KRX) -> None:
        """Let trades happen in one moment: (price, quantity, active side) each; they share a frame."""
        listing = self.listings[code]
        prints = [listing.at(venue).add(self.clock.hms, *one) for one in several]
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
        quotes.bids, quotes.asks = list(bids), list(asks)
        for told in self.on_book:
            told(self.listings[code], venue)

    def quote(self, code: str, bid: int, ask: int, qty: int = 1_000, *, venue: str = KRX) -> None:
        """Put a whole ladder with ``qty`` at each level behind a best bid and ask."""
        self._set_book(self.listings[code], venue, bid, ask, qty)
        for told in self.on_book:
            told(self.listings[code], venue)

    def _set_book(self, listing: Listing, venue: str, bid: int, ask: int, qty: int = 1_000) -> None:
        quotes = listing.at(venue)
        quotes.bids = [(price, qty) for price in listing.ladder(bid, 10, -1)]
        quotes.asks = [(price, qty) for price in listing.ladder(ask, 10, 1)]
