"""The file of many runs: what it refuses to open, how long it waits, and that a claim ends with its process."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from qts.db.adapter import Query
from qts.db.contracts import EquityRow
from qts.db.sqlite_adapter import SqliteAdapter, migrate_file
from qts.errors import Fenced, InputError, StateError, StorageError, Unavailable
from tests.conformance.adapter import all_of, begun, opened
from tests.db import rows
from tests.db.books import Book

CLAIM = """
import asyncio, sys
from pathlib import Path
from qts.db.contracts import RunRow
from qts.db.sqlite_adapter import SqliteAdapter

async def main():
    adapter = SqliteAdapter(Path(sys.argv[1]))
    await adapter.open()
    await adapter.claim(RunRow("run-1", "run", 7, "s", "c", "t", False), whole_account=True)
    print("claimed", flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "copies.sqlite"
    migrate_file(found)
    return found


async def refusal(path: Path) -> str:
    with pytest.raises(InputError) as refused:
        await SqliteAdapter(path).open()
    return str(refused.value)


async def test_a_missing_file_is_named_with_what_to_do_and_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "none.sqlite"
    assert f"qts db migrate --db sqlite://{missing}" in await refusal(missing)
    assert not missing.exists()


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    # Given a place for a file, and one in a directory that is not there
    migrate_file(tmp_path / "new.sqlite")

    # Then no other user may read what it holds, and the other one is refused with what is wrong
    assert (tmp_path / "new.sqlite").stat().st_mode & 0o777 == 0o600
    with pytest.raises(InputError, match="No such file or directory"):
        migrate_file(tmp_path / "none" / "new.sqlite")


async def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    # Given a text, the local book of a session, and a database of another program
    text, book, other = tmp_path / "text", tmp_path / "book.sqlite", tmp_path / "other.sqlite"
    text.write_text("not a database, but long enough to be read as the beginning of one " * 20)
    Book(book).close()
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE t (x)")

    # Then each is refused with what it is, and left as it was
    assert "not a database" in await refusal(text)
    assert "local book" in await refusal(book)
    assert "qts db migrate" in await refusal(other)
    with pytest.raises(InputError, match="local book"):
        migrate_file(book)


async def test_a_schema_that_was_changed_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE runs ADD COLUMN note TEXT")
    assert "runs.note" in await refusal(path)


async def test_a_file_that_others_write_for_too_long_is_unavailable(path: Path, tmp_path: Path) -> None:
    # Given another program that holds the file
    book = Book(tmp_path / "book.sqlite")
    async with opened(SqliteAdapter(path)) as adapter:
        await begun(adapter, book)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            # Then a batch is not applied, and the message names the file
            with pytest.raises(Unavailable, match=r"copies\.sqlite.*locked"):
                await adapter.apply([book.write(rows.equity())])
            other.execute("ROLLBACK")
        # And once the file is free, it is
        assert await adapter.apply(book.batches()) == 1
    book.close()


async def test_a_call_that_takes_too_long_is_unavailable(path: Path) -> None:
    # Given an adapter that waits for no time at all
    adapter = SqliteAdapter(path)
    await adapter.open()
    adapter._deadline_s = 0.0
    with pytest.raises(Unavailable, match="no answer within 0 s"):
        await adapter.applied("run-1")
    await adapter.close()


async def test_it_is_opened_once(path: Path) -> None:
    async with opened(SqliteAdapter(path)) as adapter:
        with pytest.raises(StateError):
            await adapter.open()
        assert await adapter.applied("run-1") == 0


async def test_a_damaged_row_is_named(path: Path, tmp_path: Path) -> None:
    # Given a row that was changed behind its back
    book = Book(tmp_path / "book.sqlite")
    book.write(rows.equity())
    async with opened(SqliteAdapter(path)) as adapter:
        await begun(adapter, book)
        await adapter.apply(book.batches())
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("UPDATE equity_curve SET cash = 'NaN'")
        with pytest.raises(StorageError, match=r"equity_curve, row run-1 1.*cash is NaN"):
            await all_of(adapter.read(EquityRow, Query()))
    book.close()


async def test_a_claim_ends_with_its_process_however_that_ends(path: Path, tmp_path: Path) -> None:
    # Given another process that has claimed the account
    book = Book(tmp_path / "book.sqlite")
    other = subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "claimed\n"
        async with opened(SqliteAdapter(path)) as adapter:
            # Then it is named as long as it lives
            with pytest.raises(Fenced, match=str(other.pid)):
                await adapter.claim(book.run, whole_account=True)
            # And after a kill the account is free
            os.kill(other.pid, signal.SIGKILL)
            other.wait()
            assert await adapter.claim(book.run, whole_account=True) > 0
    finally:
        other.kill()
        other.communicate()
        book.close()
