"""The reference pages, made from the code so that they cannot differ from it.

``qts docs`` writes them, ``qts docs --check`` and a test refuse a page that is out of date.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from qts.errors import InputError
from qts.files import PUBLIC
from qts.report.output_path import write_output
from qts.report.reference.indicators import indicators_page
from qts.report.reference.limits import limits_page
from qts.report.reference.lists import (
    codes_page,
    command_line_page,
    configuration_page,
    invariants_page,
    refusals_page,
)
from qts.report.reference.machines import events_page, operating_state_page, orders_page, safety_page
from qts.report.reference.markdown import NOTICE

__all__ = ["INDEX", "reference_pages", "stale_pages", "write_pages"]

INDEX: Final = "README.md"


def reference_pages(commands: Mapping[str, argparse.ArgumentParser]) -> dict[str, str]:
    """Return every page by file name, the index first; ``commands`` are the command line's own parsers."""
    pages = {
        "command-line.md": command_line_page(commands),
        "configuration.md": configuration_page(),
        "events.md": events_page(),
        "operating-state.md": operating_state_page(),
        "safety.md": safety_page(),
        "codes.md": codes_page(),
        "orders.md": orders_page(),
        "refusals.md": refusals_page(),
        "limits.md": limits_page(),
        "invariants.md": invariants_page(),
        "indicators.md": indicators_page(),
    }
    return {INDEX: _index(pages), **pages}


def write_pages(directory: Path, pages: Mapping[str, str]) -> list[Path]:
    """Write every page, remove what is no page any more; return the paths that changed.

    Raises InputError, and writes nothing, when another file has the name of a page; StorageError when the disk
    fails.
    """
    changed = [directory / name for name in stale_pages(directory, pages)]
    for path in changed:
        if os.path.lexists(path) and (path.is_symlink() or not path.is_file() or not _is_ours(path)):
            raise InputError(f"{path} is no page that was written from the code; name another directory with --out")
    if changed:
        directory.mkdir(parents=True, exist_ok=True)
    for path in changed:
        if path.name in pages:
            write_output("the page", path, pages[path.name].encode(), mode=PUBLIC)
        else:
            path.unlink()
    return changed


def stale_pages(directory: Path, pages: Mapping[str, str]) -> list[str]:
    """Return the names of pages that are missing, differ, or are no longer made, in order."""
    left_over = {path.name for path in directory.glob("*.md") if path.name not in pages and _is_ours(path)}
    differing = {name for name, text in pages.items() if _text_of(directory / name) != text}
    return sorted(left_over | differing)


def _is_ours(path: Path) -> bool:
    """Return whether this module wrote the page: any other file of the directory stays."""
    return NOTICE in path.read_text(encoding="utf-8", errors="replace").splitlines()[:3]


def _text_of(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None


def _index(pages: Mapping[str, str]) -> str:
    lines = [f"- [{text.splitlines()[0].removeprefix('# ')}]({name})" for name, text in pages.items()]
    return "\n".join(["# Reference", "", NOTICE, "", *lines, ""])
