"""Exposure, time in the market, turnover and costs: how much was held and traded, and what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

import msgspec

from qts.errors import ContractError
from qts.money import TWO, ZERO, plus, ratio, sum_of, times
from qts.performance.contracts import Close, Figure
from qts.performance.reasons import MIN_DAYS, no_capital, no_days, nothing_traded, too_few_days
from qts.performance.returns import average_equity


class Costs(msgspec.Struct, frozen=True):
    """Fees and taxes: their sum, as a share of what was traded, and as a share of the average equity a year."""

    total: Decimal
    of_traded: Figure
    of_equity: Figure


def exposure(closes: Sequence[Close]) -> Figure:
    """Return the average share of equity that was in positions at the closes; one without equity counts as 0."""
    if not closes:
        return no_days()
    shares = [ratio(close.held, close.equity) if close.equity > 0 else ZERO for close in closes]
    return Figure(float(ratio(sum_of(shares), Decimal(len(shares)))))


def time_in_market(held: Iterable[tuple[int, int]], begun_ns: int, ended_ns: int) -> Figure:
    """Return the share of the time from ``begun_ns`` to ``ended_ns`` in which something was held.

    ``held`` are beginnings and ends of holdings, in any order; they may overlap.

    Raises ContractError unless the end is after the beginning.
    """
    if ended_ns <= begun_ns:
        raise ContractError(f"a period must end after its beginning: {begun_ns} to {ended_ns}")
    covered, until = 0, begun_ns
    for begin, end in sorted(held):
        first, last = max(begin, until), min(end, ended_ns)
        if last > first:
            covered += last - first
            until = last
    return Figure(covered / (ended_ns - begun_ns))


def turnover(bought: Decimal, sold: Decimal, closes: Sequence[Close], *, days_a_year: int) -> Figure:
    """Return half of what was bought and sold by the average equity, scaled to a year.

    1 a year is the whole account bought and sold once. Unknown below 30 sessions, and without equity.
    """
    return _of_equity_a_year(ratio(plus(bought, sold), TWO), closes, days_a_year)


def costs(total: Decimal, traded: Decimal, closes: Sequence[Close], *, days_a_year: int) -> Costs:
    """Return the costs ``total`` beside the amount ``traded`` (bought and sold) and the average equity a year."""
    of_traded = Figure(float(ratio(total, traded))) if traded > 0 else nothing_traded()
    return Costs(total, of_traded, _of_equity_a_year(total, closes, days_a_year))


def _of_equity_a_year(amount: Decimal, closes: Sequence[Close], days_a_year: int) -> Figure:
    if len(closes) < MIN_DAYS:
        return too_few_days(len(closes))
    average = average_equity(closes)
    if average is None or average <= 0:
        return no_capital()
    share = ratio(times(amount, Decimal(days_a_year)), Decimal(len(closes)))
    return Figure(float(ratio(share, average)))
