"""Makes the event loop of a session."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Final

from qts.errors import StorageError

_FILES_OF_A_LOOP: Final = 9
"""What an event loop, its threads and a look at the operator's commands open at most."""


def fastest_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop where it is installed (extra ``fast``), else the loop of the standard library.

    Raises StorageError when the process may not open the files that a loop needs: uvloop would end it by a signal.
    """
    _require_files()
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _require_files() -> None:
    found: list[int] = []
    try:
        while len(found) < _FILES_OF_A_LOOP:
            found.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise StorageError(
            f"a session in real time needs {_FILES_OF_A_LOOP} more open files and gets {len(found)} "
            f"({error.strerror}); raise the limit (ulimit -n), then --resume"
        ) from None
    finally:
        for each in found:
            os.close(each)
