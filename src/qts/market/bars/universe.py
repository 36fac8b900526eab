"""From the rows of all files to one series a symbol: instruments, one interval, sessions, known times."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from datetime import date, tzinfo
from functools import partial
from itertools import compress, islice, pairwise
from operator import ge, gt, lt

import msgspec

from qts.errors import DataError
from qts.market.bars.columns import BarColumns
from qts.market.bars.intervals import interval_of
from qts.market.bars.known_times import KnownTimes
from qts.market.bars.table import Numbers, RawBars
from qts.market.contracts import Instrument
from qts.market.files.refusals import NO_TRADE, UNKNOWN_SYMBOL, Refusals, RowRefused
from qts.market.files.remedies import refusals_text, remedy_for, sentence_of
from qts.market.files.symbols import Grid, SymbolTable
from qts.market.files.times import LATEST_NS
from qts.market.krx import KrxCalendar
from qts.market.series.intervals import DAY, Interval
from qts.money import power_of_ten


def put_in_order(raw: RawBars) -> bool:
    """Bring the oldest row of a file first; return whether the newest was.

    Raises DataError for rows in no order and for two of one time.
    """
    times = raw.stamps.sortable
    if all(map(lt, times, islice(times, 1, None))):
        return False
    if all(map(gt, times, islice(times, 1, None))):
        raw.reverse()
        return True
    seen: dict[int, int] = {}
    for at, time in enumerate(times):
        if time in seen:
            raise DataError(
                f"{raw.place(at)}: a second bar of {raw.symbol or 'the symbol'} at the time of line "
                f"{raw.lines[seen[time]]}; leave one of the two out"
            )
        seen[time] = at
    falls = times[0] > times[-1]
    wrong = next(at for at, (one, other) in enumerate(pairwise(times), 1) if (other > one) is falls)
    raise DataError(
        f"{raw.place(wrong)}: out of order; sort the rows by date, all oldest first or all newest first"
    )


def series_of(
    raws: Sequence[RawBars], table: SymbolTable, zone: tzinfo | None, refusals: Refusals
) -> list[BarColumns]:
    """Return the series of all symbols by symbol, and put their instruments into ``table``.

    ``zone`` is the declared time zone. Days on which nothing traded go to ``refusals``. Raises DataError for what
    makes no series: unknown symbols, overlapping files of one symbol, two intervals, files without a common day.
    """
    joined = [_joined(raws) for raws in _by_symbol(raws, table).values()]
    interval = _one_interval(joined)
    _set_trading_days(joined, interval, table.instruments)
    markets: dict[str, KnownTimes] = {}
    series = []
    for raw in joined:
        calendar = table.instruments[raw.symbol].calendar
        times = markets.setdefault(calendar.name, KnownTimes(calendar, zone))
        one = _series(raw, interval, times, refusals)
        if one is not None:
            series.append(one)
    if not series:
        raise DataError(f"{joined[0].file}: no bar with a volume; {refusals_text(refusals)}")
    series.sort(key=lambda one: one.symbol)
    _require_overlap(series)
    return series


def _by_symbol(raws: Iterable[RawBars], table: SymbolTable) -> dict[str, list[RawBars]]:
    """Return the rows by the symbols under which they trade. Raises DataError for a symbol that cannot be used."""
    found: dict[str, list[RawBars]] = {}
    for raw in raws:
        grid = Grid()
        grid.trades.add(_step(raw.prices))
        grid.sizes.add(_step(raw.volume))
        try:
            symbol = table.admit(raw.symbol, partial(_same, grid))
        except RowRefused as refused:
            remedy = sentence_of(refused.remedy or remedy_for(UNKNOWN_SYMBOL, raw.symbol))
            raise DataError(
                f"{raw.file}: the symbol {raw.symbol!r} cannot be traded in this account; {remedy}"
            ) from None
        raw.symbol = symbol
        found.setdefault(symbol, []).append(raw)
    return found


def _same(grid: Grid) -> Grid:
    return grid


def _step(numbers: Numbers) -> str:
    """Return the step of columns of numbers as a number, such as 0.01."""
    return f"{power_of_ten(-numbers.decimals):f}"


def _joined(raws: list[RawBars]) -> RawBars:
    """Return the rows of one symbol as one series. Raises DataError where its files overlap."""
    raws.sort(key=lambda raw: raw.stamps.sortable[0])
    first = raws[0]
    for raw in raws[1:]:
        both = f"{first.file} and {raw.file} are both of {first.symbol}"
        if bool(raw.stamps.utc) is not bool(first.stamps.utc):
            raise DataError(f"{both}, and only one has times with an offset from UTC; give both in one form")
        if raw.stamps.sortable[0] <= first.stamps.sortable[-1]:
            raise DataError(f"{both} and overlap in time; leave one out, or cut the rows that are in both")
        if (raw.adjusted is None) is not (first.adjusted is None):
            raise DataError(
                f"{both}, and only one has an adjusted close, so the factors of the other are not known; add the "
                "column or leave it out"
            )
        first.append(raw)
    return first


def _one_interval(raws: Sequence[RawBars]) -> Interval:
    """Return the interval of all series. Raises DataError when they have several."""
    intervals = [interval_of(raw.stamps.sortable, raw.place) for raw in raws]
    for interval, raw in zip(intervals, raws, strict=True):
        if interval != intervals[0]:
            raise DataError(
                f"{raws[0].file} has bars of {intervals[0].name}, {raw.file} of {interval.name}; a run has one "
                "interval: leave some files out"
            )
    return intervals[0]


def _set_trading_days(raws: Sequence[RawBars], interval: Interval, instruments: dict[str, Instrument]) -> None:
    """Let the days with volume in daily Korean bars be the trading days of their calendar.

    Its own rows do not list every closed day of every year.
    """
    if interval.name != DAY:
        return
    days: set[int] = set()
    for raw in raws:
        calendar = instruments[raw.symbol].calendar
        if isinstance(calendar, KrxCalendar):
            ordinals = KnownTimes(calendar, None).days(raw.stamps, interval)
            days.update(compress(ordinals, raw.volume.columns[0]))
    if not days:
        return
    of_data = KrxCalendar(map(date.fromordinal, days))
    for symbol, instrument in instruments.items():
        if isinstance(instrument.calendar, KrxCalendar):
            instruments[symbol] = msgspec.structs.replace(instrument, calendar=of_data)


def _series(raw: RawBars, interval: Interval, times: KnownTimes, refusals: Refusals) -> BarColumns | None:
    """Return the series of one symbol; None when nothing of it traded."""
    days = times.days(raw.stamps, interval)
    if not interval.is_intraday and times.has_hours:
        days = _traded_days(raw, days, refusals)
        if not days:
            return None
    known = times.known(raw.stamps, interval, days, raw.file)
    if any(map(ge, known, islice(known, 1, None))):
        at = next(at for at, (one, other) in enumerate(pairwise(known), 1) if one >= other)
        raise DataError(f"{raw.place(at)}: a second bar of one {interval.name}; leave one of the two out")
    if known[-1] >= LATEST_NS:
        raise DataError(f"{raw.place(len(raw) - 1)}: a bar after the year 2199; correct its date")
    return BarColumns(
        raw.symbol,
        interval.name,
        known,
        days,
        tuple(raw.prices.columns),
        raw.prices.decimals,
        raw.volume.columns[0],
        raw.volume.decimals,
        raw.files,
        None if raw.adjusted is None else raw.adjusted.columns[0],
        0 if raw.adjusted is None else raw.adjusted.decimals,
    )


def _traded_days(raw: RawBars, days: array[int], refusals: Refusals) -> array[int]:
    """Leave out the rows of ``raw`` in which nothing traded, and return the days of the others."""
    flags = list(map(bool, raw.volume.columns[0]))
    if all(flags):
        return days
    for at, (traded, day) in enumerate(zip(flags, days, strict=True)):
        if not traded:
            value = f"{raw.symbol} {date.fromordinal(day)}: volume 0"
            refusals.add(NO_TRADE, raw.lines[at], value, file=raw.file)
    raw.keep(flags)
    return array("l", compress(days, flags))


def _require_overlap(series: Sequence[BarColumns]) -> None:
    """Raise DataError where the symbols fall into groups without a day in common."""
    ordered = sorted(series, key=lambda one: one.known_ns[0])
    latest = ordered[0]
    for one in ordered[1:]:
        if one.known_ns[0] > latest.known_ns[-1]:
            raise DataError(
                f"the files do not overlap: {latest.symbol} ends on {latest.last_day} and {one.symbol} begins on "
                f"{one.first_day}; give files of one period, or run them one by one"
            )
        if one.known_ns[-1] > latest.known_ns[-1]:
            latest = one
