"""What the run writes: intents at once, the rest with the next checkpoint, a checkpoint with each fill."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from qts.capital.contracts import Transfer
from qts.db.contracts import Record, Store
from qts.errors import HalfDoneError, QtsError, StateError, StorageError
from qts.event.journal import Journal
from qts.execution.contracts import Order
from qts.ledger.contracts import LedgerRow

_BOOK: frozenset[type] = frozenset({LedgerRow, Order, Transfer})
_MAX_PENDING = 1_000
_UNSAID = HalfDoneError("an effect was begun and not finished; resume the run")
"""Made beforehand: memory may be what is missing."""
_PATIENCE_S = 1.0
"""How long a checkpoint waits for orders that are leaving; then those of them that it contains are in doubt. As
long it lets intents pass while the journal still writes; then they wait behind it."""


class RunRecord:
    """The one writer of the store.

    Rows wait from the moment they are given until the next checkpoint, which carries all of them: what is in memory
    at a checkpoint is also on disk, and no fill is in a row without the checkpoint that knows of it, so no resumed
    session finds another fill under its number. Intents alone go before. Off the loop one transaction runs at a
    time, and who comes meanwhile shares the next one. A checkpoint contains no order that is just leaving
    (:meth:`hold`): a resumed session could not know whether it has left. And it is stored only when the journal
    holds every event that it names: what the store knows, the journal knows.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending: list[Record] = []
        self._intents: list[Record] = []
        self._journal: Journal | None = None
        self._make_checkpoint: Callable[[], bytes] = _not_connected
        self._on_failure: Callable[[], None] = _nobody_listens
        self._on_stored: Callable[[], None] = _nobody_listens
        self._failure: StorageError | None = None
        self._asked = self._asked_now = self._stored = self._stored_checkpoint = 0
        self._wants_checkpoint = False
        self._writer: asyncio.Task[None] | None = None
        self._turn: asyncio.Future[None]
        self._leaving = 0
        self._news = asyncio.Event()
        self.is_off_loop = False
        self.rows_of_the_book = 0
        """Fills, orders and transfers so far, written or about to be: changes when the book did."""

    def connect(
        self,
        make_checkpoint: Callable[[], bytes],
        on_failure: Callable[[], None],
        on_stored: Callable[[], None] | None = None,
        journal: Journal | None = None,
    ) -> None:
        """``on_stored`` is told of every checkpoint that is on disk; ``journal`` holds the events they name."""
        self._make_checkpoint = make_checkpoint
        self._on_failure = on_failure
        self._on_stored = on_stored or _nobody_listens
        self._journal = journal

    @property
    def has_failed(self) -> bool:
        """Whether nothing more is written."""
        return self._failure is not None

    def raise_failure(self) -> None:
        """Raise the StorageError after which nothing was written any more, if there was one."""
        if self._failure is not None:
            raise self._failure

    @contextmanager
    def whole(self, effect: str) -> Iterator[None]:
        """Run a block whose ``effect`` on the book is whole, or the last: nothing is written after half of it.

        Raises HalfDoneError for whatever the block raises, and without running it when nothing is written any more.
        What is no Exception (Ctrl-C) passes as it is. The block must not suspend.
        """
        try:
            self.raise_failure()
            yield
        except Exception as error:  # whatever it was: half an effect stands in memory
            raise self.give_up(effect, error) from error
        except BaseException as error:
            self.give_up(effect, error)
            raise

    def give_up(self, effect: str, error: BaseException) -> HalfDoneError:
        """Write nothing more, because ``effect`` did not come to its end; the error that says so.

        The first failure is the one that is told, also by :meth:`raise_failure`.
        """
        if self._failure is None:
            self._failure = _UNSAID
            self._on_failure()
            self._failure = HalfDoneError(
                f"{effect} did not come to its end ({type(error).__name__}: {error}). Nothing was written after "
                "it: the run stands as it was before, continue it with --resume"
            )
        first = self._failure
        return first if isinstance(first, HalfDoneError) else HalfDoneError(str(first))

    def write_later(self, record: Record) -> None:
        self._pending.append(record)
        self.rows_of_the_book += type(record) in _BOOK

    @property
    def is_full(self) -> bool:
        """Whether so much waits that the kernel should commit at the next quiet moment."""
        return len(self._pending) >= _MAX_PENDING

    @property
    def is_settled(self) -> bool:
        """Whether every row given so far is on disk."""
        return not self._pending and not self._intents and self._writer is None

    @property
    def is_writing(self) -> bool:
        """Whether a transaction is under way beside the loop, or asked for."""
        return self._writer is not None

    @asynccontextmanager
    async def off_loop(self) -> AsyncIterator[None]:
        """Within the block the store works beside the event loop; at its end everything asked for is done."""
        self._store.move_off_loop()
        self.is_off_loop = True
        try:
            yield
        finally:
            if self._writer is not None:
                await asyncio.wait((self._writer,))
            self.is_off_loop = False
            await self._store.move_back()

    def hold(self) -> None:
        """An order leaves: from now until :meth:`let_go` no checkpoint is taken, within reason."""
        self._leaving += 1

    def let_go(self) -> None:
        self._leaving -= 1
        self._news.set()

    async def write_now(self, records: Sequence[Record]) -> None:
        """An order's intent: durable when it returns. It takes nothing along that belongs to a checkpoint."""
        await self._write(records, checkpoint=False)

    async def checkpoint(self, records: Sequence[Record] = ()) -> None:
        """Write ``records``, what waits and a checkpoint that knows of them in one transaction.

        The rows wait behind those given before: an answer that waits is older than the fill that carries it to
        disk.
        """
        await self._write(records, checkpoint=True)

    async def book(self, records: Sequence[Record]) -> None:
        """Rows of an event that has changed the book: written with a checkpoint.

        On the loop durable when it returns. Off the loop nobody waits for the disk, and fills that come close
        together share a transaction: the journal keeps the event until a checkpoint that contains it is stored.
        While the disk hangs no intent gets through, so no more than the open orders can fill.
        """
        if self.is_off_loop:
            self._ask(records, checkpoint=True)
        else:
            await self.checkpoint(records)

    async def _write(self, records: Sequence[Record], *, checkpoint: bool) -> None:
        mine = self._ask(records, checkpoint=checkpoint)
        if not self.is_off_loop:
            await self._commit(checkpoint)
            return
        while (self._stored_checkpoint if checkpoint else self._stored) < mine:
            self.raise_failure()
            # A handler that is cut off must not take the transaction down that others wait for.
            await asyncio.shield(self._turn)
        self.raise_failure()  # durable, but whoever waited may not go on: the session ends

    def _ask(self, records: Sequence[Record], *, checkpoint: bool) -> int:
        """Let the rows wait for the next transaction, and off the loop see to it that there is one; its number."""
        self.raise_failure()
        self._asked += 1
        if checkpoint:
            for record in records:
                self.write_later(record)
            self._wants_checkpoint = True
        else:
            self._intents += records
            self.rows_of_the_book += sum(type(record) in _BOOK for record in records)
            self._asked_now = self._asked
        if self.is_off_loop and self._writer is None:
            loop = asyncio.get_running_loop()
            self._turn = loop.create_future()
            self._writer = loop.create_task(self._write_on(), name="qts-record")
        self._news.set()
        return self._asked

    async def _write_on(self) -> None:
        """One transaction after the other, each for everybody who has asked by then, until nobody has."""
        loop = asyncio.get_running_loop()
        until: float | None = None
        while (self._stored < self._asked_now or self._wants_checkpoint) and self._failure is None:
            self._news.clear()
            checkpoint = self._wants_checkpoint
            if checkpoint and (self._leaving or not self._told_when_journalled()):
                until = until or loop.time() + _PATIENCE_S
                checkpoint = loop.time() >= until
                if not checkpoint and self._stored >= self._asked_now:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._news.wait(), until - loop.time())
                    continue
            until = None if checkpoint else until
            try:
                await self._commit(checkpoint)
            except Exception as error:  # noqa: BLE001 - edge: a strategy's memory, or the machine, may fail in any way
                if self._failure is None:  # else remembered: whoever waits raises it
                    self._fail(StorageError(f"nothing more is written: {type(error).__name__}: {error}"))
            turn, self._turn = self._turn, loop.create_future()
            turn.set_result(None)
        self._turn.set_result(None)  # of those who came meanwhile: none, or they are told that nothing is written
        self._writer = None

    def _told_when_journalled(self) -> bool:
        """Whether the journal holds all that it was given; if not, there is news once it holds what it has now."""
        journal = self._journal
        if journal is None or journal.failure is not None or journal.synced >= journal.next_sequence - 1:
            return True
        loop = asyncio.get_running_loop()
        journal.when_acknowledged(journal.next_sequence - 1, lambda error: _call(loop, self._news.set))
        return False

    async def _commit(self, checkpoint: bool) -> None:
        self.raise_failure()
        try:
            if checkpoint:
                asked, batch, made = await self._checkpoint_that_is_journalled()
            else:
                asked, batch, made = self._asked_now, self._intents, None
                self._intents = []
            await self._store.commit(batch, made)
        except StorageError as error:
            self._fail(error)
            raise
        except BaseException as error:  # rows may be neither waiting nor stored
            failure = StorageError(f"nothing more is written: {type(error).__name__}: {error}")
            self._fail(failure)
            if isinstance(error, QtsError) or not isinstance(error, Exception):
                raise
            raise failure from error
        self._stored = asked
        if made is not None:
            self._stored_checkpoint = asked
            self._on_stored()

    async def _checkpoint_that_is_journalled(self) -> tuple[int, list[Record], bytes]:
        """A checkpoint with all rows up to its moment, once the journal holds every event that it names.

        A journal that fails meanwhile will never hold them: then a new one is made, which says so.
        """
        while True:
            self.raise_failure()  # half an effect may stand in memory by now: no checkpoint is made of that
            asked, made = self._asked, self._make_checkpoint()
            batch = [*self._intents, *self._pending]
            self._intents, self._pending, self._wants_checkpoint = [], [], False
            journal = self._journal
            if journal is None or journal.failure is not None:
                return asked, batch, made
            try:
                if self.is_off_loop:
                    await journal.acknowledged(journal.next_sequence - 1)
                else:
                    journal.wait(journal.next_sequence - 1)
            except StorageError:
                self._pending = [*batch, *self._pending]
            else:
                return asked, batch, made

    def _fail(self, error: StorageError) -> None:
        """From here on memory is ahead of the disk: nothing more is written, so the last checkpoint stays true."""
        if self._failure is None:
            self._failure = error
            self._on_failure()


def _not_connected() -> bytes:
    raise StateError("the record was asked for a checkpoint before it was connected")


def _nobody_listens() -> None:
    """Before the kernel is wired there is nobody to tell."""


def _call(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """From the journal's thread."""
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits there any more
        loop.call_soon_threadsafe(call)
