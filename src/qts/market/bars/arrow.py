"""Files of bars in Parquet and Feather, read in parts (extra ``parquet``).

Prices that the file holds as binary floats become their shortest decimal text, so 187.15 stays 187.15.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from qts.errors import DataError
from qts.market.bars import dates
from qts.market.bars.dates import Stamp
from qts.market.bars.figures import Signs
from qts.market.bars.header import Columns, columns_of, looks_like_bars
from qts.market.bars.table import Batch
from qts.market.files.pyarrow_library import pyarrow_for
from qts.market.files.reading import ReadAs
from qts.market.files.refusals import shorten
from qts.market.files.table_rows import missing_columns
from qts.notes import Note

PARQUET_MAGIC: Final = b"PAR1"
FEATHER_MAGICS: Final = (b"ARRO", b"FEA1")
BATCH_ROWS: Final = 4_096


class ArrowBars:
    """The rows of a Parquet or Feather file of bars. Use :meth:`open`."""

    def __init__(self, path: Path, digest: str, file: Any, columns: Columns, wanted: ReadAs) -> None:
        self.digest = digest
        self.symbol = ""
        self.has_symbols = columns.symbol is not None
        self.signs = Signs()
        self._path = path
        self._file = file
        self._columns = columns
        self._wanted = wanted
        self._arrow = _Arrow()

    @classmethod
    def open(cls, path: Path, digest: str, magic: bytes, wanted: ReadAs) -> ArrowBars | None:
        """Open a file; None when its columns are no bars.

        Raises DataError for a damaged file and for bars that lack a column, MissingExtraError without pyarrow.
        """
        arrow = _Arrow()
        try:
            file = arrow.parquet(path) if magic == PARQUET_MAGIC else arrow.feather(path)
            names = arrow.names(file)
        except (OSError, ValueError) as error:  # pyarrow's errors derive from these
            raise DataError(f"{path}: cannot be read as parquet or feather: {shorten(str(error))}") from None
        if not looks_like_bars(names) or not missing_columns([name.lower() for name in names]):
            return None
        return cls(path, digest, file, columns_of(names, str(path)), wanted)

    @property
    def parse(self) -> Callable[[str], Stamp]:
        """Return the reader of its dates."""
        return dates.stamp_of if self._wanted.date_format is None else dates.declared(self._wanted)

    @property
    def notes(self) -> Sequence[Note]:
        """Return a note on binary floats, where the prices are such."""
        places = (*self._columns.prices, self._columns.volume)
        floats = [self._columns.names[place] for place in places if self._arrow.is_float(self._file, place)]
        return [Note.of("bars-floats", columns=list(floats))] if floats else []

    def batches(self) -> Iterator[Batch]:
        """Yield the rows. Raises DataError where the file is damaged."""
        columns, first = self._columns, 1
        wanted = {columns.date, *columns.prices, columns.volume, columns.time, columns.symbol, columns.adjusted}
        try:
            for batch in self._arrow.batches(self._file):
                texts = {place: self._arrow.texts(batch.column(place)) for place in wanted if place is not None}
                count = batch.num_rows
                opens, highs, lows, closes = (texts[place] for place in columns.prices)
                days = texts[columns.date]
                if columns.time is not None:
                    days = [f"{day} {time}" for day, time in zip(days, texts[columns.time], strict=True)]
                yield Batch(
                    range(first, first + count),
                    days,
                    None if columns.symbol is None else texts[columns.symbol],
                    (opens, highs, lows, closes),
                    texts[columns.volume],
                    None if columns.adjusted is None else texts[columns.adjusted],
                )
                first += count
        except (OSError, ValueError) as error:
            raise DataError(f"{self._path}: damaged after row {first - 1}: {shorten(str(error))}") from None


class _Arrow:
    """The functions of pyarrow that are used here."""

    def __init__(self) -> None:
        self._pa, self._compute, self._parquet, self._feather = pyarrow_for("reading parquet and feather files")

    def parquet(self, path: Path) -> Any:
        return self._parquet.ParquetFile(str(path))

    def feather(self, path: Path) -> Any:
        return self._feather.read_table(str(path), memory_map=True)

    def schema(self, file: Any) -> Any:
        return file.schema if isinstance(file, self._pa.Table) else file.schema_arrow

    def names(self, file: Any) -> list[str]:
        return list(self.schema(file).names)

    def is_float(self, file: Any, place: int) -> bool:
        return bool(self._pa.types.is_floating(self.schema(file).field(place).type))

    def batches(self, file: Any) -> Iterator[Any]:
        if isinstance(file, self._pa.Table):
            yield from file.to_batches(max_chunksize=BATCH_ROWS)
        else:
            yield from file.iter_batches(BATCH_ROWS)

    def texts(self, column: Any) -> list[str]:
        """Return the cells as texts, "" where one is not known."""
        kind, types = column.type, self._pa.types
        if types.is_timestamp(kind):
            unit = self._pa.timestamp("us", tz=kind.tz)
            moments = self._compute.cast(column, unit, safe=False).to_pylist()
            return ["" if moment is None else moment.isoformat() for moment in moments]
        if types.is_decimal(kind):
            return ["" if number is None else format(number, "f") for number in column.to_pylist()]
        if types.is_nested(kind) or types.is_binary(kind):
            return ["" if cell is None else repr(cell) for cell in column.to_pylist()]
        cells = self._compute.fill_null(self._compute.cast(column, self._pa.string()), "").to_pylist()
        if types.is_floating(kind):
            return [cell[:-2] if cell.endswith(".0") else cell for cell in cells]
        texts: list[str] = cells
        return texts
