"""What pauses priorities: the safety state, and pressure.

A filling queue first gets larger batches, then the priorities below it pause until it has recovered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from qts.event.config import Backpressure, BackpressureThreshold
from qts.event.contracts import DegradationLevel, EventPriority
from qts.event.work import PriorityLevel
from qts.safety.contracts import SafetyState

BATCH_GROWTH: Final = 4
"""How many times larger batches get from the warning on."""
SAFETY_TO_DEGRADATION: Final[Mapping[SafetyState, DegradationLevel]] = dict(
    zip(SafetyState, DegradationLevel, strict=True)
)
"""NORMAL, WARNING, FAIL, LOCKDOWN pause nothing, P3, P2 and P3, all but P0 (spec 01)."""
_P1, _P2, _P3 = EventPriority.P1_HIGH, EventPriority.P2_MEDIUM, EventPriority.P3_LOW


class _Gauge:
    """One queue's pressure: pauses at critical, lets go only below warning, so that nothing flaps."""

    __slots__ = ("pausing", "threshold", "warned")

    def __init__(self, threshold: BackpressureThreshold) -> None:
        self.threshold = threshold
        self.warned = self.pausing = False

    def read(self, utilization: float) -> None:
        self.warned = utilization >= self.threshold.warning
        self.pausing = utilization >= self.threshold.critical or (self.pausing and self.warned)


class BackpressureGuard:
    """Watches P1 and P2. ``floor`` is the lowest priority that pressure leaves running."""

    def __init__(self, config: Backpressure) -> None:
        self.reconfigure(config)

    def reconfigure(self, config: Backpressure) -> None:
        self._gauges = {_P1: _Gauge(config.p1), _P2: _Gauge(config.p2)}
        self.floor = int(_P3)

    def read(self, levels: Sequence[PriorityLevel]) -> bool:
        """Look at the depths; whether ``floor`` changed."""
        before, self.floor = self.floor, int(_P3)
        for priority, gauge in reversed(self._gauges.items()):
            gauge.read(levels[priority].queue.utilization())
            if gauge.pausing:
                self.floor = int(priority)
        return self.floor != before

    def batch_factor(self, priority: EventPriority) -> int:
        """By how much batches of ``priority`` are larger than configured at present."""
        gauge = self._gauges.get(priority)
        return BATCH_GROWTH if gauge is not None and gauge.warned else 1
