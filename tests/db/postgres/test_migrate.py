"""The schema of a server: each step once and whole, whatever comes between; TimescaleDB only where it is."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from qts.db.migrations import Migration
from qts.db.postgres import migrate as module
from qts.db.postgres.catalogue import read_catalogue
from qts.db.postgres.connection import SCHEMA, Connection
from qts.db.postgres.migrate import migrate
from qts.db.postgres.state import read_state, server_migrations
from qts.errors import InputError, StorageError, Unavailable
from tests.effort import EVERY_KILL
from tests.servers.fixtures import EVERY_POSTGRES, Database

from .steps import FIRST, SECOND, THIRD, connected, cut_after, statements

HERE = "postgres@here/db"
KNOWN = [FIRST, SECOND, THIRD]


async def outcomes(connection: Connection, known: Sequence[Migration] | None) -> list[tuple[str, str]]:
    told: list[tuple[str, str]] = []
    await migrate(connection, HERE, lambda step, outcome: told.append((step.name, outcome)), known)
    return told


def test_the_numbers_of_both_folders_are_each_taken_once() -> None:
    numbers = [step.version for step in server_migrations()]
    assert numbers == sorted(set(numbers))


@EVERY_POSTGRES
async def test_the_schema_of_this_version_is_made_whole_and_made_once(database: Database) -> None:
    async with connected(database.url) as connection:
        # Given an empty database without TimescaleDB, When it is migrated
        first = dict(await outcomes(connection, None))

        # Then every step ran, but those that need TimescaleDB, and a second time there is none to run
        assert first == {
            step.name: "skipped" if step.folder == "timescale" else "applied" for step in server_migrations()
        }
        assert await outcomes(connection, None) == []


async def test_steps_run_in_the_order_of_their_numbers_and_only_the_missing_ones(database: Database) -> None:
    async with connected(database.url) as connection:
        assert await outcomes(connection, [FIRST]) == [("0001_first.sql", "applied")]
        assert await outcomes(connection, KNOWN) == [("0002_chunks.sql", "skipped"), ("0003_more.sql", "applied")]
        state = await read_state(connection, HERE, KNOWN)
    assert (sorted(state.applied), state.skipped, state.due) == ([1, 2, 3], ["0002_chunks.sql"], [])


async def test_what_was_skipped_is_run_when_timescaledb_is_there_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connected(database.url) as connection:
        # Given a database that was migrated without TimescaleDB
        await outcomes(connection, KNOWN)

        # When it gets the extension: here, when the question for it finds another one
        monkeypatch.setattr(
            "qts.db.postgres.state._TIMESCALE",
            "SELECT 'public' AS nspname, '2.30' AS extversion FROM pg_class LIMIT 1",
        )

        # Then the step that was skipped is run, behind one of a higher number, and counts as applied
        assert await outcomes(connection, KNOWN) == [("0002_chunks.sql", "applied")]
        assert (await read_state(connection, HERE, KNOWN)).skipped == []
        assert database.value("SELECT obj_description('qts.fills'::regclass)") == "in chunks"


async def test_a_step_whose_text_changed_and_one_of_a_newer_version_are_refused(database: Database) -> None:
    async with connected(database.url) as connection:
        await outcomes(connection, [FIRST, SECOND])
        with pytest.raises(
            InputError, match=r"postgres@here/db: migration 0001_first\.sql was applied with another"
        ):
            await migrate(connection, HERE, known=[FIRST._replace(sql=FIRST.sql + "\n")])
        with pytest.raises(InputError, match=r"0002_chunks\.sql, which this version of QTS does not know"):
            await migrate(connection, HERE, known=[FIRST])


@pytest.mark.parametrize(
    ("foreign", "words"),
    [
        ("CREATE TABLE qts.b (x integer); CREATE TABLE qts.a (x integer)", r"it holds a, b\)"),
        ("CREATE FUNCTION qts.f() RETURNS integer LANGUAGE sql AS 'SELECT 1'", r"it holds f\)"),
        ("CREATE TABLE qts.schema_migrations (version text)", r"it holds schema_migrations\)"),
    ],
)
async def test_a_schema_of_something_else_is_refused_and_left_as_it_is(
    database: Database, foreign: str, words: str
) -> None:
    database.execute(f"CREATE SCHEMA qts; {foreign}")
    async with connected(database.url) as connection:
        with pytest.raises(
            InputError, match=f"its schema qts is of something else .{words}; give another database"
        ):
            await migrate(connection, HERE)
    assert database.value("SELECT count(*) FROM pg_class WHERE relname IN ('runs', 't_ledger')") == 0


async def test_an_empty_schema_that_was_made_for_us_is_used(database: Database) -> None:
    database.execute("CREATE SCHEMA qts")
    async with connected(database.url) as connection:
        assert await outcomes(connection, [FIRST]) == [("0001_first.sql", "applied")]


@EVERY_POSTGRES
async def test_two_at_once_run_each_step_once(database: Database) -> None:
    async with connected(database.url) as one, connected(database.url) as other:
        # When two migrate the same empty database at the same time
        told = await asyncio.gather(outcomes(one, None), outcomes(other, None))

    # Then each step was run by one of them, and found done by the other
    for step in server_migrations():
        done = {outcome for lines in told for name, outcome in lines if name == step.name}
        assert len(done - {"there"}) == 1
    assert database.value("SELECT count(*) FROM qts.schema_migrations") == len(server_migrations())


async def _whole(database: Database, known: Sequence[Migration]) -> dict[str, str]:
    async with connected(database.url) as connection:
        await migrate(connection, HERE, known=known)
        async with connection.transaction():
            return dict(await read_catalogue(connection, SCHEMA))


CUTS = [(n, count) for n, step in enumerate(KNOWN) for count in range(len(statements(step.sql)) + 1) if n != 1]


@pytest.mark.parametrize(("number", "count"), CUTS)
async def test_a_connection_cut_at_any_statement_leaves_nothing_of_the_step_and_the_next_run_finishes(
    database: Database, number: int, count: int
) -> None:
    # Given a migration whose connection the server ends behind one of its statements
    cut = [*KNOWN[:number], cut_after(KNOWN[number], count), *KNOWN[number + 1 :]]
    async with connected(database.url) as connection:
        with pytest.raises(Unavailable, match=f"the connection broke in migration {KNOWN[number].name}"):
            await migrate(connection, HERE, known=cut)

    # Then the steps before it are there, and of it nothing
    if number:
        assert database.value("SELECT max(version) FROM qts.schema_migrations") == 2
        assert database.value("SELECT count(*) FROM pg_attribute WHERE attname = 'fee'") == 0
    else:
        assert database.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'qts'") == 0

    # When it is run again, Then it ends in what an uninterrupted one makes
    made = await _whole(database, KNOWN)
    assert {"column fills.fee", "view dear", "function doubled(x numeric)"} <= made.keys()


def _real_cuts() -> list[tuple[int, int]]:
    every = [
        (n, count)
        for n, step in enumerate(server_migrations())
        if step.folder == "postgres"
        for count in range(len(statements(step.sql)) + 1)
    ]
    return every if EVERY_KILL else random.Random(7).sample(every, 4)


@pytest.mark.parametrize(("number", "count"), _real_cuts())
async def test_the_migrations_of_this_version_finish_after_a_cut_at_any_statement(
    database: Database, number: int, count: int
) -> None:
    known = server_migrations()
    known[number] = cut_after(known[number], count)
    async with connected(database.url) as connection:
        with pytest.raises(Unavailable):
            await migrate(connection, HERE, known=known)
    await _whole(database, server_migrations())
    assert database.value("SELECT count(*) FROM qts.schema_migrations") == len(known)


async def test_a_step_that_fails_names_its_line_and_leaves_nothing(database: Database) -> None:
    broken = THIRD._replace(sql="ALTER TABLE fills ADD COLUMN a amount;\n\nALTER TABLE no_such ADD b amount;\n")
    async with connected(database.url) as connection:
        with pytest.raises(
            StorageError, match=r"0003_more\.sql.*\"no_such\" does not exist; nothing of it was written"
        ):
            await migrate(connection, HERE, known=[FIRST, SECOND, broken])
        with pytest.raises(StorageError, match=r"0003_more\.sql, line 2: syntax error"):
            await migrate(connection, HERE, known=[FIRST, SECOND, THIRD._replace(sql="SELECT 1;\nSELEKT 2;\n")])
        assert database.value("SELECT count(*) FROM pg_attribute WHERE attname = 'a'") == 0
        assert await outcomes(connection, KNOWN) == [("0003_more.sql", "applied")]


async def test_a_lock_that_is_held_is_not_waited_for_without_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOCK_WAIT", "20ms")
    async with connected(database.url) as connection, connected(database.url) as other:
        await migrate(connection, HERE, known=[FIRST, SECOND])
        async with other.transaction():
            await other.execute("LOCK TABLE qts.fills IN ACCESS SHARE MODE")
            with pytest.raises(Unavailable, match=r"0003_more\.sql waited too long for a lock, and nothing of it"):
                await migrate(connection, HERE, known=KNOWN)
        assert await outcomes(connection, KNOWN) == [("0003_more.sql", "applied")]
