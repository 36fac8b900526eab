"""Reads the rows of a run in a data directory, of one that an earlier version wrote as well."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from qts.db.connections import open_to_read
from qts.db.datadir import DATABASE_NAME
from qts.db.failures import explanation
from qts.db.find_run import FoundRun
from qts.db.migrate import migrate, migrations
from qts.db.reading import StoreReader
from qts.db.run_copy import RunRows, run_at
from qts.errors import InputError


@contextmanager
def run_rows(found: FoundRun) -> Iterator[RunRows]:
    """Return the rows of the run in a directory as of one moment; nothing in it is written.

    The book of an earlier version is brought to the newest schema in a temporary copy. Raises InputError when no
    run has begun there, StorageError for a file that cannot be read, is damaged, or was altered.
    """
    path = found.directory / DATABASE_NAME
    if not path.exists():
        raise InputError(f"{found.directory} holds no run yet: there is no {DATABASE_NAME} in it")
    with StoreReader(path) as store:
        if store.run() is None:
            raise InputError(f"{found.directory} holds no run yet: its {DATABASE_NAME} is empty")
        if not found.live:
            store.verify_history()  # a live session verifies its own
        is_behind = store.is_behind
    if not is_behind:
        with run_at(path) as rows:
            yield rows
        return
    with tempfile.TemporaryDirectory(prefix="qts-") as directory:
        copy = Path(directory) / DATABASE_NAME
        try:
            with closing(open_to_read(path)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)
            with closing(sqlite3.connect(copy, isolation_level=None)) as target:
                migrate(target, migrations(), str(path))
        except sqlite3.Error as error:
            raise explanation(path, "copy", error) from error
        with run_at(copy) as rows:
            yield rows
