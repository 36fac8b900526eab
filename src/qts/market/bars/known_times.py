"""The moment at which a bar is known: never before its interval is over, a daily one at the close of its session.

A market with hours closes by its calendar. One that never closes ends its day at midnight: that of the declared
time zone, else that of the offset in the file, else UTC.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import partial
from typing import Final

from qts.clock import NS_PER_S, from_ns, to_ns
from qts.errors import DataError
from qts.market.bars.dates import DAY_NS, EPOCH_ORDINAL, Stamps
from qts.market.contracts import Calendar
from qts.market.series.intervals import DAY, MONTH, WEEK, Interval

_ONE_DAY: Final = timedelta(days=1)
_HOUR_NS: Final = 3_600 * NS_PER_S


class KnownTimes:
    """The session day and the known time of bars in one market; ``zone`` is the declared time zone, None: none."""

    def __init__(self, calendar: Calendar, zone: tzinfo | None) -> None:
        self._calendar = calendar
        self._zone = zone
        self._closes: dict[str, _Closes] = {}
        self._days: dict[int, int] = {}

    def has_session(self, ordinal: int) -> bool:
        """Return whether the market opens on a day (by its ordinal)."""
        return self._calendar.is_trading_day(date.fromordinal(ordinal))

    @property
    def has_hours(self) -> bool:
        """Return whether the market closes at all."""
        return self._calendar.next_open(from_ns(0)) is not None

    def days(self, stamps: Stamps, interval: Interval) -> array[int]:
        """Return the session day of every bar, as ordinals."""
        if not interval.is_intraday and (stamps.are_dates or not stamps.utc):
            return array("l", map(EPOCH_ORDINAL.__add__, map(DAY_NS.__rfloordiv__, stamps.wall)))
        utc = self.utc(stamps, "")
        return array("l", [self._day_of(ns) for ns in utc])

    def known(self, stamps: Stamps, interval: Interval, days: Sequence[int], place: str) -> array[int]:
        """Return when every bar is known, in ns since 1970 UTC; ``place`` names the file in an error."""
        if interval.is_intraday:
            return array("q", [ns + interval.ns for ns in self.utc(stamps, place)])
        if interval.name == DAY and stamps.utc and not self.has_hours and self._zone is None:
            return array("q", [ns + interval.ns for ns in stamps.utc])
        closes = self._closes.setdefault(interval.name, _Closes(partial(self._closing, interval.name)))
        return array("q", list(map(closes.__getitem__, days)))

    def utc(self, stamps: Stamps, place: str) -> Sequence[int]:
        """Return the times in UTC. Raises DataError where neither the file nor the user names a zone."""
        if stamps.utc:
            return stamps.utc
        if self._zone is None:
            raise DataError(
                f"{place}: times without an offset from UTC; name their zone: --timezone Asia/Seoul (or another)"
            )
        zone = self._zone
        return [to_ns(from_ns(wall).replace(tzinfo=zone).astimezone(UTC)) for wall in stamps.wall]

    def _day_of(self, ns: int) -> int:
        hour = ns // _HOUR_NS
        day = self._days.get(hour)
        if day is None:
            moment = from_ns(ns)
            local = moment.astimezone(self._zone).date() if self._is_open_with_zone else None
            day = self._days[hour] = (local or self._calendar.local_date(moment)).toordinal()
        return day

    @property
    def _is_open_with_zone(self) -> bool:
        return self._zone is not None and not self.has_hours

    def _closing(self, interval: str, ordinal: int) -> int:
        return self._close_of_days(_days_of(interval, date.fromordinal(ordinal)))

    def _close_of_days(self, days: Sequence[date]) -> int:
        """Return the close of the last session among ``days``; without one the midnight after them."""
        for day in reversed(days):
            close = self._calendar.close(day)
            if close is not None:
                return to_ns(close.astimezone(UTC))
        after = days[-1] + _ONE_DAY
        if self._zone is None:
            return to_ns(self._calendar.at(after, 0).astimezone(UTC))
        return to_ns(datetime(after.year, after.month, after.day, tzinfo=self._zone).astimezone(UTC))


class _Closes(dict[int, int]):
    """Closing times by the ordinal of a day; at most as many as there are days."""

    def __init__(self, find: Callable[[int], int]) -> None:
        super().__init__()
        self._find = find

    def __missing__(self, ordinal: int) -> int:
        ns = self[ordinal] = self._find(ordinal)
        return ns


def _days_of(interval: str, day: date) -> list[date]:
    """Return the days of the interval in which ``day`` lies: the day, its week from Monday on, its month."""
    if interval == WEEK:
        monday = day - timedelta(days=day.weekday())
        return [monday + timedelta(days=number) for number in range(7)]
    if interval == MONTH:
        first = day.replace(day=1)
        return [
            first + timedelta(days=number)
            for number in range(31)
            if (first + timedelta(days=number)).month == day.month
        ]
    return [day]
