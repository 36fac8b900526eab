"""A record of days: what ends it is told, and the session that adds to it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from qts.market.contracts import Calendar
from qts.market.day_record import DayRecord, days_by, days_of, files_of, lines_in
from qts.market.generic import AlwaysOpen
from qts.market.krx import KrxCalendar

NOON_NS = 1_760_000_000_000_000_000
"""09 October 2025, 17:53 in Seoul."""


def record_in(directory: Path, told: list[str], calendar: Calendar | None = None) -> DayRecord[str]:
    def text_of(entry: str) -> str:
        if entry == "impossible":
            raise ValueError("no text")
        return entry

    day_of = days_by(calendar or KrxCalendar())
    return DayRecord(
        directory, of="the record", day_of=day_of, head=lambda day: day.encode(), text_of=text_of, tell=told.append
    )


def test_what_is_added_is_in_the_file_of_its_day(tmp_path: Path) -> None:
    told: list[str] = []
    record = record_in(tmp_path / "days", told)
    record.begin()
    record.add(NOON_NS, "v", "first")
    record.add(NOON_NS + 1, "v", "second")
    record.close()

    (day,) = days_of(tmp_path / "days")
    (path,) = files_of(tmp_path / "days", day)
    assert list(lines_in(path)) == [
        b"2025-10-09\n",
        b"1760000000000000000 v first\n",
        b"1760000000000000001 v second\n",
    ]
    assert (told, record.dropped) == ([], 0)


def test_an_entry_without_a_text_ends_the_record_and_is_told(tmp_path: Path) -> None:
    # Given a record of which an entry has no text
    told: list[str] = []
    record = record_in(tmp_path / "days", told)
    record.begin()
    record.add(NOON_NS, "v", "impossible")
    record.close()

    # Then why it ended is told, and what comes later is counted
    record.add(NOON_NS + 1, "v", "later")
    assert told == [f"the record is not written any more: ValueError: no text in {tmp_path / 'days'}"]
    assert record.dropped == 1


@pytest.mark.parametrize(
    ("calendar", "days"), [(KrxCalendar(), ["2025-10-09"]), (AlwaysOpen(), ["2025-10-08", "2025-10-09"])]
)
def test_a_day_ends_at_midnight_of_its_market(tmp_path: Path, calendar: Calendar, days: list[str]) -> None:
    """23:00 and 01:00 in UTC are 08:00 and 10:00 of one day in Seoul."""
    record = record_in(tmp_path / "days", [], calendar)
    record.begin()
    for hour in (-10, -8):
        record.add(NOON_NS + hour * 3_600 * 1_000_000_000, "v", "one")
    record.close()

    assert list(days_of(tmp_path / "days")) == days
