"""Files of bars in JSON: one list of rows, each a list from the time on, or an object with named values."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from qts.errors import DataError
from qts.market.bars import dates
from qts.market.bars.dates import Stamp
from qts.market.bars.figures import Signs
from qts.market.bars.header import Columns, columns_of, klines, looks_like_bars
from qts.market.bars.table import Batch
from qts.market.files.reading import ReadAs
from qts.market.files.refusals import shorten
from qts.notes import Note

MAX_BYTES: Final = 256 << 20
"""A JSON file is read as a whole."""
BATCH_ROWS: Final = 4_096
_FEWEST: Final = 6


class JsonBars:
    """The rows of a JSON file of bars. Use :meth:`open`."""

    def __init__(self, digest: str, rows: Sequence[Sequence[str]], columns: Columns, wanted: ReadAs) -> None:
        self.digest = digest
        self.symbol = ""
        self.has_symbols = columns.symbol is not None
        self.signs = Signs()
        self.notes: Sequence[Note] = ()
        self._rows = rows
        self._columns = columns
        self._wanted = wanted

    @classmethod
    def open(cls, path: Path, digest: str, wanted: ReadAs, *, gzipped: bool) -> JsonBars | None:
        """Read a file; None when it holds no rows of bars. Raises DataError for a damaged or too large one."""
        content = _content(path, gzipped=gzipped)
        try:  # every number stays the text that it is
            rows = json.loads(content, parse_float=str, parse_int=str, parse_constant=str)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: not whole as JSON: {shorten(str(error))}; get the file again") from None
        if not isinstance(rows, list) or not rows:
            return None
        first = rows[0]
        if isinstance(first, dict) and looks_like_bars(list(first)):
            names = list(first)
            columns = columns_of(names, f"{path}, row 1")
            return cls(digest, _cells(path, [_named(row, names) for row in rows], len(names)), columns, wanted)
        if isinstance(first, list) and len(first) >= _FEWEST:
            return cls(digest, _cells(path, rows, len(first)), klines(len(first)), wanted)
        return None

    @property
    def parse(self) -> Callable[[str], Stamp]:
        """Return the reader of its dates."""
        return dates.stamp_of if self._wanted.date_format is None else dates.declared(self._wanted)

    def batches(self) -> Iterator[Batch]:
        """Yield the rows."""
        columns = self._columns
        for start in range(0, len(self._rows), BATCH_ROWS):
            cells = list(zip(*self._rows[start : start + BATCH_ROWS], strict=True))
            opens, highs, lows, closes = (cells[place] for place in columns.prices)
            yield Batch(
                range(start + 1, start + 1 + len(cells[0])),
                cells[columns.date],
                None if columns.symbol is None else cells[columns.symbol],
                (opens, highs, lows, closes),
                cells[columns.volume],
                None if columns.adjusted is None else cells[columns.adjusted],
            )


def _content(path: Path, *, gzipped: bool) -> bytes:
    try:
        with gzip.open(path) if gzipped else path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read: {shorten(str(error))}; get the whole file") from None
    if len(content) > MAX_BYTES:
        raise DataError(
            f"{path}: more than {MAX_BYTES >> 20} MiB of JSON, which is read as a whole; write it as CSV"
        )
    return content


def _named(row: Any, names: Sequence[str]) -> list[Any] | None:
    return [row.get(name) for name in names] if isinstance(row, dict) else None


def _cells(path: Path, rows: Sequence[Any], width: int) -> list[list[str]]:
    """Return the rows as texts. Raises DataError for one of another shape."""
    cells = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, list) or len(row) != width or any(isinstance(cell, list | dict) for cell in row):
            raise DataError(f"{path}, row {number}: not {width} values as in the first row: {shorten(repr(row))}")
        cells.append(["" if cell is None else str(cell) for cell in row])
    return cells
