"""What the safety manager says in its results, and what it keeps, to the letter."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from qts.clock import ManualClock, to_ns
from qts.errors import StorageError
from qts.safety import SafetyStateManager
from qts.safety.config import SafetyConfig
from qts.safety.contracts import SafetyChange, SafetyState
from tests.safety.test_state import NAMED, START, MemoryStore

N, W, F = SafetyState.NORMAL, SafetyState.WARNING, SafetyState.FAIL
START_NS = to_ns(START)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def safety(clock: ManualClock) -> SafetyStateManager:
    return SafetyStateManager(clock=clock)


class TestReasons:
    def test_a_cause_is_named_with_its_meaning_and_its_detail(self, safety: SafetyStateManager) -> None:
        bare = safety.apply_anomaly("AN010").reason
        assert bare.endswith(": AN010 data missing")
        assert safety.apply_anomaly("AN010", "row 7").reason.endswith(": AN010 data missing: row 7")

    def test_an_end_by_time_has_no_code(self, safety: SafetyStateManager, clock: ManualClock) -> None:
        safety.apply_anomaly("AN010")
        clock.advance(timedelta(minutes=10))
        change = safety.tick()
        assert change is not None
        assert (change.code, change.actor, change.count) == ("", "rule", 0)
        assert change.reason.endswith("no cause for 10 minutes (was: AN010)")

    @pytest.mark.parametrize(
        ("asked", "told"),
        [
            ({}, "no checks were given"),
            ({"checks": {}}, "no checks were given"),
            ({"checks": False}, "the checks failed"),
            ({"checks": {"books": None, "clock": True}}, "failing or unknown: books"),
            ({"reason": "I say so"}, "I say so; no checks were given"),
            (
                {"operator_approved": True, "reason": "I say so"},
                "I say so; an approval needs operator_id and reason; no checks were given",
            ),
            ({**NAMED, "checks": {"books": False}}, "account checked at the broker; failing or unknown: books"),
        ],
    )
    def test_a_refused_recovery_says_what_is_missing(
        self, safety: SafetyStateManager, asked: dict[str, Any], told: str
    ) -> None:
        safety.apply_fail_safe("FS020")
        change = safety.request_recovery(**asked)
        assert (change.to_state, change.code) == (F, "")
        assert change.reason.partition(": ")[2] == told

    @pytest.mark.parametrize(
        ("asked", "told"),
        [
            ({"checks": True}, ""),
            ({"checks": {"books": True}}, ""),
            (NAMED, "account checked at the broker"),  # who vouches needs no checks
        ],
    )
    def test_a_granted_recovery_says_why(
        self, safety: SafetyStateManager, asked: dict[str, Any], told: str
    ) -> None:
        safety.apply_fail_safe("FS020")
        change = safety.request_recovery(**asked)
        assert change.to_state is N
        assert change.reason.partition(": ")[2] == told

    def test_where_there_is_nothing_to_recover_from_no_check_is_missing(self, safety: SafetyStateManager) -> None:
        assert ":" not in safety.request_recovery().reason


class TestSnapshot:
    def test_only_a_warning_has_a_time_at_which_it_ends(self, safety: SafetyStateManager) -> None:
        assert safety.snapshot().clears_at_ns is None
        safety.apply_fail_safe("FS020")
        assert safety.snapshot().clears_at_ns is None

    def test_a_cause_keeps_the_time_it_was_first_seen(self, safety: SafetyStateManager, clock: ManualClock) -> None:
        safety.apply_anomaly("AN010")
        clock.advance(timedelta(seconds=3))
        safety.apply_anomaly("AN010")
        (cause,) = safety.snapshot().causes
        assert (cause.first_ns, cause.last_ns, cause.count) == (START_NS, START_NS + 3_000_000_000, 2)

    def test_failures_of_a_listener_add_up(self, safety: SafetyStateManager) -> None:
        def broken(change: SafetyChange) -> None:
            raise RuntimeError("no")

        safety.add_listener(broken)
        safety.apply_anomaly("AN010")
        safety.apply_fail_safe("FS020")
        assert safety.counters["listener_failures"] == 2


class TestSettings:
    def test_a_new_limit_of_broker_failures_counts_with_those_already_seen(
        self, safety: SafetyStateManager, clock: ManualClock
    ) -> None:
        """Limit 3 becomes 4: the fourth within five minutes locks down, whatever was answered between."""
        safety.reconfigure(SafetyConfig(broker_failure_limit=4))
        for expected in (W, W, W):
            assert safety.apply_fail_safe("FS040").to_state is expected
            safety.broker_succeeded()
        assert safety.snapshot().broker_failures_in_window == 3
        assert safety.apply_fail_safe("FS040").to_state is SafetyState.LOCKDOWN

    def test_a_shorter_history_keeps_its_newest(self, safety: SafetyStateManager) -> None:
        for _ in range(6):
            safety.apply_fail_safe("FS020")
            safety.request_recovery(checks=True)
        safety.reconfigure(SafetyConfig(history_limit=10))
        assert [change.seq for change in safety.history] == list(range(3, 13))


class TestKept:
    def test_a_restart_knows_since_when_and_how_often(self, clock: ManualClock) -> None:
        store = MemoryStore()
        safety = SafetyStateManager(clock=clock, store=store)
        safety.apply_fail_safe("FS040")
        safety.apply_fail_safe("FS042")
        clock.advance(timedelta(seconds=60))
        seen = SafetyStateManager(clock=clock, store=store).snapshot()
        assert seen.since_ns == START_NS
        assert (seen.broker_failures_in_row, seen.broker_failures_in_window) == (2, 2)

    def test_what_is_exported_and_what_is_stored_says_when(self, clock: ManualClock) -> None:
        store = MemoryStore()
        safety = SafetyStateManager(clock=clock, store=store)
        safety.apply_anomaly("AN010")
        clock.advance(timedelta(seconds=5))
        assert store.snapshot is not None
        assert store.snapshot["as_of_ns"] == START_NS
        assert safety.export_state()["as_of_ns"] == START_NS + 5_000_000_000

    def test_a_repeat_is_no_row_of_the_history(self, clock: ManualClock) -> None:
        store = MemoryStore()
        safety = SafetyStateManager(clock=clock, store=store)
        safety.apply_fail_safe("FS040")
        safety.apply_fail_safe("FS042")
        assert [row["seq"] for row in store.records] == [1]

    def test_a_repeat_reaches_the_store_a_minute_after_the_last_one(self, clock: ManualClock) -> None:
        store = MemoryStore()
        safety = SafetyStateManager(clock=clock, store=store)
        safety.apply_anomaly("AN010")
        clock.advance(timedelta(seconds=59, milliseconds=999))
        safety.apply_anomaly("AN010")
        assert store.saves == 1
        clock.advance(timedelta(milliseconds=1))
        safety.apply_anomaly("AN010")
        assert store.saves == 2

    def test_after_a_release_no_failure_of_the_broker_is_in_a_row(self, clock: ManualClock) -> None:
        safety = SafetyStateManager(clock=clock)
        safety.apply_fail_safe("FS020")
        safety.apply_fail_safe("FS040")
        assert safety.request_recovery(checks=True).to_state is N
        assert safety.snapshot().broker_failures_in_row == 0

    @pytest.mark.parametrize(("known", "following"), [(7, 8), (1, 3)])
    def test_rows_that_a_checkpoint_does_not_know_keep_their_numbers(
        self, safety: SafetyStateManager, known: int, following: int
    ) -> None:
        safety.apply_anomaly("AN010")
        safety.apply_fail_safe("FS020")
        safety.continue_after(known)
        assert safety.request_recovery(checks=True).seq == following

    def test_a_rise_that_could_not_be_stored_stays_with_its_row(self, clock: ManualClock) -> None:
        store = MemoryStore()
        safety = SafetyStateManager(clock=clock, store=store)
        store.full = True
        with pytest.raises(StorageError):
            safety.apply_anomaly("AN010")
        assert [change.to_state for change in safety.history] == [W]
        assert safety.audit().ok
