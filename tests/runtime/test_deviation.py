"""The standard deviation with integers is that of the standard library, to the last bit."""

from __future__ import annotations

import math
from statistics import stdev

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qts.runtime.metrics.deviation import sample_deviation


def test_of_a_sample_worked_by_hand() -> None:
    # Mean 5; squares of the distances 9 + 1 + 1 + 1 + 0 + 0 + 4 + 16 = 32, over 7
    assert sample_deviation([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]) == math.sqrt(32 / 7)
    assert sample_deviation([0.5, 0.5, 0.5]) == 0.0


@example(values=[0.0, 0.0])
@example(values=[1e-300, -1e-300])
@example(values=[1e300, 1e-300, -1e300])
@example(values=[0.1] * 19 + [0.1 + 2**-56])
@given(values=st.lists(st.floats(-1e300, 1e300, allow_subnormal=False), min_size=2, max_size=20))
def test_of_any_sample_is_what_the_standard_library_finds(values: list[float]) -> None:
    assert sample_deviation(values) == stdev(values)


@given(values=st.lists(st.floats(-0.3, 0.3), min_size=20, max_size=20))
def test_of_returns_of_20_days_is_what_the_standard_library_finds(values: list[float]) -> None:
    assert sample_deviation(values) == stdev(values)


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_of_what_is_not_finite_there_is_none(value: float) -> None:
    with pytest.raises((ValueError, OverflowError)):
        sample_deviation([1.0, value])
