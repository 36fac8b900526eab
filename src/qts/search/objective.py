"""The value by which trials are ranked, from their daily returns."""

from __future__ import annotations

from datetime import date
from typing import Final

from qts.errors import InputError
from qts.performance import DailyReturn, Figure, total_return
from qts.performance.risk import calmar, sharpe, sortino
from qts.search.contracts import Answer

OBJECTIVES: Final = ("sharpe", "sortino", "calmar", "net")


def check_objective(name: str) -> str:
    """Return ``name``. Raises InputError for an objective that there is not."""
    if name not in OBJECTIVES:
        raise InputError(f"--objective {name}: allowed are {', '.join(OBJECTIVES)}")
    return name


def value_of(name: str, answer: Answer, risk_free: float) -> float | None:
    """Return the objective of a trial; None where it cannot be told, as below 30 sessions, or where it failed.

    ``sharpe``, ``sortino`` and ``calmar`` are scaled to a year; ``net`` is the compounded return of all sessions.
    ``risk_free`` is a rate a year.
    """
    if answer.failed:
        return None
    returns = [
        DailyReturn(date.fromordinal(day), value) for day, value in zip(answer.days, answer.returns, strict=True)
    ]
    figure: Figure
    if name == "net":
        figure = total_return(returns)
    elif name == "calmar":
        figure = calmar(returns, days_a_year=answer.days_a_year)
    else:
        of = sharpe if name == "sharpe" else sortino
        figure = of(returns, days_a_year=answer.days_a_year, risk_free=risk_free)
    return figure.value
