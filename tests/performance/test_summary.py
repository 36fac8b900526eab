"""All figures at once are those of the single functions, of the same facts."""

from __future__ import annotations

from decimal import Decimal
from math import sqrt
from statistics import fmean, stdev

import pytest

from qts.notes import in_english, in_korean
from qts.performance import Flow, Period, performance

from .series import closes, day, trip

D = Decimal


def test_one_period_with_a_benchmark() -> None:
    # Given thirty sessions: 100 → 110 on the first, a fall to 99 on the second, then 11 came in and nothing else
    equity = closes(110, 99, *[110] * 28)
    period = Period(
        start=D(100),
        closes=equity,
        trips=[trip(10, symbol="A", strategy="x", costs=1), trip(-11, symbol="B", strategy="x")],
        bought=D(2_000),
        sold=D(2_000),
        costs=D(5),
        flows=[Flow(day(2), D(11))],
    )

    # When a year has as many sessions, and the benchmark made 10 % twice
    found = performance(period, days_a_year=30, benchmark=closes(110, 121, *[121] * 28))

    # Then 1.1 × 0.9 = 0.99 and the figures agree
    assert found.sessions == 30
    assert found.total_return.value == pytest.approx(-0.01)
    assert found.cagr.value == pytest.approx(-0.01)
    assert found.calmar.value == pytest.approx(-0.1)
    assert found.drawdown is not None
    assert (found.drawdown.top, found.drawdown.low, found.drawdown.regained) == (day(0), day(1), None)
    assert [(one.month, round(one.value, 12)) for one in found.months] == [(1, -0.01)]
    assert list(found.years) == [2024]
    assert (found.trips.count, list(found.by_symbol), list(found.by_strategy)) == (2, ["A", "B"], ["x"])
    assert found.costs.of_traded.value == pytest.approx(0.00125)
    assert found.exposure.value == 0.0
    assert found.versus is not None
    assert found.versus.total_return.value == pytest.approx(0.21)
    assert found.versus.drawdown is None
    assert found.versus.beta.value is not None
    # and the benchmark's own ratios are those of its returns: 10 % twice, then nothing
    theirs = [0.1, 0.1, *[0.0] * 28]
    mean, deviation = fmean(theirs), stdev(theirs)
    assert found.versus.sharpe.value == pytest.approx(mean / deviation * sqrt(30))
    assert found.versus.sortino.value is None  # no day below 0
    assert found.versus.calmar.value is None  # it never fell


def test_without_a_benchmark_nothing_is_compared() -> None:
    period = Period(start=D(100), closes=closes(110), trips=(), bought=D(0), sold=D(0), costs=D(0))

    assert performance(period, days_a_year=252).versus is None


def test_a_figure_that_is_unknown_says_why_in_both_languages() -> None:
    period = Period(start=D(100), closes=closes(110), trips=(), bought=D(0), sold=D(0), costs=D(0))
    found = performance(period, days_a_year=252)

    assert found.cagr.why is not None
    assert in_english(found.cagr.why) == "not enough to say: 1 session, 30 are needed"
    assert in_korean(found.cagr.why) == "판단하기에 부족합니다. 거래일이 1일뿐이며 30일이 필요합니다."
