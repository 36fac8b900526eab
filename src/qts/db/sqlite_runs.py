"""Writes copies of local books into a file that holds those of many runs; every function is one transaction.

All run on the thread of the :class:`~qts.db.sqlite_adapter.SqliteAdapter`, on its connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from qts.db import tables
from qts.db.adapter import RunCopy
from qts.db.batch import Batch, has_digest, rows_of
from qts.db.contracts import ConfigRow, RunRow, StrategyFile
from qts.db.decoding import RUN_COLUMNS
from qts.db.unfit_rows import refuse_unfit
from qts.errors import BatchRefused, ContractError, Fenced, Gap, StateError

_TABLES: Final[Mapping[str, tables.Table]] = {
    table.name: table for table in (*tables.APPEND_ONLY, *tables.REPLACED)
}
_SQL_RUN: Final = (
    f"INSERT INTO runs ({RUN_COLUMNS}) VALUES ({', '.join('?' * len(RUN_COLUMNS.split(', ')))}) "  # noqa: S608
    "ON CONFLICT (run_id) DO UPDATE SET started_at = excluded.started_at, finished = excluded.finished, "
    "result = excluded.result WHERE excluded.finished OR ?"
)
"""The last value: nothing of the run is applied, so what a session that ended then wrote is replaced."""
_SQL_FILE: Final = (
    "INSERT INTO strategy_files (run_id, strategy, class_name, name, digest) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (run_id, strategy, name) DO NOTHING"
)
_SQL_CONFIG: Final = (
    "INSERT INTO configurations (run_id, version, config_hash, timestamp, actor, reason, settings) "
    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run_id, version) DO NOTHING"
)
_SQL_PROGRESS: Final = (
    "INSERT INTO progress (run_id, applied, loading) VALUES (?, ?, ?) "
    "ON CONFLICT (run_id) DO UPDATE SET applied = excluded.applied, loading = excluded.loading"
)
_SQL_BATCH: Final = (
    f"INSERT INTO {tables.BATCHES} (run_id, id, inbox) VALUES (?, ?, ?) ON CONFLICT (run_id, id) DO NOTHING"  # noqa: S608
)
_SQL_EPOCH: Final = (
    "SELECT max(coalesce(max(epoch), 0) + 1, 1000 * CAST(strftime('%s', 'now') AS INTEGER)) FROM writers"
)
"""The next epoch: above every one before, also above those that a file restored from a backup has forgotten."""
_SQL_NEW_WRITER: Final = (
    "INSERT INTO writers (run_id, account, whole_account, epoch) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (run_id) DO UPDATE SET whole_account = excluded.whole_account, epoch = excluded.epoch"
)
_SQL_LATER_WRITER: Final = (
    "INSERT INTO writers (run_id, account, whole_account, epoch) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (run_id) DO UPDATE SET epoch = excluded.epoch"
)


def applied(connection: sqlite3.Connection, run_id: str) -> int:
    """Return the number of the newest applied batch of a run, 0 for none."""
    return _progress(connection, run_id)[0]


def refuse_half(connection: sqlite3.Connection, path: Path, run_id: str) -> None:
    """Raise StateError for a run of which a copy was begun and is not all there."""
    newest, loading = _progress(connection, run_id)
    if newest < loading:
        raise StateError(
            f"{path}: run {run_id} is not whole: a copy of it up to batch {loading} was begun, and {newest} are "
            "applied; resume its session, which goes on with it"
        )


def new_epoch(connection: sqlite3.Connection, run: RunRow, *, whole_account: bool) -> int:
    """Write down a new writer of the run, or of every run of its account that was claimed so; return its epoch."""
    with _transaction(connection):
        (epoch,) = connection.execute(_SQL_EPOCH).fetchone()
        if whole_account:
            sql = "UPDATE writers SET epoch = ? WHERE account = ? AND whole_account"
            connection.execute(sql, (epoch, run.account))
        connection.execute(_SQL_NEW_WRITER, (run.run_id, run.account, int(whole_account), epoch))
    return int(epoch)


def put_run(
    connection: sqlite3.Connection, run: RunRow, files: Sequence[StrategyFile], configs: Sequence[ConfigRow]
) -> None:
    """Write down a run, its files and configurations, or what has changed of the run."""
    with _transaction(connection):
        _put_run(connection, run, files, configs)


def apply(connection: sqlite3.Connection, batches: Sequence[Batch], claimed: int) -> int:
    """Apply batches of one run and return the newest applied; see the port for what is raised.

    ``claimed``: the epoch of those that have none.
    """
    if not batches:
        raise ContractError("no batches were given to apply")
    first = batches[0]
    if any((batch.run_id, batch.account) != (first.run_id, first.account) for batch in batches):
        raise ContractError("batches of several runs were sent together; send those of each run by themselves")
    with _transaction(connection):
        _refuse_fenced(connection, first.run_id, first.account, first.epoch or claimed)
        newest, loading = _progress(connection, first.run_id)
        if not _is_known(connection, first.run_id, first.account):
            raise Gap(first.run_id, 1, first.seq)  # what has no run yet needs its whole copy
        for batch in batches:
            if batch.seq <= newest:
                continue
            if batch.seq != newest + 1:
                raise Gap(batch.run_id, newest + 1, batch.seq)
            connection.execute(_SQL_BATCH, (batch.run_id, batch.seq, tables.inbox_text(batch.inbox)))
            _write(connection, batch.run_id, batch.account, batch.body, again=loading > newest)
            newest = batch.seq
        connection.execute(_SQL_PROGRESS, (first.run_id, newest, loading if loading > newest else 0))
    return newest


def begin_load(connection: sqlite3.Connection, copy: RunCopy, epoch: int) -> int:
    """Write down that a copy is being loaded; return the newest batch applied, ``copy.seq`` or more: nothing to do.

    From now on the run counts as incomplete.
    """
    run_id = copy.run.run_id
    with _transaction(connection):
        _refuse_fenced(connection, run_id, copy.run.account, epoch)
        newest, loading = _progress(connection, run_id)
        if newest < copy.seq or not _is_known(connection, run_id, copy.run.account):
            _put_run(connection, copy.run, copy.files, copy.configs)
            connection.execute(_SQL_PROGRESS, (run_id, newest, max(loading, copy.seq)))
    return newest


def load_part(connection: sqlite3.Connection, copy: RunCopy, body: bytes, epoch: int) -> None:
    """Write a part of a copy; rows that are only appended and are there already stay as they are."""
    with _transaction(connection):
        _refuse_fenced(connection, copy.run.run_id, copy.run.account, epoch)
        if applied(connection, copy.run.run_id) < copy.seq:
            _write(connection, copy.run.run_id, copy.run.account, body, again=True)


def end_load(connection: sqlite3.Connection, copy: RunCopy, epoch: int) -> int:
    """Count the batches of a copy as applied and return the newest applied one."""
    run_id = copy.run.run_id
    with _transaction(connection):
        _refuse_fenced(connection, run_id, copy.run.account, epoch)
        newest, loading = _progress(connection, run_id)
        newest = max(newest, copy.seq)
        connection.execute(_SQL_PROGRESS, (run_id, newest, loading if loading > newest else 0))
    return newest


def _put_run(
    connection: sqlite3.Connection, run: RunRow, files: Sequence[StrategyFile], configs: Sequence[ConfigRow]
) -> None:
    _is_known(connection, run.run_id, run.account)
    is_empty = _progress(connection, run.run_id) == (0, 0)
    connection.execute(_SQL_RUN, (*msgspec.structs.astuple(run), is_empty))
    connection.executemany(_SQL_FILE, ((run.run_id, *msgspec.structs.astuple(file)) for file in files))
    connection.executemany(_SQL_CONFIG, ((run.run_id, *msgspec.structs.astuple(row)) for row in configs))


def _progress(connection: sqlite3.Connection, run_id: str) -> tuple[int, int]:
    row = connection.execute("SELECT applied, loading FROM progress WHERE run_id = ?", (run_id,)).fetchone()
    return row or (0, 0)


def _is_known(connection: sqlite3.Connection, run_id: str, account: str) -> bool:
    """Return whether the run is there. Raises BatchRefused when it is there as one of another account."""
    row = connection.execute("SELECT account FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    if row is not None and row[0] != account:
        raise BatchRefused(f"run {run_id} is of account {row[0]} there; it was sent as one of account {account}")
    return row is not None


def _refuse_fenced(connection: sqlite3.Connection, run_id: str, account: str, epoch: int) -> None:
    """Raise Fenced for a writer of an epoch before the last claim.

    One of a later epoch goes on: the file was restored from a backup, and no one has claimed the run since.
    """
    row = connection.execute("SELECT epoch FROM writers WHERE run_id = ?", (run_id,)).fetchone()
    newest = 0 if row is None else row[0]
    if epoch > newest:
        connection.execute(_SQL_LATER_WRITER, (run_id, account, 0, epoch))
    elif epoch < newest:
        raise Fenced(
            f"run {run_id}: another process has taken it over (epoch {newest}, this one has {epoch}); nothing was "
            "written"
        )


def _write(connection: sqlite3.Connection, run_id: str, account: str, body: bytes, *, again: bool) -> None:
    """Write the rows of a body; ``again``: those that are only appended may be there already."""
    of = {"run_id": run_id, "account": account}
    for name, rows in rows_of(body).items():
        if name == tables.BATCHES:
            connection.executemany(_SQL_BATCH, [(run_id, *row) for row in rows])
            continue
        table = _TABLES.get(name)
        if table is None:
            raise BatchRefused(f"table {name!r} is not known: the batch is of another version of QTS")
        refuse_unfit(table, rows, account)
        owner = tuple(of[column] for column in table.owner)
        sql = _replace(table) if table.key else _insert(table, again=again)
        try:
            connection.executemany(sql, [(*owner, *row) for row in rows])
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, OverflowError) as error:
            raise BatchRefused(f"table {name}: {error}; nothing of the batch was written") from error


def _insert(table: tables.Table, *, again: bool) -> str:
    sql = table.insert(*(["digest"] if has_digest(table.name) else []))
    return f"{sql} ON CONFLICT (run_id, id) DO NOTHING" if again else sql


def _replace(table: tables.Table) -> str:
    columns = (*table.owner, *table.columns)
    changed = ", ".join(f"{c} = excluded.{c}" for c in table.columns if c not in table.key)
    return (
        f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "  # noqa: S608
        f"ON CONFLICT (run_id, {', '.join(table.key)}) DO UPDATE SET {changed}"
    )


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Begin, and commit, or take all back whatever was raised."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
