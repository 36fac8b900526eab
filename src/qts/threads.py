"""Threads, and clear errors where the system cannot start another one."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from qts.errors import StorageError

_T = TypeVar("_T")


def start_thread(work: Callable[[], None], name: str) -> threading.Thread:
    """Start and return a daemon thread that runs ``work``. Raises StorageError when the system starts none."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise _not_started(name, error) from None
    return thread


def single_thread_executor(name: str, begin: Callable[[], None]) -> ThreadPoolExecutor:
    """Return an executor of one thread that has run ``begin``. Raises StorageError when the system starts none."""
    executor = ThreadPoolExecutor(1, name, begin)
    try:
        executor.submit(_nothing).result()
    except RuntimeError as error:
        executor.shutdown(wait=False)
        raise _not_started(name, error) from None
    return executor


async def off_loop(work: Callable[[], _T]) -> _T:
    """Run ``work`` on another thread and return its result; on the loop itself where the system starts none."""
    inside = contextvars.copy_context()
    try:
        future = asyncio.get_running_loop().run_in_executor(None, inside.run, work)
    except RuntimeError:  # no thread could be started
        return work()
    return await future


def _nothing() -> None:
    """Do no work: the first submission only starts the thread."""


def _not_started(name: str, error: RuntimeError) -> StorageError:
    return StorageError(
        f"the thread {name} cannot be started ({error}): the system starts no further one; end other programs "
        "or raise the limit (ulimit -u), then --resume"
    )
