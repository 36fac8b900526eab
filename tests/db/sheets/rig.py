"""A spreadsheet, a local book, and a clock that only tests and pauses move."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import pytest

from qts.clock import NS_PER_S, ManualClock
from qts.db.adapter import Query
from qts.db.batch import Batch
from qts.db.contracts import LedgerRow, PositionRow, Record
from qts.db.sheets.access import CREDENTIALS, access_of
from qts.db.sheets.pacing import Pacing, pacing_of
from qts.db.sheets_config import SheetsConfig
from qts.errors import Gap, QtsError, Unavailable
from qts.ids import seeded
from tests.db import rows
from tests.db.books import CONFIGS, FILES, Book
from tests.servers.sheets import Sheets

if TYPE_CHECKING:
    from qts.db.sheets import GoogleSheetsAdapter

_T = TypeVar("_T")
START = datetime(2026, 1, 5, tzinfo=UTC)
LEDGER, POSITIONS = "t_ledger run-1", "positions run-1"
"""The first tabs of the book's run."""


class Rig:
    """A book in ``folder`` and a spreadsheet that is empty; settings of the client by name."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.clock = ManualClock(START)
        self.sheets = Sheets(clock=self.clock)
        self.book = Book(folder / "book.sqlite")
        self.config = SheetsConfig(base_url=self.sheets.base_url, **settings)
        self.key = self.sheets.write_credentials(folder / "key.json")
        self.environ = {CREDENTIALS: str(self.key)}
        self.pacing = self.new_pacing()
        self.waited_s = 0.0
        self.fills = 0

    def new_pacing(self, jitter: int = 1) -> Pacing:
        return pacing_of(self.config, self.clock, seeded(jitter, "test"), self.pause)

    async def pause(self, seconds: float) -> None:
        """Wait on the clock: it is that late at once."""
        self.waited_s += seconds
        self.later(seconds + 1e-6)

    def later(self, seconds: float) -> None:
        """Let so much time go by."""
        self.clock.advance(timedelta(seconds=seconds))

    def adapter(self) -> GoogleSheetsAdapter:
        from qts.db.sheets import GoogleSheetsAdapter

        return GoogleSheetsAdapter(access_of(self.sheets.url, self.environ), self.config, self.pacing)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[GoogleSheetsAdapter]:
        """An adapter that is open."""
        adapter = self.adapter()
        await adapter.open()
        try:
            yield adapter
        finally:
            await adapter.close()

    @asynccontextmanager
    async def writer(self) -> AsyncIterator[Writer]:
        """A writer that has claimed the run and written it down."""
        async with self.opened() as adapter:
            epoch = await adapter.claim(self.book.run, whole_account=False)
            await adapter.put_run(self.book.run, FILES, CONFIGS)
            yield Writer(self, adapter, epoch)

    async def opened_and_claimed(self) -> int:
        """Claim the run by another adapter, which is closed again."""
        async with self.opened() as adapter:
            return await adapter.claim(self.book.run, whole_account=False)

    def trade(self, fills: int = 1, *, together: bool = False) -> None:
        """Let the book have more fills, each a batch that changes a position, or ``together`` all of them."""
        batch: list[Record] = []
        for _ in range(fills):
            self.fills += 1
            symbol = f"{self.fills % 3:06}"
            batch.append(rows.ledger(f"x-{self.fills}", symbol=symbol, ts_ns=self.fills))
            batch.append(rows.position(symbol, qty=str(-self.fills)))
            if not together:
                self.book.store.commit(batch)
                batch = []
        if batch:
            self.book.store.commit(batch)

    async def assert_same(self, adapter: GoogleSheetsAdapter) -> None:
        """Assert that the spreadsheet has the fills and positions of the book, each once, and nothing else."""
        content = self.book.content()
        for kind, name in ((LedgerRow, "ledger"), (PositionRow, "positions")):
            found: list[Any] = [row async for row in adapter.read(kind, Query(run_id="run-1"))]  # type: ignore[type-var]
            assert found == content[name], name
        assert await adapter.applied("run-1") == self.book.store.offered
        assert await adapter.runs() == [self.book.run]
        assert await adapter.strategy_files("run-1") == list(FILES)
        assert await adapter.configs("run-1") == list(CONFIGS)
        assert await adapter.altered("run-1") == ()


class Writer:
    """A writer of the rig's book, which does what a follower does."""

    def __init__(self, rig: Rig, adapter: GoogleSheetsAdapter, epoch: int) -> None:
        self.rig, self.adapter, self.epoch = rig, adapter, epoch

    def batches(self, since: int = 0) -> list[Batch]:
        return [msgspec.structs.replace(batch, epoch=self.epoch) for batch in self.rig.book.batches()[since:]]

    async def send(self) -> int:
        """Send what the spreadsheet lacks: batches, or all of it where it lacks the beginning."""
        try:
            applied = await self.adapter.applied("run-1")
            lacking = self.batches(applied)
            return await self.adapter.apply(lacking) if lacking else applied
        except Gap:
            return await self.load()

    async def load(self) -> int:
        with self.rig.book.copy() as copy:
            return await self.adapter.load(copy, self.epoch)


async def patiently(rig: Rig, call: Callable[[], Awaitable[_T]], *, every_s: float = 5.0, most: int = 500) -> _T:
    """Make a call again and again while it fails, as a follower does."""
    for _ in range(most):
        try:
            return await call()
        except Unavailable:
            rig.later(every_s)
    raise AssertionError("it never came to an end")


async def error_of(call: Awaitable[object]) -> QtsError:
    """The error that a call raises."""
    try:
        await call
    except QtsError as error:
        return error
    raise AssertionError("it raised nothing")


def need_client() -> None:
    """Skip the test where the client of Google Sheets is not installed."""
    pytest.importorskip("google.auth", reason="needs the extra sheets: pip install 'qts-runtime[sheets]'")


@contextmanager
def rig_at(folder: Path, **settings: Any) -> Iterator[Rig]:
    """A rig for a block; skips the test where the client is not installed."""
    need_client()
    rig = Rig(folder, **settings)
    try:
        with rig.sheets:
            yield rig
    finally:
        rig.book.close()


def seconds(rig: Rig) -> list[float]:
    """When the calls came, in s since the first."""
    return [(call.at_ns - rig.sheets.calls[0].at_ns) / NS_PER_S for call in rig.sheets.calls]


def run(coroutine: Any) -> Any:
    """Run a coroutine on a loop of its own."""
    return asyncio.run(coroutine)
