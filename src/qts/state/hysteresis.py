"""Hysteresis of the operating state: what keeps a rule whose condition holds from being applied.

In this order: override, confirmation, minimum duration, cooldown. Moving to DEFENSIVE skips the last two, never
confirmation. The functions are pure.
"""

from __future__ import annotations

from typing import Final

from qts.clock import NS_PER_S
from qts.state.config import StateConfig
from qts.state.contracts import OperatingState, PendingConfirmation
from qts.state.transition import TransitionRule

DAY_NS: Final = 86_400 * NS_PER_S
HOUR_NS: Final = 3_600 * NS_PER_S

OVERRIDE_ACTIVE: Final = "manual_override_active"
COOLDOWN: Final = "cooldown_period"


def next_confirmation(
    pending: PendingConfirmation | None, rule: TransitionRule | None, now: int
) -> PendingConfirmation | None:
    """Return the confirmation window after an evaluation at ``now`` (ns): opened, continued, or None (closed)."""
    if rule is None:
        return None
    if pending is None or pending.rule != rule.name:
        return PendingConfirmation(rule.name, rule.to_state, now, 1)
    return PendingConfirmation(rule.name, rule.to_state, pending.opened_ns, pending.evaluations + 1)


def held_back_by(
    rule: TransitionRule,
    config: StateConfig,
    now: int,
    *,
    pending: PendingConfirmation | None,
    entered_ns: int,
    last_transition_ns: int | None,
    has_override: bool,
) -> tuple[str, ...]:
    """Return every reason that keeps ``rule`` from being applied at ``now`` (ns); () when nothing does."""
    reasons = [OVERRIDE_ACTIVE] if has_override else []
    if (unconfirmed := _unconfirmed(rule, config, now, pending)) is not None:
        reasons.append(unconfirmed)
    if rule.to_state is not OperatingState.DEFENSIVE:
        held = max(0, now - entered_ns) / DAY_NS
        if held < (shortest := config.hold_days(rule.from_state)):
            reasons.append(f"min_duration_not_met: {held:.4g}/{shortest:g} days")
        if last_transition_ns is not None and now - last_transition_ns < round(config.cooldown_hours * HOUR_NS):
            reasons.append(COOLDOWN)
    return tuple(reasons)


def _unconfirmed(
    rule: TransitionRule, config: StateConfig, now: int, pending: PendingConfirmation | None
) -> str | None:
    needed = config.confirmation_cycles
    if pending is None or pending.rule != rule.name:
        return f"confirmation_pending: 0/{needed}"
    if pending.evaluations >= needed and now - pending.opened_ns >= round(config.confirmation_hours * HOUR_NS):
        return None
    return f"confirmation_pending: {min(pending.evaluations, needed)}/{needed}"
