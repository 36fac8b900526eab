"""Brings the schema of a server to the newest one (:mod:`qts.db.migrations`), and refuses one that has drifted.

Each step is one transaction, which also writes down the step and how the schema looks after it. So whatever ends a
migration, running it again goes on where it was; and what has changed since is found out even by users who may not
make a schema to compare with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias

import asyncpg

from qts.db.migrations import Migration
from qts.db.postgres.catalogue import read_catalogue
from qts.db.postgres.connection import SCHEMA, Connection, said
from qts.db.postgres.drift import refuse_drift
from qts.db.postgres.roles import grant, owner_to_be
from qts.db.postgres.run_steps import run_steps
from qts.db.postgres.state import ASK_FOR_RIGHTS, TIMESCALE, SchemaState, Timescale, history, is_due, read_state
from qts.errors import InputError, StorageError, Unavailable

Outcome: TypeAlias = Literal["applied", "skipped", "there"]
Told: TypeAlias = Callable[[Migration, Outcome], None]

_LOCK: Final = 0x7174_736D_6967
"""The advisory lock of migrations ("qtsmig"), in every database its own."""
_LOCK_WAIT: Final = "5s"
"""How long a statement of a step waits for a lock that a session or another program holds."""
_BROKEN: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    OSError,
)
"""How the end of a connection shows: the server's last word on it, the driver's, or the system's."""


async def migrate(
    connection: Connection,
    where: str,
    told: Told = lambda step, outcome: None,
    known: Sequence[Migration] | None = None,
) -> SchemaState:
    """Bring the database to the newest schema, and return how far it is then.

    ``told`` is called with every step that was due and what became of it. Two at once do not race: the second waits
    for each step of the first, and finds it done. The roles that are there are granted what is theirs
    (:mod:`qts.db.postgres.roles`). Raises InputError for a schema of something else or one that has
    drifted, and for a user who may not change it; Unavailable when something else holds a lock; StorageError for a
    step that fails. What was not told of is then as it was.
    """
    before = await read_state(connection, where, known)
    if before.applied:
        await refuse_drift(connection, where, before, known)
    for step in before.due:
        told(step, await _explained(connection, where, step, before.timescale))
    await _grant(connection, where)
    after = await read_state(connection, where, known)
    await refuse_drift(connection, where, after, known)
    return after


async def _explained(connection: Connection, where: str, step: Migration, timescale: Timescale | None) -> Outcome:
    """Apply a step, and put what the server refuses into words."""
    try:
        return await _apply(connection, where, step, timescale)
    except asyncpg.LockNotAvailableError as error:
        raise Unavailable(
            f"{where}: migration {step.name} waited too long for a lock, and nothing of it was written "
            f"({said(error)}); end what uses the database, then migrate again"
        ) from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise InputError(f"{where}: migration {step.name}: {said(error)}; {ASK_FOR_RIGHTS}") from error
    except _BROKEN as error:
        raise Unavailable(f"{where}: the connection broke in migration {step.name}; migrate again") from error
    except asyncpg.PostgresError as error:
        raise StorageError(
            f"{where}: migration {step.name}{_line_of(error, step)}: {said(error)}; nothing of it was written"
        ) from error


def _line_of(error: asyncpg.PostgresError, step: Migration) -> str:
    position = getattr(error, "position", None)
    return f", line {step.sql[: int(position)].count(chr(10)) + 1}" if position else ""


async def _apply(connection: Connection, where: str, step: Migration, timescale: Timescale | None) -> Outcome:
    """Apply one step, or note that it is skipped; another that did the same first is waited for."""
    async with connection.transaction(isolation="read_committed"):
        await _take_turn(connection)
        applied = await history(connection, where)
        if not is_due(step, applied, timescale):
            return "there"
        if not applied and not await connection.fetchval("SELECT 1 FROM pg_namespace WHERE nspname = $1", SCHEMA):
            await connection.execute(f"CREATE SCHEMA {SCHEMA}")
        is_skipped = step.folder == TIMESCALE and timescale is None
        await run_steps(connection, SCHEMA, [] if is_skipped else [step], timescale)
        await connection.execute(
            "INSERT INTO schema_migrations (version, name, checksum, skipped) VALUES ($1, $2, $3, $4) "
            "ON CONFLICT (version) DO UPDATE SET skipped = excluded.skipped, applied_at = now()",
            step.version,
            step.name,
            step.checksum,
            is_skipped,
        )
        await _remember(connection)
    return "skipped" if is_skipped else "applied"


async def _take_turn(connection: Connection) -> None:
    """Wait until no other migration is in a step, and act as the owner of the schema until the transaction ends."""
    await connection.execute("SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = '10min'")
    await connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
    await connection.execute(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'")
    if owner := await owner_to_be(connection):
        await connection.execute(f"SET LOCAL ROLE {owner}")


async def _grant(connection: Connection, where: str) -> None:
    try:
        async with connection.transaction(isolation="read_committed"):
            await _take_turn(connection)
            await grant(connection)
    except asyncpg.InsufficientPrivilegeError as error:
        raise InputError(
            f"{where}: the roles cannot be granted their rights: {said(error)}; {ASK_FOR_RIGHTS}"
        ) from error


async def _remember(connection: Connection) -> None:
    """Write down how the schema looks now."""
    await connection.execute(
        "INSERT INTO schema_catalogue (number, server_major, objects) "
        "VALUES (1, current_setting('server_version_num')::integer / 10000, $1::jsonb) "
        "ON CONFLICT (number) DO UPDATE SET server_major = excluded.server_major, objects = excluded.objects",
        json.dumps(await read_catalogue(connection, SCHEMA)),
    )
