"""The running bars of one symbol, from its trades or from the feed's bars of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, Final, NamedTuple, TypeAlias

from qts.clock import NEVER_NS
from qts.market.contracts import Bar, Tick
from qts.market.series.intervals import DAY_NS, Interval, Unit, length_ns, whole_second
from qts.market.series.running import CountedBar, RunningBar, part_of_bar, part_of_trades
from qts.market.series.sessions import Session, Sessions

Ended: TypeAlias = tuple[int, Bar]
"""A bar that is over, after its moment: when that is known by the clock, ns since 1970 UTC."""

_NO_SESSION: Final = Session(date.min, "", -NEVER_NS, -NEVER_NS, -NEVER_NS, -NEVER_NS, False)


class _Uses(NamedTuple):
    """The uses of the feed's bars of one length: told as they are, and folded into longer ones."""

    length_ns: int
    told: tuple[RunningBar, ...]
    folded: tuple[RunningBar, ...]


class SymbolBars:
    """Everything that is kept of one symbol.

    Trades in ``begin_ns`` ≤ t < ``until_ns`` belong to every running bar, so they only wait in ``pending``; the
    range is empty while a bar of an interval has not begun. ``due_ns`` is the earliest end of a running bar by the
    clock. ``session`` is the newest in which a trade was added. Methods that end bars return each with its moment.
    """

    __slots__ = (
        "_floor_ns",
        "_lag_ns",
        "_sessions",
        "_timed",
        "_uses",
        "before_open",
        "begin_ns",
        "counted",
        "due_ns",
        "from_trades",
        "late",
        "pending",
        "repeated",
        "session",
        "symbol",
        "until_ns",
    )

    def __init__(self, symbol: str, intervals: Iterable[Interval], sessions: Sessions) -> None:
        self.symbol = symbol
        self._sessions = sessions
        intervals = sorted(intervals, key=lambda one: one.rank)
        self._timed = [RunningBar(one) for one in intervals if one.unit is Unit.TIME]
        self.counted = [CountedBar(one) for one in intervals if one.unit is not Unit.TIME]
        self.pending: list[Tick] = []
        self.session = _NO_SESSION
        self.from_trades = False
        self.late = self.before_open = self.repeated = 0
        self._floor_ns = -NEVER_NS
        """Where a trade belongs at the earliest: the beginning of what runs, the end of what is over."""
        self._lag_ns = 0
        """How long after its end a bar of the feed was known at most."""
        self._uses: dict[str, _Uses | None] = {}
        self.due_ns = NEVER_NS
        self._close()

    # -- trades ------------------------------------------------------------------------------------------

    def turn(self, ts_ns: int, floor_ns: int, over_ns: int) -> list[Ended]:
        """Make ready for a trade that is outside the range; return the bars that it ends.

        Before ``floor_ns`` every bar was told. A session that closed by ``over_ns`` has ended.
        """
        self.fold()
        if not self.from_trades:
            self.from_trades = True
            self._set_ends(0)
        session = self.session
        if not (max(floor_ns, self._floor_ns) <= ts_ns < session.close_ns and session.close_ns > over_ns):
            at, session = self._place(ts_ns, max(floor_ns, self._floor_ns), over_ns)
        else:
            at = ts_ns
        ended: list[Ended] = []
        begin_ns, until_ns = session.begin_ns, session.end_ns
        for running in self._timed:
            cell = running.cell
            if not cell.start_ns <= at < cell.end_ns:
                if running.has_begun:
                    ended.append(self._end_one(running))
                cell = self._sessions.cell(running.interval, session, at)
                running.begin(cell, NEVER_NS if cell.waits_for_session_end else cell.end_ns)
            if cell.start_ns > begin_ns:
                begin_ns = cell.start_ns
            if cell.until_ns < until_ns:
                until_ns = cell.until_ns
        if session is not self.session:
            if session.day != self.session.day:
                ended += self._end_counted()
            self.session = session
        self.begin_ns, self.until_ns, self._floor_ns = begin_ns, until_ns, max(self._floor_ns, begin_ns)
        self._set_due()
        return ended

    def _place(self, ts_ns: int, floor_ns: int, over_ns: int) -> tuple[int, Session]:
        """Return the moment within a session to which a trade counts, and that session."""
        session = self._sessions.at(ts_ns)
        if ts_ns < session.open_ns and session.open_ns >= floor_ns:
            self.before_open += 1
            ts_ns = session.open_ns
        if ts_ns < floor_ns or (session.closes and session.close_ns <= over_ns):
            self.late += 1
            ts_ns = max(ts_ns, floor_ns)
            session = self._sessions.at(ts_ns)
            while session.closes and session.close_ns <= max(over_ns, floor_ns):
                session = self._sessions.after(session)
        return min(max(ts_ns, session.open_ns), session.close_ns - 1), session

    def begin_source(self) -> None:
        """Take what comes next as the first of its source; what runs goes on."""
        self.fold()
        self._close()
        self.from_trades = False
        self.late = self.before_open = self.repeated = self._lag_ns = 0
        self._uses.clear()
        for one in self._timed:
            one.fed_ns = 0
        self._set_ends(1)

    def _set_ends(self, wait_ns: int) -> None:
        """Let running bars be over so long after their end: bars of a feed that are known at it come before."""
        for one in self._timed:
            if one.has_begun and not one.cell.waits_for_session_end:
                one.due_ns = one.cell.end_ns + wait_ns
        self._set_due()

    def fold(self) -> None:
        """Add the waiting trades to the running bars."""
        if self.pending:
            if self._timed:
                part = part_of_trades(self.pending)
                for running in self._timed:
                    running.add(part)
            self.pending.clear()

    # -- bars of the feed --------------------------------------------------------------------------------

    def on_bar(self, bar: Bar) -> list[Ended]:
        """Add a bar of the feed; return the bars that are over with it, all with its moment."""
        try:
            uses = self._uses[bar.interval]
        except KeyError:
            uses = self._uses_of(bar.interval)
        if uses is None:
            return []
        start_ns, end_ns, session = self._span(bar, uses.length_ns)
        over = [made for one in uses.told if (made := self._tell(one, bar, start_ns, end_ns, session))]
        if uses.folded:
            if uses.length_ns < DAY_NS:
                self._lag_ns = max(self._lag_ns, bar.ts_ns - end_ns)
            for running in uses.folded:
                over += self._add_bar(running, bar, start_ns, end_ns, session)
            self._set_due()
        return [(bar.ts_ns, one) for one in over]

    def _span(self, bar: Bar, length: int) -> tuple[int, int, Session]:
        """Return the beginning and the end of a feed's bar, and its session."""
        sessions = self._sessions
        if length < DAY_NS:
            start = bar.start_ns or whole_second(bar.ts_ns) - length
            return start, start + length, sessions.at(start)
        session = sessions.of_day(date.fromisoformat(bar.day)) if bar.day else sessions.at(bar.ts_ns - 1)
        if not session.closes:
            start = bar.start_ns or whole_second(bar.ts_ns) - length
            return start, start + length, session
        if length == DAY_NS:
            return session.open_ns, session.close_ns, session
        cell = sessions.cell(Interval("", length), session, session.open_ns)
        return cell.start_ns, cell.end_ns, session

    def _tell(self, one: RunningBar, bar: Bar, start_ns: int, end_ns: int, session: Session) -> Bar | None:
        """Return the feed's own bar as it is told; None when it was told before."""
        if start_ns < one.told_ns:
            self.repeated += 1
            return None
        one.drop()  # what trades of another source may have begun
        one.told_ns = end_ns
        return Bar(
            bar.symbol,
            bar.ts_ns,
            bar.open,
            bar.high,
            bar.low,
            bar.close,
            bar.volume,
            one.interval.name,
            bar.day or session.text,
            start_ns,
            bar.value,
            bar.trades,
            bar.partial,
        )

    def _add_bar(self, running: RunningBar, bar: Bar, start_ns: int, end_ns: int, session: Session) -> list[Bar]:
        """Add a feed's bar to a longer one; return the longer ones that are over with it."""
        over: list[Bar] = []
        by_day = running.fed_ns >= DAY_NS
        at = session.open_ns if by_day else start_ns
        floor_ns = max(running.told_ns, running.cell.start_ns if running.has_begun else running.told_ns)
        if at < floor_ns:
            self.late += 1
            at = floor_ns
            session = self._sessions.at(at)
            if session.closes and session.close_ns <= at:
                session = self._sessions.after(session)
        cell = self._sessions.cell(running.interval, session, at)
        if running.has_begun and cell.start_ns >= running.cell.end_ns:
            over.append(self._end_one(running)[1])
        if not running.has_begun:
            due_ns = cell.end_ns + self._lag_ns + 1
            running.begin(cell, NEVER_NS if by_day or cell.waits_for_session_end else due_ns)
        running.add(part_of_bar(bar))
        is_last = (session.close_ns if by_day and session.closes else end_ns) >= running.cell.end_ns
        if is_last and (by_day or not running.cell.waits_for_session_end):
            over.append(self._end_one(running)[1])
        return over

    def _uses_of(self, text: str) -> _Uses | None:
        """Return what bars of an interval are used for, None: nothing; a bar is built from bars of one length."""
        length = length_ns(text) or 0
        told, folded = [], []
        for one in self._timed if length else ():
            if one.interval.ns == length:
                if one.fed_ns not in (0, length):
                    one.drop()  # it was folded from shorter ones: the feed's own are better
                    self._uses.clear()
                one.fed_ns = length
                told.append(one)
            elif one.fed_ns in (0, length) and _divides(length, one.interval):
                one.fed_ns = length
                folded.append(one)
        uses = _Uses(length, tuple(told), tuple(folded)) if told or folded else None
        self._uses[text] = uses
        return uses

    # -- ends --------------------------------------------------------------------------------------------

    def end_due(self, now_ns: int) -> list[Ended]:
        """Return the bars that are over by the clock at ``now_ns``."""
        self.fold()
        over = [self._end_one(one) for one in self._timed if one.due_ns <= now_ns]
        self._set_due()
        return over

    def end_session(self, now_ns: int) -> list[Ended]:
        """Return the last bars of the session that has closed by ``now_ns``; that is their moment."""
        self.fold()
        closed = [one for one in self._timed if one.cell.waits_for_session_end and one.cell.end_ns <= now_ns]
        over = [self._end_one(one) for one in closed if self.from_trades or one.fed_ns < DAY_NS]
        if self.session.close_ns <= now_ns:
            over += self._end_counted()
        self._close()
        self._set_due()
        return [(now_ns, bar) for _, bar in over]

    def _end_one(self, running: RunningBar) -> Ended:
        end_ns, due_ns = running.cell.end_ns, running.due_ns
        self._close()
        if end_ns > self._floor_ns:
            self._floor_ns = end_ns
        # Bars of the feed that are known at the end of this one come a nanosecond before it is due.
        moment_ns = end_ns if due_ns == NEVER_NS or due_ns <= end_ns else due_ns - 1
        return moment_ns, running.end(self.symbol)

    def _end_counted(self) -> list[Ended]:
        if not self.session.closes:
            return []
        bars = [one.end(self.symbol, self.session.text, is_partial=True) for one in self.counted if one.has_begun]
        return [(max(bar.ts_ns, self.session.close_ns), bar) for bar in bars]

    def _close(self) -> None:
        """Make the range of trades that need no look empty."""
        self.begin_ns, self.until_ns = NEVER_NS, -NEVER_NS

    def _set_due(self) -> None:
        due_ns = NEVER_NS
        for one in self._timed:
            if one.due_ns < due_ns:
                due_ns = one.due_ns
        self.due_ns = due_ns

    # -- state -------------------------------------------------------------------------------------------

    def export_state(self) -> dict[str, Any]:
        """Return what is kept, for a checkpoint."""
        self.fold()
        return {
            "from_trades": self.from_trades,
            "session": self.session.text,
            "counts": [self.late, self.before_open, self.repeated],
            "floor": self._floor_ns,
            "lag": self._lag_ns,
            "bars": {one.interval.name: one.export_state() for one in self._all()},
        }

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state`. An interval that is not in it begins empty."""
        self.from_trades, self._floor_ns = saved["from_trades"], saved["floor"]
        self._lag_ns, day = saved["lag"], saved["session"]
        self.session = self._sessions.of_day(date.fromisoformat(day)) if day else _NO_SESSION
        self.late, self.before_open, self.repeated = saved["counts"]
        bars = saved["bars"]
        for one in self._all():
            if one.interval.name in bars:
                one.import_state(bars[one.interval.name])
        self._close()
        self._set_due()

    def _all(self) -> list[RunningBar | CountedBar]:
        return [*self._timed, *self.counted]


def _divides(length: int, interval: Interval) -> bool:
    """Return whether bars of ``length`` add up to bars of ``interval``; a day is added up from all within it."""
    if interval.is_intraday:
        return length < interval.ns and interval.ns % length == 0
    return length < interval.ns and length <= DAY_NS
