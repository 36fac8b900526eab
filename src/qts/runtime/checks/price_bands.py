"""Prices that cannot be: outside the band in which the market itself keeps the day.

Such a price is an alarm and no valuation. A split in unadjusted prices looks like this, and so does a wrong print:
it goes into no table, fills nothing, is no event for strategies and becomes no later day's base. Until its prices
fit again, its symbol is in doubt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from qts.clock import from_ns
from qts.market.contracts import Bar, BookUpdate, Instrument, MarketValue, Quote, Tick
from qts.money import ONE, TWO, ZERO, minus, plus, ratio, times
from qts.notes import Note

_SPLITS: Final = {
    times(many, ratio(ONE, few)): (f"{many}:{few}", f"{few}:{many}")
    for many, few in (
        *((Decimal(many), TWO) for many in (3, 5)),
        *((Decimal(many), ONE) for many in (2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50, 75, 100, 200, 500)),
    )
}
"""New shares for old, and the same the other way round, by how many times as many there are afterwards."""
_A_DAYS_MOVE: Final = Decimal("1.3")
"""The first price after a split is that far, at the most, from the one at which everybody would be as rich."""


class Band(NamedTuple):
    """Values outside ``low`` to ``high`` are not believed today.

    ``base`` is the last price of an earlier day; ``assumed``: none is known, the day's first price stands there.
    """

    low: Decimal
    high: Decimal
    base: Decimal
    assumed: bool


LOOK_CLOSELY: Final = Band(ONE, ZERO, ZERO, False)
"""Stands for the band of a symbol in doubt: no price lies inside, so each value is looked at."""


class Stray(msgspec.Struct, frozen=True):
    """A price that its market's band makes impossible: the day's limits, and what they were reckoned from."""

    symbol: str
    ts_ns: int
    at: str
    """The market's own date and time."""
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
        return self.at.partition(" ")[0]

    @property
    def split(self) -> str:
        """The split that it looks like, new shares for old ("50:1", "1:10"); "" when it looks like none."""
        return likely_split(self.base, self.price)


class Doubt(msgspec.Struct):
    """What is known of a symbol with prices that cannot be.

    ``first`` is the first of them all, ``since`` the one that began the newest doubt; ``refused`` values were not
    believed because of it. ``level`` is the newest price refused. ``stands``: in doubt now; ``closed_at`` is then
    the price refused last before the day began, None while the doubt is of today. ``told``: the alarm of today.
    """

    first: Stray
    since: Stray
    level: Decimal
    refused: int = 0
    stands: bool = False
    told: bool = False
    closed_at: Decimal | None = None


class PriceBands:
    """The band of each symbol for the day, and the symbols in doubt. Not thread-safe.

    ``bands`` is read for each value: None for a symbol whose market has no band; who is missing, or outside, has to
    be asked for by :meth:`believes`. ``base_prices`` are those of the day. At most one entry for each instrument.
    """

    __slots__ = ("_bases", "_instruments", "_limits", "bands", "changes", "doubts")

    def __init__(self, instruments: Mapping[str, Instrument], base_prices: Mapping[str, Decimal]) -> None:
        self._instruments = instruments
        self._bases = base_prices
        self._limits: dict[str, Band] = {}
        self.bands: dict[str, Band | None] = {}
        self.doubts: dict[str, Doubt] = {}
        self.changes = 0
        """Tells whether anything that a checkpoint keeps has changed."""

    def believes(self, value: MarketValue) -> bool:
        """Look at a value closely; False when it cannot be. It is counted then, and its symbol is in doubt.

        Doubt ends with the first value that fits. Once a day has closed on it, the price may have come back by
        itself, so it ends only with a value that the doubtful prices could not have reached within the day.
        """
        symbol = value.symbol
        band = self._limits.get(symbol) or self._band_of(value)
        if band is None:
            return True
        doubt = self.doubts.get(symbol)
        prices = tuple(_prices_of(value))
        stray = next((price for price in prices if not _lies(band.low, price, band.high)), None)
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
        self._refuse(value, stray, band)
        return False

    def alarm(self, symbol: str) -> str:
        """Return what to tell of ``symbol`` after a value was not believed; "" when it was told today."""
        doubt = self.doubts[symbol]
        if doubt.told:
            return ""
        doubt.told = True
        return f"{self.in_doubt(symbol)}; it values and fills nothing. {advice(doubt.since)}"

    def in_doubt(self, symbol: str) -> str:
        """Return why no price of ``symbol`` is believed at present; "" when they are."""
        doubt = self.doubts.get(symbol)
        return str(doubt.since) if doubt is not None and doubt.stands else ""

    def standing(self) -> list[str]:
        """Return why, for every symbol in doubt at present."""
        return [str(doubt.since) for doubt in self.doubts.values() if doubt.stands]

    def start_day(self) -> None:
        """Reckon with today's base prices from now on; whoever is in doubt stays so."""
        self._limits.clear()
        self.bands.clear()
        for doubt in self.doubts.values():
            doubt.told = False
            if doubt.stands:
                doubt.closed_at = doubt.level
        self.changes += 1

    def export_state(self) -> dict[str, Any]:
        plain: dict[str, Any] = msgspec.to_builtins({"limits": self._limits, "doubts": self.doubts})
        return plain

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state`; into the dictionaries that exist, the intake holds on to them."""
        self._limits = msgspec.convert(saved["limits"], dict[str, Band], strict=False)
        self.doubts.clear()
        self.doubts.update(msgspec.convert(saved["doubts"], dict[str, Doubt], strict=False))
        self.bands.clear()
        for symbol, band in self._limits.items():
            self.bands[symbol] = self._asked_by(symbol, band)

    def _refuse(self, value: MarketValue, price: Decimal, band: Band) -> None:
        symbol = value.symbol
        doubt = self.doubts.get(symbol)
        if doubt is None or not doubt.stands:
            instrument = self._instruments[symbol]
            moment = instrument.calendar.local_time(from_ns(value.ts_ns))
            low, high = _span(instrument, band.base, instrument.calendar.local_date(moment), assumed=band.assumed)
            at = f"{moment:%Y-%m-%d %H:%M:%S}"
            stray = Stray(symbol, value.ts_ns, at, price, low, high, band.base, band.assumed)
            if doubt is None:
                doubt = self.doubts[symbol] = Doubt(stray, stray, price)
            doubt.since = stray
        doubt.level = price
        doubt.refused += 1
        doubt.stands = True
        self.bands[symbol] = LOOK_CLOSELY
        self.changes += 1

    def _band_of(self, value: MarketValue) -> Band | None:
        """The band of the day, kept for it. None: there is none, or it is not known before the first price."""
        symbol = value.symbol
        instrument = self._instruments.get(symbol)
        day = date.min if instrument is None else instrument.calendar.local_date(from_ns(value.ts_ns))
        if instrument is None or instrument.ticks.band(ONE, day) is None:
            self.bands[symbol] = None
            return None
        base = self._bases.get(symbol)
        if assumed := base is None or not _is_price(base):
            # A book alone assumes nothing: its outermost levels may lie anywhere.
            base = None if isinstance(value, BookUpdate) else next(_prices_of(value), None)
            if base is None or not _is_price(base):
                return None
        assert base is not None
        band = Band(*_believed(instrument, base, day, assumed=assumed), base, assumed)
        self._limits[symbol] = band
        self.bands[symbol] = self._asked_by(symbol, band)
        self.changes += 1
        return band

    def _asked_by(self, symbol: str, band: Band) -> Band:
        doubt = self.doubts.get(symbol)
        return LOOK_CLOSELY if doubt is not None and doubt.stands else band

    def _has_returned(self, doubt: Doubt, prices: tuple[Decimal, ...], value: MarketValue) -> bool:
        if doubt.closed_at is None or not _is_price(doubt.closed_at):
            return True
        instrument = self._instruments[value.symbol]
        day = instrument.calendar.local_date(from_ns(value.ts_ns))
        low, high = _believed(instrument, doubt.closed_at, day, assumed=False)
        return not any(low <= price <= high for price in prices)


def advice(stray: Stray) -> str:
    """Return what to do about it, for the one who made the input."""
    return f"Was the share split, or did its rights go ex? Use adjusted prices, or cut the file at {stray.day}"


def likely_split(base: Decimal, price: Decimal) -> str:
    """Return the split which makes ``price`` of ``base``, new shares for old; "" when none fits."""
    if not (_is_price(base) and _is_price(price)):
        return ""
    falls = price < base
    factor = ratio(base, price) if falls else ratio(price, base)
    nearest = min(_SPLITS, key=lambda one: max(ratio(one, factor), ratio(factor, one)))
    if max(ratio(nearest, factor), ratio(factor, nearest)) > _A_DAYS_MOVE:
        return ""
    return _SPLITS[nearest][0 if falls else 1]


def doubtful_rows(bands: PriceBands) -> dict[str, dict[str, Any]]:
    """Tell every symbol that had prices which cannot be, by plain values, as results show it."""
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


def _lies(low: Decimal, price: Decimal, high: Decimal) -> bool:
    """Whether ``price`` lies in between; NaN, which cannot be compared, does not."""
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


def _span(instrument: Instrument, base: Decimal, day: date, *, assumed: bool) -> tuple[Decimal, Decimal]:
    """The day's limits; around an assumed base the outermost of all bands that hold it."""
    limits = instrument.ticks.band(base, day)
    assert limits is not None
    low, high = limits
    return (ratio(times(base, low), high), ratio(times(base, high), low)) if assumed else (low, high)


def _believed(instrument: Instrument, base: Decimal, day: date, *, assumed: bool) -> tuple[Decimal, Decimal]:
    """The limits and two steps of the grid: adjusted prices are rounded, and the band of a rounded base as well."""
    low, high = _span(instrument, base, day, assumed=assumed)
    tick = instrument.ticks.tick
    return minus(low, times(TWO, tick(low, day))), plus(high, times(TWO, tick(high, day)))
