"""Scales, ticks and labels of hand-written drawings: every finite number has a place, no label is lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.report.plot_frame import MOST_TIMES, UNITS, Scale, curve, percent, scale_of, time_ticks

FINITE = st.floats(allow_nan=False, allow_infinity=False)
MONDAY = datetime(2018, 1, 22, 9, tzinfo=UTC)


@given(values=st.lists(FINITE, min_size=1, max_size=20), about=st.integers(2, 8))
def test_a_scale_holds_whatever_is_plotted(values: list[float], about: int) -> None:
    scale = scale_of(values)
    assert scale.low < scale.high
    assert all(-UNITS <= scale.unit(value) <= 2 * UNITS for value in values)
    assert len(scale.ticks(about)) <= about + 2


def test_the_top_is_high_and_the_bottom_low() -> None:
    scale = Scale(100.0, 200.0)
    assert [scale.unit(value) for value in (200.0, 150.0, 100.0, 90.0, -1e9)] == [0, 500, 1000, 1100, 2000]
    assert scale.share(125.0) == "75%"


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 10.0, [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]),
        (16_900.0, 47_500.0, [20_000.0, 30_000.0, 40_000.0]),
        (-0.13, 0.02, [-0.1, -0.05, 0.0]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, ticks: list[float]) -> None:
    assert Scale(low, high).ticks(5 if high > 1 else 4) == ticks


def test_a_curve_leaves_out_what_repeats() -> None:
    assert curve([(0, 5), (0, 5), (8, 6)]) == "M0 5L8 6"
    assert curve([]) == ""


def test_percentages_are_short() -> None:
    assert [percent(share) for share in (0.0, 1 / 3, 0.5, 1.0)] == ["0%", "33.33%", "50%", "100%"]


class TestTimes:
    def test_years_are_labelled_where_they_begin(self) -> None:
        days = [MONDAY + timedelta(days=place) for place in range(3 * 365)]
        # quarters would be twelve, which is more than there is room for
        assert [tick.text for tick in time_ticks(days)] == [
            ("2019", "2019년"),
            ("2020", "2020년"),
            ("2021", "2021년"),
        ]
        assert days[time_ticks(days)[0].at].date().isoformat() == "2019-01-01"

    def test_hours_are_labelled_within_a_day(self) -> None:
        minutes = [MONDAY + timedelta(minutes=place) for place in range(391)]
        assert [tick.text[1] for tick in time_ticks(minutes)] == [f"{hour}:00" for hour in range(10, 16)]

    def test_a_single_moment_is_labelled(self) -> None:
        assert [tick.text for tick in time_ticks([MONDAY])] == [("09:00", "09:00")]
        assert time_ticks([]) == []

    @given(st.lists(st.integers(0, 10**7), min_size=1, max_size=60))
    def test_there_are_never_too_many(self, minutes: list[int]) -> None:
        ticks = time_ticks([MONDAY + timedelta(minutes=place) for place in sorted(minutes)])
        assert 1 <= len(ticks) <= MOST_TIMES
        assert [tick.at for tick in ticks] == sorted({tick.at for tick in ticks})
