"""Rejects impossible prices: those outside the daily price limits of their market.

Such a price raises an alarm and values nothing. A split in unadjusted prices looks like this, and so does an
erroneous print: it enters no table, fills nothing, is no event for strategies and becomes no later day's base
price. Until its prices fit again, its symbol is in doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

import msgspec

from qts.clock import from_ns
from qts.market.contracts import Bar, BookUpdate, Calendar, Instrument, MarketValue, Quote, Tick
from qts.money import ONE, TWO, ZERO, minus, plus, ratio, times
from qts.notes import Note

_SPLITS: Final = {
    times(many, ratio(ONE, few)): (f"{many}:{few}", f"{few}:{many}")
    for many, few in (
        *((Decimal(many), TWO) for many in (3, 5)),
        *((Decimal(many), ONE) for many in (2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50, 75, 100, 200, 500)),
    )
}
"""Common splits, as new:old and as old:new, by the ratio of shares after to shares before."""
_MAX_DAY_MOVE: Final = Decimal("1.3")
"""Largest ratio between the first price after a split and the previous price divided by the split."""


class Band(NamedTuple):
    """The band of a day: prices outside ``low`` to ``high`` are rejected.

    ``base`` is the last price of an earlier day; ``assumed``: none is known, and it is the day's first price.
    """

    low: Decimal
    high: Decimal
    base: Decimal
    assumed: bool


CHECK_EVERY_VALUE: Final = Band(ONE, ZERO, ZERO, False)
"""The band of a symbol in doubt: no price lies inside, so each value goes through the full check."""


def quote_fits(band: Band, quote: Quote) -> bool:
    """Return whether every price of ``quote`` lies inside ``band``; False for a crossed book: check it fully."""
    low, high, bid, ask, last = band.low, band.high, quote.bid, quote.ask, quote.last
    try:
        if bid is not None and ask is not None:
            fits = low <= bid <= ask <= high
        else:
            fits = (bid is None or low <= bid <= high) and (ask is None or low <= ask <= high)
        return fits and (last is None or low <= last <= high)
    except InvalidOperation:  # not a number
        return False


def tick_fits(band: Band, tick: Tick) -> bool:
    """Return whether the price of ``tick`` lies inside ``band``."""
    try:
        return band.low <= tick.price <= band.high
    except InvalidOperation:
        return False


def bar_fits(band: Band, bar: Bar) -> bool:
    """Return whether ``bar`` lies inside ``band``, its open and close between its low and high."""
    low, high = bar.low, bar.high
    try:
        return band.low <= low <= bar.open <= high <= band.high and low <= bar.close <= high
    except InvalidOperation:
        return False


class ImpossiblePrice(msgspec.Struct, frozen=True):
    """A price outside its market's daily limits, with the limits and the base price they were computed from."""

    symbol: str
    ts_ns: int
    at: str
    """Date and time in the market's time zone."""
    price: Decimal
    low: Decimal
    high: Decimal
    base: Decimal
    assumed: bool

    def __str__(self) -> str:
        around = f"the day's first price {self.base}" if self.assumed else f"{self.base}"
        split = f" (a {self.split} split?)" if self.split else ""
        limits = f"outside the day's band of {self.low} to {self.high} around {around}"
        return f"{self.symbol}: {self.price} at {self.at} is {limits}{split}"

    @property
    def day(self) -> str:
        """Return the market's date, ISO."""
        return self.at.partition(" ")[0]

    @property
    def split(self) -> str:
        """Return the likely split, new shares to old ("50:1", "1:10"); "" when none fits."""
        return likely_split(self.base, self.price)


class Doubt(msgspec.Struct):
    """The state of a symbol that had impossible prices.

    ``first`` is the first of them in the session, ``since`` the one that began the newest doubt; ``refused`` counts
    the rejected values, ``level`` is the newest rejected price. ``stands``: the symbol is in doubt now;
    ``closed_at`` is then the price rejected last before today, None while the doubt began today. ``told``: today's
    alarm was raised.
    """

    first: ImpossiblePrice
    since: ImpossiblePrice
    level: Decimal
    refused: int = 0
    stands: bool = False
    told: bool = False
    closed_at: Decimal | None = None


class PriceBands:
    """The band of each symbol for the day, and the symbols in doubt. Not thread-safe.

    ``bands`` is read for each value: None for a symbol whose market has no limits; a symbol that is missing, or a
    price outside, needs a call of :meth:`accepts`. ``base_prices`` are those of the day. At most one entry for each
    instrument.
    """

    __slots__ = ("_bases", "_day", "_day_of", "_instruments", "_limits", "bands", "changes", "doubts")

    def __init__(self, instruments: Mapping[str, Instrument], base_prices: Mapping[str, Decimal]) -> None:
        self._instruments = instruments
        self._bases = base_prices
        self._limits: dict[str, Band] = {}
        self._day_of: tuple[Calendar, int] | None = None
        self._day = date.min
        self.bands: dict[str, Band | None] = {}
        self.doubts: dict[str, Doubt] = {}
        self.changes = 0
        """Counts the changes of the exported state, so that an unchanged one is not encoded again."""

    def band_for(self, value: MarketValue) -> Band | None:
        """Return the band that ``value`` has to lie in, computed where it is its symbol's first of the day.

        None: its market has no limits. :data:`CHECK_EVERY_VALUE`: :meth:`accepts` has to judge it, because its
        symbol is in doubt or no price of it is known yet.
        """
        symbol = value.symbol
        if symbol not in self.bands:
            self._band_of(value)
        return self.bands.get(symbol, CHECK_EVERY_VALUE)

    def accepts(self, value: MarketValue) -> bool:
        """Check a value fully; return False when it is impossible. It is counted then, and its symbol is in doubt.

        Doubt ends with the first value that fits. After a day has closed in doubt, the impossible prices may have
        drifted into the band, so it ends only with a value that they could not have reached within the day.
        """
        symbol = value.symbol
        band = self._limits.get(symbol) or self._band_of(value)
        if band is None:
            return True
        doubt = self.doubts.get(symbol)
        prices = tuple(_prices_of(value))
        stray = next((price for price in prices if not _is_between(band.low, price, band.high)), None)
        if stray is None:
            if doubt is None or not doubt.stands:
                return True
            if not prices or not self._has_returned(doubt, prices, value):
                doubt.refused += 1
                self.changes += 1
                return False
            doubt.stands, doubt.closed_at = False, None
            self.bands[symbol] = band
            self.changes += 1
            return True
        self._reject(value, stray, band)
        return False

    def alarm(self, symbol: str) -> str:
        """Return the alarm of ``symbol`` after a value was rejected; "" when it was raised today already."""
        doubt = self.doubts[symbol]
        if doubt.told:
            return ""
        doubt.told = True
        return f"{self.doubt_reason(symbol)}; it values and fills nothing. {advice(doubt.since)}"

    def doubt_reason(self, symbol: str) -> str:
        """Return why the prices of ``symbol`` are rejected at present; "" when they are not."""
        doubt = self.doubts.get(symbol)
        return str(doubt.since) if doubt is not None and doubt.stands else ""

    def doubt_reasons(self) -> list[str]:
        """Return the reason for every symbol in doubt at present."""
        return [str(doubt.since) for doubt in self.doubts.values() if doubt.stands]

    def start_day(self) -> None:
        """Start a day: bands are computed from today's base prices; symbols in doubt stay in doubt."""
        self._limits.clear()
        self.bands.clear()
        for doubt in self.doubts.values():
            doubt.told = False
            if doubt.stands:
                doubt.closed_at = doubt.level
        self.changes += 1

    def on_base(self, symbol: str) -> None:
        """Compute the band of a symbol again whose base price of today was told."""
        self._limits.pop(symbol, None)
        self.bands.pop(symbol, None)
        self.changes += 1

    def on_split(self, symbol: str, convert: Callable[[Decimal], Decimal]) -> None:
        """Compute the band of a symbol again whose shares are split today, and convert the prices of its doubt."""
        self.on_base(symbol)
        doubt = self.doubts.get(symbol)
        if doubt is not None:
            doubt.level = convert(doubt.level)
            doubt.closed_at = None if doubt.closed_at is None else convert(doubt.closed_at)
        self.changes += 1

    def export_state(self) -> dict[str, Any]:
        """Return the day's limits and the doubts for a checkpoint."""
        plain: dict[str, Any] = msgspec.to_builtins({"limits": self._limits, "doubts": self.doubts})
        return plain

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state` in the same dictionaries, which the intake refers to."""
        self._limits = msgspec.convert(saved["limits"], dict[str, Band], strict=False)
        self.doubts.clear()
        self.doubts.update(msgspec.convert(saved["doubts"], dict[str, Doubt], strict=False))
        self.bands.clear()
        for symbol, band in self._limits.items():
            self.bands[symbol] = self._effective_band(symbol, band)

    def _reject(self, value: MarketValue, price: Decimal, band: Band) -> None:
        symbol = value.symbol
        doubt = self.doubts.get(symbol)
        if doubt is None or not doubt.stands:
            instrument = self._instruments[symbol]
            moment = instrument.calendar.local_time(from_ns(value.ts_ns))
            low, high = _day_limits(
                instrument, band.base, instrument.calendar.local_date(moment), assumed=band.assumed
            )
            at = f"{moment:%Y-%m-%d %H:%M:%S}"
            stray = ImpossiblePrice(symbol, value.ts_ns, at, price, low, high, band.base, band.assumed)
            if doubt is None:
                doubt = self.doubts[symbol] = Doubt(stray, stray, price)
            doubt.since = stray
        doubt.level = price
        doubt.refused += 1
        doubt.stands = True
        self.bands[symbol] = CHECK_EVERY_VALUE
        self.changes += 1

    def _band_of(self, value: MarketValue) -> Band | None:
        """Return the band of the day and store it; None when the market has none, or before the first price."""
        symbol = value.symbol
        instrument = self._instruments.get(symbol)
        day = date.min if instrument is None else self._local_day(instrument.calendar, value.ts_ns)
        if instrument is None or instrument.ticks.band(ONE, day) is None:
            self.bands[symbol] = None
            return None
        base = self._bases.get(symbol)
        if assumed := base is None or not _is_price(base):
            # A book alone gives no base price: its outermost price levels may lie anywhere.
            base = None if isinstance(value, BookUpdate) else next(_prices_of(value), None)
            if base is None or not _is_price(base):
                return None
        assert base is not None
        band = Band(*_accepted_limits(instrument, base, day, assumed=assumed), base, assumed)
        self._limits[symbol] = band
        self.bands[symbol] = self._effective_band(symbol, band)
        self.changes += 1
        return band

    def _local_day(self, calendar: Calendar, ts_ns: int) -> date:
        """Return the market's date; values of many symbols come at one moment, as the bars of a universe."""
        if self._day_of != (calendar, ts_ns):
            self._day_of, self._day = (calendar, ts_ns), calendar.local_date(from_ns(ts_ns))
        return self._day

    def _effective_band(self, symbol: str, band: Band) -> Band:
        doubt = self.doubts.get(symbol)
        return CHECK_EVERY_VALUE if doubt is not None and doubt.stands else band

    def _has_returned(self, doubt: Doubt, prices: tuple[Decimal, ...], value: MarketValue) -> bool:
        if doubt.closed_at is None or not _is_price(doubt.closed_at):
            return True
        instrument = self._instruments[value.symbol]
        day = instrument.calendar.local_date(from_ns(value.ts_ns))
        low, high = _accepted_limits(instrument, doubt.closed_at, day, assumed=False)
        return not any(low <= price <= high for price in prices)


def advice(stray: ImpossiblePrice) -> str:
    """Return a sentence on what to do about an impossible price in the input."""
    return f"Was the share split, or did its rights go ex? Use adjusted prices, or cut the file at {stray.day}"


def likely_split(base: Decimal, price: Decimal) -> str:
    """Return the split that explains a move from ``base`` to ``price``, new shares to old; "" when none fits."""
    if not (_is_price(base) and _is_price(price)):
        return ""
    falls = price < base
    factor = ratio(base, price) if falls else ratio(price, base)
    nearest = min(_SPLITS, key=lambda one: max(ratio(one, factor), ratio(factor, one)))
    if max(ratio(nearest, factor), ratio(factor, nearest)) > _MAX_DAY_MOVE:
        return ""
    return _SPLITS[nearest][0 if falls else 1]


def doubtful_rows(bands: PriceBands) -> dict[str, dict[str, Any]]:
    """Return every symbol that had impossible prices, as the plain values that results show."""
    return {
        symbol: {
            "first": doubt.first.at,
            "price": f"{doubt.first.price:f}",
            "band": [f"{doubt.first.low:f}", f"{doubt.first.high:f}"],
            "base": f"{doubt.first.base:f}",
            "ratio": doubt.first.split or None,
            "refused": doubt.refused,
            "in_doubt": doubt.stands,
        }
        for symbol, doubt in sorted(bands.doubts.items())
    }


def notes_on_doubts(bands: PriceBands, zone: str) -> list[Note]:
    """Return a note for every symbol that had prices which cannot be; ``zone`` names the market's time zone."""
    return [_note_on(doubt, zone) for _, doubt in sorted(bands.doubts.items())]


def _note_on(doubt: Doubt, zone: str) -> Note:
    stray = doubt.since
    base = f"{stray.base}"
    price = Note.of(
        "impossible-price",
        symbol=stray.symbol,
        price=f"{stray.price}",
        at=f"{stray.at} {zone}",
        low=f"{stray.low}",
        high=f"{stray.high}",
        base=Note.of("base-first-price", price=base) if stray.assumed else Note.of("base-previous", price=base),
        split=Note.of("split-likely", ratio=stray.split) if stray.split else "",
    )
    if doubt.stands:
        return Note.of("price-in-doubt", price=price, refused=doubt.refused, cut=stray.day)
    return Note.of("price-was-doubted", price=price, refused=doubt.refused)


def _is_price(amount: Decimal) -> bool:
    return amount.is_finite() and amount > 0


def _is_between(low: Decimal, price: Decimal, high: Decimal) -> bool:
    """Return whether ``low`` ≤ ``price`` ≤ ``high``; False for NaN and infinity."""
    return price.is_finite() and low <= price <= high


def _prices_of(value: MarketValue) -> Iterator[Decimal]:
    if isinstance(value, Quote):
        yield from (price for price in (value.last, value.bid, value.ask) if price is not None)
    elif isinstance(value, Tick):
        yield value.price
    elif isinstance(value, Bar):
        yield from (value.open, value.high, value.low, value.close)
    elif isinstance(value, BookUpdate):
        yield from (price for side in (value.bids, value.asks) for price, size in side if size)


def _day_limits(instrument: Instrument, base: Decimal, day: date, *, assumed: bool) -> tuple[Decimal, Decimal]:
    """Return the day's limits; for an assumed base the outermost limits of all bands that contain it."""
    limits = instrument.ticks.band(base, day)
    assert limits is not None
    low, high = limits
    return (ratio(times(base, low), high), ratio(times(base, high), low)) if assumed else (low, high)


def _accepted_limits(instrument: Instrument, base: Decimal, day: date, *, assumed: bool) -> tuple[Decimal, Decimal]:
    """Return the limits widened by two ticks: adjusted prices are rounded, and so is the band of a rounded base."""
    low, high = _day_limits(instrument, base, day, assumed=assumed)
    tick = instrument.ticks.tick
    return minus(low, times(TWO, tick(low, day))), plus(high, times(TWO, tick(high, day)))
