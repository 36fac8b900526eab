"""Detects the format of a file by its first lines, and names the content of one that has none of ours."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from qts.errors import DataError
from qts.market.files.line_source import BOM
from qts.market.files.reading import ReadAs
from qts.market.files.refusals import shorten
from qts.market.files.remedies import seems_encoded_as
from qts.market.files.table_rows import HEADER, csv_names, delimiter_of, missing_columns

BINANCE_RAW: Final = "binance-raw"
OBSERVER_JSONL: Final = "observer-jsonl"
CSV: Final = "csv"
PARQUET: Final = "parquet"
FORMATS: Final = (BINANCE_RAW, OBSERVER_JSONL, CSV, PARQUET)

SHAPES: Final = {
    BINANCE_RAW: "lines of '<19 digits of local nanoseconds> {json}'",
    OBSERVER_JSONL: 'JSON objects with "ts", "symbol" and "price", one a line',
    CSV: HEADER,
    PARQUET: "a file that begins with PAR1",
}

BARS_HEADER: Final = "a header with date, open, high, low, close and volume"

JUDGED_LINES: Final = 100
"""Lines looked at: a few broken ones at the start do not hide the format."""
_STAMPED: Final = re.compile(rb"[0-9]{19} \{")
_FOREIGN: Final = (
    (b"\x1f\x8b", "gzip inside gzip"),
    (b"PK\x03\x04", "a zip archive"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ\x00", "xz data"),
    (b"\x28\xb5\x2f\xfd", "zstandard data"),
    (b"SQLite format 3", "an SQLite database"),
    (b"%PDF", "a PDF document"),
    (b"\xff\xfe", "UTF-16 text (convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW.csv)"),
    (b"\xfe\xff", "UTF-16 text (convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW.csv)"),
)


def detect(lines: Sequence[bytes], wanted: str | None, path: str, read_as: ReadAs) -> str:
    """Return the format of a file of lines; DataError naming file, line and content when it is not ``wanted``.

    ``read_as`` declares encoding and delimiter of a CSV file.
    """
    numbered = [(number, line) for number, line in enumerate(lines[:JUDGED_LINES], 1) if line.strip()]
    if not numbered:
        raise DataError(f"{path}: the file is empty")
    found = [
        name for name in (format_of(line, read_as, first=not at) for at, (_, line) in enumerate(numbered)) if name
    ]
    if wanted in found or (wanted is None and found):
        return wanted or found[0]
    number, line = numbered[0]
    place = f"{path}, line {number}"
    looks = f"looks like {found[0]}" if found else f"looks like {describe(line)}"
    seen = shorten(line.removeprefix(BOM))
    if wanted is None:
        known = "; ".join(f"{name}: {shape}" for name, shape in SHAPES.items())
        raise DataError(f"{place}: no known format, it {looks}: {seen!r}. Known are {known}; bars: {BARS_HEADER}")
    raise DataError(f"{place}: not {wanted} ({SHAPES[wanted]}); the file {looks}: {seen!r}")


def format_of(line: bytes, read_as: ReadAs, *, first: bool) -> str | None:
    """Return the format whose line this is; a CSV header counts only as the ``first`` line."""
    if _STAMPED.match(line):
        return BINANCE_RAW
    bare = line.lstrip()
    if bare.startswith(b"{") and all(key in bare for key in (b'"ts"', b'"symbol"', b'"price"')):
        return OBSERVER_JSONL
    if first:
        encoding = read_as.encoding or "utf-8"
        mark = read_as.delimiter or delimiter_of(line, encoding)
        return None if missing_columns(csv_names(line, mark, encoding)) else CSV
    return None


def describe(line: bytes) -> str:
    """Return a short name for content that is none of our formats."""
    for magic, name in _FOREIGN:
        if line.startswith(magic):
            return name
    if b"\x00" in line:
        return "binary data"
    bare = line.removeprefix(BOM).strip()
    if bare.startswith(b"<"):
        return "HTML or XML"
    if bare.startswith((b"{", b"[")):
        return "JSON of another kind"
    encoding = seems_encoded_as(line)
    if encoding and not csv_names(line):
        return (
            f"{encoding.upper()} text (Korean): --encoding {encoding} reads it, or convert it: "
            f"iconv -f {encoding} -t UTF-8 FILE > NEW.csv"
        )
    names = csv_names(line)
    if len(names) > 1:
        lacking = "; ".join(missing_columns(names))
        return f"comma-separated text without the columns it needs ({lacking})"
    return "text"
