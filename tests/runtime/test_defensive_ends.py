"""DEFENSIVE ends without an operator: a flat account cannot earn its way out, so its drawdown is rebased."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.clock import ManualClock, to_ns
from qts.market.contracts import VolatilityLevel
from qts.market.krx import krx_instrument
from qts.runtime.metrics.account_metrics import AccountMetrics
from qts.runtime.metrics.volatility import DeclaredVolatility, RealisedVolatility, VolatilitySource
from qts.runtime.session.schedule import Schedule, ScheduledTask
from qts.safety.contracts import SafetyState
from qts.state.config import StateConfig
from qts.state.contracts import OperatingState
from qts.state.operating_state import OperatingStateManager

CALENDAR = krx_instrument("005930").calendar
START = datetime(2024, 1, 2, tzinfo=UTC) - timedelta(hours=9)
"""Tuesday 2024-01-02 00:00 in Korea, the first trading day of that year."""
HOURS = range(9, 16)


class Account:
    """An account of which a test says what it is worth and whether it holds; its governor and its metrics."""

    def __init__(self, volatility: VolatilitySource, equity: int = 100) -> None:
        self.clock = ManualClock(START)
        self.equity = self.day_open = self.highest = D(equity)
        self.flat = True
        self.volatility = volatility
        self.state = OperatingStateManager(StateConfig(), clock=self.clock)
        self.metrics = self._new_metrics()
        self.schedule = Schedule(CALENDAR, HOURS, self.clock.now())
        self.safety = SafetyState.NORMAL
        self.days = 0

    def _new_metrics(self) -> AccountMetrics:
        return AccountMetrics(
            target_cagr=0.10,
            equity=lambda: self.equity,
            highest=lambda: self.highest,
            day_open=lambda: self.day_open,
            marks_ns=self.clock.time_ns,
            volatility=self.volatility,
            is_flat=lambda: self.flat,
            may_enter=lambda: self.state.properties.new_entry_enabled,
            flat_rebase_days=lambda: self.state.config.flat_rebase_days,
        )

    def restart(self) -> None:
        """What a kill and a resume leave of both: what they exported."""
        saved_state, saved_metrics = self.state.export_state(), self.metrics.export_state()
        self.state = OperatingStateManager(StateConfig(), clock=self.clock)
        self.state.restore_state(saved_state)
        self.metrics = self._new_metrics()
        self.metrics.import_state(saved_metrics)

    def trading_day(self, equity: int | None = None, *, vix: float | None = None, restart_at: int = -1) -> None:
        """One trading day: the hourly evaluations, ``equity`` reached at its end; restarted after one of them."""
        for step in range(20):
            due_ns, kind = self.schedule.pop()
            self.clock.set_ns(due_ns)
            if kind is ScheduledTask.DAY_START:
                self.day_open = self.equity
            elif kind is ScheduledTask.EVALUATE:
                if vix is not None:
                    self.volatility.on_level(VolatilityLevel("VIX", due_ns, vix))
                self.state.evaluate_transition(self.metrics.metrics(due_ns), self.safety)
                if step == restart_at:
                    self.restart()
            elif kind is ScheduledTask.DAY_CLOSE:
                self.equity = self.equity if equity is None else D(equity)
                self.highest = max(self.highest, self.equity)
                self.metrics.on_day_end(self.equity, due_ns)
                self.days += 1
                return


def defensive(volatility: VolatilitySource, *, vix: float | None = None) -> Account:
    """An account that lost 20 % while it held, is flat since, and DEFENSIVE: confirmed at 09:00 and 11:00."""
    account = Account(volatility)
    account.flat = False
    account.trading_day(80, vix=vix)
    account.flat = True
    account.trading_day(vix=vix)
    assert account.state.current_state is OperatingState.DEFENSIVE
    account.days = 0
    return account


def test_a_flat_account_without_any_volatility_leaves_defensive_on_the_twelfth_trading_day() -> None:
    """Flat at the closes of days 0 to 9: rebased at the tenth of them, which is the first of three
    days without a loss; the third is day 11. Day 12 opens the window at 09:00 and moves at 11:00."""
    account = defensive(RealisedVolatility())

    while account.state.current_state is OperatingState.DEFENSIVE:
        account.trading_day()

    assert account.days == 12
    record = account.state.history[-1]
    assert (record.to_state, record.actor) == (OperatingState.BALANCED, "rule")
    assert CALENDAR.local_time(account.state.get_snapshot().entered_at).hour == 11


@pytest.mark.parametrize(("vix", "ends"), [(19.9, True), (20.0, False), (35.0, False)])
def test_a_declared_index_decides_whether_it_may_end(vix: float, ends: bool) -> None:
    account = defensive(DeclaredVolatility(), vix=vix)

    for _ in range(30):
        account.trading_day(vix=vix)

    assert (account.state.current_state is OperatingState.BALANCED) is ends


def test_a_declared_index_that_went_silent_keeps_it_shut() -> None:
    account = defensive(DeclaredVolatility(), vix=12.0)

    for _ in range(30):
        account.trading_day()

    assert account.state.current_state is OperatingState.DEFENSIVE


def test_an_account_that_holds_is_not_rebased() -> None:
    account = defensive(RealisedVolatility())
    account.flat = False

    for _ in range(30):
        account.trading_day()

    assert account.state.current_state is OperatingState.DEFENSIVE
    assert account.metrics.metrics(account.clock.time_ns()).drawdown_pct == pytest.approx(0.2)


def test_one_day_with_a_holding_restarts_the_count() -> None:
    account = defensive(RealisedVolatility())
    for _ in range(8):
        account.trading_day()
    account.flat = False
    account.trading_day()
    account.flat = True

    for _ in range(11):
        account.trading_day()
    assert account.state.current_state is OperatingState.DEFENSIVE
    account.trading_day()
    account.trading_day()

    assert account.state.current_state is OperatingState.BALANCED


def test_a_loss_in_a_flat_account_is_no_profitable_day() -> None:
    """A fee booked late: 80 becomes 79 on the day the account would have been let go."""
    account = defensive(RealisedVolatility())
    for _ in range(10):
        account.trading_day()

    account.trading_day(79)

    assert account.metrics.metrics(account.clock.time_ns()).consecutive_profitable_days == 0


def test_a_bold_account_that_is_flat_by_its_own_choice_keeps_its_drawdown() -> None:
    account = Account(RealisedVolatility())
    account.flat = False
    account.trading_day(93)
    account.flat = True

    for _ in range(30):
        account.trading_day()

    seen = account.metrics.metrics(account.clock.time_ns())
    assert account.state.current_state is OperatingState.BALANCED
    assert (seen.drawdown_pct, seen.consecutive_profitable_days) == (pytest.approx(0.07), 0)


@given(
    history=st.lists(st.tuples(st.integers(1, 400), st.booleans(), st.sampled_from(SafetyState)), max_size=40),
    warned_days=st.integers(0, 3),
    restarts=st.lists(st.integers(0, 9), min_size=15, max_size=15),
    declared=st.booleans(),
    vix=st.floats(0.0, 19.99),
)
def test_from_defensive_after_any_history_balanced_comes_within_15_trading_days(
    history: list[tuple[int, bool, SafetyState]],
    warned_days: int,
    restarts: list[int],
    declared: bool,
    vix: float,
) -> None:
    """Flat, the source fresh and under 20, safety NORMAL again: no operator is needed, whatever was before."""
    account = Account(DeclaredVolatility() if declared else RealisedVolatility())
    level = vix if declared else None
    for equity, flat, safety in history:
        account.flat, account.safety = flat, safety
        account.trading_day(equity, vix=level)
    account.safety = SafetyState.FAIL
    account.state.on_lockdown_release()
    account.state.apply_safety_override(SafetyState.FAIL)
    assert account.state.current_state is OperatingState.DEFENSIVE
    account.flat, account.safety = True, SafetyState.WARNING
    for _ in range(warned_days):
        account.trading_day(vix=level)
    account.safety = SafetyState.NORMAL

    reached = False
    for restart_at in restarts:
        account.trading_day(vix=level, restart_at=restart_at)
        reached |= account.state.current_state is OperatingState.BALANCED

    assert reached


def test_days_are_those_of_the_market() -> None:
    """The calendar of the test is the real one: 2024-01-01 is closed, so is the weekend."""
    assert not CALENDAR.is_trading_day(date(2024, 1, 1))
    assert CALENDAR.is_trading_day(date(2024, 1, 2))
    assert to_ns(START) == to_ns(CALENDAR.at(date(2024, 1, 2), 0))
