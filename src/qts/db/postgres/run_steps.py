"""Runs the files of migrations in a schema, the real one or one that is taken back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from qts.db.migrations import Migration
from qts.db.postgres.connection import Connection, use_schema
from qts.db.postgres.state import TIMESCALE, Timescale

_BOOKKEEPING: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
  version integer PRIMARY KEY,
  name text NOT NULL,
  checksum text NOT NULL,
  skipped boolean NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS schema_catalogue (
  number integer PRIMARY KEY CHECK (number = 1),
  server_major integer NOT NULL,
  objects jsonb NOT NULL
);
"""


async def run_steps(
    connection: Connection, schema: str, steps: Sequence[Migration], timescale: Timescale | None
) -> None:
    """Run steps in ``schema``, which has or gets the bookkeeping; the functions of TimescaleDB are found by its."""
    await use_schema(connection, schema)
    await connection.execute(_BOOKKEEPING)
    for step in steps:
        more = [timescale.schema] if timescale is not None and step.folder == TIMESCALE else []
        await use_schema(connection, schema, *more)
        await connection.execute(step.sql)
    await use_schema(connection, schema)
