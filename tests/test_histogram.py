"""The histogram of latencies: every value within five percent, questions answered as by the sorted list."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.histogram import INDEX_BY_8NS, INDEXED_NS, LARGEST_NS, Histogram, _index, _middle


@given(st.integers(0, LARGEST_NS))
def test_a_single_value_is_told_within_five_percent(value: int) -> None:
    histogram = Histogram()
    histogram.record(value)
    histogram.record(LARGEST_NS)  # so that the exact maximum does not answer
    assert histogram.percentile_ns(0.5) == pytest.approx(value, rel=0.05, abs=0.5)


@given(st.integers(128, INDEXED_NS - 1))
def test_the_short_cut_of_the_hot_loop_is_within_five_percent_too(value: int) -> None:
    assert _middle(INDEX_BY_8NS[value >> 3]) == pytest.approx(value, rel=0.05)


@given(st.integers(0, LARGEST_NS))
def test_every_value_has_a_bucket(value: int) -> None:
    assert 0 <= _index(value) < len(Histogram().counts)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 10**10), min_size=1, max_size=300), st.sampled_from([0.5, 0.95, 0.99, 0.999]))
def test_percentiles_of_many_values_are_within_five_percent(values: list[int], share: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    exact = sorted(values)[max(0, -(-round(share * 1000) * len(values) // 1000) - 1)]
    assert histogram.percentile_ns(share) == pytest.approx(exact, rel=0.05, abs=1)


@given(
    st.lists(st.integers(0, 3_000), max_size=60),
    st.sampled_from([0.5, 0.95, 0.99]),
    st.integers(0, 3_000) | st.floats(0, 3_000),
)
def test_the_short_question_has_the_answer_of_the_long_one(values: list[int], share: float, bound: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    assert histogram.exceeds(share, bound) == (histogram.percentile_ns(share) > bound)


def test_a_snapshot_by_hand() -> None:
    histogram = Histogram()
    for microseconds in [1] * 98 + [100, 1_000]:
        histogram.record(microseconds * 1_000)
    seen = histogram.snapshot()
    assert seen.count == histogram.total == 100
    assert seen.p50_us == pytest.approx(1, rel=0.05)
    assert seen.p95_us == pytest.approx(1, rel=0.05)
    assert seen.p99_us == pytest.approx(100, rel=0.05)
    assert seen.p999_us == pytest.approx(1_000, rel=0.05)
    assert seen.max_us == 1_000


def test_nothing_recorded_gives_zeros_and_odd_values_are_clipped() -> None:
    histogram = Histogram()
    assert histogram.snapshot().p99_us == 0.0
    histogram.record(-5)
    assert histogram.percentile_ns(0.5) == 0.0
    histogram.record(1 << 80)
    assert histogram.max_ns == LARGEST_NS
