"""Makes short series of returns and closes for the tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal

from qts.performance import Close, DailyReturn, RoundTrip

MONDAY = date(2024, 1, 1)


def day(number: int) -> date:
    return MONDAY + timedelta(days=number)


def returns(*values: float) -> list[DailyReturn]:
    return [DailyReturn(day(at), value) for at, value in enumerate(values)]


def alternating(one: float, other: float, count: int = 30) -> list[DailyReturn]:
    return returns(*(one if at % 2 == 0 else other for at in range(count)))


def closes(*equity: int | str) -> list[Close]:
    return [Close(day(at), Decimal(value)) for at, value in enumerate(equity)]


def trip(
    result: int | str,
    *,
    strategy: str = "swing",
    symbol: str = "A",
    bought: int = 1_000,
    costs: int | str = 0,
    low: int | None = None,
    high: int | None = None,
    risk: int | None = None,
) -> RoundTrip:
    """Ten shares bought at a tenth of ``bought``."""
    gained = Decimal(result)
    return RoundTrip(
        strategy=strategy,
        symbol=symbol,
        begun_ns=0,
        ended_ns=1,
        bought=Decimal(bought),
        sold=bought + gained + Decimal(costs),
        costs=Decimal(costs),
        entry_price=Decimal(bought) / 10,
        result=gained,
        low=None if low is None else Decimal(low),
        high=None if high is None else Decimal(high),
        risk=None if risk is None else Decimal(risk),
    )


def values(series: Sequence[DailyReturn]) -> list[float]:
    return [one.value for one in series]
