"""Brings the file of a local book to the newest schema (:mod:`qts.db.migrations`).

A database whose schema is not exactly what its migrations make is refused with the name of what differs; nothing is
repaired behind the operator's back.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache
from typing import Final

from qts.db.migrations import Applied, Migration, migrations_of, why_not_ours
from qts.errors import StorageError

_BOOKKEEPING: Final = (
    "CREATE TABLE IF NOT EXISTS schema_migrations ("
    "version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL)"
)


def migrations() -> list[Migration]:
    """Return the migrations of this version of the package, in order."""
    return migrations_of("sqlite")


def migrate(connection: sqlite3.Connection, known: list[Migration], where: str) -> None:
    """Bring a database to the newest schema and check it; ``where`` names it in messages.

    Two starts at once do not race: each step takes the write lock first and looks again. Raises StorageError for a
    changed or unknown migration and for drift; an empty database cannot have drifted.
    """
    is_empty = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
    applied = _applied(connection)
    if why := why_not_ours(applied, known, "start with a new data directory"):
        raise StorageError(f"{where}: {why}")
    for step in known:
        if step.version not in applied:
            _apply(connection, step)
    if not is_empty:
        refuse_drift(connection, known, where)


def is_behind(connection: sqlite3.Connection, known: list[Migration]) -> bool:
    """Return whether :func:`migrate` would change the schema; writes nothing."""
    return bool({step.version for step in known} - _applied(connection).keys())


def refuse_drift(connection: sqlite3.Connection, known: list[Migration], where: str) -> None:
    """Raise StorageError naming every table, column, index or trigger that is not as the migrations make it."""
    schema, columns = _made_by(tuple(known))
    differences = _differences(schema, _schema(connection), columns, _columns(connection))
    if differences:
        raise StorageError(
            f"{where}: the schema is not the one this version of QTS made: {'; '.join(differences)}. "
            "Restore the file from a backup or start with a new data directory."
        )


def statements(sql: str) -> list[str]:
    """Split a migration into its statements (a trigger with its inner semicolons is one)."""
    found: list[str] = []
    pending = ""
    for line in sql.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    if any(line.strip() and not line.strip().startswith("--") for line in pending.splitlines()):
        raise StorageError(f"a migration ends inside a statement: {pending.strip()[:80]!r}")
    return found


def _applied(connection: sqlite3.Connection) -> dict[int, Applied]:
    try:
        rows = connection.execute("SELECT version, name, checksum FROM schema_migrations").fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return {}
    return {version: Applied(name, checksum) for version, name, checksum in rows}


def _apply(connection: sqlite3.Connection, step: Migration) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(_BOOKKEEPING)
        if step.version not in _applied(connection):
            _run(connection, step)
            connection.execute(
                "INSERT INTO schema_migrations VALUES (?, ?, ?)", (step.version, step.name, step.checksum)
            )
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _run(connection: sqlite3.Connection, step: Migration) -> None:
    for statement in statements(step.sql):
        connection.execute(statement)


def _schema(connection: sqlite3.Connection) -> dict[tuple[str, str], str]:
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {(kind, name): sql for kind, name, sql in rows}


@cache
def _made_by(known: tuple[Migration, ...]) -> tuple[dict[tuple[str, str], str], dict[str, list[str]]]:
    """Return the schema and the columns that the migrations make in an empty database."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as pure:
        for step in known:
            _run(pure, step)
        return _schema(pure), _columns(pure)


def _columns(connection: sqlite3.Connection) -> dict[str, list[str]]:
    rows = connection.execute(
        "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'"
    ).fetchall()
    columns: dict[str, list[str]] = {}
    for table, column in rows:
        columns.setdefault(table, []).append(column)
    return columns


def _differences(
    wanted: dict[tuple[str, str], str],
    found: dict[tuple[str, str], str],
    wanted_columns: dict[str, list[str]],
    found_columns: dict[str, list[str]],
) -> list[str]:
    """Return what differs in our tables; those of others do not count, ours must be exact."""
    lines: list[str] = []
    for (kind, name), sql in sorted(wanted.items()):
        if (kind, name) not in found:
            lines.append(f"{kind} {name} is missing")
        elif found[kind, name] != sql:
            columns = _column_differences(name, wanted_columns.get(name, []), found_columns.get(name, []))
            lines += columns or [f"{kind} {name} is defined otherwise"]
    lines += [
        f"trigger {name} is not ours" for kind, name in sorted(found.keys() - wanted.keys()) if kind == "trigger"
    ]
    return lines


def _column_differences(table: str, wanted: list[str], found: list[str]) -> list[str]:
    missing = [f"column {table}.{name} is missing" for name in wanted if name not in found]
    return missing + [f"column {table}.{name} is not ours" for name in found if name not in wanted]
