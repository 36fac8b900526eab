"""A thread with an event loop of its own, on which a broker lives: nothing else waits for what it waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from qts.errors import StorageError
from qts.money import begin_thread
from qts.threads import start_thread


class OwnThread:
    """The thread ``name``, started by the first :meth:`call`. ``work`` runs on its loop until it is cancelled.

    ``on_failed`` is called on the thread with the error by which it ends otherwise.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Coroutine[Any, Any, None]],
        on_failed: Callable[[Exception], object],
    ) -> None:
        self._name = name
        self._work = work
        self._on_failed = on_failed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread: threading.Thread | None = None
        self._is_ready = threading.Event()
        self._has_ended = False
        self._failure: Exception | None = None

    def call(self, call: Callable[[], object]) -> None:
        """Make ``call`` on the loop, soon. Any thread but its own at the start; after the end nothing is called.

        Raises StorageError when the system starts no thread or has no event loop for it, and behind an error.
        """
        if self._has_ended:
            return
        if self._thread is None:
            self._thread = start_thread(self._live, self._name)
            self._is_ready.wait()
        loop = self._loop
        if loop is None or self._failure is not None:
            raise StorageError(f"the thread {self._name} has ended: {self._failure}")
        with suppress(RuntimeError):  # it has ended just now
            loop.call_soon_threadsafe(call)

    def end(self) -> bool:
        """Cancel what runs on the loop, and end the thread, without waiting; return False if none was begun."""
        if self._thread is not None:
            with suppress(StorageError):
                self.call(self._cancel)
        self._has_ended = True
        return self._thread is not None

    def join(self, timeout_s: float) -> None:
        """Wait until the thread has ended, at most ``timeout_s`` of real time."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _cancel(self) -> None:
        assert self._task is not None  # it is there before the loop, which calls this
        self._task.cancel()

    def _live(self) -> None:
        begin_thread()
        try:
            asyncio.run(self._run())
        except asyncio.CancelledError:
            pass
        except Exception as error:  # noqa: BLE001 - the edge of the thread: what waits there is never answered
            self._failure = error
            self._on_failed(error)
        finally:
            self._is_ready.set()

    async def _run(self) -> None:
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._is_ready.set()
        await self._work()
