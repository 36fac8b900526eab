"""Writes what a session makes known to a cache: a thread with an event loop of its own, beside the session.

The session's thread only assigns to :class:`~qts.runtime.caching.session_state.SessionState`. The publisher looks
at it some fifty times a second and writes what has changed in one round trip. What cannot be written waits, the
newest value of each key, in bounded memory. Nothing of a session waits for it, but for a moment at the end.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from typing import Any, Final, TypeAlias

from qts.cache.breaker import BreakerState
from qts.cache.config import CacheConfig
from qts.cache.contracts import CacheClient
from qts.cache.stats import Written
from qts.cache.writer import CacheWriter, lifetimes_of
from qts.clock import NS_PER_MS, Clock
from qts.db.resolving_loop import ResolvingLoop
from qts.errors import InputError, MissingExtraError, QtsError, StorageError, Unavailable
from qts.ledger.contracts import LedgerRow
from qts.money import begin_thread
from qts.runtime.caching.cache_view import CacheView
from qts.runtime.caching.collector import Collector
from qts.runtime.caching.other_writers import OtherWriters
from qts.runtime.caching.session_state import SessionState
from qts.runtime.caching.waiting_values import WaitingValues
from qts.threads import start_thread

OpenCache: TypeAlias = Callable[[], CacheClient]
"""Makes the client of a cache, not yet opened; called on the publisher's thread, which imports its driver then."""

EVERY_S: Final = 0.02
"""The time between two looks at the session."""
START_S: Final = 5.0
"""How long a session waits at its start for a cache to answer."""
END_S: Final = 1.0
"""How long a session waits at its end for what is left to be written."""
_SETTLING_S: Final = 0.005
_CLOSE_S: Final = 0.5
_WRITERS_S: Final = 1.0
"""The time between two looks at whether another session writes as the same account."""
_AWAY_S: Final = 0.25
"""The same while the cache does not take values: what it would miss is not worth the session's time."""
_MOST_PER_S: Final = 5_000
"""The values for which it looks in a second: each takes the interpreter from the session for some 15 µs."""
_MOST: Final = 16
"""The values of one round trip: as long as they are encoded the session may have to wait."""
_MOST_FILLS: Final = 4
"""The fills that are counted at once, between two round trips of values."""
_MOST_AT_END, _MOST_FILLS_AT_END = 1_000, 50
"""The same when the session has ended: no one waits for the interpreter then."""
_BETWEEN_S: Final = 0.002
"""The least pause between two round trips, in which the session has the interpreter for itself."""
_BETWEEN_SHARE: Final = 8
"""The same as a multiple of what the last round trip took: a slow cache is written to less often."""
_SLOW_S: Final = 0.01
_MORE_AT_ONCE: Final = 2
"""How many times as many values go in one round trip to a cache that takes longer than :data:`_SLOW_S`."""
_FAILED_S: Final = 0.1
"""The pause behind a call that did not succeed."""
_LEFT_ALONE_S: Final = 0.5
"""The pause between two looks at whether the cache is still left alone."""
_MOST_TOLD: Final = 100


class CachePublisher:
    """A publisher of the session of ``account`` in the cache that ``open_cache`` makes.

    ``session`` is what the process that runs it is called among those of the account.

    In this order: :meth:`connect`, :meth:`begin`, :meth:`stop`. They are for the session's thread; :attr:`view` may
    be read on any. ``machine`` is the machine's clock, of which the times in the values are.
    """

    def __init__(
        self,
        account: str,
        session: str,
        open_cache: OpenCache,
        config: CacheConfig,
        machine: Clock,
    ) -> None:
        self._account, self._open_cache, self._config, self._machine = account, open_cache, config, machine
        self._session = session
        lifetimes = {kind: ms * NS_PER_MS for kind, ms in lifetimes_of(config).items()}
        self._waiting = WaitingValues(config.queue, lifetimes)
        self._fills: deque[LedgerRow] = deque()
        self._fills_dropped = 0
        self._state: SessionState | None = None
        self._collector: Collector | None = None
        self._writer: CacheWriter | None = None
        self._name, self._why = "OPENING", ""
        self._told: deque[str] = deque(maxlen=_MOST_TOLD)
        self._written = self._failures = self._in_hand = 0
        self._first: Future[None] = Future()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[Any] | None = None
        self._ending, self._changed = asyncio.Event(), asyncio.Event()
        self._others = OtherWriters(account)
        self._look_at_writers_s = 0.0
        self._is_over = False
        self._took_s = 0.0

    # -- the session's thread ----------------------------------------------------------------------------------

    def connect(self) -> bool:
        """Start the thread and open the cache; return whether it answers.

        It takes :data:`START_S` at most. Raises InputError for a cache that cannot be used, MissingExtraError
        without its driver, StorageError when no thread can be started; the thread has ended then.
        """
        self._thread = start_thread(self._work, "qts-cache")
        try:
            self._first.result(START_S)
        except Unavailable:
            return False
        except TimeoutError:
            self._set("AWAY", f"no answer within {START_S:g} s")
            return False
        except BaseException:
            self.stop(0)
            raise
        return True

    def begin(self, state: SessionState) -> None:
        """Begin to write what ``state`` has."""
        self._state = state

    def take_told(self) -> list[str]:
        """Take out what an operator has to know, a sentence each, the oldest first."""
        told = []
        while self._told:
            told.append(self._told.popleft())
        return told

    @property
    def view(self) -> CacheView:
        """Return what became of the values so far; on any thread."""
        dropped = Counter(self._waiting.dropped.copy())
        if self._fills_dropped:
            dropped["trades"] += self._fills_dropped
        if self._state is not None:
            dropped.update(self._state.book.dropped.copy())
        writer = self._writer
        status = None if writer is None else writer.status()
        return CacheView(
            server="" if status is None else status.server,
            state=self._name,
            written=self._written,
            waiting=len(self._waiting) + len(self._fills) + self._in_hand,
            dropped=dict(sorted(dropped.items())),
            failures=self._failures,
            breaker="" if status is None else status.breaker,
            why=self._why,
            write_p50_us=0.0 if status is None else status.write_p50_us,
            write_p99_us=0.0 if status is None else status.write_p99_us,
        )

    def settle(self, most_s: float = END_S) -> None:
        """Wait until everything so far is written or dropped, ``most_s`` at most and only while it takes values.

        So that the numbers of :attr:`view` are whole. Never raises.
        """
        if self._loop is None or self._name != "WRITING":
            return
        settling = self._settle()
        try:
            done = asyncio.run_coroutine_threadsafe(settling, self._loop)
        except RuntimeError:  # its loop is closed: it has ended
            settling.close()
            return
        with suppress(TimeoutError, CancelledError):
            done.result(most_s)
        done.cancel()

    def stop(self, most_s: float = END_S) -> None:
        """Write what is left, for at most ``most_s`` and only while the cache answers, and end the thread.

        May be called twice, and never raises. A thread that does not end is left behind: it ends with the process.
        """
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if most_s > 0 and self._name == "WRITING":
            self._call(self._begin_to_end)
            thread.join(most_s)
        self._call(self._cancel)
        thread.join(_CLOSE_S * 2)

    def _call(self, call: Callable[[], object]) -> None:
        """Make ``call`` on the publisher's thread."""
        if self._loop is not None:
            with suppress(RuntimeError):  # its loop is closed: it has ended
                self._loop.call_soon_threadsafe(call)

    # -- its own thread ----------------------------------------------------------------------------------------

    def _work(self) -> None:
        begin_thread()
        why = ""
        try:
            with asyncio.Runner(loop_factory=ResolvingLoop) as runner:
                runner.run(self._main())
        except asyncio.CancelledError:
            pass
        except (InputError, MissingExtraError) as error:
            why = str(error)
            _fail(self._first, error)
        except BaseException as error:  # noqa: BLE001 - the edge of the thread: it is shown, and the session goes on
            why = f"the publisher has ended by {type(error).__name__}: {error}"
            _fail(self._first, StorageError(why))
            self._told.append(f"{why}; the session goes on without a cache")
        finally:
            self._waiting.drop_all()
            self._fills_dropped += len(self._fills)
            self._fills.clear()
            self._in_hand = 0
            self._set("REFUSED" if why else "ENDED", why or self._why)
            _fail(self._first, Unavailable("the publisher has ended"))

    async def _main(self) -> None:
        self._task, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        writer = self._writer = CacheWriter(
            self._open_cache(), self._machine, self._config, account=self._account, tell=self._tell
        )
        writing = asyncio.create_task(self._write_on())
        try:
            while not self._ending.is_set():
                # What waits is written first: newer values of its keys are found behind that. And while the cache
                # takes none, nothing more is looked for.
                found = 0 if self._waiting or self._in_hand else self._collect()
                pause_s = max(EVERY_S, found / _MOST_PER_S) if self._name == "WRITING" else _AWAY_S
                await asyncio.wait((writing,), timeout=pause_s)
                if writing.done():
                    break
            await writing
        finally:
            writing.cancel()
            with suppress(asyncio.CancelledError, QtsError):
                await writing
            with suppress(TimeoutError, QtsError, OSError):
                async with asyncio.timeout(_CLOSE_S):
                    await writer.close()

    async def _settle(self) -> None:
        """Take what has changed last, and wait until nothing of it waits or the cache takes no more."""
        self._is_over = True
        self._collect()
        while self._name == "WRITING" and (self._waiting or self._fills or self._in_hand):
            if await _within(self._ending.wait(), _SETTLING_S):
                return

    def _begin_to_end(self) -> None:
        """Take what has changed last; the thread ends when it is written."""
        self._is_over = True
        self._collect()
        self._ending.set()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _collect(self) -> int:
        """Let everything that has changed in the session wait to be written; return how many values."""
        state, found = self._state, 0
        if state is None:
            return 0
        if self._collector is None:
            self._collector = Collector(state, self._config)
        self._fills.extend(row for row in self._collector.fills() if row.trade_date)
        for _ in range(len(self._fills) - self._config.queue):
            self._fills.popleft()
            self._fills_dropped += 1
        for kind, name, value in self._collector.changed(self._machine.time_ns()):
            self._waiting.put(kind, name, value)
            found += 1
        if self._waiting or self._fills:
            self._changed.set()
        return found

    async def _write_on(self) -> None:
        """Open the cache, and write what waits, again and again; until it is asked to end and nothing waits."""
        await self._open()
        while self._waiting or self._fills or not self._ending.is_set():
            if not self._waiting and not self._fills:
                self._changed.clear()
                await self._wait_for_changes()
            elif await self._write():
                self._set("WRITING", self._others.why)
                if (self._waiting or self._fills) and not self._is_over:
                    pause_s = max(_BETWEEN_S, _BETWEEN_SHARE * self._took_s)
                    await _within(self._ending.wait(), pause_s)
            elif self._ending.is_set():
                return
            else:
                await _within(self._ending.wait(), _FAILED_S if self._is_answering() else _LEFT_ALONE_S)

    async def _wait_for_changes(self) -> None:
        ending = asyncio.ensure_future(self._ending.wait())
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((ending, changed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ending.cancel()
            changed.cancel()

    async def _open(self) -> None:
        """Open the cache; one that is away is tried again by each write. Raises InputError for one of no use."""
        assert self._writer is not None  # made before this task
        try:
            await self._writer.open()
        except Unavailable as error:
            self._failures += 1
            self._set("AWAY", str(error))
            _fail(self._first, error)
        else:
            self._set("WRITING", "")
            with suppress(InvalidStateError):
                self._first.set_result(None)

    async def _write(self) -> bool:
        """Write what waits in one round trip, then count fills; return whether the cache took it.

        Behind a failure one value is tried: it stands for the others.
        """
        assert self._writer is not None  # made before this task
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        most = _MOST_AT_END if self._is_over else _MOST * (_MORE_AT_ONCE if self._took_s > _SLOW_S else 1)
        taken = self._waiting.take(most if self._name == "WRITING" else 1, self._machine.time_ns())
        if taken:
            self._in_hand = len(taken)
            refused, is_asked = self._writer.stats.written[Written.REFUSED], self._is_answering()
            is_written: bool | None = None
            try:
                is_written = await self._writer.put([(name, value) for (_, name), value in taken])
            finally:
                self._in_hand = 0
                if is_written is None:  # it is to end: whether they were written is not known
                    self._waiting.put_back(taken)
            if not is_written:
                self._failures += is_asked  # while it is left alone it is not asked
                if self._writer.stats.written[Written.REFUSED] - refused >= len(taken):
                    self._waiting.drop(taken)
                    self._set("REFUSED", self._writer.last_error or "it can hold none of the values")
                else:
                    self._waiting.put_back(taken)
                    self._set("AWAY", self._writer.last_error)
                return False
            self._written += len(taken)
            self._took_s = loop.time() - begun_s
        if loop.time() >= self._look_at_writers_s:
            self._look_at_writers_s = loop.time() + _WRITERS_S
            found = self._others.noted(await self._writer.count_writers(self._session), self._machine.time_ns())
            if found:
                self._told.append(found)
        most = _MOST_FILLS_AT_END if self._is_over else _MOST_FILLS
        rows = [self._fills.popleft() for _ in range(min(len(self._fills), most))]
        refused = self._writer.stats.written[Written.REFUSED]
        counted = await asyncio.gather(*(self._count(self._writer, row) for row in rows))
        lacking = [row for row, is_counted in zip(rows, counted, strict=True) if not is_counted]
        self._failures += bool(lacking)
        self._written += len(rows) - len(lacking)
        if self._writer.stats.written[Written.REFUSED] - refused >= len(lacking):
            self._fills_dropped += len(lacking)  # they would be refused again, and hold up everything else
            return True
        self._fills.extendleft(reversed(lacking))
        self._set("AWAY", self._writer.last_error)
        return False

    async def _count(self, writer: CacheWriter, row: LedgerRow) -> bool:
        execution = f"{row.broker}:{row.order_id}:{row.execution_id}"
        return await writer.count_trade(row.trade_date, execution) is not None

    def _is_answering(self) -> bool:
        """Return whether the cache is not left alone because of failures."""
        return self._writer is None or self._writer.breaker.state is BreakerState.CLOSED

    def _tell(self, text: str) -> None:
        """Keep what an operator has to know, for the session's thread."""
        self._told.append(text)

    def _set(self, name: str, why: str) -> None:
        self._name, self._why = name, why


def _fail(future: Future[None], error: BaseException) -> None:
    with suppress(InvalidStateError):
        future.set_exception(error)


async def _within(wait: Any, most_s: float) -> bool:
    """Return whether ``wait`` was over within ``most_s``."""
    with suppress(TimeoutError):
        await asyncio.wait_for(wait, most_s)
        return True
    return False
