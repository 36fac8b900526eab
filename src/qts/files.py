"""Durable, private and atomic files: they survive a power cut, are their owner's alone and never half written."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o600
PUBLIC: Final = 0o644
PART: Final = ".part"
"""How the name of a file ends that is still being written."""
_TRIES: Final = 1_000


def private_opener(path: str, flags: int) -> int:
    """Open a file that only its owner may read, since events hold orders and fills; an ``opener`` of ``open``."""
    return os.open(path, flags | os.O_CLOEXEC, PRIVATE)


def in_place_opener(path: str, flags: int) -> int:
    """Open a private regular file that is written in place; an ``opener`` of ``open``.

    Raises OSError for a symbolic link, a file that is not regular and a file with a second name (a hard link): what
    is written would change a file elsewhere.
    """
    try:
        # O_NONBLOCK: opening a FIFO would wait for its other end.
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


def write_atomically(path: Path, content: bytes, *, mode: int = PRIVATE) -> None:
    """Replace the content of ``path`` atomically; durable when it returns.

    A symbolic link of that name is replaced, never followed. ``mode`` is that of the new file, less what the
    process's mask takes away. Raises OSError, and leaves no temporary file then.
    """
    handle, beside = open_beside(path, mode)
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


def open_beside(path: Path, mode: int) -> tuple[int, Path]:
    """Create a file in the same directory under an unused name; return its descriptor and its path.

    The name begins with a dot and ends in :data:`PART`. Raises OSError.
    """
    for number in count(1):
        beside = path.with_name(f".{path.name[:80]}.{os.getpid()}-{number}{PART}")
        try:
            return os.open(
                beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode
            ), beside
        except FileExistsError:
            if number == _TRIES:
                raise
    raise AssertionError("count() never ends")


def user_cache(env: Mapping[str, str], name: str) -> Path | None:
    """Return the directory ``name`` of QTS below the cache of the user of ``env``; None when the user has no home.

    ``$XDG_CACHE_HOME/qts/NAME``, else ``$HOME/.cache/qts/NAME``; a relative path counts as none. Makes nothing.
    """
    for variable, below in (("XDG_CACHE_HOME", "."), ("HOME", ".cache")):
        base = Path(env.get(variable, ""))
        if base.is_absolute():
            return base / below / "qts" / name
    return None


def check_writable(path: Path) -> None:
    """Raise the OSError with which :func:`write_atomically` would fail at once; changes no file."""
    with contextlib.suppress(FileNotFoundError):
        os.lstat(path)  # a name that is too long, say
    handle, beside = open_beside(path, PRIVATE)
    os.close(handle)
    beside.unlink()


def same_file(one: Path, other: Path) -> bool:
    """Return whether both paths name one file, through symbolic and hard links; also for missing files."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return os.path.realpath(one) == os.path.realpath(other)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable: without its name a new file would be lost.

    Raises OSError when the system cannot.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
