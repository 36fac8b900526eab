"""Portfolio on daily closes made by hand: mean of 5 days, a step every 3, out after 4 broken closes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from qts.capital.contracts import Pool
from qts.errors import ContractError
from qts.market.contracts import Quote
from qts.state.contracts import OperatingState
from qts.strategy.contracts import Side, Strategy
from qts.strategy.portfolio import Portfolio
from tests.strategy.scripted_context import ScriptedContext

RISING = [
    100.0,
    101,
    102,
    103,
    104,
    105,
    106,
]  # the mean is first known on the fifth day, three days above on the seventh


def portfolio(**changes: Any) -> Portfolio:
    return Portfolio(**{"trend_days": 5, "pace_days": 3, "confirm_days": 4, **changes})


def test_keeps_the_contract_and_needs_no_arguments() -> None:
    made = Portfolio()
    assert isinstance(made, Strategy)
    assert (made.name, made.pool) == ("portfolio", Pool.PORTFOLIO)
    assert list(made.on_quote(ScriptedContext(), Quote("A", 1, last=ScriptedContext().budget))) == []
    made.on_start(ScriptedContext())
    made.on_fill(ScriptedContext(), None)  # type: ignore[arg-type]


def test_steps_in_when_the_trend_is_known() -> None:
    context, strategy = ScriptedContext(), portfolio()
    assert context.bars(strategy, RISING[:6]) == []
    (said,) = context.bars(strategy, RISING[6:])
    assert (said.side, said.confidence, said.reason) == (Side.BUY, 1.0, "3 of 3 closes above the 5-day mean")


def test_keeps_stepping_at_its_pace_while_money_is_left() -> None:
    context, strategy = ScriptedContext(), portfolio()
    context.bars(strategy, RISING)
    context.held["A"] = Decimal(10)
    assert context.bars(strategy, [107, 108]) == []
    assert len(context.bars(strategy, [109])) == 1
    context.budget = Decimal(0)
    assert context.bars(strategy, [110, 111, 112, 113]) == []


def test_a_young_trend_is_less_confident() -> None:
    # days 5 to 7 close under, above, above their means of 99.8, 100.6 and 101.6: two of three
    (said,) = ScriptedContext().bars(portfolio(), [100, 100, 100, 100, 99, 104, 105])
    assert said.confidence == pytest.approx(2 / 3)


def test_a_single_close_above_the_mean_is_no_trend() -> None:
    # under, under, above: one of three, nothing; the next day two of three, and it need not wait its pace
    context, strategy = ScriptedContext(), portfolio()
    assert context.bars(strategy, [100, 100, 100, 100, 99, 98, 104]) == []
    assert len(context.bars(strategy, [105])) == 1


def test_under_the_mean_nothing_is_bought() -> None:
    assert ScriptedContext().bars(portfolio(), [110, 109, 108, 107, 106, 105, 104, 103]) == []


def broken(state: OperatingState, closes: int) -> list[Side]:
    """Rise, hold, then a fall that stays more than 3 % under the mean for ``closes`` days."""
    context, strategy = ScriptedContext(), portfolio()
    context.bars(strategy, RISING)
    context.held["A"] = Decimal(10)
    context.state = state
    return [i.side for i in context.bars(strategy, [90.0, 80.0, 70.0, 60.0][:closes])]


def test_leaves_after_four_closes_under_the_mean() -> None:
    assert broken(OperatingState.BALANCED, 3) == []
    assert broken(OperatingState.BALANCED, 4) == [Side.SELL]


def test_there_is_nothing_to_leave_when_nothing_is_held() -> None:
    context, strategy = ScriptedContext(), portfolio()
    context.bars(strategy, RISING)
    assert context.bars(strategy, [90, 80, 70, 60, 50]) == []


def test_a_step_that_is_due_waits_for_a_close_above_the_mean() -> None:
    # the step after RISING is due on the third day; by then two of three closes are above, 103.5 is not
    context, strategy = ScriptedContext(), portfolio()
    context.bars(strategy, RISING)
    assert context.bars(strategy, [107, 108, 103.5]) == []
    assert len(context.bars(strategy, [109])) == 1


def test_in_defensive_half_as_many_are_enough() -> None:
    assert broken(OperatingState.DEFENSIVE, 1) == []
    assert broken(OperatingState.DEFENSIVE, 2) == [Side.SELL]


def test_one_recovery_starts_the_count_again() -> None:
    context, strategy = ScriptedContext(), portfolio()
    context.bars(strategy, RISING)
    context.held["A"] = Decimal(10)
    # 90, 80, 70 are broken; 95 is above their mean; then three more are not four
    assert [i for i in context.bars(strategy, [90, 80, 70, 95, 60, 55, 50]) if i.side is Side.SELL] == []


def test_within_the_tolerance_it_stays() -> None:
    # each close 2 % under the mean of the five
    context, strategy = ScriptedContext(), portfolio()
    context.bars(strategy, RISING)
    context.held["A"] = Decimal(10)
    assert [i for i in context.bars(strategy, [103, 102, 101.5, 101, 100.5, 100]) if i.side is Side.SELL] == []


def test_waits_for_its_working_order() -> None:
    context, strategy = ScriptedContext(), portfolio()
    context.orders.add("A")
    assert context.bars(strategy, [*RISING, 107, 108]) == []


@pytest.mark.parametrize("bad", [{"trend_days": 1}, {"pace_days": 1}, {"confirm_days": 1}, {"tolerance": 1}])
def test_senseless_parameters_are_refused_by_name(bad: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match=next(iter(bad))):
        portfolio(**bad)
