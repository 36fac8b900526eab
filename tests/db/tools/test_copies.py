"""Runs copied to a store of many and back: nothing lost, nothing doubled, and every difference named."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.db import tables
from qts.db.adapter import DataSourceAdapter
from qts.db.batch import has_digest
from qts.db.datadir import DATABASE_NAME
from qts.db.find_run import FoundRun, run_in
from qts.db.sqlite import SqliteStore
from qts.db.tools.export_run import export_run
from qts.db.tools.import_run import import_run
from qts.db.tools.open_server import adapter_for
from qts.db.tools.verify import Verification, verify
from qts.errors import InputError, StateError
from qts.runtime.persistence.run_lookup import read_status
from tests.db import rows
from tests.db.books import OUTBOX, Book, one_of_each
from tests.servers.fixtures import Database

Opens = Callable[[], AbstractAsyncContextManager[DataSourceAdapter]]


class Server:
    """A store of many runs, and its rows without the code under test."""

    def __init__(self, url: str, execute: Callable[[str], None], prefix: str) -> None:
        self.url, self._execute, self._prefix = url, execute, prefix

    def execute(self, sql: str) -> None:
        """Run a statement in which ``@`` stands before the name of a table."""
        self._execute(sql.replace("@", self._prefix))

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[DataSourceAdapter]:
        adapter = adapter_for(self.url, {})
        try:
            await adapter.open()
            yield adapter
        finally:
            await adapter.close()


@pytest.fixture(params=["postgres", "sqlite"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Server:
    if request.param == "postgres":
        database: Database = request.getfixturevalue("book_database")
        return Server(database.url, database.execute, "qts.")
    from qts.db.sqlite_adapter import migrate_file

    path = tmp_path / "copies.sqlite"
    migrate_file(path)

    def execute(sql: str) -> None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(sql)

    return Server(f"sqlite://{path}", execute, "")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    made.mkdir()
    return made


@pytest.fixture
def book(directory: Path) -> Iterator[Book]:
    """A book of a real broker with four batches, one of them of every kind of row."""
    book = Book(directory / DATABASE_NAME)
    book.write(*one_of_each(), inbox=["e-1", "e-2"])
    book.write(rows.equity(2), msgspec.structs.replace(rows.refusal(), detail="nul \0 and 한글"))
    book.write(rows.order(filled=D(2), ts_update_ns=9))
    book.write(rows.equity(3))
    yield book
    book.close()


def found(directory: Path, *, live: bool = False) -> FoundRun:
    return msgspec.structs.replace(run_in(directory), live=live)


async def compared(server: Server, directory: Path, *, live: bool = False) -> Verification:
    async with server.opened() as adapter:
        return await verify(adapter, found(directory, live=live))


def told(done: Verification) -> list[str]:
    return [str(one) for one in done.differences]


async def test_an_imported_run_is_there_row_by_row_and_a_second_import_changes_nothing(
    server: Server, book: Book, directory: Path
) -> None:
    progress: list[int] = []
    async with server.opened() as adapter:
        # When the run of a book is imported, Then every row of it is on the server
        first = await import_run(adapter, found(directory), progress.append)
    assert (first.before, first.applied) == (0, 4)
    assert progress[-1] == first.rows > 18
    done = await compared(server, directory)
    assert (told(done), done.missing, done.rows, done.is_equal) == ([], None, first.rows, True)

    # When it is imported a second time, Then nothing is copied; when it has gone on, the rest
    async with server.opened() as adapter:
        assert (await import_run(adapter, found(directory))).rows == 0
    book.write(rows.equity(4))
    async with server.opened() as adapter:
        assert (await import_run(adapter, found(directory))).applied == 5
    assert (await compared(server, directory)).is_equal


async def test_a_run_whose_session_sends_it_is_not_imported_beside_it(
    server: Server, book: Book, directory: Path
) -> None:
    async with server.opened() as session, server.opened() as other:
        await session.claim(book.run, whole_account=True)
        with pytest.raises(StateError, match="its session sends it already"):
            await import_run(other, found(directory))


async def test_a_run_that_was_begun_another_time_is_not_mixed_with_the_one_that_is_there(
    server: Server, book: Book, directory: Path
) -> None:
    # Given a server with the beginning of a run as it was begun another time
    async with server.opened() as adapter:
        other = msgspec.structs.replace(book.run, started_at="2026-01-01T00:00:00+00:00")
        await adapter.put_run(other, (), ())
        epoch = await adapter.claim(other, whole_account=True)
        await adapter.apply([msgspec.structs.replace(book.batches()[0], epoch=epoch)])
    # When the run of the directory is imported, Then nothing of it is written
    async with server.opened() as adapter:
        with pytest.raises(StateError, match="begun at 2026-01-01T00:00:00"):
            await import_run(adapter, found(directory))
        assert await adapter.applied("run-1") == 1
        assert await adapter.runs() == [other]


async def test_a_number_that_was_altered_is_named_where_the_book_writes_it_in_another_form(
    server: Server, book: Book, directory: Path
) -> None:
    # Given rows of which the book has an amount as 1E+3 and a tax as -0, kept beside numbers
    for ex_date in ("2026-09-10", "2026-09-11"):
        book.write(rows.action(amount=D("1E+3"), tax=D("-0"), ex_date=ex_date))
    async with server.opened() as adapter:
        await import_run(adapter, found(directory))
    assert (await compared(server, directory)).is_equal
    # When the number is altered on the server, and a row before the last is deleted
    server.execute("UPDATE @corporate_actions SET amount = 999 WHERE id = 1")
    server.execute("DELETE FROM @corporate_actions WHERE id = 2")
    # Then both are named
    assert told(await compared(server, directory)) == [
        "corporate_actions, row 1, amount: 1E+3 here, 999 on the server",
        "corporate_actions, row 2 is not on the server",
    ]


async def test_every_kind_of_difference_is_named_with_both_values(
    server: Server, book: Book, directory: Path
) -> None:
    async with server.opened() as adapter:
        await import_run(adapter, found(directory))

    # Given a server on which rows were changed, deleted and added by hand
    server.execute("UPDATE @t_ledger SET fee = 99 WHERE id = 1")
    server.execute("UPDATE @equity_curve SET cash = cash, state = 'AGGRESSIVE' WHERE id = 2")
    server.execute("DELETE FROM @equity_curve WHERE id = 3")
    server.execute("DELETE FROM @positions")
    server.execute(
        "INSERT INTO @equity_curve SELECT run_id, 9, timestamp, equity, cash, scalp, swing, portfolio, "
        "state, safety FROM @equity_curve WHERE id = 1"
    )
    server.execute("UPDATE @orders SET stop_price = 5")
    server.execute("DELETE FROM @batches WHERE id = 4")
    server.execute("UPDATE @batches SET inbox = 'no JSON' WHERE id = 1")
    server.execute("UPDATE @runs SET seed = 8")
    empty = "''::bytea" if server.url.startswith("postgresql") else "x''"
    server.execute(f"DELETE FROM @strategy_files WHERE name = {empty}")

    # When it is compared, Then each is named, in both directions
    done = await compared(server, directory)
    fee = rows.ledger().fee
    order, position = rows.order(), rows.position()
    assert sorted(told(done)) == sorted(
        [
            f"t_ledger, row 1, fee: {fee} here, 99 on the server",
            f"equity_curve, row 2, state: {rows.equity(2).state} here, AGGRESSIVE on the server",
            "equity_curve, row 3 is not on the server",
            "equity_curve, row 9 is only on the server",
            f"positions, row {position.strategy} {position.symbol} is not on the server",
            f"orders, row {order.client_order_id}, stop_price: nothing here, 5 on the server",
            'batches, row 1, inbox: ["e-1", "e-2"] here, no JSON on the server',
            "batches, row 4 is not on the server",
            "runs, row run-1, seed: 7 here, 8 on the server",
            "strategy_files, row 0 b'' is not on the server",
        ]
    )
    assert (done.count, done.is_equal) == (10, False)


async def test_differences_are_counted_beyond_those_that_are_kept(
    server: Server, book: Book, directory: Path
) -> None:
    book.write(*(rows.equity(number) for number in range(10, 160)))
    async with server.opened() as adapter:
        await import_run(adapter, found(directory))
    server.execute("UPDATE @equity_curve SET state = 'X'")
    done = await compared(server, directory)
    assert (done.count, len(done.differences)) == (153, 100)


async def test_a_running_session_is_compared_as_far_as_the_server_has_it(
    server: Server, book: Book, directory: Path
) -> None:
    # Given a server that has the first batches, while the others wait in the outbox
    async with server.opened() as adapter:
        await adapter.put_run(book.run, [*book.store.strategy_files()], [*book.store.configs()])
        epoch = await adapter.claim(book.run, whole_account=True)
        await adapter.apply([msgspec.structs.replace(one, epoch=epoch) for one in book.batches()[:2]])

    # When it is compared while the session runs, Then the rows up to there are equal, and the others are named
    done = await compared(server, directory, live=True)
    assert (told(done), done.applied, done.missing, done.waiting, done.is_equal) == ([], 2, (3, 4), True, True)

    # When the session has ended, Then batches that are missing are a difference
    assert not (await compared(server, directory)).is_equal

    # When a row that the server has differs, Then it is named in spite of those that wait
    server.execute("UPDATE @refusals SET detail = 'x' WHERE id = 1")
    done = await compared(server, directory, live=True)
    assert told(done) == [f"refusals, row 1, detail: {rows.refusal().detail} here, x on the server"]
    assert not done.is_equal


async def test_a_server_that_was_restored_to_an_earlier_moment_lacks_named_batches(
    server: Server, book: Book, directory: Path
) -> None:
    # Given a book that went on without followers, so that its outbox has nothing of it
    async with server.opened() as adapter:
        await import_run(adapter, found(directory))
    book.close()
    with closing(SqliteStore(directory / DATABASE_NAME, durability="NORMAL")) as store:
        store.commit([rows.equity(11)])
        store.follow([])
        store.commit([rows.equity(12)])

    # When it is compared, Then the batches are named, and so are their rows
    done = await compared(server, directory)
    assert (done.missing, done.waiting, done.is_equal) == ((5, 6), False, False)
    assert sorted(told(done)) == [
        "batches, row 5 is not on the server",
        "batches, row 6 is not on the server",
        "equity_curve, row 4 is not on the server",
        "equity_curve, row 5 is not on the server",
    ]


async def test_an_exported_run_has_every_row_and_digest(
    server: Server, book: Book, directory: Path, tmp_path: Path
) -> None:
    async with server.opened() as adapter:
        await import_run(adapter, found(directory))
        # When the run is exported, Then the new book has the same rows, and its digests follow each other
        done = await export_run(adapter, "run", tmp_path / "out")
    assert (done.run, done.seq) == (book.run, 4)
    copied = content(tmp_path / "out")
    original = content(directory)
    if server.url.startswith("postgresql"):
        original = [str(one).replace("\\x00", "\u2400") for one in original]
        copied = [str(one) for one in copied]
    assert copied == original
    assert (await compared(server, tmp_path / "out")).is_equal
    assert not list((tmp_path / "out").glob("*unfinished*"))

    # And nothing of it is taken back: it has no checkpoint to begin from
    with closing(SqliteStore(tmp_path / "out" / DATABASE_NAME, durability="NORMAL", rewindable=True)) as store:
        assert store.verify_history() == ""
        assert store.checkpoint() is None
        with pytest.raises(StateError, match="is not rewound: it is a copy that qts db export made"):
            store.rewind()
    told = "a copy that qts db export made, without a checkpoint; the run goes on in its own directory"
    assert read_status(found(tmp_path / "out"), 0).remark == told


def content(directory: Path) -> list[Any]:
    """Return all rows of the book in a directory, configurations with their digests and batches among them."""
    found: list[Any] = []
    with closing(sqlite3.connect(directory / DATABASE_NAME)) as connection:
        for name in ("runs", "configurations", "strategy_files", "batches"):
            found += connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2, 3").fetchall()
        for table in (*tables.APPEND_ONLY, *tables.REPLACED):
            more = ("id", "digest") if has_digest(table.name) else () if table.key else ("id",)
            columns = ", ".join((*table.owner, *table.columns, *more))
            found += connection.execute(f"SELECT {columns} FROM {table.name} ORDER BY 1, 2, 3").fetchall()
    return found


async def test_an_export_refuses_what_it_would_mix_with(
    server: Server, book: Book, directory: Path, tmp_path: Path
) -> None:
    other = Book(tmp_path / "other.sqlite", run_id="run-2")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    async with server.opened() as adapter:
        await import_run(adapter, found(directory))
        with other.copy() as copy:
            await adapter.load(copy, await adapter.claim(other.run, whole_account=True))
        with pytest.raises(InputError, match=r"full is not empty: it holds notes\.txt"):
            await export_run(adapter, "run-1", tmp_path / "full")
        with pytest.raises(InputError, match="2 runs of the server begin with 'run'; give more of the id"):
            await export_run(adapter, "run", tmp_path / "out")
        with pytest.raises(InputError, match="the server has no run 'xyz'; qts db status lists those it has"):
            await export_run(adapter, "xyz", tmp_path / "out")
    other.close()
    assert not (tmp_path / "out").exists()


async def test_a_directory_without_a_run_and_a_run_that_the_server_lacks_are_refused(
    server: Server, book: Book, directory: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "lock").write_text("")
    with pytest.raises(InputError, match=r"empty holds no run yet: there is no qts\.sqlite in it"):
        await compared(server, tmp_path / "empty")
    with pytest.raises(StateError, match="the server has no run run-1; take it over with qts db import"):
        await compared(server, directory)


async def test_a_simulated_run_without_a_checkpoint_has_nothing_to_copy(server: Server, directory: Path) -> None:
    rows.opened(directory / DATABASE_NAME).close()
    async with server.opened() as adapter:
        with pytest.raises(StateError, match="a simulated run is copied as far as its newest checkpoint"):
            await import_run(adapter, found(directory))
        assert await adapter.runs() == []


class Moving:
    """A server that gets the rest of the batches just after the moment of which its rows are read."""

    def __init__(self, adapter: DataSourceAdapter, book: Book, epoch: int) -> None:
        self._adapter, self._book, self._epoch = adapter, book, epoch
        self.looks = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    async def bodies(self, run_id: str, *, as_is: bool = False) -> AsyncIterator[bytes]:
        self.looks += 1
        bodies = aiter(self._adapter.bodies(run_id, as_is=as_is))
        first = await anext(bodies)
        if self.looks == 1:
            rest = self._book.batches()[2:]
            await self._adapter.apply([msgspec.structs.replace(one, epoch=self._epoch) for one in rest])
            self._book.store.done(OUTBOX, 4)
            self._book.store.commit([rows.equity(50)])  # lets go of what the server has
        yield first
        async for body in bodies:
            yield body


async def test_a_follower_that_goes_on_between_the_two_looks_is_no_difference(
    server: Server, book: Book, directory: Path
) -> None:
    async with server.opened() as adapter:
        await adapter.put_run(book.run, [*book.store.strategy_files()], [*book.store.configs()])
        epoch = await adapter.claim(book.run, whole_account=True)
        await adapter.apply([msgspec.structs.replace(one, epoch=epoch) for one in book.batches()[:2]])

        # When batches leave the outbox while the server's rows are read as they were before
        moving = Moving(adapter, book, epoch)
        done = await verify(moving, found(directory, live=True))  # type: ignore[arg-type]

    # Then it is looked at a second time, and only the newest batch is still to come
    assert (moving.looks, told(done), done.missing, done.is_equal) == (2, [], (5, 5), True)
