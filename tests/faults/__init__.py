"""What may go wrong, what QTS does then, and the tests that let it happen: ``docs/operations/faults.md``.

``python -m tests.faults`` writes the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/operations/faults.md"


class Fault(NamedTuple):
    """A fault by its ``name``, what ``happens``, what QTS ``does``, and its ``tests``: file::function."""

    name: str
    happens: str
    does: str
    tests: tuple[str, ...]


class Group(NamedTuple):
    """Faults of one kind under a ``title``."""

    title: str
    faults: tuple[Fault, ...]
