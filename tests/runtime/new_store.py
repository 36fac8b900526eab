"""Stores of sessions, made from one that is empty: the migrations take longer than everything else of a rig."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Literal

from qts.db.sqlite import SqliteStore


def opened_store(
    path: Path, *, durability: Literal["NORMAL", "FULL"] = "NORMAL", rewindable: bool = True
) -> SqliteStore:
    """Open the store at ``path``, one that may be rewound unless it says otherwise; a new one if there is none."""
    if not path.exists():
        path.write_bytes(empty_store())
        path.chmod(0o600)
    return SqliteStore(path, durability=durability, rewindable=rewindable)


@cache
def empty_store() -> bytes:
    """Return the file of a store without a run."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "empty.sqlite")
        SqliteStore(path, durability="NORMAL", rewindable=True).close()
        return path.read_bytes()
