"""Every store of many runs keeps the contract of a :class:`~qts.db.adapter.DataSourceAdapter`."""

from __future__ import annotations

from pathlib import Path

import pytest

from qts.db.sqlite_adapter import SqliteAdapter, migrate_file
from tests.conformance.adapter import AdapterTests, Opens, opened


class TestSqlite(AdapterTests):
    @pytest.fixture
    def opens(self, tmp_path: Path) -> Opens:
        path = tmp_path / "copies.sqlite"
        migrate_file(path)
        return lambda: opened(SqliteAdapter(path))
