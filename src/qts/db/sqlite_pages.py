"""Reads the copies of local books out of a file that holds those of many runs, page by page.

All run on the thread of the :class:`~qts.db.sqlite_adapter.SqliteAdapter`, on its connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from qts.db import tables
from qts.db.adapter import END_NS, Query
from qts.db.batch import body_of, has_digest
from qts.db.contracts import ConfigRow, RunRow, StrategyFile
from qts.db.decoding import SQL_CONFIGS, SQL_FILES, SQL_RUN, check_record, configs_of, files_of, of_row, run_of

PAGE: Final = 1_000
"""Rows that are read at once; an even number, so that no transfer is cut in half."""
_TIMES: Final = ("timestamp", "updated_at")
_STRATEGIES: Final = ("strategy", "strategy_tag")
Key = tuple[Any, ...]


def runs(connection: sqlite3.Connection, path: Path, account: str) -> list[RunRow]:
    """Return the runs, or those of an account, by id."""
    where, values = (" WHERE account = ?", (account,)) if account else ("", ())
    rows = connection.execute(f"{SQL_RUN}{where} ORDER BY run_id", values).fetchall()
    return [run for row in rows if (run := run_of(path, row)) is not None]


def configs(connection: sqlite3.Connection, path: Path, run_id: str) -> list[ConfigRow]:
    """Return the configurations of a run, by version."""
    return configs_of(path, connection.execute(SQL_CONFIGS, (run_id,)))


def files(connection: sqlite3.Connection, path: Path, run_id: str) -> list[StrategyFile]:
    """Return the files of the strategies of a run."""
    return files_of(path, connection.execute(SQL_FILES, (run_id,)))


def page(
    connection: sqlite3.Connection, path: Path, table: tables.Table, where: Query, after: Key | None
) -> tuple[list[Any], Key | None]:
    """Return the records of at most :data:`PAGE` rows behind the key ``after``, and the last key; None: the end."""
    key = ("run_id", *(table.key or ("id",)))
    conditions, values = _conditions(table, where)
    if after is not None:
        conditions.append(f"({', '.join(key)}) > ({', '.join('?' * len(key))})")
        values += after
    sql = (
        f"SELECT {', '.join((*key, *table.columns))} FROM {table.name} "  # noqa: S608 - our own names
        f"WHERE {' AND '.join(conditions) or 'true'} ORDER BY {', '.join(key)} LIMIT {PAGE}"
    )
    rows = connection.execute(sql, values).fetchall()
    found = _records(path, table, len(key), rows)
    return found, tuple(rows[-1][: len(key)]) if len(rows) == PAGE else None


def bodies(connection: sqlite3.Connection, run_id: str, most: int) -> Iterator[bytes]:
    """Iterate over everything of a run in parts of at most ``most`` rows; one table a part."""
    columns: tuple[str, ...] = ("id", "inbox")
    yield from _parts(connection, tables.BATCHES, columns, ("id",), run_id, most)
    for table in (*tables.APPEND_ONLY, *tables.REPLACED):
        columns = table.columns if table.key else ("id", *table.columns)
        if has_digest(table.name):
            columns = (*columns, "digest")
        yield from _parts(connection, table.name, columns, table.key or ("id",), run_id, most)


def _parts(
    connection: sqlite3.Connection,
    name: str,
    columns: Sequence[str],
    order: Sequence[str],
    run_id: str,
    most: int,
) -> Iterator[bytes]:
    sql = f"SELECT {', '.join(columns)} FROM {name} WHERE run_id = ? ORDER BY {', '.join(order)}"  # noqa: S608
    rows = connection.execute(sql, (run_id,))
    while part := rows.fetchmany(most):
        yield body_of({name: part})


def _conditions(table: tables.Table, where: Query) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    values: list[Any] = []

    def narrow(condition: str, value: object) -> None:
        """Add a condition and its value."""
        conditions.append(condition)
        values.append(value)

    if where.run_id:
        narrow("run_id = ?", where.run_id)
    if where.account:
        narrow("run_id IN (SELECT run_id FROM runs WHERE account = ?)", where.account)
    if where.symbol and "symbol" in table.columns:
        narrow("symbol = ?", where.symbol)
    for column in table.columns:
        if column in _TIMES:
            if where.since_ns > 0:
                narrow(f"{column} >= ?", where.since_ns)
            if where.until_ns < END_NS:
                narrow(f"{column} < ?", where.until_ns)
        elif column in _STRATEGIES and where.strategy:
            narrow(f"{column} = ?", where.strategy)
    return conditions, values


def _records(path: Path, table: tables.Table, start: int, rows: Sequence[Sequence[Any]]) -> list[Any]:
    step = 2 if table is tables.TRANSFERS else 1
    decode: Callable[[Any], Any] = table.decode
    found: list[Any] = []
    for place in range(0, len(rows), step):
        some = rows[place : place + step]
        with of_row(path, table.name, " ".join(map(str, some[0][:start]))):
            made = decode([row[start:] for row in some]) if step == 2 else [decode(some[0][start:])]
            for record in made:
                check_record(record)
            found += made
    return found
