"""Brings the database that a URL names to the newest schema."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import asyncpg
import msgspec

from qts.db.access import Access
from qts.db.postgres.migrate import migrate
from qts.db.postgres.roles import create_roles, roles_there
from qts.db.timescale.connecting import connect
from qts.db.timescale.failures import Failure, explained
from qts.db.timescale.server_checks import QUERY, check_server
from qts.db.timescale.stats import AdapterStats
from qts.db.tools.open_server import unreachable
from qts.errors import Unavailable

_CLOSE_S: Final = 2.0
"""How long a server may take to say goodbye; then the connection is ended without it."""


class Migrated(msgspec.Struct, frozen=True):
    """The outcome of a migration: the server, the number of the newest step, those skipped, and the roles."""

    server: str
    newest: int
    skipped: tuple[str, ...]
    roles: tuple[str, ...]


@asynccontextmanager
async def server_connection(access: Access, what: str) -> AsyncIterator[asyncpg.Connection]:
    """Open a connection for the length of the block; errors that leave it are explained by ``what`` was tried.

    Raises InputError, StorageError and Unavailable.
    """
    try:
        connection = await connect(access, "qts db", AdapterStats())
    except Unavailable as error:
        raise unreachable(error) from error
    try:
        yield connection
    except Failure as error:
        raise explained(error, access.place, what) from error
    finally:
        with suppress(*Failure):
            await connection.close(timeout=_CLOSE_S)


async def migrate_server(access: Access, told: Callable[[str, str], None], *, with_roles: bool) -> Migrated:
    """Bring the database to the newest schema; ``with_roles`` makes the roles first, where they are missing.

    ``told`` is called with each step and its outcome, and with each role that was made. Raises InputError for a
    server, a schema or a user that this cannot be done with, and what
    :func:`~qts.db.postgres.migrate.migrate` does.
    """
    async with server_connection(access, "migrate") as connection:
        found = check_server(await connection.fetchrow(QUERY), access.place, live=False)
        for sentence in (*access.notes, *found.warnings):
            told("note", sentence)
        if with_roles:
            for role in await create_roles(connection, access.place):
                told(role, "role made")
        state = await migrate(connection, access.place, lambda step, outcome: told(step.name, outcome))
        roles = await roles_there(connection)
    return Migrated(found.capabilities.server, max(state.applied), tuple(state.skipped), tuple(roles))
