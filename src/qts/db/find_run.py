"""Find the run that a command means when no directory is named: the newest live one, else the newest.

Nothing is locked for longer than one look, nothing is written: a session is not disturbed by a search.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

import msgspec

from qts.db.datadir import DATABASE_NAME, LOCK_NAME, lock_now
from qts.errors import InputError

DEFAULT_ROOT: Final = Path("qts-data")
"""Folder in which the directories of runs are made unless one is named."""


class FoundRun(msgspec.Struct, frozen=True):
    """One run's directory. ``live``: a process holds it now. ``pid``: the process that holds it or held it last.

    ``pid`` is None when the directory does not say, and counts in the holder's own namespace. ``begun_ns`` is when
    the directory was last taken, in nanoseconds since 1970 by the machine's clock.
    """

    directory: Path
    live: bool
    pid: int | None
    begun_ns: int


def run_in(directory: Path) -> FoundRun:
    """Return the run in ``directory``. Raises InputError when it is none or cannot be looked into."""
    if not directory.is_dir():
        raise InputError(f"{directory} is no directory; give the one of a run with --data-dir")
    found = _look(directory)
    if found is None:
        raise InputError(
            f"{directory} is not the directory of a run: it holds no {DATABASE_NAME} and no {LOCK_NAME}"
        )
    return found


def runs_under(root: Path = DEFAULT_ROOT) -> list[FoundRun]:
    """Return the runs in ``root`` and in the directories directly in it, the one last begun first.

    Directories that this user may not look into are left out.
    """
    runs = []
    for directory in (root, *_directories_in(root)):
        try:
            found = _look(directory)
        except InputError:
            continue
        if found is not None:
            runs.append(found)
    return sorted(runs, key=lambda run: (-run.begun_ns, str(run.directory)))


def find_run(named: Path | None = None, root: Path = DEFAULT_ROOT) -> FoundRun:
    """Return the run that is meant: the ``named`` one, else the newest live one, else the newest.

    Raises InputError, saying what to give, when there is none.
    """
    if named is not None:
        return run_in(named)
    runs = runs_under(root)
    if not runs:
        raise InputError(f"there is no run in {root.absolute()}; begin one with qts run, or give --data-dir DIR")
    return next((run for run in runs if run.live), runs[0])


def _directories_in(root: Path) -> list[Path]:
    try:
        with os.scandir(root) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir())
    except OSError:
        return []


def _look(directory: Path) -> FoundRun | None:
    """Return the run in a directory, None where there is none. Raises InputError when that cannot be found out."""
    try:
        lock = os.open(directory / LOCK_NAME, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return _without_lock(directory)
    except OSError as error:
        raise InputError(
            f"{directory}: cannot look into it ({error.strerror}); ask as the user who runs it"
        ) from error
    try:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        pid = int(holder) if holder.isascii() and holder.isdigit() else None
        return FoundRun(directory, _is_held(lock), pid, os.fstat(lock).st_mtime_ns)
    except OSError as error:
        raise InputError(f"{directory}: its {LOCK_NAME} cannot be read ({error.strerror})") from error
    finally:
        os.close(lock)


def _without_lock(directory: Path) -> FoundRun | None:
    """Return a copy of a run, made without its lock."""
    try:
        written = (directory / DATABASE_NAME).stat()
    except OSError:
        return None
    return FoundRun(directory, live=False, pid=None, begun_ns=written.st_mtime_ns)


def _is_held(lock: int) -> bool:
    """Return whether another holds the lock for itself; it is shared for the moment of the look, and released."""
    if not lock_now(lock, fcntl.LOCK_SH):
        return True
    fcntl.flock(lock, fcntl.LOCK_UN)
    return False
