"""The safety table: total, and exactly the answers that are required."""

from __future__ import annotations

import itertools

import pytest

from qts.safety.contracts import SafetyCause, SafetyState
from qts.safety.table import SAFETY_TABLE, AnswerKind, answer

N, W, F, L = SafetyState.NORMAL, SafetyState.WARNING, SafetyState.FAIL, SafetyState.LOCKDOWN


def test_every_state_has_an_answer_or_a_declared_refusal_for_every_cause() -> None:
    pairs = set(itertools.product(SafetyState, SafetyCause))
    assert set(SAFETY_TABLE) == pairs
    for state, cause in pairs:
        said = answer(state, cause)
        assert said.why
        assert (said.to_state is not state) == (said.kind is AnswerKind.MOVE)


@pytest.mark.parametrize(
    ("state", "warn", "fail_safe", "same_fail_safe", "halt"),
    [(N, W, F, F, L), (W, W, F, F, L), (F, F, L, F, L), (L, L, L, L, L)],
)
def test_what_goes_wrong_leads_where_it_must(
    state: SafetyState, warn: SafetyState, fail_safe: SafetyState, same_fail_safe: SafetyState, halt: SafetyState
) -> None:
    assert answer(state, SafetyCause.WARN).to_state is warn
    assert answer(state, SafetyCause.FAIL_SAFE).to_state is fail_safe
    assert answer(state, SafetyCause.FAIL_SAFE_REPEATED).to_state is same_fail_safe
    assert answer(state, SafetyCause.HALT).to_state is halt


@pytest.mark.parametrize(
    ("state", "cleared", "checked", "approved", "unfit"),
    [(N, N, N, N, N), (W, N, W, W, W), (F, F, N, N, F), (L, L, L, N, L)],
)
def test_what_gets_better_leads_where_it_must(
    state: SafetyState, cleared: SafetyState, checked: SafetyState, approved: SafetyState, unfit: SafetyState
) -> None:
    assert answer(state, SafetyCause.CLEARED).to_state is cleared
    assert answer(state, SafetyCause.RECOVERY).to_state is checked
    assert answer(state, SafetyCause.RECOVERY_APPROVED).to_state is approved
    assert answer(state, SafetyCause.RECOVERY_UNFIT).to_state is unfit


def test_only_warning_and_normal_trade_and_unknown_is_fail() -> None:
    assert [state.allows_entries for state in (N, W, F, L)] == [True, True, False, False]
    assert [state.severity for state in (N, W, F, L)] == [0, 1, 2, 3]
    assert SafetyState.of("WARNING") is W
    assert [SafetyState.of(value) for value in ("fine", None, 0, object())] == [F, F, F, F]
