"""Standard output with its failures: a closed pipe, a full disk, an encoding without our characters."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from typing import Final, TextIO, cast

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""Errors of the system when a file cannot take what is written."""

OUT_OF_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE})
"""Errors of the system when no further file may be open."""
RAISE_LIMIT: Final = "no more files may be open: raise the limit (ulimit -n), then try again"

_STANDARD_ERROR: Final = 2


def ran_out_of_files(error: BaseException) -> bool:
    """Return whether ``error`` or one of its causes is that no further file could be opened."""
    looked_at: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in looked_at:
        if isinstance(cause, OSError) and cause.errno in OUT_OF_FILES:
            return True
        looked_at.append(cause)
        cause = cause.__cause__ or cause.__context__
    return False


def replace_unencodable() -> None:
    """Print characters that the terminal's encoding lacks as "?" instead of ending with a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="replace")


def occupy_standard_descriptors() -> None:
    """Open the null device under the descriptors 0 to 2 that the caller has closed.

    A file of the session that got such a number would receive what a library prints.
    """
    while (handle := os.open(os.devnull, os.O_RDWR)) <= _STANDARD_ERROR:
        os.set_inheritable(handle, True)
    os.close(handle)


@contextlib.contextmanager
def closed_pipe_ignored() -> Iterator[None]:
    """Drop the rest of the output when its reader has left, as ``| head`` does; that is no error."""
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()  # here, because at the end of the interpreter an error could not be handled
    except BrokenPipeError:
        drop_output()


@contextlib.contextmanager
def held_terminal_ignored(*, stopped: bool) -> Iterator[None]:
    """Let the output of a session that was ``stopped`` not wait for a held terminal (Ctrl-S, a broken connection).

    Everything is on disk by then. Output that the terminal does not take within a second is dropped.
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
    """Send what standard output still holds to the null device, so that it does not fail again at the end."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
