"""Every store of many runs keeps the contract of a :class:`~qts.db.adapter.DataSourceAdapter`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qts.db.access import parse
from qts.db.adapter import DataSourceAdapter
from qts.db.sqlite_adapter import SqliteAdapter, migrate_file
from tests.conformance.adapter import AdapterTests, MarketValueTests, Opens, opened
from tests.effort import EVERY_CALL
from tests.servers import sql
from tests.servers.fixtures import VERSIONS, Database, MakeDatabase
from tests.servers.pglite import PGlite
from tests.servers.sheets import Sheets, adapter_of

EMPTY = """
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
        WHERE schemaname = 'qts' AND tablename !~ '^(schema_migrations|tick_data_[0-9]+)$'
    LOOP EXECUTE 'DELETE FROM ' || name; END LOOP;
END $$
"""
"""Deletes all rows of a database: many times faster than to make a new one for each test."""


def at(url: str) -> DataSourceAdapter:
    """The adapter of a server."""
    pytest.importorskip("asyncpg", reason="needs the extra postgres: pip install 'qts-runtime[postgres]'")
    from qts.db.timescale.adapter import TimescaleDBAdapter

    return TimescaleDBAdapter(parse(url, os.environ), live=False)


@pytest.fixture(scope="module", params=VERSIONS)
def shared(
    request: pytest.FixtureRequest, new_database: MakeDatabase, book_template: Callable[[str], str]
) -> Iterator[Database]:
    """One database for all tests of a version."""
    made, maintenance = new_database(request.param, book_template(request.param))
    yield made
    sql.execute(maintenance, f"DROP DATABASE {made.name} WITH (FORCE)")


class TestSqlite(AdapterTests):
    EXAMPLES = 8

    @pytest.fixture
    def opens(self, tmp_path: Path) -> Opens:
        path = tmp_path / "copies.sqlite"
        migrate_file(path)
        return lambda: opened(SqliteAdapter(path))


class TestSheets(AdapterTests):
    @pytest.fixture
    def opens(self, tmp_path: Path) -> Iterator[Opens]:
        pytest.importorskip("google.auth", reason="needs the extra sheets: pip install 'qts-runtime[sheets]'")
        with Sheets() as sheets:
            sheets.per_minute = 1_000_000
            sheets.write_credentials(tmp_path / "key.json")
            yield lambda: opened(adapter_of(sheets, tmp_path / "key.json", calls_per_minute=300))


class TestPostgres(AdapterTests):
    @pytest.fixture
    def opens(self, shared: Database) -> Opens:
        shared.execute(EMPTY)
        return lambda: opened(at(shared.url))


class TestPglite(AdapterTests if EVERY_CALL else MarketValueTests):  # type: ignore[misc]
    """TimescaleDB in WebAssembly: all connections are one session of one backend."""

    @pytest.fixture
    def opens(self, pglite: PGlite) -> Opens:
        sql.migrate(pglite.url())
        sql.execute(pglite.url(), EMPTY)
        return lambda: opened(at(pglite.url()))

    # One session has the locks of all connections, so two writers cannot be told apart.
    test_a_run_has_one_writer = None
    test_an_account_with_a_real_broker_has_one_writer = None
