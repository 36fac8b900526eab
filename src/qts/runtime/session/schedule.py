"""Schedules the tasks of a day in the market's time zone: day start, hourly evaluations, session end, day's close.

The close is a minute after the session end, when expired orders have ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from enum import IntEnum
from typing import Any

from qts.clock import NS_PER_S, NS_PER_US, from_ns, to_ns
from qts.market.contracts import Calendar
from qts.market.series.sessions import AFTER_CLOSE_NS

AFTER_CLOSE = timedelta(microseconds=AFTER_CLOSE_NS // NS_PER_US)
"""The session-end task runs this long after the close."""

_MAX_DAYS_WITHOUT_SESSION = 400
_HOUR_NS = 3_600 * NS_PER_S
_MINUTE_NS = 60 * NS_PER_S


class ScheduledTask(IntEnum):
    """A kind of scheduled task; tasks of the same time run in the order of the values."""

    DAY_START = 0
    EVALUATE = 1
    SESSION_END = 2
    DAY_CLOSE = 3
    CORPORATE_ACTIONS = 4


class Schedule:
    """A schedule of tasks in order of time; its position is part of the checkpoint.

    ``hours`` are the local hours at which the operating state is evaluated on trading days; in a market that never
    closes it is evaluated every hour; empty: it is never evaluated. ``next_ns`` (ns since 1970 UTC) and
    ``next_kind`` are the next task; after the last session of the calendar ``next_ns`` is 2^63 − 1. ``ex_dates``
    are the days of splits and dividends; these are applied on the first trading day from then on, right after
    midnight: a bar that ends at midnight belongs to the day before.
    """

    def __init__(
        self, calendar: Calendar, hours: Sequence[int], start: datetime, ex_dates: Iterable[date] = ()
    ) -> None:
        self._calendar = calendar
        self._action_days = frozenset(_trading_day(calendar, day) for day in ex_dates)
        self._hours = tuple(hours)
        self._begin(start)

    def _begin(self, start: datetime) -> None:
        self._items = self._all(start)
        self.next_ns, self.next_kind = next(self._items)

    def pop(self) -> tuple[int, ScheduledTask]:
        """Return time and kind of the next task, and advance to the one after it."""
        due = (self.next_ns, self.next_kind)
        self.next_ns, self.next_kind = next(self._items)
        return due

    def skip_evaluations(self, before_ns: int) -> int:
        """Advance past the evaluations that are next and before ``before_ns``; return how many."""
        skipped, items = 0, self._items
        while self.next_ns < before_ns and self.next_kind is ScheduledTask.EVALUATE:
            self.next_ns, self.next_kind = next(items)
            skipped += 1
        return skipped

    def export_state(self) -> dict[str, Any]:
        """Return the next task for a checkpoint."""
        return {"next_ns": self.next_ns, "kind": self.next_kind.name}

    def import_state(self, saved: dict[str, Any]) -> None:
        """Continue with the task of :meth:`export_state`; with the one after it where that task is made no more."""
        target = (saved["next_ns"], ScheduledTask[saved["kind"]].value)
        self._begin(from_ns(target[0]) - timedelta(days=1))
        while (self.next_ns, self.next_kind.value) < target:
            self.pop()

    def _all(self, start: datetime) -> Iterator[tuple[int, ScheduledTask]]:
        day = self._calendar.local_date(start)
        idle = 0
        while idle < _MAX_DAYS_WITHOUT_SESSION:
            if self._calendar.is_trading_day(day):
                idle = 0
                yield from self._of_day(day)
            else:
                idle += 1
            day += timedelta(days=1)
        while True:  # a calendar without further sessions has no further tasks
            yield (1 << 63) - 1, ScheduledTask.SESSION_END

    def _of_day(self, day: date) -> list[tuple[int, ScheduledTask]]:
        at, close = self._calendar.at, self._calendar.close(day)
        start_ns = to_ns(at(day, 0))
        items = [(start_ns, ScheduledTask.DAY_START)]
        if day in self._action_days:
            items.append((start_ns + 1, ScheduledTask.CORPORATE_ACTIONS))
        hours: Iterable[int]
        if close is not None:
            hours = [to_ns(at(day, hour)) for hour in self._hours]
            items.append((to_ns(close + AFTER_CLOSE), ScheduledTask.SESSION_END))
        else:
            hours = self._every_hour(day, start_ns, day_close_ns(self._calendar, day)) if self._hours else ()
        items.append((day_close_ns(self._calendar, day), ScheduledTask.DAY_CLOSE))
        items += [(ns, ScheduledTask.EVALUATE) for ns in hours]
        return sorted(items)

    def _every_hour(self, day: date, start_ns: int, last_ns: int) -> Iterable[int]:
        """Return the moments of the 24 local hours of ``day``, which begins at ``start_ns`` and has its last minute
        at ``last_ns``."""
        at = self._calendar.at
        if last_ns - start_ns == 24 * _HOUR_NS - _MINUTE_NS and to_ns(at(day, 12)) - start_ns == 12 * _HOUR_NS:
            return range(start_ns, start_ns + 24 * _HOUR_NS, _HOUR_NS)
        return [to_ns(at(day, hour)) for hour in range(24)]  # clocks are changed on it


def day_close_ns(calendar: Calendar, day: date) -> int:
    """Return the moment (ns) of the close of a trading day; in a market that never closes its last minute."""
    close = calendar.close(day)
    return to_ns(calendar.at(day, 23, 59)) if close is None else to_ns(close + 2 * AFTER_CLOSE)


def _trading_day(calendar: Calendar, day: date) -> date:
    """Return the first trading day at or after ``day``; ``day`` itself when none is known."""
    for ahead in range(_MAX_DAYS_WITHOUT_SESSION):
        if calendar.is_trading_day(day + timedelta(days=ahead)):
            return day + timedelta(days=ahead)
    return day
