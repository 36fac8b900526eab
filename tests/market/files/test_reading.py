"""What a csv file does not say of itself can be declared; what it shows without doubt is seen, and message_of."""

from __future__ import annotations

from decimal import Decimal as D
from pathlib import Path

import pytest

from qts.errors import DataError
from qts.market.contracts import Quote
from qts.market.files import open_feed
from qts.market.files.reading import ReadAs, read_as
from qts.notes import in_english

from .samples import write

HEADER = "ts,symbol,bid,ask,bid_size,ask_size,last,size"
ROW = "{ts},005930,151600,151700,350,420,151700,10"
NS = 1_769_126_460_000_000_000
"""2026-01-23 09:01 in Korea."""
VALUE = Quote("005930", NS, D(151600), D(151700), D(350), D(420), D(151700), D(10))


def message_of(path: Path) -> str:
    """What the message says of a file that cannot be used, without the name of the file."""
    with pytest.raises(DataError) as caught:
        open_feed(path)
    return str(caught.value).removeprefix(str(path))


def table(path: Path, ts: str, *, mark: str = ",", row: str = ROW) -> Path:
    text = "\n".join([HEADER, row.format(ts=ts), ""])
    path.write_text(text.replace(",", mark), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("ts", "declared"),
    [
        ("2026-01-23T09:01:00", ReadAs(timezone="Asia/Seoul")),
        ("2026-01-23 09:01:00", ReadAs(timezone="Asia/Seoul")),
        ("2026-01-23T00:01:00Z", ReadAs(timezone="Asia/Seoul")),  # its own offset stands above
        ("1769126460", ReadAs(date_format="epoch_s")),
        ("1769126460.0", ReadAs(date_format="epoch_s")),
        ("1769126460000", ReadAs(date_format="epoch_ms")),
        ("1769126460000000", ReadAs(date_format="epoch_us")),
        ("1769126460000000000", ReadAs(date_format="epoch_ns")),
        ("46045.375694444", ReadAs(date_format="excel", timezone="Asia/Seoul")),
        ("23/01/2026 09:01", ReadAs(date_format="%d/%m/%Y %H:%M", timezone="Asia/Seoul")),
        ("23/01/2026 09:01 +0900", ReadAs(date_format="%d/%m/%Y %H:%M %z")),
    ],
)
def test_a_declared_form_of_times_is_taken(tmp_path: Path, ts: str, declared: ReadAs) -> None:
    assert list(open_feed(table(tmp_path / "f.csv", ts), read_as=declared).values()) == [VALUE]


@pytest.mark.parametrize(
    ("ts", "remedy"),
    [
        ("2026-01-23T09:01:00", "--timezone Asia/Seoul"),
        ("1769126460", "--date-format epoch_s"),
        ("1769126460000", "--date-format epoch_ms"),
        ("46045.375694", "--date-format excel --timezone Asia/Seoul"),
        ("23/01/2026", "the day is first: --date-format %d/%m/%Y"),
        ("01/23/2026", "the month is first: --date-format %m/%d/%Y"),
        ("03/04/2024", "--date-format %d/%m/%Y or --date-format %m/%d/%Y"),
    ],
)
def test_a_time_that_cannot_be_read_names_line_column_value_what_is_allowed_and_the_remedy(
    tmp_path: Path, ts: str, remedy: str
) -> None:
    message = message_of(table(tmp_path / "f.csv", ts))

    assert f"line 2, column ts: {ts!r}" in message
    assert "allowed: a time with an offset, such as 2026-01-23T09:01:00+09:00" in message
    assert remedy in message


def test_a_lost_leading_zero_is_named(tmp_path: Path) -> None:
    message = message_of(table(tmp_path / "f.csv", "2026-01-23T09:01:00+09:00", row=ROW.replace("005930", "5930")))

    assert "line 2, column symbol: '5930'" in message
    assert "its leading zeros are lost: 005930" in message


@pytest.mark.parametrize(
    ("number", "remedy"),
    [('"151,600"', "thousands separators"), ('"151600,5"', "no decimal comma"), ("151600 원", "")],
)
def test_a_number_written_in_another_way_is_refused_with_its_remedy(
    tmp_path: Path, number: str, remedy: str
) -> None:
    message = message_of(table(tmp_path / "f.csv", "2026-01-23T09:01:00+09:00", row=ROW.replace("151600", number)))

    assert "line 2, column bid" in message
    assert "allowed: a plain decimal number, such as 70000 or 0.015" in message
    assert remedy in message


@pytest.mark.parametrize(("mark", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars")])
def test_another_delimiter_is_seen_and_told(tmp_path: Path, mark: str, name: str) -> None:
    feed = open_feed(table(tmp_path / "f.csv", "2026-01-23T09:01:00+09:00", mark=mark))

    assert list(feed.values()) == [VALUE]
    assert in_english(feed.notes[0]) == f"input: cells are separated by {name}, as its first line shows"


def test_a_declared_delimiter_is_no_guess(tmp_path: Path) -> None:
    path = table(tmp_path / "f.csv", "2026-01-23T09:01:00+09:00", mark=";")
    feed = open_feed(path, read_as=read_as(delimiter="semicolon"))

    assert list(feed.values()) == [VALUE]
    assert not any(note.code == "input-delimiter" for note in feed.notes)


def test_blanks_around_cells_are_no_part_of_them(tmp_path: Path) -> None:
    path = table(tmp_path / "f.csv", "2026-01-23T09:01:00+09:00", mark=", ")

    assert list(open_feed(path).values()) == [VALUE]


def test_a_header_in_cp949_says_so_and_can_be_declared(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    rows = [f"{HEADER},비고", ROW.format(ts="2026-01-23T09:01:00+09:00") + ",삼성전자"]
    path.write_bytes("\n".join(rows).encode("cp949"))

    assert "line 1" in message_of(path)
    assert "looks like CP949 text (Korean): --encoding cp949 reads it" in message_of(path)
    assert list(open_feed(path, read_as=read_as(encoding="cp949")).values()) == [VALUE]


def test_a_remark_in_cp949_is_refused_with_its_line_and_its_remedy(tmp_path: Path) -> None:
    row = ROW.format(ts="2026-01-23T09:01:00+09:00")
    path = write(tmp_path / "f.csv", [HEADER.encode() + b",note", f"{row},삼성".encode("cp949")])

    assert "invalid_utf8 1; line 2" in message_of(path)
    assert "it seems to be cp949 (Korean): --encoding cp949" in message_of(path)


def test_what_was_declared_is_part_of_the_name_of_the_input(tmp_path: Path) -> None:
    path = table(tmp_path / "f.csv", "2026-01-23T09:01:00")
    seoul, utc = (open_feed(path, read_as=read_as(timezone=zone)).source_id for zone in ("Asia/Seoul", "UTC"))

    assert seoul != utc
    assert seoul.endswith("?timezone=Asia/Seoul")


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({"encoding": "utf-16"}, "cp949"),
        ({"delimiter": "x"}, "semicolon"),
        ({"timezone": "Korea/Seoul"}, "Asia/Seoul"),
        ({"timezone": "../etc"}, "Asia/Seoul"),
        ({"date_format": "dd/mm"}, "epoch_ms"),
    ],
)
def test_a_declaration_that_is_none_names_what_is_allowed(given: dict[str, str], allowed: str) -> None:
    with pytest.raises(DataError, match=allowed):
        read_as(**given)


def test_a_declaration_is_refused_where_it_means_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "f", [b'{"ts":"2026-01-23T00:01:00Z","symbol":"005930","price":{"close":1}}'])

    with pytest.raises(DataError, match="--timezone is for csv files; this one is observer-jsonl"):
        open_feed(path, read_as=read_as(timezone="Asia/Seoul"))


def test_trades_alike_in_everything_are_told_apart_by_an_id(tmp_path: Path) -> None:
    row = "2026-01-23T00:00:00+00:00,005930,,,,,70000,1"
    alike = write(tmp_path / "alike.csv", [line.encode() for line in (HEADER, row, row, row)])
    numbered = write(
        tmp_path / "ids.csv", [line.encode() for line in (HEADER + ",id", row + ",1", row + ",2", row + ",3")]
    )

    feed = open_feed(alike)
    assert len(list(feed.values())) == 1
    assert feed.refusal_examples["duplicate"][0].remedy == "tell_apart"
    assert len(list(open_feed(numbered).values())) == 3
