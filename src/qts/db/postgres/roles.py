"""The roles of a server: ``qts_migrate`` owns the schema, ``qts_write`` follows runs, ``qts_read`` reads.

They cannot log in; the administrator grants them to users who can. A writer adds rows to the books and changes the
few tables that hold how something last stood. It deletes nothing of them, changes no row that is only appended, and
makes no objects; partitions of market values are made and dropped by functions that run with the owner's rights.
"""

from __future__ import annotations

from typing import Final

import asyncpg

from qts.db import tables
from qts.db.postgres.connection import SCHEMA, Connection, quoted, said
from qts.errors import InputError

MIGRATE: Final = "qts_migrate"
WRITE: Final = "qts_write"
READ: Final = "qts_read"
ROLES: Final = (MIGRATE, WRITE, READ)
_CHANGED: Final = ("runs", "run_progress", *(table.name for table in tables.REPLACED))
"""Tables of which a writer changes rows."""
_INSERTED: Final = (
    *_CHANGED,
    *(table.name for table in tables.APPEND_ONLY),
    tables.BATCHES,
    "configurations",
    "strategy_files",
    "written_forms",
    "tick_data",
)
"""Tables to which a writer adds rows."""
_THERE: Final = "SELECT rolname AS name FROM pg_roles WHERE rolname = ANY($1)"
_CREATE: Final = """
DO $$ BEGIN
  CREATE ROLE {role} NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;  -- another migration was faster
END $$
"""
_MAY_BECOME: Final = """
SELECT pg_has_role(r.oid, CASE WHEN current_setting('server_version_num')::integer < 160000
  THEN 'MEMBER' ELSE 'SET' END)
  AND coalesce((SELECT n.nspowner = r.oid FROM pg_namespace n WHERE n.nspname = $2),
    has_database_privilege(r.oid, current_database(), 'CREATE'))
FROM pg_roles r WHERE r.rolname = $1
"""
_OWNED_BY_OTHERS: Final = """
SELECT 'TABLE ' || c.oid::regclass AS object  -- as a view or sequence may be called here, an aggregate has to be
FROM pg_class c
WHERE c.relnamespace = $1::regnamespace AND c.relowner <> $2::regrole
  AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
  AND NOT (c.relkind = 'S' AND EXISTS (SELECT 1 FROM pg_depend d  -- a sequence of a column goes with its table
    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')))
UNION ALL
SELECT 'ROUTINE ' || p.oid::regprocedure FROM pg_proc p
WHERE p.pronamespace = $1::regnamespace AND p.proowner <> $2::regrole
UNION ALL
SELECT 'TYPE ' || t.oid::regtype FROM pg_type t
WHERE t.typnamespace = $1::regnamespace AND t.typowner <> $2::regrole AND t.typtype IN ('d', 'e', 'r')
"""


async def roles_there(connection: Connection) -> list[str]:
    """Return which of :data:`ROLES` the server has, in their order."""
    names = {row["name"] for row in await connection.fetch(_THERE, list(ROLES))}
    return [role for role in ROLES if role in names]


async def owner_to_be(connection: Connection) -> str:
    """Return the role as which this user migrates: :data:`MIGRATE` if the user may, "" for the user itself."""
    return MIGRATE if await connection.fetchval(_MAY_BECOME, MIGRATE, SCHEMA) else ""


async def create_roles(connection: Connection, where: str) -> list[str]:
    """Create those of :data:`ROLES` that the server lacks, and make :data:`MIGRATE` the owner of what is there.

    Return the created ones. Raises InputError, before anything is written, for a user who may not do that.
    """
    try:
        async with connection.transaction(isolation="read_committed"):
            there = await roles_there(connection)
            missing = [role for role in ROLES if role not in there]
            for role in missing:
                await connection.execute(_CREATE.format(role=role))
            await _hand_over(connection)
    except asyncpg.InsufficientPrivilegeError as error:
        statements = "; ".join(f"CREATE ROLE {role} NOLOGIN" for role in ROLES)
        raise InputError(
            f"{where}: the roles cannot be made: {said(error)}; let a superuser run qts db migrate --roles, or "
            f"{statements}; and grant {MIGRATE} to this user"
        ) from error
    return missing


async def _hand_over(connection: Connection) -> None:
    """Let this user act as :data:`MIGRATE`, and make that role the owner of the schema and all that is in it."""
    if not await connection.fetchval("SELECT has_database_privilege($1, current_database(), 'CREATE')", MIGRATE):
        database = quoted(await connection.fetchval("SELECT current_database()"))
        await connection.execute(f"GRANT CREATE ON DATABASE {database} TO {MIGRATE}")
    if not await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user"):
        await connection.execute(f"GRANT {MIGRATE} TO CURRENT_USER")
    if not await connection.fetchval("SELECT 1 FROM pg_namespace WHERE nspname = $1", SCHEMA):
        return
    await connection.execute(f"ALTER SCHEMA {SCHEMA} OWNER TO {MIGRATE}")
    for row in await connection.fetch(_OWNED_BY_OTHERS, SCHEMA, MIGRATE):
        await connection.execute(f"ALTER {row['object']} OWNER TO {MIGRATE}")


async def grant(connection: Connection) -> None:
    """Allow the roles that are there what is theirs, and all others nothing; for the owner of the schema.

    The same again changes nothing. To be used in a transaction.
    """
    await connection.execute(f"REVOKE ALL ON ALL ROUTINES IN SCHEMA {SCHEMA} FROM PUBLIC")
    there = await roles_there(connection)
    for role in (role for role in there if role != MIGRATE):
        await connection.execute(f"GRANT USAGE ON SCHEMA {SCHEMA} TO {role}")
        await connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO {role}")
        await connection.execute(f"ALTER DEFAULT PRIVILEGES IN SCHEMA {SCHEMA} GRANT SELECT ON TABLES TO {role}")
    if WRITE in there:
        await connection.execute(f"GRANT EXECUTE ON ALL ROUTINES IN SCHEMA {SCHEMA} TO {WRITE}")
        for right, names in (("INSERT", _INSERTED), ("UPDATE", _CHANGED)):
            for table in [name for name in names if await _is_there(connection, name)]:
                await connection.execute(f"GRANT {right} ON {SCHEMA}.{table} TO {WRITE}")


async def _is_there(connection: Connection, table: str) -> bool:
    return await connection.fetchval("SELECT to_regclass($1)", f"{SCHEMA}.{table}") is not None
