"""The path of a report or a plot: checked before the work, not after it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from qts.errors import InputError, StorageError
from qts.files import PRIVATE, check_writable, write_atomically

NEVER_REPLACED: Final = frozenset(
    {
        *(".py", ".pyi", ".ipynb", ".sh", ".md", ".txt", ".yaml", ".yml", ".toml", ".ini"),
        *(".csv", ".tsv", ".json", ".jsonl", ".gz", ".zip", ".parquet"),
        *(".db", ".sqlite", ".sqlite-wal", ".sqlite-shm", ".journal"),
    }
)
"""Endings of programs, settings and data: a file of that kind was not made as a report or a plot."""


def require_output_path(what: str, path: Path, *, made: Path | None = None) -> None:
    """Raise :class:`~qts.errors.InputError` when ``what`` ("the report") cannot be written to ``path``.

    ``made`` is a directory that the work itself makes, with those above it, if they are missing.
    """
    # os.path, because Path.is_dir raises for a name that is too long.
    if os.path.isdir(path):
        raise InputError(f"{what} cannot go to {path}: that is a directory; name the file in it")
    if not os.path.isdir(path.parent):
        if made is not None and made.absolute().is_relative_to(path.parent.absolute()):
            return
        raise InputError(f"{what} cannot go to {path}: there is no directory {path.parent}; create it first")
    _refuse_what_is_no_report(what, path)
    try:
        check_writable(path)
    except OSError as error:
        raise InputError(
            f"{what} cannot go to {path}: {error.strerror or error}; name a file this user can write"
        ) from None


def write_output(what: str, path: Path, content: bytes, *, mode: int = PRIVATE) -> None:
    """Write ``what`` to ``path``, wholly or not at all. Raises :class:`~qts.errors.StorageError`."""
    try:
        write_atomically(path, content, mode=mode)
    except OSError as error:
        raise StorageError(f"cannot write {what} {path}: {error.strerror or error}") from None


def _refuse_what_is_no_report(what: str, path: Path) -> None:
    """Refuse to replace links, devices and files of other kinds."""
    try:
        found = os.lstat(path)
    except OSError:  # nothing there yet, or nothing that can be read: the attempt reports it
        return
    if stat.S_ISLNK(found.st_mode):
        raise InputError(
            f"{what} cannot go to {path}: that is a symbolic link to {os.readlink(path)}; name a file itself"
        )
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{what} cannot go to {path}: that is not a regular file; name another one")
    if path.suffix.lower() in NEVER_REPLACED:
        raise InputError(
            f"{what} cannot go to {path}: a file with the ending {path.suffix} is there, which {what} never "
            "replaces; name another one, or move that one away first"
        )
