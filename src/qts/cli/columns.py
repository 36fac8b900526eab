"""Layout of rows for a terminal of any width: names and amounts are never cut.

A table that fits is shown as one. When it does not fit, its less important columns are left out, empty ones first,
and sentences are cut at the end; where not even the others fit, every row becomes a small block of lines, one for
each column.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Final

import msgspec
from rich.cells import cell_len, set_cell_size

GAP: Final = "  "
_LEAST_OF_SENTENCE: Final = 24
"""Cells in which a sentence still says something."""


class Column(msgspec.Struct, frozen=True):
    """One column: its key for programs, its title for people; ``extra``: one of those that may be left out.

    ``sentence``: an extra one whose texts may be cut at the end, and which is left out after the other extra ones.
    """

    key: str
    title: str
    right: bool = False
    extra: bool = False
    sentence: bool = False


Row = Sequence[str]


def table_lines(columns: Sequence[Column], rows: Sequence[Row], width: int) -> list[str]:
    """Return the lines of ``rows`` (a text for each column) in a terminal of ``width`` cells."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [
        max(cell_len(column.title), *(cell_len(row[n]) for row in rows)) if rows else cell_len(column.title)
        for n, column in enumerate(columns)
    ]
    least = [
        min(cells, _LEAST_OF_SENTENCE) if column.sentence else cells
        for column, cells in zip(columns, widths, strict=True)
    ]
    shown = list(range(len(columns)))
    for left_out in _left_out_in_order(columns):
        is_empty = not any(row[left_out] for row in rows)
        if is_empty and _total(widths, shown) > width:
            shown.remove(left_out)
    for left_out in _left_out_in_order(columns):
        if left_out in shown and _total(least, shown) > width:
            shown.remove(left_out)
    room = width - _total(least, shown)
    if room < 0:
        return _blocks(columns, rows)
    for n in shown:
        more = min(room, widths[n] - least[n])
        widths[n], room = least[n] + more, room - more
    head = [column.title for column in columns]
    return [_line(columns, row, widths, shown) for row in [head, *rows]]


def facts_lines(facts: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Return a line for each name and value; a value that is too long goes on below, broken between words."""
    room = max(cell_len(name) for name, _ in facts) + len(GAP)
    lines = []
    for name, value in facts:
        head = name.ljust(room)
        for line in folded(printable(value), width - room):
            lines.append(f"{head}{line}".rstrip())
            head = " " * room
    return lines


def folded(text: str, width: int) -> list[str]:
    """Return ``text`` in lines of at most ``width`` cells where its words allow it; no word is cut."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and cell_len(lines[-1]) + 1 + cell_len(word) <= width:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(word)
    return lines


def csv_text(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """Return a header and ``rows`` as RFC 4180 has it: commas, CRLF, quotes where they are needed."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow([column.key for column in columns])
    writer.writerows(rows)
    return file.getvalue()


def printable(text: str) -> str:
    """Return ``text`` without characters that would move the cursor or colour the terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _left_out_in_order(columns: Sequence[Column]) -> list[int]:
    """Return the extra columns, those first that are left out first: from the right, sentences after the others."""
    extra = [n for n, column in enumerate(columns) if column.extra]
    return sorted(extra, key=lambda n: (columns[n].sentence, -n))


def _total(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[n] for n in shown) + len(GAP) * (len(shown) - 1)


def _line(columns: Sequence[Column], row: Row, widths: Sequence[int], shown: Sequence[int]) -> str:
    cells = []
    for n in shown:
        cell = row[n] if cell_len(row[n]) <= widths[n] else set_cell_size(row[n], widths[n] - 1) + "…"
        padding = " " * (widths[n] - cell_len(cell))
        cells.append(padding + cell if columns[n].right else cell + padding)
    return GAP.join(cells).rstrip()


def _blocks(columns: Sequence[Column], rows: Sequence[Row]) -> list[str]:
    lines: list[str] = []
    for row in rows:
        lines += ["", *(f"{column.title} {cell}" for column, cell in zip(columns, row, strict=True) if cell)]
    return lines[1:]
