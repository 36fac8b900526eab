"""The safety table: every state × cause has one answer.

It is the only place that decides where safety moves; a test proves it total.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

import msgspec

from qts.safety.contracts import SafetyCause, SafetyState

N, W, F, L = SafetyState.NORMAL, SafetyState.WARNING, SafetyState.FAIL, SafetyState.LOCKDOWN
_C = SafetyCause


class AnswerKind(str, Enum):
    """The kinds of answers: move, stay, or refuse a recovery."""

    MOVE = "MOVE"
    STAY = "STAY"
    REFUSE = "REFUSE"  # a recovery was requested that the rules do not give


class Answer(msgspec.Struct, frozen=True):
    """The state that a cause leads to, whether that is a move, and the sentence with the reason."""

    to_state: SafetyState
    kind: AnswerKind
    why: str


def answer(state: SafetyState, cause: SafetyCause) -> Answer:
    """Return the table's answer; there is one for every pair."""
    return SAFETY_TABLE[state, cause]


def _move(to: SafetyState, why: str) -> Answer:
    return Answer(to, AnswerKind.MOVE, why)


def _stay(state: SafetyState, why: str) -> Answer:
    return Answer(state, AnswerKind.STAY, why)


def _refuse(state: SafetyState, why: str) -> Answer:
    return Answer(state, AnswerKind.REFUSE, why)


_LOCKED: Final = "LOCKDOWN stays until an operator releases it"
_NOT_CLEARED: Final = "WARNING ends only after the clear time without any cause"

SAFETY_TABLE: Final[Mapping[tuple[SafetyState, SafetyCause], Answer]] = MappingProxyType(
    {
        (N, _C.WARN): _move(W, "anomaly or guardrail"),
        (N, _C.FAIL_SAFE): _move(F, "fail-safe"),
        (N, _C.FAIL_SAFE_REPEATED): _move(F, "fail-safe"),
        (N, _C.HALT): _move(L, "lockdown cause"),
        (N, _C.CLEARED): _stay(N, "nothing to clear"),
        (N, _C.RECOVERY): _stay(N, "nothing to recover from"),
        (N, _C.RECOVERY_APPROVED): _stay(N, "nothing to recover from"),
        (N, _C.RECOVERY_UNFIT): _stay(N, "nothing to recover from"),
        (W, _C.WARN): _stay(W, "already warned"),
        (W, _C.FAIL_SAFE): _move(F, "fail-safe"),
        (W, _C.FAIL_SAFE_REPEATED): _move(F, "fail-safe"),
        (W, _C.HALT): _move(L, "lockdown cause"),
        (W, _C.CLEARED): _move(N, "the cause has cleared"),
        (W, _C.RECOVERY): _refuse(W, _NOT_CLEARED),
        (W, _C.RECOVERY_APPROVED): _refuse(W, _NOT_CLEARED),
        (W, _C.RECOVERY_UNFIT): _refuse(W, _NOT_CLEARED),
        (F, _C.WARN): _stay(F, "already failed; a warning adds nothing"),
        (F, _C.FAIL_SAFE): _move(L, "a second, different fail-safe while in FAIL"),
        (F, _C.FAIL_SAFE_REPEATED): _stay(F, "the same fail-safe again: counted, not doubled"),
        (F, _C.HALT): _move(L, "lockdown cause"),
        (F, _C.CLEARED): _stay(F, "FAIL does not end by time"),
        (F, _C.RECOVERY): _move(N, "the recovery conditions hold"),
        (F, _C.RECOVERY_APPROVED): _move(N, "an operator vouches for the recovery"),
        (F, _C.RECOVERY_UNFIT): _refuse(F, "the recovery conditions do not hold"),
        (L, _C.WARN): _stay(L, _LOCKED),
        (L, _C.FAIL_SAFE): _stay(L, _LOCKED),
        (L, _C.FAIL_SAFE_REPEATED): _stay(L, _LOCKED),
        (L, _C.HALT): _stay(L, _LOCKED),
        (L, _C.CLEARED): _stay(L, _LOCKED),
        (L, _C.RECOVERY): _refuse(L, "LOCKDOWN needs an operator's approval with name and reason"),
        (L, _C.RECOVERY_APPROVED): _move(N, "released by an operator"),
        (L, _C.RECOVERY_UNFIT): _refuse(L, "LOCKDOWN needs an operator's approval, and no failing check"),
    }
)
