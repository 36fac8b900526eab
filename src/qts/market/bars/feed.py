"""Series of bars as one feed: merged by the time at which each bar is known, at one time by symbol."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from heapq import heapify, heappop, heappush
from typing import Any, Final

from qts.clock import NS_PER_S, from_ns
from qts.errors import DataError
from qts.market.actions import CorporateAction
from qts.market.bars.columns import BarColumns
from qts.market.contracts import Bar, Instrument, MarketValue
from qts.market.files.refusals import RefusalExample, Refusals
from qts.market.series.intervals import DAY, MONTH, WEEK
from qts.notes import Note

LEAST_AGE_NS: Final = 15 * 60 * NS_PER_S
"""A price may be so old for a decision at least; else as old as the bar before."""

BEFORE_ALL_NS: Final = -(2**63)
"""Before every time of a bar: shares have prices from before 1970."""


class BarFeed:
    """A :class:`~qts.market.contracts.Feed` over files of bars, and an
    :class:`~qts.market.actions.ActionSource` of what is known of their corporate actions.

    ``series`` are its bars by symbol, in the order in which bars of one moment are given. ``max_age_ns`` follows
    the bars: the price of the bar before the present one is fresh, an older one is not; a fixed one stays.
    """

    def __init__(
        self,
        name: str,
        source_id: str,
        series: Sequence[BarColumns],
        instruments: Mapping[str, Instrument],
        refusals: Refusals,
        notes: Sequence[Note],
        max_age_ns: int | None = None,
        actions: Sequence[CorporateAction] = (),
    ) -> None:
        self._input = (name, source_id, series, instruments, refusals, notes, max_age_ns, actions)
        self.name = name
        self.source_id = source_id
        self.series: Mapping[str, BarColumns] = {one.symbol: one for one in series}
        self.instruments = instruments
        self.actions = tuple(actions)
        self.declares_volatility = False
        self.rows_refused: Mapping[str, int] = refusals.counts
        self.refusal_examples: Mapping[str, Sequence[RefusalExample]] = refusals.examples
        self.notes = list(notes)
        self.max_age_ns = LEAST_AGE_NS if max_age_ns is None else max_age_ns
        self._is_fixed = max_age_ns is not None
        self._series = list(series)
        self._total = sum(map(len, series))
        self._given = 0
        self._ns = BEFORE_ALL_NS  # the time of the newest value
        self._at_ns = 0  # values given of that time

    def reread(self) -> BarFeed:
        """Return a feed of the same bars from the first one; no file is opened."""
        return BarFeed(*self._input)

    @property
    def total_values(self) -> int:
        """Return how many values the whole feed has."""
        return self._total

    @property
    def is_known_next_day(self) -> bool:
        """Return whether every bar is known only on the date after its day, as where a day ends at midnight."""
        return all(map(self._is_next_day, filter(len, self._series)))

    def values(self) -> Iterator[MarketValue]:
        """Yield the bars after the present position."""
        due: dict[int, list[int]] = {}
        streams: list[Iterator[Bar]] = []
        places = [bisect_left(one.known_ns, self._ns) for one in self._series]
        for number, (one, place) in enumerate(zip(self._series, places, strict=True)):
            streams.append(one.bars(place))
            if place < len(one):
                due.setdefault(one.known_ns[place], []).append(number)
        times = list(due)
        heapify(times)
        skip = self._at_ns
        while times:
            ns = heappop(times)
            self._note_age(ns)
            waiting = due.pop(ns)
            waiting.sort()
            for number in waiting:
                bar = next(streams[number])
                places[number] += 1
                known = self._series[number].known_ns
                if places[number] < len(known):
                    following = known[places[number]]
                    behind = due.get(following)
                    if behind is None:
                        due[following] = [number]
                        heappush(times, following)
                    else:
                        behind.append(number)
                if skip:
                    skip -= 1
                    continue
                self._at_ns = self._at_ns + 1 if ns == self._ns else 1
                self._ns = ns
                self._given += 1
                yield bar

    def position(self) -> dict[str, Any]:
        """Return the time of the newest value given and how many of that time were given."""
        return {
            "source_id": self.source_id,
            "ns": self._ns,
            "at_ns": self._at_ns,
            "given": self._given,
            "max_age_ns": self.max_age_ns,
        }

    def resume(self, position: Mapping[str, Any]) -> None:
        """Move to ``position``. Raises DataError when it belongs to other files or is none."""
        if position.get("source_id") != self.source_id:
            raise DataError(
                f"{self.name}: the stored position belongs to {position.get('source_id')!r}, these files are "
                f"{self.source_id!r}; resume with the files the run was started on"
            )
        try:
            self._ns, self._at_ns = int(position["ns"]), int(position["at_ns"])
            self._given, self.max_age_ns = int(position["given"]), int(position["max_age_ns"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{self.name}: the stored position cannot be read: {error!r}") from error

    def progress(self) -> float:
        """Return the share of all bars already given, 0..1."""
        return self._given / self._total if self._total else 1.0

    def _is_next_day(self, one: BarColumns) -> bool:
        calendar, ns = self.instruments[one.symbol].calendar, one.known_ns[-1]
        known = calendar.local_date(from_ns(ns))
        if one.interval == DAY:
            return known == one.last_day + timedelta(days=1)
        return one.interval in (WEEK, MONTH) and known != calendar.local_date(from_ns(ns - 1))

    def _note_age(self, ns: int) -> None:
        if not self._is_fixed and BEFORE_ALL_NS < self._ns < ns:
            self.max_age_ns = max(ns - self._ns, LEAST_AGE_NS)
