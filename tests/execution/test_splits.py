"""Open orders over a split: whole lots, prices on the grid, never worse than they were."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.execution.splits import Rescaled, rescaled, split_order
from qts.market.actions import Split
from qts.market.krx import krx_instrument
from qts.strategy.contracts import Side
from tests.execution.orders import order_with

DAY = date(2018, 5, 4)
SAMSUNG = krx_instrument("005930")
FIFTY = Split("005930", DAY, D(50))


def rest(
    split: Split, is_buy: bool, left: int, limit: str | None = None, stop: str | None = None
) -> Rescaled | None:
    return rescaled(
        split,
        is_buy=is_buy,
        left=D(left),
        limit=None if limit is None else D(limit),
        stop=None if stop is None else D(stop),
        instrument=SAMSUNG,
        day=DAY,
    )


def test_a_limit_goes_to_the_grid_of_the_ex_date_a_buy_down_and_a_sale_up() -> None:
    # 2,651,000 ÷ 50 = 53,020; the step between 50,000 and 100,000 is 100
    assert rest(FIFTY, True, 3, "2651000") == Rescaled(D(150), D(53_000), None)
    assert rest(FIFTY, False, 3, "2651000") == Rescaled(D(150), D(53_100), None)


def test_a_stop_is_not_reached_earlier_than_it_was() -> None:
    assert rest(FIFTY, True, 3, stop="2651000") == Rescaled(D(150), None, D(53_100))
    assert rest(FIFTY, False, 3, stop="2651000") == Rescaled(D(150), None, D(53_000))


def test_a_market_order_keeps_no_price() -> None:
    assert rest(FIFTY, True, 3) == Rescaled(D(150), None, None)


def test_of_a_rest_smaller_than_one_new_share_nothing_is_left() -> None:
    tenth = Split("005930", DAY, D(1), D(10))
    assert rest(tenth, True, 9, "5000") is None
    assert rest(tenth, True, 10, "5000") == Rescaled(D(1), D(50_000), None)


def test_a_limit_below_the_smallest_price_of_the_grid_leaves_nothing() -> None:
    assert rest(Split("005930", DAY, D(500)), True, 1, "100") is None


def test_what_was_filled_before_stays_as_booked_and_the_note_says_what_became_of_the_rest() -> None:
    order = order_with(
        client_order_id="o", symbol="005930", side=Side.BUY, qty=D(10), filled=D(3), limit=D(2_600_000),
        decision_price=D(2_650_000), note="slow",
    )  # fmt: skip
    new = split_order(order, FIFTY, SAMSUNG, DAY, 7)
    assert new is not None
    assert (new.filled, new.remaining, new.qty, new.limit) == (3, 350, 353, 52_000)
    assert (new.decision_price, new.ts_update_ns) == (53_000, 7)
    assert new.note == "slow; split 50:1 on 2018-05-04: 7 left → 350 at 2600000 → 52000"


@given(
    st.booleans(),
    st.integers(1, 5_000),
    st.integers(1_000, 2_000_000),
    st.tuples(st.integers(1, 60), st.integers(1, 60)).filter(lambda pair: pair[0] != pair[1]),
)
def test_no_price_is_worse_and_no_quantity_larger_than_the_ratio_allows(
    is_buy: bool, left: int, limit: int, ratio: tuple[int, int]
) -> None:
    split = Split("005930", DAY, D(ratio[0]), D(ratio[1]))
    new = rest(split, is_buy, left, str(limit))
    if new is None:
        assert left * ratio[0] < ratio[1] or limit * ratio[1] < ratio[0]
        return
    assert new.limit is not None
    assert new.left * ratio[1] <= left * ratio[0] < (new.left + 1) * ratio[1]
    exact = D(limit) * ratio[1] / ratio[0]
    step = SAMSUNG.ticks.tick(exact, DAY)
    assert SAMSUNG.ticks.is_valid(new.limit, DAY)
    off = exact - new.limit if is_buy else new.limit - exact
    assert -D("1E-9") <= off < step


@pytest.mark.parametrize("side", list(Side))
def test_an_order_of_which_nothing_is_left_is_for_its_venue_to_end(side: Side) -> None:
    order = order_with(client_order_id="o", symbol="005930", side=side, qty=D(9), decision_price=D(5_000))
    assert split_order(order, Split("005930", DAY, D(1), D(10)), SAMSUNG, DAY, 7) is None
