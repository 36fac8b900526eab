"""Sizing: the largest whole-lot quantity that every limit has room for."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qts.clock import from_ns
from qts.risk.contracts import Approved, RiskLimits
from qts.risk.sizing import cost_of, payable_qty, qty_for
from qts.state.contracts import OperatingState
from tests.risk.requests import D, entry, gate, instrument, view

LIMITS = gate().limits(OperatingState.BALANCED)
PRICE = D(50_000)


def sized(budget: int = 40_000_000, limits: RiskLimits = LIMITS, lot: str = "1", **changes: Decimal) -> Decimal:
    return qty_for(D(budget), PRICE, instrument(lot=lot), limits, view(**changes))


def test_a_fifth_of_the_pools_budget_with_its_fee() -> None:
    # 20 % of 40,000,000 = 8,000,000; 159 × 50,000 = 7,950,000 + 7,950 + 1 fits, 160 × 50,000 + 8,000 + 1 does not
    assert sized() == D(159)


def test_the_position_size_is_scaled_by_the_state() -> None:
    # 24 % of 40,000,000 = 9,600,000: 191 × 50,000 = 9,550,000 + 9,551 fits, 192 does not
    assert sized(limits=gate().limits(OperatingState.AGGRESSIVE)) == D(191)


def test_what_symbol_weight_leaves() -> None:
    # 15 % of 100,000,000 − 10,000,000 = 5,000,000: exactly 100, weight has no fee in it
    assert sized(symbol_exposure=D(10_000_000)) == D(100)
    assert sized(symbol_exposure=D(10_000_001)) == D(99)


def test_what_exposure_leaves() -> None:
    assert sized(exposure=D(90_000_000)) == D(100)
    assert sized(exposure=D(95_000_000)) == D(0)
    assert sized(exposure=D(99_000_000)) == D(0)


@pytest.mark.parametrize("purse", ["cash", "pool_available"])
def test_what_the_purse_holds_with_the_fee(purse: str) -> None:
    assert sized(**{purse: D(5_005_001)}) == D(100)
    assert sized(**{purse: D(5_005_000)}) == D(99)
    assert sized(**{purse: D(-1)}) == D(0)


def test_whole_lots_only() -> None:
    assert sized(lot="10") == D(150)
    assert sized(lot="1000") == D(0)


def test_one_lot_whose_fee_does_not_fit_is_none() -> None:
    assert sized(budget=250_000) == D(0)  # 20 % is 50,000, the fee is missing
    assert sized(budget=250_255) == D(1)  # 50,051 = 50,000 + 50 + 1


@pytest.mark.parametrize("bad", [D("NaN"), D("Infinity"), D("sNaN")])
@pytest.mark.parametrize("purse", ["equity", "exposure", "symbol_exposure", "cash", "pool_available"])
def test_nothing_on_amounts_that_are_not_known(purse: str, bad: Decimal) -> None:
    assert sized(**{purse: bad}) == D(0)


@pytest.mark.parametrize("price", [D("NaN"), D(0), D(-1)])
def test_nothing_at_a_senseless_price(price: Decimal) -> None:
    assert qty_for(D(40_000_000), price, instrument(), LIMITS, view()) == D(0)


@settings(max_examples=300)
@given(
    budget=st.integers(0, 60_000_000),
    price=st.integers(1, 3_000).map(lambda n: D(100 * n)),
    lot=st.sampled_from(["1", "10", "0.001"]),
    cash=st.integers(0, 60_000_000).map(D),
    exposure=st.integers(0, 99_000_000).map(D),
    symbol_exposure=st.integers(0, 16_000_000).map(D),
)
def test_it_is_the_largest_that_passes_the_gate(
    budget: int, price: Decimal, lot: str, cash: Decimal, exposure: Decimal, symbol_exposure: Decimal
) -> None:
    traded = instrument(lot=lot)
    seen = view(
        instrument=traded,
        price=price,
        base_price=price,
        cash=cash,
        pool_available=D(budget),
        exposure=exposure,
        symbol_exposure=symbol_exposure,
    )
    qty = qty_for(D(budget), price, traded, LIMITS, seen)
    assert qty >= 0
    if qty:
        request = entry(qty=qty, limit=price, decision_price=price)
        assert isinstance(gate().evaluate(request, seen), Approved)
    day = traded.calendar.local_date(from_ns(seen.now_ns))
    more = qty + traded.lot
    assert (
        cost_of(more, price, traded, day) > min(D(budget) * D("0.20"), cash)
        or more * price > D("0.15") * seen.equity - symbol_exposure
        or more * price > D("0.95") * seen.equity - exposure
    )


@pytest.mark.parametrize(
    ("qty", "money", "lot", "payable"),
    [
        ("10", "500501", "1", "10"),  # 500,000 + 500 fee + 1 for rounding
        ("10", "500500", "1", "9"),
        ("10", "100101", "1", "2"),
        ("10", "50050", "1", "0"),
        ("10", "50051", "1", "1"),
        ("10", "0", "1", "0"),
        ("10", "-1", "1", "0"),
        ("30", "1000999", "10", "10"),
    ],
)
def test_what_money_pays_of_a_quantity_in_whole_lots(qty: str, money: str, lot: str, payable: str) -> None:
    day = from_ns(view().now_ns).date()
    assert payable_qty(D(qty), D(money), PRICE, instrument(lot=lot), day) == D(payable)


def test_money_of_one_buys_what_costs_less() -> None:
    # At 0.50 a share, in a currency of cents: 1 share costs 0.50 and a cent for rounding, 2 shares 1.01
    coin, day = instrument(quantum="0.01"), from_ns(view().now_ns).date()
    assert payable_qty(D(10), D(1), D("0.5"), coin, day) == 1
    assert payable_qty(D(10), D("1.01"), D("0.5"), coin, day) == 2


def test_a_price_of_one_is_a_price() -> None:
    # 20 % of 1,000 = 200: 199 + 0 of fee + 1
    assert qty_for(D(1_000), D(1), instrument(), LIMITS, view()) == 199


def test_many_lots_whose_fees_take_the_place_of_some() -> None:
    # 3,000 × 50,000 are 150,000,000; with 0.1 % 2,997 cost 149,999,851, and 2,998 cost 150,049,901
    day = from_ns(view().now_ns).date()
    assert payable_qty(D(10_000), D(150_000_000), PRICE, instrument(), day) == 2_997
