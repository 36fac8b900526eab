"""The tabs of a spreadsheet: the columns of each, and its rows as cells.

Column A is the key of a row. Next to the values stands ``check``, made of all other cells of the row: someone who
changes a row by hand does not change it with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from qts.db import tables
from qts.db.batch import body_columns
from qts.db.contracts import ConfigRow, StrategyFile
from qts.db.sheets.cells import Kind, filled, pieces, text_of, value_of

_WIDTH_OF_LONG: Final = 10
"""Cells in a row over which a long text is spread."""
_TIMES: Final = frozenset({"timestamp", "updated_at", "seen_at"})
_INTS: Final = frozenset({"id", "strategy_number", "version", "seed", "applied", "loading", "epoch"})
_FLAGS: Final = frozenset({"is_known", "finished", "whole_account"})
_encode: Final = msgspec.json.Encoder().encode


class Layout(NamedTuple):
    """The columns of a tab. ``name`` begins its title. ``is_numbered``: its keys are 1, 2, 3, … from row 2 on.

    ``is_long``: the last column is a long text, over several cells. ``key``: the columns that make the key.
    """

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    is_numbered: bool = False
    is_long: bool = False

    @property
    def header(self) -> list[str]:
        """Return the cells of row 1."""
        if not self.is_long:
            return ["row", *self.columns, "check"]
        *columns, last = self.columns
        return ["row", *columns, "check", last, *(f"{last} {n}" for n in range(2, _WIDTH_OF_LONG + 1))]

    @property
    def width(self) -> int:
        """Return how many columns there are."""
        return len(self.columns) + 2 + (_WIDTH_OF_LONG - 1 if self.is_long else 0)

    def key_of(self, values: Sequence[Any]) -> str:
        """Return the key of a row: its columns with / between them, in which % and / are written as %25 and %2F."""
        found = dict(zip(self.columns, values, strict=True))
        parts = [str(found[name]).replace("%", "%25").replace("/", "%2F") for name in self.key]
        return text_of("/".join(parts), Kind.TEXT)

    def cells(self, values: Sequence[Any]) -> list[str]:
        """Return a row as cells. Raises ValueError for one that does not fit into them."""
        texts = [text_of(value, kind_of(name)) for name, value in zip(self.columns, values, strict=True)]
        key = self.key_of(values)
        last = pieces(texts.pop(), _WIDTH_OF_LONG) if self.is_long else []
        for text in (key, *texts):
            pieces(text, 1)
        return [key, *texts, _check(key, texts, last), *last]

    def values(self, cells: Sequence[Any]) -> list[Any]:
        """Return the values of a row. Raises ValueError for cells that are none."""
        cells = filled(cells, self.width)
        texts = cells[1 : self._place_of_check]
        if self.is_long:
            texts.append("".join(map(str, cells[self._place_of_check + 1 : self.width])))
        return [value_of(text, kind_of(name)) for name, text in zip(self.columns, texts, strict=True)]

    def is_intact(self, cells: Sequence[Any]) -> bool:
        """Return whether a row is as it was written."""
        cells = filled(cells, self.width)
        if not all(isinstance(cell, str) for cell in cells[: self.width]):
            return False
        place = self._place_of_check
        return bool(cells[place] == _check(cells[0], cells[1:place], cells[place + 1 : self.width]))

    @staticmethod
    def name_of(cells: Sequence[Any], place: int) -> str:
        """Return what a row is called for people: its key in column A, else its place in the tab, from 1."""
        return f"row {(cells[0] if cells else '') or f'in place {place}'}"

    @property
    def _place_of_check(self) -> int:
        return len(self.columns) + (0 if self.is_long else 1)


def kind_of(column: str) -> Kind:
    """Return the kind of the values of a column."""
    if column in _TIMES:
        return Kind.TIME
    if column in _INTS:
        return Kind.INT
    return Kind.FLAG if column in _FLAGS else Kind.TEXT


def of_file(file: StrategyFile) -> list[Any]:
    """Return the values of the file of a strategy, whose name is bytes."""
    return [file.strategy, file.class_name, file.name.decode("utf-8", "surrogateescape"), file.digest]


def file_of(values: Sequence[Any]) -> StrategyFile:
    """Return the file of a strategy of its values."""
    strategy, class_name, name, digest = values
    return StrategyFile(strategy, class_name, name.encode("utf-8", "surrogateescape"), digest)


def of_config(config: ConfigRow) -> list[Any]:
    """Return the values of a configuration."""
    return list(msgspec.structs.astuple(config))


LEDGER: Final = Layout(tables.LEDGER.name, body_columns(tables.LEDGER), ("id",), is_numbered=True)
POSITIONS: Final = Layout(tables.POSITIONS.name, body_columns(tables.POSITIONS), tables.POSITIONS.key)
STRATEGIES: Final = Layout(
    "strategies", ("strategy_number", "class_name", "name", "digest"), ("strategy_number", "name")
)
CONFIG: Final = Layout(
    "config", ("version", "config_hash", "timestamp", "actor", "reason", "settings"), ("version",), is_long=True
)
OF_A_RUN: Final = (LEDGER, POSITIONS, STRATEGIES, CONFIG)
"""The tabs of a run, each of which is made when it has a first row."""
BY_TABLE: Final = {tables.LEDGER.name: LEDGER, tables.POSITIONS.name: POSITIONS}
"""The tabs that hold a table of the local book."""
RUNS: Final = Layout(
    "runs",
    (
        "run_id",
        "account",
        "applied",
        "loading",
        "epoch",
        "whole_account",
        "holder",
        "seen_at",
        *(name for layout in OF_A_RUN for name in (f"{layout.name} tab", f"{layout.name} rows")),
        "is_known",
        "started_at",
        "finished",
        "command",
        "seed",
        "source_id",
        "config_hash",
        "result",
    ),
    ("run_id",),
    is_long=True,
)


def _check(key: str, texts: Sequence[str], last: Sequence[str]) -> str:
    return hashlib.sha256(_encode([key, *texts, "".join(last)])).hexdigest()[:16]
