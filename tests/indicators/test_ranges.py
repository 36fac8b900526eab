"""The range of a bar with the gap before it."""

from __future__ import annotations

import pytest

from qts.indicators import true_range


@pytest.mark.parametrize(("previous", "expected"), [(100.0, 4.0), (110.0, 12.0), (90.0, 12.0)])
def test_true_range_includes_the_gap(previous: float, expected: float) -> None:
    assert true_range(102.0, 98.0, previous) == expected
