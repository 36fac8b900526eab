"""A seeded generator of one trading day: quotes and trades that add up exactly to a given daily bar.

What it promises for every valid day: the first trade is the open, at the opening; the last trade is the close,
at the end of the closing auction, and the only one of that auction; high and low are traded; the sizes sum to the
volume; every trade is on the grid, inside low..high and at the bid or ask quoted just before it; quotes are never
crossed or locked. A side that the price limits or zero leave no room for is None.

How it moves: a fair value, measured in grid levels above the low, is a bridge from waypoint to waypoint (open,
high and low in some order, close) plus noise that reverts to it, so that there is something to scalp. Quoted are
the levels below and above it. Only arithmetic that IEEE 754 makes exact is used: a seed gives the same day on
every machine.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Final

from qts.errors import ContractError
from qts.market.contracts import Quote, Tick, TickRule
from qts.market.krx import Session
from qts.market.sample import DayBar
from qts.money import minus, plus, times

GENERATOR_VERSION: Final = 2
"""Part of every source id: raise it when the same seed would give other values."""
MIN_EVENTS: Final = 16
_MAX_LEVELS: Final = 20_000
_TRADE_SHARE: Final = 0.4
_WIDE_SHARE: Final = 0.08
_OPEN_AUCTION_PCT: Final = 3
_CLOSE_AUCTION_PCT: Final = 8
_REVERSION: Final = 0.01
_NOISE_OF_RANGE: Final = 0.12
_WANDER_OF_RANGE: Final = 0.3
_NOISE_LEVELS: Final = (0.7, 8.0)
_UNIFORM_TO_UNIT: Final = 3.4641016151377544  # a uniform number of width 1 times this has deviation 1
_BELOW_CLOSE_NS: Final = 1_000_000
_TIME_POINTS: Final = 256
_JUST_BELOW: Final = Decimal("0.999999999")


def intraday(
    symbol: str,
    bar: DayBar,
    previous_close: Decimal | None,
    ticks: TickRule,
    day: date,
    session: Session,
    events: int,
    rng: random.Random,
) -> Iterator[Quote | Tick]:
    """Return exactly ``events`` values of one day in time order, from the opening to the end of the closing
    auction.

    ``previous_close`` sets the price limits (None: no limits). A day of a single share has one trade, at the
    opening. Raises :class:`~qts.errors.ContractError`, at the call, for a bar that no day can have: off the grid,
    high below another price, prices outside the limits, a volume that is not whole or too small for its prices.
    """
    if events < MIN_EVENTS:
        raise ContractError(f"events must be at least {MIN_EVENTS}, got {events}")
    levels = _Levels(bar, previous_close, ticks, day)
    return _Day(symbol, levels, _whole_volume(bar), session, events, rng).values()


class _Levels:
    """The grid prices of a day: index 0 is the low, ``top`` the high; one more on either side, or None."""

    __slots__ = ("close", "open", "prices", "top")

    def __init__(self, bar: DayBar, previous_close: Decimal | None, ticks: TickRule, day: date) -> None:
        lowest, highest = _checked_band(bar, previous_close, ticks, day)
        inside = _grid(bar, ticks, day)
        below: Decimal | None = minus(bar.low, ticks.tick(times(bar.low, _JUST_BELOW), day))
        above: Decimal | None = plus(bar.high, ticks.tick(bar.high, day))
        if below is not None and (below <= 0 or (lowest is not None and below < lowest)):
            below = None
        if above is not None and highest is not None and above > highest:
            above = None
        self.prices: list[Decimal | None] = [*inside, above, below]  # prices[-1] is the one below the low
        self.top = len(inside) - 1
        self.open = inside.index(bar.open)
        self.close = inside.index(bar.close)


class _Day:
    """The walk through one day; every method gives values in time order and moves ``_ts`` on."""

    __slots__ = (
        "_ask",
        "_bid",
        "_count",
        "_done",
        "_extra_quotes",
        "_extra_trades",
        "_fair",
        "_last",
        "_levels",
        "_mean_size",
        "_next_size",
        "_noise",
        "_noise_step",
        "_rng",
        "_session",
        "_sizes",
        "_symbol",
        "_times",
        "_ts",
        "_wander",
    )

    def __init__(
        self, symbol: str, levels: _Levels, volume: int, session: Session, events: int, rng: random.Random
    ) -> None:
        self._symbol, self._levels, self._session, self._rng = symbol, levels, session, rng
        forced = _forced_trades(levels, volume)
        self._count = (
            events - 2 - (1 if volume > 1 else 0)
        )  # the opening pair and the closing trade have their times
        free = events - forced - (forced if volume > 1 else 2)  # each forced trade has its quote
        self._extra_trades = min(volume - forced, int(free * _TRADE_SHARE))
        self._extra_quotes = free - self._extra_trades
        self._sizes = _sizes(volume, forced + self._extra_trades, rng)
        self._mean_size = max(1, volume // len(self._sizes))
        deviation = min(max(_NOISE_OF_RANGE * levels.top, _NOISE_LEVELS[0]), _NOISE_LEVELS[1])
        self._noise_step = deviation * math.sqrt(2 * _REVERSION) * _UNIFORM_TO_UNIT
        self._wander = _WANDER_OF_RANGE * levels.top / math.sqrt(self._extra_quotes + 1) * _UNIFORM_TO_UNIT
        self._fair, self._noise = float(levels.open), 0.0
        self._bid = self._ask = 0
        self._done = self._next_size = 0
        self._last: Decimal | None = None
        self._times = _busy_times()
        self._ts = session.open_ns

    def values(self) -> Iterator[Quote | Tick]:
        levels = self._levels
        single = len(self._sizes) == 1
        yield self._quote_with(levels.open)
        yield self._trade(levels.open, None)
        for target, share in self._waypoints():
            yield from self._stretch(target, share)
            self._tick_clock()
            yield self._quote_with(target)
            if share < 1.0:
                self._tick_clock()
                yield self._trade(target, self._bid == target)
        if not single:
            self._ts = self._session.close_ns
            yield self._trade(levels.close, None)

    def _waypoints(self) -> list[tuple[int, float]]:
        """List the levels to reach, in order, with each one's share of the free events left; the close is last."""
        levels, rng = self._levels, self._rng
        ends = (levels.open, levels.close)
        extremes = [level for level in sorted({0, levels.top}) if level not in ends]
        low_first_chance = 0.75 if levels.close >= levels.open else 0.25
        if len(extremes) == 2 and rng.random() >= low_first_chance:
            extremes.reverse()
        return [*((level, 0.15 + 0.45 * rng.random()) for level in extremes), (levels.close, 1.0)]

    def _stretch(self, target: int, share: float) -> Iterator[Quote | Tick]:
        """Yield the free events on the way to ``target``: trades and quotes in random order."""
        random_, trades, quotes = self._rng.random, self._extra_trades, self._extra_quotes
        if share < 1.0:
            trades, quotes = int(trades * share), int(quotes * share)
        self._extra_trades -= trades
        self._extra_quotes -= quotes
        while trades or quotes:
            self._tick_clock()
            if random_() * (trades + quotes) < trades:
                trades -= 1
                yield self._free_trade()
            else:
                yield self._free_quote(target, quotes)
                quotes -= 1

    def _tick_clock(self) -> None:
        """Move to the time of the next event of the continuous session: busier near both ends, never equal."""
        self._done += 1
        place = (self._done - self._rng.random()) / self._count * _TIME_POINTS
        index = min(int(place), _TIME_POINTS - 1)
        start = self._times[index]
        share = start + (place - index) * (self._times[index + 1] - start)
        opening = self._session.open_ns
        ts = opening + int(share * (self._session.closing_auction_ns - _BELOW_CLOSE_NS - opening))
        self._ts = ts if ts > self._ts else self._ts + 1

    def _free_quote(self, target: int, left: int) -> Quote:
        random_, top = self._rng.random, self._levels.top
        self._fair += (target - self._fair) / left + self._wander * (random_() - 0.5)
        self._noise += self._noise_step * (random_() - 0.5) - _REVERSION * self._noise
        value = self._fair + (self._noise if left > 50 else self._noise * left / 50)
        if value < 0:  # turned back inside, with half its force
            value *= -0.5
        elif value > top:
            value = top - (value - top) * 0.5
        bid = math.floor(min(max(value, -0.5), top + 0.5))
        wide = bid >= 0 and bid + 2 <= top and random_() < _WIDE_SHARE
        return self._quote(bid, bid + 2 if wide else bid + 1)

    def _quote_with(self, level: int) -> Quote:
        """Return a quote that has ``level`` as one of its sides: the bid at the low, the ask at the high."""
        if self._levels.top == 0 or 0 < level < self._levels.top:
            bid = level - self._rng.randrange(2)
        else:
            bid = level - 1 if level else 0
        self._fair, self._noise = float(level), 0.0
        return self._quote(bid, bid + 1)

    def _quote(self, bid: int, ask: int) -> Quote:
        prices, random_ = self._levels.prices, self._rng.random
        self._bid, self._ask = bid, ask
        bid_price, ask_price = prices[bid], prices[ask]
        floor_ = self._sizes[self._next_size] if self._next_size < len(self._sizes) else 1
        mean = self._mean_size
        return Quote(
            self._symbol,
            self._ts,
            bid_price,
            ask_price,
            None if bid_price is None else Decimal(floor_ + int(mean * _displayed(random_()))),
            None if ask_price is None else Decimal(floor_ + int(mean * _displayed(random_()))),
            self._last,
        )

    def _free_trade(self) -> Tick:
        """Return a trade at one side of the present quote, inside low..high."""
        at_ask = self._bid < 0 or (self._ask <= self._levels.top and self._rng.random() < 0.5)
        return self._trade(self._ask, False) if at_ask else self._trade(self._bid, True)

    def _trade(self, level: int, buyer_is_maker: bool | None) -> Tick:
        price = self._levels.prices[level]
        assert price is not None
        self._last = price
        size = self._sizes[self._next_size]
        self._next_size += 1
        return Tick(self._symbol, self._ts, price, Decimal(size), buyer_is_maker)


def _checked_band(
    bar: DayBar, previous_close: Decimal | None, ticks: TickRule, day: date
) -> tuple[Decimal | None, Decimal | None]:
    for name in ("open", "high", "low", "close"):
        price = getattr(bar, name)
        if not ticks.is_valid(price, day):
            raise ContractError(f"{day}: {name} {price} is not on the tick grid")
    if not (bar.low <= bar.open <= bar.high and bar.low <= bar.close <= bar.high):
        raise ContractError(f"{day}: open {bar.open} and close {bar.close} must lie in {bar.low}..{bar.high}")
    band = ticks.band(previous_close, day) if previous_close is not None else None
    if band is None:
        return None, None
    if bar.low < band[0] or bar.high > band[1]:
        raise ContractError(f"{day}: {bar.low}..{bar.high} leaves the price limits {band[0]}..{band[1]}")
    return band


def _whole_volume(bar: DayBar) -> int:
    """Return the volume in shares. It must be enough for one share at each price that has to trade."""
    volume = int(bar.volume)
    if volume != bar.volume or volume < 1:
        raise ContractError(f"volume must be whole shares above 0, got {bar.volume}")
    flat = bar.low == bar.high
    needed = 1 if flat else 2 + len({bar.low, bar.high} - {bar.open, bar.close})
    if volume < needed:
        raise ContractError(f"volume {volume} cannot trade all of open, high, low and close: needs {needed}")
    return volume


def _grid(bar: DayBar, ticks: TickRule, day: date) -> list[Decimal]:
    """List every grid price from low to high, both included."""
    prices = [bar.low]
    while prices[-1] < bar.high:
        prices.append(plus(prices[-1], ticks.tick(prices[-1], day)))
        if len(prices) > _MAX_LEVELS:
            raise ContractError(f"{day}: {bar.low}..{bar.high} spans more than {_MAX_LEVELS} ticks")
    return prices


def _forced_trades(levels: _Levels, volume: int) -> int:
    """Count the trades that must happen: open, close (when there is a second share), untouched extremes."""
    if volume == 1:
        return 1
    return 2 + len({0, levels.top} - {levels.open, levels.close})


def _sizes(volume: int, trades: int, rng: random.Random) -> list[int]:
    """Draw whole positive sizes of all trades in order, summing to ``volume``: big auctions, a U over the day."""
    if trades == 1:
        return [volume]
    weights = [_weight(_busyness(index / trades), rng.random()) for index in range(trades)]
    total = sum(weights)
    weights[0], weights[-1] = total * _OPEN_AUCTION_PCT // 100, total * _CLOSE_AUCTION_PCT // 100
    total, spread = sum(weights), volume - trades
    sizes = [1 + spread * weight // total for weight in weights]
    sizes[-1] += volume - sum(sizes)
    return sizes


def _weight(busyness: float, chance: float) -> int:
    """Trade sizes are skewed as in real tapes: the median is a small part of the mean."""
    return int(1_000 * busyness / (0.0005 + chance * chance))


def _displayed(chance: float) -> float:
    """Draw the size at a price beyond the next trade, in mean trade sizes: mostly little, seldom much."""
    return 8.0 * chance**6


def _busyness(place: float) -> float:
    """Return how much is traded at ``place`` 0..1 of the day, in proportion."""
    odd = 2 * place - 1
    return 0.5 + 1.5 * odd * odd


@cache
def _busy_times() -> tuple[float, ...]:
    """Return the inverse of the share of events by a time of day: density 0.8 + 0.6 (2x − 1)², U-shaped."""
    return tuple(_time_of(index / _TIME_POINTS) for index in range(_TIME_POINTS + 1))


def _time_of(share: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        odd = 2 * middle - 1
        if 0.8 * middle + 0.1 * (odd * odd * odd + 1) < share:
            low = middle
        else:
            high = middle
    return high
