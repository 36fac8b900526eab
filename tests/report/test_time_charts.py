"""Drawings: what is thinned, what is kept, and that any symbol can be drawn."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.capital.contracts import Pool

pytest.importorskip("matplotlib", reason="the drawings need the extra 'report'")

from qts.report.bar_charts import counts_chart, latency_chart, result_chart
from qts.report.chart_texts import ChartTexts
from qts.report.report_data import ReportData, Window
from qts.report.time_charts import (
    TradingAxis,
    equity_chart,
    money_scale,
    pools_chart,
    thinned,
    trades_chart,
)

from .session import (
    DAY_NS,
    HOUR_NS,
    START_NS,
    empty_session,
    facts_of,
    fill,
    order_of,
    result,
    sample,
    traded_session,
)


class TestThinning:
    def test_few_points_are_all_drawn(self) -> None:
        assert thinned(range(40), [0.0] * 40, steps=10) == list(range(40))

    def test_one_more_than_four_a_step_is_thinned(self) -> None:
        assert len(thinned(range(41), [0.0] * 41, steps=10)) < 41

    def test_a_single_spike_among_thousands_is_kept(self) -> None:
        course = [1.0] * 10_000
        course[7_777], course[3_333] = 99.0, -99.0
        kept = thinned(range(10_000), course, steps=50)
        assert {0, 3_333, 7_777, 9_999} <= set(kept)

    @settings(max_examples=50)
    @given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=300), st.integers(1, 20))
    def test_is_in_order_bounded_and_keeps_the_extremes(self, course: list[float], steps: int) -> None:
        kept = thinned(range(len(course)), course, steps)
        assert kept == sorted(set(kept))
        assert len(kept) <= max(4 * steps, len(course) if len(course) <= 4 * steps else 0)
        assert {min(course), max(course)} <= {course[i] for i in kept}


@pytest.mark.parametrize(
    ("top", "expected"),
    [
        (1_999.0, (1.0, "")),
        (2_000.0, (1e3, "thousand ")),
        (1_999_999.0, (1e3, "thousand ")),
        (2e6, (1e6, "million ")),
    ],
)
def test_money_is_scaled_from_two_units_on(top: float, expected: tuple[float, str]) -> None:
    assert money_scale([-top, 0.0]) == expected


@pytest.mark.parametrize(
    ("top", "ticks"),
    [
        (1_950_000_000, ["0", "500", "1,000", "1,500"]),  # counted in millions
        (1_950, ["0", "500", "1,000", "1,500"]),
        (2, ["0.00", "0.25", "1.75", "2.00"]),
    ],
)
def test_the_ticks_of_money_are_grouped(top: int, ticks: list[str]) -> None:
    curve = [sample(START_NS, top), sample(START_NS + DAY_NS, top)]
    drawn = pools_chart(ReportData(facts_of(result(), equity=curve)))
    assert drawn is not None
    texts = re.findall(r"<text [^>]*>([\d.,]+)</text>", drawn.wide)
    assert set(ticks) <= set(texts)
    assert not [text for text in texts if re.search(r"\d{4}", text) and not text.startswith("20")]


def test_a_course_that_hardly_moves_is_told_without_an_offset() -> None:
    curve = [sample(START_NS + hour * HOUR_NS, 100_000_000 + hour) for hour in range(9)]
    drawn = equity_chart(ReportData(facts_of(result(), equity=curve)))
    assert drawn is not None
    assert re.search(r">100\.00000\d<", drawn.wide)
    assert not re.search(r"<text [^>]*>[^<]*1e", drawn.wide)


def test_the_trading_axis_gives_a_night_no_more_room_than_an_hour() -> None:
    times = [START_NS, START_NS + HOUR_NS, START_NS + DAY_NS, START_NS + DAY_NS + HOUR_NS]
    data = ReportData(facts_of(result(), equity=[sample(ts_ns, 1) for ts_ns in times]))
    axis = TradingAxis(data, range(4))
    assert [axis.at(ts_ns) for ts_ns in times] == [0, 1, 2, 3]
    assert axis.at(START_NS + HOUR_NS // 2) == 0.5
    assert (axis.at(START_NS - 1), axis.at(START_NS + 9 * DAY_NS)) == (0, 3)


def test_the_days_under_an_axis_without_nights_keep_their_distance() -> None:
    # Places 0, 40, 42, 44 and 46 of 86, at most every 17th: the first two days.
    counts = (40, 2, 2, 2, 40)
    times = [START_NS + day * DAY_NS + i * 60_000_000_000 for day, count in enumerate(counts) for i in range(count)]
    data = ReportData(facts_of(result(), equity=[sample(ts_ns, 100) for ts_ns in times]))
    marks = Marks()

    TradingAxis(data, range(len(times))).mark(marks, 5, texts := ChartTexts(), key := texts.later())

    assert marks.places == [0, 40]
    assert texts.get(key) == ("KST", "KST")


class Marks:
    """Stands for the axis of a drawing."""

    places: Sequence[int] = ()

    def set_xticks(self, places: Sequence[int], texts: Sequence[str]) -> None:
        assert len(texts) == len(places)
        self.places = places


def test_with_nothing_to_draw_there_is_no_drawing() -> None:
    data = ReportData(empty_session())
    for chart in (equity_chart, trades_chart, pools_chart, result_chart, latency_chart, counts_chart):
        assert chart(data) is None


def test_every_drawing_of_a_traded_session_follows_the_theme_and_loads_nothing() -> None:
    data = ReportData(traded_session())
    for chart in (equity_chart, trades_chart, pools_chart, result_chart, latency_chart, counts_chart):
        drawn = chart(data)
        assert drawn is not None
        assert drawn.wide != drawn.narrow
        for svg in (drawn.wide, drawn.narrow):
            assert "var(--" in svg
            assert "http" not in svg
            assert "#22262b" not in svg
            assert "font-family" not in svg


def test_an_alarm_is_a_ribbon_on_top_in_its_own_colour() -> None:
    calm = [sample(START_NS + hour * HOUR_NS, 100) for hour in range(4)]
    alarmed = [calm[0], sample(START_NS + HOUR_NS, 100, safety="LOCKDOWN"), *calm[2:]]
    quiet, loud = (equity_chart(ReportData(facts_of(result(), equity=curve))) for curve in (calm, alarmed))
    assert quiet is not None
    assert loud is not None
    assert "var(--locked)" in loud.wide
    assert "var(--locked)" not in quiet.wide


def test_a_window_without_fills_has_no_drawing_of_trades() -> None:
    data = ReportData(traded_session())
    assert trades_chart(data, Window(START_NS + 5 * DAY_NS, START_NS + 6 * DAY_NS)) is None


def test_fills_in_one_spot_are_one_marker_unless_pool_or_side_differ() -> None:
    same = [fill(number, ts_ns=START_NS + number) for number in range(40)]
    other = fill(41, pool=Pool.SWING, ts_ns=START_NS)
    far = fill(42, price=60_000, ts_ns=START_NS + 9 * DAY_NS)
    rows = [*same, other, far]
    curve = [sample(START_NS, 1), sample(START_NS + 9 * DAY_NS, 2)]
    drawn = trades_chart(
        ReportData(facts_of(result(), ledger=rows, equity=curve, orders=[order_of(r) for r in rows]))
    )
    assert drawn is not None
    assert (drawn.shown, drawn.of) == (3, 42)


@pytest.mark.parametrize("symbol", ["$A_1$", "삼성전자", "<script>", "A$B^"])
def test_any_symbol_can_be_drawn(symbol: str) -> None:
    rows = [fill(1, symbol=symbol), fill(2, symbol=symbol)]
    curve = [sample(START_NS, 1), sample(START_NS + DAY_NS, 2)]
    drawn = trades_chart(ReportData(facts_of(result(), ledger=rows, equity=curve)))
    assert drawn is not None
    assert "<script" not in drawn.wide
    assert symbol.replace("<", "&lt;").replace(">", "&gt;") in drawn.wide
