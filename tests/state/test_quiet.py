"""Until when the governor is quiet: evaluations before that, on the same values, change nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from qts.clock import NEVER_NS, ManualClock, to_ns
from qts.safety.contracts import SafetyState
from qts.state import ManualOverride, OperatingState, OperatingStateManager, TransitionMetrics
from qts.state.config import MinHoldDays, StateConfig
from qts.state.contracts import TransitionRecord

A, B, D = OperatingState.AGGRESSIVE, OperatingState.BALANCED, OperatingState.DEFENSIVE
START = datetime(2026, 1, 5, 9, tzinfo=UTC)
CALM = TransitionMetrics()
STORM = TransitionMetrics(vix=31.0)
RISING = TransitionMetrics(vix=14.0, cagr=0.2, capital_growth_pct=0.2, win_rate_30d=0.7)
HEALED = TransitionMetrics(vix=19.0, consecutive_profitable_days=4)
ALMOST_NS = 1_000_000
"""How much earlier than a number of days the quiet ends, so that no rounding of their quotient matters."""


def governor(
    state: OperatingState = B, config: StateConfig | None = None
) -> tuple[OperatingStateManager, ManualClock]:
    clock = ManualClock(START)
    return OperatingStateManager(config or StateConfig(), clock=clock, initial_state=state), clock


def after(**span: float) -> int:
    return to_ns(START + timedelta(**span))


def test_before_the_first_evaluation_nothing_is_quiet() -> None:
    assert governor()[0].quiet_until_ns == 0


def test_where_no_rule_is_met_time_alone_changes_nothing() -> None:
    manager, _ = governor()

    manager.evaluate_transition(CALM)

    assert manager.quiet_until_ns == NEVER_NS


def test_until_a_condition_was_evaluated_often_enough_nothing_is_quiet() -> None:
    # Given two evaluations and two hours as confirmation
    manager, clock = governor()
    manager.evaluate_transition(STORM)
    assert manager.quiet_until_ns == 0

    # When the second evaluation comes after one hour
    clock.advance(timedelta(hours=1))
    manager.evaluate_transition(STORM)

    # Then only the second hour is still to come
    assert manager.quiet_until_ns == after(hours=2)


def test_a_rule_waits_for_the_days_in_its_own_condition() -> None:
    """BALANCED to AGGRESSIVE needs ten days; only time is missing."""
    manager, _ = governor()

    manager.evaluate_transition(RISING)

    assert manager.quiet_until_ns == after(days=10) - ALMOST_NS


def test_a_rule_whose_condition_is_met_waits_for_the_shortest_stay() -> None:
    # Given AGGRESSIVE since the start, seven days at least, and a confirmed condition
    manager, clock = governor(A)
    for _ in range(3):
        manager.evaluate_transition(STORM)
        clock.advance(timedelta(hours=1))

    # When and then
    assert manager.current_state is A
    assert manager.quiet_until_ns == after(days=7) - ALMOST_NS


def test_a_rule_waits_for_the_cooldown() -> None:
    # Given a stay that may be short, and a cooldown of 24 hours since AGGRESSIVE ended after three hours
    config = StateConfig(min_hold_days=MinHoldDays(aggressive=0.0, balanced=0.0, defensive=0.0))
    manager, clock = governor(A, config)
    for _ in range(3):
        manager.evaluate_transition(STORM)
        clock.advance(timedelta(hours=1))
    assert manager.current_state is B  # at the third evaluation, two hours after the start

    # When the account rises at once; ten days are in the condition itself
    manager.evaluate_transition(RISING)

    # Then the condition's days end later than the cooldown
    assert manager.quiet_until_ns == after(days=10, hours=2) - ALMOST_NS


def test_an_override_ends_the_quiet_when_it_ends() -> None:
    manager, clock = governor()
    manager.apply_override(ManualOverride(D, "test", "kim", START, START + timedelta(days=2), B))

    manager.evaluate_transition(CALM)

    assert manager.quiet_until_ns == after(days=2)
    clock.advance(timedelta(days=2))
    manager.evaluate_transition(CALM)
    assert manager.current_state is B


def test_in_fail_and_lockdown_nothing_is_quiet() -> None:
    for safety in (SafetyState.FAIL, SafetyState.LOCKDOWN):
        manager, _ = governor()
        manager.evaluate_transition(CALM, safety)
        assert manager.quiet_until_ns == 0


def test_another_threshold_ends_the_quiet() -> None:
    manager, _ = governor()
    manager.evaluate_transition(TransitionMetrics(vix=28.0))
    assert manager.quiet_until_ns == NEVER_NS

    stricter = msgspec.structs.replace(manager.config.balanced_to_defensive, vix=27.0)
    manager.reconfigure(msgspec.structs.replace(manager.config, balanced_to_defensive=stricter))

    assert manager.quiet_until_ns == 0


METRICS = st.sampled_from([CALM, STORM, RISING, HEALED, TransitionMetrics(vix=26.0), TransitionMetrics(vix=None)])


class TwoGovernors(RuleBasedStateMachine):
    """One is evaluated every hour, the other only where its last evaluation may not hold any more."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(START)
        self.always = OperatingStateManager(clock=self.clock)
        self.spared = OperatingStateManager(clock=self.clock)
        self.judged: tuple[Any, ...] = ()

    def both(self) -> tuple[OperatingStateManager, OperatingStateManager]:
        return self.always, self.spared

    def records(self) -> int:
        return len(self.spared.history)

    @rule(
        metrics=METRICS,
        safety=st.sampled_from([*[SafetyState.NORMAL] * 6, *SafetyState]),
        hours=st.integers(1, 400),
        step=st.sampled_from([30, 60, 60, 60, 61, 90]),
    )
    def evaluate(self, metrics: TransitionMetrics, safety: SafetyState, hours: int, step: int) -> None:
        for _ in range(hours):
            self.clock.advance(timedelta(minutes=step))
            self.always.evaluate_transition(metrics, safety)
            now = (metrics, safety, self.records())
            if now != self.judged or self.clock.time_ns() >= self.spared.quiet_until_ns:
                self.spared.evaluate_transition(metrics, safety)
                self.judged = (metrics, safety, self.records())

    @rule(to=st.sampled_from(OperatingState), revert=st.sampled_from(OperatingState), hours=st.integers(1, 168))
    def override(self, to: OperatingState, revert: OperatingState, hours: int) -> None:
        now = self.clock.now()
        wanted = ManualOverride(to, "test", "kim", now, now + timedelta(hours=hours), revert)
        first, second = (manager.apply_override(wanted).applied for manager in self.both())
        assert first is second

    @rule()
    def clear(self) -> None:
        for manager in self.both():
            manager.clear_override()

    @rule(hours=st.integers(1, 100))
    def wait(self, hours: int) -> None:
        self.clock.advance(timedelta(hours=hours))

    @rule()
    def restart(self) -> None:
        stored: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self.spared.export_state()))
        self.spared = OperatingStateManager(clock=self.clock, initial_state=A)
        self.spared.restore_state(stored)

    @invariant()
    def both_moved_alike(self) -> None:
        assert self.spared.current_state is self.always.current_state
        assert [told(record) for record in self.spared.history] == [told(record) for record in self.always.history]


def told(record: TransitionRecord) -> TransitionRecord:
    """Return ``record`` without the count of evaluations, which alone may differ."""
    meta = {name: value for name, value in record.meta.items() if name != "confirmation_evaluations"}
    return msgspec.structs.replace(record, meta=meta)


TwoGovernors.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestTwoGovernors = TwoGovernors.TestCase
