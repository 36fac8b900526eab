"""Those who wait until their event is on disk: callbacks of any thread, and futures of event loops."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from qts.errors import StorageError
from qts.event.queue_base import resolve

Told: TypeAlias = Callable[[StorageError | None], None]
"""Called when an event is on disk (None) or will never be (the error)."""
Waiter: TypeAlias = tuple[int, int, asyncio.AbstractEventLoop | None, Any]
"""Sequence waited for, order of joining, the loop of a future (None: a callback), future or callback."""


def tell(waiters: Iterable[Waiter], error: StorageError | None) -> None:
    """Answer waiters: threads at once, each event loop with one call for all its futures."""
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for _, _, loop, target in waiters:
        if loop is None:
            target(error)
        else:
            by_loop.setdefault(loop, []).append(target)
    for loop, futures in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(_answer, futures, error)


def _answer(futures: list[asyncio.Future[None]], error: StorageError | None) -> None:
    for future in futures:
        if error is None:
            resolve(future)
        elif not future.done():
            future.set_exception(error)


def nobody_listens(failure: StorageError) -> None:
    """The waiters were told; whoever drives the journal looks at ``failure``."""
