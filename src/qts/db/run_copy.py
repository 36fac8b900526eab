"""Reads everything of a run as of the newest batch that followers may be shown, at one moment, part by part."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from qts.db import tables
from qts.db.adapter import RunCopy
from qts.db.batch import body_of, has_digest
from qts.db.connections import open_to_read
from qts.db.decoding import RUN_COLUMNS, configs_of, files_of, of_row, run_of
from qts.db.failures import explanation
from qts.db.marks import NUMBERED, marks_of
from qts.errors import StateError

_NO_LAST: Final = (1 << 63) - 1
_ROWS: Final = 2_000
"""Rows of a part; even, so that the two legs of a transfer are in the same one."""
_SQL_RUN: Final = f"SELECT {RUN_COLUMNS} FROM runs"  # noqa: S608 - a constant
_SQL_CONFIGS: Final = (
    "SELECT version, config_hash, timestamp, actor, reason, settings FROM configurations WHERE run_id = ? "
    "ORDER BY version"
)
_SQL_BATCHES: Final = f"SELECT id, inbox FROM {tables.BATCHES} WHERE run_id = ? AND id <= ? ORDER BY id"  # noqa: S608 - our own name
_SQL_FILES: Final = (
    "SELECT strategy, class_name, name, digest FROM strategy_files WHERE run_id = ? ORDER BY strategy, name"
)


@contextmanager
def copy_of(path: Path) -> Iterator[RunCopy]:
    """Return a copy of the run in the file ``path`` within the block, on a connection of its own.

    Raises StateError when no run was opened, and StorageError. As long as the block lasts, the log of the file
    cannot be folded into it.
    """
    with _explained(path), closing(open_to_read(path, any_thread=True)) as connection:
        connection.execute("BEGIN")
        run = run_of(path, connection.execute(_SQL_RUN).fetchone())
        if run is None:
            raise StateError(f"{path} has no run to copy; open one first")
        own = (run.run_id,)
        reader = _Reader(path, connection, run.run_id)
        yield RunCopy(
            run=run,
            files=files_of(path, connection.execute(_SQL_FILES, own)),
            configs=configs_of(path, connection.execute(_SQL_CONFIGS, own)),
            seq=reader.seq,
            bodies=reader.bodies(),
        )


class _Reader:
    """The rows of a run within a transaction that reads.

    Of a simulated broker's, which may be taken back to the checkpoint, those that stood there.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, run_id: str) -> None:
        self._path, self._connection, self._run_id = path, connection, run_id
        (is_kept,) = connection.execute("SELECT EXISTS (SELECT 1 FROM kept_runs)").fetchone()
        self._last: dict[str, int] | None = None
        self._generation = -1
        if is_kept:
            sql = f"SELECT coalesce(max(id), 0) FROM {tables.BATCHES} WHERE run_id = ?"  # noqa: S608
            (self.seq,) = connection.execute(sql, (run_id,)).fetchone()
        else:
            self._generation, _, *last = marks_of(connection, path)
            self._last = dict(zip(NUMBERED, last, strict=True))
            self.seq = self._last[tables.BATCHES]

    def bodies(self) -> Iterator[bytes]:
        """Iterate over the rows, those that name others behind them."""
        with _explained(self._path):
            for table in tables.APPEND_ONLY:
                yield from self._parts(table.name, self._appended(table))
            for table in tables.REPLACED:
                yield from self._parts(table.name, self._replaced(table))
            yield from self._parts(tables.BATCHES, self._batches())

    def _batches(self) -> Iterator[list[Any]]:
        """Iterate over the batches with their inboxes."""
        with closing(self._connection.execute(_SQL_BATCHES, (self._run_id, self.seq))) as rows:
            yield from map(list, rows)

    def _parts(self, name: str, rows: Iterator[list[Any]]) -> Iterator[bytes]:
        part: list[list[Any]] = []
        for row in rows:
            part.append(row)
            if len(part) == _ROWS:
                yield body_of({name: part})
                part = []
        if part:
            yield body_of({name: part})

    def _appended(self, table: tables.Table) -> Iterator[list[Any]]:
        columns = ("id", *table.columns, *(["digest"] if has_digest(table.name) else []))
        sql = table.select_as(columns, "run_id = ? AND id <= ?")
        values = (self._run_id, _NO_LAST if self._last is None else self._last[table.name])
        with closing(self._connection.execute(sql, values)) as rows:
            yield from map(list, rows)

    def _replaced(self, table: tables.Table) -> Iterator[list[Any]]:
        sql = table.select_as((*table.columns, *tables.IMAGE), "run_id = ?")
        with closing(self._connection.execute(sql, (self._run_id,))) as rows:
            for *row, generation, before in rows:
                if generation != self._generation:
                    yield row
                elif before is not None:
                    with of_row(self._path, table.name, " ".join(map(str, row[: len(table.key)]))):
                        yield list(json.loads(before))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise explanation(path, "copy the run", error) from error
