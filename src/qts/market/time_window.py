"""A feed that gives only the values of another within a span of days."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any, Final

from qts.clock import NS_PER_S, from_ns, to_ns
from qts.errors import DataError, InputError
from qts.market.bars.feed import BarFeed
from qts.market.contracts import Bar, Calendar, Feed, MarketValue
from qts.market.feed_view import FeedView, source_of
from qts.market.series.intervals import DAY

_DAY_NS: Final = 86_400 * NS_PER_S
_AFTER_ALL_DAYS: Final = "~"
"""A text behind every day as text."""


class TimeWindow(FeedView):
    """A view of the values of ``feed`` from the day ``first`` to ``last``, both included.

    Days are those of the first instrument's market; None: no bound on that side. A daily bar of a file of bars
    belongs to the day that it names, another bar to the day of its last moment: one that is known at midnight is of
    the day before. Corporate actions and refused rows are those of the whole feed. Raises InputError when ``first``
    is after ``last``; :meth:`values` raises DataError when no value lies within. ``begin_ns`` and
    ``first_text`` are the beginning of the first day, ns since 1970 UTC, and its ISO date; None and "" without one.
    """

    def __init__(self, feed: Feed, first: date | None, last: date | None) -> None:
        if first is not None and last is not None and first > last:
            raise InputError(f"--from {first} is after --to {last}")
        super().__init__(feed)
        self._calendar: Calendar = next(iter(feed.instruments.values())).calendar
        self._first, self._last = first, last
        self.begin_ns = None if first is None else self._midnight_ns(first)
        self._end_ns = None if last is None else self._midnight_ns(last + timedelta(days=1))
        self._is_by_name = isinstance(source_of(feed), BarFeed)
        self.first_text = "" if first is None else first.isoformat()
        self._last_text = _AFTER_ALL_DAYS if last is None else last.isoformat()
        self._resumed = False

    @property
    def source_id(self) -> str:
        """Name the input and the window."""
        return f"{self.feed.source_id}?{self._span().replace(' ', '_')}"

    def values(self) -> Iterator[MarketValue]:
        """Return the values within the window. Raises DataError when there is none, or as the other feed does."""
        given, last_ns = self._resumed, 0
        stop_ns = None if self._end_ns is None else self._end_ns + 2 * _DAY_NS  # no value of the window is so late
        for value in self.feed.values():
            last_ns = value.ts_ns
            if stop_ns is not None and last_ns >= stop_ns:
                break
            if not self._is_within(value):
                continue
            given = True
            yield value
        if not given:
            where = "" if not last_ns else f"; a value was seen on {self._calendar.local_date(from_ns(last_ns))}"
            raise DataError(f"{self.name} has no value {self._span()}{where}; change --from or --to")

    def earlier_values(self) -> Iterator[MarketValue]:
        """Return the values from before the window, instead of :meth:`values`; none without a first day."""
        if self.begin_ns is None:
            return
        for value in self.feed.values():
            if value.ts_ns >= self.begin_ns + 2 * _DAY_NS:  # no value from before is so late
                return
            if self._precedes(value):
                yield value

    def resume(self, position: Mapping[str, Any]) -> None:
        """Move to a stored position. Raises DataError when it belongs to another input."""
        self._resumed = True
        super().resume(position)

    def over(self, feed: Feed) -> TimeWindow:
        """Return the same window over ``feed``."""
        return TimeWindow(feed, self._first, self._last)

    def _precedes(self, value: MarketValue) -> bool:
        """Return whether ``value`` belongs to a day before the window, which has a first day."""
        if isinstance(value, Bar) and self._is_by_name and value.interval == DAY:
            return value.day < self.first_text
        return value.ts_ns - isinstance(value, Bar) < (self.begin_ns or 0)

    def _is_within(self, value: MarketValue) -> bool:
        """Return whether ``value`` belongs to a day of the window."""
        ts_ns = value.ts_ns
        if isinstance(value, Bar):
            if self._is_by_name and value.interval == DAY:
                return self.first_text <= value.day <= self._last_text
            ts_ns -= 1
        return (self.begin_ns is None or ts_ns >= self.begin_ns) and (self._end_ns is None or ts_ns < self._end_ns)

    def _span(self) -> str:
        return f"from {self._first or 'the start'} to {self._last or 'the end'}"

    def _midnight_ns(self, day: date) -> int:
        return to_ns(self._calendar.at(day, 0))
