"""Manual overrides: at most 7 days, beat the rules, are beaten by safety, end by themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from qts.clock import ManualClock, from_ns
from qts.errors import ContractError
from qts.safety.contracts import SafetyState
from qts.state import ManualOverride, OperatingState, OperatingStateManager, TransitionMetrics
from qts.state.contracts import TransitionKind

A, B, D = OperatingState.AGGRESSIVE, OperatingState.BALANCED, OperatingState.DEFENSIVE
NORMAL, WARNING, FAIL, LOCKDOWN = SafetyState
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
CALM, STORM, NERVOUS = TransitionMetrics(), TransitionMetrics(vix=31.0), TransitionMetrics(vix=26.0)
MICROSECOND = timedelta(microseconds=1)


def override(to: OperatingState = D, **changes: Any) -> ManualOverride:
    made = ManualOverride(
        override_state=to,
        override_reason="election week",
        operator_id="kim",
        override_time=START,
        expiry_time=START + timedelta(days=2),
        auto_revert_state=B,
    )
    return msgspec.structs.replace(made, **changes)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


def manager(clock: ManualClock, state: OperatingState = B) -> OperatingStateManager:
    return OperatingStateManager(clock=clock, initial_state=state)


class TestGiving:
    def test_it_decides_the_state_at_once_and_is_recorded(self, clock: ManualClock) -> None:
        governor = manager(clock)
        result = governor.apply_override(override(A))
        assert (result.applied, result.from_state, result.to_state) == (True, B, A)
        assert result.reason == "manual_override: election week"
        assert governor.has_override
        record = governor.history[-1]
        assert (record.kind, record.actor, record.forced) == (TransitionKind.OVERRIDE, "kim", False)
        assert record.meta["override"]["operator_id"] == "kim"

    def test_to_the_present_state_it_only_blocks(self, clock: ManualClock) -> None:
        governor = manager(clock)
        clock.advance(timedelta(days=1))
        assert governor.apply_override(override(B)).applied
        assert governor.state_duration_days == 1  # no transition: the time in the state goes on
        assert not governor.history[-1].is_transition

    @pytest.mark.parametrize(("extra", "allowed"), [(timedelta(0), True), (MICROSECOND, False)])
    def test_at_most_seven_days(self, clock: ManualClock, extra: timedelta, allowed: bool) -> None:
        governor = manager(clock)
        wanted = override(expiry_time=START + timedelta(days=7) + extra)
        if allowed:
            assert governor.apply_override(wanted).applied
        else:
            with pytest.raises(ContractError, match="at most 7 are allowed"):
                governor.apply_override(wanted)
            assert governor.current_state is B
            assert governor.history == ()

    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ({"operator_id": " "}, "operator_id"),
            ({"override_reason": ""}, "override_reason"),
            ({"override_reason": None}, "override_reason"),
            ({"override_state": "BALANCED?"}, "override_state"),
            ({"auto_revert_state": "back"}, "auto_revert_state"),
            ({"expiry_time": START}, "expiry_time"),
            ({"expiry_time": START - timedelta(days=1)}, "expiry_time"),
            ({"override_time": START - timedelta(days=3), "expiry_time": START}, "expiry_time"),  # already over
            ({"override_time": START + timedelta(minutes=2)}, "override_time"),
            ({"override_time": datetime(2026, 1, 5, 9, 0)}, "naive"),
            ({"expiry_time": "tomorrow"}, "expiry_time"),
        ],
    )
    def test_what_is_incomplete_or_out_of_time_is_refused(
        self, clock: ManualClock, changes: dict[str, Any], named: str
    ) -> None:
        governor = manager(clock)
        with pytest.raises(ContractError, match=named):
            governor.apply_override(override(**changes))
        assert not governor.has_override

    def test_a_second_one_replaces_the_first(self, clock: ManualClock) -> None:
        governor = manager(clock)
        governor.apply_override(override(D))
        governor.apply_override(override(A, operator_id="lee"))
        assert governor.current_state is A
        snapshot = governor.get_snapshot()
        assert snapshot.override is not None
        assert snapshot.override.operator_id == "lee"


class TestWhileItLasts:
    def test_it_blocks_rule_transitions_and_says_so_first(self, clock: ManualClock) -> None:
        governor = manager(clock)
        governor.apply_override(override(B))
        for _ in range(4):
            result = governor.evaluate_transition(STORM, NORMAL)
            clock.advance(timedelta(hours=1))
            assert (result.applied, result.reason) == (False, "manual_override_active")
        assert governor.evaluate_transition(CALM, NORMAL).reason == "manual_override_active"

    def test_cleared_the_rules_take_over_from_where_we_are(self, clock: ManualClock) -> None:
        governor = manager(clock)
        governor.apply_override(override(B))
        governor.evaluate_transition(STORM, NORMAL)
        clock.advance(timedelta(hours=2))
        result = governor.clear_override("lee", "over")
        assert (result.applied, result.reason) == (True, "override_cleared: over")
        assert governor.current_state is B
        assert governor.history[-1].actor == "lee"
        assert governor.evaluate_transition(STORM, NORMAL).to_state is D  # the window had gone on
        assert governor.history[-1].kind is TransitionKind.RULE

    def test_clearing_nothing_does_nothing(self, clock: ManualClock) -> None:
        governor = manager(clock)
        assert governor.clear_override().applied is False
        assert governor.history == ()


class TestItsEnd:
    @pytest.mark.parametrize(("early", "state", "active"), [(MICROSECOND, D, True), (timedelta(0), B, False)])
    def test_it_expires_by_itself_to_its_auto_revert_state(
        self, clock: ManualClock, early: timedelta, state: OperatingState, active: bool
    ) -> None:
        governor = manager(clock)
        governor.apply_override(override(D))
        clock.set(START + timedelta(days=2) - early)
        assert governor.current_state is state
        assert governor.has_override is active

    def test_seen_late_it_still_ended_at_its_own_time(self, clock: ManualClock) -> None:
        governor = manager(clock)
        governor.apply_override(override(D))
        clock.advance(timedelta(days=6))
        assert governor.state_duration_days == 4
        record = governor.history[-1]
        assert (record.kind, record.to_state) == (TransitionKind.OVERRIDE_EXPIRED, B)
        assert from_ns(record.ts_ns) == START + timedelta(days=2)
        assert governor.previous_state is D

    def test_without_a_revert_state_it_stays_where_it_is(self, clock: ManualClock) -> None:
        governor = manager(clock)
        governor.apply_override(override(D, auto_revert_state=None))
        clock.advance(timedelta(days=3))
        assert governor.current_state is D
        assert not governor.has_override

    def test_under_warning_it_does_not_revert_to_a_bolder_state(self, clock: ManualClock) -> None:
        governor = manager(clock)
        governor.apply_override(override(D, auto_revert_state=A))
        governor.evaluate_transition(CALM, WARNING)
        clock.advance(timedelta(days=3))
        assert governor.current_state is D
        assert "safety WARNING keeps DEFENSIVE" in governor.history[-1].reason

    def test_under_warning_it_may_revert_to_a_more_careful_state(self, clock: ManualClock) -> None:
        governor = manager(clock)
        governor.apply_override(override(A, auto_revert_state=D))
        governor.evaluate_transition(CALM, WARNING)
        clock.advance(timedelta(days=3))
        assert governor.current_state is D


class TestSafetyBeatsIt:
    def test_fail_ends_it_and_forces_defensive(self, clock: ManualClock) -> None:
        governor = manager(clock)
        governor.apply_override(override(A))
        governor.apply_safety_override(FAIL)
        assert governor.current_state is D
        assert not governor.has_override
        kinds = [record.kind for record in governor.history]
        assert kinds == [TransitionKind.OVERRIDE, TransitionKind.OVERRIDE_BEATEN, TransitionKind.SAFETY]
        clock.advance(timedelta(days=3))
        assert governor.current_state is D  # nothing reverts later

    def test_lockdown_ends_it_and_keeps_the_state(self, clock: ManualClock) -> None:
        governor = manager(clock)
        governor.apply_override(override(A))
        governor.evaluate_transition(CALM, LOCKDOWN)
        assert governor.current_state is A
        assert not governor.has_override

    @pytest.mark.parametrize("safety", [FAIL, LOCKDOWN])
    def test_none_is_taken_in_fail_or_lockdown(self, clock: ManualClock, safety: SafetyState) -> None:
        governor = manager(clock)
        governor.apply_safety_override(safety)
        before = governor.current_state
        for state in OperatingState:
            result = governor.apply_override(override(state))
            assert (result.applied, result.reason) == (False, f"safety_beats_override: {safety.value}")
        assert governor.current_state is before
        assert not governor.has_override

    @pytest.mark.parametrize(("to", "taken"), [(A, False), (B, True), (D, True)])
    def test_in_warning_none_to_a_bolder_state(self, clock: ManualClock, to: OperatingState, taken: bool) -> None:
        governor = manager(clock)
        governor.apply_safety_override(WARNING)
        assert governor.apply_override(override(to)).applied is taken
