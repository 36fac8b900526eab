"""Saves everything that QTS has on a server in one file: by ``pg_dump`` where that can, else as our own archive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import asyncpg
import msgspec

from qts.db.access import Access
from qts.db.postgres.connection import SCHEMA, quoted
from qts.db.postgres.drift import check_schema
from qts.db.postgres.state import SchemaState
from qts.db.tools.archive import FORMAT, ArchiveWriter, Manifest
from qts.db.tools.migrate_server import server_connection
from qts.db.tools.pg_programs import dump, dump_program
from qts.errors import InputError

PAGE: Final = 1_000
FIRST: Final = ("tick_days",)
"""Tables that others need before them: partitions of market values are made for the days in it."""
_NOT_SAVED: Final = ("schema_migrations", "schema_catalogue")
_COLUMNS: Final = """
SELECT c.relname AS name, a.attname AS column_name
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attgenerated = '' AND c.relname <> ALL ($2)
ORDER BY c.relname <> ALL ($3), c.relname, a.attnum
"""
UNHURRIED: Final = (
    "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; "
    "SET LOCAL DateStyle = 'ISO'; SET LOCAL TimeZone = 'UTC'; SET LOCAL bytea_output = 'hex'; "
    "SET LOCAL extra_float_digits = 1"
)
"""Settings of a transaction that reads or writes everything, values as texts that are read back as they were."""


class Saved(msgspec.Struct, frozen=True):
    """The outcome of a backup: ``how`` it was made, and why ("" for ``pg_dump``); ``rows`` None: not counted."""

    how: str
    why: str
    rows: int | None


async def backup(access: Access, path: Path, progress: Callable[[int], None] = lambda rows: None) -> Saved:
    """Save everything as of one moment in the new file ``path``; sessions go on meanwhile.

    ``progress`` is told how many rows were saved. Raises InputError for a file that is there and for a server or
    schema that cannot be used, StorageError when the file cannot be written, and Unavailable.
    """
    if path.exists():
        raise InputError(f"{path} is there already; give the name of a new file")
    async with server_connection(access, "back up") as connection:
        state = await check_schema(connection, access.place)
        major = connection.get_server_version().major
        program, why = await dump_program(major)
        if state.timescale is not None:
            program, why = "", "pg_dump leaves out the chunks of TimescaleDB"
        if not program:
            return Saved("our own archive", why, await _archive(connection, state, path, progress))
    await dump(program, access, path)
    return Saved(program, "", None)


async def _archive(
    connection: asyncpg.Connection, state: SchemaState, path: Path, progress: Callable[[int], None]
) -> int:
    count = 0
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(UNHURRIED)
        tables = await columns_of(connection)
        steps = tuple((number, step.name, step.checksum) for number, step in sorted(state.applied.items()))
        server = await connection.fetchval("SELECT current_setting('server_version')")
        manifest = Manifest(qts_backup=FORMAT, server=f"PostgreSQL {server}", steps=steps, tables=tables)
        with ArchiveWriter(path, manifest) as archive:
            for table, columns in tables.items():
                archive.begin(table)
                values = ", ".join(f"{quoted(column)}::text" for column in columns)
                sql = f"SELECT json_build_array({values})::text FROM {SCHEMA}.{quoted(table)}"  # noqa: S608 - names
                cursor = await connection.cursor(sql)
                while rows := await cursor.fetch(PAGE):
                    archive.add([row[0] for row in rows])
                    count += len(rows)
                    progress(count)
            archive.finish()
    return count


async def columns_of(connection: asyncpg.Connection) -> dict[str, tuple[str, ...]]:
    """Return the columns of each table that is saved, in the order in which they are."""
    found: dict[str, tuple[str, ...]] = {}
    for row in await connection.fetch(_COLUMNS, SCHEMA, list(_NOT_SAVED), list(FIRST)):
        found[row["name"]] = (*found.get(row["name"], ()), row["column_name"])
    return found
