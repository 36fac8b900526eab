"""Waiters for an event to be on disk: callbacks of any thread, and futures of event loops."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias

from qts.errors import StorageError
from qts.event.queue_base import resolve_future

AckCallback: TypeAlias = Callable[[StorageError | None], None]
"""Called when an event is on disk (None) or will never be (the error); what it raises is only logged."""
Waiter: TypeAlias = tuple[int, int, asyncio.AbstractEventLoop | None, Any]
"""Sequence waited for, order of joining, the loop of a future (None: a callback), future or callback."""

_log: Final = logging.getLogger("qts.event")


class Waiters:
    """The waiters by event number; the caller holds the journal's lock."""

    __slots__ = ("_count", "_heap")

    def __init__(self) -> None:
        self._heap: list[Waiter] = []
        self._count = 0

    def add(self, sequence: int, loop: asyncio.AbstractEventLoop | None, target: Any) -> None:
        """Add a callback (``loop`` None) or the future of a loop that waits for the event ``sequence``."""
        self._count += 1
        heapq.heappush(self._heap, (sequence, self._count, loop, target))

    def take(self, upto: int | None = None) -> list[Waiter]:
        """Remove and return the waiters for events up to ``upto``, in their order; None: all of them."""
        taken = []
        while self._heap and (upto is None or self._heap[0][0] <= upto):
            taken.append(heapq.heappop(self._heap))
        return taken


def resolve(waiters: Iterable[Waiter], error: StorageError | None) -> None:
    """Answer waiters: threads at once, each event loop with one call for all its futures."""
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for _, _, loop, target in waiters:
        if loop is None:
            try:
                target(error)
            except Exception:  # noqa: BLE001 - edge: foreign code, and others wait for the same group
                _log.exception("a callback that waited for the journal raised")
        else:
            by_loop.setdefault(loop, []).append(target)
    for loop, futures in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: no one waits there any more
            loop.call_soon_threadsafe(_answer, futures, error)


def _answer(futures: list[asyncio.Future[None]], error: StorageError | None) -> None:
    for future in futures:
        if error is None:
            resolve_future(future)
        elif not future.done():
            future.set_exception(error)


def ignore_failure(failure: StorageError) -> None:
    """Ignore a failure of the journal: the waiters have it, and ``Journal.failure`` keeps it."""
