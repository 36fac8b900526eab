"""The operating state, which decides how boldly to trade: states, rules, hysteresis, overrides."""

from qts.state.config import StateConfig
from qts.state.contracts import (
    STATE_PROPERTIES,
    ManualOverride,
    OperatingState,
    StateProperties,
    TransitionMetrics,
    TransitionResult,
)
from qts.state.operating_state import OperatingStateManager

__all__ = [
    "STATE_PROPERTIES",
    "ManualOverride",
    "OperatingState",
    "OperatingStateManager",
    "StateConfig",
    "StateProperties",
    "TransitionMetrics",
    "TransitionResult",
]
