"""The steps that need TimescaleDB, on its real code (one backend, in WebAssembly)."""

from __future__ import annotations

import pytest

from qts.db.postgres.drift import check_schema
from qts.db.postgres.migrate import migrate
from qts.db.postgres.roles import ROLES, create_roles
from qts.db.postgres.state import TIMESCALE, server_migrations
from qts.errors import InputError
from tests.servers.pglite import PGlite

from .steps import connected

HERE = "postgres@here/db"


async def test_a_database_that_gets_the_extension_later_is_migrated_forward(
    pglite: PGlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(pglite.url()) as connection:
        await connection.execute("DROP SCHEMA IF EXISTS qts CASCADE")
        # Given a database that was migrated when TimescaleDB was not seen, with market values
        with monkeypatch.context() as patch:
            patch.setattr("qts.db.postgres.state._TIMESCALE", "SELECT 1 AS nspname, 1 AS extversion LIMIT 0")
            before = await migrate(connection, HERE)
        assert before.skipped == [step.name for step in server_migrations() if step.folder == TIMESCALE]
        await connection.execute(
            "SELECT qts.qts_mark_tick_days('{2026-01-02}'); "
            "INSERT INTO qts.tick_data (time, ns, seq, symbol, kind, flags, price, size) "
            "VALUES ('2026-01-02 09:00+00', 0, 1, 'S', 'T', 0, 100, 1)"
        )

        # When it is migrated with it, Then the skipped steps ran behind the others and the values are still there
        after = await migrate(connection, HERE)
        assert (after.skipped, after.due) == ([], [])
        assert after.timescale is not None
        assert await connection.fetchval("SELECT count(*) FROM qts.tick_data") == 1
        hypertables = await connection.fetch("SELECT hypertable_name FROM timescaledb_information.hypertables")
        assert "tick_data" in {row[0] for row in hypertables}

        # When roles are made, Then all that TimescaleDB made belongs to the owner as well; the owner needs no right
        # on the database here, because this engine cannot grant one in a transaction
        await connection.execute("CREATE ROLE qts_migrate SUPERUSER")
        try:
            await create_roles(connection, HERE)
            owners = await connection.fetch(
                "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relnamespace = 'qts'::regnamespace"
            )
            assert [row[0] for row in owners] == ["qts_migrate"]

            # And the counted names of what TimescaleDB makes are no drift, a changed column is
            await connection.execute("ALTER TABLE qts.tick_data ADD COLUMN extra integer")
            with pytest.raises(InputError, match=r"column tick_data\.extra is not ours\. Nothing was changed"):
                await check_schema(connection, HERE)
        finally:
            await connection.execute("DROP SCHEMA qts CASCADE")
            for role in ROLES:
                await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
