"""A store from before fills had a whole identity: it opens, its rows stay, and the new key is in force."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from qts.db.migrate import migrate, migrations
from qts.db.reading import StoreReader
from qts.errors import StorageError

from . import rows
from .rows import opened


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file with the schema of before and one fill."""
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, [step for step in migrations() if step.version < 3], str(path))
        rows.begin_run_of_before(connection)
        connection.execute(
            "INSERT INTO t_ledger VALUES (1, 5, '005930', 'BUY', '10', '100', '1000', '1', '0', '-1', 'ema',"
            " 'SCALP', 'o-1', 'x-1', 'sim')"
        )
        connection.execute("INSERT INTO checkpoint VALUES (1, ?, ?)", (" ".join(["1", "0", "1", *"000000"]), b""))
    return path


def test_its_fills_are_still_there_and_may_not_be_changed(old: Path) -> None:
    store = opened(old)

    (row,) = store.ledger()

    assert (row.execution_id, row.order_id, row.account, row.trade_date) == ("x-1", "o-1", "", "")
    with pytest.raises(sqlite3.IntegrityError, match="t_ledger is append-only"):
        store._connection.execute("UPDATE t_ledger SET qty = '1'")
    store.close()


def test_who_only_looks_reads_it_without_making_it_new(old: Path) -> None:
    before = old.read_bytes()

    with StoreReader(old) as reader:
        (row,) = reader.ledger()

    assert (row.execution_id, row.trade_date) == ("x-1", "")
    assert old.read_bytes() == before


def test_it_can_be_rewound_to_its_checkpoint(old: Path) -> None:
    store = opened(old)
    store.commit([rows.ledger("x-2")])

    store.rewind()

    assert [row.execution_id for row in store.ledger()] == ["x-1"]
    store.close()


def test_one_number_of_an_exchange_is_stored_once_for_each_order_and_day(tmp_path: Path) -> None:
    store = opened(tmp_path / "new.sqlite")
    fill = rows.ledger("7", account="main", trade_date="2026-01-22")
    store.commit([fill])

    store.commit([rows.ledger("7", account="main", trade_date="2026-01-23")])
    store.commit([rows.ledger("7", account="main", trade_date="2026-01-22", order_id="o-2")])

    with pytest.raises(StorageError, match="UNIQUE constraint failed"):
        store.commit([fill])
    assert len(store.ledger()) == 3
    store.close()
