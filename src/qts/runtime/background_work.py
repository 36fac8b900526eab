"""Runs work that waits for a disk or a broker while values are handled: at most one task of each kind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from typing import Any


class BackgroundWork:
    """A group of tasks of the running event loop. For the session's thread alone.

    ``on_end`` is called on the loop whenever a task has ended, also by an error. The first exception is kept for
    :meth:`raise_failure`, because the session ends with it.
    """

    def __init__(self, on_end: Callable[[], object]) -> None:
        self._on_end = on_end
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failure: BaseException | None = None

    @property
    def is_busy(self) -> bool:
        """Return whether any task has not ended."""
        return bool(self._tasks)

    @property
    def has_failed(self) -> bool:
        """Return whether a task has raised an exception."""
        return self._failure is not None

    def is_running(self, kind: str) -> bool:
        """Return whether a task of this kind has not ended."""
        return kind in self._tasks

    def start(self, kind: str, work: Coroutine[Any, Any, None]) -> None:
        """Start ``work``; no task of its kind may be running. Raises RuntimeError where no event loop runs."""
        task = asyncio.get_running_loop().create_task(self._run(kind, work), name=f"qts-{kind}")
        self._tasks[kind] = task
        task.add_done_callback(lambda ended: self._ended(kind, ended, work))

    def raise_failure(self) -> None:
        """Raise the first exception of a task, if there is one."""
        if self._failure is not None:
            raise self._failure

    async def wait(self, timeout_s: float, kinds: Collection[str] | None = None) -> None:
        """Wait until no task runs, at most ``timeout_s`` of real time; then raise the first exception, if any.

        ``kinds``: the tasks to wait for, None: all.
        """
        tasks = [task for kind, task in self._tasks.items() if kinds is None or kind in kinds]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout_s)
            await asyncio.sleep(0)  # the end of a task that failed is handled in a callback
        self.raise_failure()

    async def cancel(self) -> None:
        """Cancel all tasks and wait until they have ended."""
        while self._tasks:
            tasks = tuple(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await asyncio.sleep(0)

    async def _run(self, kind: str, work: Coroutine[Any, Any, None]) -> None:
        """Do the work; it has ended in the same step as its last one, not in a callback some time later."""
        await work
        del self._tasks[kind]
        self._on_end()

    def _ended(self, kind: str, task: asyncio.Task[None], work: Coroutine[Any, Any, None]) -> None:
        """Note that a task was cancelled or has failed."""
        if self._tasks.get(kind) is not task:
            return
        del self._tasks[kind]
        work.close()  # it was not begun where the task was cancelled before its first step
        if not task.cancelled() and self._failure is None:
            self._failure = task.exception()
        self._on_end()
