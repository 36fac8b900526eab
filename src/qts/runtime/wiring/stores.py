"""Opens the store of a session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qts.db.reading import StoreReader
from qts.db.session import SessionStore
from qts.db.sqlite import SqliteStore
from qts.errors import StorageError
from qts.runtime.persistence.checkpoint import decode


def open_store(path: Path, *, paced: bool) -> SessionStore:
    """Open the store that a session writes; a simulated broker may rewind it.

    A replay survives kill -9 of the process, a session in real time the loss of the machine too. Raises
    StorageError.
    """
    return SqliteStore(path, durability="FULL" if paced else "NORMAL", rewindable=True)


@contextmanager
def stored_run(path: Path) -> Iterator[SessionStore]:
    """Open the store at ``path`` for reading. Raises StorageError.

    The store of an unfinished run that only an earlier version can finish is not migrated.
    """
    _leave_to_its_version(path)
    store = SqliteStore(path, durability="NORMAL")
    try:
        yield store
    finally:
        store.close()


def _leave_to_its_version(path: Path) -> None:
    """Raise StorageError when opening the store would keep the version that began its run from finishing it."""
    try:
        with StoreReader(path) as reader:
            run = reader.run()
            left = run is not None and not run.finished and reader.is_behind
            checkpoint = reader.checkpoint() if left else None
    except StorageError:
        return  # opening the store raises it with advice
    if checkpoint is not None:
        decode(checkpoint)
