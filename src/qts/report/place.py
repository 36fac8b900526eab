"""Whether a file can be written where the user wants it: asked before the work, not after it."""

from __future__ import annotations

import os
from pathlib import Path

from qts.errors import InputError


def part_of(path: Path) -> Path:
    """Where a file is written before it takes its name, so that nobody sees half of it."""
    return path.with_name(f".{path.name}.part")


def require_place(what: str, path: Path, *, made: Path | None = None) -> None:
    """Raises :class:`~qts.errors.InputError` when ``what`` ("the report") cannot be written to ``path``.

    ``made`` is a directory that the work itself makes, with those above it, if they are missing.
    """
    # os.path, because Path.is_dir raises for a name that is too long.
    if os.path.isdir(path):
        raise InputError(f"{what} cannot go to {path}: that is a directory; name the file in it")
    if not os.path.isdir(path.parent):
        if made is not None and made.absolute().is_relative_to(path.parent.absolute()):
            return
        raise InputError(f"{what} cannot go to {path}: there is no directory {path.parent}; create it first")
    probe = part_of(path)
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"{what} cannot go to {path}: {error.strerror or error}; name a file this user can write"
        ) from None
