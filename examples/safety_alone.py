"""Only the safety states: an anomaly warns, a fail-safe stops entries, a second one locks, an operator releases."""

from datetime import UTC, datetime

from qts.clock import ManualClock
from qts.safety import SafetyStateManager


def main():
    safety = SafetyStateManager(clock=ManualClock(datetime(2026, 1, 23, tzinfo=UTC)))
    for what, change in (
        ("a price jump", lambda: safety.apply_anomaly("AN001")),
        ("a late broker", lambda: safety.apply_fail_safe("FS093")),
        ("the same again", lambda: safety.apply_fail_safe("FS093")),
        ("position ≠ ledger", lambda: safety.apply_fail_safe("FS070")),
        ("recovery by itself", lambda: safety.request_recovery()),
    ):
        answer = change()
        print(f"{what:20} {answer.from_state.value:8} → {answer.to_state.value:8} {answer.reason}")
    released = safety.request_recovery(operator_approved=True, operator_id="kim", reason="books reconciled by hand")
    print(f"{'an operator':20} {released.from_state.value:8} → {released.to_state.value:8} {released.reason}")
    print("entries allowed:", safety.is_trading_allowed)


if __name__ == "__main__":
    main()
