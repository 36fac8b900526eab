"""What the operating state is judged by, and when it is unknown: volatility after 30 h, all else after 26 h."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.capital.contracts import Pool
from qts.clock import NEVER_NS, to_ns
from qts.market.contracts import IndexLevel, VolatilityLevel
from qts.runtime.metrics.account_metrics import AccountMetrics, TradeOutcomes
from qts.runtime.metrics.freshness import freshness_ends_ns, is_fresh
from qts.runtime.metrics.index_metrics import IndexMetrics
from qts.runtime.metrics.volatility import DeclaredVolatility

HOUR = 3_600_000_000_000
DAY = 24 * HOUR
FRIDAY_6 = to_ns(datetime(2018, 2, 8, 21, tzinfo=UTC))
"""Friday 2018-02-09 06:00 in Korea, when Thursday's US close is known."""


class Course:
    """An account whose equity a test moves."""

    def __init__(self) -> None:
        self.equity = D(100)
        self.peak = D(100)
        self.open = D(100)
        self.marks_ns = FRIDAY_6
        self.flat = self.may_enter = False
        self.volatility = DeclaredVolatility()
        self.metrics = AccountMetrics(
            target_cagr=0.10,
            equity=lambda: self.equity,
            highest=lambda: self.peak,
            day_open=lambda: self.open,
            marks_ns=lambda: self.marks_ns,
            volatility=self.volatility,
            is_flat=lambda: self.flat,
            may_enter=lambda: self.may_enter,
            flat_rebase_days=lambda: 10,
        )


# -- an index as the judge ---------------------------------------------------------------------------------------


def index_metrics(level: float = 100.0, vix: float = 20.0) -> IndexMetrics:
    volatility = DeclaredVolatility()
    metrics = IndexMetrics(target_cagr=0.10, volatility=volatility)
    metrics.on_index(IndexLevel("S&P500", FRIDAY_6 - DAY, 100.0))
    metrics.on_index(IndexLevel("S&P500", FRIDAY_6, level))
    volatility.on_level(VolatilityLevel("VIX", FRIDAY_6, vix))
    return metrics


def test_a_close_judges_from_the_moment_it_is_known() -> None:
    seen = index_metrics(level=94.0, vix=33.5).metrics(FRIDAY_6 + 3 * HOUR)

    assert seen.drawdown_pct == pytest.approx(0.06)
    assert seen.daily_loss_pct == pytest.approx(0.06)
    assert seen.consecutive_scalp_losses == 1
    assert seen.vix == 33.5


@pytest.mark.parametrize(
    ("age_ns", "index_known", "vix_known"),
    [
        (26 * HOUR, True, True),
        (26 * HOUR + 1, False, True),
        (30 * HOUR, False, True),
        (30 * HOUR + 1, False, False),
    ],
)
def test_each_ages_by_its_own_limit(age_ns: int, index_known: bool, vix_known: bool) -> None:
    seen = index_metrics().metrics(FRIDAY_6 + age_ns)

    assert (seen.drawdown_pct is not None) is index_known
    assert (seen.daily_loss_pct is not None) is index_known
    assert (seen.vix is not None) is vix_known


def test_on_monday_morning_nothing_is_known() -> None:
    """Friday's US close is known on Saturday 06:00 and is 51 hours old at nine on Monday."""
    metrics = index_metrics()
    saturday_6 = FRIDAY_6 + DAY
    metrics.on_index(IndexLevel("S&P500", saturday_6, 101.0))
    metrics._volatility.on_level(VolatilityLevel("VIX", saturday_6, 29.0))

    seen = metrics.metrics(saturday_6 + 51 * HOUR)

    assert (seen.vix, seen.drawdown_pct, seen.daily_loss_pct, seen.consecutive_profitable_days) == (None,) * 4


def test_before_the_first_close_nothing_is_known() -> None:
    seen = IndexMetrics(target_cagr=0.10, volatility=DeclaredVolatility()).metrics(FRIDAY_6)

    assert (seen.vix, seen.drawdown_pct) == (None, None)


def test_the_index_does_not_ask_the_account() -> None:
    metrics = index_metrics()
    before = metrics.metrics(FRIDAY_6)

    metrics.on_closed_trade(Pool.SCALP, lost=True, now_ns=FRIDAY_6)
    metrics.on_day_end(D(1), FRIDAY_6)

    assert metrics.metrics(FRIDAY_6) == before


def test_index_metrics_survive_a_restart() -> None:
    metrics = index_metrics(level=94.0)
    other = IndexMetrics(target_cagr=0.10, volatility=metrics._volatility)

    other.import_state(metrics.export_state())
    for each in (metrics, other):
        each.on_index(IndexLevel("S&P500", FRIDAY_6 + DAY, 90.0))

    assert other.metrics(FRIDAY_6 + DAY) == metrics.metrics(FRIDAY_6 + DAY)


# -- the account as its own judge --------------------------------------------------------------------------------


def test_the_account_s_drawdown_counts_from_its_peak_and_its_loss_from_the_morning() -> None:
    course = Course()
    course.peak = D(120)
    course.equity, course.open = D(108), D(112)

    seen = course.metrics.metrics(FRIDAY_6)

    assert seen.drawdown_pct == pytest.approx(0.10)
    assert seen.daily_loss_pct == pytest.approx(4 / 112)


def test_a_day_in_profit_has_no_loss() -> None:
    course = Course()
    course.equity = D(101)

    assert course.metrics.metrics(FRIDAY_6).daily_loss_pct == 0.0


def test_only_scalp_losses_in_a_row_count_and_a_win_ends_the_row() -> None:
    course = Course()
    for pool, lost in [(Pool.SCALP, True), (Pool.SWING, True), (Pool.SCALP, True)]:
        course.metrics.on_closed_trade(pool, lost=lost, now_ns=FRIDAY_6)
    assert course.metrics.metrics(FRIDAY_6).consecutive_scalp_losses == 2

    course.metrics.on_closed_trade(Pool.SCALP, lost=False, now_ns=FRIDAY_6)

    assert course.metrics.metrics(FRIDAY_6).consecutive_scalp_losses == 0


def test_the_win_rate_is_of_thirty_days() -> None:
    course = Course()
    month = timedelta(days=30) // timedelta(microseconds=1) * 1_000
    course.metrics.on_closed_trade(Pool.SWING, lost=True, now_ns=FRIDAY_6 - month - 1)
    course.metrics.on_closed_trade(Pool.SWING, lost=True, now_ns=FRIDAY_6 - month)
    course.metrics.on_closed_trade(Pool.SWING, lost=False, now_ns=FRIDAY_6 - 1)

    assert course.metrics.metrics(FRIDAY_6).win_rate_30d == pytest.approx(0.5)
    assert course.metrics.metrics(FRIDAY_6 + month).win_rate_30d is None


@given(st.lists(st.tuples(st.integers(1, 50), st.booleans(), st.sampled_from(["add"] * 5 + ["drop", "resume"]))))
def test_packed_trades_say_what_a_list_of_them_says(steps: list[tuple[int, bool, str]]) -> None:
    trades, plain, now_ns = TradeOutcomes(), list[tuple[int, bool]](), FRIDAY_6
    for later, won, step in steps:
        now_ns += later
        if step == "add":
            trades.add(now_ns, won=won)
            plain.append((now_ns, won))
        elif step == "drop":
            trades.drop_before(now_ns - 60)
            plain = [trade for trade in plain if trade[0] >= now_ns - 60]
        else:
            saved = trades.export_state()
            trades = TradeOutcomes()
            trades.import_state(saved)
        assert (len(trades), trades.wins()) == (len(plain), sum(won for _, won in plain))


def test_only_the_newest_ten_thousand_trades_are_kept() -> None:
    trades = TradeOutcomes()
    for number in range(25_000):
        trades.add(FRIDAY_6 + number, won=number < 15_001)

    assert (len(trades), trades.wins()) == (10_000, 1)
    trades.drop_before(FRIDAY_6 + 15_001)
    assert (len(trades), trades.wins()) == (9_999, 0)


def test_days_in_profit_count_in_a_row() -> None:
    course = Course()
    for equity, opening in [(101, 100), (102, 101), (102, 102), (103, 102)]:
        course.open = D(opening)
        course.metrics.on_day_end(D(equity), FRIDAY_6)

    assert course.metrics.metrics(FRIDAY_6).consecutive_profitable_days == 1


def test_growth_needs_half_a_year_and_a_year_of_days() -> None:
    course = Course()
    for _ in range(125):
        course.metrics.on_day_end(D(100), FRIDAY_6)
    course.equity = D(110)
    assert course.metrics.metrics(FRIDAY_6).capital_growth_pct is None

    for _ in range(126):
        course.metrics.on_day_end(D(105), FRIDAY_6)
    seen = course.metrics.metrics(FRIDAY_6)
    assert seen.capital_growth_pct == pytest.approx(110 / 105 - 1)
    assert seen.cagr is None  # 251 days

    course.metrics.on_day_end(D(110), FRIDAY_6)
    assert course.metrics.metrics(FRIDAY_6).cagr == pytest.approx(0.10)


@pytest.mark.parametrize(("age_ns", "known"), [(26 * HOUR, True), (26 * HOUR + 1, False)])
def test_marks_that_are_too_old_make_the_course_unknown(age_ns: int, known: bool) -> None:
    seen = Course().metrics.metrics(FRIDAY_6 + age_ns)

    assert (seen.drawdown_pct is not None) is known
    assert (seen.daily_loss_pct is not None) is known
    assert seen.market_circuit_breaker is None


def test_account_metrics_survive_a_restart() -> None:
    course, other = Course(), Course()
    course.equity = D(90)
    course.metrics.on_closed_trade(Pool.SCALP, lost=True, now_ns=FRIDAY_6)
    course.volatility.on_level(VolatilityLevel("VIX", FRIDAY_6, 14.0))
    for _ in range(130):
        course.metrics.on_day_end(D(95), FRIDAY_6)
    other.equity = D(90)

    other.metrics.import_state(course.metrics.export_state())
    other.volatility.import_state(course.volatility.export_state())

    assert other.metrics.metrics(FRIDAY_6) == course.metrics.metrics(FRIDAY_6)


# -- freshness ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ts", "now", "fresh"), [(0, 5, False), (5, 5, True), (5, 15, True), (5, 16, False), (6, 5, False)]
)
def test_fresh_is_known_not_from_the_future_and_not_too_old(ts: int, now: int, fresh: bool) -> None:
    assert is_fresh(ts, now, 10) is fresh


# -- until when time alone changes nothing ----------------------------------------------------------------------


@given(ts=st.integers(-1, 60), now=st.integers(1, 60), age=st.integers(0, 20))
def test_freshness_ends_at_the_first_later_moment_with_another_answer(ts: int, now: int, age: int) -> None:
    answer = is_fresh(ts, now, age)
    changes = [moment for moment in range(now + 1, 200) if is_fresh(ts, moment, age) is not answer]

    assert freshness_ends_ns(ts, now, age) == (changes[0] if changes else NEVER_NS)


def test_an_account_s_metrics_hold_until_its_prices_are_too_old() -> None:
    course = Course()

    assert course.metrics.steady_until_ns(FRIDAY_6) == FRIDAY_6 + 26 * HOUR + 1
    assert course.metrics.metrics(FRIDAY_6 + 26 * HOUR).drawdown_pct is not None
    assert course.metrics.metrics(FRIDAY_6 + 26 * HOUR + 1).drawdown_pct is None


def test_an_account_s_metrics_hold_until_the_oldest_trade_leaves_the_month() -> None:
    # Given a trade of 30 days less five hours ago
    course = Course()
    closed_ns = FRIDAY_6 - 30 * DAY + 5 * HOUR
    course.metrics.on_closed_trade(Pool.SWING, lost=True, now_ns=closed_ns)

    assert course.metrics.steady_until_ns(FRIDAY_6) == FRIDAY_6 + 5 * HOUR + 1
    assert course.metrics.metrics(FRIDAY_6 + 5 * HOUR).win_rate_30d == 0.0
    assert course.metrics.metrics(FRIDAY_6 + 5 * HOUR + 1).win_rate_30d is None


def test_the_metrics_of_an_index_hold_until_its_close_is_too_old() -> None:
    metrics = index_metrics()

    assert metrics.steady_until_ns(FRIDAY_6) == FRIDAY_6 + 26 * HOUR + 1
    assert metrics.steady_until_ns(FRIDAY_6 + 27 * HOUR) == FRIDAY_6 + 30 * HOUR + 1, "then the volatility goes"
    assert metrics.steady_until_ns(FRIDAY_6 + 31 * HOUR) == NEVER_NS


@given(
    trades=st.lists(st.integers(0, 40 * 24), max_size=6),
    marks=st.integers(0, 80),
    level=st.integers(0, 80),
    later=st.lists(st.integers(0, 45 * 24), min_size=1, max_size=8),
    flat=st.booleans(),
)
def test_before_the_given_moment_the_metrics_stay_what_they_were(
    trades: list[int], marks: int, level: int, later: list[int], flat: bool
) -> None:
    # Given trades, prices and a volatility of some hours ago
    course = Course()
    course.flat = flat
    for hours in sorted(trades, reverse=True):
        course.metrics.on_closed_trade(Pool.SWING, lost=hours % 2 == 0, now_ns=FRIDAY_6 - hours * HOUR)
    course.marks_ns = FRIDAY_6 - marks * HOUR
    course.volatility.on_level(VolatilityLevel("VIX", FRIDAY_6 - level * HOUR, 20.0))

    # When
    seen, until_ns = course.metrics.metrics(FRIDAY_6), course.metrics.steady_until_ns(FRIDAY_6)

    # Then
    assert until_ns > FRIDAY_6
    for hours in sorted(later):
        if (now_ns := FRIDAY_6 + hours * HOUR) < until_ns:
            assert course.metrics.metrics(now_ns) == seen
