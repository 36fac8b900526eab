"""Makes a data directory of a run on a server: its book, which commands read as that of any run.

It has no checkpoint and no log, so it is not resumed: it is marked like the book of a real broker, of which nothing
is taken back.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec

from qts.db import tables
from qts.db.adapter import DataSourceAdapter
from qts.db.batch import has_digest, rows_of
from qts.db.contracts import RunRow
from qts.db.datadir import DATABASE_NAME, LOCK_NAME, DataDir
from qts.db.failures import explanation
from qts.db.sqlite import SqliteStore
from qts.errors import InputError, StorageError
from qts.files import sync_directory

_TABLES: Final = {table.name: table for table in (*tables.APPEND_ONLY, *tables.REPLACED)}
_CHANGING: Final = frozenset(table.name for table in tables.REPLACED)
_UNSEALED: Final = "UPDATE audit_chain SET unsealed = ? WHERE of_table = ?"


class Exported(msgspec.Struct, frozen=True):
    """The outcome of an export: the run, the rows that were written, and the newest of its batches."""

    run: RunRow
    rows: int
    seq: int


async def export_run(
    adapter: DataSourceAdapter, run_id: str, directory: Path, progress: Callable[[int], None] = lambda rows: None
) -> Exported:
    """Make ``directory`` the data directory of a run; a beginning of its id is enough where no other has it.

    The book gets its name when all of it is there. ``progress`` is told how many rows were written. Raises
    InputError for a run that the server does not have and for a directory that is not empty, StateError for a run
    that is not whole on the server, and StorageError when the disk fails.
    """
    run = _chosen(await adapter.runs(), run_id)
    _require_empty(directory)
    with DataDir(directory) as place:
        unfinished = place.path / f"{DATABASE_NAME}.unfinished"
        try:
            exported = await _write_book(adapter, run, unfinished, progress)
            unfinished.rename(place.database)
            sync_directory(place.path)
        except OSError as error:
            raise StorageError(f"{place.database}: cannot write it: {error.strerror}") from error
        finally:
            unfinished.unlink(missing_ok=True)
    return exported


async def _write_book(
    adapter: DataSourceAdapter, run: RunRow, path: Path, progress: Callable[[int], None]
) -> Exported:
    """Write the book of the run to the file ``path``, and verify the digests of its rows."""
    with closing(SqliteStore(path, durability="FULL")) as store:
        store.open_run(run, await adapter.strategy_files(run.run_id))
        for row in await adapter.configs(run.run_id):
            store.accept_config(row)
        with closing(_Rows(path, run)) as rows:
            async for body in adapter.bodies(run.run_id):
                rows.write(body)
                progress(rows.count)
            rows.finish()
        store.verify_history()
    return Exported(run, rows.count, rows.seq)


def _chosen(runs: Sequence[RunRow], run_id: str) -> RunRow:
    found = [run for run in runs if run.run_id == run_id] or [
        r for r in runs if run_id and r.run_id.startswith(run_id)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{len(found)} runs of the server begin with {run_id!r}; give more of the id")
    raise InputError(f"the server has no run {run_id!r}; qts db status lists those it has")


def _require_empty(directory: Path) -> None:
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} is no directory; give one that does not exist yet")
    there = (
        sorted(path.name for path in directory.iterdir() if path.name != LOCK_NAME) if directory.exists() else []
    )
    if there:
        raise InputError(f"{directory} is not empty: it holds {there[0]}; give a directory that does not exist yet")


class _Rows:
    """The rows of a run on their way into a file, all in one transaction."""

    def __init__(self, path: Path, run: RunRow) -> None:
        self._path = path
        self._owners = {"run_id": run.run_id, "account": run.account}
        self._unsealed: dict[str, int] = {}
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("BEGIN IMMEDIATE")
        self.count = 0
        self.seq = 0

    def write(self, body: bytes) -> None:
        """Write the rows of a part."""
        for name, rows in rows_of(body).items():
            try:
                self._write(name, rows)
            except (sqlite3.Error, ValueError) as error:
                raise StorageError(f"{self._path}: cannot write rows of {name}: {error}") from error
            self.count += len(rows)

    def _write(self, name: str, rows: Sequence[Sequence[Any]]) -> None:
        owner: tuple[str, ...]
        if name == tables.BATCHES:
            owner, columns = ("run_id",), ("id", "inbox")
            self.seq = max(self.seq, *(row[0] for row in rows))
        else:
            table = _TABLES[name]
            owner = table.owner
            columns = (*(() if table.key else ("id",)), *table.columns, *(["digest"] if has_digest(name) else []))
            if has_digest(name):
                self._count_unsealed(name, rows)
        values: list[str | int] = [self._owners[column] for column in owner]
        if name in _CHANGING:
            owner, values = (*owner, "generation"), [*values, 0]  # changed before the first checkpoint
        places = ", ".join("?" * (len(owner) + len(columns)))
        sql = f"INSERT INTO {name} ({', '.join((*owner, *columns))}) VALUES ({places})"  # noqa: S608 - our own names
        self._connection.executemany(sql, ([*values, *row] for row in rows))

    def _count_unsealed(self, name: str, rows: Sequence[Sequence[Any]]) -> None:
        """Note the number of the last row that an earlier version wrote without a digest."""
        old = [row[0] for row in rows if row[-1] is None]
        if old:
            self._unsealed[name] = old[-1]

    def finish(self) -> None:
        """Write how many rows are older than the digests, and commit."""
        try:
            self._connection.executemany(_UNSEALED, ((number, name) for name, number in self._unsealed.items()))
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise explanation(self._path, "write the rows", error) from error

    def close(self) -> None:
        """Close the file; what :meth:`finish` has not committed is not there."""
        self._connection.close()
