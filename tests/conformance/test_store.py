"""Every store there is keeps the contract of a session's store."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from qts.db.sqlite import SqliteStore
from tests.conformance.store import Opens, StoreTests
from tests.db.rows import RUN


class TestSqlite(StoreTests):
    @pytest.fixture
    def opens(self, tmp_path: Path) -> Iterator[Opens]:
        opened: list[SqliteStore] = []

        def open_it(*, rewindable: bool = True, begun: bool = True) -> SqliteStore:
            store = SqliteStore(tmp_path / "q.sqlite", durability="NORMAL", rewindable=rewindable)
            opened.append(store)
            if begun and store.run() is None:
                store.open_run(RUN)
            return store

        yield open_it
        for store in opened:
            store.close()

    @pytest.fixture
    def alters(self, tmp_path: Path) -> Callable[[], None]:
        def alter() -> None:
            with closing(sqlite3.connect(tmp_path / "q.sqlite")) as connection, connection:
                connection.execute("DROP TRIGGER t_ledger_is_append_only")
                connection.execute("UPDATE t_ledger SET qty = '11' WHERE id = 1")
                connection.execute(
                    "CREATE TRIGGER t_ledger_is_append_only BEFORE UPDATE ON t_ledger\n"
                    "BEGIN\n    SELECT RAISE(ABORT, 't_ledger is append-only');\nEND"
                )

        return alter
