"""The name of a prepared capture: a hash of all that it was made of."""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import msgspec

from qts.market.prepared.layout import MAGIC

_LIBRARIES: Final = ("msgspec", "pyarrow")
"""Libraries that take part in reading rows."""


def capture_key(content: str, reading: Any) -> str | None:
    """Return the SHA-256 (hex) of everything that decides what is in a capture; None when it cannot be told.

    ``content`` is the SHA-256 of the file; ``reading`` is plain data: format, currency, instruments, declarations.
    """
    code = parser_version()
    if not code:
        return None
    parts = [MAGIC.decode(), sys.byteorder, code, content, reading]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


@cache
def parser_version() -> str:
    """Return the SHA-256 of the code that reads rows, this package's own and its libraries' versions; "" when the
    sources are not here.

    A number raised by hand would be forgotten once, and the values of an older parser be traded.
    """
    package = Path(__file__).parents[1]
    sources = [*sorted(package.rglob("*.py")), package.parent / "money.py"]
    digest = hashlib.sha256()
    try:
        for path in sources:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    except OSError:
        return ""
    for name in _LIBRARIES:
        try:
            digest.update(f"{name} {version(name)}\n".encode())
        except PackageNotFoundError:
            continue
    return digest.hexdigest() if len(sources) > 1 else ""
