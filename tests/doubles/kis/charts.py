"""Bars of the double: daily ones made from a seed back from today's base price, minutes from the tape."""

from __future__ import annotations

import random
from typing import NamedTuple

from tests.doubles.kis.clock import DoubleClock
from tests.doubles.kis.days import Days
from tests.doubles.kis.market import Market, Quotes

DAYS_BACK = 520
"""Business days for which there are bars: two years."""
LARGEST_MOVE = 0.03


class Bar(NamedTuple):
    """Prices, volume and value of a day or a minute. ``name``: the day (YYYYMMDD) or when it began (HHMM00)."""

    name: str
    open: int
    high: int
    low: int
    close: int
    volume: int
    amount: int


class Charts:
    """Bars of all listings. The series of a name is the same for a seed and a day on which the double began."""

    def __init__(self, market: Market, days: Days, clock: DoubleClock, seed: int) -> None:
        self._market, self._days, self._clock, self._seed = market, days, clock, seed
        self._past: dict[str, dict[str, Bar]] = {}
        self._minutes: dict[tuple[str, str], dict[str, Bar]] = {}
        self.splits: dict[str, list[tuple[str, int]]] = {}
        """Splits by name: the first day with the new price, and how many shares one has become."""

    def put(self, code: str, *bars: Bar) -> None:
        """Put daily bars in the place of those that were made."""
        self.past(code).update({bar.name: bar for bar in bars})

    def put_minutes(self, code: str, day: str, *bars: Bar) -> None:
        """Put bars of minutes in the place of those of the tape."""
        self._minutes.setdefault((code, day), {}).update({bar.name: bar for bar in bars})

    def past(self, code: str) -> dict[str, Bar]:
        """Return daily bars before today by day, oldest first."""
        if code not in self._past:
            self._past[code] = self._made(code)
        return self._past[code]

    def _made(self, code: str) -> dict[str, Bar]:
        listing = self._market[code]
        chance = random.Random(f"{self._seed} {code}")
        day, close = listing.origin
        found = []
        for _ in range(DAYS_BACK):
            day = self._days.after(day, -1)
            move = chance.uniform(-LARGEST_MOVE, LARGEST_MOVE)
            begin = self._on_grid(code, max(100, round(close / (1 + move))))
            high = self._on_grid(code, round(max(begin, close) * (1 + chance.uniform(0, 0.01))), up=True)
            low = self._on_grid(code, round(min(begin, close) * (1 - chance.uniform(0, 0.01))))
            volume = chance.randrange(1_000, 20_000_000)
            found.append(Bar(day, begin, high, low, close, volume, volume * (begin + close) // 2))
            close = begin
        return {bar.name: bar for bar in reversed(found)}

    def _on_grid(self, code: str, price: int, *, up: bool = False) -> int:
        step = self._market[code].step(price)
        return price + -price % step if up else price - price % step

    def daily(self, code: str, first: str, last: str, *, adjusted: bool) -> list[Bar]:
        """Return daily bars from ``first`` to ``last``, newest first; that of today once it has traded."""
        bars = dict(self.past(code))
        quotes = self._market[code].krx
        if quotes.volume:
            bars[self._clock.day] = _today(self._clock.day, quotes)
        found = [bar for day, bar in sorted(bars.items(), reverse=True) if first <= day <= last]
        if not adjusted:
            return found
        return [self._adjusted(code, bar) for bar in found]

    def _adjusted(self, code: str, bar: Bar) -> Bar:
        for day, shares in self.splits.get(code, []):
            if bar.name < day:
                bar = Bar(
                    bar.name,
                    bar.open // shares,
                    bar.high // shares,
                    bar.low // shares,
                    bar.close // shares,
                    bar.volume * shares,
                    bar.amount,
                )
        return bar

    def end_day(self, code: str, day: str) -> None:
        """Keep the bar of a day that is over."""
        quotes = self._market[code].krx
        self.past(code)
        if quotes.volume:
            self._past[code][day] = _today(day, quotes)

    def minutes(self, code: str, venue: str) -> list[Bar]:
        """Return bars of the minutes of today in which there were trades, newest first."""
        found: dict[str, Bar] = {}
        for printed in self._market[code].at(venue).tape:
            name = printed.time[:4] + "00"
            amount = printed.price * printed.qty
            bar = found.get(name)
            if bar is None:
                price = printed.price
                found[name] = Bar(name, price, price, price, price, printed.qty, amount)
            else:
                found[name] = Bar(
                    name,
                    bar.open,
                    max(bar.high, printed.price),
                    min(bar.low, printed.price),
                    printed.price,
                    bar.volume + printed.qty,
                    bar.amount + amount,
                )
        found.update(self._minutes.get((code, self._clock.day), {}))
        return [found[name] for name in sorted(found, reverse=True)]


def _today(day: str, quotes: Quotes) -> Bar:
    return Bar(day, quotes.open, quotes.high, quotes.low, quotes.last, quotes.volume, quotes.amount)
