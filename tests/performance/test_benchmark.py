"""Alpha, beta, information ratio, and the account of one who buys and holds, by hand."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qts.errors import ContractError
from qts.performance import (
    Change,
    Close,
    DailyReturn,
    Figure,
    HoldingAction,
    Prices,
    alpha,
    beta,
    buy_and_hold,
    information_ratio,
)
from qts.performance.benchmark import paired

from .series import alternating, day, returns

D = Decimal
THEIRS = alternating(0.01, -0.01)
WON = D(1)


def why(figure: Figure) -> str:
    assert figure.value is None
    assert figure.why is not None
    return figure.why.code


def free(symbol: str, on: date, amount: Decimal) -> Decimal:
    return D(0)


def test_twice_the_benchmark_has_a_beta_of_2_and_no_alpha() -> None:
    ours = alternating(0.02, -0.02)

    assert beta(ours, THEIRS, days_a_year=252).value == pytest.approx(2.0)
    assert alpha(ours, THEIRS, days_a_year=252).value == pytest.approx(0.0, abs=1e-12)


def test_what_beta_does_not_explain_compounds_to_alpha() -> None:
    """0.1 % a session beside a half of the benchmark; ten sessions a year: 1.001^10 − 1."""
    ours = alternating(0.006, -0.004)

    assert beta(ours, THEIRS, days_a_year=10).value == pytest.approx(0.5)
    assert alpha(ours, THEIRS, days_a_year=10).value == pytest.approx(1.001**10 - 1)


def test_alpha_is_above_the_rate_without_risk() -> None:
    """One session a year: 0.5 % − 0.4 %, and of the benchmark's −0.4 % nothing."""
    flat = alternating(0.005, 0.005)

    assert alpha(flat, THEIRS, days_a_year=1, risk_free=0.004).value == pytest.approx(0.001)


def test_the_information_ratio_is_the_mean_distance_by_its_deviation() -> None:
    """The distance is 0.02 and 0 by turns, as in the Sharpe ratio of 29."""
    ours = alternating(0.03, -0.01)

    assert information_ratio(ours, THEIRS, days_a_year=870).value == pytest.approx(29.0)


def test_the_same_distance_each_day_has_no_information_ratio() -> None:
    assert why(information_ratio(THEIRS, THEIRS, days_a_year=252)) == "figure-no-spread"


def test_a_benchmark_that_never_moved_explains_nothing() -> None:
    flat = returns(*[0.001] * 30)

    assert why(beta(THEIRS, flat, days_a_year=252)) == "figure-flat-benchmark"
    assert why(alpha(THEIRS, flat, days_a_year=252)) == "figure-flat-benchmark"


def test_a_mean_loss_of_everything_has_no_alpha() -> None:
    assert why(alpha(returns(*[-1.0] * 30), THEIRS, days_a_year=252)) == "figure-no-capital"


def test_only_days_that_both_have_are_compared() -> None:
    ours, theirs = returns(0.1, 0.2, 0.3), [DailyReturn(day(2), 0.4), DailyReturn(day(5), 0.5)]

    assert paired(ours, theirs) == ([DailyReturn(day(2), 0.3)], [DailyReturn(day(2), 0.4)])


def test_twenty_nine_common_days_are_not_enough() -> None:
    ours = alternating(0.02, -0.02, 40)

    assert why(beta(ours, THEIRS[:29], days_a_year=252)) == "figure-too-few-days"
    assert why(alpha(ours, THEIRS[:29], days_a_year=252)) == "figure-too-few-days"
    assert why(information_ratio(ours, THEIRS[:29], days_a_year=252)) == "figure-too-few-days"
    assert beta(ours, THEIRS, days_a_year=252).value is not None


def test_each_symbol_is_bought_for_an_equal_share_with_its_costs() -> None:
    """Given 1,001: 501 for A, 500 for B; 1 % costs; lots of 1.

    A at 100: 5 would take 505, so 4 take 404. B at 49: 10 would take 494.9. 102.1 stays cash.
    """

    def one_percent(symbol: str, on: date, amount: Decimal) -> Decimal:
        return amount / 100

    sessions = [
        Prices(day(0), {"A": D(100), "B": D(49)}),
        Prices(day(1), {"A": D(110)}),  # B keeps 49
    ]
    found = buy_and_hold(D(1_001), sessions, {"A": D(1), "B": D(1)}, one_percent, WON)

    assert found == [
        Close(day(0), D("992.1"), held=D(890)),
        Close(day(1), D("1032.1"), held=D(930)),
    ]


def test_a_symbol_that_comes_later_is_bought_then() -> None:
    sessions = [
        Prices(day(0), {"A": D(10)}),
        Prices(day(1), {"A": D(20), "B": D(25)}),
        Prices(day(2), {"B": D(50)}),
    ]
    found = buy_and_hold(D(100), sessions, {"A": D(1), "B": D(1)}, free, WON)

    assert [(one.equity, one.held) for one in found] == [(100, 50), (150, 150), (200, 200)]


def test_a_share_that_does_not_pay_a_lot_stays_cash() -> None:
    found = buy_and_hold(D(100), [Prices(day(0), {"A": D(11)})], {"A": D(10)}, free, WON)

    assert found == [Close(day(0), D(100), held=D(0))]


def test_symbols_beside_those_of_the_benchmark_are_not_looked_at() -> None:
    found = buy_and_hold(D(100), [Prices(day(0), {"A": D(10), "C": D(0)})], {"A": D(1)}, free, WON)

    assert found == [Close(day(0), D(100), held=D(100))]


def test_a_price_of_0_and_no_symbol_are_refused() -> None:
    with pytest.raises(ContractError, match="A on 2024-01-01: a price must be above 0, got 0"):
        buy_and_hold(D(100), [Prices(day(0), {"A": D(0)})], {"A": D(1)}, free, WON)
    with pytest.raises(ContractError, match="at least one symbol"):
        buy_and_hold(D(100), [], {}, free, WON)


@example(start=44_479_323, price=81, lot=100, rate=500, least=0)
@given(
    start=st.integers(0, 10**9),
    price=st.integers(1, 10**6),
    lot=st.integers(1, 100),
    rate=st.integers(0, 500),
    least=st.integers(0, 1_000),
)
def test_a_purchase_is_paid_and_one_lot_more_would_not_be(
    start: int, price: int, lot: int, rate: int, least: int
) -> None:
    """Costs of ``rate`` in ten thousand, at least ``least``."""

    def cost(symbol: str, on: date, amount: Decimal) -> Decimal:
        return max(amount * rate / 10_000, D(least))

    [close] = buy_and_hold(D(start), [Prices(day(0), {"A": D(price)})], {"A": D(lot)}, cost, WON)

    spent = close.held and close.held + cost("A", day(0), close.held)
    more = close.held + price * lot
    assert close.equity - close.held == start - spent >= 0
    assert close.held % (price * lot) == 0
    assert more + cost("A", day(0), more) > start


def test_a_split_and_a_dividend_change_what_is_held() -> None:
    # Given ten shares bought at 100, split 2:1 on the third day, and a dividend of 1 a share on the fourth
    sessions = [Prices(date(2024, 1, 2 + at), {"A": D(price)}) for at, price in enumerate((100, 110, 55, 54))]
    actions = [
        HoldingAction(date(2024, 1, 4), "A", lambda qty, price: Change(qty * 2, price / 2, D(0))),
        HoldingAction(date(2024, 1, 5), "A", lambda qty, price: Change(qty, price, qty)),
        HoldingAction(date(2024, 1, 5), "B", lambda qty, price: Change(qty, price, qty)),  # not held
    ]
    # When
    closes = buy_and_hold(D(1_000), sessions, {"A": D(1)}, lambda *_: D(0), D("0.01"), actions)
    # Then the split is no loss, and the dividend is cash
    assert [close.equity for close in closes] == [1_000, 1_100, 1_100, 1_100]
    assert closes[-1].held == 1_080
