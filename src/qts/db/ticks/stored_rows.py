"""The rows of a server from before a session: recorded values, and where there are none any more, stored bars.

They reach as far back as the declared bars need, to a midnight UTC. Bars are of the days before the first value,
first those of a minute, before them those of a day.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from heapq import heappop, heappush, heapreplace
from typing import Any, Final, NamedTuple, TypeAlias

from msgspec.structs import astuple, replace

from qts.clock import NS_PER_US
from qts.db.ticks.on_thread import ReadAhead, finish
from qts.db.ticks.read_rows import Numbers, set_codecs
from qts.db.ticks.tick_store import PAGE_ROWS, Recorded, TickStore, pages
from qts.errors import DataError
from qts.market.contracts import Bar, Instrument, MarketValue
from qts.market.series.history import Rows
from qts.market.series.intervals import DAY_NS, MINUTE_NS
from qts.market.series.sessions import Sessions
from qts.market.series.wanted import WantedBars
from qts.money import sum_of
from qts.notes import Note

_NAME: Final = "qts-tick-reader"
_VALUES, _MINUTES, _DAYS = 1, 2, 3
"""Ranks of rows, behind those of the input itself."""
_AT_BOTH_ENDS: Final = 2
"""Bars of which rows may lack a part: the first and the last."""
_HELD: Final = 100_000
"""How many values all symbols together have in memory."""
_LEAST_PAGE: Final = 256
_BLOCK: Final = 4_096


_Next: TypeAlias = tuple[int, int, int, tuple[MarketValue, ...]]
"""Time of the next value of a span, the number of the span, the place of the value in its page, the page."""


class Span(NamedTuple):
    """The values of one symbol and recording, ``start_ns`` <= time < ``end_ns``."""

    symbol: str
    start_ns: int
    end_ns: int
    recording: int


class RowsOfServer:
    """A :class:`~qts.market.with_history.StoredRows` of a server; ``where`` names it for people."""

    def __init__(
        self,
        store: Callable[[], TickStore],
        where: str,
        contents: Mapping[Span, tuple[int, int, int, str]],
        minutes: Sequence[Bar],
        days: Sequence[Bar],
    ) -> None:
        self._store, self._where = store, where
        self._contents = contents
        self._bars = {("1m", _MINUTES): minutes, ("1d", _DAYS): days}

    @property
    def source_id(self) -> str:
        """Name the content."""
        values = [[*span, *found] for span, found in self._contents.items()]
        bars = [[*map(str, astuple(bar))] for bars in self._bars.values() for bar in bars]
        return f"stored:{hashlib.sha256(json.dumps([values, bars]).encode()).hexdigest()}"

    def sources(self) -> Sequence[Rows]:
        """Return the rows; reading them raises DataError when values are gone meanwhile, and Unavailable."""
        sources = []
        if self._contents:
            name = Note.of("warm-up-stored-values", server=self._where)
            sources.append(Rows(name, _VALUES, self._values()))
        for (interval, rank), bars in self._bars.items():
            if bars:
                name = Note.of("warm-up-stored-bars", interval=interval, server=self._where)
                sources.append(Rows(name, rank, bars))
        return sources

    def _values(self) -> Iterator[MarketValue]:
        given, count = 0, sum(found[0] for found in self._contents.values())
        blocks = ReadAhead(partial(_merged, self._store, list(self._contents)), _NAME)
        try:
            for block in blocks:
                given += len(block)
                yield from block
        finally:
            blocks.close()
        if given != count:
            raise DataError(
                f"{self._where} gave {given} values from before the session where there were {count} when it was "
                "opened: values were dropped or recorded meanwhile; start again"
            )


def find_rows(
    store: Callable[[], TickStore],
    where: str,
    wanted: Sequence[WantedBars],
    instruments: Mapping[str, Instrument],
    begin_ns: int,
) -> RowsOfServer | None:
    """Return the rows of ``instruments`` from before the µs of ``begin_ns`` for the ``wanted`` bars; None for none.

    Blocks. Of recordings that overlap the newest is taken. Raises InputError for a server that cannot be used, and
    Unavailable.
    """
    search = _Search(store(), wanted, instruments, begin_ns // NS_PER_US * NS_PER_US)
    finish(search.run, _NAME)
    if not (search.contents or search.minutes or search.days):
        return None
    return RowsOfServer(store, where, search.contents, in_order(search.minutes), in_order(search.days))


def in_order(bars: Sequence[Bar]) -> list[Bar]:
    """Return bars in the order of time."""
    return sorted(bars, key=lambda bar: (bar.ts_ns, bar.symbol))


class _Search:
    """Finds out what a server has of each symbol; ``end_ns`` is a whole µs."""

    def __init__(
        self, store: TickStore, wanted: Sequence[WantedBars], instruments: Mapping[str, Instrument], end_ns: int
    ) -> None:
        self._store, self._wanted, self._instruments, self._end_ns = store, wanted, instruments, end_ns
        self.contents: dict[Span, tuple[int, int, int, str]] = {}
        self.minutes: list[Bar] = []
        self.days: list[Bar] = []

    async def run(self) -> None:
        """Find the rows of every symbol of which bars are wanted."""
        for symbol in sorted(self._instruments):
            wanted = [one for one in self._wanted if one.wants(symbol)]
            if wanted:
                await self._look(symbol, wanted)

    async def _look(self, symbol: str, wanted: Sequence[WantedBars]) -> None:
        values_ns, *bars_ns = await self._store.firsts(symbol)
        oldest_ns = min((one for one in (values_ns, *bars_ns) if one is not None), default=self._end_ns)
        if oldest_ns >= self._end_ns:
            return
        reach_ns = {one.interval: await self._reach(symbol, one, _midnight(oldest_ns)) for one in wanted}
        start_ns = min(reach_ns.values())
        values_from_ns = self._end_ns
        if values_ns is not None and values_ns < self._end_ns:
            values_from_ns = max(start_ns, _midnight(values_ns))
            for one in apart(await self._store.recordings(symbol, values_from_ns, self._end_ns)):
                span = Span(symbol, values_from_ns, self._end_ns, one.number)
                found = await self._store.contents(*span)
                if found[0]:
                    self.contents[span] = found
        of_minutes = [ns for interval, ns in reach_ns.items() if interval.is_intraday]
        of_days = [ns for interval, ns in reach_ns.items() if interval.ns >= DAY_NS]
        await self._look_for_bars(
            symbol,
            min([*of_minutes, _midnight(self._end_ns)]),  # the day of the beginning has no bar of a day yet
            min(of_days, default=values_from_ns),
            values_from_ns,
        )

    async def _look_for_bars(self, symbol: str, minutes_from_ns: int, days_from_ns: int, end_ns: int) -> None:
        """Find the bars of the days before ``end_ns``: of minutes, and before them of days."""
        sessions = Sessions(self._instruments[symbol].calendar)
        if minutes_from_ns < end_ns:
            found = await self._store.ohlcv(symbol, _interval(MINUTE_NS), minutes_from_ns, end_ns)
            minutes = one_to_a_close([bar for bar in found if bar.ts_ns <= self._end_ns], sessions)
            if minutes:
                end_ns = _midnight(minutes[0].start_ns)
            self.minutes += minutes
        if days_from_ns < end_ns:
            found = await self._store.ohlcv(symbol, _interval(DAY_NS), days_from_ns, end_ns)
            self.days += [day for bar in found if (day := at_close(bar, sessions)).ts_ns <= self._end_ns]

    async def _reach(self, symbol: str, one: WantedBars, oldest_ns: int) -> int:
        """Return the midnight from which on the rows make the wanted bars, at least ``oldest_ns``.

        Bars that count trades, a volume or a value depend on every row before them.
        """
        length_ns, most = one.interval.ns, one.n + _AT_BOTH_ENDS
        span_ns = length_ns * most
        while length_ns:
            start_ns = _midnight(self._end_ns - span_ns)
            if start_ns <= oldest_ns:
                break
            if len(await self._store.ohlcv(symbol, _interval(length_ns), start_ns, self._end_ns)) >= most:
                return start_ns
            span_ns *= 2
        return oldest_ns


def apart(recorded: Sequence[Recorded]) -> list[Recorded]:
    """Return recordings that do not overlap, by time. Of those that do, the newest: together they are no market."""
    kept: list[Recorded] = []
    for one in sorted(recorded, key=lambda one: one.number, reverse=True):
        if all(one.last_ns <= other.first_ns or other.last_ns <= one.first_ns for other in kept):
            kept.append(one)
    return sorted(kept, key=lambda one: one.first_ns)


def one_to_a_close(minutes: Sequence[Bar], sessions: Sessions) -> list[Bar]:
    """Return bars of a minute, those from the close on in the last before it, as trades after the close are."""
    bars: list[Bar] = []
    for bar in minutes:
        session = sessions.at(bar.start_ns)
        if not session.closes or bar.ts_ns <= session.close_ns:
            bars.append(bar)
        elif bars and session.open_ns <= bars[-1].start_ns:
            bars[-1] = _together(bars[-1], bar)
        else:
            start_ns = session.close_ns - MINUTE_NS
            bars.append(replace(bar, start_ns=start_ns, ts_ns=session.close_ns))
    return bars


def at_close(bar: Bar, sessions: Sessions) -> Bar:
    """Return a bar of a day as it was known at the close of its session."""
    session = sessions.of_day(date.fromisoformat(bar.day))
    if not session.closes:
        return bar
    return replace(bar, start_ns=session.open_ns, ts_ns=session.close_ns, day=session.text)


def _together(first: Bar, then: Bar) -> Bar:
    return replace(
        first,
        high=max(first.high, then.high),
        low=min(first.low, then.low),
        close=then.close,
        volume=sum_of((first.volume, then.volume)),
        value=None if first.value is None or then.value is None else sum_of((first.value, then.value)),
        trades=None if first.trades is None or then.trades is None else first.trades + then.trades,
    )


async def _merged(store: Callable[[], TickStore], spans: Sequence[Span]) -> AsyncIterator[list[MarketValue]]:
    """Iterate over the values of all spans in the order of time, by one connection and a page of each."""
    most = max(_LEAST_PAGE, min(PAGE_ROWS, _HELD // len(spans)))
    async with store().reading() as connection:
        numbers = Numbers()
        await set_codecs(connection, numbers)
        sources = [pages(connection, numbers, *span[:3], None, span.recording, most) for span in spans]
        next_ones: list[_Next] = []
        for n in range(len(sources)):
            await _turn(sources, n, next_ones)
        block: list[MarketValue] = []
        while next_ones:
            _, n, at, values = next_ones[0]
            block.append(values[at])
            if at + 1 < len(values):
                heapreplace(next_ones, (values[at + 1].ts_ns, n, at + 1, values))
            else:
                heappop(next_ones)
                await _turn(sources, n, next_ones)
            if len(block) >= _BLOCK:
                yield block
                block = []
        yield block


async def _turn(sources: Sequence[Any], n: int, next_ones: list[_Next]) -> None:
    """Put the first value of the next page of a source among those that come next."""
    page = await anext(sources[n], None)
    if page is not None:
        heappush(next_ones, (page.values[0].ts_ns, n, 0, page.values))


def _midnight(ts_ns: int) -> int:
    return max(ts_ns, 0) // DAY_NS * DAY_NS


def _interval(length_ns: int) -> timedelta:
    return timedelta(microseconds=length_ns // NS_PER_US)
