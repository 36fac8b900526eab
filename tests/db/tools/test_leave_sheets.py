"""The way out of Google Sheets: runs moved into a database, compared, switched back and forward."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from qts.clock import SystemClock
from qts.db.adapter import DataSourceAdapter
from qts.db.contracts import LedgerRow
from qts.db.datadir import DATABASE_NAME
from qts.db.find_run import run_in
from qts.db.follower import Follower, OpenAdapter
from qts.db.sqlite import SqliteStore
from qts.db.tools.compare_servers import SHEET_AND_DATABASE, Comparison, compare_servers
from qts.db.tools.import_run import import_run
from qts.db.tools.move_from_sheets import Moved, move_from_sheets
from qts.db.tools.open_server import adapter_for
from qts.db.tools.verify import Verification, verify
from qts.errors import StateError, StorageError
from tests.db import rows
from tests.db.books import Book, one_of_each
from tests.servers.fixtures import Database
from tests.servers.sheets import Sheets, adapter_of

ROWS = 10_000
FAST = {"calls_per_minute": 300}


@pytest.fixture
def sheets() -> Iterator[Sheets]:
    with Sheets() as sheets:
        sheets.per_minute = 1_000
        yield sheets


@pytest.fixture
def key(sheets: Sheets, tmp_path: Path) -> Path:
    return sheets.write_credentials(tmp_path / "key.json")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    made.mkdir()
    return made


@pytest.fixture
def book(directory: Path) -> Iterator[Book]:
    """A book with a row of each kind, and three fills more."""
    book = Book(directory / DATABASE_NAME)
    book.write(*one_of_each())
    book.write(*(rows.ledger(f"x-{n}", order_id=f"o-{n}") for n in range(2, 5)), rows.position(qty="7"))
    yield book
    book.close()


class Rig:
    """The spreadsheet and the database, opened again for each use."""

    def __init__(self, sheets: Sheets, key: Path, database: Database) -> None:
        self.double, self._key, self._database = sheets, key, database

    def sheet_adapter(self) -> DataSourceAdapter:
        return adapter_of(self.double, self._key, **FAST)

    def database_adapter(self) -> DataSourceAdapter:
        return adapter_for(self._database.url, {})

    @property
    def openers(self) -> Mapping[str, OpenAdapter]:
        async def database() -> DataSourceAdapter:
            return self.database_adapter()

        async def sheets() -> DataSourceAdapter:
            return self.sheet_adapter()

        return {"database": database, "sheets": sheets}

    @asynccontextmanager
    async def both(self) -> AsyncIterator[tuple[DataSourceAdapter, DataSourceAdapter]]:
        sheet, database = self.sheet_adapter(), self.database_adapter()
        async with AsyncExitStack() as stack:
            for one in (sheet, database):
                await one.open()
                stack.push_async_callback(one.close)
            yield sheet, database

    def move(self) -> list[Moved]:
        async def work() -> list[Moved]:
            async with self.both() as (sheet, database):
                return await move_from_sheets(sheet, database, lambda one: None)

        return asyncio.run(work())

    def compare(self) -> list[Comparison]:
        async def work() -> list[Comparison]:
            async with self.both() as (sheet, database):
                return await compare_servers(sheet, database)

        return asyncio.run(work())

    def verify(self, name: str, directory: Path) -> Verification:
        async def work() -> Verification:
            async with self.both() as (sheet, database):
                return await verify(sheet if name == "sheets" else database, run_in(directory))

        return asyncio.run(work())


@pytest.fixture
def rig(sheets: Sheets, key: Path, book_database: Database) -> Rig:
    return Rig(sheets, key, book_database)


def follow(rig: Rig, book: Book, *names: str, fills: range = range(0)) -> None:
    """Let servers follow the book as a session does: each with a thread, while fills are booked, to the end."""
    store: SqliteStore = book.store
    store.close()
    book.store = store = SqliteStore(Path(store._path), durability="NORMAL")
    store.follow(names)
    openers = rig.openers
    followers = [Follower(name, book.run, openers[name], SystemClock()) for name in names]
    for follower in followers:
        assert follower.connect() is not None
        follower.start(store)
    for n in fills:
        store.commit([rows.ledger(f"x-{n}", order_id=f"o-{n}"), rows.position(qty=str(n))])
        for follower in followers:
            follower.wake()
    for follower in followers:
        follower.begin_stop().result(60)
        follower.stop()
        assert follower.status.lag_batches == 0, follower.status


def told(one: Comparison) -> list[str]:
    return [row.between(SHEET_AND_DATABASE) for row in one.differences]


def test_ten_thousand_fills_are_moved_switched_back_and_forward_without_a_difference(
    rig: Rig, directory: Path
) -> None:
    # Given a run with 10,000 fills that a spreadsheet alone has followed
    book = Book(directory / DATABASE_NAME)
    book.write(*one_of_each(), *(rows.ledger(f"f-{n}", order_id=f"o-{n}") for n in range(ROWS - 1)))
    follow(rig, book, "sheets", fills=range(ROWS, ROWS + 3))
    # When it is moved, Then it is told what was moved, and every row is the same on both sides
    (moved,) = rig.move()
    assert moved.moved["t_ledger"] == ROWS + 3
    (compared,) = rig.compare()
    assert (compared.count, compared.rows["t_ledger"], told(compared)) == (0, ROWS + 3, [])
    # When the database follows in its place
    follow(rig, book, "database", fills=range(ROWS + 3, ROWS + 6))
    # And it is switched back once, and forward again
    follow(rig, book, "sheets", fills=range(ROWS + 6, ROWS + 9))
    follow(rig, book, "database", "sheets", fills=range(ROWS + 9, ROWS + 12))
    # Then neither differs from the local book, nor from the other
    for name in ("sheets", "database"):
        done = rig.verify(name, directory)
        assert (done.count, done.missing, done.is_equal) == (0, None, True), done.differences[:3]
    (compared,) = rig.compare()
    assert (compared.count, compared.rows["t_ledger"]) == (0, ROWS + 12)
    book.close()


def test_a_second_move_changes_nothing(rig: Rig, book: Book) -> None:
    follow(rig, book, "sheets")
    (first,) = rig.move()
    assert first.moved == {"t_ledger": 4, "positions": 1}
    (second,) = rig.move()
    assert (second.moved, second.differ) == ({}, 0)
    assert second.rows == first.rows
    # And a third one, behind a database that has the run from its own book, neither
    follow(rig, book, "database")
    (third,) = rig.move()
    assert (third.moved, third.differ, third.applied) == ({}, 0, 2)


@pytest.mark.parametrize("way", ["follow", "import", "batches"])
def test_a_run_that_was_moved_gets_all_that_a_spreadsheet_lacks_from_its_own_book(
    rig: Rig, book: Book, directory: Path, way: str
) -> None:
    # Given a run of which the spreadsheet lacks everything but fills and positions, moved into a database
    follow(rig, book, "sheets")
    rig.move()
    with pytest.raises(StateError, match="not whole"):
        rig.verify("database", directory)
    # When its own book is given to the database, all at once or batch by batch
    if way == "import":
        book.store.close()

        async def work() -> None:
            async with rig.both() as (_, database):
                await import_run(database, run_in(directory))

        asyncio.run(work())
    else:
        names = ("database", "sheets") if way == "batches" else ("database",)
        follow(rig, book, *names, fills=range(10, 13))
    # Then nothing is missing, and nothing is there twice
    done = rig.verify("database", directory)
    assert (done.count, done.is_equal) == (0, True), done.differences


def test_what_was_moved_before_the_spreadsheet_went_on_is_added_to(rig: Rig, book: Book) -> None:
    # Given a run that was moved while its spreadsheet was behind
    follow(rig, book, "sheets")
    rig.move()
    # When the spreadsheet has more, and is moved again
    follow(rig, book, "sheets", fills=range(10, 12))
    (again,) = rig.move()
    # Then what is new was moved, and the position is the newer one
    assert again.moved == {"t_ledger": 2}
    assert again.differ == 0


def test_rows_that_someone_changed_are_named_and_not_moved(rig: Rig, book: Book, directory: Path) -> None:
    # Given a spreadsheet in which someone changed the quantity of fill 2 and deleted fill 4
    follow(rig, book, "sheets")
    title = next(title for title in rig.double.titles if "ledger" in title)
    header = rig.double.tab(title).rows[0]
    rig.double.edit(title, 3, header.index("qty") + 1, "99")
    rig.double.delete_row(title, 5)
    # When it is compared with the local book, Then both are named by their keys
    done = rig.verify("sheets", directory)
    assert [str(one) for one in done.differences] == [
        "t_ledger, row 2, qty: 10 here, 99 on the server",
        "t_ledger, row 4 is not on the server",
    ]
    assert not done.is_equal
    # And nothing of the run is moved
    with pytest.raises(StorageError, match="row 2 is not as it was written"):
        rig.move()
    (compared,) = rig.compare()
    assert compared.rows["t_ledger"] == 3
    assert told(compared)[0] == "runs, row run-1 is not in the database"


def test_rows_of_a_database_that_differ_are_left_and_named(rig: Rig, book: Book, book_database: Database) -> None:
    # Given a database in which a moved fill was changed
    follow(rig, book, "sheets")
    rig.move()
    book_database.execute("UPDATE qts.t_ledger SET qty = 99 WHERE id = 2")
    # When it is moved again, Then the row is left, counted and named
    (again,) = rig.move()
    assert (again.moved, again.differ) == ({}, 1)
    (compared,) = rig.compare()
    assert told(compared) == ["t_ledger, row 2, qty: 10 in the spreadsheet, 99 in the database"]


def test_two_lives_of_a_run_are_not_mixed(rig: Rig, book: Book, tmp_path: Path) -> None:
    # Given a run that was moved into a database
    follow(rig, book, "sheets")
    rig.move()
    # When a session begins the same run another time, and the database is to follow it
    (tmp_path / "other").mkdir()
    other = Book(tmp_path / "other" / DATABASE_NAME)
    other.run = msgspec.structs.replace(other.run, started_at="2026-02-02T09:00:00+09:00")
    other.store._connection.execute("UPDATE runs SET started_at = ?", (other.run.started_at,))
    other.store.follow(["database"])
    follower = Follower("database", other.run, rig.openers["database"], SystemClock())
    assert follower.connect() == 0
    follower.start(other.store)
    other.store.commit([rows.ledger("y-1")])
    follower.begin_stop().result(60)
    # Then it refuses, and the database has the rows of the first life alone
    assert "as it was begun at 2026-01-02" in follower.status.reason
    follower.stop()

    async def keys() -> list[str]:
        from qts.db.adapter import Query

        async with rig.both() as (_, database):
            return [row.execution_id async for row in database.read(LedgerRow, Query())]

    assert asyncio.run(keys()) == ["x-1", "x-2", "x-3", "x-4"]
    other.close()


def test_a_spreadsheet_without_a_run_has_nothing_to_move(rig: Rig) -> None:
    for work in (rig.move, rig.compare):
        with pytest.raises(StateError, match="no run"):
            work()
