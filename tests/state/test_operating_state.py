"""Hysteresis, safety and the results of the governor, hour by hour on a virtual clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from qts.clock import ManualClock, from_ns
from qts.errors import StorageError
from qts.safety.contracts import SafetyState
from qts.state import OperatingState, OperatingStateManager, StateConfig, TransitionMetrics
from qts.state.contracts import UNKNOWN_METRICS, TransitionKind, TransitionRecord, TransitionResult

A, B, D = OperatingState.AGGRESSIVE, OperatingState.BALANCED, OperatingState.DEFENSIVE
NORMAL, WARNING, FAIL, LOCKDOWN = SafetyState
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)  # a Monday
CALM = TransitionMetrics()
NERVOUS = TransitionMetrics(vix=26.0)  # ends AGGRESSIVE
STORM = TransitionMetrics(vix=31.0)  # BALANCED → DEFENSIVE
BETTER = TransitionMetrics(drawdown_pct=0.04, vix=19.0, consecutive_profitable_days=3)
GREAT = TransitionMetrics(vix=14.0, cagr=0.11, target_cagr=0.10, capital_growth_pct=0.11, win_rate_30d=0.61)


class Governor:
    """A manager with its clock, and the few steps the examples are made of."""

    def __init__(self, state: OperatingState = B, **config: Any) -> None:
        self.clock = ManualClock(START)
        self.manager = OperatingStateManager(
            msgspec.convert(config, StateConfig), clock=self.clock, initial_state=state
        )

    def after(self, metrics: TransitionMetrics, safety: SafetyState = NORMAL, **step: float) -> TransitionResult:
        self.clock.advance(timedelta(**step))
        return self.manager.evaluate_transition(metrics, safety)

    def now(self, metrics: TransitionMetrics, safety: SafetyState = NORMAL) -> TransitionResult:
        return self.manager.evaluate_transition(metrics, safety)


class TestStart:
    def test_every_way_to_make_one(self) -> None:
        clock = ManualClock(START)
        assert OperatingStateManager().current_state is B
        assert OperatingStateManager(initial_state=B).current_state is B
        assert OperatingStateManager(A).current_state is A
        assert OperatingStateManager(StateConfig(default_state=D), clock=clock).current_state is D
        assert OperatingStateManager(StateConfig(), initial_state=A).current_state is A

    def test_a_fresh_one_has_no_past(self) -> None:
        governor = Governor()
        manager = governor.manager
        assert manager.previous_state is None
        assert manager.history == ()
        assert not manager.has_override
        assert not manager.is_halted
        assert manager.properties.max_positions == 15
        assert manager.state_duration_days == 0
        governor.clock.advance(timedelta(hours=36))
        assert manager.state_duration_days == 1.5


class TestConfirmation:
    def test_hourly_cycles_nine_opens_eleven_applies(self) -> None:
        governor = Governor()
        first, second, third = governor.now(STORM), governor.after(STORM, hours=1), governor.after(STORM, hours=1)
        assert (first.applied, first.reason, first.to_state) == (False, "confirmation_pending: 1/2", D)
        assert (second.applied, second.reason) == (False, "confirmation_pending: 2/2")  # two seen, only one hour
        assert (third.applied, third.from_state, third.to_state) == (True, B, D)
        assert third.reason == "BalancedToDefensive: vix 31 > 30"

    @pytest.mark.parametrize(("minutes", "applied"), [(119, False), (120, True)])
    def test_two_evaluations_must_span_two_hours(self, minutes: int, applied: bool) -> None:
        governor = Governor()
        governor.now(STORM)
        assert governor.after(STORM, minutes=minutes).applied is applied

    def test_one_evaluation_is_not_enough_however_long_ago(self) -> None:
        """Nights and weekends do not close a window: Friday 16:00 opens, Monday 09:00 is the second and applies."""
        governor = Governor()
        governor.clock.set(datetime(2026, 1, 9, 16, 0, tzinfo=UTC))
        assert governor.now(STORM).reason == "confirmation_pending: 1/2"
        assert governor.after(STORM, days=2, hours=17).applied

    def test_an_evaluation_that_misses_the_condition_closes_the_window(self) -> None:
        governor = Governor()
        governor.now(STORM)
        assert governor.after(CALM, hours=1).reason == "no_transition_needed"
        assert governor.after(STORM, hours=1).reason == "confirmation_pending: 1/2"
        assert not governor.after(STORM, minutes=119).applied
        assert governor.after(STORM, minutes=1).applied

    def test_unknown_metrics_close_it_too(self) -> None:
        governor = Governor()
        governor.now(STORM)
        governor.after(UNKNOWN_METRICS, hours=1)
        assert not governor.after(STORM, hours=1).applied

    def test_another_rule_opens_its_own_window(self) -> None:
        governor = Governor()
        governor.clock.advance(timedelta(days=11))
        assert governor.now(GREAT).to_state is A
        assert governor.after(STORM, hours=1).reason == "confirmation_pending: 1/2"
        assert governor.after(STORM, hours=2).to_state is D

    def test_count_and_span_are_settings(self) -> None:
        governor = Governor(confirmation_cycles=3, confirmation_hours=0)
        assert [governor.now(STORM).reason for _ in range(2)] == [
            "confirmation_pending: 1/3",
            "confirmation_pending: 2/3",
        ]
        assert governor.now(STORM).applied

    def test_a_window_starts_after_the_last_transition(self) -> None:
        """The evaluation that applies one rule does not count for the next."""
        governor = Governor(A)
        governor.clock.advance(timedelta(days=7))
        for _ in range(2):
            governor.after(STORM, hours=1)
        assert governor.after(STORM, hours=1).to_state is B
        assert governor.manager.get_snapshot().pending is None
        assert governor.after(STORM, hours=1).reason == "confirmation_pending: 1/2"
        assert not governor.after(STORM, hours=1).applied
        assert governor.after(STORM, hours=1).to_state is D  # no hold, no cooldown on the way to DEFENSIVE


class TestHoldAndCooldown:
    @pytest.mark.parametrize(("minutes_short", "applied"), [(1, False), (0, True)])
    def test_aggressive_obeys_its_seven_days_even_in_danger(self, minutes_short: int, applied: bool) -> None:
        governor = Governor(A)
        governor.now(STORM)
        result = governor.after(STORM, days=7, minutes=-minutes_short)
        assert result.applied is applied
        if not applied:
            assert result.reason == "min_duration_not_met: 6.999/7 days"
            assert result.to_state is B

    @pytest.mark.parametrize(("hold", "applied"), [(11.1, False), (11.0, True)])
    def test_balanced_to_aggressive_obeys_its_hold(self, hold: float, applied: bool) -> None:
        governor = Governor(min_hold_days={"balanced": hold})
        governor.after(GREAT, days=10, hours=22)
        assert governor.after(GREAT, hours=2).applied is applied

    @pytest.mark.parametrize(("hold", "applied"), [(6.1, False), (6.0, True)])
    def test_defensive_to_balanced_obeys_its_hold(self, hold: float, applied: bool) -> None:
        governor = Governor(D, min_hold_days={"defensive": hold})
        governor.after(BETTER, days=5, hours=22)
        assert governor.after(BETTER, hours=2).applied is applied

    @pytest.mark.parametrize(("minutes_short", "applied"), [(1, False), (0, True)])
    def test_twenty_four_hours_of_cooldown_after_any_transition(self, minutes_short: int, applied: bool) -> None:
        """With no hold at all: DEFENSIVE at 11:00, back not before 11:00 of the next day."""
        no_hold = {"min_hold_days": {"defensive": 0}, "defensive_to_balanced": {"held_days": 0}}
        governor = Governor(**no_hold)
        governor.now(STORM)
        assert governor.after(STORM, hours=2).applied
        governor.after(BETTER, hours=1)
        result = governor.after(BETTER, hours=23, minutes=-minutes_short)
        assert result.applied is applied
        if not applied:
            assert result.reason == "cooldown_period"

    def test_moving_to_defensive_skips_hold_and_cooldown_but_not_confirmation(self) -> None:
        governor = Governor(min_hold_days={"balanced": 365})
        assert governor.now(STORM).reason == "confirmation_pending: 1/2"
        assert governor.after(STORM, hours=2).applied

    def test_hold_and_cooldown_do_not_reset_the_window(self) -> None:
        """The window opened on day 1; on day 7 the hold is over and the first evaluation applies."""
        governor = Governor(A)
        before = [governor.after(NERVOUS, days=days) for days in (1, 3)]
        result = governor.after(NERVOUS, days=3)
        assert [one.applied for one in before] == [False, False]
        assert (result.applied, result.to_state) == (True, B)

    def test_held_days_of_a_rule_belong_to_the_condition(self) -> None:
        """Rule 3 wants 5 days held: at day 5 the window only opens, two hours later it applies."""
        governor = Governor(D)
        assert governor.after(BETTER, days=4, hours=23).reason == "no_transition_needed"
        assert governor.after(BETTER, hours=1).reason == "confirmation_pending: 1/2"
        assert governor.after(BETTER, hours=2).applied

    def test_when_several_reasons_hold_back_the_order_is_fixed(self) -> None:
        """Override, confirmation, minimum duration, cooldown."""
        governor = Governor(B, cooldown_hours=720)
        governor.now(STORM)
        governor.after(STORM, hours=2)
        governor.manager.reconfigure(
            msgspec.convert({"cooldown_hours": 720, "defensive_to_balanced": {"held_days": 0}}, StateConfig)
        )
        result = governor.after(BETTER, hours=1)
        assert result.meta["held_back_by"] == [
            "confirmation_pending: 1/2",
            "min_duration_not_met: 0.04167/3 days",
            "cooldown_period",
        ]
        assert result.reason == "confirmation_pending: 1/2"
        assert governor.after(BETTER, hours=2).reason.startswith("min_duration_not_met")
        assert governor.after(BETTER, days=3).reason == "cooldown_period"

    def test_a_clock_that_went_back_shortens_no_hold(self) -> None:
        governor = Governor(A)
        late = OperatingStateManager(clock=ManualClock(START - timedelta(days=30)))
        late.restore_state(governor.manager.export_state())
        assert late.state_duration_days == 0
        assert not late.evaluate_transition(NERVOUS, NORMAL).applied


class TestSafety:
    @pytest.mark.parametrize("state", [A, B])
    def test_fail_forces_defensive_at_once(self, state: OperatingState) -> None:
        governor = Governor(state)
        result = governor.manager.apply_safety_override(FAIL)
        assert (result.applied, result.from_state, result.to_state, result.reason) == (
            True,
            state,
            D,
            "safety_forced: FAIL",
        )
        assert governor.manager.history[-1].forced

    def test_an_evaluation_under_fail_does_the_same(self) -> None:
        governor = Governor(A)
        assert governor.now(CALM, FAIL).to_state is D
        assert governor.now(CALM, FAIL).reason == "no_transition_needed"

    def test_an_unknown_state_counts_as_fail(self) -> None:
        governor = Governor(A)
        assert governor.now(CALM, "SUPER").to_state is D  # type: ignore[arg-type]

    def test_warning_moves_balanced_to_defensive_after_confirmation_and_aggressive_not_at_all(self) -> None:
        governor = Governor(B)
        assert governor.now(CALM, WARNING).reason == "confirmation_pending: 1/2"
        assert governor.after(CALM, WARNING, hours=2).to_state is D
        bold = Governor(A)
        assert bold.now(CALM, WARNING).reason == "no_transition_needed"
        assert bold.manager.apply_safety_override(WARNING).applied is False

    @pytest.mark.parametrize("state", OperatingState)
    def test_lockdown_keeps_the_state_and_evaluates_nothing(self, state: OperatingState) -> None:
        governor = Governor(state)
        governor.clock.advance(timedelta(days=30))
        for metrics in (GREAT, STORM, BETTER):
            result = governor.after(metrics, LOCKDOWN, hours=3)
            assert (result.applied, result.reason) == (False, "no_transition_needed")
        assert governor.manager.current_state is state
        assert governor.manager.is_halted
        assert governor.manager.get_snapshot().halted

    @pytest.mark.parametrize(("before", "after"), [(A, B), (B, B), (D, D)])
    def test_on_release_aggressive_resumes_as_balanced_the_others_as_they_were(
        self, before: OperatingState, after: OperatingState
    ) -> None:
        governor = Governor(before)
        governor.manager.apply_safety_override(LOCKDOWN)
        result = governor.manager.on_lockdown_release()
        assert governor.manager.current_state is after
        assert result.applied is (before is A)
        assert not governor.manager.is_halted
        assert governor.manager.get_snapshot().safety_state is NORMAL

    def test_an_evaluation_after_lockdown_releases_by_itself(self) -> None:
        governor = Governor(A)
        governor.now(CALM, LOCKDOWN)
        assert governor.now(CALM, NORMAL).reason == "lockdown_released"
        assert governor.manager.current_state is B

    def test_from_lockdown_to_fail_ends_in_defensive(self) -> None:
        governor = Governor(A)
        governor.now(CALM, LOCKDOWN)
        assert governor.now(CALM, FAIL).to_state is D
        assert [record.to_state for record in governor.manager.history] == [B, D]

    def test_lockdown_closes_an_open_window(self) -> None:
        governor = Governor(B)
        governor.now(STORM)
        governor.after(STORM, LOCKDOWN, hours=1)
        assert governor.after(STORM, hours=1).reason == "confirmation_pending: 1/2"

    def test_a_forced_move_starts_the_cooldown(self) -> None:
        governor = Governor(B)
        governor.manager.apply_safety_override(FAIL)
        snapshot = governor.manager.get_snapshot()
        assert snapshot.cooldown_until == START + timedelta(hours=24)


class TestEvidence:
    def test_every_answer_carries_what_it_was_made_of(self) -> None:
        governor = Governor()
        idle, pending = governor.now(CALM), governor.after(STORM, hours=1)
        assert idle.meta["metrics"]["vix"] == 0.0
        assert idle.meta["safety_state"] == "NORMAL"
        assert pending.meta["condition"] == "BalancedToDefensive: vix 31 > 30"
        assert pending.meta["confirmation_opened"] == "2026-01-05T10:00:00+00:00"
        assert pending.meta["confirmation_evaluations"] == 1
        assert pending.meta["state_duration_days"] == pytest.approx(1 / 24)

    def test_the_snapshot_holds_everything(self) -> None:
        governor = Governor()
        governor.now(STORM)
        seen = governor.manager.get_snapshot()
        assert (seen.state, seen.previous_state, seen.has_override, seen.override) == (B, None, False, None)
        assert seen.pending is not None
        assert (seen.pending.rule, seen.pending.evaluations) == ("BalancedToDefensive", 1)
        assert seen.hold_until == START + timedelta(days=5)
        assert seen.cooldown_until is None
        assert (seen.entered_at, seen.as_of) == (START, START)
        assert seen.last_record is None

    def test_a_transition_is_recorded_and_listeners_hear_of_it(self) -> None:
        governor, heard = Governor(), list[TransitionRecord]()

        def broken(record: TransitionRecord) -> None:
            raise RuntimeError("no")

        governor.manager.add_listener(broken)
        leave = governor.manager.add_listener(heard.append)
        governor.now(STORM)
        governor.after(STORM, hours=2)
        leave()
        leave()
        governor.manager.apply_safety_override(NORMAL)
        assert heard == list(governor.manager.history)
        record = heard[0]
        assert (record.seq, record.kind, record.actor, record.forced) == (1, TransitionKind.RULE, "rule", False)
        assert from_ns(record.ts_ns) == START + timedelta(hours=2)
        assert governor.manager.previous_state is B
        assert governor.manager.listener_failures == 1

    def test_a_listener_whose_store_fails_is_heard_after_everybody_was_told(self) -> None:
        governor, heard = Governor(), list[TransitionRecord]()

        def failing(record: TransitionRecord) -> None:
            raise StorageError("disk full")

        governor.manager.add_listener(failing)
        governor.manager.add_listener(heard.append)
        with pytest.raises(StorageError, match="disk full"):
            governor.manager.apply_safety_override(FAIL)
        assert governor.manager.current_state is D
        assert len(heard) == 1


class TestForecast:
    def test_nothing_known_before_the_first_evaluation(self) -> None:
        rules = Governor().manager.forecast()
        assert [rule.rule for rule in rules] == ["BalancedToDefensive", "BalancedToAggressive"]
        assert all(clause.value is None for clause in rules[0].clauses[:2])
        assert not any(rule.met for rule in rules)

    def test_it_answers_for_what_was_evaluated_last(self) -> None:
        governor = Governor()
        governor.now(TransitionMetrics(vix=28.0))
        toward_defensive = governor.manager.forecast()[0]
        vix = next(clause for clause in toward_defensive.clauses if clause.name == "vix")
        assert (vix.holds, vix.value, vix.gap) == (False, 28.0, 2.0)
        assert toward_defensive.held_back_by == ("confirmation_pending: 0/2",)

    def test_it_answers_for_what_if(self) -> None:
        governor = Governor(D)
        governor.clock.advance(timedelta(days=4))
        rule = governor.manager.forecast(BETTER, WARNING)[0]
        assert {clause.name: clause.holds for clause in rule.clauses} == {
            "drawdown_pct": True,
            "vix": True,
            "consecutive_profitable_days": True,
            "safety": False,
            "held_days": False,
        }
        assert rule.clauses[-1].gap == 1.0
        assert governor.manager.get_snapshot().pending is None  # asking changes nothing


class TestStatistics:
    def test_days_transitions_and_means(self) -> None:
        """BALANCED 2 h, then DEFENSIVE by rule; 10 days later FAIL changes nothing; 40 days later still there."""
        governor = Governor()
        empty = governor.manager.statistics()
        assert (empty.average_duration_days, empty.last, empty.transitions_30d) == (None, (), 0)
        governor.now(STORM)
        governor.after(STORM, hours=2)
        governor.clock.advance(timedelta(days=10))
        stats = governor.manager.statistics()
        assert stats.days_in_state == {"AGGRESSIVE": 0.0, "BALANCED": pytest.approx(2 / 24), "DEFENSIVE": 10.0}
        assert (stats.transitions_30d, stats.transitions_total, stats.forced_total) == (1, 1, 0)
        assert stats.average_duration_days == pytest.approx(2 / 24)
        governor.clock.advance(timedelta(days=20, seconds=1))
        assert governor.manager.statistics().transitions_30d == 0

    def test_forced_ones_are_counted_and_ten_are_shown(self) -> None:
        governor = Governor(A)
        for _ in range(6):
            governor.manager.apply_safety_override(LOCKDOWN)
            governor.manager.on_lockdown_release()  # AGGRESSIVE → BALANCED the first time only
            governor.manager.apply_safety_override(FAIL)
            governor.manager.apply_safety_override(NORMAL)
            governor.clock.advance(timedelta(days=6))
            governor.now(BETTER)
            assert governor.after(BETTER, hours=2).to_state is B
        stats = governor.manager.statistics()
        assert (stats.transitions_total, stats.forced_total) == (13, 7)
        assert [record.seq for record in stats.last] == list(range(4, 14))


def test_new_thresholds_count_from_now_on_and_the_window_stays_open() -> None:
    governor = Governor()
    governor.now(STORM)
    governor.manager.reconfigure(msgspec.convert({"balanced_to_defensive": {"vix": 30.5}}, StateConfig))
    assert governor.after(STORM, hours=2).applied
    assert governor.manager.config.balanced_to_defensive.vix == 30.5
