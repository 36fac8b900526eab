"""The interval of bars, seen from the distances of their times; two intervals in one series are an error."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from operator import sub
from typing import Final

from qts.errors import DataError
from qts.market.series.intervals import DAY, DAY_NS, HOUR_NS, MONTH, WEEK, Interval, length_name

_NEARLY_A_DAY_NS: Final = 20 * HOUR_NS
_MONTH_DAYS: Final = range(28, 32)
_WEEK_DAYS: Final = 7
_SHORTEST: Final = {WEEK: 5, MONTH: 25}
"""Days between two bars of the interval at least: a bar may carry the last trading day of its week."""
_RUN_OF_DATES: Final = 4
_RUN_OF_TIMES: Final = 10
"""So many equal longer distances in a row are no gaps but another interval."""


def interval_of(walls: Sequence[int], place: Callable[[int], str]) -> Interval:
    """Return the interval of a series with the rising times ``walls`` (ns on their own clock).

    ``place`` names the file and line of a row. Raises DataError where the times show two intervals or none.
    """
    gaps = list(map(sub, islice(walls, 1, None), walls))
    if not gaps:
        if walls and walls[0] % DAY_NS == 0:
            return Interval(DAY, DAY_NS)
        raise DataError(f"{place(0)}: one bar with a time shows no interval; give at least two bars")
    counts = Counter(gaps)
    common = counts.most_common(1)[0][0]
    if common >= _NEARLY_A_DAY_NS or sorted(gaps)[len(gaps) // 2] >= _NEARLY_A_DAY_NS:
        _require_days(gaps, place)
        days = {gap: round(gap / DAY_NS) for gap in counts}
        return _of_dates(list(map(days.__getitem__, gaps)), place)
    return _of_times(gaps, common, place)


def _require_days(gaps: Sequence[int], place: Callable[[int], str]) -> None:
    """Raise DataError where bars of a day and bars within a day stand in one series."""
    if min(gaps) < _NEARLY_A_DAY_NS:
        at = next(at for at, gap in enumerate(gaps) if gap < _NEARLY_A_DAY_NS)
        raise _two(place(at + 1), length_name(gaps[at]), "a day or more")


def _of_dates(days: Sequence[int], place: Callable[[int], str]) -> Interval:
    counts = Counter(days)
    months = sum(counts[length] for length in _MONTH_DAYS)
    if min(days) < _SHORTEST[WEEK] and counts[_WEEK_DAYS] + months <= len(days) // 2:
        name, length = DAY, 1
    elif months > len(days) // 2:
        name, length = MONTH, 31
    elif counts[_WEEK_DAYS] > len(days) // 2 or (len(days) < _RUN_OF_DATES and set(days) == {_WEEK_DAYS}):
        name, length = WEEK, 7
    else:
        name, length = DAY, 1
    if name in _SHORTEST:
        short = next((at for at, gap in enumerate(days) if gap < _SHORTEST[name]), None)
        if short is not None:
            raise _two(place(short + 1), f"{days[short]}d", name)
    else:
        for lengths, other in ((range(_WEEK_DAYS, _WEEK_DAYS + 1), WEEK), (_MONTH_DAYS, MONTH)):
            is_rare = sum(counts[length] for length in lengths) < _RUN_OF_DATES
            at = None if is_rare else _run([gap in lengths for gap in days], _RUN_OF_DATES)
            if at is not None:
                raise _two(place(at + 1), other, name)
    return Interval(name, length * DAY_NS)


def _of_times(gaps: Sequence[int], common: int, place: Callable[[int], str]) -> Interval:
    shortest = min(gaps)
    if shortest != common and any(gap % shortest for gap in gaps):
        at = gaps.index(shortest)
        raise _two(place(at + 1), length_name(shortest), length_name(common))
    longer = [gap != shortest and gap < _NEARLY_A_DAY_NS for gap in gaps]
    same = [other and gap == before for other, gap, before in zip(longer[1:], gaps[1:], gaps, strict=False)]
    run = _run(same, _RUN_OF_TIMES)
    if run is not None:
        raise _two(place(run + 1), length_name(gaps[run + 1]), length_name(shortest))
    days = _run([gap >= _NEARLY_A_DAY_NS for gap in gaps], _RUN_OF_DATES)
    if days is not None:
        raise _two(place(days + 1), DAY, length_name(shortest))
    return Interval(length_name(shortest), shortest)


def _run(flags: Sequence[bool], length: int) -> int | None:
    """Return where the first run of ``length`` true flags begins; None when there is none."""
    count = 0
    for at, flag in enumerate(flags):
        count = count + 1 if flag else 0
        if count == length:
            return at - length + 1
    return None


def _two(place: str, one: str, other: str) -> DataError:
    return DataError(
        f"{place}: bars of two intervals, {one} and {other}; a file (and a run) has one: split the file by interval"
    )
