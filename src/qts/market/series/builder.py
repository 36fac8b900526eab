"""Builds bars from trades, or from the feed's own bars where no trade of the symbol was seen.

All intervals of a symbol are built at once: trades are gathered until the nearest end among them and added to each
running bar together, so a coarser bar is the exact sum of the finer ones in it. Of a quote only the trade that it
reports (its last price with a size) is given here as one; prices without a trade build no bars.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, NamedTuple

import msgspec

from qts.clock import NEVER_NS
from qts.market.contracts import Bar, Calendar, Instrument, Tick
from qts.market.series.intervals import parse_interval
from qts.market.series.running import MOST_PENDING
from qts.market.series.sessions import Sessions
from qts.market.series.symbol_bars import Ended, SymbolBars
from qts.market.series.wanted import WantedBars


class EndedBars(NamedTuple):
    """The bars that ended at one moment (ns since 1970 UTC): shorter intervals first, then by symbol."""

    ts_ns: int
    bars: tuple[Bar, ...]


class BarBuilder:
    """The running bars of all symbols of a session, in the intervals that are wanted.

    ``due_ns`` is the next moment (ns since 1970 UTC) at which :meth:`take_ended` has something to give although
    nothing else comes: the end of a running bar, or the nanosecond after the time of gathered feed bars. The
    last bar of a session in a market that closes has no such moment: :meth:`end_session` ends it, because trades of
    the closing auction come after the close. Everything is called on the session's thread; nothing raises for what
    a market may send.
    """

    def __init__(self, wanted: Iterable[WantedBars], instruments: Mapping[str, Instrument]) -> None:
        """Build what ``wanted`` names. ``instruments`` is the feed's mapping, which may grow."""
        self._wanted = tuple(wanted)
        self._instruments = instruments
        self._symbols: dict[str, SymbolBars | None] = {}
        self._sessions: dict[int, tuple[Calendar, Sessions]] = {}
        self._ended: list[Ended] = []
        self._gathered: list[Ended] = []
        self._told_ns = self._over_ns = -NEVER_NS
        self.due_ns = NEVER_NS

    @property
    def late(self) -> int:
        """Return how many trades and bars came after the bar that they belong to was over; they are in the next."""
        return sum(one.late for one in self._symbols.values() if one is not None)

    @property
    def before_open(self) -> int:
        """Return how many trades came before the open of their session; they are in its first bar."""
        return sum(one.before_open for one in self._symbols.values() if one is not None)

    @property
    def repeated(self) -> int:
        """Return how many bars the feed gave again, which were dropped."""
        return sum(one.repeated for one in self._symbols.values() if one is not None)

    def on_tick(self, tick: Tick) -> bool:
        """Add a trade. Return whether bars are over that can be taken."""
        try:
            one = self._symbols[tick.symbol]
        except KeyError:
            one = self._first(tick.symbol)
        if one is None:
            return False
        if not one.begin_ns <= tick.ts_ns < one.until_ns:
            self._ended += one.turn(tick.ts_ns, self._told_ns, self._over_ns)
            if one.due_ns < self.due_ns:
                self.due_ns = one.due_ns
        pending = one.pending
        pending.append(tick)
        if len(pending) >= MOST_PENDING:
            one.fold()
        if one.counted:
            for counted in one.counted:
                if counted.on_tick(tick):
                    bar = counted.end(one.symbol, one.session.text, is_partial=False)
                    self._ended.append((tick.ts_ns, bar))
        return bool(self._ended)

    def by_time(self, symbol: str) -> SymbolBars | None:
        """Return what is kept of a symbol of which all bars that run are of time; None for another one.

        A trade in its range, while fewer than :data:`MOST_PENDING` wait, may be appended to its ``pending`` in
        place of :meth:`on_tick`: it ends no bar and changes no other thing.
        """
        one = self._symbols.get(symbol)
        return None if one is None or one.counted else one

    def on_bar(self, bar: Bar) -> bool:
        """Add a bar of the feed. Return whether bars are over that can be taken.

        Where trades of its symbol were seen it is not used. A bar of a wanted interval is told as it is, with
        its beginning; coarser ones are folded from it. What its moment ends is gathered until a later value
        or moment comes.
        """
        try:
            one = self._symbols[bar.symbol]
        except KeyError:
            one = self._first(bar.symbol)
        if one is None or one.from_trades:
            return False
        if self._gathered and self._gathered[0][0] != bar.ts_ns:
            self._tell_gathered()
        over = one.on_bar(bar)
        if over:
            self._gathered += over
            self.due_ns = min(self.due_ns, bar.ts_ns + 1)
        self.due_ns = min(self.due_ns, one.due_ns)
        return bool(self._ended)

    def take_ended(self, now_ns: int) -> list[EndedBars]:
        """Return the bars that are over at ``now_ns`` by moment, the earliest first; each is given once."""
        if self.due_ns <= now_ns:
            self._end_due(now_ns)
        return self._take()

    def end_session(self, now_ns: int) -> None:
        """End the last bars of every session that has closed by ``now_ns``; :meth:`take_ended` gives them.

        A trade of such a session that comes after that is in the first bar of the next one.
        """
        self._over_ns = max(self._over_ns, now_ns)
        for one in self._symbols.values():
            if one is not None:
                self._ended += one.end_session(now_ns)
        self._set_due()

    def finish(self) -> list[EndedBars]:
        """Return what is over at the end of the input: gathered feed bars. A bar that still runs is not told."""
        self._tell_gathered()
        return self._take()

    def begin_source(self, symbol: str | None = None) -> None:
        """Begin with the values of another source, of one symbol or (None) of all: its counts begin at 0.

        Whether trades or bars build the bars of a symbol is seen again from its next values. What runs goes on.
        """
        for one in self._symbols.values():
            if one is not None and symbol in (None, one.symbol):
                one.begin_source()
        self._set_due()

    def export_state(self) -> dict[str, Any]:
        """Return the running bars in plain data, for a checkpoint."""
        return {
            "told": self._told_ns,
            "over": self._over_ns,
            "ended": msgspec.to_builtins(self._ended),
            "gathered": msgspec.to_builtins(self._gathered),
            "symbols": {one.symbol: one.export_state() for one in self._symbols.values() if one is not None},
        }

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state`, which has been through JSON or MessagePack."""
        self._told_ns, self._over_ns = saved["told"], saved["over"]
        self._ended = msgspec.convert(saved["ended"], list[Ended], strict=False)
        self._gathered = msgspec.convert(saved["gathered"], list[Ended], strict=False)
        for symbol, state in saved["symbols"].items():
            one = self._first(symbol)
            if one is not None:
                one.import_state(state)
        self._set_due()

    def _first(self, symbol: str) -> SymbolBars | None:
        """Return what is kept of a symbol that came for the first time; None when none of its bars is wanted."""
        instrument = self._instruments.get(symbol)
        if instrument is None:
            return None
        intervals = {one.interval for one in self._wanted if one.wants(symbol)}
        one = SymbolBars(symbol, intervals, self._sessions_of(instrument.calendar)) if intervals else None
        self._symbols[symbol] = one
        return one

    def _sessions_of(self, calendar: Calendar) -> Sessions:
        found = self._sessions.get(id(calendar))
        if found is None:
            # The calendar is held with them: an id is that of an object only while it lives.
            found = self._sessions[id(calendar)] = (calendar, Sessions(calendar))
        return found[1]

    def _end_due(self, now_ns: int) -> None:
        if self._gathered and self._gathered[0][0] < now_ns:
            self._tell_gathered()
        for one in self._symbols.values():
            if one is not None and one.due_ns <= now_ns:
                over = one.end_due(now_ns)
                self._ended += over
                if one.from_trades:
                    self._told_ns = max(self._told_ns, *(ns for ns, _ in over))
        self._set_due()

    def _tell_gathered(self) -> None:
        self._ended += self._gathered
        self._gathered.clear()

    def _set_due(self) -> None:
        due = min((one.due_ns for one in self._symbols.values() if one is not None), default=NEVER_NS)
        self.due_ns = min(due, self._gathered[0][0] + 1) if self._gathered else due

    def _take(self) -> list[EndedBars]:
        if not self._ended:
            return []
        moments = by_moment(self._ended)
        self._ended.clear()
        return moments


def by_moment(ended: Iterable[Ended]) -> list[EndedBars]:
    """Return bars by moment: the earliest first, in one shorter intervals first, then by symbol."""
    ordered = sorted(ended, key=lambda one: (one[0], parse_interval(one[1].interval).rank, one[1].symbol))
    moments = groupby(ordered, key=lambda one: one[0])
    return [EndedBars(ns, tuple(bar for _, bar in group)) for ns, group in moments]
