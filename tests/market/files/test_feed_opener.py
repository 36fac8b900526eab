"""What is wrong with a file as a whole is told before anything starts: file, line, value, exit code 2."""

import gzip
import hashlib
import os
import tempfile
from pathlib import Path

import pytest

from qts.errors import DataError
from qts.market.files import FORMATS, open_feed, symbols
from qts.market.files.symbols import generic_instrument
from qts.market.krx import krx_instrument
from qts.notes import Note

from .samples import observed, quote, trade, write

T1 = "2026-01-23T00:01:06.601983Z"
CSV = [b"ts,symbol,last", b"2026-01-23T00:01:06Z,005930,70000"]
SAMPLES = {"binance-raw": [quote(0)], "observer-jsonl": [observed(T1)], "csv": CSV}


UNPRIVILEGED_USER = 65_534


def packed(content: bytes) -> bytes:
    """Gzip without the present time in it: the names of parametrized tests must not change."""
    return gzip.compress(content, mtime=0)


def message_of(path: Path, format: str | None = None) -> str:
    with pytest.raises(DataError) as error:
        open_feed(path, format)
    assert error.value.exit_code == 2
    text = str(error.value)
    assert text.startswith(str(path))
    assert text.isprintable()
    assert len(text) < 1_000
    return text.removeprefix(str(path))


@pytest.mark.parametrize("name", ["f", "f.gz", "f.txt.gz"])
@pytest.mark.parametrize("format", sorted(SAMPLES))
def test_the_format_is_judged_by_content_not_by_name(tmp_path: Path, format: str, name: str) -> None:
    feed = open_feed(write(tmp_path / name, SAMPLES[format]))
    assert feed.source_id.startswith(f"{format}:")
    assert len(list(open_feed(tmp_path / name, format).values())) == 1


def test_a_gz_name_on_a_plain_file_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "plain.gz"
    path.write_bytes(quote(0))
    assert len(list(open_feed(path).values())) == 1


def test_the_source_id_is_format_and_sha256_of_the_content(tmp_path: Path) -> None:
    path = write(tmp_path / "f", SAMPLES["csv"])
    assert open_feed(path).source_id == "csv:" + hashlib.sha256(path.read_bytes()).hexdigest()
    other = write(tmp_path / "g", SAMPLES["csv"])
    assert open_feed(other).source_id == open_feed(path).source_id
    write(tmp_path / "g", SAMPLES["csv"], end=b"")
    assert open_feed(other).source_id != open_feed(path).source_id


@pytest.mark.parametrize("there", sorted(SAMPLES))
@pytest.mark.parametrize("wanted", sorted(SAMPLES))
def test_a_file_of_another_format_is_named_with_line_and_value(tmp_path: Path, there: str, wanted: str) -> None:
    path = write(tmp_path / "f", [b"", *SAMPLES[there]])
    if there == wanted:
        assert len(list(open_feed(path, wanted).values())) == 1
        return
    text = message_of(path, wanted)
    assert text.startswith(f", line 2: not {wanted}")
    assert f"looks like {there}" in text
    assert SAMPLES[there][0][:40].decode() in text


@pytest.mark.parametrize(
    ("content", "called"),
    [
        (b"<html><body>404</body></html>", "HTML or XML"),
        (b'{"a": 1}\n', "JSON of another kind"),
        (b'[{"ts": 1}]\n', "JSON of another kind"),
        (b"PK\x03\x04\x14\x00", "a zip archive"),
        (b"SQLite format 3\x00", "an SQLite database"),
        (b"\x00\x01\x02\x03", "binary data"),
        (b"\xff\xfet\x00s\x00", "UTF-16 text"),
        (b"Date,Open,Close\n2020-01-01,1,2\n", "comma-separated text without the columns it needs"),
        (b"hello\n", "text"),
        (packed(packed(b"a")), "gzip inside gzip"),
        (b"\xff\xff\xff", "text"),
    ],
)
@pytest.mark.parametrize("wanted", [None, "binance-raw", "observer-jsonl", "csv", "parquet"])
def test_foreign_content_is_called_by_its_name(
    tmp_path: Path, content: bytes, called: str, wanted: str | None
) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    text = message_of(path, wanted)
    assert text.startswith(", line 1: ")
    assert f"looks like {called}" in text
    assert (wanted or "no known format") in text


def test_broken_first_lines_do_not_hide_the_format(tmp_path: Path) -> None:
    feed = open_feed(write(tmp_path / "f", [b"rubbish", b"{broken", quote(0)]))
    assert len(list(feed.values())) == 1
    assert dict(feed.rows_refused) == {"malformed": 2}


@pytest.mark.parametrize("content", [b"", b"\n\n", b"  \r\n", packed(b""), packed(b"\n")])
def test_an_empty_file_is_reported(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    assert message_of(path) == ": the file is empty"


def test_a_file_without_a_usable_row_shows_what_was_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "f", [quote(0, "0"), trade(1, 1, "x\x1b[0m"), trade(2, 2, "0")])
    assert message_of(path) == (
        ": no usable row; refused: nonpositive_price 2, not_a_number 1; line 1, column data.b: '0', "
        "a price is zero or negative; allowed: a price above 0, or an empty cell where there is none"
    )
    assert message_of(write(path, CSV[:1])) == ": no usable row; no line holds a value"


@pytest.mark.parametrize(
    "lines",
    [
        [*CSV[:1], b"2300-01-02T09:00:01Z,005930,70000", b"9999-12-31T23:59:59Z,005930,70000"],
        [observed("2300-01-02T00:01:06Z"), observed("9999-12-31T23:59:59Z")],
        [b"9223372036854775807" + quote(0)[19:], b"9999999999999999999" + quote(1)[19:]],
    ],
    ids=["csv", "observer-jsonl", "binance-raw"],
)
def test_a_file_of_times_that_no_store_can_hold_has_no_usable_row(tmp_path: Path, lines: list[bytes]) -> None:
    assert message_of(write(tmp_path / "f", lines)).startswith(": no usable row; refused: future 2; line ")


def test_a_named_symbol_has_the_rules_it_was_given_the_others_those_of_the_format(tmp_path: Path) -> None:
    path = write(
        tmp_path / "f", [CSV[0], b"2026-01-23T00:01:06Z,069500,40005", b"2026-01-23T00:01:06Z,005930,70000"]
    )

    boards = {
        symbol: instrument.ticks.board
        for symbol, instrument in open_feed(
            path, own={"069500": krx_instrument("069500", "ETF")}
        ).instruments.items()
    }

    assert boards == {"069500": "ETF", "005930": "KOSPI"}


def test_one_file_has_one_currency_that_of_its_first_symbol(tmp_path: Path) -> None:
    """Given a symbol named as one in USD after one in won: its rows are refused."""
    rows = [b"2026-01-23T00:01:06Z,005930,70000", b"2026-01-23T00:01:07Z,ABC,10"]
    abroad = generic_instrument("ABC", 0, 0, currency="USD")

    feed = open_feed(write(tmp_path / "f", [CSV[0], *rows]), own={"ABC": abroad})

    assert [value.symbol for value in feed.values()] == ["005930"]
    assert dict(feed.rows_refused) == {"unknown_symbol": 1}
    assert list(feed.instruments) == ["005930"]


def test_a_gzip_file_cut_off_before_its_first_line_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(packed(bytes(range(11, 256)))[:30])
    assert "no usable row; the gzip file ends in the middle" in message_of(path)
    path.write_bytes(b"\x1f\x8b\x08rubbish and more rubbish")
    assert "no usable row; the gzip data is damaged" in message_of(path)


def test_a_gzip_file_cut_off_gives_its_rows_and_runs_to_its_end(tmp_path: Path) -> None:
    path = write(tmp_path / "f.gz", [quote(at, bid_size=str(1 + at % 97)) for at in range(3_000)])
    path.write_bytes(path.read_bytes()[:-5_000])
    feed = open_feed(path)
    values = list(feed.values())
    assert 1_000 < len(values) < 3_000
    assert dict(feed.rows_refused) == {"truncated_gzip": 1}
    assert feed.notes[0] == Note.of("input-ended-early", damage=Note.of("gzip-truncated"), line=len(values))
    assert feed.refusal_examples["truncated_gzip"][0].line == len(values) + 1


def test_paths_that_are_no_readable_files_are_told(tmp_path: Path) -> None:
    assert message_of(tmp_path) == ": this is a directory; name one file"
    assert message_of(tmp_path / "absent.gz") == ": no such file"
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in message_of(tmp_path / "pipe")
    assert "cannot be read" in message_of(tmp_path / ("x" * 300))


def test_a_file_without_permission_is_reported() -> None:
    """Root may read everything, so the test takes another user id for a moment."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        path = write(Path(place) / "f", [quote(0)])
        path.chmod(0)
        if user == 0:
            os.seteuid(UNPRIVILEGED_USER)
        try:
            assert message_of(path) == ": no permission to read this file"
        finally:
            os.seteuid(user)


def test_a_refused_permission_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "f", [quote(0)])

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert message_of(path) == ": no permission to read this file"


def test_an_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one of binance-raw, observer-jsonl, csv, parquet, got 'xml'"):
        open_feed(write(tmp_path / "f", [quote(0)]), "xml")
    assert FORMATS == ("binance-raw", "observer-jsonl", "csv", "parquet")


def test_the_freshness_limit_may_be_given(tmp_path: Path) -> None:
    assert open_feed(write(tmp_path / "f", [quote(0)]), max_age_ns=5).max_age_ns == 5


def test_more_symbols_than_a_session_can_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbols, "MAX_SYMBOLS", 2)
    lines = [CSV[0], *[b"2026-01-23T00:01:06Z,ABC%d,7" % number for number in range(4)]]
    feed = open_feed(write(tmp_path / "f", lines), currency="USD")
    assert len(list(feed.values())) == 2
    assert dict(feed.rows_refused) == {"too_many_symbols": 2}
