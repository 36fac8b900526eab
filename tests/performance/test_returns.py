"""Daily returns without what was paid in or out, and what they compound to."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from qts.errors import ContractError
from qts.performance import (
    Close,
    DailyReturn,
    Flow,
    cagr,
    daily_returns,
    monthly_returns,
    total_return,
    yearly_returns,
)
from qts.performance.returns import average_equity, growth

from .series import closes, day, returns, values

D = Decimal


def test_a_return_is_the_close_by_the_close_before() -> None:
    """100 → 110 → 99 → 108.9."""
    found = daily_returns(D(100), closes(110, 99, "108.9"))

    assert values(found) == pytest.approx([0.1, -0.1, 0.1])
    assert [one.day for one in found] == [day(0), day(1), day(2)]


def test_capital_that_comes_in_is_no_return() -> None:
    # Given 90 that came in on the second day
    flows = [Flow(day(1), D(90))]

    # When the account ends that day at 220 from 110 + 90 = 200
    found = daily_returns(D(100), closes(110, 220), flows)

    # Then it made a tenth each day
    assert values(found) == pytest.approx([0.1, 0.1])


def test_capital_that_is_taken_out_is_no_loss() -> None:
    """110 − 60 = 50 become 55."""
    assert values(daily_returns(D(100), closes(110, 55), [Flow(day(1), D(-60))])) == pytest.approx([0.1, 0.1])


def test_a_flow_between_two_sessions_belongs_to_the_next_and_one_after_the_last_to_none() -> None:
    # Given closes of Friday and Monday, 100 on Sunday and 900 on Tuesday
    friday, sunday, monday, tuesday = (date(2024, 1, number) for number in (5, 7, 8, 9))
    given = [Close(friday, D(100)), Close(monday, D(220))]

    # Then Monday's 220 came from 200
    found = daily_returns(D(100), given, [Flow(tuesday, D(900)), Flow(sunday, D(100))])
    assert values(found) == pytest.approx([0.0, 0.1])


def test_two_flows_of_a_day_add_up() -> None:
    flows = [Flow(day(0), D(60)), Flow(day(0), D(40))]
    assert values(daily_returns(D(100), closes(220), flows)) == pytest.approx([0.1])


def test_an_account_that_is_empty_has_a_return_of_0() -> None:
    flows = [Flow(day(1), D(-110)), Flow(day(3), D(200))]
    assert values(daily_returns(D(100), closes(110, 0, 0, 220), flows)) == pytest.approx([0.1, 0.0, 0.0, 0.1])


@pytest.mark.parametrize(("start", "equity"), [(0, 5), (-10, 5), (-10, -10)])
def test_something_made_of_no_capital_is_refused(start: int, equity: int) -> None:
    with pytest.raises(ContractError, match=f"2024-01-01: equity {equity} from a capital of {start}"):
        daily_returns(D(start), closes(equity))


@pytest.mark.parametrize("second", [day(1), day(0)])
def test_closes_that_do_not_rise_are_refused(second: date) -> None:
    with pytest.raises(ContractError, match="closes must rise by day"):
        daily_returns(D(1), [Close(day(1), D(1)), Close(second, D(1))])


def test_the_total_compounds() -> None:
    """1.1 × 0.9 × 1.1 = 1.089."""
    series = returns(0.1, -0.1, 0.1)

    assert growth(series) == pytest.approx([1.0, 1.1, 0.99, 1.089])
    assert total_return(series).value == pytest.approx(0.089)


def test_no_session_is_not_enough_for_a_total() -> None:
    unknown = total_return([])

    assert unknown.value is None
    assert unknown.why is not None
    assert unknown.why.code == "figure-no-days"


@pytest.mark.parametrize(("days_a_year", "expected"), [(30, 0.1), (60, 0.21), (15, 1.1**0.5 - 1)])
def test_cagr_scales_what_thirty_sessions_made_to_a_year(days_a_year: int, expected: float) -> None:
    series = returns(0.1, *[0.0] * 29)
    assert cagr(series, days_a_year=days_a_year).value == pytest.approx(expected)


def test_twenty_nine_sessions_are_not_enough_for_a_year() -> None:
    unknown = cagr(returns(*[0.01] * 29), days_a_year=252)

    assert unknown.value is None
    assert unknown.why is not None
    assert (unknown.why.code, unknown.why.parameters) == ("figure-too-few-days", {"days": 29, "needed": 30})


def test_an_account_with_nothing_left_has_no_cagr() -> None:
    unknown = cagr(returns(-1.0, *[0.0] * 29), days_a_year=252)

    assert unknown.value is None
    assert unknown.why is not None
    assert unknown.why.code == "figure-no-capital"


def test_months_and_years_compound_their_own_sessions() -> None:
    # Given two sessions in December, one in January
    series = [
        DailyReturn(date(2023, 12, 28), 0.1),
        DailyReturn(date(2023, 12, 29), 0.1),
        DailyReturn(date(2024, 1, 2), -0.5),
    ]

    # Then December made 21 %, January lost half
    assert [(one.year, one.month, round(one.value, 12)) for one in monthly_returns(series)] == [
        (2023, 12, 0.21),
        (2024, 1, -0.5),
    ]
    assert yearly_returns(series) == pytest.approx({2023: 0.21, 2024: -0.5})
    assert monthly_returns([]) == []


def test_average_equity() -> None:
    assert average_equity(closes(100, 200, 300)) == 200
    assert average_equity([]) is None
