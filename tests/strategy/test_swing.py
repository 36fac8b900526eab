"""Swing on daily closes made by hand; every bar reaches 1 above and below its close."""

from __future__ import annotations

from typing import Any

import pytest

from qts.capital.contracts import Pool
from qts.errors import ContractError
from qts.market.contracts import Quote
from qts.state.contracts import OperatingState
from qts.strategy.contracts import Side, Strategy
from qts.strategy.swing import Swing
from tests.strategy.scripted_context import ScriptedContext

FLAT = [100.0] * 5


def swing(**changes: Any) -> Swing:
    return Swing(**{"entry_days": 5, "exit_days": 3, "max_days": 10, **changes})


def holding(price: float = 105, **changes: Any) -> tuple[ScriptedContext, Swing]:
    """Five flat days (mean range 2), then a close of 105 and a fill there."""
    context, strategy = ScriptedContext(), swing(**changes)
    assert len(context.bars(strategy, [*FLAT, 105])) == 1
    context.fill(strategy, "A", Side.BUY, price)
    return context, strategy


def test_keeps_the_contract_and_needs_no_arguments() -> None:
    made = Swing()
    assert isinstance(made, Strategy)
    assert (made.name, made.pool) == ("swing", Pool.SWING)
    assert list(made.on_quote(ScriptedContext(), Quote("A", 1, last=ScriptedContext().budget))) == []
    made.on_start(ScriptedContext())


def test_buys_the_first_close_above_the_window() -> None:
    context, strategy = ScriptedContext(), swing()
    assert context.bars(strategy, [*FLAT, 100]) == [], "as high as before is no breakout"
    (said,) = context.bars(strategy, [103])
    assert said.side is Side.BUY


def test_needs_a_full_window() -> None:
    assert ScriptedContext().bars(swing(), [100, 101, 102, 103, 104]) == []


def test_a_high_far_over_the_mean_is_more_confident() -> None:
    def confidence(close: float) -> float:
        (said,) = ScriptedContext().bars(swing(), [*FLAT, close])
        return said.confidence

    # (close − 100) / 2 ranges: 0.5 and 4, where 1.3 gives one half: 1 − 0.5^0.385 = 0.23, 1 − 0.5^3.08 = 0.88
    assert confidence(101) == pytest.approx(0.234, abs=0.001)
    assert confidence(108) == pytest.approx(0.881, abs=0.001)


def test_leaves_on_the_lowest_close_of_the_exit_window() -> None:
    context, strategy = holding(stop_ranges=50)
    assert context.bars(strategy, [104, 103.5]) == []
    assert context.bars(strategy, [103.5]) == [], "as low as before is not lower"
    (said,) = context.bars(strategy, [103.4])
    assert said.side is Side.SELL
    assert "lowest close of 3 days" in said.reason


@pytest.mark.parametrize(
    ("state", "close", "leaves"),
    [
        (OperatingState.BALANCED, 108.3, False),
        (OperatingState.BALANCED, 108.2, True),
        (OperatingState.DEFENSIVE, 114.2, False),
        (OperatingState.DEFENSIVE, 114.1, True),
    ],
)
def test_leaves_on_the_trailing_stop_and_sooner_in_defensive(
    state: OperatingState, close: float, leaves: bool
) -> None:
    # Ranges 2 (flat), 6 (the leap to 105), then 4 a day, each moving the mean by a third:
    # 2 → 3.333 → 3.556 → 3.704 → 3.802 → 3.868 → 3.912. Stop under the high of 120: 3 × 3.912 → 108.26,
    # in DEFENSIVE 1.5 × 3.912 → 114.13. The lowest of five closes is 108, so the other exit is silent.
    context, strategy = holding(exit_days=5)
    context.state = state
    assert context.bars(strategy, [108, 111, 114, 117, 120]) == []
    assert [i.reason.split(" the ")[0] for i in context.bars(strategy, [close])] == (
        [f"{3 if state is OperatingState.BALANCED else 1.5:g} ranges under"] if leaves else []
    )


def test_leaves_after_max_days() -> None:
    context, strategy = holding(max_days=3)
    assert context.bars(strategy, [106, 107]) == []
    (said,) = context.bars(strategy, [108])
    assert said.reason == "held 3 days"


def test_a_closed_position_forgets_its_high_and_days() -> None:
    context, strategy = holding(max_days=3)
    context.bars(strategy, [106, 107])
    context.fill(strategy, "A", Side.SELL, 107, qty=4)
    assert len(context.bars(strategy, [108])) == 1, "a partial exit forgets nothing"
    context.fill(strategy, "A", Side.SELL, 108, qty=6)
    context.fill(strategy, "A", Side.BUY, 108)
    assert context.bars(strategy, [109, 110]) == []


def test_waits_for_its_working_order() -> None:
    context, strategy = holding()
    context.orders.add("A")
    assert context.bars(strategy, [50]) == []


def test_a_market_that_never_moved_says_nothing() -> None:
    assert ScriptedContext().bars(swing(), [*FLAT, 100, 100], spread=0) == []


@pytest.mark.parametrize("bad", [{"exit_days": 1}, {"exit_days": 6}, {"stop_ranges": 0}, {"max_days": 0}])
def test_senseless_parameters_are_refused_by_name(bad: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match=next(iter(bad))):
        swing(**bad)
