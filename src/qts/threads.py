"""Threads, and what is done where the system has no room for another one: said in a sentence, never waited for."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from qts.errors import StorageError

_T = TypeVar("_T")


def started(work: Callable[[], None], name: str) -> threading.Thread:
    """Return a thread that does ``work`` and ends with the process. Raises StorageError when there is no room."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise _no_room(name, error) from None
    return thread


def one_thread(name: str, begin: Callable[[], None]) -> ThreadPoolExecutor:
    """Return an executor whose one thread runs, after ``begin``. Raises StorageError when the system gives none."""
    executor = ThreadPoolExecutor(1, name, begin)
    try:
        executor.submit(_nothing).result()
    except RuntimeError as error:
        executor.shutdown(wait=False)
        raise _no_room(name, error) from None
    return executor


async def beside_loop(work: Callable[[], _T]) -> _T:
    """Run ``work`` on another thread, or on the loop where the system gives none: then it may be run there, too."""
    inside = contextvars.copy_context()
    try:
        future = asyncio.get_running_loop().run_in_executor(None, inside.run, work)
    except RuntimeError:  # it is the start of a thread that failed: the work runs elsewhere, or not at all
        return work()
    return await future


def _nothing() -> None:
    """The first piece of work, for which the thread is started."""


def _no_room(name: str, error: RuntimeError) -> StorageError:
    return StorageError(
        f"the thread {name} cannot be started ({error}): the system has no room for another one; end other "
        "programs or raise the limit (ulimit -u), then --resume"
    )
