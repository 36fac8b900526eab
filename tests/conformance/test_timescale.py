"""The whole TimescaleDB, with its background workers, keeps the contract too; it is never started here."""

from __future__ import annotations

import os

import pytest

from tests.conformance.adapter import AdapterTests, Opens, opened
from tests.conformance.test_adapter import EMPTY, at
from tests.servers import sql

DSN = os.environ.get("TIMESCALE_DSN", "")
if not DSN:
    pytest.skip(
        "no server with the whole TimescaleDB: set TIMESCALE_DSN to the URL of an empty database",
        allow_module_level=True,
    )


class TestTimescale(AdapterTests):
    @pytest.fixture
    def opens(self) -> Opens:
        sql.migrate(DSN)
        sql.execute(DSN, EMPTY)
        return lambda: opened(at(DSN))
