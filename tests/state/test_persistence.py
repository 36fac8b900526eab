"""What the governor remembers over a restart: state, age, open window, override, history."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.clock import ManualClock
from qts.errors import StorageError
from qts.safety import SafetyState, SafetyStateManager
from qts.state import ManualOverride, OperatingState, OperatingStateManager, TransitionMetrics
from qts.state.store import FileStateStore

A, B, D = OperatingState.AGGRESSIVE, OperatingState.BALANCED, OperatingState.DEFENSIVE
START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
CALM, STORM = TransitionMetrics(), TransitionMetrics(vix=31.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


def started(path: Path, at: datetime, **first: Any) -> tuple[OperatingStateManager, ManualClock]:
    clock = ManualClock(at)
    return OperatingStateManager(clock=clock, store=FileStateStore(path), **first), clock


def test_the_age_of_the_state_is_not_reset_by_a_restart(path: Path) -> None:
    started(path, START, initial_state=A)
    again, _ = started(path, START + timedelta(days=6), initial_state=D)
    assert again.current_state is A  # the initial state counts only the very first time
    assert again.state_duration_days == 6


def test_an_open_window_goes_on_over_a_restart(path: Path) -> None:
    first, _ = started(path, START)
    first.evaluate_transition(STORM, SafetyState.NORMAL)
    again, _ = started(path, START + timedelta(hours=2))
    result = again.evaluate_transition(STORM, SafetyState.NORMAL)
    assert (result.applied, result.to_state) == (True, D)


def test_cooldown_goes_on_over_a_restart(path: Path) -> None:
    first, _ = started(path, START)
    first.apply_safety_override(SafetyState.FAIL)
    again, _ = started(path, START + timedelta(hours=23))
    assert again.get_snapshot().cooldown_until == START + timedelta(hours=24)
    assert again.previous_state is B


def test_an_override_goes_on_and_ends_at_its_time_over_a_restart(path: Path) -> None:
    first, _ = started(path, START)
    end = START + timedelta(days=2)
    first.apply_override(ManualOverride(D, "election", "kim", START, end, B))
    again, clock = started(path, START + timedelta(days=1))
    assert again.has_override
    assert again.current_state is D
    clock.set(end)
    assert again.current_state is B
    third, _ = started(path, START + timedelta(days=9))
    assert third.state_duration_days == 7
    assert [record.reason for record in third.history] == ["manual_override: election", "override_expired"]


def test_a_halt_survives_and_the_release_after_it_is_careful(path: Path) -> None:
    first, _ = started(path, START, initial_state=A)
    first.apply_safety_override(SafetyState.LOCKDOWN)
    again, _ = started(path, START + timedelta(days=1))
    assert again.is_halted
    again.evaluate_transition(CALM, SafetyState.NORMAL)
    assert again.current_state is B


def test_history_counts_and_last_metrics_come_back(path: Path) -> None:
    first, clock = started(path, START)
    for _ in range(3):
        first.evaluate_transition(TransitionMetrics(vix=31.0, cagr=float("nan")), SafetyState.NORMAL)
        clock.advance(timedelta(hours=1))
    again, _ = started(path, clock.now())
    assert again.history[0].reason == first.history[0].reason
    assert again.statistics().transitions_total == 1
    assert again.statistics().days_in_state == first.statistics().days_in_state
    vix = next(clause for clause in again.forecast()[0].clauses if clause.name == "vix")
    assert vix.value == 31.0


def test_nothing_new_is_not_written_again(path: Path) -> None:
    manager, clock = started(path, START)
    manager.evaluate_transition(CALM, SafetyState.NORMAL)
    written = path.stat().st_mtime_ns, path.read_bytes()
    clock.advance(timedelta(hours=1))
    manager.evaluate_transition(CALM, SafetyState.NORMAL)
    manager.apply_safety_override(SafetyState.NORMAL)
    assert (path.stat().st_mtime_ns, path.read_bytes()) == written


def test_the_state_goes_through_plain_values_and_back() -> None:
    clock = ManualClock(START)
    manager = OperatingStateManager(clock=clock)
    manager.apply_override(ManualOverride(A, "why", "kim", START, START + timedelta(days=1), D))
    manager.evaluate_transition(STORM, SafetyState.WARNING)
    plain = msgspec.msgpack.decode(msgspec.msgpack.encode(manager.export_state()))
    other = OperatingStateManager(clock=clock)
    other.restore_state(plain)
    assert other.export_state() == manager.export_state()
    clock.advance(timedelta(days=1))
    assert (other.current_state, manager.current_state) == (D, D)


@pytest.mark.parametrize("stored", [{}, {"state": "RELAXED"}, {"nonsense": 1}])
def test_a_state_that_cannot_be_read_is_an_error(stored: dict[str, Any]) -> None:
    with pytest.raises(StorageError, match="stored operating state cannot be read"):
        OperatingStateManager().restore_state(stored)


def test_safety_and_operating_state_share_the_directory(tmp_path: Path) -> None:
    clock = ManualClock(START)
    SafetyStateManager(clock=clock, store=FileStateStore(tmp_path / "safety.json")).apply_fail_safe("FS104")
    state = OperatingStateManager(clock=clock, store=FileStateStore(tmp_path / "state.json"))
    assert SafetyStateManager(clock=clock, store=FileStateStore(tmp_path / "safety.json")).is_lockdown
    again = OperatingStateManager(clock=clock, store=FileStateStore(tmp_path / "state.json"))
    assert again.current_state is state.current_state


_GOVERNOR = """
import sys
from pathlib import Path
from datetime import UTC, datetime, timedelta
from qts.clock import ManualClock
from qts.safety import SafetyState, SafetyStateManager
from qts.state import OperatingStateManager, TransitionMetrics
from qts.state.store import FileStateStore
root = Path(sys.argv[1])
clock = ManualClock(datetime(2026, 1, 5, 9, tzinfo=UTC))
state = OperatingStateManager(clock=clock, store=FileStateStore(root / "state.json"))
safety = SafetyStateManager(clock=clock, store=FileStateStore(root / "safety.json"))
safety.apply_fail_safe("FS104")
number = 0
while True:
    state.apply_safety_override(SafetyState.FAIL)
    state.evaluate_transition(TransitionMetrics(), SafetyState.NORMAL)
    clock.advance(timedelta(days=6))
    good = TransitionMetrics(consecutive_profitable_days=3)
    state.evaluate_transition(good, SafetyState.NORMAL)
    clock.advance(timedelta(hours=2))
    state.evaluate_transition(good, SafetyState.NORMAL)
    print(state.history[-1].seq, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs kill -9")
@pytest.mark.parametrize("rounds", [1, 9])
def test_kill_minus_nine_keeps_lockdown_and_every_answered_transition(tmp_path: Path, rounds: int) -> None:
    with subprocess.Popen([sys.executable, "-c", _GOVERNOR, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(rounds):
            answered = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        answered = ([answered] + [int(line) for line in process.stdout.read().splitlines()])[-1]
    assert SafetyStateManager(store=FileStateStore(tmp_path / "safety.json")).is_lockdown
    state = OperatingStateManager(store=FileStateStore(tmp_path / "state.json"))
    assert answered >= 2 * rounds
    assert answered <= state.history[-1].seq <= answered + 2
    assert state.current_state is state.history[-1].to_state
    seqs = [record.seq for record in state.history]
    assert seqs == list(range(seqs[0], seqs[-1] + 1))
