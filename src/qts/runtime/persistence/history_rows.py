"""Turns refusals, safety causes and state transitions into the rows that explain a decision afterwards."""

from __future__ import annotations

import msgspec

from qts.db.contracts import RefusalRow, SafetyRow, StateRow
from qts.risk.contracts import Refused
from qts.safety.contracts import SafetyChange
from qts.state.contracts import TransitionRecord


def refusal_row(refused: Refused) -> RefusalRow:
    """Return the row of a refusal, with the guardrail's code in its text.

    The code is not reported to safety: a refused intent is no danger. Otherwise a strategy that repeats its intent
    in DEFENSIVE would keep safety in WARNING, and the way up, which requires NORMAL, would never open.
    """
    request = refused.request
    return RefusalRow(
        decision_id=request.decision_id,
        ts_ns=request.ts_ns,
        strategy=request.strategy,
        symbol=request.symbol,
        side=request.side,
        reason=refused.reason.value,
        detail=with_code(refused.code, refused.detail) if refused.code else refused.detail,
    )


def safety_text(change: SafetyChange) -> str:
    """Return a safety cause in one line: the move, its code, the reason and the actor."""
    before, after = change.from_state.value, change.to_state.value
    moved = f"{before} -> {after}" if before != after else f"stays {after}"
    return f"{moved}: {with_code(change.code, change.reason)} ({change.actor})"


def with_code(code: str, reason: str) -> str:
    """Return the reason with its code in front, unless it contains the code."""
    return reason if code in reason else f"{code} {reason}"


def safety_row(change: SafetyChange) -> SafetyRow:
    """Return the row of a safety cause."""
    return SafetyRow(
        seq=change.seq,
        ts_ns=change.ts_ns,
        from_state=change.from_state.value,
        to_state=change.to_state.value,
        code=change.code,
        actor=change.actor,
        reason=change.reason,
    )


def state_row(record: TransitionRecord) -> StateRow:
    """Return the row of a transition of the operating state."""
    meta = {**record.meta, "actor": record.actor, "kind": record.kind.value}
    return StateRow(
        seq=record.seq,
        ts_ns=record.ts_ns,
        from_state=record.from_state.value,
        to_state=record.to_state.value,
        reason=record.reason,
        meta=msgspec.json.encode(meta).decode(),
    )
