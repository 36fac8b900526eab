"""The time that a bar covers: when it began, and on which session day.

A bar carries the moment at which it is known, which is its end or later, and its interval as text. Whether an order
was entered before a bar began decides whether it may fill in it, so a beginning that cannot be told is None.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

from qts.broker.sim.session_times import SessionTimes
from qts.clock import NS_PER_S, from_ns, to_ns
from qts.market.contracts import Bar

_INTERVAL: Final = re.compile(r"([1-9][0-9]{0,4})([smhdw])", re.ASCII)
_UNIT_NS: Final[Mapping[str, int]] = {
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "h": 3_600 * NS_PER_S,
    "d": 86_400 * NS_PER_S,
    "w": 7 * 86_400 * NS_PER_S,
}
_DAY_NS: Final = _UNIT_NS["d"]
_MONTH_NS: Final = 31 * _DAY_NS
"""The length of an interval that is none of the units, such as a month."""

_LONGEST_GAP_NS: Final = 15 * _DAY_NS
"""The longest time without a daily bar that an order waits for: longer than any holiday of a stock exchange."""


class LastBar(NamedTuple):
    """The bar that a symbol had last: its end (ns since 1970, UTC) and its interval."""

    end_ns: int
    interval: str


NO_BAR: Final = LastBar(0, "")


@lru_cache(maxsize=64)
def interval_ns(interval: str) -> int | None:
    """Return the length of an interval such as "5m", "1h", "1d"; None when its text is another."""
    found = _INTERVAL.fullmatch(interval)
    return int(found[1]) * _UNIT_NS[found[2]] if found else None


def whole_second(ts_ns: int) -> int:
    """Return ``ts_ns`` rounded up to the second: sources write the end of a bar as its last millisecond too."""
    return -(-ts_ns // NS_PER_S) * NS_PER_S


def bar_day(bar: Bar, times: SessionTimes) -> date:
    """Return the session day of a bar: the one it names, else the market's date in its last moment."""
    return date.fromisoformat(bar.day) if bar.day else times.day(bar.ts_ns - 1)


def start_ns(bar: Bar, times: SessionTimes) -> int | None:
    """Return when a bar began, by its interval and its day alone; None when its interval cannot be read.

    A daily bar begins with the session of its day. In a market that never closes the day may be that of any time
    zone, so there it begins a day before its end.
    """
    length = interval_ns(bar.interval)
    if length is None:
        return None
    if length != _DAY_NS or times.never_closes(bar.ts_ns):
        return whole_second(bar.ts_ns) - length
    day = bar_day(bar, times)
    midnight = times.calendar.at(day, 0)
    opening = times.calendar.next_open(midnight)
    if opening is not None and times.calendar.local_date(opening) == day:
        return to_ns(opening)
    return to_ns(midnight)


def overlaps(bar: Bar, times: SessionTimes, before: LastBar) -> bool:
    """Return whether ``bar`` covers time that a bar of another interval, ``before``, has shown already."""
    if bar.interval == before.interval or not before.end_ns:
        return False
    start = start_ns(bar, times)
    return start is not None and start < before.end_ns


def began_ns(bar: Bar, times: SessionTimes, before: LastBar) -> int | None:
    """Return when ``bar`` began, at the earliest at the end of the bar of its interval before it.

    A session's last bar may be shorter than its interval. None: not known, or it overlaps ``before``.
    """
    if overlaps(bar, times, before):
        return None
    start = start_ns(bar, times)
    if bar.interval == before.interval:
        start = before.end_ns if start is None else max(start, before.end_ns)
    return start if start is not None and start < bar.ts_ns else None


def session_day(times: SessionTimes, ts_ns: int) -> date:
    """Return the day of the session in which an order that is entered at ``ts_ns`` can first fill on a bar.

    From the close on that is the next session; in a market that never closes it is the market's date.
    """
    moment_ns = whole_second(ts_ns)
    day = times.day(moment_ns)
    close = times.calendar.close(day)
    if close is not None and moment_ns < to_ns(close):
        return day
    opening = times.calendar.next_open(from_ns(moment_ns))
    return day if opening is None else times.calendar.local_date(opening)


def order_end_ns(times: SessionTimes, entered_ns: int, day: date, interval: str) -> int:
    """Return when an order ends that waits for bars of ``interval``; ``day`` is its session day.

    That is the close of its session; in a market that never closes a day after it was entered. Where one bar lasts
    as long as that or longer, the next bar ends the order (:func:`is_whole_life`), or, where none comes, twice the
    length of a bar; of daily bars :data:`_LONGEST_GAP_NS`, since shares have none on weekends and holidays.
    """
    length = interval_ns(interval) or _MONTH_NS
    never_closes = times.never_closes(entered_ns)
    if length > _DAY_NS or (length == _DAY_NS and never_closes):
        return entered_ns + (_LONGEST_GAP_NS if length == _DAY_NS else 2 * length)
    close = None if never_closes else times.calendar.close(day)
    return entered_ns + _DAY_NS if close is None else to_ns(close)


def is_whole_life(interval: str) -> bool:
    """Return whether an order lives no longer than one bar of ``interval``: a day, a week, a month."""
    return (interval_ns(interval) or _MONTH_NS) >= _DAY_NS
