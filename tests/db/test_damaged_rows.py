"""A value that was changed on disk: the store names its row, and raises nothing else."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from qts.db.reading import StoreReader
from qts.errors import StorageError

from . import rows
from .rows import KINDS, RUN, opened
from .test_chain import altered, history

JUNK = (
    "x'ff'",
    "CAST(x'fffe' AS TEXT)",
    "'NaN'",
    "'sNaN'",
    "'x'",
    "''",
    "-1",
    "9223372036854775807",
    "1.5",
    "'1e999999'",
    "'5 5'",
    "'[1'",
    "'{}'",
)
"""SQL for values of another kind than any column but that for bytes holds, or than most do."""
TRIES = 90


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A store with rows in every table, some of them changed since its checkpoint."""
    path = tmp_path_factory.mktemp("sound") / "q.sqlite"
    store = opened(path)
    store.open_run(RUN)
    history(store)
    store.commit([rows.position(), rows.equity(), rows.refusal()], b"checkpoint")
    store.commit([rows.position(), rows.pool()])
    store.close()
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, sound: bytes) -> Path:
    (tmp_path / "q.sqlite").write_bytes(sound)
    return tmp_path / "q.sqlite"


def read_all(path: Path) -> None:
    """What a resume and what a look read."""
    with StoreReader(path) as reader:
        reader.run()
        reader.orders()
        reader.ledger()
        reader.positions()
        reader.verify_history()
    store = opened(path)
    try:
        store.run()
        store.configs()
        store.strategy_files()
        store.verify_history()
        store.rewind()
        store.checkpoint()
        for kind in (*KINDS, "quarantine"):
            getattr(store, kind)()
    finally:
        store.close()


def refusal_of(path: Path, read: Callable[[Path], None] = read_all) -> str:
    with pytest.raises(StorageError) as error:
        read(path)
    assert error.value.exit_code == 3
    return str(error.value)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE orders SET state = 'MAYBE'", "table orders, row "),
        ("UPDATE orders SET qty = 'NaN'", "table orders, row "),
        ("UPDATE orders SET created_at = 'noon'", "table orders, row "),
        ("UPDATE positions SET cost = '1e999999'", "table positions, row "),
        ("UPDATE runs SET finished = 7", "table runs, row run-1"),
        ("UPDATE checkpoint SET marks = '3 x'", "table checkpoint, row 1"),
        ("UPDATE checkpoint SET marks = '3 999999999'", "table checkpoint, row 1"),
        ("UPDATE checkpoint SET marks = ''", "table checkpoint, row 1"),
        ("UPDATE equity_curve SET cash = 'all'", "table equity_curve, row 1"),
        ("UPDATE refusals SET side = 'HOLD'", "CHECK constraint failed in refusals"),
        ("UPDATE capital_pools SET before = '[1'", "table capital_pools, row "),
        ("UPDATE positions SET before = '[]'", "table positions, row "),
        ("UPDATE audit_chain SET unsealed = 'many'", "table audit_chain, row "),
        ("UPDATE configurations SET settings = '['", "table configurations"),
        ("UPDATE t_ledger SET price = 'NaN'", "table t_ledger, row 1"),
    ],
)
def test_a_damaged_value_is_named_by_table_and_row(statement: str, named: str, path: Path) -> None:
    altered(path, statement)

    assert named in refusal_of(path).replace(": row", ", row")


def test_a_text_that_is_none_is_called_damage(path: Path) -> None:
    altered(path, "UPDATE orders SET note = CAST(x'fffe' AS TEXT)")

    message = refusal_of(path)

    assert "cannot read" in message
    assert "restore it from a backup" in message


def test_how_a_row_stood_before_is_not_put_back_over_another_row(path: Path) -> None:
    altered(path, """UPDATE capital_pools SET before = '["NONE", "1", "0", 5]' WHERE before IS NOT NULL""")

    assert "how it stood before belongs to another row" in refusal_of(path)


def test_an_index_that_has_lost_an_entry_is_noticed(path: Path) -> None:
    """given an index that does not hold what its table holds, when the history is looked at, then SQLite says so"""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        (root,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name LIKE '%decisions%_2'"
        ).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    data = bytearray(path.read_bytes())
    page = (root - 1) * size
    data[page + 3 : page + 5] = (2).to_bytes(2, "big")  # the number of its entries, of which there are three
    path.write_bytes(data)

    assert "SQLite finds it damaged" in refusal_of(path)


def junked(path: Path, rng: random.Random) -> Iterator[str]:
    """Put junk into the last row of columns of all tables, one after the other; what was done."""
    sound = path.read_bytes()
    with closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = [(t, c[1]) for t in tables for c in connection.execute(f"PRAGMA table_info({t})")]
    for table, column in rng.choices(columns, k=TRIES):
        path.write_bytes(sound)
        junk = rng.choice(JUNK)
        statement = f"UPDATE {table} SET {column} = {junk}"
        try:
            altered(path, statement)
        except (sqlite3.IntegrityError, AssertionError):
            continue  # what the schema forbids, or a table without rows
        yield statement


def test_junk_in_any_column_is_refused_or_harmless(path: Path) -> None:
    refused = 0
    for statement in junked(path, random.Random(4)):
        try:
            read_all(path)
        except StorageError:
            refused += 1
        except Exception as error:
            raise AssertionError(statement) from error
    assert refused > TRIES // 3
