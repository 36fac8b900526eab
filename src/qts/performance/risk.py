"""Risk of daily returns: volatility, Sharpe, Sortino, Calmar, and the greatest drawdown.

Figures of a year are unknown below 30 sessions. ``days_a_year`` is the number of sessions a year of the market, 365
for one that never closes. ``risk_free`` is the rate a year that capital earns without risk.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date

import msgspec

from qts.performance.contracts import DailyReturn, Figure
from qts.performance.reasons import MIN_DAYS, NO_SPREAD, no_fall, no_spread, too_few_days
from qts.performance.returns import cagr, growth


class Drawdown(msgspec.Struct, frozen=True):
    """A fall of equity, without what was paid in or out, from a top until the top was reached again.

    ``share`` is the depth as a share of the top. ``top`` None: the beginning, before the first session.
    ``regained`` None: not until the last session. ``days`` are calendar days from ``top`` (the first session for
    None) to ``regained`` or the last session.
    """

    share: float
    top: date | None
    low: date
    regained: date | None
    days: int


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean, the same whatever the order of ``values``."""
    return math.fsum(values) / len(values)


def deviation(values: Sequence[float]) -> float:
    """Return the standard deviation of a sample (divided by n − 1)."""
    middle = mean(values)
    return math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (len(values) - 1))


def excess_returns(returns: Sequence[DailyReturn], *, days_a_year: int, risk_free: float) -> list[float]:
    """Return the daily returns above the rate without risk, which compounds over the year."""
    daily = math.expm1(math.log1p(risk_free) / days_a_year)
    return [one.value - daily for one in returns]


def volatility(returns: Sequence[DailyReturn], *, days_a_year: int) -> Figure:
    """Return the standard deviation of the returns, scaled to a year; 0 is a value, an account that did nothing."""
    if len(returns) < MIN_DAYS:
        return too_few_days(len(returns))
    return Figure(deviation([one.value for one in returns]) * math.sqrt(days_a_year))


def sharpe(returns: Sequence[DailyReturn], *, days_a_year: int, risk_free: float = 0.0) -> Figure:
    """Return the mean excess return by its deviation, scaled to a year; unknown when every day was the same."""
    if len(returns) < MIN_DAYS:
        return too_few_days(len(returns))
    excess = excess_returns(returns, days_a_year=days_a_year, risk_free=risk_free)
    spread = deviation(excess)
    if spread < NO_SPREAD:
        return no_spread()
    return Figure(mean(excess) / spread * math.sqrt(days_a_year))


def sortino(returns: Sequence[DailyReturn], *, days_a_year: int, risk_free: float = 0.0) -> Figure:
    """Return the mean excess return by the root of the mean square of those below 0, scaled to a year.

    Unknown when none is below 0.
    """
    if len(returns) < MIN_DAYS:
        return too_few_days(len(returns))
    excess = excess_returns(returns, days_a_year=days_a_year, risk_free=risk_free)
    downside = math.sqrt(mean([min(value, 0.0) ** 2 for value in excess]))
    if downside < NO_SPREAD:
        return no_fall()
    return Figure(mean(excess) / downside * math.sqrt(days_a_year))


def calmar(returns: Sequence[DailyReturn], *, days_a_year: int) -> Figure:
    """Return the CAGR by the greatest drawdown; unknown where one of them is."""
    a_year = cagr(returns, days_a_year=days_a_year)
    if a_year.value is None:
        return a_year
    deepest = greatest_drawdown(returns)
    return Figure(a_year.value / deepest.share) if deepest is not None else no_fall()


def greatest_drawdown(returns: Sequence[DailyReturn]) -> Drawdown | None:
    """Return the deepest fall from a top, the first of equally deep ones; None when equity never fell."""
    reached = growth(returns)
    top = at_top = at_low = 0
    share = 0.0
    for at, value in enumerate(reached):
        if value >= reached[top]:
            top = at
        elif (fallen := 1.0 - value / reached[top]) > share:
            share, at_top, at_low = fallen, top, at
    if share < NO_SPREAD:
        return None
    ended = next((at for at in range(at_low, len(reached)) if reached[at] >= reached[at_top]), None)
    days = [returns[0].day, *(one.day for one in returns)]  # the beginning has no day of its own
    return Drawdown(
        share,
        days[at_top] if at_top else None,
        days[at_low],
        None if ended is None else days[ended],
        (days[-1 if ended is None else ended] - days[at_top]).days,
    )
