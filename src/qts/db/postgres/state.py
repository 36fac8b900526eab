"""The migrations that a server's database has had, and those that are due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import asyncpg

from qts.db.migrations import Applied, Migration, migrations_of, why_not_ours
from qts.db.postgres.connection import SCHEMA, Connection, said
from qts.errors import InputError

TIMESCALE: Final = "timescale"
"""The folder of the steps that need TimescaleDB."""
ASK_FOR_RIGHTS: Final = (
    "let the owner of the schema grant this user a role: qts_read to read, qts_write to write, "
    "qts_migrate to migrate"
)
_TIMESCALE: Final = """
SELECT n.nspname, e.extversion FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'timescaledb' AND current_setting('timescaledb.license', true) = 'timescale'
"""
_OBJECTS: Final = """
SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1
UNION ALL
SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = $1
ORDER BY name LIMIT 4
"""


class Timescale(NamedTuple):
    """TimescaleDB as a database has it, under its own licence: its schema and version."""

    schema: str
    version: str


class SchemaState(NamedTuple):
    """The steps of a database: ``applied`` by number, skipped ones among them; ``due`` would be applied now."""

    applied: Mapping[int, Applied]
    due: Sequence[Migration]
    timescale: Timescale | None

    @property
    def skipped(self) -> list[str]:
        """Return the names of the steps that were skipped because the database had no TimescaleDB."""
        return [step.name for _, step in sorted(self.applied.items()) if step.skipped]


def server_migrations() -> list[Migration]:
    """Return the steps of a server's schema, those of TimescaleDB among them."""
    return migrations_of("postgres", TIMESCALE)


async def read_state(connection: Connection, where: str, known: Sequence[Migration] | None = None) -> SchemaState:
    """Return how far the database is; ``where`` names it in messages, ``known`` None: this version's steps.

    Raises InputError for a schema of something else, or of another version of QTS.
    """
    steps = server_migrations() if known is None else known
    applied = await history(connection, where)
    if why := why_not_ours(applied, steps, "use another database"):
        raise InputError(f"{where}: {why}")
    timescale = await _timescale(connection)
    due = [step for step in steps if is_due(step, applied, timescale)]
    return SchemaState(applied, due, timescale)


def is_due(step: Migration, applied: Mapping[int, Applied], timescale: Timescale | None) -> bool:
    """Return whether a migration would run the step, or note that it is skipped."""
    there = applied.get(step.version)
    return there is None or (there.skipped and timescale is not None)


async def _timescale(connection: Connection) -> Timescale | None:
    rows = await connection.fetch(_TIMESCALE)
    return Timescale(rows[0]["nspname"], rows[0]["extversion"]) if rows else None


async def history(connection: Connection, where: str) -> dict[int, Applied]:
    """Return the steps that the database remembers; none where the schema is missing or empty."""
    names = [row["name"] for row in await connection.fetch(_OBJECTS, SCHEMA)]
    if not names:
        return {}
    try:
        rows = await connection.fetch(
            f"SELECT version, name, checksum, skipped FROM {SCHEMA}.schema_migrations"  # noqa: S608 - a constant
        )
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
        shown = f"{', '.join(names[:3])}{', …' if len(names) > 3 else ''}"
        raise InputError(
            f"{where}: its schema {SCHEMA} is of something else (it holds {shown}); give another database, or "
            "rename that schema"
        ) from None
    except asyncpg.InsufficientPrivilegeError as error:
        raise InputError(f"{where}: {said(error)}; {ASK_FOR_RIGHTS}") from None
    return {row["version"]: Applied(row["name"], row["checksum"], row["skipped"]) for row in rows}
