"""Writing batches: one round trip each, and what the server, the network or another writer do to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from qts.db.adapter import Query
from qts.db.contracts import EquityRow, LedgerRow
from qts.db.timescale import connecting
from qts.errors import BatchRefused, Fenced, Unavailable
from tests.db import rows
from tests.db.books import Book, one_of_each
from tests.db.timescale.adapters import begin, opened, with_value
from tests.servers.fixtures import EVERY_BOOK, Database
from tests.servers.proxy import Proxy


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    made = Book(tmp_path / "book.sqlite")
    yield made
    made.close()


@pytest.fixture
def book_proxy(book_database: Database) -> Iterator[Proxy]:
    """A proxy before the server of ``book_database``."""
    with Proxy(book_database.port) as made:
        yield made


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let calls be late after a moment."""
    monkeypatch.setattr(connecting, "CALL_S", 0.3)
    monkeypatch.setattr(connecting, "CONNECT_S", 0.3)


@EVERY_BOOK
async def test_a_batch_is_one_round_trip(book_database: Database, book: Book) -> None:
    # Given a server behind a proxy that counts, and an adapter that has applied a batch
    with Proxy(book_database.port) as proxy:
        async with opened(book_database.by(proxy.port)) as adapter:
            await begin(adapter, book)
            await adapter.apply([book.write(*one_of_each())])
            before = proxy.round_trips
            # When it applies ten more, one by one, and then ten in one call
            for number in range(10):
                await adapter.apply([book.write(rows.ledger(f"y-{number}"), rows.pool(), inbox=[f"e-{number}"])])
            assert proxy.round_trips - before == 10
            for number in range(10):
                book.write(rows.ledger(f"z-{number}"))
            await adapter.apply(book.batches()[11:])
            # Then each call was one
            assert proxy.round_trips - before == 11


async def test_a_commit_whose_answer_is_lost_is_settled_by_asking(
    book_database: Database, book_proxy: Proxy, book: Book
) -> None:
    async with opened(book_database.by(book_proxy.port)) as adapter:
        await begin(adapter, book)
        batch = book.write(*one_of_each())
        # Given a batch that the server commits, whose answer does not come back
        book_proxy.lose_answer("qts_apply")
        with pytest.raises(Unavailable, match="apply batch 1 of run run-1"):
            await adapter.apply([batch])
        # When the server is asked, on a connection that is made again
        assert await adapter.applied("run-1") == 1
        # Then it has the batch once, also when it is sent a second time
        assert await adapter.apply([batch]) == 1
        assert book_database.value("SELECT count(*) FROM qts.t_ledger") == 1


@pytest.mark.usefixtures("short")
async def test_an_answer_that_is_late_ends_the_connection_and_asks_for_no_other(
    book_database: Database, book_proxy: Proxy, book: Book
) -> None:
    async with opened(book_database.by(book_proxy.port)) as adapter:
        await begin(adapter, book)
        batch = book.write(rows.equity())
        # Given a network on which nothing comes back any more
        book_proxy.half_open()
        connections = book_proxy.accepted
        # When a batch is sent
        with pytest.raises(Unavailable, match=r"no answer within 0\.3 s; the connection was ended"):
            await adapter.apply([batch])
        # Then no second connection was made to cancel it, and the next call makes a new one
        assert book_proxy.accepted == connections
        assert adapter.stats.late == 1
        assert await adapter.apply([batch]) == 1


@pytest.mark.usefixtures("short")
async def test_a_call_that_its_caller_gives_up_ends_the_connection_too(
    book_database: Database, book_proxy: Proxy, book: Book
) -> None:
    async with opened(book_database.by(book_proxy.port)) as adapter:
        await begin(adapter, book)
        batch = book.write(rows.equity())
        book_proxy.silence()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await adapter.apply([batch])
        # Then the connection is of no use to anyone, and the next call makes another
        book_proxy.heal()
        connections = book_proxy.accepted
        assert await adapter.apply([batch]) == 1
        assert book_proxy.accepted > connections


async def test_a_lock_that_another_one_holds_is_waited_for_a_second(book_database: Database, book: Book) -> None:
    async with opened(book_database.url) as adapter:
        await begin(adapter, book)
        # Given the row of the run, locked by something else
        other = await asyncpg.connect(book_database.url)
        transaction = other.transaction()
        await transaction.start()
        await other.execute("SELECT FROM qts.run_progress FOR UPDATE")
        # When a batch comes
        batch = book.write(rows.equity())
        with pytest.raises(Unavailable, match="lock timeout"):
            await adapter.apply([batch])
        # Then nothing was written, and later it is
        await transaction.rollback()
        await other.close()
        assert await adapter.applied("run-1") == 0
        assert await adapter.apply([batch]) == 1


async def test_a_server_process_that_is_killed_in_the_middle_leaves_nothing(
    book_database: Database, book: Book
) -> None:
    async with opened(book_database.url) as adapter:
        await begin(adapter, book)
        # Given a server that sleeps within the batch, when the fill and the order are written and the pool is not
        book_database.execute(
            "CREATE FUNCTION public.sleep() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_sleep(20); RETURN NEW; END';"
            "CREATE TRIGGER sleep BEFORE INSERT ON qts.capital_pools FOR EACH ROW EXECUTE FUNCTION public.sleep()"
        )
        batch = book.write(*one_of_each())
        applying = asyncio.ensure_future(adapter.apply([batch]))
        killed = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        while not await asyncio.to_thread(book_database.value, killed):
            await asyncio.sleep(0.01)
        # When its process is ended
        with pytest.raises(Unavailable):
            await applying
        # Then there is nothing of the batch, and it is applied wholly afterwards
        assert book_database.value("SELECT count(*) FROM qts.t_ledger") == 0
        assert await adapter.applied("run-1") == 0
        book_database.execute("DROP TRIGGER sleep ON qts.capital_pools")
        assert await adapter.apply([batch]) == 1
        assert [row async for row in adapter.read(LedgerRow, Query())] == book.content()["ledger"]


async def test_a_statement_that_takes_too_long_is_ended_by_the_server(book_database: Database, book: Book) -> None:
    async with opened(book_database.url) as adapter:
        await begin(adapter, book)
        connection = await adapter._ledger.open()
        limits = {name: await connection.fetchval(f"SHOW {name}") for name in connecting.SERVER_LIMITS}
        assert limits == {
            "statement_timeout": "2s",
            "lock_timeout": "1s",
            "idle_in_transaction_session_timeout": "5s",
        }


@EVERY_BOOK
async def test_a_transaction_that_the_server_ends_for_others_is_tried_again(
    book_database: Database, book: Book
) -> None:
    async with opened(book_database.url) as adapter:
        await begin(adapter, book)
        # Given a server that ends the transaction of a batch because of a deadlock, three times
        book_database.execute(
            "CREATE SEQUENCE public.tries;"
            "CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN IF nextval(''public.tries'') < 4 THEN RAISE ''a deadlock'' USING ERRCODE = ''40P01''; END IF; "
            "RETURN NEW; END';"
            "CREATE TRIGGER fail BEFORE INSERT ON qts.equity_curve FOR EACH ROW EXECUTE FUNCTION public.fail()"
        )
        batch = book.write(rows.ledger(), rows.equity())
        # Then the batch is tried as a whole until it is applied
        assert await adapter.apply([batch]) == 1
        assert adapter.stats.again == 3
        assert book_database.value("SELECT count(*) FROM qts.t_ledger") == 1
        # And after four times it is told
        book_database.execute("ALTER SEQUENCE public.tries MINVALUE -1 RESTART WITH -1")
        with pytest.raises(Unavailable, match="40P01"):
            await adapter.apply([book.write(rows.equity(2))])


async def test_two_writers_at_the_same_time_both_end_with_all_of_theirs(
    book_database: Database, tmp_path: Path
) -> None:
    books = [Book(tmp_path / f"{number}.sqlite", f"run-{number}", f"account-{number}") for number in range(2)]
    for book in books:
        for number in range(20):
            book.write(rows.equity(number), rows.pool(cash=str(number)))

    async def write(book: Book) -> None:
        async with opened(book_database.url) as adapter:
            await begin(adapter, book)
            for batch in book.batches():
                await adapter.apply([batch])

    await asyncio.gather(*map(write, books))
    assert book_database.query("SELECT run_id, applied FROM qts.run_progress ORDER BY run_id") == [
        ("run-0", 20),
        ("run-1", 20),
    ]
    for book in books:
        book.close()


async def test_a_row_that_is_refused_is_named_with_its_reason(book_database: Database, book: Book) -> None:
    async with opened(book_database.url) as adapter:
        await begin(adapter, book)
        await adapter.apply([book.write(rows.ledger("x-1"))])
        # Given a batch with a fill that is there already under another number, and one with an amount too large
        again = with_value(book.write(rows.ledger("x-2")), "t_ledger", 0, 13, "x-1")
        with pytest.raises(BatchRefused, match=r"t_ledger, row 2: duplicate key .*t_ledger_fills"):
            await adapter.apply([again])
        large = with_value(again, "t_ledger", 0, 4, "1" * 140_000)
        with pytest.raises(BatchRefused, match=r"t_ledger, row 2: value overflows numeric format"):
            await adapter.apply([large])
        # And a row that is there under the same number, as from a book that is another one
        former = with_value(with_value(again, "t_ledger", 0, 0, 1), "t_ledger", 0, 13, "x-9")
        with pytest.raises(BatchRefused, match=r"t_ledger, row 1: duplicate key .*t_ledger_pkey"):
            await adapter.apply([former])
        # Then the batch as it is is applied
        assert await adapter.apply(book.batches()[1:]) == 2


async def test_what_takes_too_long_at_once_is_written_in_less_at_a_time(
    book_database: Database, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a server that needs three times as long for 60 rows as a statement may take
    monkeypatch.setitem(connecting._SETTINGS, "statement_timeout", "300ms")
    for number in range(60):
        book.write(rows.equity(number))
    async with opened(book_database.url) as adapter:
        await begin(adapter, book)
        book_database.execute(
            "CREATE FUNCTION qts.slow() RETURNS trigger LANGUAGE plpgsql AS "
            "'BEGIN PERFORM pg_sleep(0.015); RETURN NEW; END'; "
            "CREATE TRIGGER slow BEFORE INSERT ON qts.equity_curve FOR EACH ROW EXECUTE FUNCTION qts.slow()"
        )
        # Then all batches get there, and so does a copy of them on a server that lacks the beginning
        assert await adapter.apply(book.batches()) == 60
        book_database.execute("DELETE FROM qts.equity_curve; DELETE FROM qts.batches")
        book_database.execute("UPDATE qts.run_progress SET applied = 0")
        with book.copy() as copy:
            assert await adapter.load(copy) == 60
    assert book_database.value("SELECT count(*) FROM qts.equity_curve") == 60
    assert book_database.value("SELECT count(*) FROM qts.batches") == 60


async def test_an_order_without_its_approval_is_refused(book_database: Database, book: Book) -> None:
    async with opened(book_database.url) as adapter:
        await begin(adapter, book)
        batch = with_value(book.write(rows.decision(), rows.order()), "orders", 0, 2, "a-none")
        with pytest.raises(BatchRefused, match="decisions"):
            await adapter.apply([batch])
        assert await adapter.applied("run-1") == 0


async def test_fills_of_a_simulated_broker_begin_again_with_each_run(
    book_database: Database, tmp_path: Path
) -> None:
    # Given two runs of one account, whose fills have the same identity
    one, two = (Book(tmp_path / f"{name}.sqlite", name) for name in ("run-1", "run-2"))
    async with opened(book_database.url) as adapter:
        for book in (one, two):
            await begin(adapter, book)
        # Then those of a simulated broker are both taken, and of a real one the second is the same fill
        for book in (one, two):
            assert await adapter.apply([book.write(rows.ledger("x-1"))]) == 1
        assert await adapter.apply([one.write(rows.ledger("x-2", broker="kis"))]) == 2
        with pytest.raises(BatchRefused, match="t_ledger_fills"):
            await adapter.apply([two.write(rows.ledger("x-2", broker="kis"))])
        assert await adapter.apply([two.batches()[0]]) == 1
    one.close()
    two.close()


async def test_a_claim_that_is_refused_names_who_holds_it(book_database: Database, book: Book) -> None:
    async with opened(book_database.url) as first, opened(book_database.url) as second:
        await begin(first, book)
        with pytest.raises(Fenced, match=r"written by process \d+ on .+stop one of the two"):
            await second.claim(book.run, whole_account=False)


async def test_a_claim_ends_with_its_connection(book_database: Database, book_proxy: Proxy, book: Book) -> None:
    async with opened(book_database.by(book_proxy.port)) as first, opened(book_database.url) as second:
        number = await begin(first, book)
        # Given a writer whose connection is cut
        book_proxy.cut()

        # When another one claims the run
        async def claimed() -> int:
            while True:
                try:
                    return await second.claim(book.run, whole_account=False)
                except Fenced:  # the server has not noticed yet
                    await asyncio.sleep(0.01)

        assert await asyncio.wait_for(claimed(), 10) > number
        # Then the first one writes nothing any more, though it can connect
        with pytest.raises(Fenced, match=r"go on writing: it is written by process \d+"):
            await first.apply([book.write(rows.equity())])
        assert await second.apply(book.batches()) == 1


async def test_the_epoch_rises_above_those_that_a_restored_server_forgot(
    book_database: Database, book: Book
) -> None:
    async with opened(book_database.url) as adapter:
        number = await begin(adapter, book)
    # Given a server that was restored to a time before the claim
    book_database.execute("UPDATE qts.run_progress SET epoch = 3")
    async with opened(book_database.url) as adapter:
        assert await begin(adapter, book) > number


async def test_readers_never_take_the_connection_of_the_ledger(
    book_database: Database, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qts.db.timescale.pool.ACQUIRE_S", 0.2)
    async with opened(book_database.url, most=2) as adapter:
        await begin(adapter, book)
        await adapter.apply([book.write(*(rows.equity(number) for number in range(1_100)))])
        # Given readers that hold every connection of the pool
        async with adapter._pool.connection("hold"), adapter._pool.connection("hold"):
            # Then one more reader is told within a moment, and batches go on
            with pytest.raises(Unavailable, match=r"no connection within 0\.2 s, 2 of 2 are made and 0 free"):
                await anext(adapter.read(EquityRow, Query()))
            assert await adapter.apply([book.write(rows.equity(2_000))]) == 2
        assert adapter.stats.crowded == 1
        assert adapter.stats.pool_in_use == 0
        assert len([row async for row in adapter.read(EquityRow, Query())]) == 1_101


async def test_a_server_without_a_connection_to_spare_is_told_at_once(
    book_database: Database, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an adapter that is open, on a database that takes no more connections than there are
    async with opened(book_database.url) as adapter:
        await begin(adapter, book)
        book_database.execute(
            "CREATE ROLE plain LOGIN; GRANT USAGE ON SCHEMA qts TO plain;"
            f"ALTER DATABASE {book_database.name} CONNECTION LIMIT 0"
        )
        try:
            with pytest.raises(Unavailable, match="too many connections"):
                async with opened(book_database.url.replace("postgres@", "plain@")):
                    pass
            # Then batches go on
            assert await adapter.apply([book.write(rows.equity())]) == 1
        finally:
            book_database.execute("DROP OWNED BY plain; DROP ROLE plain")


async def test_slow_calls_are_counted(book_database: Database, book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "SLOW_S", 0.05)
    async with opened(book_database.url) as adapter:
        await begin(adapter, book)
        slow, calls = adapter.stats.slow, adapter.stats.calls
        await adapter._pool.fetch("sleep", "SELECT pg_sleep(0.1)")
        assert (adapter.stats.slow, adapter.stats.calls) == (slow + 1, calls + 1)
