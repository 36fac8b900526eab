"""Runs coroutines for code without a loop: each on a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from threading import Event
from typing import Any, Final, Generic, TypeVar

from qts.threads import start_thread

_T = TypeVar("_T")
AHEAD: Final = 2
"""How many items are read ahead of the one that is worked on."""
_LOOK_S: Final = 0.2


def finish(work: Callable[[], Coroutine[Any, Any, _T]], name: str) -> _T:
    """Run a coroutine to its end on a thread and return its result; blocks. Raises what it raises."""
    done: list[_T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(asyncio.run(work()))
        except BaseException as error:  # noqa: BLE001 - passed on to the thread that waits
            failed.append(error)

    start_thread(run, name).join()
    if failed:
        raise failed[0]
    return done[0]


class ReadAhead(Generic[_T]):
    """Iterates over what an asynchronous iterator gives, which a thread reads a little ahead.

    For one thread; it blocks as for a disk. Raises what the iterator raises, after everything before it.
    :meth:`close` ends the thread.
    """

    def __init__(self, source: Callable[[], AsyncIterator[_T]], name: str) -> None:
        self._source = source
        self._name = name
        self._items: queue.Queue[_T | _End] = queue.Queue(AHEAD)
        self._closed = Event()
        self._started = False

    def __iter__(self) -> Iterator[_T]:
        if not self._started:
            self._started = True
            start_thread(lambda: asyncio.run(self._read()), self._name)
        while True:
            item = self._items.get()
            if isinstance(item, _End):
                self._items.put(item)  # it has ended for the next caller too
                if item.error is not None:
                    raise item.error
                return
            yield item

    def close(self) -> None:
        """End the thread after what it reads at present; may be called twice."""
        self._closed.set()

    async def _read(self) -> None:
        end = _End(None)
        source = self._source()
        try:
            async for item in source:
                if not self._put(item):
                    return
        except BaseException as error:  # noqa: BLE001 - passed on to the thread that iterates
            end = _End(error)
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()
        self._put(end)

    def _put(self, item: _T | _End) -> bool:
        """Queue an item as soon as there is room; return False when no one wants it any more."""
        while not self._closed.is_set():
            try:
                self._items.put(item, timeout=_LOOK_S)
            except queue.Full:
                continue
            return True
        return False


class _End:
    """The end of the items, with the error that ended them."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error
