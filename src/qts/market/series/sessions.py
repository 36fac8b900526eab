"""The sessions of a market as bars need them: to which one a moment belongs, and the cells of an interval in it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Final, NamedTuple

from qts.clock import NEVER_NS, NS_PER_S, from_ns, to_ns
from qts.market.contracts import Calendar
from qts.market.series.intervals import DAY_NS, Interval

AFTER_CLOSE_NS: Final = 60 * NS_PER_S
"""A session ends so long after its close: closing auctions of KRX may end up to 30 s late."""

_LONGEST_PAUSE_DAYS: Final = 400
_KEPT: Final = 512
_ONE_DAY: Final = timedelta(days=1)
_WEEK_DAYS: Final = 7


class Session(NamedTuple):
    """One session; times are ns since 1970 UTC.

    Bars lie in ``open_ns`` ≤ t < ``close_ns``. Every moment from ``begin_ns`` (a midnight after the session before)
    to below ``end_ns`` (the midnight after its own day) belongs to it. In a market that never closes a session
    is a day from midnight to midnight on the market's clock, and ``closes`` is False.
    """

    day: date
    text: str
    begin_ns: int
    open_ns: int
    close_ns: int
    end_ns: int
    closes: bool


class Cell(NamedTuple):
    """The time [``start_ns``, ``end_ns``) that a bar covers; ``is_cut``: it is shorter than its interval.

    ``until_ns`` is when it is over for values: its end, or for the last of a session that closes the end of that
    day, since values between the close and the end of the session belong to it. ``day`` is the ISO date on which it
    ends.
    """

    start_ns: int
    end_ns: int
    until_ns: int
    is_cut: bool
    day: str

    @property
    def waits_for_session_end(self) -> bool:
        """Return whether it is over only when its session has ended, not at its own end."""
        return self.until_ns > self.end_ns


NO_CELL: Final = Cell(NEVER_NS, -NEVER_NS, -NEVER_NS, False, "")
"""The cell of a bar that has not begun."""


def open_ns(calendar: Calendar, day: date) -> int:
    """Return when the session of ``day`` opens; where the market has no opening on that day, its midnight."""
    midnight = calendar.at(day, 0)
    opening = calendar.next_open(midnight)
    if opening is not None and calendar.local_date(opening) == day:
        return to_ns(opening)
    return to_ns(midnight)


class Sessions:
    """The sessions of one calendar, looked up once a day."""

    __slots__ = ("_by_day", "_calendar", "_cells", "_present", "_weeks")

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self._present = Session(date.min, "", 0, 0, 0, 0, False)
        self._by_day: dict[date, Session] = {}
        self._weeks: dict[date, tuple[int, Session]] = {}
        self._cells: dict[str, Cell] = {}

    def at(self, ts_ns: int) -> Session:
        """Return the session to which a moment belongs; between two of them the one to come."""
        present = self._present
        if not present.begin_ns <= ts_ns < present.end_ns:
            present = self._present = self.of_day(self._calendar.local_date(from_ns(ts_ns)))
        return present

    def after(self, session: Session) -> Session:
        """Return the session after ``session``."""
        return self.of_day(session.day + _ONE_DAY)

    def next_end_ns(self, ts_ns: int) -> int:
        """Return when the first session ends that has not ended by ``ts_ns``; NEVER_NS in a market without closes.

        A session ends :data:`AFTER_CLOSE_NS` after its close.
        """
        session = self.at(ts_ns - AFTER_CLOSE_NS)
        if session.closes and session.close_ns + AFTER_CLOSE_NS <= ts_ns:
            session = self.after(session)
        return session.close_ns + AFTER_CLOSE_NS if session.closes else NEVER_NS

    def of_day(self, day: date) -> Session:
        """Return the session of ``day``, or where the market does not open on it the one after it."""
        found = self._by_day.get(day)
        if found is None:
            if len(self._by_day) >= _KEPT:
                self._by_day.clear()
                self._weeks.clear()
            found = self._by_day[day] = self._find(day)
        return found

    def cell(self, interval: Interval, session: Session, at_ns: int) -> Cell:
        """Return the cell of a time interval in which a moment of ``session`` lies.

        A moment before the open counts as the open, one from the close on as the last before the close. Intervals
        are told apart by their names.
        """
        cell = self._cells.get(interval.name, NO_CELL)  # all symbols are in the same one
        if not cell.start_ns <= at_ns < cell.end_ns:
            cell = self._cells[interval.name] = self._cell(interval, session, at_ns)
        return cell

    def _cell(self, interval: Interval, session: Session, at_ns: int) -> Cell:
        if not interval.is_intraday:
            start, last = (session.open_ns, session) if interval.ns == DAY_NS else self._week(session)
            return _cell(start, last, last.close_ns, False)
        inside = min(max(at_ns, session.open_ns), session.close_ns - 1) - session.open_ns
        start = session.open_ns + inside - inside % interval.ns
        end = min(start + interval.ns, session.close_ns)
        return _cell(start, session, end, end - start < interval.ns)

    def _week(self, session: Session) -> tuple[int, Session]:
        """Return the open of the first session of a week, which begins on Monday, and its last session."""
        monday = session.day - timedelta(days=session.day.weekday())
        week = self._weeks.get(monday)
        if week is None:
            following = monday + timedelta(days=_WEEK_DAYS)
            first = last = self.of_day(monday)
            while (later := self.after(last)).day < following:
                last = later
            week = self._weeks[monday] = (first.open_ns, last)
        return week

    def _find(self, day: date) -> Session:
        calendar, midnight = self._calendar, to_ns(self._calendar.at(day, 0))
        for ahead in range(_LONGEST_PAUSE_DAYS):
            present = day + timedelta(days=ahead)
            close = calendar.close(present) if calendar.is_trading_day(present) else None
            if close is not None:
                end = to_ns(calendar.at(present + _ONE_DAY, 0))
                return Session(
                    present, present.isoformat(), midnight, open_ns(calendar, present), to_ns(close), end, True
                )
            if not ahead and calendar.next_open(calendar.at(day, 0)) is None:
                break
        end = to_ns(calendar.at(day + _ONE_DAY, 0))
        return Session(day, day.isoformat(), midnight, midnight, end, end, False)


def _cell(start_ns: int, session: Session, end_ns: int, is_cut: bool) -> Cell:
    is_last = session.closes and end_ns == session.close_ns
    return Cell(start_ns, end_ns, session.end_ns if is_last else end_ns, is_cut, session.text)
