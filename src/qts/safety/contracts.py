"""Safety: may we trade at all? (spec 02)"""

from __future__ import annotations

from enum import Enum


class SafetyState(str, Enum):
    NORMAL = "NORMAL"
    WARNING = "WARNING"
    FAIL = "FAIL"
    LOCKDOWN = "LOCKDOWN"

    @property
    def severity(self) -> int:
        """0 for NORMAL … 3 for LOCKDOWN."""
        return _ORDER.index(self)

    @property
    def allows_entries(self) -> bool:
        """NORMAL and WARNING trade; FAIL and LOCKDOWN only cancel and liquidate."""
        return self in (SafetyState.NORMAL, SafetyState.WARNING)


_ORDER = (SafetyState.NORMAL, SafetyState.WARNING, SafetyState.FAIL, SafetyState.LOCKDOWN)
