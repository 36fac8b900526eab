"""Standard output as it comes: a reader who leaves, a disk that is full, an encoding without our characters."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Final, TextIO, cast

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What the system says when a file cannot take what is written."""

OUT_OF_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE})
"""What the system says when no further file may be open."""
RAISE_LIMIT: Final = "no more files may be open: raise the limit (ulimit -n), then try again"

_STANDARD_ERROR: Final = 2


def ran_out_of_files(error: BaseException) -> bool:
    """Tell whether ``error``, or what it was raised for, is that no further file could be opened."""
    looked_at: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in looked_at:
        if isinstance(cause, OSError) and cause.errno in OUT_OF_FILES:
            return True
        looked_at.append(cause)
        cause = cause.__cause__ or cause.__context__
    return False


def print_anywhere() -> None:
    """Show what the terminal's encoding does not have as "?": nothing that is printed is worth a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")


def occupy_standard_descriptors() -> None:
    """Give the numbers 0 to 2 to nothing where the caller has closed them.

    A file of the session that got such a number would take whatever a library prints.
    """
    while (handle := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        os.set_inheritable(handle, True)
    os.close(handle)


@contextlib.contextmanager
def reader_may_leave() -> Iterator[None]:
    """``| head`` has seen enough: what is still to be printed is dropped, and nothing is wrong."""
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()  # not first at the end of the interpreter, where nobody answers for it
    except BrokenPipeError:
        drop_output()


@contextlib.contextmanager
def terminal_may_be_held(*, stopped: bool) -> Iterator[None]:
    """After a session that was ``stopped`` wait for no terminal that takes nothing (Ctrl-S, a line that hangs).

    Everything is on disk by then. What it does not take within a second is dropped.
    """
    if not stopped or sys.stdout is None or not sys.stdout.isatty():
        yield
        return
    from qts.runtime.drivers.standard_output import BackgroundStream, BackgroundWriter

    writer = BackgroundWriter(sys.stdout)
    try:
        with contextlib.redirect_stdout(cast(TextIO, BackgroundStream(writer))):
            yield
    finally:
        writer.drain()
        writer.close()


def drop_output() -> None:
    """Let whatever standard output still holds go nowhere, so that it does not fail once more at the end."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
