"""Reads the result of a finished run from its directory."""

from __future__ import annotations

from pathlib import Path

import msgspec

from qts.db.datadir import DATABASE_NAME
from qts.db.find_run import run_in
from qts.db.reading import StoreReader
from qts.errors import InputError, StorageError
from qts.runtime.session.result import SessionResult


def finished_run(directory: Path) -> SessionResult:
    """Return what the finished run in ``directory`` has left.

    Raises InputError for a directory without a run and for a run that has not finished, and StorageError when its
    store cannot be read or holds a result that this version does not know.
    """
    found = run_in(directory)
    path = directory / DATABASE_NAME
    run = None
    if path.exists():
        with StoreReader(path) as reader:
            run = reader.run()
    if run is None or not run.finished:
        what = "is still running" if found.live else "has not finished; continue it with --resume"
        raise InputError(f"the run in {directory} {what}; only a finished one has a result")
    try:
        return SessionResult.stored(run.result, directory)
    except msgspec.DecodeError as error:
        raise StorageError(
            f"the result of the run in {directory} is of another version ({error}); run it again"
        ) from None
