"""Splits and dividends as values."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D

import pytest

from qts.errors import ContractError
from qts.market.actions import Dividend, Split, actions_of, in_order

DAY = date(2018, 5, 4)


def test_a_split_converts_prices_and_shares_exactly() -> None:
    fifty = Split("005930", DAY, D(50))
    assert fifty.price(D(2_650_000)) == D(53_000)
    assert str(fifty.price(D(2_650_000))) == "53000"
    assert str(fifty.price(D(100))) == "2"
    assert fifty.shares(D(7), D(1)) == D(350)
    assert str(fifty) == "50:1"


def test_a_price_without_end_has_16_decimals_and_the_fraction_of_a_share_is_cut() -> None:
    three_for_seven = Split("X", DAY, D(7), D(3))
    assert three_for_seven.price(D(100)) == D("42.8571428571428571")
    # 10 × 7 ÷ 3 = 23.33…
    assert three_for_seven.shares(D(10), D(1)) == D(23)
    assert three_for_seven.shares(D(10), D("0.1")) == D("23.3")
    assert three_for_seven.shares(D(-10), D(1)) == D(-23)
    ten_become_one = Split("X", DAY, D(1), D(10))
    assert ten_become_one.price(D(5)) == D(50)
    assert ten_become_one.shares(D(9), D(1)) == 0


@pytest.mark.parametrize("number", [D(0), D(-1), D("NaN"), D("Infinity"), D("1E+20")])
def test_numbers_that_make_no_action_are_refused(number: D) -> None:
    with pytest.raises(ContractError, match="split of X on 2018-05-04: new must be a number above 0"):
        Split("X", DAY, number)
    with pytest.raises(ContractError, match="split of X on 2018-05-04: old must be"):
        Split("X", DAY, D(1), number)
    with pytest.raises(ContractError, match="dividend of X on 2018-05-04: amount must be"):
        Dividend("X", DAY, number)


def test_a_split_that_changes_nothing_is_refused() -> None:
    with pytest.raises(ContractError, match="1:1 changes nothing"):
        Split("X", DAY, D(1))


def test_actions_are_applied_by_day_then_symbol_and_a_dividend_before_a_split() -> None:
    later, split = Dividend("A", date(2018, 5, 8), D(1)), Split("A", DAY, D(2))
    same_day, other = Dividend("A", DAY, D(1)), Dividend("B", DAY, D(1))
    assert in_order([later, split, other, same_day]) == (same_day, split, other, later)


def test_two_actions_of_one_kind_symbol_and_day_are_refused() -> None:
    with pytest.raises(ContractError, match="two splits of A on 2018-05-04"):
        in_order([Split("A", DAY, D(2)), Split("A", DAY, D(3))])
    with pytest.raises(ContractError, match="two dividends of A on 2018-05-04"):
        in_order([Dividend("A", DAY, D(2)), Dividend("A", DAY, D(2))])


def test_a_feed_without_actions_has_none() -> None:
    class WithActions:
        actions = (Split("A", DAY, D(2)),)

    assert actions_of(object()) == ()
    assert actions_of(WithActions()) == WithActions.actions
