"""Performance against a benchmark: alpha, beta, information ratio, and the account of one who buys and holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import ROUND_FLOOR, Decimal
from functools import partial
from typing import NamedTuple

from qts.errors import ContractError
from qts.money import ONE, ZERO, minus, plus, split, sum_of, times, whole_steps
from qts.performance.contracts import Close, DailyReturn, Figure
from qts.performance.reasons import MIN_DAYS, NO_SPREAD, flat_benchmark, no_capital, no_spread, too_few_days
from qts.performance.risk import deviation, excess_returns, mean

CostOf = Callable[[str, date, Decimal], Decimal]
"""Fee and tax of a purchase, from its symbol, day and amount; they never fall as the amount rises."""


class Change(NamedTuple):
    """A holding after a split or a dividend: its shares, its last price, and the cash that it brought."""

    qty: Decimal
    price: Decimal
    cash: Decimal


class HoldingAction(NamedTuple):
    """A split or a dividend of ``symbol``, which counts from the session ``day`` on.

    ``change`` gives what it makes of a quantity and the last price of a share.
    """

    day: date
    symbol: str
    change: Callable[[Decimal, Decimal], Change]


class Prices(NamedTuple):
    """The prices of one session by symbol, as traded; a symbol without one keeps its last."""

    day: date
    of: Mapping[str, Decimal]


def paired(
    ours: Sequence[DailyReturn], theirs: Sequence[DailyReturn]
) -> tuple[list[DailyReturn], list[DailyReturn]]:
    """Return the returns of the days that both have."""
    by_day = {one.day: one for one in theirs}
    common = [one for one in ours if one.day in by_day]
    return common, [by_day[one.day] for one in common]


def beta(
    ours: Sequence[DailyReturn], theirs: Sequence[DailyReturn], *, days_a_year: int, risk_free: float = 0.0
) -> Figure:
    """Return the covariance of the excess returns with the benchmark's by the benchmark's variance.

    Of the days that both have; unknown below 30 of them, and when the benchmark never moved.
    """
    mine, other = paired(ours, theirs)
    if len(mine) < MIN_DAYS:
        return too_few_days(len(mine))
    a, b = (excess_returns(one, days_a_year=days_a_year, risk_free=risk_free) for one in (mine, other))
    if deviation(b) < NO_SPREAD:
        return flat_benchmark()
    middle = mean(b)
    apart = [value - middle for value in b]
    return Figure(
        math.fsum(x * y for x, y in zip(a, apart, strict=True)) / math.fsum(value * value for value in apart)
    )


def alpha(
    ours: Sequence[DailyReturn], theirs: Sequence[DailyReturn], *, days_a_year: int, risk_free: float = 0.0
) -> Figure:
    """Return the mean excess return that :func:`beta` times the benchmark's does not explain, compounded to a year.

    Unknown where beta is.
    """
    slope = beta(ours, theirs, days_a_year=days_a_year, risk_free=risk_free)
    if slope.value is None:
        return slope
    a, b = (excess_returns(one, days_a_year=days_a_year, risk_free=risk_free) for one in paired(ours, theirs))
    unexplained = mean([x - slope.value * y for x, y in zip(a, b, strict=True)])
    if unexplained <= -1.0:
        return no_capital()
    return Figure(math.expm1(math.log1p(unexplained) * days_a_year))


def information_ratio(ours: Sequence[DailyReturn], theirs: Sequence[DailyReturn], *, days_a_year: int) -> Figure:
    """Return the mean return above the benchmark's by its deviation, scaled to a year.

    Of the days that both have; unknown below 30 of them, and when the distance was the same each day.
    """
    mine, other = paired(ours, theirs)
    if len(mine) < MIN_DAYS:
        return too_few_days(len(mine))
    active = [x.value - y.value for x, y in zip(mine, other, strict=True)]
    spread = deviation(active)
    if spread < NO_SPREAD:
        return no_spread()
    return Figure(mean(active) / spread * math.sqrt(days_a_year))


def buy_and_hold(
    start: Decimal,
    sessions: Sequence[Prices],
    lots: Mapping[str, Decimal],
    cost_of: CostOf,
    quantum: Decimal,
    actions: Sequence[HoldingAction] = (),
) -> list[Close]:
    """Return the closes of an account that gives each symbol of ``lots`` an equal share of ``start``.

    A symbol is bought at its first price, as many whole lots as its share pays with the costs, and is never sold;
    what is left stays cash. ``quantum`` is that of the currency; what is left by the split of ``start`` goes to the
    first symbol. ``actions``, in the order of their days, change what is held; cash from them stays cash.

    Raises ContractError without a symbol, and for a price that is not above 0.
    """
    if not lots:
        raise ContractError("buying and holding needs at least one symbol")
    shares = split(start, dict.fromkeys(lots, ONE), quantum, next(iter(lots)))
    cash, held, last, closes = start, dict[str, Decimal](), dict[str, Decimal](), list[Close]()
    due = 0
    for day, prices in sessions:
        while due < len(actions) and actions[due].day <= day:
            _, symbol, change = actions[due]
            if symbol in held:
                held[symbol], last[symbol], paid = change(held[symbol], last[symbol])
                cash = plus(cash, paid)
            due += 1
        for symbol, price in prices.items():
            if symbol not in lots:
                continue
            if price <= 0:
                raise ContractError(f"{symbol} on {day}: a price must be above 0, got {price}")
            last[symbol] = price
            if symbol not in held:
                held[symbol], spent = _purchase(shares[symbol], price, lots[symbol], partial(cost_of, symbol, day))
                cash = minus(cash, spent)
        value = sum_of(times(qty, last[symbol]) for symbol, qty in held.items())
        closes.append(Close(day, plus(cash, value), value))
    return closes


def _purchase(
    budget: Decimal, price: Decimal, lot: Decimal, cost_of: Callable[[Decimal], Decimal]
) -> tuple[Decimal, Decimal]:
    """Return the quantity that ``budget`` pays with its costs, and what it takes of it.

    It is the greatest number of lots, which is looked for by halves: what a lot more costs need not be even.
    """

    def spent_on(lots: int) -> Decimal:
        amount = times(times(lot, Decimal(lots)), price)
        return plus(amount, cost_of(amount)) if lots else ZERO

    paid, not_paid = 0, int(whole_steps(budget, times(price, lot), ROUND_FLOOR)) + 1
    while not_paid - paid > 1:
        middle = (paid + not_paid) // 2
        if spent_on(middle) <= budget:
            paid = middle
        else:
            not_paid = middle
    return times(lot, Decimal(paid)), spent_on(paid)
