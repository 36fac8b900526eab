"""The table of equivalent mutants speaks of the code as it is."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.mutation.accepted import ROOT, Row, read


def test_no_mutant_stands_there_twice() -> None:
    assert [key for key, times in Counter(row.key for row in read()).items() if times > 1] == []


@pytest.mark.parametrize("module", sorted({row.module for row in read()}))
def test_every_row_names_a_line_of_its_module_and_a_reason(module: str) -> None:
    lines = {line.strip() for line in (ROOT / module).read_text().splitlines()}
    assert [row for row in read() if row.module == module and not _fits(row, lines)] == []


def _fits(row: Row, lines: set[str]) -> bool:
    return row.line in lines and row.line != row.mutated and bool(row.reason)
