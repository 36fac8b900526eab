"""Three accounts of the same book: the local file, the server, and a recount that reads neither."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.db.server.trader import recount
from tests.servers.fixtures import Database

Rows = dict[str, list[tuple[Any, ...]]]
NOT_COPIED = {"schema_migrations", "configurations", "strategy_files", "runs"}
"""Tables that batches do not write."""


def server_and_local(database: Database, path: Path) -> tuple[Rows, Rows]:
    """Return the rows of every table that both have, in the columns that both have, ordered; amounts as numbers."""
    columns = database.query(
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'qts'"
    )
    here: Rows = {}
    there: Rows = {}
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
        names = {name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table in sorted(names & {row["table_name"] for row in columns} - NOT_COPIED):
            local = {row[1] for row in file.execute(f"PRAGMA table_info({table})")}
            kinds = {
                row["column_name"]: row["data_type"]
                for row in columns
                if row["table_name"] == table and row["column_name"] in local
            }
            chosen = ", ".join(f'"{name}"' for name in kinds)
            take = [_number if kind == "numeric" else _same for kind in kinds.values()]
            there[table] = _sorted(take, database.query(f"SELECT {chosen} FROM qts.{table}"))
            here[table] = _sorted(take, file.execute(f"SELECT {chosen} FROM {table}").fetchall())
    return there, here


def _number(value: Any) -> str | None:
    """Return an amount in the one form of its value, with all its digits."""
    if value is None:
        return None
    text = f"{Decimal(value):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _same(value: Any) -> Any:
    return value


def _sorted(take: list[Callable[[Any], Any]], rows: Any) -> list[tuple[Any, ...]]:
    taken = [tuple(one(value) for one, value in zip(take, row, strict=True)) for row in rows]
    return sorted(taken, key=lambda row: [(value is not None, str(value)) for value in row])


def assert_same_rows(database: Database, path: Path) -> Rows:
    """Assert that the server has the rows of the local book, all of them and no others, and return them."""
    there, here = server_and_local(database, path)
    assert {"t_ledger", "orders", "decisions", "positions", "capital_pools", "batches"} <= there.keys()
    for table, rows in here.items():
        assert there[table] == rows, f"{table}: the server differs from the local book"
    return there


def assert_three_agree(database: Database, path: Path, *, fills: int) -> None:
    """Assert that server, local book and a recount of so many fills agree: none is lost, none is there twice."""
    assert_same_rows(database, path)
    told = [row[0] for row in database.query("SELECT execution_id FROM qts.t_ledger ORDER BY id")]
    assert told == [f"x-{n}" for n in range(1, fills + 1)]
    books = recount(fills)
    for symbol, qty, cost in map(tuple, database.query("SELECT symbol, qty, cost FROM qts.positions")):
        assert (qty, cost) == (books.held.pop(symbol), books.cost[symbol]), symbol
    assert not books.held, "the server lacks positions"
    for pool, cash in map(tuple, database.query("SELECT pool, cash FROM qts.capital_pools")):
        assert cash == books.cash[pool], pool
    assert database.value("SELECT applied FROM qts.run_progress") == database.value(
        "SELECT max(id) FROM qts.batches"
    )
