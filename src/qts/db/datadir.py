"""The directory of one run: its files, and the lock that keeps a second instance out."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final
from weakref import WeakSet

from qts.clock import NS_PER_MS, PacedClock, SystemClock
from qts.errors import InputError, StateError, StorageError
from qts.files import PART, in_place_opener, sync_directory

LOCK_NAME: Final = "lock"
DATABASE_NAME: Final = "qts.sqlite"
SENT_NAME: Final = "gateway.sent"
"""The gateway's file of the orders that it has sent, of a session at a real broker."""
RECORD_NAME: Final = "feed"
"""The directory with the record of what a live feed has sent."""
STEPS_NAME: Final = "steps"
"""The directory with the record of the steps of a session."""
_MAX_TRIES: Final = 1_000
"""Tries, a millisecond apart, in which another may be found just looking before that counts as in use."""
_JOURNAL_FILES: Final = re.compile(r"p0-\d+\.journal|lock|dead-letters\.jsonl(\.new)?")
_DISK_FAILS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})


class DataDir:
    """A run's directory, made when missing and held until :meth:`close` or the end of the process.

    Raises StateError naming the other process when it is held already, InputError when no directory can be made or
    written there, StorageError when the disk fails. The lock is the kernel's (flock): a killed process leaves none
    behind.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._made = [one for one in (self.path, *self.path.parents) if not one.exists()]
        """The directories that are made for it, the lowest first."""
        self._before = frozenset(() if self._made else _names_in(self.path))
        """The names that were in it before."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock: int | None = in_place_opener(str(self.path / LOCK_NAME), os.O_RDWR | os.O_CREAT)
        except OSError as error:
            kind = StorageError if error.errno in _DISK_FAILS else InputError
            raise kind(
                f"{self.path}: cannot use it as a data directory ({error.strerror}); "
                "give one this user can write to with --data-dir"
            ) from error
        try:
            self._take(self._lock)
        except BaseException:
            self.close()
            raise
        _held.add(self)

    @property
    def database(self) -> Path:
        """Return the path of the embedded store."""
        return self.path / DATABASE_NAME

    def clear(self, *directories: str) -> None:
        """Remove the embedded store, the gateway's file and the named journals, so that the run can begin again.

        The store goes last: as long as it is there, the same is done again after a kill in between. Nothing else
        that lies there goes with them. Raises StorageError when a file cannot be removed.
        """
        store = [self.path / f"{DATABASE_NAME}{ending}" for ending in ("-wal", "-shm", "-journal", "")]
        sent = [self.path / f"{SENT_NAME}{PART}", self.path / SENT_NAME]
        journals = [path for name in directories for path in (self.path / name).glob("*") if _is_of_journal(path)]
        for paths in (journals, sent, store):
            path = self.path
            try:
                for path in paths:
                    path.unlink(missing_ok=True)
                for name in directories:
                    with contextlib.suppress(OSError):  # a file that is not ours is in it
                        (self.path / name).rmdir()
                sync_directory(self.path)
            except OSError as error:
                raise StorageError(
                    f"{self.path}: cannot remove the run before: {error.strerror}: {path}"
                ) from error

    def discard(self, names: Iterable[str]) -> None:
        """Remove what was made here since it was taken, of ``names`` and the store, and directories made for it.

        For a run that has not begun. What lies there beside it stays, and so does what cannot be removed.
        """
        store = [f"{DATABASE_NAME}{ending}" for ending in ("-wal", "-shm", "-journal")]
        for name in {*names, *store} - self._before:
            path = self.path / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # other files are there
            for one in self._made:
                one.rmdir()

    def close(self) -> None:
        """Release the directory; may be called twice."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def __enter__(self) -> DataDir:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self, lock: int) -> None:
        if not _locked(lock):
            holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise StateError(
                f"{self.path}: in use by the process with pid {holder}; stop that one or give another --data-dir"
            )
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode("ascii"), 0)


def _names_in(path: Path) -> Iterable[str]:
    with contextlib.suppress(OSError):  # what is wrong with it shows when it is taken
        return os.listdir(path)
    return ()


def _locked(lock: int) -> bool:
    """Take the lock for this process alone; False when another holds it so.

    A search for runs (:mod:`qts.db.find_run`) shares it for a moment, which keeps no session from beginning.
    """
    for _ in range(_MAX_TRIES):
        if lock_now(lock, fcntl.LOCK_EX):
            return True
        if not lock_now(lock, fcntl.LOCK_SH):
            return False
        clock = PacedClock(SystemClock().now())
        clock.wait_until_ns(clock.time_ns() + NS_PER_MS, lambda: False)
    return False


def lock_now(lock: int, kind: int) -> bool:
    """Take the lock of an open file (``fcntl.LOCK_EX`` or ``LOCK_SH``) if that needs no waiting; whether it was."""
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_of_journal(path: Path) -> bool:
    return path.is_file() and _JOURNAL_FILES.fullmatch(path.name) is not None


_held: WeakSet[DataDir] = WeakSet()


def _release_in_child() -> None:
    # A forked worker that outlives a killed parent must not keep the directory locked.
    for held in list(_held):
        held.close()


os.register_at_fork(after_in_child=_release_in_child)
