"""Pauses of priorities: by the safety state, and by the pressure of a queue that fills.

A filling queue first gets larger batches, then the priorities below it pause until it has recovered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from qts.errors import ContractError
from qts.event.config import Backpressure, BackpressureThreshold, EventConfig
from qts.event.contracts import DegradationLevel, EventPriority
from qts.event.scheduler import Scheduler
from qts.event.work import PriorityLevel
from qts.safety.contracts import SafetyState

BATCH_GROWTH: Final = 4
"""How many times larger batches get from the warning on."""
SAFETY_TO_DEGRADATION: Final[Mapping[SafetyState, DegradationLevel]] = dict(
    zip(SafetyState, DegradationLevel, strict=True)
)
"""NORMAL, WARNING, FAIL, LOCKDOWN pause nothing, P3, P2 and P3, all but P0."""
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


class Pauses:
    """Keeps the scheduler's floor: the higher of what degradation and pressure leave running.

    ``degradation`` is the level in force. ``on_change`` is called after each change of the floor.
    """

    def __init__(self, config: EventConfig, scheduler: Scheduler) -> None:
        self.degradation = DegradationLevel.NORMAL
        self.on_change: Callable[[], None] = lambda: None
        self._scheduler = scheduler
        self._pressure = BackpressureGuard(config.backpressure)

    @property
    def lowest_allowed(self) -> EventPriority:
        """The lowest priority that degradation leaves running, whatever the pressure."""
        return self.degradation.lowest_allowed

    def degrade(self, level: DegradationLevel) -> None:
        """Pause the priorities below ``level`` and no others."""
        self.degradation = DegradationLevel(level)
        self._set_floor()

    def apply(self, state: SafetyState) -> DegradationLevel:
        """Take the level that belongs to a safety state.

        Anything that is no safety state pauses all but P0 and raises ContractError: unknown is never fine.
        """
        level = SAFETY_TO_DEGRADATION.get(state) if isinstance(state, SafetyState) else None
        self.degrade(level or DegradationLevel.CRITICAL_ONLY)
        if level is None:
            raise ContractError(
                f"{state!r} is no safety state (allowed: {', '.join(SafetyState)}); only P0 runs now"
            )
        return level

    def check_pressure(self) -> None:
        """Look at the depths of the queues and pause or resume the priorities below them."""
        if self._pressure.read(self._scheduler.levels):
            self._set_floor()

    def batch_factor(self, priority: EventPriority) -> int:
        """How much larger the batches of ``priority`` are at present (a queue that fills)."""
        return self._pressure.batch_factor(priority)

    def reconfigure(self, config: EventConfig) -> None:
        """Compare with the thresholds of ``config`` from now on."""
        self._pressure.reconfigure(config.backpressure)
        self._set_floor()

    def _set_floor(self) -> None:
        self._scheduler.floor = min(int(self.lowest_allowed), self._pressure.floor)
        self._scheduler.attention = True
        self.on_change()
