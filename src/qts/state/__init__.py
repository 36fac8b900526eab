"""How boldly do we trade? States, rules, damping, overrides (spec 02)."""

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
