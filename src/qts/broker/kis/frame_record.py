"""The record of what KIS has sent to a session: frames, answers to questions about prices, and gaps.

Each line is ``TIME KIND TEXT``, with the time at which the text came here, see :mod:`qts.market.day_record`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec

from qts.market.day_record import DayRecord, days_by
from qts.market.krx import KrxCalendar

FORMAT: Final = "qts-kis-frames"
VERSION: Final = 1
FRAME, GAP, BOOK, PRICE, NOTICE = "f", "g", "b", "p", "n"
"""Kinds of lines: a data frame; a gap and its reason; the answer about a book or a price, behind its symbol, as
JSON; a notice of fills, decrypted, without customer, account and name."""


class RecordHead(msgspec.Struct, frozen=True):
    """The first line of a file: of which day (ISO) it is, and how its frames were read."""

    format: str
    version: int
    day: str
    symbols: tuple[str, ...]
    late_ns: int


class FrameRecord(DayRecord[str]):
    """Writes the record of what KIS sends to a session. See :class:`~qts.market.day_record.DayRecord`."""

    def __init__(
        self, directory: Path, symbols: Iterable[str], *, late_ns: int, tell: Callable[[str], object]
    ) -> None:
        known = tuple(symbols)

        def head(day: str) -> bytes:
            """Return the first line of a file."""
            return msgspec.json.encode(RecordHead(FORMAT, VERSION, day, known, late_ns))

        days = days_by(KrxCalendar())
        super().__init__(
            directory, of="the record of KIS", day_of=days, head=head, text_of=lambda text: text, tell=tell
        )
