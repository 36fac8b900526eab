"""The figures are those of empyrical, to nine digits, on random accounts."""

from __future__ import annotations

import math
import random
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from qts.performance import (
    Close,
    DailyReturn,
    alpha,
    beta,
    cagr,
    calmar,
    daily_returns,
    greatest_drawdown,
    information_ratio,
    monthly_returns,
    sharpe,
    sortino,
    total_return,
    volatility,
    yearly_returns,
)

from .series import MONDAY, values

empyrical = pytest.importorskip("empyrical", reason="empyrical-reloaded (extra `test`) is not installed")
pandas = pytest.importorskip("pandas")

SEEDS = range(12)
CLOSE = {"rel": 1e-9, "abs": 1e-12}


def account(seed: int, *, volatile: float = 0.02) -> list[DailyReturn]:
    """Thirty to nine hundred weekdays of a random walk in whole won."""
    rng = random.Random(seed)
    equity, on, given = Decimal(100_000_000), MONDAY, list[Close]()
    for _ in range(rng.randrange(30, 900)):
        on += timedelta(days=1 if on.weekday() < 4 else 3)
        equity = (equity * Decimal(1 + rng.gauss(0.0003, volatile))).quantize(Decimal(1))
        given.append(Close(on, equity))
    return daily_returns(Decimal(100_000_000), given)


def series(returns: list[DailyReturn]) -> Any:
    return pandas.Series(values(returns), index=pandas.DatetimeIndex([one.day for one in returns]))


@pytest.mark.parametrize("days_a_year", [252, 365])
@pytest.mark.parametrize("seed", SEEDS)
def test_figures_of_one_account(seed: int, days_a_year: int) -> None:
    ours = account(seed)
    theirs, a_year = series(ours), {"annualization": days_a_year}

    drawdown = greatest_drawdown(ours)
    assert drawdown is not None
    assert total_return(ours).value == pytest.approx(empyrical.cum_returns_final(theirs), **CLOSE)
    assert cagr(ours, days_a_year=days_a_year).value == pytest.approx(empyrical.cagr(theirs, **a_year), **CLOSE)
    assert volatility(ours, days_a_year=days_a_year).value == pytest.approx(
        empyrical.annual_volatility(theirs, **a_year), **CLOSE
    )
    assert -drawdown.share == pytest.approx(empyrical.max_drawdown(theirs), **CLOSE)
    assert calmar(ours, days_a_year=days_a_year).value == pytest.approx(
        empyrical.calmar_ratio(theirs, **a_year), **CLOSE
    )


@pytest.mark.parametrize("risk_free", [0.0, 0.035])
@pytest.mark.parametrize("seed", SEEDS)
def test_figures_above_a_rate_without_risk(seed: int, risk_free: float) -> None:
    ours = account(seed)
    theirs, daily = series(ours), (1 + risk_free) ** (1 / 252) - 1

    assert sharpe(ours, days_a_year=252, risk_free=risk_free).value == pytest.approx(
        empyrical.sharpe_ratio(theirs, risk_free=daily, annualization=252), **CLOSE
    )
    assert sortino(ours, days_a_year=252, risk_free=risk_free).value == pytest.approx(
        empyrical.sortino_ratio(theirs, required_return=daily, annualization=252), **CLOSE
    )


@pytest.mark.parametrize("risk_free", [0.0, 0.035])
@pytest.mark.parametrize("seed", SEEDS)
def test_figures_against_a_benchmark(seed: int, risk_free: float) -> None:
    other = account(seed + 100, volatile=0.01)
    ours = [
        DailyReturn(one.day, 0.7 * two.value + one.value) for one, two in zip(account(seed), other, strict=False)
    ]
    other = other[: len(ours)]
    mine, theirs, daily = series(ours), series(other), (1 + risk_free) ** (1 / 252) - 1

    assert beta(ours, other, days_a_year=252, risk_free=risk_free).value == pytest.approx(
        empyrical.beta(mine, theirs, risk_free=daily), **CLOSE
    )
    assert alpha(ours, other, days_a_year=252, risk_free=risk_free).value == pytest.approx(
        empyrical.alpha(mine, theirs, risk_free=daily, annualization=252), **CLOSE
    )
    assert information_ratio(ours, other, days_a_year=252).value == pytest.approx(
        empyrical.excess_sharpe(mine, theirs) * math.sqrt(252),
        **CLOSE,  # it does not scale to a year
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_months_and_years(seed: int) -> None:
    ours = account(seed)
    months = empyrical.aggregate_returns(series(ours), "monthly")
    years = empyrical.aggregate_returns(series(ours), "yearly")

    assert {(one.year, one.month): one.value for one in monthly_returns(ours)} == pytest.approx(
        dict(months.items()), **CLOSE
    )
    assert yearly_returns(ours) == pytest.approx(dict(years.items()), **CLOSE)
