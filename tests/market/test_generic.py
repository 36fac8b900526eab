"""Rules of markets without rules."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.clock import to_ns
from qts.errors import ContractError
from qts.market.contracts import Calendar, FeeRule, Phase, TickRule
from qts.market.generic import AlwaysOpen, FixedTicks, RateCosts

DAY = date(2024, 8, 8)


def test_one_step_at_every_price() -> None:
    ticks: TickRule = FixedTicks(D("0.10"))
    assert ticks.tick(D("57000.1"), DAY) == D("0.1")
    assert ticks.is_valid(D("57000.1"), DAY)
    assert not ticks.is_valid(D("57000.15"), DAY)
    assert not ticks.is_valid(D("0"), DAY)
    assert not ticks.is_valid(D("-0.1"), DAY)
    assert not ticks.is_valid(D("NaN"), DAY)
    assert ticks.round_down(D("57000.19"), DAY) == D("57000.1")
    assert ticks.round_up(D("57000.11"), DAY) == D("57000.2")
    assert ticks.band(D("57000.1"), DAY) is None


@given(price=st.decimals("0.0001", "100000", places=4), step=st.sampled_from(["0.01", "0.1", "0.25", "5"]))
def test_rounding_is_tight(price: D, step: str) -> None:
    ticks = FixedTicks(step)
    down, up = ticks.round_down(price, DAY), ticks.round_up(price, DAY)
    assert down <= price <= up
    assert up - down in (D(0), D(step))


def test_costs_are_shares_cut_to_the_quantum() -> None:
    # 0.05 % of 123.45 = 0.061725; 0.1 % = 0.12345
    costs: FeeRule = RateCosts("0.0005", "0.001", "0.01")
    assert costs.fee(D("123.45"), DAY) == D("0.06")
    assert costs.tax(D("123.45"), is_sell=True, day=DAY) == D("0.12")
    assert costs.tax(D("123.45"), is_sell=False, day=DAY) == 0


@pytest.mark.parametrize(
    ("fee", "tax", "quantum", "name"),
    [
        ("-0.1", "0", "1", "fee_rate"),
        ("1", "0", "1", "fee_rate"),
        ("0", "NaN", "1", "tax_rate"),
        ("0", "0", "0", "quantum"),
    ],
)
def test_impossible_costs_are_refused(fee: str, tax: str, quantum: str, name: str) -> None:
    with pytest.raises(ContractError, match=name):
        RateCosts(fee, tax, quantum)


def test_a_step_of_zero_is_refused() -> None:
    with pytest.raises(ContractError, match="step"):
        FixedTicks("0")


def test_a_market_that_never_closes() -> None:
    calendar: Calendar = AlwaysOpen()
    midnight = datetime(2024, 8, 10, tzinfo=UTC)  # a Saturday
    assert calendar.phase(midnight) is Phase.CONTINUOUS
    assert AlwaysOpen().phase_ns(to_ns(midnight)) is Phase.CONTINUOUS
    assert calendar.is_trading_day(midnight.date())
    assert calendar.next_open(midnight) is None
    assert calendar.close(midnight.date()) is None
    assert calendar.local_date(midnight) == date(2024, 8, 10)
    assert calendar.at(date(2024, 8, 10), 0) == midnight


def test_of_a_dividend_nothing_is_kept_back_without_a_setting() -> None:
    assert RateCosts("0.001", "0.002", "0.01").dividend_tax(D(1_000), DAY) == 0
