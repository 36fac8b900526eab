"""Makes the event loop of a session, and checks beforehand that the process may open enough files for it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final, TypeAlias

from qts.errors import StateError, StorageError
from qts.wording import counted

LoopFactory: TypeAlias = "Callable[[], asyncio.AbstractEventLoop]"
_PLAIN_LOOP_FILES: Final = 3
_ANY_LOOP_FILES: Final = 5
_SESSION_FILES: Final = 4
"""Files that the threads of a session in real time and one read of the operator's commands open at most."""


def plain_loop() -> LoopFactory:
    """Return the factory of the standard library's event loop, for a session on the virtual clock.

    Raises StorageError when the process may not open the files that it needs.
    """
    _require(_PLAIN_LOOP_FILES, "a session", "start again")
    return asyncio.new_event_loop


def fastest_loop() -> LoopFactory:
    """Return the factory of uvloop's loop where it is installed (extra ``fast``), else of the standard library's.

    Raises StorageError when the process may not open the files that a session in real time needs: without them
    uvloop would end the process by a signal.
    """
    _require(_ANY_LOOP_FILES + _SESSION_FILES, "a session in real time", "start again")
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    factory: LoopFactory = uvloop.new_event_loop
    return factory


def require_no_running_loop() -> None:
    """Raise StateError when an event loop already runs in this thread: a session makes its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise StateError("a session makes its own event loop; run it in a thread where none runs (asyncio.to_thread)")


def require_session_files() -> None:
    """Raise StorageError when a session in real time, whose loop is open already, would lack file descriptors."""
    _require(_SESSION_FILES, "a session in real time", "--resume")


def _require(count: int, what: str, then: str) -> None:
    """Open ``count`` descriptors for a moment; raise StorageError when that many are not free."""
    found: list[int] = []
    try:
        while len(found) < count:
            found.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise StorageError(
            f"{what} needs {counted(count, 'more open file')} and gets {len(found)} "
            f"({error.strerror}); raise the limit (ulimit -n), then {then}"
        ) from None
    finally:
        for each in found:
            os.close(each)
