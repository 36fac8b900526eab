"""Hysteresis of the operating state: what keeps a rule whose condition holds from being applied.

In this order: override, confirmation, minimum duration, cooldown. Moving to DEFENSIVE skips the last two, never
confirmation. The functions are pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from qts.clock import NEVER_NS, NS_PER_MS, NS_PER_S
from qts.safety.contracts import SafetyState
from qts.state.config import StateConfig
from qts.state.contracts import OperatingState, PendingConfirmation, TransitionMetrics
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


def quiet_until_ns(
    rules: Sequence[TransitionRule],
    config: StateConfig,
    metrics: TransitionMetrics,
    safety: SafetyState,
    *,
    pending: PendingConfirmation | None,
    entered_ns: int,
    last_transition_ns: int | None,
) -> int:
    """Return the time (ns) before which evaluations with these ``metrics`` and ``safety`` change nothing.

    They apply no rule, and open or close no confirmation; an open one has been evaluated often enough already.

    ``rules`` are those out of the present state, in their order; ``pending`` is the confirmation after the last
    evaluation with the same values. 0: the next evaluation may change something.
    """
    until = NEVER_NS
    for rule in rules:
        days = rule.met_from_days(metrics, safety)
        if pending is not None and pending.rule == rule.name:
            if days is None or pending.evaluations < config.confirmation_cycles:
                return 0
            return min(until, _applies_from_ns(rule, config, pending, entered_ns, last_transition_ns))
        if days is not None:
            until = min(until, _after_days(entered_ns, days) if days > 0 else 0)
    return until if pending is None else 0


def _applies_from_ns(
    rule: TransitionRule,
    config: StateConfig,
    pending: PendingConfirmation,
    entered_ns: int,
    last_transition_ns: int | None,
) -> int:
    """Return from when nothing in time holds back ``rule``, which was met often enough."""
    from_ns = pending.opened_ns + round(config.confirmation_hours * HOUR_NS)
    if rule.to_state is not OperatingState.DEFENSIVE:
        from_ns = max(from_ns, _after_days(entered_ns, config.hold_days(rule.from_state)))
        if last_transition_ns is not None:
            from_ns = max(from_ns, last_transition_ns + round(config.cooldown_hours * HOUR_NS))
    return from_ns


def _after_days(entered_ns: int, days: float) -> int:
    """Return a moment just before ``days`` in the state have passed, however their quotient is rounded."""
    return entered_ns + int(days * DAY_NS) - NS_PER_MS


def _unconfirmed(
    rule: TransitionRule, config: StateConfig, now: int, pending: PendingConfirmation | None
) -> str | None:
    needed = config.confirmation_cycles
    if pending is None or pending.rule != rule.name:
        return f"confirmation_pending: 0/{needed}"
    if pending.evaluations >= needed and now - pending.opened_ns >= round(config.confirmation_hours * HOUR_NS):
        return None
    return f"confirmation_pending: {min(pending.evaluations, needed)}/{needed}"
