"""The store of a session: which kind it is, and how durable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qts.db.session import SessionStore
from qts.db.sqlite import SqliteStore


def open_store(path: Path, *, paced: bool) -> SessionStore:
    """Open the store that a session writes; its simulated broker may rewind it.

    A replay survives kill -9 of the process, a session in real time the loss of the machine, too. Raises
    StorageError.
    """
    return SqliteStore(path, durability="FULL" if paced else "NORMAL", rewindable=True)


@contextmanager
def stored_run(path: Path) -> Iterator[SessionStore]:
    """Open the store at ``path`` for somebody who only reads. Raises StorageError."""
    store = SqliteStore(path, durability="NORMAL")
    try:
        yield store
    finally:
        store.close()
