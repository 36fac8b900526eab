"""The operating state: how boldly do we trade? (spec 02)"""

from __future__ import annotations

from enum import Enum


class OperatingState(str, Enum):
    AGGRESSIVE = "AGGRESSIVE"
    BALANCED = "BALANCED"
    DEFENSIVE = "DEFENSIVE"
