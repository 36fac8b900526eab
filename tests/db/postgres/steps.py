"""Small migrations of a server for tests, and statements of a migration one by one."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from qts.db.migrations import Migration

FIRST = Migration(
    1,
    "0001_first.sql",
    """-- A remark; with a semicolon.
CREATE DOMAIN amount AS numeric CHECK (VALUE < 'Infinity');
CREATE TABLE fills (id bigint PRIMARY KEY, note text NOT NULL DEFAULT '', price amount);
CREATE FUNCTION doubled(x numeric) RETURNS numeric LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RETURN 2 * x;
END $$;
CREATE VIEW dear AS SELECT id, doubled(price) AS price FROM fills;
""",
    "postgres",
)
SECOND = Migration(2, "0002_chunks.sql", "COMMENT ON TABLE fills IS 'in chunks';\n", "timescale")
THIRD = Migration(3, "0003_more.sql", "ALTER TABLE fills ADD COLUMN fee amount;\n", "postgres")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, timeout=20)
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


def statements(sql: str) -> list[str]:
    """Return the statements of a migration; the body of a function between $$ belongs to one."""
    found, pending = [], ""
    for line in sql.splitlines(keepends=True):
        pending += line
        if re.search(r";\s*(--.*)?$", line) and not line.startswith("--") and pending.count("$$") % 2 == 0:
            found.append(pending)
            pending = ""
    return found


def cut_after(step: Migration, count: int) -> Migration:
    """Return the step as it runs when the server ends its connection behind so many statements."""
    parts = statements(step.sql)
    text = "".join([*parts[:count], "SELECT pg_terminate_backend(pg_backend_pid());\n", *parts[count:]])
    return step._replace(sql=text)
