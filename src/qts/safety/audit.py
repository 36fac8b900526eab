"""The check of `safety-falls-by-rule` over the recorded history: safety rises freely and falls only by rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from qts.safety.contracts import SafetyAudit, SafetyCause, SafetyChange, SafetyState

_FALLS: Final = {
    (SafetyState.WARNING, SafetyCause.CLEARED),
    (SafetyState.FAIL, SafetyCause.RECOVERY),
    (SafetyState.FAIL, SafetyCause.RECOVERY_APPROVED),
    (SafetyState.LOCKDOWN, SafetyCause.RECOVERY_APPROVED),
}


def audit_history(history: Sequence[SafetyChange], state: SafetyState) -> SafetyAudit:
    """Check each change, that they follow each other without a gap, and that the last one leads to ``state``."""
    for index, change in enumerate(history):
        problem = _problem(change, history[index - 1] if index else None)
        if problem:
            return SafetyAudit(ok=False, checks=index + 1, problem=f"change {change.seq}: {problem}")
    if history and history[-1].to_state is not state:
        return SafetyAudit(
            ok=False,
            checks=len(history),
            problem=f"the state is {state.value} but the history ends in {history[-1].to_state.value}",
        )
    return SafetyAudit(ok=True, checks=len(history))


def _problem(change: SafetyChange, before: SafetyChange | None) -> str:
    if before is not None and (before.to_state is not change.from_state or before.seq + 1 != change.seq):
        return f"does not follow change {before.seq} ({before.to_state.value} → {change.from_state.value})"
    if change.to_state.severity > change.from_state.severity:
        return ""
    if change.to_state is not SafetyState.NORMAL or (change.from_state, change.cause) not in _FALLS:
        return f"{change.from_state.value} fell to {change.to_state.value} by {change.cause.value}"
    if change.cause is SafetyCause.RECOVERY_APPROVED and change.actor == "rule":
        return f"{change.from_state.value} was left without a named operator"
    return ""
