"""Writes the tables of a finished run to files: CSV, Parquet or a JSON object a line."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from qts.errors import InputError, MissingExtraError, StorageError
from qts.files import write_atomically
from qts.runtime.session.result import SessionFacts, text_of
from qts.workbench.rows import Cell, Rows
from qts.workbench.tables import TABLES

Format = Literal["csv", "parquet", "jsonl"]
FORMATS: Final[tuple[Format, ...]] = ("csv", "parquet", "jsonl")


class Written(NamedTuple):
    """A file that an export has written, and how many rows it holds."""

    path: Path
    rows: int


def export(facts: SessionFacts, format_: Format, directory: Path, *, replace: bool = False) -> list[Written]:
    """Write every table of ``facts`` into ``directory``, which is made if it is missing.

    Amounts are exact decimal text in CSV and JSON lines, doubles in Parquet; times are of the market's time zone.
    Files that are there are replaced only with ``replace``. Raises InputError for a place that cannot be used,
    MissingExtraError for Parquet without pyarrow and StorageError when a file cannot be written.
    """
    if format_ == "parquet":
        _pyarrow()
    paths = {name: directory / f"{name}.{format_}" for name in TABLES}
    _require_room(directory, [] if replace else list(paths.values()))
    written = []
    for name, table in TABLES.items():
        rows = table(facts)
        try:
            write_atomically(paths[name], _content(rows, format_))
        except OSError as error:
            raise StorageError(f"cannot write {paths[name]}: {error.strerror or error}") from None
        written.append(Written(paths[name], len(rows)))
    return written


def _require_room(directory: Path, paths: Sequence[Path]) -> None:
    """Make ``directory``; raise InputError where it cannot be, and for a file of ``paths`` that is there."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"the export cannot go to {directory}: {error.strerror or error}") from None
    for path in paths:
        if os.path.lexists(path):
            raise InputError(f"the export cannot go to {directory}: {path.name} is there; name another directory")


def _content(rows: Rows, format_: Format) -> bytes:
    if format_ == "csv":
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(rows.columns)
        writer.writerows([_text(cell) for cell in row.values()] for row in rows)
        return text.getvalue().encode()
    if format_ == "jsonl":
        return b"".join(msgspec.json.encode(_plain(row)) + b"\n" for row in rows)
    buffer = io.BytesIO()
    import_module("pyarrow.parquet").write_table(rows.to_arrow(), buffer)
    return buffer.getvalue()


def _plain(row: Mapping[str, Cell]) -> dict[str, object]:
    """Return a row as JSON has it: amounts and times as texts."""
    return {name: _text(cell) if isinstance(cell, Decimal | date) else cell for name, cell in row.items()}


def _text(cell: Cell) -> object:
    """Return a cell as a file has it: an amount without exponent, a time with its offset from UTC, None as ""."""
    if isinstance(cell, Decimal):
        return text_of(cell)
    if isinstance(cell, date):  # a datetime is one, too
        return cell.isoformat()
    return "" if cell is None else cell


def _pyarrow() -> None:
    try:
        import_module("pyarrow")
    except ImportError:
        raise MissingExtraError("an export as Parquet", "parquet") from None
