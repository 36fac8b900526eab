"""Phase and local date of one calendar, cached, because the matching loop asks at every value."""

from __future__ import annotations

from datetime import date, timedelta

from qts.clock import NS_PER_S, NS_PER_US, from_ns, to_ns
from qts.market.contracts import Calendar, Phase


class SessionTimes:
    """Looks a phase up once a second and a date once a day.

    Phases change on whole seconds; the changing moment itself may belong to either side, so it is always asked.
    """

    __slots__ = ("_ask", "_day", "_day_end", "_day_start", "_phase", "_second", "calendar")

    def __init__(self, calendar: Calendar) -> None:
        self.calendar = calendar
        self._ask = calendar.phase_ns
        self._second = -1
        self._phase = Phase.CLOSED
        self._day = date.min
        self._day_start = self._day_end = 0

    def phase(self, ts_ns: int) -> Phase:
        """Return the market's phase at ``ts_ns``."""
        second, within = divmod(ts_ns, NS_PER_S)
        if not within:
            return self._ask(ts_ns)
        if second != self._second:
            self._phase = self._ask(second * NS_PER_S + NS_PER_US)
            self._second = second
        return self._phase

    def day(self, ts_ns: int) -> date:
        """Return the market's own date at ``ts_ns``."""
        if not self._day_start <= ts_ns < self._day_end:
            self._day = self.calendar.local_date(from_ns(ts_ns))
            self._day_start = to_ns(self.calendar.at(self._day, 0))
            self._day_end = to_ns(self.calendar.at(self._day + timedelta(days=1), 0))
        return self._day

    def never_closes(self, ts_ns: int) -> bool:
        """Return whether the market never closes."""
        return self.calendar.next_open(from_ns(ts_ns)) is None
