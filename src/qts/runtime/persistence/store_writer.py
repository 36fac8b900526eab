"""The one writer of a session's store: intents at once, the rest with the next checkpoint, one with each fill."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

from qts.capital.contracts import Transfer
from qts.db.contracts import Record
from qts.db.session import SessionStore
from qts.errors import HalfDoneError, QtsError, StateError, StorageError
from qts.event.journal import Journal
from qts.execution.contracts import Order
from qts.ledger.contracts import LedgerRow
from qts.money import begin_thread
from qts.threads import off_loop, single_thread_executor

_BOOK: frozenset[type] = frozenset({LedgerRow, Order, Transfer})
_MAX_PENDING = 1_000
_UNSAID = HalfDoneError("an effect was begun and not finished; resume the run")
"""Made beforehand: memory may be what is missing."""
_PATIENCE_S = 1.0
"""How long a checkpoint waits for orders that are leaving; then those of them that it contains are in doubt. As
long it lets intents pass while the journal still writes; then they wait behind it."""
_T = TypeVar("_T")


class StoreWriter(Protocol):
    """The one writer of the store.

    What it promises: rows wait from the moment they are given until the next checkpoint, which carries all of them.
    So what is in memory at a checkpoint is also on disk, and no fill is in a row without the checkpoint that knows
    of it: no resumed session finds another fill under its number. Intents alone go before. A checkpoint contains no
    order that is just leaving (:meth:`begin_send`): a resumed session could not know whether it has left. It is
    stored only when the journal holds every event that it names: what the store knows, the journal knows. And after
    half of an effect on the book, or a failed transaction, nothing is written any more: the session ends, and the
    last checkpoint stays true.

    Everything is called on the thread of the session, the event loop's where there is one. What writes raises
    StorageError when it could not be written, and the same error for everything asked for afterwards; a session
    that meets it has to end.
    """

    @property
    def book_revision(self) -> int:
        """Count of fills, orders and transfers so far, written or about to be: it changes when the book does."""
        ...

    def continue_after(self, revision: int) -> None:
        """Set :attr:`book_revision` to what the checkpoint says that a resumed session goes on from."""
        ...

    @property
    def is_concurrent(self) -> bool:
        """Whether a transaction may run while the session goes on: what it reads may be of another moment."""
        ...

    @property
    def is_full(self) -> bool:
        """Whether so much waits that the session should commit at the next quiet moment."""
        ...

    @property
    def is_settled(self) -> bool:
        """Whether every row given so far is on disk."""
        ...

    @property
    def is_writing(self) -> bool:
        """Whether a transaction is under way beside the loop, or asked for."""
        ...

    @property
    def has_failed(self) -> bool:
        """Whether nothing more is written."""
        ...

    def connect(
        self,
        make_checkpoint: Callable[[], bytes],
        on_failure: Callable[[], None],
        on_stored: Callable[[], None] | None = None,
        journal: Journal | None = None,
    ) -> None:
        """Say whose checkpoints are written; to be called once, before anything is written.

        ``make_checkpoint`` is called on the session's thread when one is due and returns what is to be stored.
        ``on_failure`` is called there, once, when nothing more is written. ``on_stored`` is called there for every
        checkpoint that is on disk (None: nobody asks). ``journal`` holds the events that checkpoints name (None:
        the input can be had again). Whatever the three raise counts as a failed transaction.
        """
        ...

    def running(self) -> AbstractAsyncContextManager[None]:
        """Within the block the writer may work beside the running event loop; at its end all asked for is done.

        Outside of it everything is written at once, on the calling thread.
        """
        ...

    def write_later(self, record: Record) -> None:
        """Let a row wait for the next checkpoint. Raises nothing."""
        ...

    def applied(self, event_id: str) -> None:
        """Name a P0 event whose effect is in the rows that wait: the next checkpoint's batch lists it."""
        ...

    async def write_now(self, records: Sequence[Record]) -> None:
        """Write an order's intent: durable when it returns. It takes nothing along that belongs to a checkpoint."""
        ...

    async def checkpoint(self, records: Sequence[Record] = ()) -> None:
        """Write ``records``, what waits and a checkpoint that knows of them in one transaction; durable on return.

        The rows wait behind those given before: an answer that waits is older than the fill that carries it to
        disk.
        """
        ...

    async def book(self, records: Sequence[Record]) -> None:
        """Write rows of an event that has changed the book, with a checkpoint.

        Whoever writes beside the loop returns at once: the journal keeps the event until a checkpoint that contains
        it is stored. While the disk hangs no intent gets through, so no more than the open orders can fill.
        """
        ...

    async def on_store(self, call: Callable[[], _T]) -> _T:
        """Return what ``call`` of a method of the store returns, or raise what it raises.

        It is run between two transactions, in the order of asking and on their thread: the store may not be used
        in any other way while the writer runs.
        """
        ...

    def begin_send(self) -> None:
        """An order leaves: from now until :meth:`end_send` no checkpoint is taken, within reason (a second)."""
        ...

    def end_send(self) -> None:
        """The order's answer is booked, or the order did not leave."""
        ...

    def raise_failure(self) -> None:
        """Raise the StorageError after which nothing was written any more, if there was one."""
        ...

    def whole(self, effect: str) -> AbstractContextManager[None]:
        """Run a block whose ``effect`` on the book is whole, or the last: nothing is written after half of it.

        Raises HalfDoneError for whatever the block raises, and without running it when nothing is written any more.
        What is no Exception (Ctrl-C) passes as it is. The block must not suspend while half of the effect is done.
        """
        ...

    def give_up(self, effect: str, error: BaseException) -> HalfDoneError:
        """Write nothing more, because ``effect`` did not come to its end; return the error that says so.

        The first failure is the one that is told, also by :meth:`raise_failure`.
        """
        ...


class _Batch(NamedTuple):
    """What goes into one transaction; ``asked`` is the newest request that it answers."""

    asked: int
    records: list[Record]
    checkpoint: bytes | None
    inbox: list[str]


class _Waiting:
    """What both writers keep: the rows that wait, who asked, and the failure after which nothing is written."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._pending: list[Record] = []
        self._intents: list[Record] = []
        self._inbox: list[str] = []
        self._journal: Journal | None = None
        self._make_checkpoint: Callable[[], bytes] = _not_connected
        self._on_failure: Callable[[], None] = _nobody_listens
        self._on_stored: Callable[[], None] = _nobody_listens
        self._failure: StorageError | None = None
        self._asked = self._asked_now = self._stored = self._stored_checkpoint = 0
        self._wants_checkpoint = False
        self.book_revision = 0

    def continue_after(self, revision: int) -> None:
        """See :class:`StoreWriter`, here and below."""
        self.book_revision = revision

    def connect(
        self,
        make_checkpoint: Callable[[], bytes],
        on_failure: Callable[[], None],
        on_stored: Callable[[], None] | None = None,
        journal: Journal | None = None,
    ) -> None:
        self._make_checkpoint = make_checkpoint
        self._on_failure = on_failure
        self._on_stored = on_stored or _nobody_listens
        self._journal = journal

    @property
    def is_concurrent(self) -> bool:
        return False

    @property
    def is_writing(self) -> bool:
        return False

    @property
    def has_failed(self) -> bool:
        return self._failure is not None

    def raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    @contextmanager
    def whole(self, effect: str) -> Iterator[None]:
        try:
            self.raise_failure()
            yield
        except Exception as error:  # whatever it was: half an effect stands in memory
            raise self.give_up(effect, error) from error
        except BaseException as error:
            self.give_up(effect, error)
            raise

    def give_up(self, effect: str, error: BaseException) -> HalfDoneError:
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
        self.book_revision += type(record) in _BOOK

    def applied(self, event_id: str) -> None:
        self._inbox.append(event_id)

    @property
    def is_full(self) -> bool:
        return len(self._pending) >= _MAX_PENDING

    @property
    def is_settled(self) -> bool:
        return not self._pending and not self._intents

    def _ask(self, records: Sequence[Record], *, checkpoint: bool) -> int:
        """Let the rows wait for the next transaction; its number."""
        self.raise_failure()
        self._asked += 1
        if checkpoint:
            for record in records:
                self.write_later(record)
            self._wants_checkpoint = True
        else:
            self._intents += records
            self.book_revision += sum(type(record) in _BOOK for record in records)
            self._asked_now = self._asked
        return self._asked

    def _take_intents(self) -> _Batch:
        """The intents that wait, for a transaction of their own."""
        intents, self._intents = self._intents, []
        return _Batch(self._asked_now, intents, None, [])

    def _take_checkpoint(self) -> _Batch:
        """A checkpoint of this moment with all rows that wait."""
        self.raise_failure()  # half an effect may stand in memory by now: no checkpoint is made of that
        asked, made = self._asked, self._make_checkpoint()
        batch = _Batch(asked, [*self._intents, *self._pending], made, self._inbox)
        self._intents, self._pending, self._inbox, self._wants_checkpoint = [], [], [], False
        return batch

    def _put_back(self, batch: _Batch) -> None:
        """Let the rows wait again: a journal that failed will never hold what their checkpoint names."""
        self._pending = [*batch.records, *self._pending]
        self._inbox = [*batch.inbox, *self._inbox]

    def _named_by(self, batch: _Batch) -> tuple[Journal, int] | None:
        """The journal, and the newest event that it has to hold before ``batch`` may be stored; or None."""
        journal = self._journal
        if batch.checkpoint is None or journal is None or journal.failure is not None:
            return None
        return journal, journal.next_sequence - 1

    def _now_stored(self, batch: _Batch) -> None:
        self._stored = batch.asked
        if batch.checkpoint is not None:
            self._stored_checkpoint = batch.asked
            self._on_stored()

    @contextmanager
    def _for_good(self) -> Iterator[None]:
        """Make of whatever the block raises the failure after which nothing is written: rows may be nowhere."""
        self.raise_failure()
        try:
            yield
        except StorageError as error:
            self._fail(error)
            raise
        except BaseException as error:  # whatever it was: rows may be neither waiting nor stored
            failure = StorageError(f"nothing more is written: {type(error).__name__}: {error}")
            self._fail(failure)
            if isinstance(error, QtsError) or not isinstance(error, Exception):
                raise
            raise failure from error

    def _fail(self, error: StorageError) -> None:
        """From here on memory is ahead of the disk: nothing more is written, so the last checkpoint stays true."""
        if self._failure is None:
            self._failure = error
            self._on_failure()

    def _commit(self, *, checkpoint: bool) -> None:
        """One transaction, on this thread."""
        with self._for_good():
            batch = self._take_checkpoint() if checkpoint else self._take_intents()
            while named := self._named_by(batch):
                journal, last = named
                try:
                    journal.wait(last)
                except StorageError:
                    self._put_back(batch)
                    batch = self._take_checkpoint()
                else:
                    break
            self._store.commit(batch.records, batch.checkpoint, batch.inbox)
        self._now_stored(batch)


class InlineWriter(_Waiting):
    """Writes at once, on the calling thread: whatever it was asked for is durable when it returns.

    For the virtual clock, where nothing else goes on meanwhile. None of its coroutines ever suspends.
    """

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Nothing is to be begun or ended."""
        yield

    async def write_now(self, records: Sequence[Record]) -> None:
        self._ask(records, checkpoint=False)
        self._commit(checkpoint=False)

    async def checkpoint(self, records: Sequence[Record] = ()) -> None:
        self._ask(records, checkpoint=True)
        self._commit(checkpoint=True)

    async def book(self, records: Sequence[Record]) -> None:
        await self.checkpoint(records)

    async def on_store(self, call: Callable[[], _T]) -> _T:
        return call()

    def begin_send(self) -> None:
        """No checkpoint can come between."""

    def end_send(self) -> None:
        """No checkpoint can come between."""


class GroupCommitWriter(_Waiting):
    """Writes on a thread of its own while the session goes on; for a session in real time.

    One transaction runs at a time, and whoever comes meanwhile shares the next one. A fill waits for nothing; fills
    that come close together share a transaction. A caller that is cut off while it waits does not take the
    transaction down.
    """

    def __init__(self, store: SessionStore) -> None:
        super().__init__(store)
        self._thread: ThreadPoolExecutor | None = None
        self._writing: asyncio.Task[None] | None = None
        self._turn: asyncio.Future[None]
        self._leaving = 0
        self._news = asyncio.Event()

    @property
    def is_concurrent(self) -> bool:
        return self._thread is not None

    @property
    def is_writing(self) -> bool:
        return self._writing is not None

    @property
    def is_settled(self) -> bool:
        return super().is_settled and self._writing is None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Raises StorageError when the system has no room for the thread."""
        self._thread = single_thread_executor("qts-store", begin_thread)
        try:
            yield
        finally:
            if self._writing is not None:
                await asyncio.wait((self._writing,))
            thread, self._thread = self._thread, None
            await off_loop(thread.shutdown)

    def begin_send(self) -> None:
        self._leaving += 1

    def end_send(self) -> None:
        self._leaving -= 1
        self._news.set()

    async def write_now(self, records: Sequence[Record]) -> None:
        await self._write(records, checkpoint=False)

    async def checkpoint(self, records: Sequence[Record] = ()) -> None:
        await self._write(records, checkpoint=True)

    async def book(self, records: Sequence[Record]) -> None:
        if self._thread is None:
            await self.checkpoint(records)
        else:
            self._ask(records, checkpoint=True)

    async def on_store(self, call: Callable[[], _T]) -> _T:
        if self._thread is None:
            return call()
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _write(self, records: Sequence[Record], *, checkpoint: bool) -> None:
        mine = self._ask(records, checkpoint=checkpoint)
        if self._thread is None:
            self._commit(checkpoint=checkpoint)
            return
        while (self._stored_checkpoint if checkpoint else self._stored) < mine:
            self.raise_failure()
            # A handler that is cut off must not take the transaction down that others wait for.
            await asyncio.shield(self._turn)
        self.raise_failure()  # durable, but whoever waited may not go on: the session ends

    def _ask(self, records: Sequence[Record], *, checkpoint: bool) -> int:
        """Beside the loop see to it, too, that there is a next transaction."""
        mine = super()._ask(records, checkpoint=checkpoint)
        if self._thread is not None and self._writing is None:
            loop = asyncio.get_running_loop()
            self._turn = loop.create_future()
            self._writing = loop.create_task(self._write_on(), name="qts-store-writer")
        self._news.set()
        return mine

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
                await self._commit_beside(checkpoint)
            except Exception as error:  # noqa: BLE001 - edge: a strategy's memory, or the machine, may fail in any way
                if self._failure is None:  # else remembered: whoever waits raises it
                    self._fail(StorageError(f"nothing more is written: {type(error).__name__}: {error}"))
            turn, self._turn = self._turn, loop.create_future()
            turn.set_result(None)
        self._turn.set_result(None)  # of those who came meanwhile: none, or they are told that nothing is written
        self._writing = None

    def _told_when_journalled(self) -> bool:
        """Whether the journal holds all that it was given; if not, there is news once it holds what it has now."""
        journal = self._journal
        if journal is None or journal.failure is not None or journal.synced >= journal.next_sequence - 1:
            return True
        loop = asyncio.get_running_loop()
        journal.when_acknowledged(journal.next_sequence - 1, lambda error: _call(loop, self._news.set))
        return False

    async def _commit_beside(self, checkpoint: bool) -> None:
        """One transaction, on the writer's thread."""
        with self._for_good():
            batch = self._take_checkpoint() if checkpoint else self._take_intents()
            while named := self._named_by(batch):
                journal, last = named
                try:
                    await journal.acknowledged(last)
                except StorageError:
                    self._put_back(batch)
                    batch = self._take_checkpoint()
                else:
                    break
            commit = partial(self._store.commit, batch.records, batch.checkpoint, batch.inbox)
            await self.on_store(commit)
        self._now_stored(batch)


def _not_connected() -> bytes:
    raise StateError("the writer was asked for a checkpoint before it was connected")


def _nobody_listens() -> None:
    """Before the session is wired there is nobody to tell."""


def _call(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """From the journal's thread."""
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits there any more
        loop.call_soon_threadsafe(call)
