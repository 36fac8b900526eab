"""Puts a backup back into an empty database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from qts.db.access import Access
from qts.db.migrations import Migration
from qts.db.postgres.connection import SCHEMA, quoted, use_schema
from qts.db.postgres.migrate import migrate
from qts.db.postgres.roles import owner_to_be
from qts.db.postgres.state import read_state, server_migrations
from qts.db.timescale.server_checks import QUERY, check_server
from qts.db.tools.archive import Manifest, check_archive, is_archive, rows_of_archive
from qts.db.tools.backup import FIRST, PAGE, UNHURRIED, columns_of
from qts.db.tools.migrate_server import server_connection
from qts.db.tools.pg_programs import MAGIC, restore_dump
from qts.errors import DataError, InputError

_TYPES: Final = """
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attidentity <> '' AS is_counted
FROM pg_attribute a WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped
"""
_CONTINUE: Final = "SELECT setval(pg_get_serial_sequence($1, $2), $3)"


class Restored(msgspec.Struct, frozen=True):
    """The outcome of restoring: ``how`` it was done, and the rows (None where not counted).

    ``left_out``: tables of the backup that are made of others here.
    """

    how: str
    rows: int | None
    left_out: tuple[str, ...] = ()


async def restore(access: Access, path: Path, progress: Callable[[int], None] = lambda rows: None) -> Restored:
    """Restore the backup in the file ``path`` into the database, which has to be empty: all of its rows or none.

    ``progress`` is told how many rows were written. Raises InputError for a database that is not empty or of
    another edition, DataError for a file that is no whole backup, StorageError and Unavailable.
    """
    is_ours = is_archive(path)
    manifest = check_archive(path) if is_ours else None
    if manifest is None and not _is_dump(path):
        raise DataError(f"{path} is no backup: it was made neither by qts db backup nor by pg_dump")
    async with server_connection(access, "restore") as connection:
        check_server(await connection.fetchrow(QUERY), access.place, live=False)
        await _require_empty(connection, access.place)
        if manifest is not None:
            await _prepare(connection, access.place, manifest, path)
            return await _load(connection, access.place, manifest, path, progress)
        major = connection.get_server_version().major
        program = await restore_dump(access, major, path, await owner_to_be(connection))
        await migrate(connection, access.place)
    return Restored(program, None)


def _is_dump(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


async def _require_empty(connection: asyncpg.Connection, where: str) -> None:
    """Raise InputError when the database has rows of ours, or a schema of another version or program."""
    state = await read_state(connection, where)
    if not state.applied:
        return
    for table in await columns_of(connection):
        if await connection.fetchval(f"SELECT 1 FROM {SCHEMA}.{quoted(table)} LIMIT 1"):  # noqa: S608 - a name
            raise InputError(
                f"{where}: the database is not empty: its table {table} has rows; restore into a new one (createdb)"
            )


async def _prepare(connection: asyncpg.Connection, where: str, manifest: Manifest, path: Path) -> None:
    """Make the schema that the rows are of. Raises InputError for one that this version does not know."""
    known = {step.version: step for step in server_migrations()}
    unknown = [name for number, name, checksum in manifest.steps if _differs(known.get(number), checksum)]
    if unknown:
        raise InputError(
            f"{path} was made with migration {unknown[0]}, of which this version of QTS has another text or none; "
            "use the version that made it"
        )
    await migrate(connection, where, known=[known[number] for number, _, _ in manifest.steps])


def _differs(step: Migration | None, checksum: str) -> bool:
    return step is None or step.checksum != checksum


async def _load(
    connection: asyncpg.Connection, where: str, manifest: Manifest, path: Path, progress: Callable[[int], None]
) -> Restored:
    count = 0
    async with connection.transaction(isolation="read_committed"):
        await connection.execute(UNHURRIED)
        if owner := await owner_to_be(connection):
            await connection.execute(f"SET LOCAL ROLE {owner}")
        await use_schema(connection, SCHEMA)
        here = await columns_of(connection)
        writers = {
            table: await _writer(connection, table, columns)
            for table, columns in manifest.tables.items()
            if table in here
        }
        last = ""
        for table, rows in rows_of_archive(path, PAGE):
            if last in FIRST and table != last:
                await connection.execute("SELECT qts_make_tick_day(day) FROM tick_days")
            last = table
            if table in writers:
                await connection.execute(writers[table], f"[{b','.join(rows).decode()}]")
                count += len(rows)
                progress(count)
        for table in writers:
            await _continue_numbers(connection, table)
    await migrate(connection, where)
    return Restored("our own archive", count, tuple(manifest.tables.keys() - writers.keys()))


async def _writer(connection: asyncpg.Connection, table: str, columns: tuple[str, ...]) -> str:
    """Return the statement that writes rows of a table, given as a JSON array of arrays."""
    types = {row["name"]: row["type"] for row in await connection.fetch(_TYPES, quoted(table))}
    missing = [column for column in columns if column not in types]
    if missing:
        raise DataError(f"the backup has a column {table}.{missing[0]}, which the schema here does not have")
    names = ", ".join(map(quoted, columns))
    values = ", ".join(f"(r->>{place})::{types[column]}" for place, column in enumerate(columns))
    return (
        f"INSERT INTO {quoted(table)} ({names}) OVERRIDING SYSTEM VALUE "  # noqa: S608 - names of the catalogue
        f"SELECT {values} FROM json_array_elements($1::json) AS r"
    )


async def _continue_numbers(connection: asyncpg.Connection, table: str) -> None:
    """Let columns that count by themselves go on behind what was restored."""
    for row in await connection.fetch(_TYPES, quoted(table)):
        if row["is_counted"]:
            sql = f"SELECT max({quoted(row['name'])}) FROM {quoted(table)}"  # noqa: S608 - names of the catalogue
            if (last := await connection.fetchval(sql)) is not None:
                await connection.execute(_CONTINUE, quoted(table), row["name"], last)
