"""The one time zone of what a command prints for people: the market's, always written beside the time."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from pathlib import Path

from qts.clock import from_ns, to_ns, zone_of


class MarketTime:
    """The market's clock of one run; ``time_zone`` is what its view or result names, such as ``KST +0900``.

    An empty text, of a run that has shown nothing and of a program that keeps only the states, means UTC.
    """

    def __init__(self, time_zone: str = "") -> None:
        self._zone = zone_of(time_zone)
        self.zone = self._zone.tzname(None)
        """The name of the zone, to be written beside every time."""

    @classmethod
    def of_run(cls, directory: Path) -> MarketTime:
        """Return the clock of the run in ``directory``. Raises StorageError when its view cannot be read."""
        from qts.runtime.session.session_view import read_view

        view = read_view(directory)
        return cls("" if view is None else view.time_zone)

    def local(self, moment: datetime) -> datetime:
        """Return ``moment`` in the market's zone."""
        return moment.astimezone(self._zone)

    def bounds(self, day: date) -> tuple[int, int]:
        """Return the first moment of ``day`` in the market's zone and that of the next day, ns since 1970, UTC."""
        first = datetime.combine(day, time(), self._zone)
        return to_ns(first), to_ns(first + timedelta(days=1))

    def bare(self, ns: int) -> str:
        """Return a moment (ns since 1970, UTC) to the second, for a column whose title names the zone."""
        return f"{self.local(from_ns(ns)):%Y-%m-%d %H:%M:%S}"

    def second(self, ns: int) -> str:
        """Return a moment (ns since 1970, UTC) to the second, with its zone."""
        return f"{self.bare(ns)} {self.zone}"

    def microsecond(self, moment: datetime) -> str:
        """Return a moment to the microsecond, with its zone."""
        return f"{self.local(moment):%Y-%m-%d %H:%M:%S.%f} {self.zone}"

    def minute(self, moment: datetime) -> str:
        """Return a moment to the minute, with its zone."""
        return f"{self.local(moment):%Y-%m-%d %H:%M} {self.zone}"
