"""All figures of one account at once, as summary, result, report and comparison show them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from qts.money import plus
from qts.performance.activity import Costs, costs, exposure, turnover
from qts.performance.benchmark import alpha, beta, information_ratio
from qts.performance.contracts import Close, DailyReturn, Figure, Flow, RoundTrip
from qts.performance.returns import MonthReturn, cagr, daily_returns, monthly_returns, total_return, yearly_returns
from qts.performance.risk import Drawdown, calmar, greatest_drawdown, sharpe, sortino, volatility
from qts.performance.trips import TripFigures, by_strategy, by_symbol, trip_figures


class Period(msgspec.Struct, frozen=True):
    """The facts of an account: equity ``start`` before the first session, its closes, what came in or went out.

    ``bought``, ``sold`` and ``costs`` are the amounts of all fills, those of holdings that are still open too.
    """

    start: Decimal
    closes: Sequence[Close]
    trips: Sequence[RoundTrip]
    bought: Decimal
    sold: Decimal
    costs: Decimal
    flows: Sequence[Flow] = ()


class Versus(msgspec.Struct, frozen=True):
    """An account beside a benchmark over the same sessions."""

    total_return: Figure
    cagr: Figure
    volatility: Figure
    sharpe: Figure
    sortino: Figure
    calmar: Figure
    drawdown: Drawdown | None
    alpha: Figure
    beta: Figure
    information_ratio: Figure


class Performance(msgspec.Struct, frozen=True):
    """The figures of a period. ``drawdown`` None: equity never fell. ``versus`` None: there is no benchmark."""

    sessions: int
    total_return: Figure
    cagr: Figure
    volatility: Figure
    sharpe: Figure
    sortino: Figure
    calmar: Figure
    drawdown: Drawdown | None
    exposure: Figure
    turnover: Figure
    costs: Costs
    trips: TripFigures
    by_symbol: dict[str, TripFigures]
    by_strategy: dict[str, TripFigures]
    months: list[MonthReturn]
    years: dict[int, float]
    versus: Versus | None


def performance(
    period: Period, *, days_a_year: int, risk_free: float = 0.0, benchmark: Sequence[Close] | None = None
) -> Performance:
    """Return every figure of ``period``.

    ``days_a_year`` are the sessions a year of its market; ``risk_free`` is a rate a year; ``benchmark`` are the
    closes of an account that began with the same equity and had no flows.

    Raises ContractError as :func:`~qts.performance.returns.daily_returns` does.
    """
    returns = daily_returns(period.start, period.closes, period.flows)
    theirs = None if benchmark is None else daily_returns(period.start, benchmark)
    return Performance(
        sessions=len(returns),
        total_return=total_return(returns),
        cagr=cagr(returns, days_a_year=days_a_year),
        volatility=volatility(returns, days_a_year=days_a_year),
        sharpe=sharpe(returns, days_a_year=days_a_year, risk_free=risk_free),
        sortino=sortino(returns, days_a_year=days_a_year, risk_free=risk_free),
        calmar=calmar(returns, days_a_year=days_a_year),
        drawdown=greatest_drawdown(returns),
        exposure=exposure(period.closes),
        turnover=turnover(period.bought, period.sold, period.closes, days_a_year=days_a_year),
        costs=costs(period.costs, plus(period.bought, period.sold), period.closes, days_a_year=days_a_year),
        trips=trip_figures(period.trips),
        by_symbol=by_symbol(period.trips),
        by_strategy=by_strategy(period.trips),
        months=monthly_returns(returns),
        years=yearly_returns(returns),
        versus=None if theirs is None else versus(returns, theirs, days_a_year=days_a_year, risk_free=risk_free),
    )


def versus(
    ours: Sequence[DailyReturn], theirs: Sequence[DailyReturn], *, days_a_year: int, risk_free: float = 0.0
) -> Versus:
    """Return the benchmark's own figures, and ours against it."""
    return Versus(
        total_return=total_return(theirs),
        cagr=cagr(theirs, days_a_year=days_a_year),
        volatility=volatility(theirs, days_a_year=days_a_year),
        sharpe=sharpe(theirs, days_a_year=days_a_year, risk_free=risk_free),
        sortino=sortino(theirs, days_a_year=days_a_year, risk_free=risk_free),
        calmar=calmar(theirs, days_a_year=days_a_year),
        drawdown=greatest_drawdown(theirs),
        alpha=alpha(ours, theirs, days_a_year=days_a_year, risk_free=risk_free),
        beta=beta(ours, theirs, days_a_year=days_a_year, risk_free=risk_free),
        information_ratio=information_ratio(ours, theirs, days_a_year=days_a_year),
    )
