"""The exchange's times of the KIS websocket, in ns: a date and a clock in whole seconds, both of Seoul."""

from __future__ import annotations

from datetime import date
from typing import Final

from qts.clock import NS_PER_S
from qts.market.files.refusals import BAD_TIME, RowRefused
from qts.market.krx import KST_NS

_EPOCH: Final = date(1970, 1, 1).toordinal()
_DAY_NS: Final = 86_400 * NS_PER_S


class Moments:
    """Times by their texts; the newest are remembered, since thousands of frames share a second."""

    __slots__ = ("_day_ns", "_today_clock_ns", "_today_time", "day", "newest_ns", "time")

    def __init__(self) -> None:
        self.day = self.time = ""
        self.newest_ns = self._day_ns = 0
        """The newest answer of :meth:`ns`, for ``day`` and ``time``: who wants the same again need not call."""
        self._today_time, self._today_clock_ns = "000000", 0

    def ns(self, day: str, time: str) -> int:
        """Return the moment (ns since 1970, UTC) of ``YYYYMMDD`` and ``HHMMSS``. Raises RowRefused."""
        day_ns = self._day_ns if day == self.day else _midnight_ns(day)
        self.newest_ns = day_ns + clock_ns(time)
        self._day_ns, self.day, self.time = day_ns, day, time
        return self.newest_ns

    def today_ns(self, time: str, now_ns: int) -> int:
        """Return the moment of ``HHMMSS`` that is nearest to ``now_ns``, for a record that names no date."""
        if time != self._today_time:
            self._today_clock_ns = clock_ns(time)
            self._today_time = time
        ns = (now_ns + KST_NS) // _DAY_NS * _DAY_NS - KST_NS + self._today_clock_ns
        if ns - now_ns > _DAY_NS // 2:
            return ns - _DAY_NS
        return ns + _DAY_NS if now_ns - ns > _DAY_NS // 2 else ns


def clock_ns(time: str) -> int:
    """Return the ns since midnight of ``HHMMSS``. Raises RowRefused."""
    if not (len(time) == 6 and time.isascii() and time.isdigit()):
        raise RowRefused(BAD_TIME, time)
    hour, minute, second = int(time[:2]), int(time[2:4]), int(time[4:])
    if hour > 23 or minute > 59 or second > 59:
        raise RowRefused(BAD_TIME, time)
    return (hour * 3_600 + minute * 60 + second) * NS_PER_S


def _midnight_ns(day: str) -> int:
    """Return the ns since 1970 (UTC) of the beginning of a day in Seoul. Raises RowRefused."""
    if not (len(day) == 8 and day.isascii() and day.isdigit()):
        raise RowRefused(BAD_TIME, day)
    try:
        number = date(int(day[:4]), int(day[4:6]), int(day[6:])).toordinal()
    except ValueError:
        raise RowRefused(BAD_TIME, day) from None
    return (number - _EPOCH) * _DAY_NS - KST_NS
