"""The report of a day: the differences of two closes, in both languages."""

from __future__ import annotations

from decimal import Decimal as D
from pathlib import Path

import msgspec

from qts.capital.contracts import Pool
from qts.ledger.contracts import PositionRow
from qts.runtime.persistence.day_report_file import write_day_report
from qts.runtime.session.day_report import TEXTS, DayReport, text_of
from tests.db.rows import day_close

BEFORE = day_close("2026-02-12", equity=D(1_000_000), fees=D(100), fills=3, orders=5, causes=1)
CLOSE = day_close(
    "2026-02-13",
    equity=D(1_001_500),
    fees=D(130),
    fills=7,
    orders=11,
    causes=1,
    scalp_realized=D(1_990),
)
HELD = [
    PositionRow("ema", Pool.SCALP, "005930", D(1_200), D(60_000_000), 5),
    PositionRow("ema", Pool.SCALP, "000660", D(0), D(0), 5),
]


def test_a_day_is_what_its_close_has_more_than_the_one_before() -> None:
    # Given a close of 1,001,500 after one of 1,000,000; −10.00 had been earned, now 1,990.00; 4 fills, 6 orders
    lines = text_of(DayReport(D(900_000), "KRW", BEFORE, CLOSE, HELD), "en").splitlines()
    # Then the report has the differences
    assert lines[0] == "Day report 2026-02-13"
    for line in (
        "opening equity: 1,000,000 KRW",
        "closing equity: 1,001,500 KRW",
        "change: +1,500 KRW",
        "result realised, after fees and taxes: +2,000.00 KRW",
        "fees: 30 KRW",
        "fills: 4",
        "orders sent: 6",
        "warnings and alarms: 0",
        "cash of EXTERNAL (not ours): 8 KRW",
        "  ema: 1,200 005930 that cost 60,000,000 KRW",
    ):
        assert line in lines
    assert not any("000660" in line for line in lines)


def test_capital_that_moved_is_no_gain_of_the_day() -> None:
    # Given a close of 1,001,500 after one of 1,000,000, with 3,000 more deposited, 500 more withdrawn, and shares
    # worth 40 taken over since
    moved = msgspec.structs.replace(CLOSE, deposits=D(3_004), withdrawals=D(505), contributed_value=D(800_040))
    lines = text_of(DayReport(D(900_000), "KRW", BEFORE, moved, HELD), "en").splitlines()
    # Then 1,500 − 3,000 − 40 + 500 = −1,040 was lost
    at = lines.index("change: +1,500 KRW")
    assert lines[at + 1 : at + 5] == [
        "of it deposited: +3,000 KRW",
        "of it shares taken over from EXTERNAL, at market prices: +40 KRW",
        "of it withdrawn: -500 KRW",
        "change without these: -1,040 KRW",
    ]
    # And a day on which none moved says nothing of it
    assert "of it" not in text_of(DayReport(D(900_000), "KRW", BEFORE, CLOSE, HELD), "en")


def test_what_did_not_change_has_no_sign() -> None:
    text = text_of(DayReport(D(900_000), "KRW", CLOSE, CLOSE, HELD), "en")
    assert "change: 0 KRW" in text
    assert "result realised, after fees and taxes: 0 KRW" in text


def test_the_first_day_begins_with_the_opening_and_may_hold_nothing() -> None:
    text = text_of(DayReport(D(900_000), "KRW", None, CLOSE, []), "ko")
    assert "시작 총자산: 900,000 KRW" in text
    assert "체결 건수: 7" in text
    assert "  없음" in text


def test_both_languages_say_the_same_things() -> None:
    assert TEXTS["en"].keys() == TEXTS["ko"].keys()


def test_a_folder_that_cannot_be_made_stops_nothing(tmp_path: Path) -> None:
    report = DayReport(D(1), "KRW", None, CLOSE, [])
    write_day_report(tmp_path, report)
    assert sorted(path.name for path in (tmp_path / "days").iterdir()) == ["2026-02-13.en.txt", "2026-02-13.ko.txt"]
    write_day_report(tmp_path / "none", report)
    assert not (tmp_path / "none").exists()
