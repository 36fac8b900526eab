"""Rows that cannot be used: the reasons, the counts and a few examples of each.

A bad row is an ordinary outcome: it is refused, counted and shown, and the replay goes on. Inside the
parsers it travels as :class:`RowRefused`, which never leaves this package.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

MALFORMED: Final = "malformed"
WRONG_TYPE: Final = "wrong_type"
INVALID_UTF8: Final = "invalid_utf8"
OVERLONG: Final = "overlong"
NOT_A_NUMBER: Final = "not_a_number"
NOT_FINITE: Final = "not_finite"
OUT_OF_RANGE: Final = "out_of_range"
NO_PRICE: Final = "no_price"
NONPOSITIVE_PRICE: Final = "nonpositive_price"
NONPOSITIVE_SIZE: Final = "nonpositive_size"
NEGATIVE_SIZE: Final = "negative_size"
CROSSED_BOOK: Final = "crossed_book"
BAD_TIME: Final = "bad_time"
TIME_BACKWARDS: Final = "time_backwards"
FUTURE: Final = "future"
DUPLICATE: Final = "duplicate"
UNKNOWN_SYMBOL: Final = "unknown_symbol"
TOO_MANY_SYMBOLS: Final = "too_many_symbols"
UNKNOWN_STREAM: Final = "unknown_stream"
TRUNCATED_GZIP: Final = "truncated_gzip"
DAMAGED_GZIP: Final = "damaged_gzip"
DAMAGED_PARQUET: Final = "damaged_parquet"

REASONS: Final[Mapping[str, str]] = {
    MALFORMED: "the line cannot be taken apart: broken JSON, wrong number of cells, no time stamp",
    WRONG_TYPE: "a field is missing or of another type than the format has",
    INVALID_UTF8: "bytes that are no UTF-8",
    OVERLONG: "the line is longer than a row of any format can be",
    NOT_A_NUMBER: "a price or size is no plain decimal number",
    NOT_FINITE: "a price or size is NaN or infinite",
    OUT_OF_RANGE: "a price or size is absurdly large or small",
    NO_PRICE: "the row has no price: absent or all zero (not yet open, suspended)",
    NONPOSITIVE_PRICE: "a price is zero or negative",
    NONPOSITIVE_SIZE: "a trade of no size",
    NEGATIVE_SIZE: "a size or volume is negative",
    CROSSED_BOOK: "the bid is above the ask",
    BAD_TIME: "the time is no ISO time with an offset from UTC",
    TIME_BACKWARDS: "the row is older than the one before it; time never moves back",
    FUTURE: "the row claims a time that has not come yet",
    DUPLICATE: "the same row or trade once more",
    UNKNOWN_SYMBOL: "the symbol is not among the instruments or is no symbol of this market",
    TOO_MANY_SYMBOLS: "more symbols than a session can hold",
    UNKNOWN_STREAM: "a stream this format does not use",
    TRUNCATED_GZIP: "the gzip file ends in the middle; the incomplete last line was dropped",
    DAMAGED_GZIP: (
        "the gzip file is damaged; nothing behind the place where it shows can be read, and values before it may "
        "be wrong: only the checksum at the end of the file tells"
    ),
    DAMAGED_PARQUET: "the parquet file is damaged; nothing behind the damage can be read",
}
"""Every reason with its meaning, for reports."""

MAX_EXAMPLES: Final = 3
MAX_SHOWN: Final = 120


class RowRefused(Exception):
    """Raised by a parser for a row it cannot use; ``value`` is the part to blame ("" = the whole row)."""

    def __init__(self, reason: str, value: str = "") -> None:
        super().__init__(reason, value)
        self.reason = reason
        self.value = value


class BlankRow(RowRefused):
    """Nothing to use and nothing wrong: an empty line or a header; skipped without a count."""

    def __init__(self) -> None:
        super().__init__("blank")


class RefusalExample(msgspec.Struct, frozen=True):
    """One refused row: its number in the file (from 1) and the value to blame, shortened and escaped."""

    line: int
    value: str


class Refusals:
    """Counts by reason and the first :data:`MAX_EXAMPLES` rows of each."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.examples: dict[str, list[RefusalExample]] = {}

    def add(self, reason: str, line: int, value: str | bytes) -> None:
        self.counts[reason] = self.counts.get(reason, 0) + 1
        shown = self.examples.setdefault(reason, [])
        if len(shown) < MAX_EXAMPLES:
            shown.append(RefusalExample(line, shorten(value)))

    def state(self) -> dict[str, Any]:
        return {
            reason: [count, [[example.line, example.value] for example in self.examples[reason]]]
            for reason, count in self.counts.items()
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        # In place: whoever was handed the two mappings before a resume keeps seeing the truth.
        self.counts.clear()
        self.examples.clear()
        for reason, (count, examples) in state.items():
            self.counts[reason] = count
            self.examples[reason] = [RefusalExample(line, value) for line, value in examples]

    def summary(self) -> str:
        """For one line of an error message: reasons by count, and the first example."""
        if not self.counts:
            return "nothing but empty lines"
        parts = ", ".join(f"{reason} {count}" for reason, count in sorted(self.counts.items()))
        first = min((shown[0] for shown in self.examples.values()), key=lambda example: example.line)
        return f"refused: {parts}; line {first.line}: {first.value!r}"


def shorten(value: str | bytes, limit: int = MAX_SHOWN) -> str:
    """``value`` cut to ``limit`` characters, control characters and bad bytes escaped: safe to print."""
    head = value[: limit + 1]
    text = head.decode("utf-8", "backslashreplace") if isinstance(head, bytes) else head
    shown = "".join(char if char.isprintable() else _escaped(char) for char in text)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
