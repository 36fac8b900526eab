"""The life of an execution: every state and every update has an answer, and no way leads out of an end."""

from __future__ import annotations

from itertools import product

import pytest

from qts.execution.states import (
    EXECUTION_TABLE,
    FINAL,
    LIMITS,
    Barred,
    ExecutionState,
    ExecutionUpdate,
    next_execution_state,
)

S, U = ExecutionState, ExecutionUpdate


@pytest.mark.parametrize(("state", "update"), list(product(S, U)))
def test_every_state_answers_every_update(state: S, update: U) -> None:
    answer = next_execution_state(state, update)

    assert isinstance(answer, ExecutionState) or (isinstance(answer, Barred) and answer.reason)


def test_the_table_has_no_other_states_and_updates() -> None:
    assert set(EXECUTION_TABLE) == set(S)
    assert all(set(row) == set(U) for row in EXECUTION_TABLE.values())


@pytest.mark.parametrize("state", [state for state in S if state not in FINAL])
def test_escaping_is_one_step_from_everywhere_that_is_not_an_end(state: S) -> None:
    assert next_execution_state(state, U.ESCAPE) is S.ESCAPING


@pytest.mark.parametrize(("state", "update"), list(product(sorted(FINAL), U)))
def test_nothing_leaves_an_end_and_late_fills_are_taken(state: S, update: U) -> None:
    answer = next_execution_state(state, update)

    assert answer is state if update is U.LATE_FILL else isinstance(answer, Barred)


def test_an_escape_ends_flat_and_in_no_other_way() -> None:
    ends = {update for update in U if next_execution_state(S.ESCAPING, update) in FINAL}

    assert ends == {U.FLAT}
    assert next_execution_state(S.ESCAPING, U.FLAT) is S.ESCAPED


@pytest.mark.parametrize("state", [S.MONITORING, S.ADJUSTING])
def test_what_was_sent_cannot_fail_as_if_nothing_had_left(state: S) -> None:
    reached = {next_execution_state(state, update) for update in U}

    assert S.FAILED not in {one for one in reached if isinstance(one, ExecutionState)}


def test_the_way_of_an_execution_that_fills() -> None:
    way = [U.BEGUN, U.PASSED, U.PLANNED, U.SENT, U.SLOW, U.ADJUSTED, U.NEXT_PART, U.SENT, U.DONE]

    state, seen = S.INIT, []
    for update in way:
        step = next_execution_state(state, update)
        assert isinstance(step, ExecutionState)
        state = step
        seen.append(state)

    assert seen == [
        S.PRECHECK, S.SPLITTING, S.SENDING, S.MONITORING, S.ADJUSTING, S.MONITORING, S.SENDING, S.MONITORING,
        S.COMPLETE,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("state", "setting", "leads_to", "code"),
    [
        (S.PRECHECK, "precheck_ms", S.FAILED, ""),
        (S.SPLITTING, "split_ms", S.FAILED, ""),
        (S.SENDING, "send_ms", S.ESCAPING, "FS090"),
        (S.MONITORING, "monitor_ms", S.ADJUSTING, "GR064"),
        (S.ADJUSTING, "adjust_ms", S.ESCAPING, "FS093"),
        (S.ESCAPING, "escape_ms", S.ESCAPING, "FS092"),
    ],
)
def test_a_state_that_lasts_too_long_leads_on(state: S, setting: str, leads_to: S, code: str) -> None:
    limit = LIMITS[state]

    assert (limit.name, next_execution_state(state, limit.update), limit.code) == (setting, leads_to, code)


def test_every_state_that_is_no_end_has_a_limit_but_the_first() -> None:
    assert set(LIMITS) == set(S) - FINAL - {S.INIT}
