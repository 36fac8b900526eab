"""Opens the file of a store for reading, and says how long any connection to it waits."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final
from urllib.parse import quote

BUSY_S: Final = 1.0
"""Seconds to wait for another writer; there should be none, the data directory is locked."""


def open_to_read(path: Path, *, immutable: bool = False, any_thread: bool = False) -> sqlite3.Connection:
    """Open ``path`` for reading alone; raises sqlite3.Error.

    ``immutable``: no process writes the file, so that nothing is made beside it. ``any_thread``: it may be used
    from any thread, by one at a time.
    """
    return sqlite3.connect(
        f"file:{quote(os.fsencode(path.absolute()))}?mode=ro{'&immutable=1' if immutable else ''}",
        uri=True,
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=not any_thread,
    )


def is_logged(path: Path) -> bool:
    """Return whether the file has a log beside it.

    Without one no process has it open; then a reader does not even make the files that readers share: they would
    belong to the reading user, not to the trading one.
    """
    return path.with_name(f"{path.name}-wal").exists()
