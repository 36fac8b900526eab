"""The record of what KIS has sent, and the feed that reads it."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from qts.broker.kis.frame_record import BOOK, FRAME, GAP, NOTICE, PRICE, FrameRecord
from qts.broker.kis.recorded_feed import RecordedFeed, is_record
from qts.clock import NS_PER_S
from qts.errors import DataError
from qts.market.contracts import BookUpdate, Quote, Tick
from qts.market.day_record import days_of, files_of
from tests.broker.kis.frames_text import book_record, frame, trade_record
from tests.conformance.feed import FeedTests, Opens

NOW_NS = 1_769_043_600 * NS_PER_S
"""10:00:00 of 22 January 2026 in Seoul."""
DAY = "2026-01-22"
NEXT_DAY_NS = NOW_NS + 24 * 3_600 * NS_PER_S
Lines = list[tuple[int, str, str]]


def written(directory: Path, lines: Lines, told: list[str] | None = None) -> Path:
    """Record lines in one start of a session."""
    tell: Callable[[str], object] = print if told is None else told.append
    record = FrameRecord(directory, ("005930", "000660"), late_ns=5 * NS_PER_S, tell=tell)
    record.begin()
    for line in lines:
        record.add(*line)
    record.close()
    record.close()
    return directory


def trades(count: int, first: int = 0) -> Lines:
    """Return frames of trades, one a millisecond."""
    return [
        (NOW_NS + n * 1_000_000, FRAME, frame("H0STCNT0", trade_record(f13=str(1_000 + n))))
        for n in range(first, first + count)
    ]


class TestRecordedFeed(FeedTests):
    """Twenty trades, of which one comes twice, a book, a gap, an answer, and lines that are no values."""

    refused = 3

    @pytest.fixture
    def opens(self, tmp_path: Path) -> Opens:
        lines = trades(20)
        lines.insert(5, lines[4])
        lines += [
            (NOW_NS + 30_000_000, FRAME, frame("H0STASP0", book_record())),
            (NOW_NS + 31_000_000, FRAME, "no frame\nat all"),
            (NOW_NS + 32_000_000, GAP, "cut"),
            (NOW_NS + 33_000_000, BOOK, '000660 {"askp1":"200500","askp_rsqn1":"3","stck_prpr":"200000"}'),
            (NOW_NS + 34_000_000, BOOK, "000660 no JSON"),
            (NOW_NS + 35_000_000, PRICE, "005930 {}"),
            (NOW_NS + 36_000_000, NOTICE, "^^1"),
        ]
        place = written(tmp_path / "one", lines)
        return lambda: RecordedFeed(place, None, {})

    @pytest.fixture
    def opens_another(self, tmp_path: Path) -> Opens:
        place = written(tmp_path / "another", trades(21))
        return lambda: RecordedFeed(place, None, {})

    def test_what_was_sent_is_read(self, opens: Opens) -> None:
        values = list(opens().values())

        assert len([one for one in values if isinstance(one, Tick)]) == 20
        update, sides, gap, asked, last = values[-5:]
        assert isinstance(update, BookUpdate)
        assert isinstance(sides, Quote)
        assert gap == BookUpdate("005930", NOW_NS + 32_000_000, (), (), after_gap=True)
        assert isinstance(asked, BookUpdate)
        assert last == Quote(
            "000660", NOW_NS + 33_000_000, None, Decimal(200_500), None, Decimal(3), Decimal(200_000)
        )


def test_each_day_and_each_start_has_a_file(tmp_path: Path) -> None:
    place = tmp_path / "feed"
    written(place, [*trades(2), (NEXT_DAY_NS, GAP, "cut")])
    written(place, trades(2, first=2))

    assert days_of(place) == [DAY, "2026-01-23"]
    assert [path.name for path in files_of(place, DAY)] == [f"{DAY}.0001.txt.gz", f"{DAY}.0002.txt.gz"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in place.iterdir())
    feed = RecordedFeed(place, date(2026, 1, 22), {})
    assert len([one for one in feed.values() if isinstance(one, Tick)]) == 4


def test_a_day_has_to_be_named_where_there_are_several(tmp_path: Path) -> None:
    place = written(tmp_path / "feed", [*trades(1), (NEXT_DAY_NS, GAP, "cut")])

    with pytest.raises(DataError, match=f"{DAY}, 2026-01-23"):
        RecordedFeed(place, None, {})
    with pytest.raises(DataError, match="no record of 2026-01-24"):
        RecordedFeed(place, date(2026, 1, 24), {})


def test_what_a_kill_has_cut_off_is_left_out(tmp_path: Path) -> None:
    """given a file that ends anywhere, then what is whole before that is read"""
    place = written(tmp_path / "feed", trades(50))
    (path,) = files_of(place, DAY)
    whole = path.read_bytes()
    counts = set()
    for end in range(len(whole) // 2, len(whole), 97):
        path.write_bytes(whole[:end])
        counts.add(len(list(RecordedFeed(place, None, {}).values())))

    assert max(counts) <= 100
    assert all(count % 2 == 0 for count in counts)


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", gzip.compress(b"{}\n", mtime=0), gzip.compress(b'{"format":1}\n', mtime=0)],
)
def test_what_is_no_record_is_refused(tmp_path: Path, content: bytes) -> None:
    place = tmp_path / "feed"
    place.mkdir()
    (place / f"{DAY}.0001.txt.gz").write_bytes(content)

    with pytest.raises(DataError):
        RecordedFeed(place, None, {})


def test_a_directory_without_files_is_no_record(tmp_path: Path) -> None:
    assert not is_record(tmp_path)
    assert not is_record(tmp_path / "missing")
    assert is_record(written(tmp_path / "feed", trades(1)))


def test_a_disk_that_fails_ends_the_record_alone(tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "feed").write_text("a file in the place of the directory")

    written(tmp_path / "feed", trades(3), told)

    assert len(told) == 1
    assert "not written any more" in told[0]
