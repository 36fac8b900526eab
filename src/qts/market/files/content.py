"""The content of a file as a whole: its SHA-256, its first bytes, and whether it can be read at all."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

from qts.errors import DataError


def hash_and_magic(path: Path) -> tuple[str, bytes]:
    """Return the SHA-256 of the content and its first bytes; DataError for whatever cannot be read as a file."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise DataError(f"{path}: this is a directory; name one file")
        if not stat.S_ISREG(mode):
            raise DataError(f"{path}: not a regular file; a replay must be able to read its input again")
        with path.open("rb") as file:
            magic = file.read(4)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except PermissionError:
        raise DataError(f"{path}: no permission to read this file") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if not magic:
        raise DataError(f"{path}: the file is empty")
    return digest, magic
