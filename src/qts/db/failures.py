"""Explains what SQLite refuses: what could not be done with the file, why, and what to do."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from qts.db.decoding import RESTORE
from qts.errors import StorageError

_ADVICE: Final = (
    ("full", "free space on the disk, then resume the run"),
    ("locked", "another process is writing to it; stop that one first"),
    ("busy", "another process is writing to it; stop that one first"),
    ("readonly", "give this user the right to write to the file and its directory"),
    (
        "unable to open",
        "the directory must exist, this user must be able to write to it, and the process to open files "
        "(ulimit -n)",
    ),
    ("malformed", RESTORE),
    ("could not decode", RESTORE),
    ("no such table", RESTORE),
    ("already exists", RESTORE),
    ("mismatch", RESTORE),
    ("not a database", "the file is something else; give another data directory or move it away"),
    ("disk i/o", "the disk fails or was removed; check it, then resume the run"),
)


def explanation(path: Path, what: str, error: sqlite3.Error) -> StorageError:
    """Return the error that names what could not be done with the file, why, and what to do."""
    return StorageError(f"{path}: cannot {what}: {error}; {_advice(error)}")


def _advice(error: sqlite3.Error) -> str:
    text = str(error).lower()
    if isinstance(error, sqlite3.IntegrityError):
        return "nothing of the batch was written; the row breaks a rule of the schema, which is a defect: report it"
    return next((advice for word, advice in _ADVICE if word in text), "nothing of it was written; see the message")
