"""The prices of a session's input, read again after it, in one pass and with bounded memory.

They give the candles of the report, the extremes of each round trip, and the closes that a benchmark is held at.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from functools import reduce
from operator import add
from typing import Final, NamedTuple

from qts.clock import NS_PER_S, from_ns
from qts.market.bars.columns import BarColumns
from qts.market.contracts import Bar, Calendar, MarketValue, Quote, Tick
from qts.performance import Prices, RoundTrip
from qts.runtime.persistence.charts_file import Candles

MAX_CANDLES: Final = 2_000
"""Candles kept of one symbol."""
MAX_CANDLES_OF_ALL: Final = 200_000
"""Candles kept of all symbols together; where there are many symbols each has fewer."""
_FEWEST: Final = 200
_WIDTHS_S: Final = (1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 86_400)
"""Widths of a candle made of quotes or trades, in seconds."""

_EXACT_FLOATS: Final = 2**53
"""Whole numbers below it are floats without rounding."""


class CandleSeries:
    """The candles of one symbol: at most ``most``, each of ``span`` bars or spans of time in a row."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.span = 1
        self.count = 0
        self._in_last = 0
        self._key: int | None = None
        self._rows: list[list[float]] = []
        self._times: list[int] = []

    def add(self, key: int, ts_ns: int, prices: tuple[float, float, float, float], volume: float) -> None:
        """Add open, high, low and close of the base candle ``key``; the same key again extends it."""
        opened, high, low, close = prices
        if key != self._key:
            self._key = key
            self.count += 1
            if self._in_last == self.span or not self._rows:
                self._append(ts_ns, [opened, high, low, close, volume])
                return
            self._in_last += 1
        row = self._rows[-1]
        self._times[-1] = ts_ns
        row[1], row[2], row[3] = max(row[1], high), min(row[2], low), close
        row[4] += volume

    def add_bars(self, bars: BarColumns) -> None:
        """Add all bars of a symbol at once, each as a base candle of its own; for a series that has none yet."""
        opened, high, low, close = (_floats(column, bars.price_decimals) for column in bars.prices)
        volume = _floats(bars.volume, bars.size_decimals)
        times, at, self.count = bars.known_ns, 0, len(bars)
        if not bars.size_decimals and sum(bars.volume) < _EXACT_FLOATS:  # they add up to the same in any order
            while self._most * self.span < len(bars):
                self.span *= 2
        while at < len(bars):
            if self._in_last < self.span and self._rows:  # it was halved into an odd number
                row, end = self._rows[-1], min(at + self.span - self._in_last, len(bars))
                self._in_last += end - at
                self._times[-1] = times[end - 1]
                row[1], row[2] = max(row[1], *high[at:end]), min(row[2], *low[at:end])
                row[3], row[4] = close[end - 1], reduce(add, volume[at:end], row[4])
                at = end
            elif len(self._rows) >= self._most:
                self._halve()
            else:
                end = min(at + self.span, len(bars))
                prices = [opened[at], max(high[at:end]), min(low[at:end]), close[end - 1]]
                self._rows.append([*prices, reduce(add, volume[at:end])])
                self._times.append(times[end - 1])
                self._in_last, at = end - at, end

    def candles(self, symbol: str) -> Candles:
        """Return the candles as they are stored."""
        opened, high, low, close, volume = (list(part) for part in zip(*self._rows, strict=True))
        return Candles(
            symbol=symbol,
            span=self.span,
            times_ns=self._times,
            open=opened,
            high=high,
            low=low,
            close=close,
            volume=volume,
        )

    def _append(self, ts_ns: int, row: list[float]) -> None:
        if len(self._rows) >= self._most:
            self._halve()
            if self._in_last < self.span:  # the last one has room again
                self._in_last += 1
                last = self._rows[-1]
                self._times[-1] = ts_ns
                last[1], last[2], last[3] = max(last[1], row[1]), min(last[2], row[2]), row[3]
                last[4] += row[4]
                return
        self._rows.append(row)
        self._times.append(ts_ns)
        self._in_last = 1

    def _halve(self) -> None:
        """Put every two candles in a row together."""
        is_odd = len(self._rows) % 2 == 1
        merged, times = [], []
        for place in range(0, len(self._rows), 2):
            pair = self._rows[place : place + 2]
            first, last = pair[0], pair[-1]
            volume = sum(row[4] for row in pair)
            merged.append([first[0], max(row[1] for row in pair), min(row[2] for row in pair), last[3], volume])
            times.append(self._times[place + len(pair) - 1])
        self._in_last = self.span if is_odd else 2 * self.span
        self._rows, self._times = merged, times
        self.span *= 2


class LastPrice(NamedTuple):
    """The last price in a value of the input, and when it was known (ns)."""

    ts_ns: int
    symbol: str
    price: Decimal


class PriceHistory:
    """Takes the values of an input in order, once.

    ``symbols`` are those whose candles are kept; ``trips`` are the round trips whose extreme prices are wanted;
    ``length_ns`` is the session's length, from which the width of candles made of quotes and trades follows.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        trips: Iterable[RoundTrip],
        length_ns: int,
    ) -> None:
        most = max(min(MAX_CANDLES, MAX_CANDLES_OF_ALL // max(len(symbols), 1)), _FEWEST)
        self._candles = {symbol: CandleSeries(most) for symbol in symbols}
        self._width_ns = NS_PER_S * next(
            (width for width in _WIDTHS_S if width * NS_PER_S * MAX_CANDLES >= length_ns), _WIDTHS_S[-1]
        )
        self._waiting: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for trip in trips:
            self._waiting[trip.symbol].append((trip.begun_ns, trip.ended_ns))
        for spans in self._waiting.values():
            spans.sort(reverse=True)
        self._running: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._finer: set[str] = set()  # symbols with quotes or trades, whose fills are in none of their bars
        self._extremes: dict[tuple[str, int, int], tuple[Decimal, Decimal]] = {}

    def take(self, values: Iterable[MarketValue]) -> Iterator[LastPrice]:
        """Take ``values`` in order; yield the last price in each that has one, for :func:`prices_by_session`."""
        for value in values:
            prices = _prices_of(value)
            if prices is not None:
                self._keep(value.symbol, value, prices)
                yield LastPrice(value.ts_ns, value.symbol, prices[3])

    def take_bars(self, series: Iterable[BarColumns]) -> None:
        """Take an input that is bars alone, of each symbol one series; in place of :meth:`take`, and faster."""
        for bars in series:
            candles = self._candles.get(bars.symbol)
            if candles is not None and len(bars):
                candles.add_bars(bars)
            for begun_ns, ended_ns in self._waiting.pop(bars.symbol, ()):
                found = _range_in(bars, begun_ns, ended_ns)
                if found is not None:
                    self._extremes[bars.symbol, begun_ns, ended_ns] = found

    def range_of(self, symbol: str, begun_ns: int, ended_ns: int) -> tuple[Decimal, Decimal] | None:
        """Return the lowest and the highest price between two times of a trip (ns); None when none was seen."""
        return self._extremes.get((symbol, begun_ns, ended_ns))

    def candles(self) -> list[Candles]:
        """Return the candles of every symbol that had a price."""
        return [series.candles(symbol) for symbol, series in self._candles.items() if series.count]

    def _keep(self, symbol: str, value: MarketValue, prices: tuple[Decimal, Decimal, Decimal, Decimal]) -> None:
        series = self._candles.get(symbol)
        if series is not None:
            is_bar = isinstance(value, Bar)
            key = -1 - series.count if is_bar else value.ts_ns // self._width_ns  # every bar is one of its own
            volume = float(value.volume) if isinstance(value, Bar) else 0.0
            opened, high, low, close = map(float, prices)
            series.add(key, value.ts_ns, (opened, high, low, close), volume)
        if self._waiting.get(symbol) or self._running.get(symbol):
            if not isinstance(value, Bar):
                self._finer.add(symbol)
            self._extend(symbol, value.ts_ns, prices)

    def _extend(self, symbol: str, ts_ns: int, prices: tuple[Decimal, Decimal, Decimal, Decimal]) -> None:
        """Extend the extremes of the trips that run at ``ts_ns``; in the bar where one ends only its open counts.

        A fill in a bar has the time at which the bar is known, or one shortly before it, on the bar's own day.
        """
        waiting, running = self._waiting[symbol], self._running[symbol]
        while waiting and waiting[-1][0] <= ts_ns:
            running.append(waiting.pop())
        is_bar = symbol not in self._finer
        for span in list(running):
            begun_ns, ended_ns = span
            key = (symbol, begun_ns, ended_ns)
            if ts_ns > ended_ns or (is_bar and ts_ns == ended_ns):
                running.remove(span)
                if not is_bar:
                    continue
            low, high = (prices[0], prices[0]) if ts_ns >= ended_ns > begun_ns else (prices[2], prices[1])
            known = self._extremes.get(key)
            self._extremes[key] = (low, high) if known is None else (min(known[0], low), max(known[1], high))


def prices_by_session(
    prices: Iterable[LastPrice], calendar: Calendar, *, is_known_next_day: bool = False
) -> Iterator[Prices]:
    """Yield at each session's end the last price of every symbol that had one; ``prices`` are in order of time.

    ``is_known_next_day``: every value is known only on the date after its day.
    """
    back, day_ends_ns = timedelta(days=int(is_known_next_day)), 0
    day: date | None = None
    closes: dict[str, Decimal] = {}
    for ts_ns, symbol, price in prices:
        if ts_ns >= day_ends_ns:
            today = calendar.local_date(from_ns(ts_ns)) - back
            if day is not None and today != day:
                yield Prices(day, closes)
                closes = {}
            day, day_ends_ns = today, ts_ns + NS_PER_S
        closes[symbol] = price
    if day is not None:
        yield Prices(day, closes)


def _range_in(bars: BarColumns, begun_ns: int, ended_ns: int) -> tuple[Decimal, Decimal] | None:
    """Return the lowest and the highest price of a trip; of the bar in which it ends only the open counts.

    Of a trip that begins and ends in one bar it is the range of that bar; None: no bar is known after its begin.
    """
    first, last = bisect_left(bars.known_ns, begun_ns), bisect_left(bars.known_ns, ended_ns)
    opened, high, low = bars.prices[:3]
    lows, highs = list(low[first:last]), list(high[first:last])
    if last < len(bars):
        lows.append(opened[last] if ended_ns > begun_ns else low[last])
        highs.append(opened[last] if ended_ns > begun_ns else high[last])
    return (bars.price(min(lows)), bars.price(max(highs))) if lows else None


def _floats(numbers: Sequence[int], decimals: int) -> Sequence[float]:
    """Return multiples of 10 to the power of minus ``decimals`` as the nearest floats."""
    scale = 10**decimals
    return [number / scale for number in numbers]


def _prices_of(value: MarketValue) -> tuple[Decimal, Decimal, Decimal, Decimal] | None:
    """Return open, high, low and close of a value; None for one without a price."""
    if isinstance(value, Bar):
        return (value.open, value.high, value.low, value.close)
    if isinstance(value, Tick):
        return (value.price,) * 4
    if isinstance(value, Quote):
        price = value.mid
        return None if price is None else (price,) * 4
    return None


def symbols_by_use(counts: Mapping[str, int], all_symbols: Iterable[str]) -> list[str]:
    """Return the symbols to draw: the traded ones, the most often traded first; if none was, the first one."""
    used = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))
    return used or list(all_symbols)[:1]
