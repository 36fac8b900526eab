"""Bars from before a session, with which strategies are warmed up: the port, and what rows of files give.

Other sources of finished bars (a store, a broker) stand behind the same port.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from typing import NamedTuple, Protocol

from qts.clock import NEVER_NS
from qts.market.contracts import Bar, Instrument, MarketValue, Quote, Tick
from qts.market.series.book import SeriesBook
from qts.market.series.builder import BarBuilder, EndedBars, by_moment
from qts.market.series.sessions import AFTER_CLOSE_NS, Sessions
from qts.market.series.wanted import WantedBars
from qts.notes import Note


class History(Protocol):
    """Finished bars from before a moment. Asked on the session's thread, before the first value of the session."""

    def bars(self, symbol: str, interval: str, n: int, before_ns: int) -> Sequence[Bar]:
        """Return the last ``n`` bars of a symbol that were over at ``before_ns`` (ns since 1970 UTC).

        ``interval`` is a text that :func:`~qts.market.series.intervals.parse_interval` reads, and ``n`` at least 1.
        The bars come in the order of time, the oldest first, each once, with ``start_ns`` told; their ends
        (``ts_ns``) are at or before ``before_ns``. Fewer come when no more are known, none for a symbol or an
        interval that the source does not have. May block for a disk or a connection. Raises DataError when the
        source cannot be read, and ContractError for an interval that is none.
        """
        ...


class Rows(NamedTuple):
    """Trades and bars of one source in the order of time; ``name`` is its name for people.

    Of two sources with rows of a symbol at one time the one with the smaller ``rank`` is taken from its first row
    of the symbol on.
    """

    name: str | Note
    rank: int
    values: Iterable[MarketValue]


class SeriesOrigin(NamedTuple):
    """The sources of the bars of one symbol and interval: the number of bars from each, the oldest first.

    ``wanted`` is how many bars were declared.
    """

    symbol: str
    interval: str
    wanted: int
    sources: tuple[tuple[str | Note, int], ...]

    @property
    def found(self) -> int:
        """Return how many bars there are."""
        return sum(count for _, count in self.sources)

    @property
    def missing(self) -> int:
        """Return how many bars are too few."""
        return self.wanted - self.found


class RowHistory:
    """A :class:`History` of the wanted bars, built from rows that were read before the session.

    ``builder`` has built them; the bars that run at the end of the rows are in it, so the session goes on with it.
    """

    def __init__(self, wanted: Iterable[WantedBars], instruments: Mapping[str, Instrument]) -> None:
        self._wanted = tuple(wanted)
        self._instruments = instruments
        self._book = SeriesBook(self._wanted)
        self._sources: dict[str, Rows] = {}
        self._counts: dict[tuple[str, str], list[tuple[str | Note, int]]] = {}
        self.builder = BarBuilder(self._wanted, instruments)

    def read(self, sources: Sequence[Rows], before_ns: int) -> None:
        """Read all rows of ``sources``; the session begins at ``before_ns`` (ns since 1970 UTC), after them.

        Sessions end as in a running one, by the calendar of the first instrument. Called once. Raises what reading
        the rows raises.
        """
        builder, session_end_ns = self.builder, -NEVER_NS
        sessions = Sessions(next(iter(self._instruments.values())).calendar)
        for ts_ns, _, value, rows in merge(*map(_keyed, sources), key=lambda one: one[:2]):
            if ts_ns >= builder.due_ns:
                self._keep(builder.take_ended(ts_ns))
            if ts_ns >= session_end_ns:
                self._end_sessions(ts_ns)
                session_end_ns = sessions.next_end_ns(ts_ns)
            if not self._is_taken(value.symbol, rows):
                continue
            if builder.on_tick(value) if isinstance(value, Tick) else builder.on_bar(value):
                self._keep(builder.take_ended(ts_ns))
        self._keep(builder.finish())
        self._keep(builder.take_ended(before_ns))
        self._end_sessions(before_ns)
        builder.begin_source()

    def bars(self, symbol: str, interval: str, n: int, before_ns: int) -> Sequence[Bar]:
        """Return the last ``n`` bars of a symbol that were over at ``before_ns``; at most as many as are wanted."""
        most = self._book.length(symbol, interval)
        kept = self._book.last(symbol, interval, most) if most else ()
        return [bar for bar in kept if bar.ts_ns <= before_ns][-n:]

    def moments(self) -> list[EndedBars]:
        """Return all bars as a session tells them: by moment, shorter intervals first, then by symbol."""
        ended: list[tuple[int, Bar]] = []
        for symbol, interval in self._counts:
            bars = self._book.last(symbol, interval, self._book.length(symbol, interval))
            ended += [(bar.ts_ns, bar) for bar in bars]
        return by_moment(ended)

    def origins(self) -> list[SeriesOrigin]:
        """Return where each series came from, of every known symbol: by interval, then by symbol."""
        ranked = sorted(self._wanted, key=lambda one: one.interval.rank)
        names = dict.fromkeys(one.interval.name for one in ranked)
        return [
            SeriesOrigin(symbol, name, most, self._last_counts(symbol, name))
            for name in names
            for symbol in sorted(self._instruments)
            if (most := self._book.length(symbol, name))
        ]

    def _end_sessions(self, now_ns: int) -> None:
        """End the last bars of every session that has ended by ``now_ns``."""
        self.builder.end_session(now_ns - AFTER_CLOSE_NS)
        self._keep(self.builder.take_ended(now_ns))

    def _is_taken(self, symbol: str, rows: Rows) -> bool:
        """Return whether a row of ``symbol`` is taken from a source; note when another source takes over."""
        present = self._sources.get(symbol)
        if present is rows:
            return True
        if present is not None and present.rank < rows.rank:
            return False
        if present is not None and present.rank > rows.rank:
            self.builder.begin_source(symbol)
        self._sources[symbol] = rows
        return True

    def _keep(self, moments: Iterable[EndedBars]) -> None:
        for moment in moments:
            for bar in moment.bars:
                if self._book.add(bar):
                    counts = self._counts.setdefault((bar.symbol, bar.interval), [])
                    name = self._sources[bar.symbol].name
                    if counts and counts[-1][0] == name:
                        counts[-1] = (name, counts[-1][1] + 1)
                    else:
                        counts.append((name, 1))

    def _last_counts(self, symbol: str, interval: str) -> tuple[tuple[str | Note, int], ...]:
        """Return the sources of the bars that are kept; older ones have left the window."""
        left = self._book.count(symbol, interval)
        found: list[tuple[str | Note, int]] = []
        for name, count in reversed(self._counts.get((symbol, interval), ())):
            if not left:
                break
            found.append((name, min(count, left)))
            left -= found[-1][1]
        return tuple(reversed(found))


def _keyed(rows: Rows) -> Iterator[tuple[int, int, Tick | Bar, Rows]]:
    for value in rows.values:
        if isinstance(value, Quote):
            if value.last is not None and value.last_size:
                trade = Tick(value.symbol, value.ts_ns, value.last, value.last_size)
                yield value.ts_ns, rows.rank, trade, rows
        elif isinstance(value, Tick | Bar):
            yield value.ts_ns, rows.rank, value, rows
