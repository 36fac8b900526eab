"""Checks of a manual override: what it must be before it counts, and when safety forbids it."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from qts.clock import NS_PER_S, from_ns, to_ns
from qts.errors import ContractError
from qts.safety.contracts import SafetyState
from qts.state.contracts import ManualOverride, OperatingState

_DAY_NS: Final = 86_400 * NS_PER_S
_SKEW_NS: Final = 60 * NS_PER_S
"""Tolerance for a start in the future: the operator's machine has its own clock."""


def check_override(override: ManualOverride, now_ns: int, max_days: float) -> None:
    """Raise :class:`~qts.errors.ContractError` unless the override is complete, current and short enough.

    ``now_ns`` is nanoseconds since the epoch; ``max_days`` counts from the start of the override.
    """
    for name in ("override_reason", "operator_id"):
        value = getattr(override, name)
        if not isinstance(value, str) or not value.strip():
            raise ContractError(f"ManualOverride.{name} must say something, got {value!r}")
    _check_state("override_state", override.override_state)
    if override.auto_revert_state is not None:
        _check_state("auto_revert_state", override.auto_revert_state)
    start = _moment("override_time", override.override_time)
    end = _moment("expiry_time", override.expiry_time)
    if start > now_ns + _SKEW_NS:
        raise ContractError(
            f"ManualOverride.override_time {override.override_time} is after now ({from_ns(now_ns)})"
        )
    if end <= max(start, now_ns):
        raise ContractError(
            f"ManualOverride.expiry_time {override.expiry_time} is not after its start and now ({from_ns(now_ns)})"
        )
    if end - start > round(max_days * _DAY_NS):
        days = (end - start) / _DAY_NS
        raise ContractError(
            f"ManualOverride lasts {days:.4g} days; at most {max_days:g} are allowed: shorten expiry_time"
        )


def override_refusal(override: ManualOverride, state: OperatingState, safety: SafetyState) -> str:
    """Return why safety forbids the override, "" when it does not.

    FAIL and LOCKDOWN forbid every override, WARNING one to a bolder state.
    """
    if not safety.allows_entries:
        return f"safety_beats_override: {safety.value}"
    if safety is not SafetyState.NORMAL and override.override_state.boldness > state.boldness:
        return f"safety_beats_override: {safety.value} allows nothing bolder than {state.value}"
    return ""


def _check_state(name: str, value: object) -> None:
    if not isinstance(value, OperatingState):
        raise ContractError(f"ManualOverride.{name} must be an OperatingState, got {value!r}")


def _moment(name: str, value: object) -> int:
    if not isinstance(value, datetime):
        raise ContractError(f"ManualOverride.{name} must be an aware datetime, got {value!r}")
    return to_ns(value)
