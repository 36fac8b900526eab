"""Days and hours of the double's market: holidays, settlement, and the phase of each venue at a moment."""

from __future__ import annotations

from datetime import date, timedelta

from tests.doubles.kis.settings import Settings

CLOSED_DAYS = {
    "20260101", "20260216", "20260217", "20260218", "20260302", "20260501", "20260505", "20260525", "20260603",
    "20260717", "20260817", "20260924", "20260925", "20261005", "20261009", "20261225", "20261231", "20270101",
}  # fmt: skip
LATE_DAYS = {"20261119"}
"""Days on which the regular session begins and ends an hour later."""
AFTER_MARKET_FROM = "20260914"
SATURDAY = 5
SETTLEMENT_DAYS = 2

CLOSED, OPENING, CONTINUOUS, CLOSING = "closed", "opening", "continuous", "closing"
BETWEEN, FIXED, AFTER, SINGLE = "between", "fixed", "after", "single"
PRE, PAUSE = "pre", "pause"
_KRX = (
    ("083000", OPENING), ("090000", CONTINUOUS), ("152000", CLOSING), ("153000", BETWEEN), ("154000", FIXED),
    ("160000", AFTER), ("200000", CLOSED),
)  # fmt: skip
_KRX_BEFORE = (*_KRX[:-2], ("160000", SINGLE), ("180000", CLOSED))
_NXT = (
    ("080000", PRE), ("085000", PAUSE), ("090030", CONTINUOUS), ("152000", PAUSE), ("153000", BETWEEN),
    ("154000", AFTER), ("200000", CLOSED),
)  # fmt: skip


class Days:
    """Business days: weekdays without holidays; a test may close and open more."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings()
        self.closed = set(CLOSED_DAYS)
        self.late = set(LATE_DAYS)

    def is_business(self, day: str) -> bool:
        """Return whether the exchange is open on a day (YYYYMMDD)."""
        if self._settings.always_open:
            return True
        return date_of(day).weekday() < SATURDAY and day not in self.closed

    def after(self, day: str, days: int = 1) -> str:
        """Return the business day that is ``days`` after ``day``; before it where ``days`` is negative."""
        found, step = date_of(day), 1 if days > 0 else -1
        while days:
            found += timedelta(days=step)
            days -= step * self.is_business(f"{found:%Y%m%d}")
        return f"{found:%Y%m%d}"

    def settles(self, day: str) -> str:
        """Return the day on which a trade of ``day`` is paid."""
        return self.after(day, SETTLEMENT_DAYS)

    def krx(self, day: str, hms: str) -> str:
        """Return the phase of the exchange at a time (HHMMSS) of a day."""
        return self._phase(_KRX if day >= AFTER_MARKET_FROM else _KRX_BEFORE, day, hms)

    def nxt(self, day: str, hms: str) -> str:
        """Return the phase of the alternative venue at a time (HHMMSS) of a day."""
        return self._phase(_NXT, day, hms)

    def _phase(self, table: tuple[tuple[str, str], ...], day: str, hms: str) -> str:
        if self._settings.always_open:
            return CONTINUOUS
        if not self.is_business(day):
            return CLOSED
        if day in self.late and hms < "163000":
            hms = f"{max(0, int(hms) - 10_000):06}"
        found = CLOSED
        for begin, phase in table:
            if hms >= begin:
                found = phase
        return found


def date_of(day: str) -> date:
    """Return the date of a text YYYYMMDD."""
    return date(int(day[:4]), int(day[4:6]), int(day[6:]))
