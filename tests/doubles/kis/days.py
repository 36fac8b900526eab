"""Days and hours of the double's market: holidays, settlement, and which session a moment belongs to."""

from __future__ import annotations

from datetime import date, timedelta

CLOSED = {
    "20260101", "20260216", "20260217", "20260218", "20260302", "20260501", "20260505", "20260525", "20260603",
    "20260717", "20260817", "20260924", "20260925", "20261005", "20261009", "20261225", "20261231", "20270101",
}  # fmt: skip
SATURDAY = 5
SETTLEMENT_DAYS = 2


class Days:
    """Business days: weekdays without holidays; a test may close and open more."""

    def __init__(self) -> None:
        self.closed = set(CLOSED)

    def is_business(self, day: str) -> bool:
        """Return whether the exchange is open on a day (YYYYMMDD)."""
        return _date(day).weekday() < SATURDAY and day not in self.closed

    def after(self, day: str, days: int = 1) -> str:
        """Return the business day that is ``days`` after ``day``."""
        found = _date(day)
        while days:
            found += timedelta(days=1)
            days -= self.is_business(f"{found:%Y%m%d}")
        return f"{found:%Y%m%d}"

    def settles(self, day: str) -> str:
        """Return the day on which a trade of ``day`` is paid."""
        return self.after(day, SETTLEMENT_DAYS)


def _date(day: str) -> date:
    return date(int(day[:4]), int(day[4:6]), int(day[6:]))
