"""Daily returns from equity at each session close, without what was paid in or out, and what they compound to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from qts.errors import ContractError
from qts.money import ZERO, minus, plus, ratio, sum_of
from qts.performance.contracts import Close, DailyReturn, Figure, Flow
from qts.performance.reasons import MIN_DAYS, no_capital, no_days, too_few_days

FIRST_GROWTH: Final = 1.0


class MonthReturn(NamedTuple):
    """The return of one calendar month of the market; of its sessions in the period alone."""

    year: int
    month: int
    value: float


def daily_returns(start: Decimal, closes: Sequence[Close], flows: Iterable[Flow] = ()) -> list[DailyReturn]:
    """Return the return of each session: equity ÷ (equity before + flows) − 1.

    ``start`` is the equity before the first session. A flow counts as there from the beginning of its day, one on a
    day without a session from that of the next; one after the last close counts for none. A session that begins
    and ends without capital has a return of 0.

    Raises ContractError when the days of ``closes`` do not rise, or when a session made something of no capital.
    """
    waiting = sorted(flows, key=lambda flow: flow.day, reverse=True)
    returns, before, last = list[DailyReturn](), start, date.min
    for close in closes:
        if close.day <= last:
            raise ContractError(f"closes must rise by day: {close.day} stands after {last}")
        capital = before
        while waiting and waiting[-1].day <= close.day:
            capital = plus(capital, waiting.pop().amount)
        returns.append(DailyReturn(close.day, _return(close, capital)))
        before, last = close.equity, close.day
    return returns


def _return(close: Close, capital: Decimal) -> float:
    if capital > 0:
        return float(ratio(minus(close.equity, capital), capital))
    if close.equity == capital == ZERO:
        return 0.0
    raise ContractError(f"{close.day}: equity {close.equity} from a capital of {capital} has no return")


def growth(returns: Sequence[DailyReturn]) -> list[float]:
    """Return what 1 had become at the beginning and at the end of each session."""
    reached = [FIRST_GROWTH]
    for one in returns:
        reached.append(reached[-1] * (1.0 + one.value))
    return reached


def total_return(returns: Sequence[DailyReturn]) -> Figure:
    """Return the compounded return of all sessions; unknown without any."""
    return Figure(growth(returns)[-1] - 1.0) if returns else no_days()


def cagr(returns: Sequence[DailyReturn], *, days_a_year: int) -> Figure:
    """Return the compounded return a year of ``days_a_year`` sessions.

    Unknown below 30 sessions, and when nothing is left.
    """
    if len(returns) < MIN_DAYS:
        return too_few_days(len(returns))
    reached = growth(returns)[-1]
    if reached <= 0.0:
        return no_capital()
    return Figure(math.expm1(math.log(reached) * days_a_year / len(returns)))


def monthly_returns(returns: Sequence[DailyReturn]) -> list[MonthReturn]:
    """Return the compounded return of each month that has a session, in order."""
    months: dict[tuple[int, int], float] = {}
    for one in returns:
        key = (one.day.year, one.day.month)
        months[key] = months.get(key, FIRST_GROWTH) * (1.0 + one.value)
    return [MonthReturn(year, month, reached - 1.0) for (year, month), reached in months.items()]


def yearly_returns(returns: Sequence[DailyReturn]) -> dict[int, float]:
    """Return the compounded return of each year that has a session, in order."""
    years: dict[int, float] = {}
    for one in returns:
        years[one.day.year] = years.get(one.day.year, FIRST_GROWTH) * (1.0 + one.value)
    return {year: reached - 1.0 for year, reached in years.items()}


def average_equity(closes: Sequence[Close]) -> Decimal | None:
    """Return the average equity of the closes; None without any."""
    if not closes:
        return None
    return ratio(sum_of(close.equity for close in closes), Decimal(len(closes)))
