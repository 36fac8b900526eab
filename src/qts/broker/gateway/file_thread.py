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

Done: TypeAlias = Callable[[Exception | None], None]
"""Called on the loop when the disk has done what was asked: None, or why it has not."""
_Asked: TypeAlias = tuple[Callable[[], None], Done]


class FileThread:
    """Waits for the disk under ``file``, for the running loop, until :meth:`end`.

    Each call is answered by its ``done`` when its work is done, in order: a call on the loop, since an order waits
    for it, and no task that has to be woken. Syncs that wait while the disk works share the next one. Raises
    StorageError when the system starts no thread.
    """

    def __init__(self, file: SentFile) -> None:
        self._file = file
        self._loop = asyncio.get_running_loop()
        self._asked: SimpleQueue[_Asked | None] = SimpleQueue()
        start_thread(self._live, "qts-gateway-file")

    def sync(self, done: Done) -> None:
        """Call ``done`` once everything that was appended before is on disk, or with a StorageError."""
        self._asked.put((self._file.sync, done))

    def compact(self, now_ns: int, done: Done) -> None:
        """Rewrite the file, see :meth:`SentFile.compact`, and call ``done``, with a StorageError if it failed."""
        self._asked.put((lambda: self._file.compact(now_ns), done))

    def end(self) -> None:
        """End the thread when it has done what was asked; does not wait for it."""
        self._asked.put(None)

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
            for done in all_done:
                with suppress(RuntimeError):  # the loop is closed: no one waits any more
                    self._loop.call_soon_threadsafe(done, failure)


def _failure_of(work: Callable[[], None]) -> Exception | None:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - the edge of the thread: it is told where the work was asked for
        return error
    return None
