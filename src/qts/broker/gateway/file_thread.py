"""The thread that waits for the disk under the gateway's file, so that the gateway's loop never does."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeAlias

from qts.broker.gateway.sent_file import SentFile
from qts.money import begin_thread
from qts.threads import start_thread

_Asked: TypeAlias = tuple[Callable[[], None], asyncio.Future[None]]


class FileThread:
    """Waits for the disk under ``file``, for the running loop, until :meth:`end`.

    Each call is answered when its work is done, in order. Syncs that wait while the disk works share the next one.
    Raises StorageError when the system starts no thread.
    """

    def __init__(self, file: SentFile) -> None:
        self._file = file
        self._loop = asyncio.get_running_loop()
        self._asked: SimpleQueue[_Asked | None] = SimpleQueue()
        start_thread(self._live, "qts-gateway-file")

    async def sync(self) -> None:
        """Return once everything that was appended before is on disk. Raises StorageError."""
        await self._do(self._file.sync)

    async def compact(self, now_ns: int) -> None:
        """Rewrite the file, see :meth:`SentFile.compact`. Raises StorageError."""
        await self._do(lambda: self._file.compact(now_ns))

    def end(self) -> None:
        """End the thread when it has done what was asked; does not wait for it."""
        self._asked.put(None)

    async def _do(self, work: Callable[[], None]) -> None:
        done: asyncio.Future[None] = self._loop.create_future()
        self._asked.put((work, done))
        await done

    # -- its thread ------------------------------------------------------------------------------------------------

    def _live(self) -> None:
        begin_thread()
        waiting: deque[_Asked | None] = deque()
        while True:
            if not waiting:
                waiting.append(self._asked.get())
            while not self._asked.empty():  # nothing else takes from it
                waiting.append(self._asked.get())
            first = waiting.popleft()
            if first is None:
                return
            work, all_done = first[0], [first[1]]
            while waiting and (same := waiting[0]) is not None and same[0] == work:
                all_done.append(same[1])
                waiting.popleft()
            failure = _failure_of(work)
            with suppress(RuntimeError):  # the loop is closed: no one waits any more
                self._loop.call_soon_threadsafe(_answer, all_done, failure)


def _failure_of(work: Callable[[], None]) -> Exception | None:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - the edge of the thread: it is raised where the work was asked for
        return error
    return None


def _answer(all_done: list[asyncio.Future[None]], failure: Exception | None) -> None:
    for done in all_done:
        if done.done():  # what waited for it was cut off
            continue
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(failure)
