"""The safety manager as a state machine: any sequence of calls and restarts against a small independent model."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from qts.clock import ManualClock
from qts.safety import SafetyStateManager
from qts.safety.contracts import SafetyState
from tests.effort import examples

WARNINGS = ["AN001", "AN010", "GR001", "GR010", "FS102", "GR999"]
FAILURES = ["FS020", "FS030", "FS070", "FS999"]
HALTS = ["FS104", "FS080"]


class Store:
    def __init__(self) -> None:
        self.snapshot: dict[str, Any] | None = None
        self.records: list[Any] = []

    def load(self) -> dict[str, Any] | None:
        return None if self.snapshot is None else {**self.snapshot, "history": list(self.records)}

    def save(self, snapshot: Any, record: Any = None) -> None:
        self.snapshot = dict(snapshot)
        if record is not None:
            self.records.append(record)


class SafetyMachine(RuleBasedStateMachine):
    """The model: severity as a number, the code that failed us, minutes since the last cause."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(datetime(2026, 1, 23, tzinfo=UTC))
        self.store = Store()
        self.safety = SafetyStateManager(clock=self.clock, store=self.store)
        self.level = 0
        self.failed_by: set[str] = set()
        self.quiet_minutes = 0
        self.heard = 0

    def model_clears(self) -> None:
        if self.level == 1 and self.quiet_minutes >= 10:
            self.level = 0

    @rule(code=st.sampled_from(WARNINGS))
    def warn(self, code: str) -> None:
        self.safety.apply_code(code)
        self.model_clears()
        self.level = max(self.level, 1)
        self.quiet_minutes = 0

    @rule(code=st.sampled_from(FAILURES))
    def fail(self, code: str) -> None:
        self.safety.apply_fail_safe(code)
        self.model_clears()
        if self.level < 2:
            self.level, self.failed_by = 2, {code}
        elif self.level == 2 and code not in self.failed_by:
            self.level = 3
        self.quiet_minutes = 0

    @rule(code=st.sampled_from(HALTS))
    def halt(self, code: str) -> None:
        self.safety.apply_fail_safe(code)
        self.level = 3

    @rule(minutes=st.integers(1, 12))
    def wait(self, minutes: int) -> None:
        self.clock.advance(timedelta(minutes=minutes))
        self.quiet_minutes += minutes
        self.safety.tick()
        self.model_clears()

    @rule(good=st.sampled_from([True, False, None]), named=st.booleans())
    def recover(self, good: bool | None, named: bool) -> None:
        who = {"operator_approved": True, "operator_id": "kim", "reason": "looked"} if named else {}
        self.safety.request_recovery(**who, checks=good)  # type: ignore[arg-type]
        allowed = (self.level == 2 and (good or (named and good is None))) or (
            self.level == 3 and named and good is not False
        )
        if allowed:
            self.level, self.failed_by = 0, set()

    @rule()
    def restart(self) -> None:
        if self.store.snapshot is not None and not self.unsaved_repeat():
            self.safety = SafetyStateManager(clock=self.clock, store=self.store)

    def unsaved_repeat(self) -> bool:
        """A repeat inside the same minute may be lost by a crash; the model does not follow that."""
        assert self.store.snapshot is not None
        stored = {cause["code"]: cause["last_ns"] for cause in self.store.snapshot["causes"]}
        return stored != {cause.code: cause.last_ns for cause in self.safety.snapshot().causes}

    @invariant()
    def agrees_with_the_model(self) -> None:
        assert self.safety.current_state.severity == self.level
        assert self.safety.is_trading_allowed == (self.level < 2)
        assert self.safety.is_lockdown == (self.level == 3)

    @invariant()
    def lockdown_would_survive_a_crash_now(self) -> None:
        if self.safety.is_lockdown:
            assert SafetyStateManager(clock=self.clock, store=self.store).current_state is SafetyState.LOCKDOWN

    @invariant()
    def the_history_is_sound(self) -> None:
        audit = self.safety.audit()
        assert audit.ok, audit.problem


SafetyMachine.TestCase.settings = settings(
    max_examples=examples(40, whole=80), stateful_step_count=40, deadline=None
)
TestSafetyMachine = SafetyMachine.TestCase
