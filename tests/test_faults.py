"""Each fault that operators are told of has tests that exist, and its page says what its table says."""

from __future__ import annotations

import ast
from functools import cache

import pytest

from tests.faults import PAGE, ROOT, Fault
from tests.faults.page import GROUPS, text

FAULTS = [fault for group in GROUPS for fault in group.faults]


@cache
def names_in(file: str) -> frozenset[str]:
    """Return the names of the tests in ``file``, those of a class as Class::name."""
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        for one in inside:
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef) and one.name.startswith("test_"):
                found.add(prefix + one.name)
    return frozenset(found)


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_a_fault_has_tests_and_each_of_them_exists(fault: Fault) -> None:
    assert fault.tests
    for test in fault.tests:
        file, _, name = test.partition("::")
        there = names_in(file)
        assert there, f"{file} has no tests"
        assert not name or name in there, f"{file} has no {name}"


def test_a_fault_is_told_once() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert all(fault.happens.endswith(".") and fault.does.endswith(".") for fault in FAULTS)


def test_the_page_is_what_its_table_says() -> None:
    assert PAGE.read_text("utf-8") == text(), "run python -m tests.faults"
