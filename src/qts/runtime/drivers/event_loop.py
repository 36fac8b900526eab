"""Makes the event loop around a session, and finds out before whether the process may open enough files for it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final, TypeAlias

from qts.errors import StateError, StorageError

LoopFactory: TypeAlias = "Callable[[], asyncio.AbstractEventLoop]"
_FILES_OF_THE_PLAIN_LOOP: Final = 3
_FILES_OF_ANY_LOOP: Final = 5
_FILES_BESIDE_IT: Final = 4
"""What the threads of a session in real time and a look at the operator's commands open at most."""


def plain_loop() -> LoopFactory:
    """Return the maker of the standard library's loop, for a session that never waits for it.

    Raises StorageError when the process may not open the files that it needs.
    """
    _require(_FILES_OF_THE_PLAIN_LOOP, "a session", "start again")
    return asyncio.new_event_loop


def fastest_loop() -> LoopFactory:
    """Return the maker of uvloop's loop where it is installed (extra ``fast``), else of the standard library's.

    Raises StorageError when the process may not open the files that a session in real time needs: uvloop would end
    the process by a signal.
    """
    _require(_FILES_OF_ANY_LOOP + _FILES_BESIDE_IT, "a session in real time", "start again")
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    factory: LoopFactory = uvloop.new_event_loop
    return factory


def require_no_running_loop() -> None:
    """Raise StateError when an event loop runs in this thread: a session makes its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise StateError("a session makes its own event loop; run it in a thread where none runs (asyncio.to_thread)")


def require_files_beside_the_loop() -> None:
    """Raise StorageError when a session in real time, with its loop open, would lack files on its way."""
    _require(_FILES_BESIDE_IT, "a session in real time", "--resume")


def _require(count: int, what: str, then: str) -> None:
    found: list[int] = []
    try:
        while len(found) < count:
            found.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise StorageError(
            f"{what} needs {count} more open files and gets {len(found)} "
            f"({error.strerror}); raise the limit (ulimit -n), then {then}"
        ) from None
    finally:
        for each in found:
            os.close(each)
