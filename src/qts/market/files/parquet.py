"""``parquet``: the CSV columns in a Parquet file, read one row group after another (extra ``parquet``).

Every cell becomes its shortest exact text first, so a float column gives 61800.3 and not its binary tail.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from qts.errors import DataError
from qts.market.files.pyarrow_library import pyarrow_for
from qts.market.files.refusals import DAMAGED_PARQUET, shorten
from qts.market.files.row_blocks import Block, Damage
from qts.market.files.table_rows import COLUMNS, IDS, Cells, missing_columns
from qts.notes import Note

PARQUET_MAGIC: Final = b"PAR1"
BATCH_ROWS: Final = 4_096


class ParquetSource:
    """Rows of a Parquet file as cells. The offset of a block is the number of rows before it.

    Raises :class:`~qts.errors.DataError` for a file that is damaged at its end, where Parquet keeps its
    table of contents, or lacks columns; :class:`~qts.errors.MissingExtraError` without pyarrow.
    """

    def __init__(self, path: Path) -> None:
        self.damage: Damage | None = None
        self._path = path
        self._arrow = _Arrow()
        self._read = 0
        self._rows = 1
        with self._open() as file:
            self._rows = max(int(file.metadata.num_rows), 1)
            self._groups = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
            schema = file.schema_arrow
        self._columns = self._columns_of(schema)

    def share_read(self) -> float:
        """Return the share of the rows read so far, 0..1."""
        return min(self._read / self._rows, 1.0)

    def blocks(self, offset: int, first: int) -> Iterator[Block[Cells]]:
        """Yield the blocks from row ``offset`` on."""
        self.damage = None
        with self._open() as file:
            start = 0
            for group, count in enumerate(self._groups):
                if start + count > offset:
                    try:
                        for block in self._group(file, group, start, offset):
                            self._read = block.offset + len(block.rows)
                            yield block
                    except (OSError, ValueError) as error:  # pyarrow's errors derive from these
                        note = Note.of("parquet-damaged", group=group + 1, error=f"{error}")
                        self.damage = Damage(DAMAGED_PARQUET, note)
                        return
                start += count

    def _group(self, file: Any, group: int, start: int, offset: int) -> Iterator[Block[Cells]]:
        for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=sorted(self._columns)):
            end = start + batch.num_rows
            if end > offset:
                skip = max(offset - start, 0)
                yield Block(start + skip, start + skip + 1, self._cells(batch)[skip:])
            start = end

    def _cells(self, batch: Any) -> list[Cells]:
        empty = [None] * batch.num_rows
        names = (*COLUMNS, *(name for name in IDS if name in self._columns))
        texts = [self._arrow.texts(batch.column(name)) if name in self._columns else empty for name in names]
        return list(zip(*texts, strict=True))

    def _open(self) -> Any:
        try:
            return self._arrow.open(self._path)
        except (OSError, ValueError) as error:
            raise DataError(f"{self._path}: not a readable parquet file: {shorten(str(error))}") from error

    def _columns_of(self, schema: Any) -> frozenset[str]:
        missing = missing_columns(schema.names)
        if missing:
            raise DataError(
                f"{self._path}: a parquet file needs the columns {', '.join(COLUMNS)}; missing here: "
                f"{'; '.join(missing)}"
            )
        kind = schema.field("ts").type
        if self._arrow.is_naive(kind):
            raise DataError(
                f"{self._path}: column ts has the type {kind}: it needs an offset from UTC "
                f"(timestamps with a time zone, or ISO texts with an offset)"
            )
        return frozenset((*COLUMNS, *IDS)) & frozenset(schema.names)


class _Arrow:
    """The few functions of pyarrow that are used here."""

    def __init__(self) -> None:
        self._pa, self._compute, self._parquet, _ = pyarrow_for("reading parquet files")

    def open(self, path: Path) -> Any:
        return self._parquet.ParquetFile(str(path))

    def is_naive(self, kind: Any) -> bool:
        return not (self._is_text(kind) or (self._pa.types.is_timestamp(kind) and kind.tz is not None))

    def texts(self, column: Any) -> list[str | None]:
        kind = column.type
        if self._pa.types.is_timestamp(kind):
            return [None if moment is None else _iso(moment) for moment in self._microseconds(column)]
        if self._pa.types.is_decimal(kind):
            return [None if number is None else format(number, "f") for number in column.to_pylist()]
        if self._pa.types.is_nested(kind) or self._pa.types.is_binary(kind):
            return [None if cell is None else repr(cell) for cell in column.to_pylist()]
        texts: list[str | None] = self._compute.cast(column, self._pa.string()).to_pylist()
        return texts

    def _microseconds(self, column: Any) -> list[Any]:
        as_utc = self._pa.timestamp("us", tz="UTC")
        moments: list[Any] = self._compute.cast(column, as_utc, safe=False).to_pylist()
        return moments

    def _is_text(self, kind: Any) -> bool:
        types = self._pa.types
        if types.is_dictionary(kind):
            kind = kind.value_type
        return bool(types.is_string(kind) or types.is_large_string(kind))


def _iso(moment: Any) -> str:
    return str(moment.isoformat())
