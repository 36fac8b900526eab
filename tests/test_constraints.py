"""Every library that QTS and its tests use is pinned to the version that they were run with."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
APART = frozenset({"bench", "notebook"})
"""Extras that the tests do not install."""
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
LINES = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if not line.startswith("#")]


def name_of(text: str) -> str:
    """Return the name that a requirement begins with, in its one spelling."""
    return re.sub(r"[-_.]+", "-", Requirement(text).name).lower()


def needed(requirements: Iterable[str], extras: frozenset[str], seen: set[str]) -> Iterator[str]:
    """Yield the names that ``requirements`` lead to, as far as they are installed here."""
    for text in requirements:
        one = Requirement(text)
        if one.marker and not any(one.marker.evaluate({"extra": extra}) for extra in extras or {""}):
            continue
        if f"{one.name} {sorted(one.extras)}" in seen:
            continue
        seen.add(f"{one.name} {sorted(one.extras)}")
        yield name_of(text)
        try:
            further = distribution(one.name).requires or ()
        except PackageNotFoundError:
            continue
        yield from needed(further, frozenset(one.extras), seen)


PINNED = {name_of(line) for line in LINES}


def test_each_line_names_one_version() -> None:
    assert [line for line in LINES if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.+!]*", line)] == []
    assert sorted(LINES, key=lambda line: line.partition("==")[0].lower()) == LINES
    assert len(PINNED) == len(LINES)


@pytest.mark.parametrize("extra", sorted(EXTRAS.keys() - APART))
def test_what_is_required_is_pinned_with_all_that_it_leads_to(extra: str) -> None:
    assert set(needed(EXTRAS[extra], frozenset(), set())) - PINNED == set()
