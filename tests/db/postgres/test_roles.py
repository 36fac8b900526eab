"""The roles of a server: what each may do, that it may do no more, and who can make them."""

from __future__ import annotations

from collections.abc import Iterator

import asyncpg
import pytest

from qts.db.postgres.drift import check_schema
from qts.db.postgres.migrate import migrate
from qts.db.postgres.roles import MIGRATE, READ, ROLES, WRITE, create_roles
from qts.errors import InputError
from tests.servers import sql
from tests.servers.postgres import Postgres
from tests.servers.process import ServerUnavailable

from .steps import FIRST, connected

HERE = "postgres@here/db"
PROGRESS = "INSERT INTO qts.run_progress (run_id, account) VALUES ('r', 'a')"
EACH = (
    ("SELECT * FROM qts.t_ledger", {READ, WRITE, MIGRATE}),
    ("SELECT * FROM qts.schema_migrations", {READ, WRITE, MIGRATE}),
    ("SELECT qts.qts_claim('r', 'a', false, 0, 0, 'me')", {WRITE, MIGRATE}),
    (f"{PROGRESS}; SELECT qts.qts_apply('r', 1, 0, '{{\"{{}}\"}}', '{{\"\"}}')", {WRITE, MIGRATE}),
    (f"{PROGRESS}; SELECT qts.qts_load('r', 0, 3, '{{}}', true)", {WRITE, MIGRATE}),
    ("INSERT INTO qts.batches VALUES ('r', 1, '')", {WRITE, MIGRATE}),
    ("UPDATE qts.orders SET state = 'x'", {WRITE, MIGRATE}),
    ("UPDATE qts.runs SET finished = 1", {WRITE, MIGRATE}),
    ("SELECT qts.qts_mark_tick_days('{2026-01-02}')", {WRITE, MIGRATE}),
    (
        "SELECT qts.qts_mark_tick_days('{2026-01-02}'); "
        "INSERT INTO qts.tick_data (time, ns, seq, symbol, kind, flags) "
        "VALUES ('2026-01-02 09:00+00', 0, 1, 'S', 'T', 0)",
        {WRITE, MIGRATE},
    ),
    ("UPDATE qts.tick_data SET price = 0", {MIGRATE}),
    ("INSERT INTO qts.ohlcv_1d VALUES ('S', now(), 1, 1, 1, 1, 1, 1, 1, 1, 1)", {MIGRATE}),
    ("DELETE FROM qts.tick_days", {MIGRATE}),
    ("UPDATE qts.t_ledger SET fee = 0", {MIGRATE}),
    ("UPDATE qts.decisions SET inputs = ''", {MIGRATE}),
    ("DELETE FROM qts.t_ledger", {MIGRATE}),
    ("DELETE FROM qts.orders", {MIGRATE}),
    ("DELETE FROM qts.runs", {MIGRATE}),
    ("TRUNCATE qts.equity_curve", {MIGRATE}),
    ("INSERT INTO qts.schema_migrations VALUES (9999, 'x', 'x', false)", {MIGRATE}),
    ("UPDATE qts.schema_catalogue SET server_major = 1", {MIGRATE}),
    ("CREATE TABLE qts.notes (x integer)", {MIGRATE}),
    ("ALTER TABLE qts.t_ledger DROP COLUMN digest", {MIGRATE}),
    ("DROP FUNCTION qts.qts_claim", {MIGRATE}),
    ("CREATE SCHEMA other", {MIGRATE}),
    ("CREATE ROLE another", set()),
)


@pytest.fixture(scope="module", params=["18", "15"], ids=lambda one: f"postgres{one}")
def server(request: pytest.FixtureRequest) -> Iterator[Postgres]:
    """A server of its own: roles are of a whole server, and other tests need one without them."""
    try:
        started = Postgres(request.param)
    except ServerUnavailable as reason:
        pytest.skip(str(reason))
    with started:
        yield started


@pytest.fixture
def url(server: Postgres) -> Iterator[str]:
    """An empty database, as superuser; the roles go with it."""
    maintenance = server.url()
    sql.execute(maintenance, "CREATE DATABASE books TEMPLATE template0")
    yield server.url("books")
    sql.execute(maintenance, "DROP DATABASE books WITH (FORCE)")
    for row in sql.query(maintenance, "SELECT rolname FROM pg_roles WHERE oid >= 16384 ORDER BY rolname"):
        sql.execute(maintenance, f"DROP OWNED BY {row[0]}; DROP ROLE {row[0]}")


async def _allowed(url: str, statement: str) -> set[str]:
    """Return the roles that may run the statement; each runs it in a transaction that is taken back."""
    found = set()
    async with connected(url) as connection:
        for role in ROLES:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(f"SET LOCAL ROLE {role}")
            try:
                await connection.execute(statement)
                found.add(role)
            except asyncpg.InsufficientPrivilegeError:
                pass
            finally:
                await transaction.rollback()
    return found


async def test_each_role_may_do_what_is_its_and_no_more(url: str) -> None:
    async with connected(url) as connection:
        # Given a database that was migrated with roles
        assert await create_roles(connection, HERE) == list(ROLES)
        await migrate(connection, HERE)

    # Then each statement is allowed to the roles that are named beside it, and refused to the others
    for statement, roles in EACH:
        assert await _allowed(url, statement) == roles, statement


async def test_roles_that_are_made_later_get_what_is_there_already(url: str) -> None:
    async with connected(url) as connection:
        # Given a database that its superuser migrated without roles
        await migrate(connection, HERE)
        assert await create_roles(connection, HERE) == list(ROLES)
        await migrate(connection, HERE)

        # Then all of it belongs to the owner's role, and a second time nothing is left to make
        owners = await connection.fetch(
            "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relnamespace = 'qts'::regnamespace UNION "
            "SELECT DISTINCT proowner::regrole::text FROM pg_proc WHERE pronamespace = 'qts'::regnamespace UNION "
            "SELECT DISTINCT typowner::regrole::text FROM pg_type WHERE typnamespace = 'qts'::regnamespace"
        )
        assert [row[0] for row in owners] == [MIGRATE]
        assert await create_roles(connection, HERE) == []
        await check_schema(connection, HERE)
    assert await _allowed(url, "SELECT * FROM qts.t_ledger") == {READ, WRITE, MIGRATE}


async def test_tables_of_later_steps_are_readable_too(url: str) -> None:
    async with connected(url) as connection:
        await create_roles(connection, HERE)
        await migrate(connection, HERE)
        # When the owner makes a table outside of a migration, as for the market values of a day
        await connection.execute(f"SET ROLE {MIGRATE}; CREATE TABLE qts.tick_data_20260102 (x integer)")
    assert await _allowed(url, "SELECT * FROM qts.tick_data_20260102") == {READ, WRITE, MIGRATE}


async def test_a_user_with_the_owners_role_migrates_as_it_and_one_who_writes_may_not(url: str) -> None:
    async with connected(url) as connection:
        await create_roles(connection, HERE)
        await connection.execute(f"CREATE ROLE ann LOGIN IN ROLE {MIGRATE}; CREATE ROLE bob LOGIN IN ROLE {WRITE}")
    async with connected(url.replace("postgres@", "bob@")) as bob:
        with pytest.raises(
            InputError, match=r"migration 0001_.*permission denied for database books; let the owner"
        ):
            await migrate(bob, HERE)
    async with connected(url.replace("postgres@", "ann@")) as ann:
        await migrate(ann, HERE)
        owner = await ann.fetchval("SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'qts'")
        assert owner == MIGRATE


async def test_in_another_database_of_the_server_the_roles_are_granted_what_is_theirs_there(
    server: Postgres, url: str
) -> None:
    async with connected(server.url()) as connection:
        # Given a server that has the roles, and a database that was not made for their owner
        await create_roles(connection, HERE)
    async with connected(url) as connection:
        # When a superuser migrates it, Then it is his, and writers may write
        await migrate(connection, HERE)
        owner = await connection.fetchval("SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'qts'")
        assert owner == "postgres"
    assert await _allowed(url, "UPDATE qts.runs SET finished = 1") == {WRITE}
    sql.execute(server.url(), f"REVOKE CREATE ON DATABASE postgres FROM {MIGRATE}")


async def test_a_user_who_may_not_make_roles_migrates_without_them(url: str) -> None:
    async with connected(url) as connection:
        await connection.execute("CREATE ROLE ann LOGIN; GRANT CREATE ON DATABASE books TO ann")
    async with connected(url.replace("postgres@", "ann@")) as ann:
        # When she asks for roles, Then she is told what to do, and nothing was made
        with pytest.raises(
            InputError, match=r"the roles cannot be made: .*; let a superuser run .*CREATE ROLE qts_read"
        ):
            await create_roles(ann, HERE)
        assert await ann.fetchval("SELECT count(*) FROM pg_roles WHERE rolname LIKE 'qts%'") == 0

        # When she asks for none, Then the schema is made, and is hers
        await migrate(ann, HERE)
        assert await ann.fetchval("SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'qts'") == "ann"


async def test_an_administrator_without_superuser_makes_roles_in_a_database_of_his_own(url: str) -> None:
    async with connected(url) as connection:
        await connection.execute("CREATE ROLE dba LOGIN CREATEROLE; ALTER DATABASE books OWNER TO dba")
    async with connected(url.replace("postgres@", "dba@")) as dba:
        assert await create_roles(dba, HERE) == list(ROLES)
        await migrate(dba, HERE)
        assert (
            await dba.fetchval("SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'qts'") == MIGRATE
        )
    assert await _allowed(url, "DELETE FROM qts.t_ledger") == {MIGRATE}


async def test_functions_are_for_no_one_else(url: str) -> None:
    async with connected(url) as connection:
        # Given a role that may look into the schema, and was granted none of ours
        await migrate(connection, HERE, known=[FIRST])
        await connection.execute("CREATE ROLE other LOGIN; GRANT USAGE ON SCHEMA qts TO other")
    async with connected(url.replace("postgres@", "other@")) as other:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for function doubled"):
            await other.execute("SELECT qts.doubled(2)")
