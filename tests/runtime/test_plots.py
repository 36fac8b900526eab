"""What strategies plot: bounded, with every extreme, and there again after a kill."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.errors import ContractError
from qts.runtime.strategies.plots import MAX_POINTS, MAX_SERIES, PlotPoint, Plots, PlotSeries, plot_point


def series_of(values: list[float]) -> PlotSeries:
    series = PlotSeries()
    for moment, value in enumerate(values):
        series.add(moment, value)
    return series


def test_a_short_series_is_kept_as_it_is() -> None:
    assert list(series_of([3.0, 1.0, 2.0]).points()) == [(0, 3.0), (1, 1.0), (2, 2.0)]


def test_a_second_point_of_one_moment_replaces_the_first() -> None:
    series = PlotSeries()
    series.add(5, 1.0)
    series.add(5, 2.0)
    assert list(series.points()) == [(5, 2.0)]


def test_a_full_series_keeps_the_lowest_and_the_highest_of_four_points() -> None:
    # Given a full series, 0 1 2 3 and so on, with one fall to -9 at place 6
    values = [float(place) for place in range(MAX_POINTS)]
    values[6] = -9.0
    # When one more point comes
    series = series_of([*values, 7.0])
    # Then of 0 1 2 3 the 0 and the 3 are kept, of 4 5 -9 7 the -9 and the 7, and half of the room is free
    kept = list(series.points())
    assert kept[:4] == [(0, 0.0), (3, 3.0), (6, -9.0), (7, 7.0)]
    assert len(kept) == MAX_POINTS // 2 + 1


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.integers(1, 120))
def test_any_series_is_bounded_in_order_and_holds_its_extremes(values: list[float], times: int) -> None:
    # Given the values again and again, up to 36,000 of them
    whole = values * times
    points = list(series_of(whole).points())
    # Then there are few enough, in the order of time, and each is one that was plotted
    assert len(points) <= MAX_POINTS + 2
    assert [moment for moment, _ in points] == sorted({moment for moment, _ in points})
    assert all(whole[moment] == value for moment, value in points)
    # And no extreme is lost
    assert min(value for _, value in points) == min(whole)
    assert max(value for _, value in points) == max(whole)


@given(st.lists(st.floats(-10, 10), max_size=60), st.integers(0, 60), st.integers(1, 300))
def test_a_series_goes_on_after_a_checkpoint_as_if_nothing_had_been(
    values: list[float], cut: int, times: int
) -> None:
    whole, cut = values * times, cut * times
    plots = Plots()
    for moment, value in enumerate(whole[:cut]):
        plots.add(PlotPoint("z", "spread", moment, value))
    # When it is restored from what a checkpoint keeps, and goes on
    resumed = Plots()
    resumed.import_state(msgspec.msgpack.decode(msgspec.msgpack.encode(plots.export_state())))
    for moment, value in enumerate(whole[cut:], len(whole[:cut])):
        resumed.add(PlotPoint("z", "spread", moment, value))
    # Then it is the series that was never interrupted
    assert [list(series.points()) for _, series in resumed] == ([list(series_of(whole).points())] if whole else [])


@pytest.mark.parametrize("value", [1, 1.5, Decimal("1.5")])
def test_numbers_of_every_kind_are_plotted(value: Any) -> None:
    assert plot_point("z", value, "", 7) == PlotPoint("z", "", 7, float(value))


def test_nan_is_a_gap() -> None:
    assert plot_point("z", float("nan"), "", 7) is None
    assert plot_point("z", Decimal("nan"), "", 7) is None


@pytest.mark.parametrize(
    ("name", "value", "pane", "why"),
    [
        ("", 1, "", "name must be a printable text"),
        ("z" * 61, 1, "", "name must be"),
        ("z\n", 1, "", "name must be"),
        ("z", 1, None, "pane must be"),
        ("z", "1", "", "must be a number, got '1'"),
        ("z", True, "", "must be a number, got True"),
        ("z", float("inf"), "", "must be finite, got inf"),
    ],
)
def test_what_cannot_be_drawn_is_refused(name: Any, value: Any, pane: Any, why: str) -> None:
    with pytest.raises(ContractError, match=why):
        plot_point(name, value, pane, 7)


def test_a_strategy_has_a_bounded_number_of_series() -> None:
    plots = Plots()
    for number in range(MAX_SERIES):
        plots.add(PlotPoint(f"z{number}", "", 0, 1.0))
    plots.add(PlotPoint("z0", "", 1, 2.0))
    with pytest.raises(ContractError, match=f"'one more': a strategy may plot {MAX_SERIES} series"):
        plots.add(PlotPoint("one more", "", 0, 1.0))
