"""Figures of a window: those of its numbers, however long it has run and whatever has passed through it."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from bench.indicator_drift import run as run_drift
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.indicators.windows import HighestWindow, LastNumbers, MeanWindow, SpreadWindow, Total, WeightedWindow

numbers = st.floats(-1e12, 1e12) | st.integers(-5, 5).map(float)
lengths = st.integers(1, 7)


def mean(window: list[float]) -> Fraction:
    return sum(map(Fraction, window), Fraction()) / len(window)


def weighted(window: list[float]) -> Fraction:
    return sum((k * Fraction(x) for k, x in enumerate(window, 1)), Fraction()) / sum(range(1, len(window) + 1))


def variance(window: list[float]) -> Fraction:
    middle = mean(window)
    return sum(((Fraction(x) - middle) ** 2 for x in window), Fraction()) / len(window)


def spread(window: list[float]) -> float:
    return math.sqrt(variance(window))


CASES: dict[str, tuple[Callable[[int], Any], Callable[[list[float]], Any]]] = {
    "mean": (MeanWindow, mean),
    "weighted": (WeightedWindow, weighted),
    "spread": (SpreadWindow, spread),
    "highest": (HighestWindow, max),
}


@pytest.mark.parametrize("case", CASES)
@given(series=st.lists(numbers, max_size=40), length=lengths)
@settings(max_examples=150, deadline=None)
def test_a_window_is_that_of_its_last_numbers(case: str, series: list[float], length: int) -> None:
    make, expected = CASES[case]
    window, last = make(length), deque[float](maxlen=length)
    for x in series:
        last.append(x)
        value = window.push(x)
        if len(last) < length:
            assert math.isnan(value)
            continue
        # An error is a share of the greatest number that is in the window, never of one that has left it.
        greatest = max(map(abs, last))
        assert abs(value - float(expected(list(last)))) <= 1e-13 * greatest
        if case in ("weighted", "spread"):
            assert abs(window.mean - float(mean(list(last)))) <= 1e-13 * greatest


@pytest.mark.parametrize("case", CASES)
def test_a_window_keeps_no_more_than_its_length(case: str) -> None:
    window = CASES[case][0](50)
    kept = 0
    for at in range(1_000):
        window.push(float(at % 7))
        lists = [part for part in window.export_state() if isinstance(part, list)]
        kept = max(kept, max(len(part) for part in lists))

    assert kept == 50 - 1  # the newest number of a full block is in the figures that are kept of it


@pytest.mark.parametrize("case", ["mean", "weighted", "spread"])
@given(x=st.floats(1e-6, 1e9), length=st.integers(1, 50), count=st.integers(0, 120))
def test_equal_numbers_have_that_mean_exactly_and_no_spread(case: str, x: float, length: int, count: int) -> None:
    window = CASES[case][0](length)
    for _ in range(length + count):
        value = window.push(x)

    assert value == (0.0 if case == "spread" else x)
    assert getattr(window, "mean", x) == x


@given(series=st.lists(numbers, max_size=30), length=lengths)
def test_the_last_numbers_come_out_in_order(series: list[float], length: int) -> None:
    ring = LastNumbers(length)

    out = [ring.push(x) for x in series]

    assert all(math.isnan(x) for x in out[:length])
    assert out[length:] == series[: max(0, len(series) - length)]


@given(series=st.lists(numbers, max_size=60))
def test_a_sum_without_end_is_the_exact_one_to_the_last_digits(series: list[float]) -> None:
    total = Total()
    value = 0.0
    for x in series:
        value = total.add(x)

    exact = sum(map(Fraction, series), Fraction())
    assert abs(value - float(exact)) <= 1e-15 * abs(float(exact)) + 1e-25 * sum(map(abs, series))


def test_a_long_run_ends_where_the_window_alone_says(tmp_path: Any) -> None:
    done = run_drift(tmp_path, short=True, seed=random.Random(3).randrange(100))

    assert done["failed"] == []
    assert done["updates"] == 30_000
