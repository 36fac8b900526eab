"""Keeps a second session from an account that one trades already, on the same machine and for the same user."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from qts.errors import BrokerUnavailable
from qts.files import in_place_opener


class AccountLock:
    """The lock of an account in the file ``path``; ``account`` as people may read it.

    The kernel's (flock): a killed process leaves none behind. One thread at a time.
    """

    def __init__(self, path: Path, account: str) -> None:
        self._path = path
        self._account = account
        self._lock: int | None = None

    def take(self) -> None:
        """Take the lock, again as well. Raises BrokerUnavailable where another session has it, naming its pid."""
        if self._lock is not None:
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = in_place_opener(str(self._path), os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise BrokerUnavailable(
                f"{self._path}: it cannot be known whether another session trades {self._account}: {error.strerror}"
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(lock)
            raise BrokerUnavailable(
                f"another session trades {self._account} (pid {holder}): stop that one, two would count the same "
                "orders and shares as their own"
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode("ascii"), 0)
        self._lock = lock

    def release(self) -> None:
        """Release the lock; may be called twice."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)
