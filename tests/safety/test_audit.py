"""The audit of `safety-falls-by-rule` over the recorded history finds what it must find."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from qts.clock import ManualClock
from qts.safety import SafetyStateManager
from qts.safety.audit import audit_history
from qts.safety.contracts import SafetyAudit, SafetyCause, SafetyChange, SafetyState

N, W, F, L = SafetyState.NORMAL, SafetyState.WARNING, SafetyState.FAIL, SafetyState.LOCKDOWN


def change(
    seq: int, before: SafetyState, after: SafetyState, cause: SafetyCause, actor: str = "rule"
) -> SafetyChange:
    return SafetyChange(before, after, cause, "", "why", seq, actor, 0, seq)


def test_a_history_made_by_the_manager_is_sound() -> None:
    clock = ManualClock(datetime(2026, 1, 23, tzinfo=UTC))
    safety = SafetyStateManager(clock=clock)
    assert safety.audit().ok
    assert safety.audit().checks == 0
    safety.apply_anomaly("AN001")
    clock.advance(timedelta(minutes=10))
    safety.tick()
    safety.apply_fail_safe("FS020")
    safety.request_recovery(checks=True)
    safety.apply_fail_safe("FS104")
    safety.request_recovery(operator_approved=True, operator_id="kim", reason="ok")
    assert safety.audit() == msgspec.structs.replace(safety.audit(), ok=True, checks=6, problem="")


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (change(1, L, N, SafetyCause.RECOVERY, "kim"), "LOCKDOWN fell to NORMAL by RECOVERY"),
        (change(1, L, N, SafetyCause.RECOVERY_APPROVED), "without a named operator"),
        (change(1, L, N, SafetyCause.CLEARED), "LOCKDOWN fell to NORMAL by CLEARED"),
        (change(1, L, F, SafetyCause.RECOVERY_APPROVED, "kim"), "LOCKDOWN fell to FAIL"),
        (change(1, F, N, SafetyCause.CLEARED), "FAIL fell to NORMAL by CLEARED"),
        (change(1, W, N, SafetyCause.RECOVERY), "WARNING fell to NORMAL by RECOVERY"),
        (change(1, W, W, SafetyCause.WARN), "WARNING fell to WARNING by WARN"),  # what does not move is no change
    ],
)
def test_a_fall_against_the_rules_is_found(bad: SafetyChange, problem: str) -> None:
    audit = audit_history([bad], bad.to_state)
    assert (audit.ok, audit.checks) == (False, 1)
    assert problem in audit.problem


def test_a_gap_a_missing_change_and_a_wrong_end_are_found() -> None:
    first = change(1, N, W, SafetyCause.WARN)
    assert not audit_history([first, change(2, F, L, SafetyCause.FAIL_SAFE)], L).ok
    assert not audit_history([first, change(3, W, F, SafetyCause.FAIL_SAFE)], F).ok
    assert audit_history([first], N) == SafetyAudit(
        ok=False, checks=1, problem="the state is NORMAL but the history ends in WARNING"
    )
    assert audit_history([first, change(2, W, F, SafetyCause.FAIL_SAFE)], F).ok
