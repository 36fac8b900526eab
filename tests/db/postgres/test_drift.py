"""A schema that differs from what its migrations make is refused, each difference named, and nothing repaired."""

from __future__ import annotations

import pytest

from qts.db.postgres.drift import check_schema
from qts.db.postgres.migrate import migrate
from qts.db.postgres.state import server_migrations
from qts.errors import InputError
from tests.servers.fixtures import EVERY_POSTGRES, Database

from .steps import FIRST, SECOND, THIRD, connected

HERE = "postgres@here/db"
KNOWN = [FIRST, SECOND, THIRD]
DRIFTED = (
    ("ALTER TABLE qts.t_ledger DROP COLUMN digest", ["column t_ledger.digest is missing"]),
    (
        "ALTER TABLE qts.orders RENAME COLUMN tag TO label",
        ["column orders.tag is missing", "column orders.label is not ours"],
    ),
    ("ALTER TABLE qts.runs ADD COLUMN extra text", ["column runs.extra is not ours"]),
    (
        "ALTER TABLE qts.runs ALTER COLUMN seed TYPE numeric(18, 2)",
        ["column runs.seed is numeric(18,2) not null, not bigint not null"],
    ),
    (
        "ALTER TABLE qts.t_ledger ALTER COLUMN digest SET NOT NULL",
        ["column t_ledger.digest is text not null, not text"],
    ),
    ("DROP TABLE qts.refusals", ["table refusals is missing"]),
    ("DROP INDEX qts.t_ledger_fills", ["unique index t_ledger.t_ledger_fills is missing"]),
    (
        "ALTER TABLE qts.positions DROP CONSTRAINT positions_is_finite",
        ["constraint positions.positions_is_finite is missing"],
    ),
    ("ALTER TABLE qts.runs ADD CHECK (seed > 3)", ["constraint runs.runs_seed_check is not ours"]),
    ("CREATE UNIQUE INDEX one ON qts.runs (seed)", ["unique index runs.one is not ours"]),
    (
        "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER spy BEFORE INSERT ON qts.t_ledger FOR EACH ROW EXECUTE FUNCTION public.f()",
        ["trigger t_ledger.spy is not ours"],
    ),
    (
        "CREATE RULE spy AS ON INSERT TO qts.t_ledger DO INSTEAD NOTHING",
        ["rule t_ledger.spy is not ours"],
    ),
    (
        "ALTER TABLE qts.t_ledger ENABLE ROW LEVEL SECURITY",
        ["table t_ledger is defined otherwise"],
    ),
    ("ALTER TABLE qts.bars SET UNLOGGED", ["table bars is defined otherwise"]),
    (
        "CREATE FUNCTION qts.qts_apply(text) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
        ["function qts_apply(text) is not ours"],
    ),
)
IN_ORDER = (
    "CREATE INDEX by_symbol ON qts.t_ledger (symbol)",
    "CREATE TABLE qts.notes (x text)",
    "CREATE SCHEMA other; CREATE TABLE other.t_ledger (x text)",
    "ALTER TABLE qts.t_ledger SET (fillfactor = 90)",
    "GRANT SELECT ON qts.t_ledger TO PUBLIC",
    "COMMENT ON TABLE qts.t_ledger IS 'fills'",
)


@EVERY_POSTGRES
async def test_every_difference_is_named_and_nothing_is_repaired(database: Database) -> None:
    async with connected(database.url) as connection:
        await migrate(connection, HERE)
        await check_schema(connection, HERE)
        for change, words in DRIFTED:
            # Given a schema in which something was changed by hand
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(change)

            # When it is looked at, Then the difference is named, and only it
            with pytest.raises(InputError) as caught:
                await check_schema(connection, HERE)
            _, _, named = str(caught.value).partition("is not the one this version of QTS made: ")
            assert sorted(named.partition(". Nothing was changed")[0].split("; ")) == sorted(words), change
            with pytest.raises(InputError, match="Nothing was changed"):
                await migrate(connection, HERE)
            await transaction.rollback()


@EVERY_POSTGRES
async def test_what_changes_no_row_of_ours_is_no_difference(database: Database) -> None:
    async with connected(database.url) as connection:
        await migrate(connection, HERE)
        for change in IN_ORDER:
            await connection.execute(change)
        await check_schema(connection, HERE)


async def test_a_changed_function_is_a_difference(database: Database) -> None:
    async with connected(database.url) as connection:
        await migrate(connection, HERE, known=KNOWN)
        await connection.execute(
            "CREATE OR REPLACE FUNCTION qts.doubled(x numeric) RETURNS numeric LANGUAGE plpgsql "
            "SET search_path = qts, pg_temp AS $$\nBEGIN\n    RETURN 3 * x;\nEND $$"
        )
        with pytest.raises(InputError, match=r"function doubled\(x numeric\) is defined otherwise"):
            await check_schema(connection, HERE, KNOWN)


async def test_a_user_who_may_create_nothing_finds_the_same_by_what_was_written_down(database: Database) -> None:
    # Given a user who may read, and no more
    async with connected(database.url) as owner, connected(database.url) as reader:
        await migrate(owner, HERE, known=KNOWN)
        role = f"reader_{database.port}"
        await owner.execute(
            f"CREATE ROLE {role}; GRANT USAGE ON SCHEMA qts TO {role}; "
            f"GRANT SELECT ON ALL TABLES IN SCHEMA qts TO {role}"
        )
        try:
            await reader.execute(f"SET ROLE {role}")
            await check_schema(reader, HERE, KNOWN)

            # When a column is gone, Then it is named to him too
            await owner.execute("ALTER TABLE qts.fills DROP COLUMN fee")
            with pytest.raises(InputError, match=r"column fills\.fee is missing"):
                await check_schema(reader, HERE, KNOWN)

            # And what was written down by another major version proves nothing
            await owner.execute("UPDATE qts.schema_catalogue SET server_major = 14")
            with pytest.raises(
                InputError, match=r"written down by PostgreSQL 14, and this is PostgreSQL 18; let its"
            ):
                await check_schema(reader, HERE, KNOWN)
        finally:
            await owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_a_database_that_is_behind_or_empty_is_refused_with_what_to_do(database: Database) -> None:
    async with connected(database.url) as connection:
        with pytest.raises(InputError, match=r"here/db: the database has no schema of QTS; run qts db migrate"):
            await check_schema(connection, HERE)
        await migrate(connection, HERE, known=[FIRST])
        with pytest.raises(InputError, match=r"the database lacks 0002_chunks\.sql, 0003_more\.sql; run qts db"):
            await check_schema(connection, HERE, KNOWN)


async def test_a_look_for_drift_leaves_nothing_behind(database: Database) -> None:
    async with connected(database.url) as connection:
        await migrate(connection, HERE)
        before = await connection.fetch("SELECT nspname FROM pg_namespace ORDER BY 1")
        await check_schema(connection, HERE, server_migrations())
        assert await connection.fetch("SELECT nspname FROM pg_namespace ORDER BY 1") == before


async def test_a_user_without_rights_is_told_which_roles_there_are(database: Database) -> None:
    async with connected(database.url) as owner, connected(database.url) as other:
        await migrate(owner, HERE, known=[FIRST])
        role = f"stranger_{database.port}"
        await owner.execute(f"CREATE ROLE {role}")
        try:
            await other.execute(f"SET ROLE {role}")
            with pytest.raises(
                InputError, match=r"permission denied for schema qts; let the owner .* qts_read to read"
            ):
                await check_schema(other, HERE, [FIRST])
        finally:
            await owner.execute(f"DROP ROLE {role}")
