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
from qts.db.batch import body_columns, body_of
from qts.db.connections import is_logged, open_to_read
from qts.db.contracts import RunRow
from qts.db.decoding import SQL_CONFIGS, SQL_FILES, SQL_RUN, configs_of, files_of, of_row, run_of
from qts.db.failures import explanation
from qts.db.marks import NUMBERED, marks_of
from qts.errors import StateError

_TABLES: Final = {table.name: table for table in (*tables.APPEND_ONLY, *tables.REPLACED)}
_SQL_BATCHES: Final = f"SELECT id, inbox FROM {tables.BATCHES} WHERE run_id = ? AND id <= ? ORDER BY id"  # noqa: S608
_SQL_PENDING: Final = "SELECT seq, body FROM outbox WHERE run_id = ? AND seq > ? AND seq <= ? ORDER BY seq"
_NO_LAST: Final = (1 << 63) - 1
_ROWS: Final = 2_000
"""Rows of a part; even, so that the two legs of a transfer are in the same one."""
_CHARACTERS: Final = 1 << 19
"""Characters of a part: as many as a slow line carries within the deadline of a call."""


@contextmanager
def copy_of(path: Path) -> Iterator[RunCopy]:
    """Return a copy of the run in the file ``path`` within the block, on a connection of its own.

    Raises StateError when no run was opened, and StorageError. As long as the block lasts, the log of the file
    cannot be folded into it.
    """
    with run_at(path) as rows:
        yield rows.copy()


@contextmanager
def run_at(path: Path) -> Iterator[RunRows]:
    """Return the rows of the run in the file ``path`` as of one moment; see :func:`copy_of`."""
    with _explained(path), closing(_opened(path)) as connection:
        connection.execute("BEGIN")
        run = run_of(path, connection.execute(SQL_RUN).fetchone())
        if run is None:
            raise StateError(f"{path} has no run to copy; open one first")
        yield RunRows(path, connection, run)


class RunRows:
    """The rows of a run within a transaction that reads.

    Of a simulated broker's, which may be taken back to the checkpoint, those that stood there. ``seq``: the number
    of the newest batch among them. ``is_kept``: the broker is real.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, run: RunRow) -> None:
        self.run = run
        run_id = run.run_id
        self._path, self._connection, self._run_id = path, connection, run_id
        (is_kept,) = connection.execute("SELECT EXISTS (SELECT 1 FROM kept_runs)").fetchone()
        self.is_kept = bool(is_kept)
        self._last: dict[str, int] | None = None
        self._generation = -1
        if is_kept:
            sql = f"SELECT coalesce(max(id), 0) FROM {tables.BATCHES} WHERE run_id = ?"  # noqa: S608
            (self.seq,) = connection.execute(sql, (run_id,)).fetchone()
        else:
            self._generation, _, *last = marks_of(connection, path)
            self._last = dict(zip(NUMBERED, last, strict=True))
            self.seq = self._last[tables.BATCHES]

    def copy(self) -> RunCopy:
        """Return all of it for a server."""
        own = (self._run_id,)
        return RunCopy(
            run=self.run,
            files=files_of(self._path, self._connection.execute(SQL_FILES, own)),
            configs=configs_of(self._path, self._connection.execute(SQL_CONFIGS, own)),
            seq=self.seq,
            bodies=self._bodies(),
        )

    def rows(self, name: str) -> Iterator[list[Any]]:
        """Iterate over the rows of a table as bodies have them, in the order of their number or key."""
        table = _TABLES.get(name)
        if table is None:
            with closing(self._connection.execute(_SQL_BATCHES, (self._run_id, self.seq))) as rows:
                yield from map(list, rows)
        elif table.key:
            yield from self._replaced(table)
        else:
            yield from self._appended(table)

    def pending(self, since: int) -> Iterator[tuple[int, bytes]]:
        """Iterate over the batches behind number ``since`` that wait in the outbox: number and body."""
        with closing(self._connection.execute(_SQL_PENDING, (self._run_id, since, self.seq))) as found:
            yield from found

    def _bodies(self) -> Iterator[bytes]:
        """Iterate over the rows, those that name others behind them."""
        with _explained(self._path):
            for name in (*_TABLES, tables.BATCHES):
                yield from self._parts(name, self.rows(name))

    def _parts(self, name: str, rows: Iterator[list[Any]]) -> Iterator[bytes]:
        part: list[list[Any]] = []
        size = 0
        for row in rows:
            part.append(row)
            size += sum(len(value) for value in row if value.__class__ is str)
            if len(part) == _ROWS or (size >= _CHARACTERS and len(part) % 2 == 0):
                yield body_of({name: part})
                part, size = [], 0
        if part:
            yield body_of({name: part})

    def _appended(self, table: tables.Table) -> Iterator[list[Any]]:
        sql = table.select_as(body_columns(table), "run_id = ? AND id <= ?")
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


def _opened(path: Path) -> sqlite3.Connection:
    return open_to_read(path, immutable=not is_logged(path), any_thread=True)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise explanation(path, "copy the run", error) from error
