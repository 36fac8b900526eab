"""Rows of a result, as plain dictionaries and as tables of pandas, Polars and Arrow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from importlib import import_module
from typing import Any, overload

from qts.errors import MissingExtraError

Cell = str | int | float | Decimal | datetime | date | bool | None


class Rows(Sequence[dict[str, Cell]]):
    """Rows with the same columns, each a dictionary; amounts are Decimals, times are of the market's time zone."""

    def __init__(self, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        self.columns = tuple(columns)
        self._rows = [tuple(row) for row in rows]

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, place: int) -> dict[str, Cell]: ...
    @overload
    def __getitem__(self, place: slice) -> Rows: ...
    def __getitem__(self, place: int | slice) -> dict[str, Cell] | Rows:
        if isinstance(place, slice):
            return Rows(self.columns, self._rows[place])
        return dict(zip(self.columns, self._rows[place], strict=True))

    def __iter__(self) -> Iterator[dict[str, Cell]]:
        return (dict(zip(self.columns, row, strict=True)) for row in self._rows)

    def __repr__(self) -> str:
        shown = [", ".join(f"{name}={cell}" for name, cell in row.items()) for row in self[:5]]
        more = [f"… {len(self) - 5:,} more"] if len(self) > 5 else []
        return "\n".join([f"{len(self):,} rows of {', '.join(self.columns)}", *shown, *more])

    def column(self, name: str) -> list[Cell]:
        """Return the cells of one column. Raises KeyError for a name that is none."""
        if name not in self.columns:
            raise KeyError(f"{name!r}; there are {', '.join(self.columns)}")
        place = self.columns.index(name)
        return [row[place] for row in self._rows]

    def to_pandas(self, *, exact: bool = False) -> Any:
        """Return a pandas DataFrame; amounts as floats, with ``exact`` as Decimals. Raises MissingExtraError."""
        return _library("pandas").DataFrame(self._cells(exact=exact))

    def to_polars(self, *, exact: bool = False) -> Any:
        """Return a Polars DataFrame, as :meth:`to_pandas`."""
        return _library("polars").DataFrame(self._cells(exact=exact))

    def to_arrow(self, *, exact: bool = False) -> Any:
        """Return a pyarrow Table, as :meth:`to_pandas`."""
        return _library("pyarrow").table(self._cells(exact=exact))

    def _cells(self, *, exact: bool) -> dict[str, list[Cell]]:
        cells = {name: self.column(name) for name in self.columns}
        if exact:
            return cells
        return {
            name: [float(cell) if isinstance(cell, Decimal) else cell for cell in column]
            for name, column in cells.items()
        }


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise MissingExtraError(f"a table of {name}", "notebook") from None
