"""The governor as a state machine: any order of evaluations, safety, overrides, waiting and restarts."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from qts.clock import ManualClock
from qts.safety.contracts import SafetyState
from qts.state import ManualOverride, OperatingState, OperatingStateManager, TransitionMetrics
from qts.state.contracts import TransitionKind
from tests.effort import examples

A, B, D = OperatingState.AGGRESSIVE, OperatingState.BALANCED, OperatingState.DEFENSIVE
CALM = TransitionMetrics()
METRICS = st.sampled_from(
    [
        CALM,
        TransitionMetrics(vix=26.0),
        TransitionMetrics(vix=31.0),
        TransitionMetrics(vix=None),
        TransitionMetrics(vix=19.0, consecutive_profitable_days=4),
        TransitionMetrics(vix=14.0, cagr=0.2, capital_growth_pct=0.2, win_rate_30d=0.7),
    ]
)


class GovernorMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(datetime(2026, 1, 5, 9, tzinfo=UTC))
        self.governor = OperatingStateManager(clock=self.clock)
        self.safety = SafetyState.NORMAL
        self.entered = self.clock.now()
        self.seen = 0

    def note_moves(self) -> None:
        """Follow the history: when the present state was entered, by its records alone."""
        self.governor.current_state  # noqa: B018 - lets an override end
        for record in self.governor.history:
            if record.seq > self.seen:
                self.seen = record.seq
                if record.is_transition:
                    self.entered = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=record.ts_ns // 1000)

    @rule(metrics=METRICS, safety=st.sampled_from(SafetyState), hours=st.sampled_from([0, 1, 2, 5, 26]))
    def evaluate(self, metrics: TransitionMetrics, safety: SafetyState, hours: int) -> None:
        self.clock.advance(timedelta(hours=hours))
        before, held = self.governor.current_state, self.governor.state_duration_days
        result = self.governor.evaluate_transition(metrics, safety)
        after = self.governor.current_state
        released = self.safety is SafetyState.LOCKDOWN and safety is not SafetyState.LOCKDOWN
        self.safety = safety
        self.note_moves()
        assert result.applied == (after is not before)
        if safety is not SafetyState.NORMAL:
            assert after.boldness <= before.boldness  # WARNING or worse never makes it more aggressive
        if safety is SafetyState.FAIL:
            assert after is D
        if safety is SafetyState.LOCKDOWN:
            assert after is before
        if result.applied and after is not D and not released:
            minimum = {A: 7, B: 5, D: 3}[before]
            assert held >= minimum

    @rule(metrics=METRICS, evaluations=st.integers(3, 30))
    def evaluate_hourly(self, metrics: TransitionMetrics, evaluations: int) -> None:
        for _ in range(evaluations):
            self.evaluate(metrics, SafetyState.NORMAL, 1)

    @rule(days=st.integers(1, 12))
    def wait(self, days: int) -> None:
        before = self.governor.current_state
        had_override = self.governor.has_override
        self.clock.advance(timedelta(days=days))
        self.note_moves()
        if not had_override:
            assert self.governor.current_state is before  # time alone moves nothing

    @rule(to=st.sampled_from(OperatingState), revert=st.sampled_from(OperatingState), days=st.integers(1, 7))
    def override(self, to: OperatingState, revert: OperatingState, days: int) -> None:
        now = self.clock.now()
        before = self.governor.current_state
        result = self.governor.apply_override(
            ManualOverride(to, "test", "kim", now, now + timedelta(days=days), revert)
        )
        self.note_moves()
        if self.safety is not SafetyState.NORMAL:
            assert self.governor.current_state.boldness <= before.boldness
        if result.applied:
            assert self.governor.current_state is to

    @precondition(lambda self: self.governor.has_override)
    @rule()
    def clear(self) -> None:
        before = self.governor.current_state
        self.governor.clear_override()
        self.note_moves()
        assert self.governor.current_state is before

    @rule()
    def restart(self) -> None:
        stored: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self.governor.export_state()))
        self.governor = OperatingStateManager(clock=self.clock, initial_state=A)
        self.governor.restore_state(stored)

    @invariant()
    def the_age_of_the_state_is_elapsed_time_since_it_was_entered(self) -> None:
        self.note_moves()
        expected = (self.clock.now() - self.entered) / timedelta(days=1)
        assert abs(self.governor.state_duration_days - expected) < 1e-6

    @invariant()
    def an_override_never_stands_under_fail_or_lockdown(self) -> None:
        if not self.safety.allows_entries:
            assert not self.governor.has_override

    @invariant()
    def the_history_joins_and_ends_in_the_present_state(self) -> None:
        history = self.governor.history
        for earlier, later in itertools.pairwise(history):
            assert later.from_state is earlier.to_state
            assert later.seq == earlier.seq + 1
            assert later.ts_ns >= earlier.ts_ns
        if history:
            assert history[-1].to_state is self.governor.current_state
        moves = [record for record in history if record.kind is TransitionKind.RULE]
        assert all(
            record.reason.split(":")[0].endswith(("Balanced", "Defensive", "Aggressive")) for record in moves
        )


GovernorMachine.TestCase.settings = settings(
    max_examples=examples(40, whole=80), stateful_step_count=40, deadline=None
)
TestGovernorMachine = GovernorMachine.TestCase
