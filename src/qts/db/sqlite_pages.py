"""Reads the copies of local books out of a file that holds those of many runs, page by page.

All run on the thread of the :class:`~qts.db.sqlite_adapter.SqliteAdapter`, on its connection.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from qts.db import tables
from qts.db.batch import body_columns, body_of
from qts.db.contracts import ConfigRow, RunRow, StrategyFile
from qts.db.decoding import SQL_CONFIGS, SQL_FILES, SQL_RUN, check_record, configs_of, files_of, of_row, run_of
from qts.db.pages import Pages


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


def page(connection: sqlite3.Connection, path: Path, table: tables.Table, pages: Pages) -> list[Any]:
    """Return the records of the next page."""
    rows = connection.execute(pages.sql, pages.values).fetchall()
    step = 2 if table is tables.TRANSFERS else 1
    decode: Callable[[Any], Any] = table.decode
    found: list[Any] = []
    values = pages.turn(rows)
    for place in range(0, len(rows), step):
        some = values[place : place + step]
        with of_row(path, table.name, " ".join(map(str, rows[place][: -len(table.columns)]))):
            made = decode(some) if step == 2 else [decode(some[0])]
            for record in made:
                check_record(record)
            found += made
    return found


def bodies(connection: sqlite3.Connection, run_id: str, most: int) -> Iterator[bytes]:
    """Iterate over everything of a run in parts of at most ``most`` rows; one table a part."""
    yield from _parts(connection, tables.BATCHES, ("id", "inbox"), ("id",), run_id, most)
    for table in (*tables.APPEND_ONLY, *tables.REPLACED):
        yield from _parts(connection, table.name, body_columns(table), table.key or ("id",), run_id, most)


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
