"""What every file that must outlive a power cut, or be read by its owner alone, needs."""

from __future__ import annotations

import os
from pathlib import Path


def private(path: str, flags: int) -> int:
    """An ``opener`` of files that only their owner may read: events tell orders and fills."""
    return os.open(path, flags, 0o600)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable: the content of a new file would be nowhere without its name.

    Raises OSError when the system cannot.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
