"""Safety, which decides whether the session may trade at all: states, codes, guards."""

from qts.safety.contracts import SafetyChange, SafetyState
from qts.safety.state import SafetyStateManager

__all__ = ["SafetyChange", "SafetyState", "SafetyStateManager"]
