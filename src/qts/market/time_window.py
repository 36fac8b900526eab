"""A feed that gives only the values of another within a span of days."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from qts.clock import from_ns, to_ns
from qts.errors import DataError, InputError
from qts.market.actions import CorporateAction, actions_of
from qts.market.contracts import Calendar, Feed, Instrument, MarketValue
from qts.market.files.refusals import RefusalExample
from qts.notes import Note


class TimeWindow:
    """A :class:`~qts.market.contracts.Feed` of the values of ``feed`` from ``first`` to ``last``, both included.

    Days are those of the first instrument's market; None: no bound on that side. Raises InputError when ``first``
    is after ``last``; :meth:`values` raises DataError when no value lies within.
    """

    def __init__(self, feed: Feed, first: date | None, last: date | None) -> None:
        if first is not None and last is not None and first > last:
            raise InputError(f"--from {first} is after --to {last}")
        self._feed = feed
        self._calendar: Calendar = next(iter(feed.instruments.values())).calendar
        self._first, self._last = first, last
        self._resumed = False
        self._begin_ns = None if first is None else self._midnight_ns(first)
        self._end_ns = None if last is None else self._midnight_ns(last + timedelta(days=1))

    @property
    def name(self) -> str:
        """Return the name of the other feed."""
        return self._feed.name

    @property
    def max_age_ns(self) -> int:
        """Return how old a price may be, ns."""
        return self._feed.max_age_ns

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """Return the instruments by symbol, also those without a value in the window."""
        return self._feed.instruments

    @property
    def declares_volatility(self) -> bool:
        """Return whether the other feed sends a volatility index."""
        return self._feed.declares_volatility

    @property
    def rows_refused(self) -> Mapping[str, int]:
        """Return how many rows could not be used, by reason, also those before the window."""
        return self._feed.rows_refused

    @property
    def source_id(self) -> str:
        """Name the input and the window."""
        return f"{self._feed.source_id} from {self._first or 'the start'} to {self._last or 'the end'}"

    @property
    def refusal_examples(self) -> Mapping[str, Sequence[RefusalExample]]:
        """Return the other feed's examples of refused rows by reason; empty where it keeps none."""
        return getattr(self._feed, "refusal_examples", {})

    @property
    def notes(self) -> Sequence[Note]:
        """Return what the other feed says of its input; empty where it says nothing."""
        return getattr(self._feed, "notes", ())

    @property
    def actions(self) -> Sequence[CorporateAction]:
        """Return the other feed's corporate actions, also those outside the window: nothing is held then."""
        return actions_of(self._feed)

    def values(self) -> Iterator[MarketValue]:
        """Return the values within the window. Raises DataError when there is none, or as the other feed does."""
        begin_ns, end_ns, given, last_ns = self._begin_ns, self._end_ns, False, 0
        for value in self._feed.values():
            last_ns = value.ts_ns
            if begin_ns is not None and last_ns < begin_ns:
                continue
            if end_ns is not None and last_ns >= end_ns:
                break
            given = True
            yield value
        if not (given or self._resumed):
            span = f"from {self._first or 'the start'} to {self._last or 'the end'}"
            where = "" if not last_ns else f"; a value was seen on {self._calendar.local_date(from_ns(last_ns))}"
            raise DataError(f"{self.name} has no value {span}{where}; change --from or --to")

    def position(self) -> dict[str, Any]:
        """Return the place after the value most recently given."""
        return self._feed.position()

    def resume(self, position: Mapping[str, Any]) -> None:
        """Move to a stored position. Raises DataError when it belongs to another input."""
        self._resumed = True
        self._feed.resume(position)

    def progress(self) -> float | None:
        """Return the share of the input already given; the window may end before it reaches 1."""
        return self._feed.progress()

    def _midnight_ns(self, day: date) -> int:
        return to_ns(self._calendar.at(day, 0))
