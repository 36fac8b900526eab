"""What every file that must outlive a power cut, be read by its owner alone, or never be half written needs."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from itertools import count
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o600
PUBLIC: Final = 0o644
_TRIES: Final = 1_000


def private(path: str, flags: int) -> int:
    """An ``opener`` of files that only their owner may read: events tell orders and fills."""
    return os.open(path, flags | os.O_CLOEXEC, PRIVATE)


def own(path: str, flags: int) -> int:
    """An ``opener`` of private files that are written where they stand, and of no others.

    Raises OSError for a symbolic link, for what is no regular file and for a file with a second name (a hard
    link): what is written would change something that lies elsewhere.
    """
    try:
        # O_NONBLOCK: a FIFO would keep us waiting for somebody at its other end.
        handle = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, PRIVATE)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a symbolic link; put the file itself there", path) from None
        raise
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file; move it away", path)
        if found.st_nlink > 1:
            raise OSError(errno.EMLINK, "it has a second name (a hard link); put a file of its own there", path)
        os.set_blocking(handle, True)
    except BaseException:
        os.close(handle)
        raise
    return handle


def write_whole(path: Path, content: bytes, *, mode: int = PRIVATE) -> None:
    """Let ``path`` hold ``content``: wholly, or as it was before. Durable when it returns.

    A symbolic link of that name is replaced, never followed. ``mode`` is that of the new file, less what the
    process's mask takes away. Raises OSError; nothing is left beside it then.
    """
    handle, beside = _open_beside(path, mode)
    try:
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    sync_directory(path.parent)


def try_beside(path: Path) -> None:
    """Raise the OSError with which :func:`write_whole` would fail at once; leaves everything as it was."""
    with contextlib.suppress(FileNotFoundError):
        os.lstat(path)  # a name that is too long, say
    handle, beside = _open_beside(path, PRIVATE)
    os.close(handle)
    beside.unlink()


def same_file(one: Path, other: Path) -> bool:
    """Whether the two name one file, through symbolic and hard links; also for files that are not there yet."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return os.path.realpath(one) == os.path.realpath(other)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable: the content of a new file would be nowhere without its name.

    Raises OSError when the system cannot.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _open_beside(path: Path, mode: int) -> tuple[int, Path]:
    """A new file in the same directory, under a name that nothing there has."""
    for number in count(1):
        beside = path.with_name(f".{path.name[:80]}.{os.getpid()}-{number}.part")
        try:
            return os.open(
                beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode
            ), beside
        except FileExistsError:
            if number == _TRIES:
                raise
    raise AssertionError("count() never ends")
