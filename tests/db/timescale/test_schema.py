"""The tables of a server are those of the local book, and take every amount that is one."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qts.db import tables
from qts.db.batch import has_digest
from qts.errors import BatchRefused
from tests.db import rows
from tests.db.books import Book, one_of_each
from tests.db.timescale.adapters import begin, opened, with_value
from tests.servers.fixtures import EVERY_BOOK, Database

TABLES = (*tables.APPEND_ONLY, *tables.REPLACED)


@EVERY_BOOK
def test_a_server_has_the_columns_of_the_local_book_behind_their_owner(book_database: Database) -> None:
    # Given the columns of each table of the server, in their order
    found: dict[str, list[str]] = {}
    for table, column in map(
        tuple,
        book_database.query(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'qts' "
            "ORDER BY table_name, ordinal_position"
        ),
    ):
        found.setdefault(table, []).append(column)
    # Then they are owner, number, columns and digest
    for table in TABLES:
        number = () if table.key else ("id",)
        digest = ("digest",) if has_digest(table.name) else ()
        assert found[table.name] == [*table.owner, *number, *table.columns, *digest], table.name


def test_every_key_begins_with_run_or_account(book_database: Database) -> None:
    keys = book_database.query(
        "SELECT i.indrelid::regclass::text AS table, pg_get_indexdef(i.indexrelid, 1, true) AS first "
        "FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid "
        "WHERE c.relnamespace = 'qts'::regnamespace AND i.indisunique"
    )
    ours = {table.name for table in TABLES} | {"runs", "batches", "configurations", "strategy_files"}
    firsts = {(row["table"].removeprefix("qts."), row["first"]) for row in keys}
    assert {first for table, first in firsts if table in ours} == {"run_id", "account"}
    assert ours <= {table for table, _ in firsts}


def test_no_amount_is_rounded(book_database: Database) -> None:
    """A numeric with a scale rounds what it is given, without a word."""
    rounded = book_database.query(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'qts' "
        "AND data_type = 'numeric' AND numeric_scale IS NOT NULL"
    )
    assert [row["table_name"] for row in rounded if not row["table_name"].startswith("tick")] == []


async def test_no_amount_of_any_table_may_be_without_a_value(book_database: Database, tmp_path: Path) -> None:
    # Given a batch with a row of each kind, and every place of it in which an amount stands
    book = Book(tmp_path / "book.sqlite")
    batch = book.write(*one_of_each())
    amounts = {
        (row["table_name"], row["column_name"])
        for row in book_database.query(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'qts' "
            "AND data_type = 'numeric'"
        )
    }
    async with opened(book_database.url) as adapter:
        await begin(adapter, book)
        tried = 0
        numbers = itertools.cycle(["NaN", "Infinity", "-Infinity", "NaN"])
        for table in TABLES:
            for place, column in enumerate(table.columns, 0 if table.key else 1):
                if (table.name, column) not in amounts:
                    continue
                # When one of them is no number, then the row is refused by its table, and nothing is written
                with pytest.raises(BatchRefused, match=f"table {table.name}, row "):
                    await adapter.apply([with_value(batch, table.name, 0, place, next(numbers))])
                tried += 1
        assert tried == 69
        assert await adapter.apply([batch]) == 1
    book.close()


async def test_people_see_times_as_such(book_database: Database, tmp_path: Path) -> None:
    # Given a fill 1 ns after 2026-01-02 03:04:05.678901 UTC, an order and a sample of the account
    book = Book(tmp_path / "book.sqlite")
    at_ns = 1_767_323_045_678_901_001
    batch = book.write(rows.ledger(ts_ns=at_ns), rows.decision(), rows.order(), rows.equity(at_ns))
    async with opened(book_database.url) as adapter:
        await begin(adapter, book)
        await adapter.apply([batch])
    # Then the views give the moment, to the microsecond, with the account
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    assert book_database.query("SELECT at, account, symbol FROM qts.fills") == [(moment, "main", "005930")]
    assert book_database.query("SELECT at, account FROM qts.account_values") == [(moment, "main")]
    assert book_database.query("SELECT account, client_order_id, state FROM qts.order_states") == [
        ("main", "o-1", "INTENT")
    ]
    book.close()
