"""The safety manager, rule by rule, on a virtual clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from qts.clock import ManualClock, SystemClock, to_ns
from qts.errors import ContractError, StorageError
from qts.safety import SafetyStateManager
from qts.safety.config import SafetyConfig
from qts.safety.contracts import SafetyCause, SafetyChange, SafetyState

N, W, F, L = SafetyState.NORMAL, SafetyState.WARNING, SafetyState.FAIL, SafetyState.LOCKDOWN
START = datetime(2026, 1, 23, 0, 0, tzinfo=UTC)
NAMED: dict[str, Any] = {"operator_approved": True, "operator_id": "kim", "reason": "account checked at the broker"}


class MemoryStore:
    """Keeps what was saved; refuses to save while ``full``."""

    def __init__(self) -> None:
        self.snapshot: dict[str, Any] | None = None
        self.records: list[dict[str, Any]] = []
        self.saves = 0
        self.full = False

    def load(self) -> dict[str, Any] | None:
        return None if self.snapshot is None else {**self.snapshot, "history": list(self.records)}

    def save(self, snapshot: Mapping[str, Any], record: Mapping[str, Any] | None = None) -> None:
        if self.full:
            raise StorageError("disk full")
        self.saves += 1
        self.snapshot = dict(snapshot)
        if record is not None:
            self.records.append(dict(record))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def safety(clock: ManualClock) -> SafetyStateManager:
    return SafetyStateManager(clock=clock)


def lock(safety: SafetyStateManager) -> None:
    safety.apply_fail_safe("FS104", "vix 41")
    assert safety.is_lockdown


class TestStart:
    def test_it_works_with_nothing_given(self) -> None:
        safety = SafetyStateManager()
        assert safety.current_state is N
        assert safety.is_trading_allowed
        assert not safety.is_lockdown
        assert safety.config == SafetyConfig()
        assert abs(safety.snapshot().since_ns - SystemClock().time_ns()) < 10**12


class TestGettingWorse:
    @pytest.mark.parametrize(("method", "code"), [("apply_anomaly", "AN001"), ("apply_guardrail", "GR001")])
    def test_an_anomaly_or_guardrail_warns_and_a_second_one_stays(
        self, safety: SafetyStateManager, method: str, code: str
    ) -> None:
        first = getattr(safety, method)(code, "detail of it")
        again = getattr(safety, method)(code)
        assert (first.from_state, first.to_state, first.changed, first.seq) == (N, W, True, 1)
        assert code in first.reason
        assert "detail of it" in first.reason
        assert (again.from_state, again.to_state, again.changed, again.seq, again.count) == (W, W, False, 0, 2)
        assert safety.is_trading_allowed

    @pytest.mark.parametrize("warned", [False, True])
    def test_a_fail_safe_fails_from_normal_and_from_warning(self, safety: SafetyStateManager, warned: bool) -> None:
        if warned:
            safety.apply_anomaly("AN001")
        change = safety.apply_fail_safe("FS020")
        assert change.to_state is F
        assert not safety.is_trading_allowed
        assert not safety.is_lockdown

    def test_in_fail_the_same_cause_is_counted_not_doubled(self, safety: SafetyStateManager) -> None:
        safety.apply_fail_safe("FS020")
        changes = [safety.apply_fail_safe("FS020") for _ in range(5)]
        assert safety.current_state is F
        assert [change.count for change in changes] == [2, 3, 4, 5, 6]
        assert changes[-1].cause is SafetyCause.FAIL_SAFE_REPEATED

    def test_in_fail_a_second_different_cause_locks_down(self, safety: SafetyStateManager) -> None:
        safety.apply_fail_safe("FS020")
        assert safety.apply_fail_safe("FS070").to_state is L
        assert safety.is_lockdown

    def test_in_fail_warnings_add_nothing(self, safety: SafetyStateManager) -> None:
        safety.apply_fail_safe("FS020")
        for code in ("AN001", "GR010", "FS102", "FS103", "FS105", "FS040"):
            assert not safety.apply_code(code).changed
        assert safety.current_state is F

    @pytest.mark.parametrize("code", ["FS102", "FS103", "FS105"])
    def test_three_micro_risk_codes_only_warn(self, safety: SafetyStateManager, code: str) -> None:
        assert safety.apply_fail_safe(code).to_state is W

    @pytest.mark.parametrize("code", ["FS104", "FS080"])
    @pytest.mark.parametrize("before", [None, "AN001", "FS020"])
    def test_kill_switch_and_lost_capital_lock_down_from_everywhere(
        self, safety: SafetyStateManager, code: str, before: str | None
    ) -> None:
        if before:
            safety.apply_code(before)
        assert safety.apply_fail_safe(code).to_state is L

    def test_lockdown_stays_whatever_comes(self, safety: SafetyStateManager, clock: ManualClock) -> None:
        lock(safety)
        for code in ("AN001", "GR001", "FS020", "FS070", "FS104", "FS040"):
            assert not safety.apply_code(code).changed
        clock.advance(timedelta(days=30))
        assert safety.tick() is None
        assert safety.current_state is L

    def test_unknown_codes_are_accepted_by_prefix(self, clock: ManualClock) -> None:
        assert SafetyStateManager(clock=clock).apply_anomaly("AN777").to_state is W
        assert SafetyStateManager(clock=clock).apply_guardrail("GR777").to_state is W
        assert SafetyStateManager(clock=clock).apply_fail_safe("FS777").to_state is F

    def test_when_method_and_code_disagree_the_worse_counts(self, clock: ManualClock) -> None:
        assert SafetyStateManager(clock=clock).apply_anomaly("FS001").to_state is F
        assert SafetyStateManager(clock=clock).apply_fail_safe("GR001").to_state is F

    def test_what_is_no_code_is_refused_and_changes_nothing(self, safety: SafetyStateManager) -> None:
        with pytest.raises(ContractError):
            safety.apply_fail_safe("")
        assert safety.current_state is N


class TestBrokerFailures:
    def test_the_first_two_warn_and_the_third_in_a_row_locks_down(
        self, safety: SafetyStateManager, clock: ManualClock
    ) -> None:
        assert safety.apply_fail_safe("FS040").to_state is W
        clock.advance(timedelta(hours=5))
        assert safety.apply_fail_safe("FS042").to_state is W
        clock.advance(timedelta(hours=5))
        assert safety.apply_fail_safe("FS040").to_state is L

    @pytest.mark.parametrize(("seconds", "expected"), [(300, L), (301, W)])
    def test_the_third_within_five_minutes_locks_down_even_with_successes_between(
        self, safety: SafetyStateManager, clock: ManualClock, seconds: int, expected: SafetyState
    ) -> None:
        safety.apply_fail_safe("FS040")
        safety.broker_succeeded()
        clock.advance(timedelta(seconds=100))
        safety.apply_fail_safe("FS042")
        safety.broker_succeeded()
        clock.advance(timedelta(seconds=seconds - 100))
        assert safety.apply_fail_safe("FS040").to_state is expected

    def test_two_failures_and_a_success_start_the_row_again(
        self, safety: SafetyStateManager, clock: ManualClock
    ) -> None:
        for _ in range(3):
            clock.advance(timedelta(minutes=6))
            safety.apply_fail_safe("FS040")
            safety.broker_succeeded()
        assert safety.current_state is W
        assert safety.snapshot().broker_failures_in_row == 0

    def test_in_fail_the_first_two_stay_and_the_third_locks_down(self, safety: SafetyStateManager) -> None:
        safety.apply_fail_safe("FS020")
        assert not safety.apply_fail_safe("FS040").changed
        assert not safety.apply_fail_safe("FS042").changed
        assert safety.apply_fail_safe("FS042").to_state is L

    def test_a_released_lockdown_starts_counting_from_nothing(self, safety: SafetyStateManager) -> None:
        for _ in range(3):
            safety.apply_fail_safe("FS042")
        safety.request_recovery(**NAMED)
        assert safety.apply_fail_safe("FS042").to_state is W
        assert safety.snapshot().broker_failures_in_window == 1


class TestWarningClears:
    @pytest.mark.parametrize(("seconds", "expected"), [(599, W), (600, N)])
    def test_after_ten_minutes_without_the_cause(
        self, safety: SafetyStateManager, clock: ManualClock, seconds: int, expected: SafetyState
    ) -> None:
        safety.apply_anomaly("AN001")
        clock.advance(timedelta(seconds=seconds))
        safety.tick()
        assert safety.current_state is expected

    def test_every_cause_restarts_the_time(self, safety: SafetyStateManager, clock: ManualClock) -> None:
        safety.apply_anomaly("AN001")
        clock.advance(timedelta(minutes=9))
        safety.apply_guardrail("GR010")
        assert safety.snapshot().clears_at_ns == to_ns(START + timedelta(minutes=19))
        clock.advance(timedelta(minutes=9, seconds=59))
        assert safety.tick() is None
        clock.advance(timedelta(seconds=1))
        change = safety.tick()
        assert change is not None
        assert (change.to_state, change.cause) == (N, SafetyCause.CLEARED)
        assert "AN001, GR010" in change.reason
        assert safety.snapshot().causes == ()

    def test_the_time_is_a_setting(self, clock: ManualClock) -> None:
        safety = SafetyStateManager(SafetyConfig(warning_clear_minutes=30), clock=clock)
        safety.apply_anomaly("AN001")
        clock.advance(timedelta(minutes=29))
        assert safety.tick() is None
        clock.advance(timedelta(minutes=1))
        assert safety.tick() is not None

    def test_a_new_cause_after_a_long_quiet_time_is_a_new_warning(
        self, safety: SafetyStateManager, clock: ManualClock
    ) -> None:
        safety.apply_anomaly("AN001")
        clock.advance(timedelta(hours=1))
        change = safety.apply_anomaly("AN010")
        assert (change.from_state, change.to_state, change.count) == (N, W, 1)
        assert [c.to_state for c in safety.history] == [W, N, W]

    def test_fail_does_not_end_by_time(self, safety: SafetyStateManager, clock: ManualClock) -> None:
        safety.apply_fail_safe("FS020")
        clock.advance(timedelta(days=1))
        assert safety.tick() is None
        assert safety.current_state is F

    def test_asking_does_not_shorten_it_but_ends_it_when_due(
        self, safety: SafetyStateManager, clock: ManualClock
    ) -> None:
        safety.apply_anomaly("AN001")
        assert not safety.request_recovery(**NAMED, checks=True).changed
        clock.advance(timedelta(minutes=10))
        assert safety.request_recovery().to_state is N


class TestRecovery:
    def test_in_normal_there_is_nothing_to_recover_from(self, safety: SafetyStateManager) -> None:
        assert not safety.request_recovery().changed
        assert safety.counters.get("recoveries_refused") is None

    @pytest.mark.parametrize("checks", [True, {"reconcile": True}, lambda: {"a": True, "b": True}])
    def test_fail_recovers_when_the_conditions_check_out(self, safety: SafetyStateManager, checks: Any) -> None:
        safety.apply_fail_safe("FS020")
        change = safety.request_recovery(checks=checks)
        assert (change.to_state, change.cause, change.actor) == (N, SafetyCause.RECOVERY, "rule")

    @pytest.mark.parametrize(
        ("checks", "named"),
        [
            (False, "the checks failed"),
            ({"reconcile": False, "clock": True}, "failing or unknown: reconcile"),
            ({"reconcile": None}, "failing or unknown: reconcile"),  # unknown is not passed
            ({}, "no checks were given"),
            (None, "no checks were given"),
            (lambda: False, "the checks failed"),
        ],
    )
    def test_fail_stays_when_a_condition_fails_or_is_unknown(
        self, safety: SafetyStateManager, checks: Any, named: str
    ) -> None:
        safety.apply_fail_safe("FS020")
        change = safety.request_recovery(checks=checks)
        assert (change.to_state, change.cause) == (F, SafetyCause.RECOVERY_UNFIT)
        assert named in change.reason
        assert safety.counters["recoveries_refused"] == 1

    def test_an_operator_can_vouch_where_nothing_was_checked_but_not_against_a_failing_check(
        self, safety: SafetyStateManager
    ) -> None:
        safety.apply_fail_safe("FS020")
        assert not safety.request_recovery(**NAMED, checks={"reconcile": False}).changed
        change = safety.request_recovery(**NAMED)
        assert (change.to_state, change.actor) == (N, "kim")

    def test_lockdown_is_released_by_a_named_operator_and_who_why_when_is_kept(
        self, safety: SafetyStateManager, clock: ManualClock
    ) -> None:
        lock(safety)
        clock.advance(timedelta(minutes=3))
        change = safety.request_recovery(**NAMED)
        assert change.to_state is N
        kept = safety.history[-1]
        assert (kept.actor, kept.ts_ns) == ("kim", to_ns(START + timedelta(minutes=3)))
        assert "account checked at the broker" in kept.reason

    @pytest.mark.parametrize(
        "request_",
        [
            {},
            {"checks": True},
            {"operator_id": "kim", "reason": "because"},
            {"operator_approved": True},
            {"operator_approved": True, "operator_id": "kim"},
            {"operator_approved": True, "reason": "because"},
            {"operator_approved": True, "operator_id": " ", "reason": "because"},
            {"operator_approved": True, "operator_id": "kim", "reason": ""},
            {**NAMED, "checks": False},
            {**NAMED, "checks": {"reconcile": None}},
            {**NAMED, "operator_approved": "yes"},
        ],
    )
    def test_lockdown_is_released_in_no_other_way(
        self, safety: SafetyStateManager, request_: dict[str, Any]
    ) -> None:
        lock(safety)
        assert not safety.request_recovery(**request_).changed
        assert safety.is_lockdown
        assert safety.counters["recoveries_refused"] == 1

    def test_after_recovery_the_former_cause_is_a_first_one_again(self, safety: SafetyStateManager) -> None:
        safety.apply_fail_safe("FS020")
        safety.request_recovery(checks=True)
        change = safety.apply_fail_safe("FS070")
        assert (change.to_state, change.count) == (F, 1)


class TestListeners:
    def test_they_hear_of_changes_only_and_can_leave(self, safety: SafetyStateManager) -> None:
        heard: list[SafetyChange] = []
        leave = safety.add_listener(heard.append)
        first = safety.apply_anomaly("AN001")
        safety.apply_anomaly("AN001")
        leave()
        leave()
        safety.apply_fail_safe("FS020")
        assert heard == [first]

    def test_a_broken_listener_is_counted_and_holds_up_no_other(self, safety: SafetyStateManager) -> None:
        heard: list[SafetyState] = []

        def broken(change: SafetyChange) -> None:
            raise RuntimeError("no")

        safety.add_listener(broken)
        safety.add_listener(lambda change: heard.append(safety.current_state))
        safety.apply_fail_safe("FS020")
        assert heard == [F]  # state first, then the news
        assert safety.counters["listener_failures"] == 1

    def test_a_listener_whose_store_fails_is_heard_after_everybody_was_told(
        self, safety: SafetyStateManager
    ) -> None:
        heard: list[SafetyChange] = []

        def failing(change: SafetyChange) -> None:
            raise StorageError("disk full")

        safety.add_listener(failing)
        safety.add_listener(heard.append)
        with pytest.raises(StorageError, match="disk full"):
            safety.apply_fail_safe("FS020")
        assert safety.current_state is F
        assert len(heard) == 1


class TestSnapshotAndCounters:
    def test_the_snapshot_tells_state_causes_and_next_step(
        self, safety: SafetyStateManager, clock: ManualClock
    ) -> None:
        clock.advance(timedelta(seconds=5))
        safety.apply_anomaly("AN001", "x" * 500)
        seen = safety.snapshot()
        assert (seen.state, seen.is_trading_allowed, seen.is_lockdown) == (W, True, False)
        assert seen.since_ns == to_ns(START + timedelta(seconds=5))
        assert [(c.code, c.count, c.fatal) for c in seen.causes] == [("AN001", 1, False)]
        assert len(seen.causes[0].detail) == 200
        assert seen.last_change is not None
        assert seen.last_change.code == "AN001"
        assert seen.next_step

    def test_counters_count_changes_and_what_was_told(self, safety: SafetyStateManager) -> None:
        for code in ("AN001", "AN001", "GR010", "FS020", "FS020"):
            safety.apply_code(code)
        assert safety.counters == {
            "anomalies": 2,
            "guardrails": 1,
            "fail_safes": 2,
            "NORMAL>WARNING": 1,
            "WARNING>FAIL": 1,
            "listener_failures": 0,
        }

    def test_memory_is_bounded_and_the_oldest_warning_goes_first(
        self, safety: SafetyStateManager, clock: ManualClock
    ) -> None:
        safety.apply_fail_safe("FS020")
        for number in range(300):
            clock.advance(timedelta(milliseconds=1))
            safety.apply_anomaly(f"AN{number + 1000}")
        codes = [cause.code for cause in safety.snapshot().causes]
        assert len(codes) == 256
        assert "FS020" in codes  # the standing fail-safe is never forgotten for a warning
        assert "AN1299" in codes
        assert "AN1000" not in codes

    def test_new_settings_count_from_now_on(self, safety: SafetyStateManager, clock: ManualClock) -> None:
        safety.apply_anomaly("AN001")
        safety.reconfigure(SafetyConfig(warning_clear_minutes=20))
        clock.advance(timedelta(minutes=19))
        assert safety.tick() is None
        assert safety.config.warning_clear_minutes == 20


class TestSurvival:
    def test_lockdown_and_history_survive_a_restart(self, clock: ManualClock) -> None:
        store = MemoryStore()
        safety = SafetyStateManager(clock=clock, store=store)
        safety.apply_anomaly("AN001")
        lock(safety)
        again = SafetyStateManager(clock=clock, store=store)
        assert again.is_lockdown
        assert again.history == safety.history
        assert again.counters == safety.counters
        assert again.request_recovery(**NAMED).seq == 3

    def test_broker_failures_are_counted_across_a_restart(self, clock: ManualClock) -> None:
        store = MemoryStore()
        for expected in (W, W, L):
            assert SafetyStateManager(clock=clock, store=store).apply_fail_safe("FS042").to_state is expected

    def test_a_broker_success_is_stored(self, clock: ManualClock) -> None:
        store = MemoryStore()
        safety = SafetyStateManager(clock=clock, store=store)
        safety.apply_fail_safe("FS042")
        safety.broker_succeeded()
        saves = store.saves
        safety.broker_succeeded()
        assert store.saves == saves
        assert SafetyStateManager(clock=clock, store=store).snapshot().broker_failures_in_row == 0

    def test_the_state_goes_through_plain_values_and_back(
        self, safety: SafetyStateManager, clock: ManualClock
    ) -> None:
        safety.apply_guardrail("GR010", "005930")
        safety.apply_fail_safe("FS020")
        plain = msgspec.msgpack.decode(msgspec.msgpack.encode(safety.export_state()))
        other = SafetyStateManager(clock=clock)
        other.restore_state(plain)
        assert other.export_state() == safety.export_state()
        assert other.apply_fail_safe("FS020").cause is SafetyCause.FAIL_SAFE_REPEATED

    @pytest.mark.parametrize("stored", [{}, {"state": "FINE"}, {"state": 3, "since_ns": "x"}])
    def test_a_state_that_cannot_be_read_is_an_error_never_normal(self, stored: dict[str, Any]) -> None:
        store = MemoryStore()
        store.snapshot = stored
        with pytest.raises(StorageError, match="stored safety state cannot be read"):
            SafetyStateManager(store=store)

    def test_repeats_reach_the_store_at_most_once_a_minute(self, clock: ManualClock) -> None:
        store = MemoryStore()
        safety = SafetyStateManager(clock=clock, store=store)
        for _ in range(120):
            safety.apply_anomaly("AN010")
            clock.advance(timedelta(seconds=1))
        assert store.saves == 2  # the change at 0 s, one repeat at 60 s

    def test_a_rise_is_in_force_even_when_it_cannot_be_stored(self, clock: ManualClock) -> None:
        store, heard = MemoryStore(), []
        safety = SafetyStateManager(clock=clock, store=store)
        safety.add_listener(heard.append)
        store.full = True
        with pytest.raises(StorageError):
            safety.apply_fail_safe("FS020")
        assert safety.current_state is F
        assert len(heard) == 1

    def test_a_fall_that_cannot_be_stored_did_not_happen(self, clock: ManualClock) -> None:
        store, heard = MemoryStore(), []
        safety = SafetyStateManager(clock=clock, store=store)
        lock(safety)
        safety.add_listener(heard.append)
        before = safety.export_state()
        store.full = True
        with pytest.raises(StorageError):
            safety.request_recovery(**NAMED)
        assert safety.is_lockdown
        assert heard == []
        assert safety.export_state() == before
