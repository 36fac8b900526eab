"""The installed distribution of QTS, and another one that claims the same import package.

QTS is distributed as ``qts-runtime``; ``qts`` on the package index is a package of other authors with files at the
same place. The search lists directories and reads at most a few small files, because every command does it and
``importlib.metadata`` alone takes as long to import as the rest of the command line.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

NAME: Final = "qts-runtime"
_IMPORT_PACKAGE: Final = "qts"
_OUR_COMMAND: Final = "qts.cli.main:main"
_FOLDERS: Final = (".dist-info", ".egg-info")


class Foreign(NamedTuple):
    """A distribution named ``qts`` that is not ours: its version, and the directory that holds its metadata."""

    version: str
    directory: Path


def version() -> str:
    """Return the version of the installed distribution; "unknown" when the code runs without being installed."""
    from importlib import metadata

    try:
        return metadata.version(NAME)
    except metadata.PackageNotFoundError:
        return "unknown (not installed)"


def foreign_distribution(search_path: Iterable[str]) -> Foreign | None:
    """Return the first distribution in ``search_path`` that is named ``qts`` and is not ours; None without one.

    An earlier installation of QTS itself under that name is ours: its command is the same function.
    """
    for directory in search_path:
        try:
            names = os.listdir(directory or ".")
        except OSError:
            continue
        for name in names:
            if name[:3].lower() == _IMPORT_PACKAGE and name.endswith(_FOLDERS):
                found = _foreign_in(Path(directory), name)
                if found is not None:
                    return found
    return None


def warning_about(foreign: Foreign) -> str:
    """Return the sentence that says what is wrong and what to do."""
    return (
        f"warning: another package named 'qts' ({foreign.version}) is installed in {foreign.directory}; it and QTS "
        "overwrite or hide each other's files. Remove both and install QTS again: "
        f"pip uninstall {_IMPORT_PACKAGE} {NAME}"
    )


def _foreign_in(directory: Path, name: str) -> Foreign | None:
    folder = directory / name
    fields = _head_of(folder)
    if fields.get("name", "").lower() != _IMPORT_PACKAGE:
        return None
    if _OUR_COMMAND in _text_of(folder / "entry_points.txt").replace(" ", ""):
        return None
    return Foreign(fields.get("version", "unknown version"), directory)


def _head_of(folder: Path) -> dict[str, str]:
    """Return the header fields of a distribution's metadata by name in lower case; ``folder`` may be a file."""
    for path in (folder / "METADATA", folder / "PKG-INFO", folder):
        if text := _text_of(path):
            head = text.replace("\r\n", "\n").partition("\n\n")[0]
            pairs = (line.partition(":") for line in head.split("\n"))
            return {key.strip().lower(): value.strip() for key, _, value in reversed(list(pairs))}
    return {}


def _text_of(path: Path) -> str:
    """Return the text of a file; "" when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
