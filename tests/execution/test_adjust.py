"""What becomes of a part that does not fill: every number at both of its sides."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D
from typing import Any

import pytest

from qts.execution.adjust import AdjustAction, Adjusted, AdjustInputs, adjusted
from qts.market.krx import krx_instrument
from qts.strategy.contracts import Side

TICKS, DAY = krx_instrument("005930").ticks, date(2026, 1, 22)  # from 50,000 to 200,000 the grid is 100 won
A = AdjustAction


def answer(side: Side = Side.BUY, **changed: Any) -> Adjusted:
    numbers: dict[str, Any] = {"limit": "150000", "worst": None, "decided_at": "150000", "touch": "151000"}
    given = {**numbers, **{key: changed.pop(key) for key in tuple(changed) if key in numbers}}
    prices = {key: None if value is None else D(value) for key, value in given.items()}
    more = {"round": 0, "rounds": 3, "step": D("0.001"), "most": D("0.005"), **changed}
    return adjusted(AdjustInputs(side=side, **prices, **more), TICKS, DAY)


@pytest.mark.parametrize(
    ("side", "limit", "touch", "price"),
    [
        (Side.BUY, "150000", "151000", "150100"),  # 0.1 % is 150, on the grid 100
        (Side.BUY, "100000", "101000", "100100"),
        (Side.BUY, "60000", "61000", "60100"),  # at least one step of the grid
        (Side.BUY, "150000", "150100", "150100"),
        (Side.SELL, "150000", "149000", "149900"),
        (Side.SELL, "150000", "149900", "149900"),
    ],
)
def test_the_price_is_improved_by_a_step_on_the_grid(side: Side, limit: str, touch: str, price: str) -> None:
    found = answer(side, limit=limit, touch=touch, decided_at=limit)

    assert (found.action, found.limit) == (A.REPRICE, D(price))


@pytest.mark.parametrize(("side", "touch"), [(Side.BUY, "150000"), (Side.BUY, "149000"), (Side.SELL, "150000")])
def test_it_never_goes_past_the_touch(side: Side, touch: str) -> None:
    assert answer(side, touch=touch).action is A.WAIT


@pytest.mark.parametrize(("round_", "action"), [(0, A.REPRICE), (2, A.REPRICE), (3, A.GIVE_UP)])
def test_three_rounds_and_no_more(round_: int, action: AdjustAction) -> None:
    found = answer(round=round_, touch="150500")

    assert found.action is action
    assert found.code == ("FS093" if action is A.GIVE_UP else "")


def test_the_last_round_takes_the_price_of_the_touch() -> None:
    assert answer(round=1, touch="150500").limit == D(150100)
    assert answer(round=2, touch="150500").limit == D(150500)


@pytest.mark.parametrize(("touch", "action", "code"), [("150700", A.REPRICE, ""), ("150800", A.GIVE_UP, "FS094")])
def test_all_steps_together_stay_within_the_limit_of_slippage(touch: str, action: AdjustAction, code: str) -> None:
    # 0.5 % of 150,000 is 750
    found = answer(round=2, touch=touch)

    assert (found.action, found.code) == (action, code)


def test_exactly_the_limit_of_slippage_is_allowed() -> None:
    assert answer(round=2, decided_at="100000", limit="100000", touch="100500").action is A.REPRICE
    assert answer(round=2, decided_at="100000", limit="100000", touch="100600").action is A.GIVE_UP


def test_the_worst_price_of_the_order_is_not_passed() -> None:
    assert answer(round=2, worst="150300", touch="150500").limit == D(150300)
    assert answer(worst="150000").action is A.WAIT


@pytest.mark.parametrize("changed", [{"limit": None}, {"touch": None}, {"touch": "0"}])
def test_without_a_price_it_waits(changed: dict[str, Any]) -> None:
    assert answer(**changed).action is A.WAIT
