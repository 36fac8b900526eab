"""PostgreSQL, the oldest and the newest, keeps the contract of a :class:`~qts.db.adapter.DataSourceAdapter`."""

from __future__ import annotations

import pytest

from qts.db.access import parse
from tests.conformance.adapter import AdapterTests, Opens, opened
from tests.servers.fixtures import VERSIONS, Database


class TestPostgres(AdapterTests):
    @pytest.fixture(params=VERSIONS)
    def book_database(self, book_database: Database) -> Database:
        """Give each test a database of each version, which the fixture of the same name takes from here."""
        return book_database

    @pytest.fixture
    def opens(self, book_database: Database) -> Opens:
        from qts.db.timescale import TimescaleDBAdapter

        access = parse(book_database.url, {})
        return lambda: opened(TimescaleDBAdapter(access, pool_least=1))
