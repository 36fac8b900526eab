"""Exposure, time in the market, turnover and costs, by hand."""

from __future__ import annotations

from decimal import Decimal

import pytest

from qts.errors import ContractError
from qts.performance import Close
from qts.performance.activity import costs, exposure, time_in_market, turnover

from .series import closes, day

D = Decimal


def test_exposure_is_the_average_share_of_equity_in_positions() -> None:
    """A half, all of it, nothing, and nothing of no equity: 1.5 ÷ 4."""
    given = [
        Close(day(0), D(200), held=D(100)),
        Close(day(1), D(200), held=D(200)),
        Close(day(2), D(200)),
        Close(day(3), D(0)),
    ]
    assert exposure(given).value == pytest.approx(0.375)


def test_no_close_is_not_enough_for_an_exposure() -> None:
    unknown = exposure([])

    assert unknown.value is None
    assert unknown.why is not None
    assert unknown.why.code == "figure-no-days"


@pytest.mark.parametrize(
    ("held", "share"),
    [
        ([], 0.0),
        ([(10, 20)], 0.1),
        ([(10, 20), (15, 25)], 0.15),  # they overlap in 5
        ([(10, 30), (15, 20)], 0.2),  # one within the other
        ([(50, 60), (10, 20)], 0.2),
        ([(-50, 10), (90, 500)], 0.2),  # beyond both ends
        ([(-50, -10), (200, 300)], 0.0),
        ([(20, 20)], 0.0),
        ([(0, 100)], 1.0),
    ],
)
def test_time_in_market_counts_each_moment_once(held: list[tuple[int, int]], share: float) -> None:
    assert time_in_market(held, 0, 100).value == pytest.approx(share)


@pytest.mark.parametrize("end", [5, 4])
def test_a_period_needs_an_end_after_its_beginning(end: int) -> None:
    with pytest.raises(ContractError, match=f"a period must end after its beginning: 5 to {end}"):
        time_in_market([], 5, end)


def test_turnover_is_half_of_what_was_traded_by_the_average_equity_a_year() -> None:
    """(700 + 500) ÷ 2 = 600 of 100 in thirty sessions; a year of sixty: 12."""
    assert turnover(D(700), D(500), closes(*[100] * 30), days_a_year=60).value == pytest.approx(12.0)


def test_costs_as_shares() -> None:
    """3 of 1,200 traded is 0.25 %; of 100 in half a year 6 %."""
    found = costs(D(3), D(1_200), closes(*[100] * 30), days_a_year=60)

    assert found.total == 3
    assert found.of_traded.value == pytest.approx(0.0025)
    assert found.of_equity.value == pytest.approx(0.06)


def test_what_is_not_enough_for_a_share_is_unknown() -> None:
    few = costs(D(0), D(0), closes(*[100] * 29), days_a_year=60)
    poor = turnover(D(1), D(1), closes(*[0] * 30), days_a_year=60)

    assert few.of_traded.why is not None
    assert few.of_traded.why.code == "figure-nothing-traded"
    assert few.of_equity.why is not None
    assert few.of_equity.why.code == "figure-too-few-days"
    assert poor.why is not None
    assert poor.why.code == "figure-no-capital"
