"""The one writer of a session's store, which writes rows and the checkpoint that includes them in one transaction.

In real time an intent is written at once and a fill with a checkpoint of its own. On the virtual clock both wait
for a checkpoint of many records: what a kill takes away is executed again, from input that can be read again.
"""

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
from qts.ledger.contracts import ActionRow, BookingRow, LedgerRow
from qts.money import begin_thread
from qts.threads import off_loop, single_thread_executor

_BOOK: frozenset[type] = frozenset({LedgerRow, ActionRow, BookingRow, Order, Transfer})
_MAX_PENDING = 1_000
_UNFINISHED = HalfDoneError("an effect was begun and not finished; resume the run")
"""Made in advance, because the failure may be a lack of memory."""
_CHECKPOINT_WAIT_S = 1.0
"""How long a checkpoint waits for orders that are being sent; after that the fate of those it contains is unknown.
As long as that it lets intents pass while the journal still writes; after that they wait behind it."""
_T = TypeVar("_T")


class StoreWriter(Protocol):
    """The one writer of the store.

    It guarantees: rows wait until the next checkpoint, which stores all of them in its transaction. So what is in
    memory at a checkpoint is also on disk, and no fill is in a row without the checkpoint that includes it: no
    resumed session finds another fill under its number. Only intents are stored before, and only in real time. A
    checkpoint contains no order that is being sent (:meth:`begin_send`): a resumed session could not know whether
    it was sent. It is stored only when the journal holds every event that it names: the store never knows more
    than the journal. And after a half-done effect on the book, or a failed transaction, nothing is written any
    more: the session ends, and the last checkpoint stays true.

    All methods are called on the session's thread, the event loop's where there is one. A method that writes raises
    StorageError when the write failed, and every later call raises the same error; the session then has to end.
    """

    @property
    def book_revision(self) -> int:
        """Return the number of fills, orders, transfers and bookings so far, stored or waiting.

        It changes with the book.
        """
        ...

    def continue_after(self, revision: int) -> None:
        """Set :attr:`book_revision` to the value in the checkpoint from which a session resumes. Called once."""
        ...

    @property
    def is_concurrent(self) -> bool:
        """Return whether transactions run beside the session, so that the store may be behind the memory."""
        ...

    @property
    def is_settled(self) -> bool:
        """Return whether every row given so far is on disk."""
        ...

    @property
    def is_book_stored(self) -> bool:
        """Return whether a checkpoint on disk has every row that :attr:`book_revision` counts; others may wait."""
        ...

    @property
    def is_writing(self) -> bool:
        """Return whether a transaction runs or is requested beside the loop."""
        ...

    @property
    def has_failed(self) -> bool:
        """Return whether a write has failed, so that nothing more is written."""
        ...

    def connect(
        self,
        make_checkpoint: Callable[[], bytes],
        on_failure: Callable[[], None],
        on_stored: Callable[[], None] | None = None,
        journal: Journal | None = None,
        on_full: Callable[[], None] | None = None,
        take_rows: Callable[[], Sequence[Record]] | None = None,
        on_committed: Callable[[Sequence[Record]], None] | None = None,
    ) -> None:
        """Connect the writer with the session; called once, before the first write.

        ``make_checkpoint`` is called on the session's thread when one is due and returns the bytes to store.
        ``on_failure`` is called there, once, when a write has failed. ``on_stored`` is called there for every
        checkpoint that is on disk (None: no call). ``journal`` holds the events that checkpoints name (None: the
        input can be read again). ``on_full`` is called there for every row from the 1,000th that waits (None: no
        call), inside a handler: the session has to begin a checkpoint when that handler has ended. ``take_rows`` is
        called there right before ``make_checkpoint`` and returns rows that are written with that checkpoint alone
        (None: no call). ``on_committed`` is called there with the rows of every transaction that is on disk (None:
        no call), before ``on_stored``, and raises nothing. An exception from ``make_checkpoint``, ``take_rows``,
        ``on_failure`` or ``on_stored`` counts as a failed transaction; ``on_full`` raises none.
        """
        ...

    def running(self) -> AbstractAsyncContextManager[None]:
        """Let the writer work beside the running event loop within the block; at its end all requests are done.

        Outside of the block everything is written at once, on the calling thread.
        """
        ...

    def write_later(self, record: Record) -> None:
        """Queue a row for the next checkpoint. Raises nothing."""
        ...

    def applied(self, event_id: str) -> None:
        """Record that the effect of a P0 event is in the waiting rows: the next checkpoint's batch lists it."""
        ...

    async def write_intent(self, records: Sequence[Record]) -> None:
        """Write an order's intent, which on return is safe enough for the order to be sent.

        In real time it is durable then, written without the rows that wait for a checkpoint, or with them and a
        checkpoint where followers have to be shown the intent of a simulated broker. On the virtual clock
        it waits with them: the venue is simulated and is taken back to the checkpoint like everything else.
        """
        ...

    async def checkpoint(self, records: Sequence[Record] = ()) -> None:
        """Write the waiting rows, ``records`` and a checkpoint that includes them; durable on return.

        Rows keep their order: an answer that waits is older than the fill that takes it to disk.
        """
        ...

    async def book(self, records: Sequence[Record]) -> None:
        """Write the rows of an event that has changed the book: in real time with a checkpoint, else with the next.

        A writer beside the loop returns at once: the journal keeps the event until a checkpoint that contains it is
        stored. While the disk hangs no intent is stored, so no more than the open orders can fill.
        """
        ...

    async def begin_checkpoint(self) -> None:
        """Write the waiting rows with a checkpoint; a writer beside the loop only requests that and returns.

        Called between two handlers.
        """
        ...

    async def on_store(self, call: Callable[[], _T]) -> _T:
        """Run ``call`` on the store and return its result, or raise what it raises.

        It runs between two transactions, in the order of the calls and on their thread: while the writer runs the
        store may not be used in any other way.
        """
        ...

    def begin_send(self) -> None:
        """Hold back checkpoints, for at most a second, until :meth:`end_send`: an order is being sent."""
        ...

    def end_send(self) -> None:
        """Release the checkpoints held by :meth:`begin_send`: the answer is booked, or the order was not sent."""
        ...

    def raise_failure(self) -> None:
        """Raise the StorageError of the failed write, if there was one."""
        ...

    def whole(self, effect: str) -> AbstractContextManager[None]:
        """Run a block whose ``effect`` on the book must be whole: if it fails, nothing more is written.

        Raises HalfDoneError for any Exception of the block, and without running it after a failed write. What is no
        Exception (Ctrl-C) passes as it is. The block must not suspend while half of the effect is done.
        """
        ...

    def give_up(self, effect: str, error: BaseException) -> HalfDoneError:
        """Stop all writing, because ``effect`` was not completed; return the error that says so.

        The first failure is the one reported, also by :meth:`raise_failure`.
        """
        ...


class _Batch(NamedTuple):
    """The contents of one transaction; ``request`` is the newest request that it completes.

    ``book`` is the revision of the book that a checkpoint was made at.
    """

    request: int
    records: list[Record]
    checkpoint: bytes | None
    inbox: list[str]
    book: int


class _PendingRows:
    """State that both writers keep: waiting rows, open requests, and the failure after which nothing is written."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store
        self._pending: list[Record] = []
        self._intents: list[Record] = []
        self._inbox: list[str] = []
        self._journal: Journal | None = None
        self._make_checkpoint: Callable[[], bytes] = _not_connected
        self._on_failure: Callable[[], None] = _ignore
        self._on_stored: Callable[[], None] = _ignore
        self._on_full: Callable[[], None] = _ignore
        self._on_committed: Callable[[Sequence[Record]], None] = _ignore_rows
        self._take_rows: Callable[[], Sequence[Record]] = tuple
        self._failure: StorageError | None = None
        self._requests = self._intent_requests = self._stored = self._stored_checkpoint = 0
        self._checkpoint_requested = False
        self.book_revision = self._stored_book = 0

    def continue_after(self, revision: int) -> None:
        """Implement :class:`StoreWriter`, here and below."""
        self.book_revision = self._stored_book = revision

    def connect(
        self,
        make_checkpoint: Callable[[], bytes],
        on_failure: Callable[[], None],
        on_stored: Callable[[], None] | None = None,
        journal: Journal | None = None,
        on_full: Callable[[], None] | None = None,
        take_rows: Callable[[], Sequence[Record]] | None = None,
        on_committed: Callable[[Sequence[Record]], None] | None = None,
    ) -> None:
        self._on_committed = on_committed or _ignore_rows
        self._make_checkpoint = make_checkpoint
        self._on_failure = on_failure
        self._on_stored = on_stored or _ignore
        self._journal = journal
        self._on_full = on_full or _ignore
        self._take_rows = take_rows or tuple

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
        except Exception as error:  # of any kind: memory holds a half-done effect
            raise self.give_up(effect, error) from error
        except BaseException as error:
            self.give_up(effect, error)
            raise

    def give_up(self, effect: str, error: BaseException) -> HalfDoneError:
        if self._failure is None:
            self._failure = _UNFINISHED
            self._on_failure()
            self._failure = HalfDoneError(
                f"{effect} did not come to its end ({type(error).__name__}: {error}). Nothing was written after "
                "it: the store is as it was before, continue the run with --resume"
            )
        first = self._failure
        return first if isinstance(first, HalfDoneError) else HalfDoneError(str(first))

    def write_later(self, record: Record) -> None:
        self._pending.append(record)
        self.book_revision += type(record) in _BOOK
        if len(self._pending) >= _MAX_PENDING:
            self._on_full()

    def applied(self, event_id: str) -> None:
        self._inbox.append(event_id)
        if len(self._inbox) >= _MAX_PENDING:
            self._on_full()

    @property
    def is_settled(self) -> bool:
        return not self._pending and not self._intents

    @property
    def is_book_stored(self) -> bool:
        return self._stored_book == self.book_revision

    def _request(self, records: Sequence[Record], *, checkpoint: bool) -> int:
        """Queue the rows for the next transaction; return the number of this request."""
        self.raise_failure()
        self._requests += 1
        if checkpoint:
            for record in records:
                self.write_later(record)
            self._checkpoint_requested = True
        else:
            self._intents += records
            self.book_revision += sum(type(record) in _BOOK for record in records)
            self._intent_requests = self._requests
        return self._requests

    def _take_intents(self) -> _Batch:
        """Return the waiting intents, for a transaction of their own."""
        intents, self._intents = self._intents, []
        return _Batch(self._intent_requests, intents, None, [], self._stored_book)

    def _take_checkpoint(self) -> _Batch:
        """Make a checkpoint of this moment; return it with all waiting rows."""
        self.raise_failure()  # no checkpoint is made of a half-done effect
        request, rows, made = self._requests, self._take_rows(), self._make_checkpoint()
        batch = _Batch(request, [*self._intents, *self._pending, *rows], made, self._inbox, self.book_revision)
        self._intents, self._pending, self._inbox, self._checkpoint_requested = [], [], [], False
        return batch

    def _put_back(self, batch: _Batch) -> None:
        """Queue the rows again: a journal that failed will never hold the events that their checkpoint names."""
        self._pending = [*batch.records, *self._pending]
        self._inbox = [*batch.inbox, *self._inbox]

    def _named_by(self, batch: _Batch) -> tuple[Journal, int] | None:
        """Return the journal and the newest event it has to hold before ``batch`` is stored; None: no wait."""
        journal = self._journal
        if batch.checkpoint is None or journal is None or journal.failure is not None:
            return None
        return journal, journal.next_sequence - 1

    def _on_batch_stored(self, batch: _Batch) -> None:
        self._stored = batch.request
        if batch.checkpoint is not None:
            self._stored_checkpoint, self._stored_book = batch.request, batch.book
        self._on_committed(batch.records)
        if batch.checkpoint is not None:
            self._on_stored()

    @contextmanager
    def _failing_for_good(self) -> Iterator[None]:
        """Turn any exception of the block into the failure after which nothing is written: rows may be lost."""
        self.raise_failure()
        try:
            yield
        except StorageError as error:
            self._fail(error)
            raise
        except BaseException as error:  # of any kind: rows may be neither waiting nor stored
            failure = StorageError(f"nothing more is written: {type(error).__name__}: {error}")
            self._fail(failure)
            if isinstance(error, QtsError) or not isinstance(error, Exception):
                raise
            raise failure from error

    def _fail(self, error: StorageError) -> None:
        """Keep the first failure: memory is ahead of the disk now, so nothing more may be written."""
        if self._failure is None:
            self._failure = error
            self._on_failure()

    def _commit(self, *, checkpoint: bool) -> None:
        """Commit one transaction on this thread."""
        with self._failing_for_good():
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
        self._on_batch_stored(batch)


class InlineWriter(_PendingRows):
    """Writes on the calling thread, many records in one transaction; for the virtual clock.

    Intents and fills wait like all other rows, and nothing is written without a checkpoint. Nothing runs beside it,
    and none of its coroutines ever suspends.
    """

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Do nothing: there is no thread to start or stop."""
        yield

    async def write_intent(self, records: Sequence[Record]) -> None:
        await self.book(records)

    async def checkpoint(self, records: Sequence[Record] = ()) -> None:
        self._request(records, checkpoint=True)
        self._commit(checkpoint=True)

    async def book(self, records: Sequence[Record]) -> None:
        self.raise_failure()
        for record in records:
            self.write_later(record)

    async def begin_checkpoint(self) -> None:
        await self.checkpoint()

    async def on_store(self, call: Callable[[], _T]) -> _T:
        return call()

    def begin_send(self) -> None:
        """Do nothing: no checkpoint is made within a handler, so none can come between."""

    def end_send(self) -> None:
        """Do nothing: no checkpoint is made within a handler, so none can come between."""


class GroupCommitWriter(_PendingRows):
    """Writes on a thread of its own beside the session; for real time.

    One transaction runs at a time; requests that come meanwhile share the next one. A fill waits for nothing; fills
    that come close together share a transaction. Cancelling a caller that waits does not cancel the transaction.
    ``offers_intents``: an intent is written with a checkpoint, because followers are shown no more than that.
    """

    def __init__(self, store: SessionStore, *, offers_intents: bool = False) -> None:
        super().__init__(store)
        self._offers_intents = offers_intents
        self._thread: ThreadPoolExecutor | None = None
        self._writing: asyncio.Task[None] | None = None
        self._turn: asyncio.Future[None]
        self._sending = 0
        self._wake = asyncio.Event()

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
        """Start and stop the writer's thread. Raises StorageError when the system cannot start one."""
        self._thread = single_thread_executor("qts-store", begin_thread)
        try:
            yield
        finally:
            if self._writing is not None:
                await asyncio.wait((self._writing,))
            thread, self._thread = self._thread, None
            await off_loop(thread.shutdown)

    def begin_send(self) -> None:
        self._sending += 1

    def end_send(self) -> None:
        self._sending -= 1
        self._wake.set()

    async def write_intent(self, records: Sequence[Record]) -> None:
        await self._write(records, checkpoint=self._offers_intents)

    async def checkpoint(self, records: Sequence[Record] = ()) -> None:
        await self._write(records, checkpoint=True)

    async def book(self, records: Sequence[Record]) -> None:
        if self._thread is None:
            await self.checkpoint(records)
        else:
            self._request(records, checkpoint=True)

    async def begin_checkpoint(self) -> None:
        await self.book(())

    async def on_store(self, call: Callable[[], _T]) -> _T:
        if self._thread is None:
            return call()
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _write(self, records: Sequence[Record], *, checkpoint: bool) -> None:
        mine = self._request(records, checkpoint=checkpoint)
        if self._thread is None:
            self._commit(checkpoint=checkpoint)
            return
        while (self._stored_checkpoint if checkpoint else self._stored) < mine:
            self.raise_failure()
            # Cancelling a handler must not cancel the transaction that others wait for.
            await asyncio.shield(self._turn)
        self.raise_failure()  # durable, but the caller may not go on: the session ends

    def _request(self, records: Sequence[Record], *, checkpoint: bool) -> int:
        """Queue the rows, and start the writing task when none runs."""
        mine = super()._request(records, checkpoint=checkpoint)
        if self._thread is not None and self._writing is None:
            loop = asyncio.get_running_loop()
            self._turn = loop.create_future()
            self._writing = loop.create_task(self._write_on(), name="qts-store-writer")
        self._wake.set()
        return mine

    async def _write_on(self) -> None:
        """Commit one transaction after the other, each for all requests so far, until none is open."""
        loop = asyncio.get_running_loop()
        until: float | None = None
        while (self._stored < self._intent_requests or self._checkpoint_requested) and self._failure is None:
            self._wake.clear()
            checkpoint = self._checkpoint_requested
            if checkpoint and (self._sending or not self._is_journalled()):
                until = until or loop.time() + _CHECKPOINT_WAIT_S
                checkpoint = loop.time() >= until
                if not checkpoint and self._stored >= self._intent_requests:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), until - loop.time())
                    continue
            until = None if checkpoint else until
            try:
                await self._commit_beside(checkpoint)
            except Exception as error:  # noqa: BLE001 - edge: a strategy's memory, or the machine, may fail in any way
                if self._failure is None:  # else kept: those who wait raise it
                    self._fail(StorageError(f"nothing more is written: {type(error).__name__}: {error}"))
            turn, self._turn = self._turn, loop.create_future()
            turn.set_result(None)
        self._turn.set_result(None)  # for requests that came meanwhile: none, or all fail
        self._writing = None

    def _is_journalled(self) -> bool:
        """Return whether the journal holds all it was given; if not, wake the writer once it does."""
        journal = self._journal
        if journal is None or journal.failure is not None or journal.synced >= journal.next_sequence - 1:
            return True
        loop = asyncio.get_running_loop()
        journal.when_acknowledged(journal.next_sequence - 1, lambda error: _call_on(loop, self._wake.set))
        return False

    async def _commit_beside(self, checkpoint: bool) -> None:
        """Commit one transaction on the writer's thread."""
        with self._failing_for_good():
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
        self._on_batch_stored(batch)


def _not_connected() -> bytes:
    raise StateError("the writer was asked for a checkpoint before it was connected")


def _ignore() -> None:
    """Do nothing: stands in for callbacks that were not given."""


def _ignore_rows(records: Sequence[Record]) -> None:
    """Do nothing: stands in for a callback that was not given."""


def _call_on(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """Make ``call`` on the loop's thread; called on the journal's."""
    with contextlib.suppress(RuntimeError):  # the loop is closed: the session has ended
        loop.call_soon_threadsafe(call)
