"""What every store of many runs must do, as tests given a factory: subclass, and give the fixture ``opens``.

Batches and copies are those of a real local book (:mod:`tests.db.books`); what is read back is compared with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import date, timedelta
from decimal import Decimal as D
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.capital.contracts import Pool, Transfer
from qts.db.adapter import DataSourceAdapter, DayPnl, Query, RunCopy, TickBlock
from qts.db.batch import Batch, body_of, rows_of
from qts.db.contracts import (
    EquityRow,
    LedgerRow,
    PoolRow,
    PositionRow,
    Record,
    StateRow,
)
from qts.db.tables import BY_RECORD
from qts.errors import BatchRefused, Fenced, Gap, InputError, StateError
from qts.execution.contracts import Order
from qts.market.contracts import BookUpdate, IndexLevel, MarketValue, Quote, Tick, VolatilityLevel
from qts.strategy.contracts import Side
from tests.db import rows
from tests.db.books import CONFIGS, FILES, READERS, Book, bar, one_of_each
from tests.effort import examples

Opens: TypeAlias = Callable[[], AbstractAsyncContextManager[DataSourceAdapter]]
_T = TypeVar("_T")
NUL_ON_A_SERVER: Final = "\u2400"
"""What U+0000 is on a server that cannot hold it (PostgreSQL)."""
OPENED_AT = 1_767_312_000_000_000_000
"""2026-01-02 00:00 UTC."""


async def all_of(rows_of_kind: AsyncIterator[_T]) -> list[_T]:
    return [row async for row in rows_of_kind]


async def content(adapter: DataSourceAdapter, run_id: str) -> dict[str, list[Any]]:
    """Every record of a run, by kind, of the kinds that the adapter has."""
    where = Query(run_id=run_id)
    return {name: await all_of(adapter.read(kind, where)) for kind, name in READERS.items() if has(adapter, kind)}


def has(adapter: DataSourceAdapter, kind: type[Any]) -> bool:
    """Whether an adapter says that it has rows of a kind."""
    return BY_RECORD[kind].name in adapter.capabilities.tables


def held(adapter: DataSourceAdapter, content: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """The part of what a book has that is of the kinds that the adapter has; fills and positions are always."""
    found = {name: content[name] for kind, name in READERS.items() if has(adapter, kind)}
    assert {"ledger", "positions"} <= found.keys()
    return found


async def begun(adapter: DataSourceAdapter, book: Book) -> None:
    """Write down the run of a book, as a follower does before its first batch."""
    await adapter.put_run(book.run, FILES, CONFIGS)


def epoch(batch: Batch, number: int) -> Batch:
    return msgspec.structs.replace(batch, epoch=number)


class MarketValueTests:
    """Tests of market values alone; ``opens`` as in :class:`AdapterTests`."""

    @pytest.fixture
    def opens(self, tmp_path: Path) -> Opens:
        raise NotImplementedError

    async def test_market_values_are_what_was_stored(self, opens: Opens) -> None:
        # Given values of every kind, three of them of one moment
        async with opens() as adapter:
            if not adapter.capabilities.ticks:
                await self.refuses_ticks(adapter)
                return
            values = _values_of_each_kind()

            # When they are stored twice, a part of them the first time
            assert await adapter.append_ticks(TickBlock(10, values[:3])) == 3
            assert await adapter.append_ticks(TickBlock(10, values)) == len(values) - 3
            assert await adapter.append_ticks(TickBlock(10, values)) == 0

            # Then they are there once, each with its number, by time and then by number
            found = await _stored(adapter, "005930", 0, (1 << 63) - 1)
            assert found == [(number, value) for number, value in enumerate(values, 10) if value.symbol == "005930"]
            # And the end of a range is not in it
            assert [number for number, _ in await _stored(adapter, "005930", OPENED_AT + 1, OPENED_AT + 2)] == [
                10,
                11,
                12,
            ]
            assert await _stored(adapter, "none", 0, (1 << 63) - 1) == []

    async def test_a_value_that_cannot_be_kept_is_refused_by_row(self, opens: Opens) -> None:
        # Given blocks whose second value has nine decimals, is not finite, of no moment, or no market value
        unfit = (
            Tick("005930", OPENED_AT, D("1.000000001"), D("1")),
            Tick("005930", OPENED_AT, D("NaN"), D("1")),
            Tick("005930", OPENED_AT, D("1"), D("Infinity")),
            Quote("005930", OPENED_AT, bid=D("-Infinity")),
            Quote("005930", OPENED_AT, volume=D("0.123456789")),
            BookUpdate("005930", OPENED_AT, [(D("1"), D("0.000000001"))], []),
            IndexLevel("005930", OPENED_AT, float("nan")),
            Tick("005930", -1, D("1"), D("1")),
            Tick("a\0b", OPENED_AT, D("1"), D("1")),
            bar(),
        )
        async with opens() as adapter:
            if not adapter.capabilities.ticks:
                await self.refuses_ticks(adapter)
                return
            for value in unfit:
                block = TickBlock(41, (Tick("005930", OPENED_AT, D("1.00000001"), D("1")), value))

                # Then the row is named, and nothing of the block was stored
                with pytest.raises(BatchRefused, match="42"):
                    await adapter.append_ticks(block)
                assert await _stored(adapter, "005930", 0, (1 << 63) - 1) == []

    async def test_open_and_close_are_those_of_the_first_and_last_number(self, opens: Opens) -> None:
        # Given trades of one minute: three are of one moment, and the last one came with an earlier time than
        # the one before it; one trade an hour later; a quote that tells of a trade; and one that does not
        second = 1_000_000_000
        values: tuple[MarketValue, ...] = (
            Tick("A", OPENED_AT, D("10"), D("1")),
            Tick("A", OPENED_AT, D("12"), D("2")),
            Tick("A", OPENED_AT, D("9.50"), D("1")),
            Quote("A", OPENED_AT + 20 * second, bid=D("1"), last=D("11"), last_size=D("3")),
            Quote("A", OPENED_AT + 21 * second, bid=D("1"), last=D("99")),
            Tick("A", OPENED_AT + 40 * second, D("10.5"), D("1")),
            Tick("A", OPENED_AT + 30 * second, D("10.25"), D("2")),
            Tick("A", OPENED_AT + 3_600 * second, D("20"), D("5")),
        )
        async with opens() as adapter:
            if not adapter.capabilities.ticks:
                await self.refuses_ticks(adapter)
                return
            await adapter.append_ticks(TickBlock(1, values))
            end_ns = OPENED_AT + 86_400 * second

            # When bars of a minute are asked for
            bars = await adapter.ohlcv("A", timedelta(minutes=1), OPENED_AT, end_ns)

            # Then open and close go by the numbers, the value is 10 + 24 + 9.5 + 33 + 10.5 + 20.5 = 107.5
            first, last = [
                (b.symbol, b.start_ns, b.ts_ns, b.open, b.high, b.low, b.close, b.volume, b.value, b.trades)
                for b in bars
            ]
            amounts = (D("10"), D("12"), D("9.5"), D("10.25"), D("10"), D("107.5"), 6)
            assert first == ("A", OPENED_AT, OPENED_AT + 60 * second, *amounts)
            later = OPENED_AT + 3_600 * second
            assert last == ("A", later, later + 60 * second, *(D(20),) * 4, D(5), D(100), 1)
            assert [bar.interval for bar in bars] == ["1m", "1m"]
            # And an interval of any length of time has those within it
            (day,) = await adapter.ohlcv("A", timedelta(days=1), OPENED_AT, end_ns)
            assert (day.open, day.close, day.volume, day.trades) == (D("10"), D("20"), D("15"), 7)
            assert [b.trades for b in await adapter.ohlcv("A", timedelta(seconds=7), OPENED_AT, end_ns)] == [
                3,
                1,
                1,
                1,
                1,
            ]
            assert await adapter.ohlcv("A", timedelta(minutes=1), end_ns, end_ns + second) == []

    async def test_bars_are_those_that_begin_in_the_range(self, opens: Opens) -> None:
        # Given trades every 10 s, from the last hour of a Tuesday to the first one of Wednesday (UTC), at 1, 2, 3 …
        midnight = OPENED_AT + 5 * 86_400 * 10**9  # Wednesday, 2026-01-07
        begin = midnight - 3_600 * 10**9
        ticks = tuple(Tick("A", begin + 10 * 10**9 * n, D(n + 1), D(1)) for n in range(720))
        async with opens() as adapter:
            if not adapter.capabilities.ticks:
                await self.refuses_ticks(adapter)
                return
            await adapter.append_ticks(TickBlock(1, ticks))

            async def found(
                interval: timedelta, start_ns: int, end_ns: int
            ) -> list[tuple[int, int, D, D, int | None]]:
                bars = await adapter.ohlcv("A", interval, start_ns, end_ns)
                return [
                    ((b.start_ns - midnight) // 10**9, (b.ts_ns - midnight) // 10**9, b.open, b.close, b.trades)
                    for b in bars
                ]

            # Then bars of an hour and a half begin at midnight; one that began before the range is not told,
            # and one that ends behind it is whole
            ninety = timedelta(minutes=90)
            assert await found(ninety, begin - 1_800 * 10**9, midnight + 1) == [
                (-5_400, 0, D(1), D(360), 360),
                (0, 5_400, D(361), D(720), 360),
            ]
            assert await found(ninety, begin, midnight) == []
            # And those of a day are of a day of UTC, those of a week begin on Monday, two days before the Wednesday
            assert await found(timedelta(days=1), midnight, midnight + 1) == [(0, 86_400, D(361), D(720), 360)]
            week = timedelta(days=7)
            assert await found(week, 0, midnight) == [(-2 * 86_400, 5 * 86_400, D(1), D(720), 720)]

    async def test_bars_of_an_odd_interval_are_refused(self, opens: Opens) -> None:
        async with opens() as adapter:
            if not adapter.capabilities.ticks:
                await self.refuses_ticks(adapter)
                return
            for interval in (timedelta(milliseconds=999), timedelta(seconds=1.5), timedelta(hours=25)):
                with pytest.raises(InputError, match="whole seconds"):
                    await adapter.ohlcv("A", interval, 0, 1)

    async def refuses_ticks(self, adapter: DataSourceAdapter) -> None:
        """What stores no market values says so, in every call about them."""
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: adapter.append_ticks(TickBlock(1, (Tick("A", 1, D(1), D(1)),))),
            lambda: all_of(adapter.ticks("A", 0, 1)),
            lambda: adapter.ohlcv("A", timedelta(minutes=1), 0, 1),
        ]
        for call in calls:
            with pytest.raises(InputError, match="market values"):
                await call()


class AdapterTests(MarketValueTests):
    """``opens`` opens one more connection to the same store, new for each test, and closes it at the end.

    ``EXAMPLES``: how many deliveries of a book are drawn.
    """

    EXAMPLES = 2

    @pytest.fixture
    def makes_book(self, tmp_path: Path) -> Iterator[Callable[..., Book]]:
        books: list[Book] = []

        def make(run_id: str = "run-1", account: str = "main") -> Book:
            books.append(Book(tmp_path / f"{len(books)}.sqlite", run_id, account))
            return books[-1]

        yield make
        for book in books:
            book.close()

    @pytest.fixture
    def book(self, makes_book: Callable[..., Book]) -> Book:
        return makes_book()

    # -- opening -------------------------------------------------------------------------------------------

    async def test_it_names_its_server_while_it_is_open(self, opens: Opens) -> None:
        # Given an adapter that is open
        async with opens() as adapter:
            # Then it says what it is connected to, and what that lacks, in sentences
            found = adapter.capabilities
            assert any(letter.isdigit() for letter in found.server)
            assert all(found.lacks)
            assert all(adapter.warnings)
        # And once it is closed, it is asked no more
        with pytest.raises(StateError):
            await adapter.applied("run-1")
        await adapter.close()

    # -- runs ----------------------------------------------------------------------------------------------

    async def test_a_run_is_there_with_its_files_and_configurations(self, opens: Opens, book: Book) -> None:
        # Given a run that was written down twice, the second time finished and with one configuration more
        finished = msgspec.structs.replace(book.run, finished=True, result='{"equity": "1"}')
        async with opens() as adapter:
            await adapter.put_run(book.run, FILES, CONFIGS[:1])
            await adapter.put_run(finished, FILES, CONFIGS)

            # Then it is there once, as it is now
            assert await adapter.runs() == [finished]
            assert await adapter.configs("run-1") == list(CONFIGS)
            assert await adapter.strategy_files("run-1") == list(FILES)
            assert await adapter.applied("run-1") == 0

    async def test_a_run_that_was_begun_another_time_takes_the_place_of_one_without_a_batch(
        self, opens: Opens, book: Book
    ) -> None:
        # Given a run that was written down, and ended before it had a batch
        second, third = (msgspec.structs.replace(book.run, started_at=f"2026-10-0{day}") for day in (2, 3))
        async with opens() as adapter:
            await adapter.put_run(book.run, FILES, CONFIGS[:1])
            # When it is begun another time, Then it is that one
            await adapter.put_run(second, FILES, CONFIGS[:1])
            assert await adapter.runs() == [second]
            # And once it has a batch, that of another time does not take its place
            epoch = await adapter.claim(second, whole_account=False)
            await adapter.apply([msgspec.structs.replace(book.write(rows.equity()), epoch=epoch)])
            await adapter.put_run(third, FILES, CONFIGS[:1])
            assert await adapter.runs() == [second]

    async def test_a_run_stays_with_its_account(self, opens: Opens, book: Book) -> None:
        # Given a run of the account main
        batch = book.write(rows.equity())
        async with opens() as adapter:
            await begun(adapter, book)

            # Then neither the run nor a batch of it is taken for another account
            with pytest.raises(BatchRefused, match="main"):
                await adapter.put_run(msgspec.structs.replace(book.run, account="second"), (), ())
            with pytest.raises(BatchRefused, match="main"):
                await adapter.apply([msgspec.structs.replace(batch, account="second")])
            assert await adapter.runs() == [book.run]
            assert await adapter.applied("run-1") == 0

    async def test_runs_are_told_by_id_and_by_account(self, opens: Opens, makes_book: Callable[..., Book]) -> None:
        # Given runs of two accounts
        ours, theirs = makes_book("run-2", "main"), makes_book("run-10", "second")
        async with opens() as adapter:
            for book in (ours, theirs):
                await begun(adapter, book)

            # Then they are told in the order of their ids, byte by byte, and those of one account alone
            assert await adapter.runs() == [theirs.run, ours.run]
            assert await adapter.runs("second") == [theirs.run]
            assert await adapter.runs("third") == []

    async def test_what_is_not_there_is_empty(self, opens: Opens) -> None:
        async with opens() as adapter:
            assert await adapter.applied("none") == 0
            assert await adapter.configs("none") == []
            assert await adapter.strategy_files("none") == []
            assert not any((await content(adapter, "none")).values())
            assert await all_of(adapter.bodies("none")) == []
            assert await adapter.daily_pnl(Query()) == []

    # -- applying ------------------------------------------------------------------------------------------

    async def test_every_kind_of_row_is_what_the_local_book_has(self, opens: Opens, book: Book) -> None:
        # Given a batch with a row of each kind
        batch = book.write(*one_of_each(), inbox=["e-1", "e-2"])
        async with opens() as adapter:
            await begun(adapter, book)

            # When it is applied
            assert await adapter.apply([batch]) == 1

            # Then each is read as it is in the local book, to the last digit and nanosecond
            assert await content(adapter, "run-1") == held(adapter, book.content())
            (fill,) = await all_of(adapter.read(LedgerRow, Query()))
            assert [str(fill.qty), str(fill.price), fill.ts_ns] == ["1E-8", "71200.50", 1_700_000_000_000_000_001]

    async def test_rows_that_change_are_as_they_last_stood(self, opens: Opens, book: Book) -> None:
        # Given an order, a pool and a position that change from batch to batch
        batches = [
            book.write(rows.decision(), rows.order(), rows.pool(cash="5"), rows.position(qty="1")),
            book.write(rows.order(state="WORKING"), rows.pool(cash="-7.50")),
            book.write(rows.order(state="FILLED", filled=D("10")), rows.position(qty="0")),
        ]
        async with opens() as adapter:
            await begun(adapter, book)

            # When the batches come one by one, and when the first comes a second time after all
            for batch in batches:
                assert await adapter.apply([batch]) == batch.seq
            assert await adapter.apply(batches[:1]) == 3

            # Then what stands is what the last one wrote
            assert await content(adapter, "run-1") == held(adapter, book.content())
            (position,) = await all_of(adapter.read(PositionRow, Query()))
            assert position.qty == D("0")
            if has(adapter, PoolRow):
                (pool,) = await all_of(adapter.read(PoolRow, Query()))
                assert pool.cash == D("-7.50")

    async def test_batches_that_are_applied_change_nothing(self, opens: Opens, book: Book) -> None:
        # Given three batches, applied together
        batches = [book.write(rows.ledger(f"x-{number}"), rows.equity(number)) for number in (1, 2, 3)]
        async with opens() as adapter:
            await begun(adapter, book)
            assert await adapter.apply(batches) == 3

            # When some come again, with new ones behind them
            batches += [book.write(rows.ledger("x-4"), rows.equity(4))]
            assert await adapter.apply(batches[:2]) == 3
            assert await adapter.apply(batches[1:]) == 4

            # Then each has its effect once
            assert await content(adapter, "run-1") == held(adapter, book.content())
        # And another connection sees the same
        async with opens() as adapter:
            assert await adapter.applied("run-1") == 4

    async def test_a_gap_is_named_and_nothing_is_written(self, opens: Opens, book: Book) -> None:
        # Given a server that has batch 1 of 4
        batches = [book.write(rows.ledger(f"x-{number}")) for number in (1, 2, 3, 4)]
        async with opens() as adapter:
            await begun(adapter, book)
            await adapter.apply(batches[:1])

            # When it is sent batches from 3 on
            with pytest.raises(Gap) as gap:
                await adapter.apply(batches[2:])

            # Then it says that it needs 2, and has written nothing of them
            assert (gap.value.expected, gap.value.got) == (2, 3)
            assert await adapter.applied("run-1") == 1
            assert [row.execution_id for row in await all_of(adapter.read(LedgerRow, Query()))] == ["x-1"]

    async def test_a_run_that_is_not_known_needs_its_copy(self, opens: Opens, book: Book) -> None:
        # Given a server that was never told of the run
        batch = book.write(rows.equity())
        async with opens() as adapter:
            # Then even its first batch is a gap: the whole run is to be loaded
            with pytest.raises(Gap):
                await adapter.apply([batch])
            assert await adapter.runs() == []

    async def test_an_amount_that_is_none_is_refused_by_row(self, opens: Opens, book: Book) -> None:
        # Given batch 2, whose row 3 of the ledger has an amount that is no number
        first = book.write(rows.ledger("x-1"))
        second = book.write(rows.ledger("x-2"), rows.ledger("x-3", order_id="o-3"))
        body = rows_of(second.body)
        async with opens() as adapter:
            await begun(adapter, book)
            for number in ("NaN", "Infinity", "-Infinity", "sNaN", "1,5", "", None):
                body["t_ledger"][1][6] = number
                damaged = msgspec.structs.replace(second, body=body_of(body))

                # When both batches are sent in one call
                with pytest.raises(BatchRefused, match=r"t_ledger.*\b3\b"):
                    await adapter.apply([first, damaged])

                # Then nothing of the call was written
                assert await adapter.applied("run-1") == 0
                assert await all_of(adapter.read(LedgerRow, Query())) == []
            # And the same batch as it should be is applied
            assert await adapter.apply([first, second]) == 2

    async def test_a_table_that_is_not_known_is_refused(self, opens: Opens, book: Book) -> None:
        # Given the batch of a later version, with a table that this one does not have
        batch = msgspec.structs.replace(book.write(rows.equity()), body=body_of({"options": [[1, "x"]]}))
        async with opens() as adapter:
            await begun(adapter, book)
            with pytest.raises(BatchRefused, match="options"):
                await adapter.apply([batch])

    async def test_equal_times_keep_their_order(self, opens: Opens, book: Book) -> None:
        # Given thirty fills of one moment, with descending amounts
        for number in range(3):
            amounts = [D(100 - 10 * number - place) for place in range(10)]
            book.write(*(rows.ledger(f"x-{amount}", amount=amount) for amount in amounts))
        async with opens() as adapter:
            await begun(adapter, book)
            await adapter.apply(book.batches())

            # Then they are read in the order in which they were written
            found = await all_of(adapter.read(LedgerRow, Query()))
            assert [row.amount for row in found] == [D(number) for number in range(100, 70, -1)]

    async def test_the_last_moment_and_large_numbers_are_kept(self, opens: Opens, book: Book) -> None:
        # Given times at both ends of what is stored and an amount with 45 digits before the point and 30 behind it
        large = D("9" * 45 + "." + "1" * 30)
        moments = (0, 1, (1 << 63) - 1)
        book.write(*(_equity(large, at_ns) for at_ns in moments), _equity(-large, 2))
        book.write(*(rows.ledger(f"x-{at_ns}", ts_ns=at_ns, realized_pnl=-large) for at_ns in moments))
        async with opens() as adapter:
            await begun(adapter, book)
            await adapter.apply(book.batches())

            assert await content(adapter, "run-1") == held(adapter, book.content())

    async def test_any_text_is_kept(self, opens: Opens, book: Book) -> None:
        # Given texts with quotes, backslashes, U+0000, characters beyond 16 bits, and no text at all
        texts = [
            "",
            "'; DROP TABLE t_ledger; --",
            '"\\u0000 \\',
            "a\0b",
            "코스피 \U0001f4c8",
            "\u2028\x1b[2J",
            "%s {}",
            "=HYPERLINK(1)",
            "+1",
            "-2",
            "@SUM(A1)",
            "'quoted",
            "0012",
            "TRUE",
            " kept ",
        ]
        book.write(
            *(StateRow(number, 3, "BALANCED", "DEFENSIVE", text, text) for number, text in enumerate(texts, 1)),
            *(rows.ledger(f"x-{n}", strategy=text, order_id=text) for n, text in enumerate(texts)),
        )
        async with opens() as adapter:
            await begun(adapter, book)
            await adapter.apply(book.batches())

            # Then they are read as they were, but for U+0000 where a server cannot hold it
            mapped = [text.replace("\0", NUL_ON_A_SERVER) for text in texts]
            allowed = [(text, text) for text in texts], [(text, text) for text in mapped]
            assert [
                (row.strategy, row.order_id) for row in await all_of(adapter.read(LedgerRow, Query()))
            ] in allowed
            if has(adapter, StateRow):
                assert [(row.reason, row.meta) for row in await all_of(adapter.read(StateRow, Query()))] in allowed

    # -- reading -------------------------------------------------------------------------------------------

    async def test_rows_are_chosen_by_run_account_symbol_strategy_and_time(
        self, opens: Opens, makes_book: Callable[..., Book]
    ) -> None:
        # Given fills of two runs and accounts: two symbols, two strategies and three moments in one of them
        ours, theirs = makes_book("run-1", "main"), makes_book("run-2", "second")
        ours.write(
            rows.ledger("x-1", ts_ns=10),
            rows.ledger("x-2", ts_ns=20, symbol="000660"),
            rows.ledger("x-3", ts_ns=30, strategy="rsi"),
        )
        theirs.write(rows.ledger("x-4", ts_ns=20, account="second"))
        async with opens() as adapter:
            for book in (ours, theirs):
                await begun(adapter, book)
                await adapter.apply(book.batches())

            async def found(**where: Any) -> list[str]:
                return [row.execution_id for row in await all_of(adapter.read(LedgerRow, Query(**where)))]

            # Then each choice gives those rows, and together they narrow each other
            assert await found() == ["x-1", "x-2", "x-3", "x-4"]
            assert await found(run_id="run-1") == ["x-1", "x-2", "x-3"]
            assert await found(account="second") == ["x-4"]
            assert await found(symbol="000660") == ["x-2"]
            assert await found(strategy="ema") == ["x-1", "x-2", "x-4"]
            assert await found(since_ns=20, until_ns=30) == ["x-2", "x-4"]
            assert await found(run_id="run-1", since_ns=20) == ["x-2", "x-3"]
            assert await found(account="second", run_id="run-1") == []
            assert await found(symbol="' OR 1=1 --") == []

    async def test_rows_of_two_runs_with_the_same_ids_never_meet(
        self, opens: Opens, makes_book: Callable[..., Book]
    ) -> None:
        # Given two accounts whose runs wrote rows with the same ids, one of them twice as far
        ours, theirs = makes_book("run-1", "main"), makes_book("run-2", "second")
        ours.write(*one_of_each("main"))
        theirs.write(*one_of_each("second"))
        theirs.write(rows.pool(cash="1"), rows.order(state="WORKING"), rows.equity(9))
        async with opens() as adapter:
            for book in (ours, theirs):
                await begun(adapter, book)

            # When their batches arrive mixed
            await adapter.apply(theirs.batches()[:1])
            await adapter.apply(ours.batches())
            await adapter.apply(theirs.batches())

            # Then each run is its local book, and rows of one account are those of its run
            assert await content(adapter, "run-1") == held(adapter, ours.content())
            assert await content(adapter, "run-2") == held(adapter, theirs.content())
            for kind, name in READERS.items():
                if has(adapter, kind):
                    assert await all_of(adapter.read(kind, Query(account="second"))) == theirs.content()[name]

    async def test_batches_of_two_runs_are_not_applied_together(
        self, opens: Opens, makes_book: Callable[..., Book]
    ) -> None:
        one, two = makes_book("run-1"), makes_book("run-2")
        batches = [one.write(rows.equity()), msgspec.structs.replace(two.write(rows.equity()), seq=2)]
        async with opens() as adapter:
            for book in (one, two):
                await begun(adapter, book)
            with pytest.raises(InputError):
                await adapter.apply(batches)
            assert await adapter.applied("run-1") == 0

    async def test_many_rows_come_page_by_page_while_others_are_written(self, opens: Opens, book: Book) -> None:
        # Given more rows than a page holds, of a kind with numbers, of one with keys, and of transfers
        count = 1_100
        book.write(
            *(rows.ledger(f"x-{number}", ts_ns=number) for number in range(count)),
            *(rows.position(f"{number:06}") for number in range(count)),
            *(rows.transfer(f"t-{number}") for number in range(count)),
        )
        async with opens() as adapter, opens() as writer:
            await begun(adapter, book)
            await adapter.apply(book.batches())

            # When one is read, and a row behind all others and a change of one before them are written meanwhile
            found: list[LedgerRow] = []
            async for row in adapter.read(LedgerRow, Query()):
                if len(found) == 10:
                    await writer.apply(
                        [book.write(rows.ledger("x-last", ts_ns=count), rows.position("000000", "7"))]
                    )
                found.append(row)

            # Then none is skipped or given twice
            assert [row.ts_ns for row in found][:count] == list(range(count))
            assert len(found) <= count + 1
            assert await all_of(adapter.read(PositionRow, Query())) == book.content()["positions"]
            if has(adapter, Transfer):
                assert await all_of(adapter.read(Transfer, Query())) == book.content()["transfers"]

    async def test_the_bodies_of_a_run_are_those_of_its_copy(self, opens: Opens, book: Book) -> None:
        # Given a run with every kind of row, its digests among them
        book.write(*one_of_each())
        book.write(rows.ledger("x-2"), rows.order(state="WORKING"))
        async with opens() as adapter:
            await begun(adapter, book)
            await adapter.apply(book.batches())

            # Then what it gives to make a local book of is what the local book gives
            with book.copy() as copy:
                assert _rows(await all_of(adapter.bodies("run-1"))) == _rows(copy.bodies, adapter)

    async def test_a_kind_that_is_not_held_is_refused(self, opens: Opens) -> None:
        async with opens() as adapter:
            for kind in READERS:
                if not has(adapter, kind):
                    # Then the error names what was asked for and what there is
                    with pytest.raises(InputError, match=rf"{BY_RECORD[kind].name}.*t_ledger, positions"):
                        await all_of(adapter.read(kind, Query()))

    # -- who may write -------------------------------------------------------------------------------------

    async def test_a_run_has_one_writer(self, opens: Opens, book: Book) -> None:
        # Given a run that one process has claimed
        batches = [book.write(rows.equity(number)) for number in (1, 2, 3)]
        async with opens() as first:
            await begun(first, book)
            old = await first.claim(book.run, whole_account=False)
            assert old > 0
            assert await first.apply(batches[:1]) == 1  # with no epoch of its own it has that of the claim

            # Then another one cannot, and nor can its batches be applied
            async with opens() as second:
                with pytest.raises(Fenced):
                    await second.claim(book.run, whole_account=False)
                with pytest.raises(Fenced):
                    await second.apply([batches[1]])
            assert await first.apply([epoch(batches[1], old)]) == 2

        # When the first has gone
        async with opens() as second:
            new = await second.claim(book.run, whole_account=False)

            # Then the next one may, and what the first one sends late is refused
            assert new > old
            async with opens() as first:
                with pytest.raises(Fenced):
                    await first.apply([epoch(batches[2], old)])
                with book.copy() as copy, pytest.raises(Fenced):
                    await first.load(copy, old)
            assert await second.apply([epoch(batches[2], new)]) == 3
            assert await content(second, "run-1") == held(second, book.content())

    async def test_a_writer_goes_on_behind_a_store_that_has_forgotten_its_claim(
        self, opens: Opens, book: Book
    ) -> None:
        # Given a store that knows an earlier claim than the newest, as one that was restored from a backup
        batches = [book.write(rows.equity(number)) for number in (1, 2)]
        async with opens() as adapter:
            await begun(adapter, book)
            known = await adapter.claim(book.run, whole_account=False)
            forgotten = known + 1_000

            # When the writer of the newest claim goes on, Then it may
            assert await adapter.apply([epoch(batches[0], forgotten)]) == 1
            # And the one of the earlier claim is refused from then on
            with pytest.raises(Fenced):
                await adapter.apply([epoch(batches[1], known)])
            assert await adapter.applied("run-1") == 1
            with book.copy() as copy:
                assert await adapter.load(copy, forgotten) == 2
            assert await content(adapter, "run-1") == held(adapter, book.content())

    async def test_runs_of_simulated_brokers_are_claimed_beside_each_other(
        self, opens: Opens, makes_book: Callable[..., Book]
    ) -> None:
        one, two = makes_book("run-1"), makes_book("run-2")
        async with opens() as first, opens() as second:
            for book in (one, two):
                await begun(first, book)
            await first.claim(one.run, whole_account=False)
            number = await second.claim(two.run, whole_account=False)
            assert await second.apply([epoch(two.write(rows.equity()), number)]) == 1

    async def test_an_account_with_a_real_broker_has_one_writer(
        self, opens: Opens, makes_book: Callable[..., Book]
    ) -> None:
        # Given a run that claimed its whole account
        earlier, later, others = makes_book("run-1"), makes_book("run-2"), makes_book("run-3", "second")
        async with opens() as first, opens() as second:
            for book in (earlier, later, others):
                await begun(first, book)
            old = await first.claim(earlier.run, whole_account=True)

            # Then another run of the account is kept out, and one of another account is not
            with pytest.raises(Fenced):
                await second.claim(later.run, whole_account=True)
            await second.claim(others.run, whole_account=True)

            # And when it has gone, the later run fences the earlier one
            await first.close()
            await second.claim(later.run, whole_account=True)
            with pytest.raises(Fenced):
                await second.apply([epoch(earlier.write(rows.equity()), old)])

    # -- loading -------------------------------------------------------------------------------------------

    async def test_a_copy_that_lacks_rows_is_added_to_by_the_run_s_own_book(self, opens: Opens, book: Book) -> None:
        # Given a book with two batches, and a copy of it that has its fills alone
        book.write(*one_of_each())
        book.write(rows.ledger("x-2"))
        with book.copy() as copy:
            parts = [rows_of(body) for body in copy.bodies]
        fills = [body_of({"t_ledger": part["t_ledger"]}) for part in parts if "t_ledger" in part]
        async with opens() as adapter:
            for _ in range(2):  # a second time it changes nothing
                # When that copy is loaded
                with book.copy() as copy:
                    lacking = msgspec.structs.replace(copy, bodies=fills, is_whole=False)
                    assert await adapter.load(lacking) == 0

                # Then its rows are there, its batches do not count, and the run is not whole
                assert await adapter.applied("run-1") == 0
                assert (await content(adapter, "run-1"))["ledger"] == book.content()["ledger"]
                with pytest.raises(StateError, match="not whole"):
                    await all_of(adapter.bodies("run-1"))
                found = _rows(await all_of(adapter.bodies("run-1", as_is=True)))
                assert found["t_ledger"] == _rows(fills)["t_ledger"]

            # And when the book of the run gives everything, as a follower does, nothing is lost and nothing doubled
            with book.copy() as copy:
                assert await adapter.load(copy) == 2
            assert await content(adapter, "run-1") == held(adapter, book.content())
            with book.copy() as copy:
                assert _rows(await all_of(adapter.bodies("run-1"))) == _rows(copy.bodies, adapter)
            assert await adapter.altered("run-1") == ()

    async def test_a_copy_that_lacks_rows_is_added_to_by_batches(self, opens: Opens, book: Book) -> None:
        # Given a store that was given the fills of two batches, and not the rest
        book.write(*one_of_each())
        book.write(rows.ledger("x-2"))
        with book.copy() as copy:
            parts = [rows_of(body) for body in copy.bodies]
        fills = [body_of({"t_ledger": part["t_ledger"]}) for part in parts if "t_ledger" in part]
        async with opens() as adapter:
            with book.copy() as copy:
                await adapter.load(msgspec.structs.replace(copy, bodies=fills, is_whole=False))

            # When the batches come from the first on, as from an outbox that still has them
            for batch in [*book.batches(), book.write(rows.ledger("x-3", order_id="o-3"))]:
                assert await adapter.apply([batch]) == batch.seq

            # Then each row is there once
            assert await content(adapter, "run-1") == held(adapter, book.content())
            assert len(await all_of(adapter.bodies("run-1"))) > 0

    async def test_a_copy_is_the_local_book(self, opens: Opens, book: Book) -> None:
        # Given a book with three batches
        book.write(*one_of_each())
        book.write(rows.pool(cash="3"), rows.order(state="WORKING"))
        book.write(rows.ledger("x-2"))
        async with opens() as adapter:
            # When its copy is loaded into a server that does not know it, twice
            for _ in range(2):
                with book.copy() as copy:
                    assert await adapter.load(copy) == 3

            # Then all of it is there, and the next batch is applied
            assert await content(adapter, "run-1") == held(adapter, book.content())
            assert await adapter.runs() == [book.run]
            assert await adapter.configs("run-1") == list(CONFIGS)
            assert await adapter.apply([book.write(rows.equity(9))]) == 4
            assert await content(adapter, "run-1") == held(adapter, book.content())

    async def test_a_copy_that_was_interrupted_is_not_counted(self, opens: Opens, book: Book) -> None:
        # Given a copy that ends behind its k-th part, for each k
        book.write(*one_of_each())
        book.write(rows.pool(cash="3"), rows.order(state="WORKING"))
        with book.copy() as copy:
            parts = list(copy.bodies)
        async with opens() as adapter:
            for count in range(len(parts)):
                with book.copy() as copy, pytest.raises(ConnectionError):
                    await adapter.load(_cut(copy, parts[:count]))
                # Then nothing counts as applied, and no local book is made of what is there
                assert await adapter.applied("run-1") == 0
                with suppress(StateError):
                    assert await all_of(adapter.bodies("run-1")) == []

            # When it is loaded wholly
            with book.copy() as copy:
                assert await adapter.load(copy) == 2

            # Then it ends in the same rows
            assert await content(adapter, "run-1") == held(adapter, book.content())

    async def test_batches_go_on_behind_an_interrupted_copy(self, opens: Opens, book: Book) -> None:
        # Given a copy of three batches whose last part did not arrive
        batches = [
            book.write(*one_of_each()),
            book.write(rows.pool(cash="3"), rows.order(state="WORKING")),
            book.write(rows.pool(cash="4"), rows.ledger("x-2")),
        ]
        async with opens() as adapter:
            with book.copy() as copy, pytest.raises(ConnectionError):
                await adapter.load(_cut(copy, list(copy.bodies)[:-1]))

            # When the batches are sent from the first on instead
            assert await adapter.apply(batches[:1]) == 1
            assert await adapter.apply(batches[1:]) == 3

            # Then it ends in the same rows
            assert await content(adapter, "run-1") == held(adapter, book.content())

    async def test_an_older_copy_makes_less_of_nothing(self, opens: Opens, book: Book) -> None:
        # Given a server that has two batches
        book.write(rows.pool(cash="1"))
        with book.copy() as copy:
            old = msgspec.structs.replace(copy, bodies=list(copy.bodies))
        book.write(rows.pool(cash="2"), rows.equity(5))
        async with opens() as adapter:
            await begun(adapter, book)
            await adapter.apply(book.batches())

            # When a copy of the first one alone arrives
            assert await adapter.load(old) == 2

            # Then nothing is taken back
            assert await content(adapter, "run-1") == held(adapter, book.content())

    async def test_a_server_restored_to_yesterday_is_filled_up(self, opens: Opens, book: Book) -> None:
        # Given a server that has batch 1 of 4, while the local book has let go of batch 2
        batches = [book.write(rows.ledger(f"x-{number}"), rows.pool(cash=str(number))) for number in (1, 2, 3)]
        async with opens() as adapter:
            await begun(adapter, book)
            await adapter.apply(batches[:1])
            with pytest.raises(Gap):
                await adapter.apply(batches[2:])

            # When the copy is loaded and the stream goes on
            with book.copy() as copy:
                assert await adapter.load(copy) == 3
            assert await adapter.apply([book.write(rows.ledger("x-4"))]) == 4

            # Then nothing is missing and nothing is there twice
            assert await content(adapter, "run-1") == held(adapter, book.content())

    def test_any_delivery_ends_in_the_same_rows(self, opens: Opens, makes_book: Callable[..., Book]) -> None:
        """Groups of any size, repeats, lost answers, restarts and copies in between change nothing in the end."""
        numbers = iter(range(1_000_000))

        @settings(max_examples=examples(self.EXAMPLES, whole=200), deadline=None)
        @given(st.data())
        def delivered(data: st.DataObject) -> None:
            # Given a book of up to eight batches
            book = makes_book(f"run-{next(numbers)}")
            _write_some(book, data)
            count = len(book.batches())

            async def deliver() -> None:
                async with opens() as adapter:
                    await begun(adapter, book)
                # When it is delivered in some way, by adapters that come and go
                for _ in range(data.draw(st.integers(1, 4))):
                    async with opens() as adapter:
                        for _ in range(data.draw(st.integers(0, 4))):
                            await _deliver_some(adapter, book, data)
                # And at last from the number on that the server names
                async with opens() as adapter:
                    done = await adapter.applied(book.run.run_id)
                    if done < count:
                        assert await adapter.apply(book.batches()[done:]) == count

                    # Then it has the rows of the book
                    assert await content(adapter, book.run.run_id) == held(adapter, book.content())

            asyncio.run(deliver())

        delivered()

    # -- the results of days -------------------------------------------------------------------------------

    async def test_the_result_of_a_day_is_that_of_its_fills(
        self, opens: Opens, makes_book: Callable[..., Book]
    ) -> None:
        # Given 10 bought at 100 with a fee of 1, 4 of them sold at 110 on the day (fee 2, tax 3) and 6 at 90 a day
        # later (fee 1, tax 2), all of one strategy; and a fill of another account
        fills = [
            _fill("x-1", 100, Side.BUY, "10", "100", fee="1", tax="0", realized="-1", day="2026-01-22"),
            _fill("x-2", 200, Side.SELL, "4", "110", fee="2", tax="3", realized="35", day="2026-01-22"),
            _fill("x-3", 300, Side.SELL, "6", "90", fee="1", tax="2", realized="-63", day="2026-01-23"),
            _fill(
                "x-4",
                300,
                Side.BUY,
                "1",
                "9",
                fee="0.1",
                tax="0",
                realized="-0.1",
                day="2026-01-23",
                strategy="rsi",
            ),
        ]
        ours, theirs = makes_book("run-1", "main"), makes_book("run-2", "second")
        ours.write(*fills[:2])
        ours.write(*fills[2:])
        theirs.write(msgspec.structs.replace(fills[0], account="second"))
        async with opens() as adapter:
            for book in (ours, theirs):
                await begun(adapter, book)
                await adapter.apply(book.batches())

            # Then 4 × (110 - 100) - 1 - 2 - 3 = 34 were realised on the first day, and 6 × (90 - 100) - 1 - 2 = -63
            # on the second
            of_main = [
                DayPnl("main", "run-1", date(2026, 1, 22), "SCALP", "ema", D("34"), D("3"), D("3"), 2),
                DayPnl("main", "run-1", date(2026, 1, 23), "SCALP", "ema", D("-63"), D("1"), D("2"), 1),
                DayPnl("main", "run-1", date(2026, 1, 23), "SCALP", "rsi", D("-0.1"), D("0.1"), D("0"), 1),
            ]
            of_second = [DayPnl("second", "run-2", date(2026, 1, 22), "SCALP", "ema", D("-1"), D("1"), D("0"), 1)]
            assert await adapter.daily_pnl(Query()) == [*of_main, *of_second]
            assert await adapter.daily_pnl(Query(account="second")) == of_second
            assert await adapter.daily_pnl(Query(strategy="rsi")) == of_main[2:]
            assert await adapter.daily_pnl(Query(run_id="run-1", since_ns=300)) == of_main[1:]


def _equity(amount: D, at_ns: int = 1) -> EquityRow:
    return EquityRow(at_ns, amount, D("1"), D("1"), D("1"), D("1"), "BALANCED", "NORMAL")


def _fill(
    execution_id: str, at_ns: int, side: Side, qty: str, price: str, *, strategy: str = "ema", **of: str
) -> LedgerRow:
    amount = D(qty) * D(price)
    money = (D(qty), D(price), amount, D(of["fee"]), D(of["tax"]), D(of["realized"]))
    names = (strategy, Pool.SCALP, "o-1", "main", of["day"])
    return LedgerRow("sim", execution_id, at_ns, "005930", side, *money, *names)


def _rows(bodies: Any, adapter: DataSourceAdapter | None = None) -> dict[str, list[list[Any]]]:
    """The rows of bodies by table, of those that an adapter has; but not batches, which a copy may leave out."""
    found: dict[str, list[list[Any]]] = {}
    for body in bodies:
        for name, part in rows_of(body).items():
            found.setdefault(name, []).extend(part)
    found.pop("batches", None)
    tables = found.keys() if adapter is None else adapter.capabilities.tables
    return {name: part for name, part in found.items() if part and name in tables}


def _cut(copy: RunCopy, parts: Sequence[bytes]) -> RunCopy:
    def bodies() -> Iterator[bytes]:
        yield from parts
        raise ConnectionError("the process was ended here")

    return msgspec.structs.replace(copy, bodies=bodies())


def _write_some(book: Book, data: st.DataObject) -> None:
    """Commit up to eight batches of rows that are appended and rows that change."""
    for number in range(data.draw(st.integers(1, 8))):
        records: list[Record] = []
        if data.draw(st.booleans()):
            records += [rows.ledger(f"x-{number}"), rows.position(qty=str(number))]
        if data.draw(st.booleans()):
            order_id = f"o-{data.draw(st.integers(1, 2))}"
            if not any(isinstance(row, Order) and row.client_order_id == order_id for row in book.store.orders()):
                records.append(rows.decision(order_id))
            records.append(rows.order(order_id, note=str(number)))
        if data.draw(st.booleans()):
            records += [rows.pool(cash=str(number)), rows.transfer(f"t-{number}")]
        book.write(*records, inbox=[f"e-{number}"] if data.draw(st.booleans()) else [])


async def _deliver_some(adapter: DataSourceAdapter, book: Book, data: st.DataObject) -> None:
    """Send a group, perhaps one that was sent or lies behind a gap, or the copy, perhaps cut off."""
    batches = book.batches()
    start = data.draw(st.integers(0, len(batches) - 1))
    end = data.draw(st.integers(start + 1, len(batches)))
    done = await adapter.applied(book.run.run_id)
    match data.draw(st.sampled_from(["group", "copy", "cut copy"])):
        case "group" if start > done:
            with pytest.raises(Gap):
                await adapter.apply(batches[start:end])
        case "group":
            assert await adapter.apply(batches[start:end]) == max(done, end)
        case "copy":
            with book.copy() as copy:
                assert await adapter.load(copy) == len(batches)
        case _:
            with book.copy() as copy:
                parts = list(copy.bodies)
                some = parts[: data.draw(st.integers(0, len(parts)))]
                if done < len(batches):
                    with pytest.raises(ConnectionError):
                        await adapter.load(_cut(copy, some))


def _values_of_each_kind() -> tuple[MarketValue, ...]:
    at = OPENED_AT + 1  # a nanosecond that no microsecond holds
    return (
        Tick("005930", at, D("71200.50"), D("0.00000001"), True),
        Tick("005930", at, D("71200.5"), D("3"), False),
        Quote("005930", at, D("1"), None, D("2"), None, D("3"), None, D("12345678901234")),
        Tick("000660", at, D("1"), D("1")),
        BookUpdate("005930", at + 1, ((D("1"), D("2")), (D("0.5"), D("0"))), ((D("3"), D("4.25")),), True, False),
        BookUpdate("005930", at + 1, (), (), False, True),
        Quote("005930", at + 2, last=D("5"), last_size=D("6")),
        IndexLevel("005930", at + 3, 2650.25, "2026-01-22"),
        VolatilityLevel("005930", at + 999, 18.125, "2026-01-22"),
    )


async def _stored(
    adapter: DataSourceAdapter, symbol: str, start_ns: int, end_ns: int
) -> list[tuple[int, MarketValue]]:
    """The stored values of a symbol with their numbers."""
    found: list[tuple[int, MarketValue]] = []
    async for block in adapter.ticks(symbol, start_ns, end_ns):
        numbers = block.seqs or range(block.seq, block.seq + len(block.values))
        found += [(number, _plain(value)) for number, value in zip(numbers, block.values, strict=True)]
    return found


def _plain(value: MarketValue) -> MarketValue:
    if not isinstance(value, BookUpdate):
        return value
    sides: dict[str, Any] = {"bids": tuple(map(tuple, value.bids)), "asks": tuple(map(tuple, value.asks))}
    return msgspec.structs.replace(value, **sides)


@asynccontextmanager
async def opened(adapter: DataSourceAdapter) -> AsyncIterator[DataSourceAdapter]:
    """Open an adapter for a block; what is closed within it is closed a second time."""
    await adapter.open()
    try:
        yield adapter
    finally:
        await adapter.close()
