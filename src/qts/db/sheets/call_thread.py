"""One thread for calls that block, so that the follower's loop never waits for one without a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Final, TypeAlias, TypeVar

from qts.errors import Unavailable
from qts.money import begin_thread
from qts.threads import start_thread

_T = TypeVar("_T")
_Work: TypeAlias = tuple[Callable[[], Any], "Future[Any]"]
_BUSY: Final = "a call that was given up has not ended yet"


class CallThread:
    """A thread that makes one call at a time; ``name`` is its name. Methods are for one loop.

    A call whose deadline is over goes on there, and no other one begins before it has ended.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[_Work | None] = SimpleQueue()
        self._last: Future[Any] | None = None

    def start(self) -> None:
        """Start the thread. Raises StorageError when the system starts none."""
        start_thread(self._work, self._name)

    async def run(self, work: Callable[[], _T], deadline_s: float) -> _T:
        """Return what ``work`` returns. Raises Unavailable while another call is running, and TimeoutError."""
        if self._last is not None and not self._last.done():
            raise Unavailable(_BUSY)
        future: Future[_T] = Future()
        self._last = future
        self._calls.put((work, future))
        async with asyncio.timeout(deadline_s):
            return await asyncio.wrap_future(future)

    def end(self, last: Callable[[], None]) -> None:
        """Let the thread end behind what it does, with ``last`` as its last call."""
        self._calls.put((last, Future()))
        self._calls.put(None)

    def _work(self) -> None:
        begin_thread()
        while (call := self._calls.get()) is not None:
            work, future = call
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - the edge of the thread: it is raised where it is awaited
                future.set_exception(error)
            else:
                future.set_result(result)
