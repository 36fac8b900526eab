"""Numbers that a checkpoint keeps of the store: its own, its length, the last row of each append-only table."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from qts.db.decoding import of_row
from qts.db.tables import ACTIONS, APPEND_ONLY, BARS, BATCHES, BOOKINGS, DAY_CLOSES, HOLDING_CLOSES, STAGES

_LATER: Final = (ACTIONS, BARS, BOOKINGS, DAY_CLOSES, HOLDING_CLOSES, STAGES)
NUMBERED: Final = (
    *(table.name for table in APPEND_ONLY if table not in _LATER),
    BATCHES,
    *(table.name for table in _LATER),
)
"""The tables in the order in which they came into the marks; those of a later version stand last."""
_TEXT: Final = " ".join(["%015d"] * (2 + len(NUMBERED)))


def marks_text(generation: int, size: int, last: Iterable[int]) -> str:
    """Return the marks as they are stored: always as long, so that they overwrite the last ones in place."""
    return _TEXT % (generation, size, *last)


def marks_of(connection: sqlite3.Connection, path: Path) -> list[int]:
    """Return generation, length of the checkpoint and last row numbers; all 0, generation 1, when there is none.

    Raises StorageError for what no checkpoint has written.
    """
    row = connection.execute(
        "SELECT marks, CASE typeof(data) WHEN 'blob' THEN length(data) END FROM checkpoint"
    ).fetchone()
    if row is None:
        return [1] + [0] * (1 + len(NUMBERED))
    with of_row(path, "checkpoint", 1):
        text, length = row
        marks = [int(mark) for mark in str.split(text)]
        complete = 2 <= len(marks) <= 2 + len(NUMBERED)
        if not (complete and marks[0] >= 1 and marks[1] <= length and min(marks) >= 0):
            raise ValueError(f"its marks are {text[:200]!r}, its data has {length} bytes")
    return marks + [0] * (2 + len(NUMBERED) - len(marks))  # tables that came after it were empty then


def last_numbers(connection: sqlite3.Connection, path: Path) -> dict[str, int]:
    """Return the numbers that the newest rows had at the newest checkpoint, by table."""
    return dict(zip(NUMBERED, marks_of(connection, path)[2:], strict=True))
