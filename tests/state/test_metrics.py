"""StateMetrics: the operating state as Prometheus reads it, with what would move it next."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from qts.clock import ManualClock
from qts.errors import MissingExtraError
from qts.safety.contracts import SafetyState
from qts.state.contracts import OperatingState, TransitionMetrics
from qts.state.metrics import StateMetrics
from qts.state.operating_state import OperatingStateManager

START = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture
def registry() -> CollectorRegistry:
    """Two days BALANCED, then FAIL forces DEFENSIVE, then a day there with a VIX of 25."""
    clock = ManualClock(START)
    manager = OperatingStateManager(initial_state=OperatingState.BALANCED, clock=clock)
    clock.advance(timedelta(days=2))
    manager.apply_safety_override(SafetyState.FAIL)
    clock.advance(timedelta(days=1))
    manager.evaluate_transition(TransitionMetrics(drawdown_pct=0.01, vix=25.0), SafetyState.NORMAL)
    made = CollectorRegistry()
    made.register(StateMetrics(manager))
    return made


def test_the_state_in_force_and_the_time_in_each(registry: CollectorRegistry) -> None:
    def read(name: str, state: str) -> float | None:
        return registry.get_sample_value(name, {"state": state})

    states = [read("qts_operating_state", one.value) for one in OperatingState]
    assert states == [0, 0, 1]
    assert read("qts_operating_state_days", "BALANCED") == 2
    assert read("qts_operating_state_days", "DEFENSIVE") == 1
    assert registry.get_sample_value("qts_operating_state_held_days") == 1


def test_transitions_are_counted_and_the_forced_among_them(registry: CollectorRegistry) -> None:
    assert registry.get_sample_value("qts_state_transitions_total") == 1
    assert registry.get_sample_value("qts_state_forced_transitions_total") == 1
    assert registry.get_sample_value("qts_state_transitions_30d") == 1
    assert registry.get_sample_value("qts_state_average_stay_days") == 2
    assert registry.get_sample_value("qts_operating_state_override") == 0


def test_what_would_move_it_next_is_shown_clause_by_clause(registry: CollectorRegistry) -> None:
    rule = "DefensiveToBalanced"
    assert registry.get_sample_value("qts_state_rule_met", {"rule": rule, "to_state": "BALANCED"}) == 0
    drawdown, vix = ({"rule": rule, "clause": name} for name in ("drawdown_pct", "vix"))
    assert registry.get_sample_value("qts_state_clause_holds", drawdown) == 1
    assert registry.get_sample_value("qts_state_clause_holds", vix) == 0
    assert registry.get_sample_value("qts_state_clause_gap", vix) == pytest.approx(-5.0)  # 25 has to fall to 20


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtraError, match=r"of qts-runtime: .*'\.\[metrics\]'"):
        StateMetrics(OperatingStateManager())
