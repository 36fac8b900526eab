"""A feed without any data: symbols whose daily bars are a random walk, filled in by the intraday generator.

It is the default input of ``qts run``: several KRX symbols interleaved in time order over whole regular sessions.
The codes are real so that strategies which name them find them; the prices are invented.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import islice
from operator import attrgetter
from typing import Any, Final

import msgspec

from qts.clock import NS_PER_S
from qts.errors import ContractError, DataError
from qts.ids import seeded
from qts.market.contracts import Bar, MarketValue
from qts.market.generate import GENERATOR_VERSION, MIN_EVENTS, intraday
from qts.market.krx import KrxCalendar, KrxTicks, krx_instrument
from qts.market.sample import DayBar
from qts.money import exact_quotient, plus, times

DEFAULT_SYMBOLS: Final = ("005930", "000660", "035420")
DEFAULT_DAY: Final = date(2026, 3, 3)
EVENTS_PER_DAY: Final = 20_000
MAX_AGE_NS: Final = 5 * NS_PER_S
_START_PRICES: Final = (20_000, 200_000)
_STEPS: Final = 8
_LARGEST_STEP_BP: Final = 75
_VOLUMES: Final = (300_000, 3_000_000)
_MAX_DAYS: Final = 2_500


class _Day(msgspec.Struct, frozen=True):
    day: date
    bars: dict[str, DayBar]


class SyntheticFeed:
    """``days`` trading days from ``day`` on, ``events_per_day`` values for each symbol and day, plus daily bars.

    On each day the bar of the day before comes when order entry opens, then quotes and trades follow. Raises
    :class:`~qts.errors.ContractError` for no symbols, a symbol twice or malformed, or numbers out of range.
    """

    def __init__(
        self,
        seed: int,
        symbols: Sequence[str] = DEFAULT_SYMBOLS,
        day: date = DEFAULT_DAY,
        days: int = 1,
        events_per_day: int = EVENTS_PER_DAY,
    ) -> None:
        _check(symbols, days, events_per_day)
        self.name = "synthetic"
        self.source_id = (
            f"synthetic/{GENERATOR_VERSION} seed={seed} symbols={','.join(symbols)} from={day} days={days} "
            f"events={events_per_day}"
        )
        self.max_age_ns = MAX_AGE_NS
        self.declares_volatility = False
        self.instruments = {symbol: krx_instrument(symbol) for symbol in symbols}
        self.rows_refused: dict[str, int] = {}
        self._seed, self._symbols, self._events = seed, tuple(symbols), events_per_day
        self._ticks = KrxTicks()
        self._calendar = KrxCalendar()
        self.trading_days = _trading_days(self._calendar, day, days)
        self._days = self._walk()
        self._day_index = self._value_index = 0

    def values(self) -> Iterator[MarketValue]:
        """Return all values after the present position, in time order."""
        skip = self._value_index
        for index in range(self._day_index, len(self.trading_days)):
            self._day_index, self._value_index = index, 0
            for done, value in enumerate(islice(self._values_of(index), skip, None), skip + 1):
                self._value_index = done
                yield value
            skip = 0
        self._day_index, self._value_index = len(self.trading_days), 0

    def position(self) -> dict[str, Any]:
        """Return the index of the trading day and the number of its values already given."""
        return {"day": self._day_index, "value": self._value_index}

    def resume(self, position: Mapping[str, Any]) -> None:
        """Move to ``position``. Raises DataError when it belongs to another input or is none."""
        day, value = position.get("day"), position.get("value")
        if not isinstance(day, int) or not isinstance(value, int) or not 0 <= day <= len(self.trading_days):
            raise DataError(f"position {dict(position)!r} does not fit a feed of {len(self.trading_days)} days")
        if not 0 <= value <= (self._per_day if day < len(self.trading_days) else 0):
            raise DataError(f"position {dict(position)!r}: day {day} has no value {value}")
        self._day_index, self._value_index = day, value

    def progress(self) -> float:
        """Return the share of all values already given, 0..1."""
        given = self._day_index * self._per_day + self._value_index
        return given / (len(self.trading_days) * self._per_day)

    @property
    def _per_day(self) -> int:
        return len(self._symbols) * (1 + self._events)

    def _values_of(self, index: int) -> Iterator[MarketValue]:
        """Return the values of day ``index``, from 0; its bar is ``_days[index + 1]`` (it begins a day earlier)."""
        before, today = self._days[index], self._days[index + 1]
        session = self._calendar.session(today.day)
        assert session is not None, "only trading days are walked"
        for symbol in self._symbols:
            bar = before.bars[symbol]
            yield Bar(
                symbol,
                session.order_entry_ns,
                bar.open,
                bar.high,
                bar.low,
                bar.close,
                bar.volume,
                interval="1d",
                day=before.day.isoformat(),
            )
        streams = [
            intraday(
                symbol,
                today.bars[symbol],
                before.bars[symbol].close,
                self._ticks,
                today.day,
                session,
                self._events,
                seeded(self._seed, f"synthetic/{today.day}/{symbol}"),
            )
            for symbol in self._symbols
        ]
        yield from heapq.merge(*streams, key=attrgetter("ts_ns"))

    def _walk(self) -> list[_Day]:
        """Make the daily bars of all days and of the one before the first."""
        first = self.trading_days[0] - timedelta(days=1)
        while not self._calendar.is_trading_day(first):
            first -= timedelta(days=1)
        walks = {symbol: seeded(self._seed, f"synthetic/{symbol}") for symbol in self._symbols}
        closes: dict[str, Decimal] = {
            symbol: self._ticks.round_down(Decimal(rng.randrange(*_START_PRICES)), first)
            for symbol, rng in walks.items()
        }
        days = []
        for day in (first, *self.trading_days):
            bars = {symbol: self._bar(closes[symbol], day, walks[symbol]) for symbol in self._symbols}
            closes = {symbol: bar.close for symbol, bar in bars.items()}
            days.append(_Day(day, bars))
        return days

    def _bar(self, base: Decimal, day: date, rng: random.Random) -> DayBar:
        """Make a day whose prices are a few random moves from the base price, on the grid and inside the limits."""
        lowest, highest = self._ticks.band(base, day)
        price, path = base, []
        for _ in range(_STEPS):
            step_bp = rng.randint(-_LARGEST_STEP_BP, _LARGEST_STEP_BP)
            price = min(
                max(self._ticks.round_up(plus(price, exact_quotient(times(price, step_bp), 10_000)), day), lowest),
                highest,
            )
            path.append(price)
        return DayBar(path[0], max(path), min(path), path[-1], Decimal(rng.randrange(*_VOLUMES)))


def _check(symbols: Sequence[str], days: int, events: int) -> None:
    if not symbols or len(set(symbols)) != len(symbols):
        raise ContractError(f"symbols must be one or more different codes, got {list(symbols)}")
    if not 1 <= days <= _MAX_DAYS:
        raise ContractError(f"days must be between 1 and {_MAX_DAYS}, got {days}")
    if events < MIN_EVENTS:
        raise ContractError(f"events_per_day must be at least {MIN_EVENTS}, got {events}")


def _trading_days(calendar: KrxCalendar, day: date, count: int) -> tuple[date, ...]:
    days: list[date] = []
    while len(days) < count:
        if calendar.is_trading_day(day):
            days.append(day)
        day += timedelta(days=1)
    return tuple(days)
