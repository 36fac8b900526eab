"""The feed of the demo: five real years of daily figures, with generated trading days around the VIX spike of 2018.

What is known when (Korean time): a US close from 06:00 of the next calendar day; the daily bar of 005930 when order
entry opens on the next trading day; the open as a snapshot at the opening and the close at the end of the closing
auction. On the intraday days the generator's quotes and trades stand in place of the two snapshots. Halts say
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from itertools import accumulate, islice
from typing import Any, Final

import msgspec

from qts.clock import NS_PER_S, to_ns
from qts.errors import ContractError, DataError
from qts.ids import seeded
from qts.market.contracts import Bar, IndexLevel, MarketValue, Quote, VolatilityLevel
from qts.market.generate import GENERATOR_VERSION, MIN_EVENTS, intraday
from qts.market.krx import KrxCalendar, KrxTicks, krx_instrument
from qts.market.sample import SAMPLE_SYMBOL, DayBar, SampleRow, load_sample, sample_sha256
from qts.money import times, truncate_to

INDEX: Final = "S&P500"
VOLATILITY: Final = "VIX"
US_CLOSE_KNOWN_HOUR: Final = 6
"""Korean hour of the next calendar day from which a US close counts (summer and winter alike)."""
WINDOW_START: Final = date(2018, 1, 22)
WINDOW_END: Final = date(2018, 2, 28)
EVENTS_PER_DAY: Final = 10_000
GENERATED_MAX_AGE_NS: Final = 5 * NS_PER_S
SNAPSHOT_MAX_AGE_NS: Final = 15 * 60 * NS_PER_S
OPENING_VOLUME_SHARE: Final = Decimal("0.1")
"""Part of the day's volume that the opening snapshot outside the intraday days shows as traded."""


class _Known(msgspec.Struct, frozen=True):
    """One calendar day in Korea: the US row of the day before, the bars of the last and of this trading day."""

    day: date
    us: SampleRow | None
    previous: SampleRow | None
    bar: DayBar | None
    base: Decimal | None
    in_window: bool


class DemoFeed:
    """The sample table as a feed; ``start``/``end`` and the window (dates included) shorten it.

    Raises :class:`~qts.errors.ContractError` when nothing of the sample lies between ``start`` and ``end`` or when
    ``events_per_day`` is too small.
    """

    def __init__(
        self,
        seed: int,
        start: date | None = None,
        end: date | None = None,
        window_start: date = WINDOW_START,
        window_end: date = WINDOW_END,
        events_per_day: int = EVENTS_PER_DAY,
    ) -> None:
        if events_per_day < MIN_EVENTS:
            raise ContractError(f"events_per_day must be at least {MIN_EVENTS}, got {events_per_day}")
        sample = load_sample()
        first, last = start or sample[0].day, end or sample[-1].day
        traded = [row.day for row in sample if row.traded]
        self.name = "demo"
        self.source_id = (
            f"demo/{GENERATOR_VERSION} seed={seed} from={first} to={last} window={window_start}..{window_end} "
            f"events={events_per_day} sample={sample_sha256()}"
        )
        instrument = krx_instrument(SAMPLE_SYMBOL, trading_days=traded)
        self.instruments = {
            SAMPLE_SYMBOL: msgspec.structs.replace(instrument, name="Samsung Electronics", name_ko="삼성전자")
        }
        self.rows_refused: dict[str, int] = {}
        self.trading_days = tuple(day for day in traded if first <= day <= last)
        self._seed = seed
        self._events = events_per_day
        self._ticks = KrxTicks()
        self._calendar = KrxCalendar(traded)
        self._days = _known_days(sample, first, last, window_start, window_end)
        if not self._days:
            raise ContractError(
                f"the sample has nothing from {first} to {last}; it covers {sample[0].day} to {sample[-1].day}"
            )
        self._before = [0, *accumulate(self._count(known) for known in self._days)]
        self._day_index = self._value_index = 0
        self.max_age_ns = SNAPSHOT_MAX_AGE_NS
        self.declares_volatility = True
        self._enter(0)

    def values(self) -> Iterator[MarketValue]:
        """Return all values after the present position, in time order."""
        skip = self._value_index
        for index in range(self._day_index, len(self._days)):
            self._enter(index)
            for done, value in enumerate(islice(self._values_of(self._days[index]), skip, None), skip + 1):
                self._value_index = done
                yield value
            skip = 0
        self._day_index, self._value_index = len(self._days), 0

    def position(self) -> dict[str, Any]:
        """Return the index of the calendar day and the number of its values already given."""
        return {"day": self._day_index, "value": self._value_index}

    def resume(self, position: Mapping[str, Any]) -> None:
        """Move to ``position``. Raises DataError when it belongs to another input or is none."""
        day, value = position.get("day"), position.get("value")
        if not isinstance(day, int) or not isinstance(value, int) or not 0 <= day <= len(self._days):
            raise DataError(f"position {dict(position)!r} does not fit a demo of {len(self._days)} days")
        if not 0 <= value <= (self._count(self._days[day]) if day < len(self._days) else 0):
            raise DataError(f"position {dict(position)!r}: day {day} has no value {value}")
        self._enter(day)
        self._value_index = value

    def progress(self) -> float:
        """Return the share of all values already given, 0..1."""
        return (self._before[self._day_index] + self._value_index) / self._before[-1]

    @property
    def total_values(self) -> int:
        """Return how many values the whole feed has."""
        return self._before[-1]

    def _enter(self, index: int) -> None:
        self._day_index, self._value_index = index, 0
        in_window = index < len(self._days) and self._days[index].in_window
        self.max_age_ns = GENERATED_MAX_AGE_NS if in_window else SNAPSHOT_MAX_AGE_NS

    def _count(self, known: _Known) -> int:
        us = 0 if known.us is None else (known.us.sp500 is not None) + (known.us.vix is not None)
        if known.bar is None:
            return us
        return us + (known.previous is not None) + (self._events if known.in_window else 2)

    def _values_of(self, known: _Known) -> Iterator[MarketValue]:
        if known.us is not None:
            yield from self._us_levels(known.day, known.us)
        if known.bar is None:
            return
        session = self._calendar.session(known.day)
        assert session is not None, "a day with volume is a trading day"
        if known.previous is not None and known.previous.bar is not None:
            yield _daily_bar(known.previous.day, known.previous.bar, session.order_entry_ns)
        if known.in_window:
            rng = seeded(self._seed, f"demo/{known.day}")
            yield from intraday(
                SAMPLE_SYMBOL, known.bar, known.base, self._ticks, known.day, session, self._events, rng
            )
            return
        opening_volume = truncate_to(times(known.bar.volume, OPENING_VOLUME_SHARE), Decimal(1))
        yield Quote(SAMPLE_SYMBOL, session.open_ns, last=known.bar.open, volume=opening_volume)
        yield Quote(SAMPLE_SYMBOL, session.close_ns, last=known.bar.close, volume=known.bar.volume)

    def _us_levels(self, day: date, us: SampleRow) -> Iterator[MarketValue]:
        ts_ns = to_ns(self._calendar.at(day, US_CLOSE_KNOWN_HOUR))
        if us.sp500 is not None:
            yield IndexLevel(INDEX, ts_ns, us.sp500, us.day.isoformat())
        if us.vix is not None:
            yield VolatilityLevel(VOLATILITY, ts_ns, us.vix, us.day.isoformat())


def _known_days(
    sample: tuple[SampleRow, ...], first: date, last: date, window_start: date, window_end: date
) -> list[_Known]:
    """List every calendar day on which something becomes known. The base price may come from before ``first``."""
    by_day = {row.day: row for row in sample if first <= row.day <= last}
    base = next((row.bar for row in reversed(sample) if row.day < first and row.traded), None)
    days: list[_Known] = []
    previous: SampleRow | None = None
    for day in sorted({*by_day, *(day + timedelta(days=1) for day in by_day)}):
        row, us = by_day.get(day), by_day.get(day - timedelta(days=1))
        bar = row.bar if row is not None and row.traded else None
        if us is not None and us.sp500 is None and us.vix is None:
            us = None
        if us is None and bar is None:
            continue
        in_window = bar is not None and window_start <= day <= window_end
        days.append(_Known(day, us, previous if bar else None, bar, base.close if base else None, in_window))
        if bar is not None:
            previous, base = row, bar
    return days


def _daily_bar(day: date, bar: DayBar, told_ns: int) -> Bar:
    return Bar(
        SAMPLE_SYMBOL,
        told_ns,
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
        interval="1d",
        day=day.isoformat(),
    )
