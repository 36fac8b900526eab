"""Sends a server what the local book has committed: one thread with an event loop of its own, batch after batch.

Nothing of a session waits for it, unless it asks (:meth:`Follower.until`). A server that is away is tried again for
as long as the session lasts; what it lacks waits in the outbox of the local book.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import AbstractContextManager, suppress
from enum import Enum
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from qts.clock import NS_PER_S, Clock
from qts.db.adapter import DataSourceAdapter, RunCopy
from qts.db.ages import Ages
from qts.db.batch import Batch
from qts.db.contracts import RunRow
from qts.db.lives import other_life
from qts.db.resolving_loop import ResolvingLoop
from qts.errors import (
    BatchRefused,
    Fenced,
    Gap,
    MissingExtraError,
    QtsError,
    StateError,
    StorageError,
    Unavailable,
)
from qts.money import begin_thread
from qts.threads import start_thread

OpenAdapter: TypeAlias = Callable[[], Awaitable[DataSourceAdapter]]
"""Makes the adapter of a server, not yet opened; called on the follower's thread, which imports the client then."""


_MOST_BATCHES: Final = 1_000
_MOST_BYTES: Final = 1 << 20
GATHER_S: Final = 0.05
"""How long a batch waits for others that go with it."""
_CLAIM_TRIES: Final = 5
_CLAIM_PAUSE_S: Final = 0.1
_SLOW_S: Final = 0.5
"""A call for batches that takes longer is counted as slow."""
IDLE_S: Final = 5.0
"""How long a server is not asked anything: then it is asked whether it is there."""
PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Pauses before a server that is away is tried again; the last one repeats."""


class FollowerState(str, Enum):
    """The state of a follower.

    CONNECTING: it opens the server, or gives it what it lacks from before. FOLLOWING: the server takes batches.
    AWAY: it does not answer, and is tried again. REFUSED: it answers, and cannot take the run's batches; the reason
    says why.
    """

    CONNECTING = "CONNECTING"
    FOLLOWING = "FOLLOWING"
    AWAY = "AWAY"
    REFUSED = "REFUSED"


class FollowerStatus(msgspec.Struct, frozen=True):
    """The progress of a follower: ``applied`` batches of the ``newest`` that it may be sent.

    ``server``: its name and version, "" until it was open. ``reason``: why it is AWAY or REFUSED, else "".
    ``lag_s``: how long the oldest batch that it lacks has waited for it in this session, in s. ``waiting_bytes``:
    the size of the outbox, 0 when the server lacks nothing. ``notes``: what a person has to be told of the server
    once, in sentences. ``slow``: how often it took longer than half a second to take batches. ``is_known``: the
    server was asked what it has; before that ``applied`` says nothing. ``altered``: the rows that the last
    look found not to be as they were sent, in sentences.
    """

    name: str
    server: str
    state: FollowerState
    reason: str
    applied: int
    newest: int
    lag_s: float
    waiting_bytes: int
    notes: tuple[str, ...] = ()
    slow: int = 0
    is_known: bool = True
    altered: tuple[str, ...] = ()

    @property
    def lag_batches(self) -> int:
        """Return how many batches the server lacks."""
        return max(self.newest - self.applied, 0)


class FollowedStore(Protocol):
    """The part of a store that a follower needs; see :class:`~qts.db.session.SessionStore`."""

    @property
    def offered(self) -> int:
        """Return the number of the newest batch that may be sent."""
        ...

    @property
    def outbox_bytes(self) -> int:
        """Return the bytes that wait."""
        ...

    def pending(self, follower: str, most: int, most_bytes: int = 1 << 20) -> Sequence[Batch]:
        """Return the next batches."""
        ...

    def done(self, follower: str, seq: int) -> None:
        """Note what the server has."""
        ...

    def copy(self) -> AbstractContextManager[RunCopy]:
        """Return everything of the run."""
        ...


class Follower:
    """A follower of ``run`` on the server that ``open_adapter`` makes; ``name`` is its name in the outbox.

    In this order: :meth:`connect`, then :meth:`start` with a store that keeps batches for ``name``
    (:meth:`~qts.db.session.SessionStore.follow`), then any others, and :meth:`stop` before the store is closed.
    They are for the session's thread. ``whole_account``: the run's broker is real, so the server keeps every other
    process away from its account. ``repeats``: begun again, the run does the same again, as a replay does.
    ``clock`` is the machine's: a lag is real time. ``pauses_s`` are the pauses before a server that is away is
    tried again, of which the last repeats; ``idle_s``: a server that was sent nothing for so long is asked whether
    it is there. ``gather_s``: how long a batch waits for others that go with it. ``is_needed`` False: the session
    goes on whatever is wrong with the server, which is tried again. Every ``check_s`` seconds of ``clock``
    the server is asked what someone changed there; 0: never.
    """

    def __init__(
        self,
        name: str,
        run: RunRow,
        open_adapter: OpenAdapter,
        clock: Clock,
        *,
        whole_account: bool = False,
        repeats: bool = False,
        pauses_s: Sequence[float] = PAUSES_S,
        idle_s: float = IDLE_S,
        gather_s: float = GATHER_S,
        is_needed: bool = True,
        check_s: float = 0,
    ) -> None:
        self.name = name
        self._run, self._open_adapter, self._clock = run, open_adapter, clock
        self._repeats = repeats
        self._whole_account, self._pauses_s, self._idle_s = whole_account, pauses_s, idle_s
        self._gather_s, self._is_needed = gather_s, is_needed
        self._check_ns, self._is_checked = round(check_s * NS_PER_S), False
        self._check_due_ns = 0
        self._altered: tuple[str, ...] = ()
        self._adapter: DataSourceAdapter | None = None
        self._store: FollowedStore | None = None
        self._state, self._reason, self._server = FollowerState.CONNECTING, "", ""
        self._notes: tuple[str, ...] = ()
        self._applied = self._epoch = self._slow = 0
        self._has_claim = self._is_claimed = self._is_run_changed = self._woken = self._is_over = False
        self._is_known = False
        self._lock = threading.Lock()
        self._waiters: dict[Future[int], int] = {}
        self._ages = Ages()
        self._first: Future[int] = Future()
        self._ended: Future[None] = Future()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._event, self._hurry, self._stop = asyncio.Event(), asyncio.Event(), asyncio.Event()

    # -- the session's thread ----------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start the thread, which opens the server and claims the run. Raises StorageError when none can be."""
        self._thread = start_thread(self._work, f"qts-follow-{self.name}")

    def connect(self, wait_s: float | None = None) -> int | None:
        """Wait until the server is open; return the newest batch it has, None while away or after ``wait_s``.

        It takes no longer than the adapter's deadlines. Raises MissingExtraError without the server's client, and
        for a server that is needed InputError when it, its database or schema cannot be used, StateError while
        another process writes the run there, and StorageError; the thread has ended then.
        """
        if self._thread is None:
            self.begin()
        try:
            return self._first.result(wait_s)
        except (Unavailable, TimeoutError):
            return None
        except QtsError as error:
            if not self._is_needed and not isinstance(error, MissingExtraError):
                return None
            self.stop()
            if isinstance(error, Fenced):
                raise StateError(str(error)) from error
            raise
        except BaseException:
            self.stop()
            raise

    def start(self, store: FollowedStore) -> None:
        """Begin to send what ``store`` offers."""
        self._store = store
        self.wake()

    def wake(self) -> None:
        """Make it look for new batches; called after each commit that offers some. Never waits and never raises."""
        store = self._store
        if store is not None:
            self._ages.note(store.offered, self._clock.monotonic_ns())
            if not self._woken:
                self._woken = True
                self._call(self._event.set)

    def run_changed(self) -> None:
        """Send the run, its configurations and its result again: they have changed."""
        self._is_run_changed = True
        self._call(self._event.set)

    def until(self, seq: int) -> Future[int]:
        """Return a future of the number of applied batches, done once it is ``seq`` or more.

        It raises Unavailable, at once or later, when the server is away or refuses: no one waits for such a one.
        Cancel it to give up.
        """
        future: Future[int] = Future()
        with self._lock:
            applied, is_following, why = self._applied, self.is_following, self._reason
            if is_following and applied < seq:
                self._waiters[future] = seq
        if applied >= seq:
            future.set_result(applied)
        elif is_following:
            future.add_done_callback(self._forget)
            self._call(self._hurry.set)
        else:
            future.set_exception(Unavailable(why or "the server is not open yet"))
        return future

    @property
    def is_following(self) -> bool:
        """Return whether the server takes batches, as far as is known; on any thread."""
        return self._state is FollowerState.FOLLOWING

    @property
    def status(self) -> FollowerStatus:
        """Return how far it is; on any thread, reads no disk."""
        store, applied = self._store, self._applied
        return FollowerStatus(
            name=self.name,
            server=self._server,
            state=self._state,
            reason=self._reason,
            applied=applied,
            newest=applied if store is None else store.offered,
            lag_s=self._ages.oldest_ns(self._clock.monotonic_ns()) / NS_PER_S,
            waiting_bytes=0 if store is None or applied >= store.offered else store.outbox_bytes,
            notes=self._notes,
            slow=self._slow,
            is_known=self._is_known,
            altered=self._altered,
        )

    def begin_stop(self) -> Future[None]:
        """Ask it to end once the server has everything, at once when it is away or refuses; done when it has."""
        self._call(self._begin_to_end)
        return self._ended

    def stop(self) -> None:
        """End the thread now, in the middle of what it does; may be called twice, and never raises."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._call(self._cancel)
            thread.join()

    def _forget(self, future: Future[int]) -> None:
        with self._lock:
            self._waiters.pop(future, None)

    def _call(self, call: Callable[[], object]) -> None:
        """Make ``call`` on the follower's thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # its loop is closed: it has ended
                self._loop.call_soon_threadsafe(call)

    # -- its own thread ----------------------------------------------------------------------------------------

    def _work(self) -> None:
        begin_thread()
        try:
            with asyncio.Runner(loop_factory=ResolvingLoop) as runner:
                runner.run(self._main())
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # noqa: BLE001 - the edge of the thread: it is shown, and the session goes on
            why = f"the follower has ended by {type(error).__name__}: {error}"
            self._set(FollowerState.REFUSED, why)
            _fail(self._first, StorageError(why))
        finally:
            _fail(self._first, Unavailable("the follower has ended"))
            self._fail_waiters()
            self._ended.set_result(None)

    async def _main(self) -> None:
        self._task, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        try:
            await self._follow()
        finally:
            await self._close()

    async def _follow(self) -> None:
        """Open the server and send batches, again and again, until it is asked to end or it would be of no use."""
        tries = 0
        while True:
            before = self._applied
            try:
                await self._open()
                await self._send()
                return
            except (QtsError, OSError) as error:
                is_away = isinstance(error, Unavailable | OSError)
                is_first = not self._first.done()
                _fail(self._first, Unavailable(str(error)) if is_away else error)
                self._set(FollowerState.AWAY if is_away else FollowerState.REFUSED, str(error))
                if not is_away and ((is_first and self._is_needed) or self._is_final(error)):
                    return
                # A claim is continued, over a lost connection that the server may still hold for alive and behind
                # any error: made again, it would take the run away from a process that took over meanwhile and has
                # ended. What was not claimed yet is begun from the start.
                if not self._has_claim:
                    await self._close()
                self._is_claimed = False
            tries = 0 if self._applied > before else tries
            pause_s = self._pauses_s[min(tries, len(self._pauses_s) - 1)]
            tries += 1
            if await _within(self._stop.wait(), pause_s):
                return

    def _is_final(self, error: BaseException) -> bool:
        """Return whether it would be the same again: a row that is refused, or another process that took over.

        A server that has not noticed yet that our last connection is gone refuses to be claimed for a while.
        """
        return isinstance(error, BatchRefused) or (isinstance(error, Fenced) and self._is_claimed)

    async def _open(self) -> None:
        """Open the server, claim the run, and bring the server to where the outbox can go on."""
        adapter = self._adapter
        if adapter is None:
            adapter = self._adapter = await self._open_adapter()
            await adapter.open()
            self._server, self._notes = adapter.capabilities.server, tuple(adapter.warnings)
            self._epoch = await self._claimed(adapter)
            self._has_claim = True
        applied = await adapter.applied(self._run.run_id)
        self._is_claimed = self._is_known = True
        if not self._first.done():
            self._applied = applied
            self._first.set_result(applied)
        while self._store is None:
            if self._stop.is_set():
                return
            self._clear()
            await self._event.wait()
        if not self._repeats:
            await self._require_same_life(adapter, self._store)
        await self._put_run(adapter, self._store)
        await self._settle(adapter, self._store, applied)

    async def _require_same_life(self, adapter: DataSourceAdapter, store: FollowedStore) -> None:
        """Raise BatchRefused when the server has another life of the run, which has done other things."""
        with store.copy() as copy:
            ours = copy.run
        if (theirs := await other_life(adapter, ours)) is not None:
            raise BatchRefused(
                f"the server has run {ours.run_id} as it was begun at {theirs.started_at}, and this one was begun "
                f"at {ours.started_at}: a session in real time does not do the same again; begin it with "
                "--seed N or other settings"
            )

    async def _claimed(self, adapter: DataSourceAdapter) -> int:
        """Take the run over and return the epoch; of a process that just died the server lets go in a moment."""
        for _ in range(_CLAIM_TRIES):
            try:
                return await adapter.claim(self._run, whole_account=self._whole_account)
            except Fenced:
                if await _within(self._stop.wait(), _CLAIM_PAUSE_S):
                    raise
        return await adapter.claim(self._run, whole_account=self._whole_account)

    async def _settle(self, adapter: DataSourceAdapter, store: FollowedStore, applied: int) -> None:
        """Continue from ``applied`` batches; where the local book has fewer, when it has as many.

        A simulated run that is begun again does the same again, in batches that may be cut elsewhere.
        """
        if applied <= store.offered:
            self._count(applied)
            self._set(FollowerState.FOLLOWING, "")
            return
        found = f"the server has batch {applied} of this run, and the local book ends with {store.offered}"
        if not self._repeats:
            raise BatchRefused(f"{found}: it is older than what the server has; get it back with qts db export")
        self._set(FollowerState.REFUSED, f"{found}: it was begun again, and is followed when it gets there")
        while store.offered < applied and not self._stop.is_set():
            self._clear()
            await self._event.wait()
        if store.offered >= applied:
            await self._load(adapter, store)

    async def _send(self) -> None:
        """Send batches until it is asked to end and the server has everything."""
        adapter, store = self._adapter, self._store
        if adapter is None or store is None:
            return
        while True:
            self._clear()
            if self._is_run_changed:
                await self._put_run(adapter, store)
            await self._check(adapter, store)
            if not self._is_over and await self._send_some(adapter, store):
                continue
            if self._stop.is_set():
                if self._is_run_changed and not self._is_over:
                    continue  # it has changed while it was sent, or while batches were
                return
            if await _within(self._event.wait(), self._idle_s):
                await _within(self._hurry.wait(), self._gather_s)
            elif await adapter.applied(self._run.run_id) != self._applied:
                # Opened again, it is given what it lacks.
                raise Unavailable("the server was restored from a backup, or someone changed what it had")

    async def _send_some(self, adapter: DataSourceAdapter, store: FollowedStore) -> bool:
        """Send the next batches; return False when there were none."""
        if self._applied >= store.offered:
            return False
        batches = store.pending(self.name, _MOST_BATCHES, _MOST_BYTES)
        if not batches or batches[0].seq > self._applied + 1:
            await self._load(adapter, store)
            return True
        begun_ns, epoch = self._clock.monotonic_ns(), self._epoch
        try:
            self._count(await adapter.apply([msgspec.structs.replace(batch, epoch=epoch) for batch in batches]))
        except Gap:  # it was restored from a backup
            await self._load(adapter, store)
        finally:
            self._slow += self._clock.monotonic_ns() - begun_ns > _SLOW_S * NS_PER_S
        return True

    async def _check(self, adapter: DataSourceAdapter, store: FollowedStore) -> None:
        """Ask what someone changed on the server when that is due; the first time once it has everything.

        A server that leaves alone what was changed there is given everything again.
        """
        if not self._check_ns or not self._applied:
            return
        now_ns = self._clock.monotonic_ns()
        self._check_due_ns = self._check_due_ns or now_ns + self._check_ns
        if now_ns < self._check_due_ns and (self._is_checked or self._applied < store.offered):
            return
        self._is_checked, self._check_due_ns = True, now_ns + self._check_ns
        self._altered = await adapter.altered(self._run.run_id)
        if self._altered and await adapter.applied(self._run.run_id) < self._applied:
            await self._load(adapter, store)
        self._notes = tuple(adapter.warnings)

    async def _load(self, adapter: DataSourceAdapter, store: FollowedStore) -> None:
        """Load the server with everything up to the newest batch that is offered."""
        self._set(FollowerState.CONNECTING, "the server is given what it lacks from before")
        with store.copy() as copy:
            self._count(await adapter.load(copy, self._epoch))
        self._notes = tuple(adapter.warnings)
        self._set(FollowerState.FOLLOWING, "")

    async def _put_run(self, adapter: DataSourceAdapter, store: FollowedStore) -> None:
        self._is_run_changed = False
        try:
            with store.copy() as copy:
                await adapter.put_run(copy.run, copy.files, copy.configs)
        except BaseException:
            self._is_run_changed = True
            raise

    def _count(self, applied: int) -> None:
        """Note that the server has ``applied`` batches, fewer when it was restored, and tell those who wait."""
        store = self._store
        assert store is not None  # before it there is nothing to send
        store.done(self.name, applied)
        with self._lock:
            self._applied = applied
            ready = [future for future, seq in self._waiters.items() if seq <= applied]
        self._ages.applied(applied)
        if applied < store.offered:
            self._ages.note(store.offered, self._clock.monotonic_ns())
        for future in ready:
            with suppress(InvalidStateError):  # cancelled
                future.set_result(applied)

    def _set(self, state: FollowerState, reason: str) -> None:
        with self._lock:
            self._state, self._reason = state, reason
        if state is not FollowerState.FOLLOWING:
            self._fail_waiters()

    def _fail_waiters(self) -> None:
        with self._lock:
            waiters, why = list(self._waiters), self._reason or "the follower has ended"
        for future in waiters:
            _fail(future, Unavailable(why))

    async def _close(self) -> None:
        adapter, self._adapter = self._adapter, None
        self._has_claim = self._is_claimed = False
        if adapter is not None:
            with suppress(StorageError, OSError):
                await adapter.close()

    def _cancel(self) -> None:
        self._begin_to_end()
        self._is_over = True  # a client library may take a cancellation for its own
        if self._task is not None:
            self._task.cancel()

    def _begin_to_end(self) -> None:
        for event in (self._stop, self._hurry, self._event):
            event.set()

    def _clear(self) -> None:
        """Take note of what it was woken for; called before it looks."""
        self._woken = False
        self._event.clear()
        if not self._stop.is_set():
            self._hurry.clear()


async def _within(waiting: Coroutine[Any, Any, object], timeout_s: float) -> bool:
    """Return whether ``waiting`` ended within ``timeout_s``."""
    try:
        async with asyncio.timeout(timeout_s):
            await waiting
    except TimeoutError:
        return False
    return True


def _fail(future: Future[int], error: BaseException) -> None:
    with suppress(InvalidStateError):
        future.set_exception(error)
