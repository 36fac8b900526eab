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
NO_TRADE: Final = "no_trade"
NO_VOLUME: Final = "no_volume"
OUTSIDE_RANGE: Final = "outside_range"
BAD_TIME: Final = "bad_time"
TIME_BACKWARDS: Final = "time_backwards"
FUTURE: Final = "future"
DUPLICATE: Final = "duplicate"
LATE: Final = "late"
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
    NO_TRADE: "a bar in which nothing traded: open, high and low 0, or a day without volume (halted, no session)",
    NO_VOLUME: "a bar without a volume",
    OUTSIDE_RANGE: "the open or the close of a bar is outside its low to high",
    BAD_TIME: "the time is no ISO time with an offset from UTC",
    TIME_BACKWARDS: "the row is older than the one before it; times may not decrease",
    FUTURE: "the row claims a time that has not come yet",
    DUPLICATE: "the same row or trade again",
    LATE: "the value was old when it arrived, by the exchange's own time",
    UNKNOWN_SYMBOL: "the symbol is not among the instruments or is no symbol of this market",
    TOO_MANY_SYMBOLS: "more symbols than a session can hold",
    UNKNOWN_STREAM: "a stream this format does not use",
    TRUNCATED_GZIP: "the gzip file ends in the middle; the incomplete last line was dropped",
    DAMAGED_GZIP: (
        "the gzip file is damaged; nothing behind the damage can be read, and values before it may be wrong, "
        "because only the checksum at the end of the file detects it"
    ),
    DAMAGED_PARQUET: "the parquet file is damaged; nothing behind the damage can be read",
}
"""Every reason with its meaning, for reports."""

ALLOWED: Final[Mapping[str, str]] = {
    MALFORMED: "one row a line, as many cells as the header has",
    WRONG_TYPE: "the fields and types of the format",
    INVALID_UTF8: "UTF-8",
    OVERLONG: "at most 1 MiB a line",
    NOT_A_NUMBER: "a plain decimal number, such as 70000 or 0.015",
    NOT_FINITE: "a finite number, or an empty cell where it is unknown",
    OUT_OF_RANGE: "a number that a market can show",
    NO_PRICE: "bid and ask, or a last price, above 0",
    NONPOSITIVE_PRICE: "a price above 0, or an empty cell where there is none",
    NONPOSITIVE_SIZE: "a size above 0",
    NEGATIVE_SIZE: "a size of 0 or above",
    CROSSED_BOOK: "a bid not above the ask",
    NO_TRADE: "a bar with trades; what is left out here loses nothing",
    NO_VOLUME: "a volume of 0 or above",
    OUTSIDE_RANGE: "an open and a close from low to high",
    BAD_TIME: "a time with an offset, such as 2026-01-23T09:01:00+09:00",
    TIME_BACKWARDS: "rows in the order of their times",
    FUTURE: "times that the rows after it agree with",
    DUPLICATE: "each row once",
    LATE: "values that arrive within the seconds that the feed's settings allow",
    UNKNOWN_SYMBOL: "a symbol that is known",
    TOO_MANY_SYMBOLS: "at most 10,000 symbols",
    UNKNOWN_STREAM: "bookTicker, trade, depth",
    TRUNCATED_GZIP: "a whole file",
    DAMAGED_GZIP: "a whole file",
    DAMAGED_PARQUET: "a whole file",
}
"""The allowed content in the place of what was refused, by reason."""

MAX_EXAMPLES: Final = 3
MAX_SHOWN: Final = 120


class RowRefused(Exception):
    """Raised by a parser for a row it cannot use; ``value`` is the part to blame ("" = the whole row).

    ``column`` names the cell where the parser knows it, ``remedy`` is one of :mod:`~qts.market.files.remedies`.
    """

    def __init__(self, reason: str, value: str = "", *, column: str = "", remedy: str = "") -> None:
        super().__init__(reason, value)
        self.reason = reason
        self.value = value
        self.column = column
        self.remedy = remedy


class BlankRow(RowRefused):
    """A row with nothing to use and nothing wrong: an empty line or a header; skipped without a count."""

    def __init__(self) -> None:
        super().__init__("blank")


class RefusalExample(msgspec.Struct, frozen=True):
    """One refused row: its number in the file (from 1) and the value to blame, shortened and escaped.

    ``column`` and ``remedy`` (see :mod:`~qts.market.files.remedies`) are "" where they are not known; ``file`` is
    "" where the feed has only one.
    """

    line: int
    value: str
    column: str = ""
    remedy: str = ""
    file: str = ""


class Refusals:
    """Counts by reason and the first :data:`MAX_EXAMPLES` rows of each."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.examples: dict[str, list[RefusalExample]] = {}

    def wants(self, reason: str) -> bool:
        """Return whether another example of ``reason`` would be kept."""
        return len(self.examples.get(reason, ())) < MAX_EXAMPLES

    def add(
        self, reason: str, line: int, value: str | bytes, *, column: str = "", remedy: str = "", file: str = ""
    ) -> None:
        """Count a refused row, and keep it as an example while there is room."""
        is_kept = self.wants(reason)
        self.count(reason, RefusalExample(line, shorten(value), column, remedy, file) if is_kept else None)

    def count(self, reason: str, example: RefusalExample | None) -> None:
        """Count a refused row; ``example`` is what is kept of it, None when there is no room for one."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        shown = self.examples.setdefault(reason, [])
        if example is not None:
            shown.append(example)

    def state(self) -> dict[str, Any]:
        """Return counts and examples as plain data."""
        return {
            reason: [count, [list(msgspec.structs.astuple(example)) for example in self.examples[reason]]]
            for reason, count in self.counts.items()
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        # In place: a reader that was given the two mappings before a resume keeps seeing the present ones.
        """Restore what :meth:`state` returned."""
        self.counts.clear()
        self.examples.clear()
        for reason, (count, examples) in state.items():
            self.counts[reason] = count
            self.examples[reason] = [RefusalExample(*example) for example in examples]

    def first(self) -> tuple[str, RefusalExample] | None:
        """Return the first refused row and its reason; None when no row was refused."""
        shown = ((reason, examples[0]) for reason, examples in self.examples.items())
        return min(shown, key=lambda pair: pair[1].line, default=None)


def shorten(value: str | bytes, limit: int = MAX_SHOWN) -> str:
    """Return ``value`` cut to ``limit`` characters, control characters and bad bytes escaped: safe to print."""
    head = value[: limit + 1]
    text = head.decode("utf-8", "backslashreplace") if isinstance(head, bytes) else head
    shown = "".join(char if char.isprintable() else _escaped(char) for char in text)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
