"""Volatility, Sharpe, Sortino, Calmar and the greatest drawdown, by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from qts.money import decimal_of
from qts.performance import (
    Drawdown,
    Figure,
    calmar,
    daily_returns,
    greatest_drawdown,
    sharpe,
    sortino,
    volatility,
)

from .series import alternating, closes, day, returns


def why(figure: Figure) -> str:
    assert figure.value is None
    assert figure.why is not None
    return figure.why.code


def test_volatility_is_the_deviation_of_a_sample_scaled_to_a_year() -> None:
    """Thirty times ± 1 %: variance 30 × 0.0001 ÷ 29; a year of 870 sessions: √(0.0001 × 30 × 30) = 0.3."""
    assert volatility(alternating(0.01, -0.01), days_a_year=870).value == pytest.approx(0.3)


def test_the_volatility_of_an_account_that_did_nothing_is_0() -> None:
    assert volatility(returns(*[0.0] * 30), days_a_year=252).value == 0.0


def test_sharpe_is_the_mean_by_the_deviation_scaled_to_a_year() -> None:
    """Mean 0.01, deviation 0.01 × √(30 ÷ 29); √(29 ÷ 30) × √870 = 29."""
    assert sharpe(alternating(0.02, 0.0), days_a_year=870).value == pytest.approx(29.0)


def test_sharpe_is_above_what_capital_earns_without_risk() -> None:
    """1.01^870 − 1 a year is 1 % a session, as much as the mean."""
    risk_free = math.expm1(870 * math.log(1.01))
    assert sharpe(alternating(0.02, 0.0), days_a_year=870, risk_free=risk_free).value == pytest.approx(
        0.0, abs=1e-9
    )


@pytest.mark.parametrize("each", [0.0, 0.001, -0.001])
def test_the_same_return_each_day_has_no_sharpe(each: float) -> None:
    assert why(sharpe(returns(*[each] * 30), days_a_year=252)) == "figure-no-spread"


def test_what_rounding_leaves_of_an_even_growth_is_no_spread() -> None:
    """Given equity that grows by 1 % a session, cut to 1e-12: its returns differ in the 13th place or later."""
    equity, series = decimal_of(100), []
    for _ in range(40):
        equity = (equity * decimal_of("1.01")).quantize(decimal_of("1e-12"))
        series.append(equity)
    found = daily_returns(decimal_of(100), closes(*(str(one) for one in series)))

    assert len({one.value for one in found}) > 1
    assert why(sharpe(found, days_a_year=252)) == "figure-no-spread"


def test_sortino_divides_by_what_fell() -> None:
    """Mean 0.005; root of the mean square of the falls 0.01 ÷ √2; 0.5 × √2 × √200 = 10."""
    assert sortino(alternating(0.02, -0.01), days_a_year=200).value == pytest.approx(10.0)


def test_an_account_that_never_fell_has_no_sortino_and_no_calmar() -> None:
    series = alternating(0.02, 0.0)

    assert why(sortino(series, days_a_year=252)) == "figure-no-fall"
    assert why(calmar(series, days_a_year=252)) == "figure-no-fall"
    assert greatest_drawdown(series) is None


def test_days_below_the_rate_without_risk_are_falls() -> None:
    """At 1 % a session free of risk: mean 0; with 0.5 %: 0.005 over the root of 0.005² ÷ 2, times √200 = 20."""
    free = [1.01**200 - 1, 1.005**200 - 1]

    found = [sortino(alternating(0.02, 0.0), days_a_year=200, risk_free=one).value for one in free]

    assert found == pytest.approx([0.0, 20.0])


def test_calmar_is_cagr_by_drawdown() -> None:
    """Half is lost, then × 2.2: 10 % in thirty sessions, a year of as many, by a fall of 50 %."""
    assert calmar(returns(-0.5, 1.2, *[0.0] * 28), days_a_year=30).value == pytest.approx(0.2)


def test_calmar_is_unknown_where_cagr_is() -> None:
    assert why(calmar(returns(-0.5, 1.2), days_a_year=30)) == "figure-too-few-days"


@pytest.mark.parametrize("of_a_year", [volatility, sharpe, sortino, calmar])
def test_twenty_nine_sessions_are_not_enough_and_thirty_are(of_a_year: Callable[..., Figure]) -> None:
    series = alternating(0.02, -0.01)

    assert why(of_a_year(series[:29], days_a_year=252)) == "figure-too-few-days"
    assert of_a_year(series, days_a_year=252).value is not None


def test_the_greatest_drawdown_goes_from_its_top_until_it_is_regained() -> None:
    """100, 120, 90, 60, 130, 117: half of 120 in four days; the last fall of 10 % is smaller."""
    found = greatest_drawdown(daily_returns(decimal_of(100), closes(120, 90, 60, 130, 117)))

    assert found == Drawdown(0.5, top=day(0), low=day(2), regained=day(3), days=3)


def test_a_drawdown_that_is_not_regained_lasts_until_the_last_session() -> None:
    found = greatest_drawdown(returns(0.0, -0.25, 0.1, 0.1))

    assert found == Drawdown(0.25, top=day(0), low=day(1), regained=None, days=3)


def test_a_fall_from_the_beginning_has_no_day_of_its_top() -> None:
    found = greatest_drawdown(returns(-0.5, 1.0))

    assert found == Drawdown(0.5, top=None, low=day(0), regained=day(1), days=1)


def test_of_equally_deep_falls_the_first_is_told() -> None:
    found = greatest_drawdown(returns(0.0, -0.5, 1.0, 0.0, -0.5, 1.0))

    assert found == Drawdown(0.5, top=day(0), low=day(1), regained=day(2), days=2)


def test_the_low_is_the_deepest_and_the_top_the_last_before_it() -> None:
    """100, 100, 90, 95, 80, 100: from the second 100 to 80."""
    found = greatest_drawdown(daily_returns(decimal_of(100), closes(100, 100, 90, 95, 80, 100)))

    assert found is not None
    assert (found.top, found.low, found.regained, found.days) == (day(1), day(4), day(5), 4)
    assert found.share == pytest.approx(0.2)


def test_what_was_paid_in_or_out_is_no_drawdown() -> None:
    from qts.performance import Flow

    flows = [Flow(day(1), decimal_of(-50))]
    assert greatest_drawdown(daily_returns(decimal_of(100), closes(100, 50, 50), flows)) is None
