"""Nothing that trades reads a cache: only commands import what can, and what decides knows of none."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

SRC = Path(__file__).parents[2] / "src" / "qts"
READERS = ("qts.cache.manager", "qts.cache.encoding")
"""Modules that turn what a cache holds into values."""
MAY_READ = ("cache/", "cli/", "runtime/caching/cache_reading.py")
"""The cache itself, and commands with the one module that reads for them."""
KNOW_NO_CACHE = (
    "pipeline/",
    "event/",
    "broker/",
    "db/",
    "runtime/orders/",
    "runtime/strategies/",
    "runtime/checks/",
)
"""Packages that decide, that deliver to those that do, and that book."""


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def offences(places: tuple[str, ...], modules: tuple[str, ...], *, inside: bool) -> list[str]:
    found = []
    for path in sorted(SRC.rglob("*.py")):
        name = path.relative_to(SRC).as_posix()
        if name.startswith(places) is inside:
            found += [f"{name}: {one}" for one in imports_of(path) if f"{one}.".startswith(modules)]
    return found


def test_only_commands_import_what_reads_a_cache() -> None:
    modules = tuple(f"{module}." for module in READERS)

    assert offences(MAY_READ, modules, inside=False) == []
    assert offences(("cache/",), modules, inside=True) != []  # the search finds what there is


def test_a_session_does_not_import_the_module_that_reads_for_commands() -> None:
    assert offences(MAY_READ, ("qts.runtime.caching.cache_reading.",), inside=False) == []


def test_what_decides_about_an_order_knows_no_cache() -> None:
    assert offences(KNOW_NO_CACHE, ("qts.cache.",), inside=True) == []
    assert all(any(SRC.glob(f"{place}*.py")) for place in KNOW_NO_CACHE)
