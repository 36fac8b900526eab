"""The day's appointments on the market's own clock: day start, hourly evaluations, session end, day's
close (a minute later, when the orders that expired are gone)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from qts.clock import from_ns, to_ns
from qts.market.contracts import Calendar

AFTER_CLOSE = timedelta(minutes=1)
"""The session-end appointment is this long after the close: call auctions end up to 30 s late (spec krx)."""

_MAX_DAYS_WITHOUT_SESSION = 400


class ScheduledTask(Enum):
    """Kinds of appointments, in the order in which they are kept when they fall together."""

    DAY_START = 0
    EVALUATE = 1
    SESSION_END = 2
    DAY_CLOSE = 3


class Schedule:
    """Gives appointments one by one in time order, forever; a stored position continues where it was.

    ``hours`` are the local hours of state evaluation on trading days (spec: 09:00-15:00); a market that never
    closes is evaluated every hour.
    """

    def __init__(self, calendar: Calendar, hours: Sequence[int], start: datetime) -> None:
        self._calendar = calendar
        self._hours = tuple(hours)
        self._begin(start)

    def _begin(self, start: datetime) -> None:
        self._items = self._all(start)
        self.next_ns, self.next_kind = next(self._items)

    def pop(self) -> tuple[int, ScheduledTask]:
        """The appointment that is due, moving on to the one after it."""
        due = (self.next_ns, self.next_kind)
        self.next_ns, self.next_kind = next(self._items)
        return due

    def export_state(self) -> dict[str, Any]:
        return {"next_ns": self.next_ns, "kind": self.next_kind.name}

    def import_state(self, saved: dict[str, Any]) -> None:
        target = (saved["next_ns"], ScheduledTask[saved["kind"]])
        self._begin(from_ns(target[0]) - timedelta(days=1))
        while (self.next_ns, self.next_kind) != target:
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
        while True:  # a calendar without further sessions has no further appointments
            yield (1 << 63) - 1, ScheduledTask.SESSION_END

    def _of_day(self, day: Any) -> list[tuple[int, ScheduledTask]]:
        at = self._calendar.at
        close = self._calendar.close(day)
        hours = self._hours if close is not None else tuple(range(24))
        items = [(to_ns(at(day, 0)), ScheduledTask.DAY_START)]
        items += [(to_ns(at(day, hour)), ScheduledTask.EVALUATE) for hour in hours]
        if close is not None:
            items.append((to_ns(close + AFTER_CLOSE), ScheduledTask.SESSION_END))
            items.append((to_ns(close + 2 * AFTER_CLOSE), ScheduledTask.DAY_CLOSE))
        else:
            items.append((to_ns(at(day, 23, 59)), ScheduledTask.DAY_CLOSE))
        return sorted(items, key=lambda item: (item[0], item[1].value))
