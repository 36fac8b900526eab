"""Sentences for people from the reasons of the governor, which are a code and perhaps parameters behind a colon.

Records, results and programs keep the codes; every place that shows a reason to a person calls :func:`sentence`.
"""

from __future__ import annotations

from typing import Final

_ALONE: Final = {
    "no_transition_needed": "the conditions of no rule are met",
    "manual_override_active": "an operator's override is in force",
    "cooldown_period": "the cooldown after the last change is not over",
    "lockdown_released": "the lockdown was released",
    "no_override": "no override is in force",
    "override_cleared": "the override was ended by an operator",
    "override_expired": "the override has expired",
}
_BEFORE_PARAMETERS: Final = {
    "override_cleared": "the override was ended by an operator: ",
    "override_expired": "the override has expired: ",
    "manual_override": "an operator's override: ",
    "safety_forced": "forced by safety ",
    "safety_beats_override": "refused by safety: ",
}
_CONFIRMATION: Final = "confirmation_pending"
_DURATION: Final = "min_duration_not_met"


def sentence(reason: str) -> str:
    """Return ``reason`` in words; a reason without a code, such as that of a rule, is returned as it is."""
    if reason in _ALONE:
        return _ALONE[reason]
    code, colon, parameters = reason.partition(": ")
    if not colon:
        return reason
    if code in _BEFORE_PARAMETERS:
        return _BEFORE_PARAMETERS[code] + parameters
    if code == _CONFIRMATION:
        return _confirmation(parameters)
    if code == _DURATION:
        held, _, needed = parameters.partition("/")
        return f"the state has lasted {days_text(held)} days, its minimum is {needed}"
    return reason


def days_text(number: str) -> str:
    """Return a number of days without an exponent; a text that is no number as it is."""
    try:
        return f"{float(number):.4f}".rstrip("0").rstrip(".")
    except ValueError:
        return number


def _confirmation(parameters: str) -> str:
    met, _, wanted = parameters.partition("/")
    if met == wanted:
        return f"{met} of {wanted} confirming evaluations, but not over the required time yet"
    return f"{met} of {wanted} confirming evaluations"
