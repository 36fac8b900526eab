"""Two accounts in one process and one place, with the same strategies, symbols and execution ids, never meet."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from qts.cli.main import main
from qts.db.datadir import DATABASE_NAME
from qts.db.find_run import run_in
from qts.db.reading import StoreReader
from qts.db.sqlite import SqliteStore
from qts.errors import ContractError, StateError, StorageError
from qts.ledger.verification import verify
from qts.runtime.persistence.book_reader import read_book
from tests.sim.sessions import run
from tests.sim.tiny import tiny_plan


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same session on two accounts, the second with half the capital, in one folder."""
    root = tmp_path_factory.mktemp("qts-data")
    settings = {"main": {}, "second": {"runtime.account": "second", "runtime.equity_start": "50000000"}}
    for name, of_account in settings.items():
        values = run(tiny_plan(root / name, **of_account)).values
        assert values.account == name
    return {name: root / name for name in settings}


def told(capsys: pytest.CaptureFixture[str], directory: Path, *command: str) -> Any:
    assert main([*command, "--json", "--data-dir", str(directory)]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_row_is_of_its_own_account_and_run(two: dict[str, Path]) -> None:
    seen: dict[str, set[Any]] = {}
    for name, directory in two.items():
        with closing(sqlite3.connect(directory / DATABASE_NAME)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (table,) in tables:
                columns = [column[1] for column in connection.execute(f"PRAGMA table_info({table})")]
                for column in {"account", "run_id"} & {*columns}:
                    found = connection.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall()
                    seen.setdefault(f"{name} {column}", set()).update(found)
    assert (seen["main account"], seen["second account"]) == ({("main",)}, {("second",)})
    assert len(seen["main run_id"]) == len(seen["second run_id"]) == 1
    assert not seen["main run_id"] & seen["second run_id"]


def test_they_have_the_same_names_and_execution_ids_and_books_of_their_own(two: dict[str, Path]) -> None:
    books = {name: read_book(run_in(directory)) for name, directory in two.items()}
    ids = [
        {(row.strategy, row.symbol, row.broker, row.execution_id) for row in book.ledger} for book in books.values()
    ]
    assert ids[0] & ids[1], "they have nothing in common that could be mistaken"
    for name, book in books.items():
        assert {row.account for row in book.ledger} == {name}
        assert verify(book).differences == ()
    assert sum(books["main"].initial.values()) == 2 * sum(books["second"].initial.values())


def test_each_command_shows_the_account_it_is_asked_for(
    two: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    order_ids: list[set[str]] = []
    for directory in two.values():
        orders = told(capsys, directory, "orders", "--last", "0")["orders"]
        trades = told(capsys, directory, "trades", "--last", "0")["trades"]
        entries = told(capsys, directory, "ledger", "show", "--last", "0")["entries"]
        positions = told(capsys, directory, "positions")
        assert told(capsys, directory, "ledger", "verify")["differences"] == []
        own = {one["order_id"] for one in trades}
        assert own <= {one["order_id"] for one in orders}
        assert own == {one["reference"] for one in entries if one["kind"] == "FILL"}
        assert positions is not None
        order_ids.append(own)
    assert order_ids[0]
    assert not order_ids[0] & order_ids[1]


def test_a_store_refuses_what_belongs_to_the_other(two: dict[str, Path], tmp_path: Path) -> None:
    # Given the rows and the run of one, and a store of the other
    with StoreReader(two["main"] / DATABASE_NAME) as reader:
        run_of_main, fill, order = reader.run(), reader.ledger()[0], reader.orders()[0]
    with StoreReader(two["second"] / DATABASE_NAME) as reader:
        run_of_second = reader.run()
    assert run_of_main is not None
    assert run_of_second is not None
    store = SqliteStore(tmp_path / DATABASE_NAME, durability="NORMAL", rewindable=True)
    store.open_run(run_of_second)

    # Then nothing of the first comes into it
    for record, reason in ((fill, "is of account 'main'"), (order, "is of another run")):
        with pytest.raises(ContractError, match=reason):
            store.commit([record])
    with pytest.raises(StateError, match=f"not to run {run_of_main.run_id} of account main"):
        store.open_run(run_of_main)
    assert (store.ledger(), store.orders()) == ([], [])
    store.close()


@pytest.mark.parametrize("column", ["run_id", "account"])
def test_a_row_of_the_other_that_is_put_into_a_file_is_named(
    column: str, two: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / DATABASE_NAME
    path.write_bytes((two["second"] / DATABASE_NAME).read_bytes())
    with closing(sqlite3.connect(path)) as connection, connection:
        (other,) = connection.execute(f"SELECT {column} || 'x' FROM positions LIMIT 1").fetchone()
        connection.execute(
            f"UPDATE positions SET {column} = ? WHERE symbol = (SELECT min(symbol) FROM positions)", (other,)
        )
    store = SqliteStore(path, durability="NORMAL")
    with pytest.raises(StorageError, match=f"table positions, row .* is of {column} {other}, the file of"):
        store.verify_history()
    store.close()
