"""A feed that gives only the values of another within a span of days."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from qts.clock import from_ns, to_ns
from qts.errors import DataError, InputError
from qts.market.contracts import Calendar, Feed, MarketValue
from qts.market.feed_view import FeedView


class TimeWindow(FeedView):
    """A view of the values of ``feed`` from the day ``first`` to ``last``, both included.

    Days are those of the first instrument's market; None: no bound on that side. Corporate actions and refused rows
    are those of the whole feed. Raises InputError when ``first`` is after ``last``; :meth:`values` raises DataError
    when no value lies within.
    """

    def __init__(self, feed: Feed, first: date | None, last: date | None) -> None:
        if first is not None and last is not None and first > last:
            raise InputError(f"--from {first} is after --to {last}")
        super().__init__(feed)
        self._calendar: Calendar = next(iter(feed.instruments.values())).calendar
        self._first, self._last = first, last
        self._begin_ns = None if first is None else self._midnight_ns(first)
        self._end_ns = None if last is None else self._midnight_ns(last + timedelta(days=1))
        self._resumed = False

    @property
    def source_id(self) -> str:
        """Name the input and the window."""
        return f"{self.feed.source_id}?{self._span().replace(' ', '_')}"

    def values(self) -> Iterator[MarketValue]:
        """Return the values within the window. Raises DataError when there is none, or as the other feed does."""
        begin_ns, end_ns, given, last_ns = self._begin_ns, self._end_ns, self._resumed, 0
        for value in self.feed.values():
            last_ns = value.ts_ns
            if begin_ns is not None and last_ns < begin_ns:
                continue
            if end_ns is not None and last_ns >= end_ns:
                break
            given = True
            yield value
        if not given:
            where = "" if not last_ns else f"; a value was seen on {self._calendar.local_date(from_ns(last_ns))}"
            raise DataError(f"{self.name} has no value {self._span()}{where}; change --from or --to")

    def resume(self, position: Mapping[str, Any]) -> None:
        """Move to a stored position. Raises DataError when it belongs to another input."""
        self._resumed = True
        super().resume(position)

    def _span(self) -> str:
        return f"from {self._first or 'the start'} to {self._last or 'the end'}"

    def _midnight_ns(self, day: date) -> int:
        return to_ns(self._calendar.at(day, 0))
