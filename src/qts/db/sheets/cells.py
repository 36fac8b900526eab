"""Values as texts of cells, and back to the very same ones; ranges of cells.

Every cell is a text. Times are ISO 8601 with nanoseconds and the offset of UTC, amounts have the digits of the
local book. Characters that a spreadsheet may drop or change (controls, U+2028, halves of surrogate pairs) and the
backslash are written as ``\\uXXXX``, and what is not given (None) as ``\\N``: each is read back as it was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from qts.clock import NS_PER_S, from_ns

NOT_GIVEN: Final = "\\N"
MOST_CHARACTERS: Final = 25_000
"""Characters that are written into a cell; Google Sheets takes 50,000, of which some count twice."""
_UNSAFE: Final = re.compile("[\\\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufeff\ufffe\uffff]")
_ESCAPED: Final = re.compile(r"\\u([0-9a-f]{4})|\\")
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{9})\+00:00")
_INT: Final = re.compile(r"-?(0|[1-9]\d*)")


class Kind(Enum):
    """The kind of the values of a column: texts and amounts, whole numbers, times in ns since 1970, yes or no."""

    TEXT = "text"
    INT = "int"
    TIME = "time"
    FLAG = "flag"


def text_of(value: Any, kind: Kind) -> str:
    """Return a value as the text of a cell. Raises ValueError for one that is of another kind."""
    if value is None:
        return NOT_GIVEN
    if kind is Kind.TEXT and isinstance(value, str):
        return _UNSAFE.sub(_escaped, value)
    if kind is Kind.FLAG:
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value) if kind is Kind.INT else _time(value)
    raise ValueError(f"{value!r} is no {kind.value}")


def value_of(text: Any, kind: Kind) -> Any:
    """Return the value of a cell. Raises ValueError for a cell that was not written by :func:`text_of`."""
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is no text: someone wrote it")
    if text == NOT_GIVEN:
        return None
    if kind is Kind.TEXT:
        return _ESCAPED.sub(_plain, text)
    if kind is Kind.INT and _INT.fullmatch(text):
        return int(text)
    if kind is Kind.TIME and (found := _TIME.fullmatch(text)):
        moment = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
        return _seconds(moment) * NS_PER_S + int(found[2])
    if kind is Kind.FLAG and text in ("yes", "no"):
        return text == "yes"
    raise ValueError(f"{text!r} is no {kind.value}")


def range_of(title: str, first_row: int, last_row: int, columns: int) -> str:
    """Return the range of the first ``columns`` columns of some rows of a tab; rows count from 1."""
    return f"'{title}'!A{first_row}:{letters(columns)}{last_row}"


def keys_range(title: str, first_row: int = 2) -> str:
    """Return the range of the first column from a row below the header to its end."""
    return f"'{title}'!A{first_row}:A"


def letters(column: int) -> str:
    """Return the name of a column, which count from 1: A, …, Z, AA, …."""
    text = ""
    while column:
        column, place = divmod(column - 1, 26)
        text = chr(ord("A") + place) + text
    return text


def pieces(text: str, count: int) -> list[str]:
    """Return a text in ``count`` cells. Raises ValueError for one that does not fit."""
    if len(text) > count * MOST_CHARACTERS:
        raise ValueError(f"it has {len(text)} characters, and {count * MOST_CHARACTERS} fit")
    return [text[place * MOST_CHARACTERS : (place + 1) * MOST_CHARACTERS] for place in range(count)]


def filled(row: Sequence[Any], width: int) -> list[Any]:
    """Return a row with the empty cells at its end, which are not read."""
    return [*row, *[""] * (width - len(row))]


def _time(ns: int) -> str:
    seconds = from_ns(ns - ns % NS_PER_S).replace(tzinfo=None).isoformat(timespec="seconds")
    return f"{seconds}.{ns % NS_PER_S:09}+00:00"


def _seconds(moment: datetime) -> int:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return since.days * 86_400 + since.seconds


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _plain(found: re.Match[str]) -> str:
    if found[1] is None:
        raise ValueError("a backslash stands alone: someone wrote it")
    return chr(int(found[1], 16))
