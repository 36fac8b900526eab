"""Finds out in what a schema differs from what its migrations make; repairs nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from qts.db.migrations import Migration
from qts.db.postgres.catalogue import Catalogue, differences, read_catalogue
from qts.db.postgres.connection import SCHEMA, Connection, quoted
from qts.db.postgres.run_steps import run_steps
from qts.db.postgres.state import TIMESCALE, SchemaState, Timescale, read_state, server_migrations
from qts.errors import InputError

_SHOWN: Final = 20
"""Differences that a message names."""


async def check_schema(connection: Connection, where: str, known: Sequence[Migration] | None = None) -> SchemaState:
    """Return how far the database is. Raises InputError when its schema is not exactly this version's.

    Steps that were skipped for want of TimescaleDB are no hindrance, even if it is there now. Changes nothing.
    """
    state = await read_state(connection, where, known)
    missing = [step.name for step in state.due if step.version not in state.applied]
    if missing:
        what = "has no schema of QTS" if not state.applied else f"lacks {', '.join(missing)}"
        raise InputError(f"{where}: the database {what}; run qts db migrate on it first")
    await refuse_drift(connection, where, state, known)
    return state


async def refuse_drift(
    connection: Connection, where: str, state: SchemaState, known: Sequence[Migration] | None
) -> None:
    """Raise InputError naming everything that is not as the steps make it."""
    steps = server_migrations() if known is None else known
    ran = [step for step in steps if step.version in state.applied and not state.applied[step.version].skipped]
    lost = [step.name for step in ran if step.folder == TIMESCALE and state.timescale is None]
    if lost:
        raise InputError(
            f"{where}: {', '.join(lost)} was applied with TimescaleDB, and the database has it no longer, or only "
            "its Apache edition; create the extension again, or set timescaledb.license = 'timescale'"
        )
    wanted = await _wanted(connection, where, ran, state.timescale)
    async with connection.transaction(isolation="read_committed"):
        found = await read_catalogue(connection, SCHEMA)
    if lines := differences(wanted, found):
        more = f"; and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        raise InputError(
            f"{where}: the schema {SCHEMA} is not the one this version of QTS made: "
            f"{'; '.join(lines[:_SHOWN])}{more}. "
            "Nothing was changed: take back what was changed there, or restore the database from a backup"
        )


async def _wanted(
    connection: Connection, where: str, ran: Sequence[Migration], timescale: Timescale | None
) -> Catalogue:
    """Return what the steps make: in a schema made for it and taken back, or as it was when they were run."""
    version = await connection.fetchval("SELECT current_setting('server_version_num')::integer")
    if not await connection.fetchval(_MAY_CREATE):
        return await _remembered(connection, where, version // 10_000)
    key = (version, timescale, tuple(ran))
    made = _newest.get(key)
    if made is None:
        made = await _made_by(connection, ran, timescale)
        _newest.clear()
        _newest[key] = made
    return made


_MAY_CREATE: Final = (
    "SELECT has_database_privilege(current_database(), 'CREATE') AND NOT pg_is_in_recovery() "
    "AND current_setting('transaction_read_only') = 'off'"
)
_newest: Final[dict[tuple[int, Timescale | None, tuple[Migration, ...]], Catalogue]] = {}
"""What the steps make on the server last looked at: sessions and tests open the same one often."""


async def _made_by(connection: Connection, ran: Sequence[Migration], timescale: Timescale | None) -> Catalogue:
    made: Catalogue = {}
    with suppress(_TakenBack):
        async with connection.transaction(isolation="read_committed"):
            await connection.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '1min'")
            schema = f"{SCHEMA}_check_{await connection.fetchval('SELECT pg_backend_pid()')}"
            await connection.execute(f"CREATE SCHEMA {quoted(schema)}")
            await run_steps(connection, schema, ran, timescale)
            made = await read_catalogue(connection, schema)
            raise _TakenBack
    return made


class _TakenBack(Exception):
    """The end of a transaction that shall leave nothing."""


async def _remembered(connection: Connection, where: str, server_major: int) -> Catalogue:
    rows = await connection.fetch(
        f"SELECT server_major, objects::text AS objects FROM {SCHEMA}.schema_catalogue"  # noqa: S608 - a constant
    )
    if not rows or rows[0]["server_major"] != server_major:
        former = f"PostgreSQL {rows[0]['server_major']}" if rows else "no version"
        raise InputError(
            f"{where}: how its schema should look was written down by {former}, and this is PostgreSQL "
            f"{server_major}; let its owner run qts db migrate on it once"
        )
    objects: dict[str, str] = json.loads(rows[0]["objects"])
    return objects
