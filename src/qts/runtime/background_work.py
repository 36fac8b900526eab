"""Work of a session that waits for a disk or a broker, beside its prices: at most one task of each kind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class BackgroundWork:
    """Runs coroutines in tasks of the running event loop; on the session's thread alone.

    ``on_end`` is called on the loop whenever one has ended, however it did. What one of them raised is kept for
    :meth:`raise_failure`: the first only, because the session ends with it.
    """

    def __init__(self, on_end: Callable[[], object]) -> None:
        self._on_end = on_end
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failure: BaseException | None = None

    @property
    def is_busy(self) -> bool:
        """Whether any task has not ended."""
        return bool(self._tasks)

    @property
    def has_failed(self) -> bool:
        """Whether a task has raised something."""
        return self._failure is not None

    def is_running(self, kind: str) -> bool:
        """Tell whether a task of this kind has not ended."""
        return kind in self._tasks

    def start(self, kind: str, work: Coroutine[Any, Any, None]) -> None:
        """Begin ``work``; its kind must not be running. Raises RuntimeError where no event loop runs."""
        task = asyncio.get_running_loop().create_task(work, name=f"qts-{kind}")
        self._tasks[kind] = task
        task.add_done_callback(lambda ended: self._ended(kind, ended))

    def raise_failure(self) -> None:
        """Raise what a task has raised, if one has."""
        if self._failure is not None:
            raise self._failure

    async def finished(self, timeout_s: float) -> None:
        """Wait until nothing is running, ``timeout_s`` of real time at most, and raise what a task has raised."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks.values()), timeout=timeout_s)
            await asyncio.sleep(0)  # what is done at the end of a task is a callback
        self.raise_failure()

    async def end(self) -> None:
        """Cut off what is running."""
        while self._tasks:
            tasks = tuple(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await asyncio.sleep(0)

    def _ended(self, kind: str, task: asyncio.Task[None]) -> None:
        del self._tasks[kind]
        if not task.cancelled() and self._failure is None:
            self._failure = task.exception()
        self._on_end()
