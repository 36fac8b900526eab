"""May we trade at all? States, codes, guards (spec 02)."""

from qts.safety.contracts import SafetyChange, SafetyState
from qts.safety.state import SafetyStateManager

__all__ = ["SafetyChange", "SafetyState", "SafetyStateManager"]
