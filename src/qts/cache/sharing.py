"""Work that several callers want at once: done once, by a task that all of them share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


class SharedWork:
    """The work that is under way, one task for each key; for one loop."""

    __slots__ = ("_closing", "_tasks", "_under_way")

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Task[Any]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()  # those that were forgotten too
        self._closing = asyncio.Event()

    async def share(self, key: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what ``work`` returns, or the work under ``key`` that is under way; its error is raised to all.

        A caller that is cancelled does not end it: others may be waiting.
        """
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.ensure_future(work())
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._done(key, done))
        found: T = await asyncio.shield(task)
        return found

    def forget(self, key: str) -> None:
        """Let the work under ``key`` end for those who wait; a later caller begins it again."""
        self._under_way.pop(key, None)

    def is_current(self, key: str) -> bool:
        """Return, inside the work under ``key``, whether it was not forgotten since."""
        return self._under_way.get(key) is asyncio.current_task()

    async def pause(self, seconds: float) -> None:
        """Wait, in real time, until ``seconds`` are over or :meth:`close` is called."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    async def close(self) -> None:
        """Cancel what is under way, and with it those who wait."""
        self._closing.set()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, key: str, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if self._under_way.get(key) is task:
            del self._under_way[key]
