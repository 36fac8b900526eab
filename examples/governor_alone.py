"""Only the operating-state governor: fear rises, two confirmations two hours apart, and it turns defensive."""

from datetime import UTC, datetime, timedelta

from qts.clock import ManualClock
from qts.safety import SafetyState
from qts.state import OperatingState, OperatingStateManager, TransitionMetrics


def main():
    clock = ManualClock(datetime(2018, 2, 6, 0, 0, tzinfo=UTC))
    governor = OperatingStateManager(clock=clock, initial_state=OperatingState.BALANCED)
    fear = TransitionMetrics(vix=37.3, drawdown_pct=0.08)

    for _ in range(3):
        answer = governor.evaluate_transition(fear, SafetyState.NORMAL)
        print(f"{clock.now():%H:%M}  {answer.from_state.value} → {answer.to_state.value}: {answer.reason}")
        clock.advance(timedelta(hours=1))

    allowed = governor.properties
    print(f"now {governor.current_state.value}: entries {'allowed' if allowed.new_entry_enabled else 'refused'},")
    print(f"at most {allowed.max_positions} positions, limits × {allowed.risk_tolerance_multiplier}")
    for rule in governor.forecast():
        print(f"next could come {rule.rule} → {rule.to_state.value}, if {rule.mode} of these hold:")
        for clause in rule.clauses:
            print(f"    {'yes' if clause.holds else 'no '}  {clause.text}")


if __name__ == "__main__":
    main()
