"""The prices of a session's input, read again after it, in one pass and with bounded memory.

They give the candles of the report, the extremes of each round trip, and the closes that a benchmark is held at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from qts.clock import NS_PER_S, from_ns
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


class PriceHistory:
    """Takes the values of an input in order, once.

    ``symbols`` are those whose candles are kept; ``trips`` are the round trips whose extreme prices are wanted;
    ``length_ns`` is the session's length, from which the width of candles made of quotes and trades follows.
    ``is_known_next_day``: every value is known only on the date after its day.
    """

    def __init__(
        self,
        calendar: Calendar,
        symbols: Sequence[str],
        trips: Iterable[RoundTrip],
        length_ns: int,
        *,
        is_known_next_day: bool = False,
    ) -> None:
        self._calendar = calendar
        self._back = timedelta(days=int(is_known_next_day))
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

    def take(self, values: Iterable[MarketValue]) -> Iterator[Prices]:
        """Take ``values`` in order; yield at each session's end the last price of every symbol that had one."""
        local_date, day_ends_ns = self._calendar.local_date, 0
        day: date | None = None
        closes: dict[str, Decimal] = {}
        for value in values:
            prices = _prices_of(value)
            if prices is None:
                continue
            ts_ns = value.ts_ns
            if ts_ns >= day_ends_ns:
                today = local_date(from_ns(ts_ns)) - self._back
                if day is not None and closes and today != day:
                    yield Prices(day, closes)
                    closes = {}
                day, day_ends_ns = today, ts_ns + NS_PER_S
            symbol = value.symbol
            closes[symbol] = prices[3]
            self._keep(symbol, value, prices)
        if day is not None and closes:
            yield Prices(day, closes)

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
