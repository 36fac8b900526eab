"""The time that a bar covers: when it began, and on which session day.

A bar carries the moment at which it is known, which is its end or later, and its interval as text. Whether an order
was entered before a bar began decides whether it may fill in it, so a beginning that cannot be told is None.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Final, NamedTuple

from qts.broker.sim.session_times import SessionTimes
from qts.clock import from_ns, to_ns
from qts.market.contracts import Bar
from qts.market.series.intervals import DAY_NS, length_ns, whole_second
from qts.market.series.sessions import open_ns

_MONTH_NS: Final = 31 * DAY_NS
"""The length of an interval that is none of the units, such as a month."""

_LONGEST_GAP_NS: Final = 15 * DAY_NS
"""The longest time without a daily bar that an order waits for: longer than any holiday of a stock exchange."""


class LastBar(NamedTuple):
    """The bar that a symbol had last: its end (ns since 1970, UTC) and its interval."""

    end_ns: int
    interval: str


NO_BAR: Final = LastBar(0, "")


def bar_day(bar: Bar, times: SessionTimes) -> date:
    """Return the session day of a bar: the one it names, else the market's date in its last moment."""
    return _day_named(bar.day) if bar.day else times.day(bar.ts_ns - 1)


@lru_cache(maxsize=64)
def _day_named(text: str) -> date:
    return date.fromisoformat(text)


def start_ns(bar: Bar, times: SessionTimes) -> int | None:
    """Return when a bar began, by its interval and its day alone; None when its interval cannot be read.

    A daily bar begins with the session of its day. In a market that never closes the day may be that of any time
    zone, so there it begins a day before its end.
    """
    length = length_ns(bar.interval)
    if length is None:
        return None
    if length != DAY_NS or times.never_closes(bar.ts_ns):
        return whole_second(bar.ts_ns) - length
    return open_ns(times.calendar, bar_day(bar, times))


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
    length = length_ns(interval) or _MONTH_NS
    never_closes = times.never_closes(entered_ns)
    if length > DAY_NS or (length == DAY_NS and never_closes):
        return entered_ns + (_LONGEST_GAP_NS if length == DAY_NS else 2 * length)
    close = None if never_closes else times.calendar.close(day)
    return entered_ns + DAY_NS if close is None else to_ns(close)


def is_whole_life(interval: str) -> bool:
    """Return whether an order lives no longer than one bar of ``interval``: a day, a week, a month."""
    return (length_ns(interval) or _MONTH_NS) >= DAY_NS
