"""Pauses of priorities: by the safety state, and by the pressure of a filling queue.

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
"""The factor by which batches grow from the warning on."""
SAFETY_TO_DEGRADATION: Final[Mapping[SafetyState, DegradationLevel]] = dict(
    zip(SafetyState, DegradationLevel, strict=True)
)
"""The degradation by safety state: NORMAL pauses nothing, WARNING P3, FAIL P2 and P3, LOCKDOWN all but P0."""
_P1, _P2, _P3 = EventPriority.P1_HIGH, EventPriority.P2_MEDIUM, EventPriority.P3_LOW


class _Gauge:
    """One queue's pressure: pauses at critical, resumes only below warning, so that it does not flap."""

    __slots__ = ("pausing", "threshold", "warned")

    def __init__(self, threshold: BackpressureThreshold) -> None:
        self.threshold = threshold
        self.warned = self.pausing = False

    def read(self, utilization: float) -> None:
        self.warned = utilization >= self.threshold.warning
        self.pausing = utilization >= self.threshold.critical or (self.pausing and self.warned)


class BackpressureGuard:
    """The pressure of P1 and P2. ``floor`` is the lowest priority that it leaves running."""

    def __init__(self, config: Backpressure) -> None:
        self.reconfigure(config)

    def reconfigure(self, config: Backpressure) -> None:
        """Compare with the thresholds of ``config`` from now on; no priority is paused until the next read."""
        self._gauges = {_P1: _Gauge(config.p1), _P2: _Gauge(config.p2)}
        self.floor = int(_P3)

    def read(self, levels: Sequence[PriorityLevel]) -> bool:
        """Read the depths; return whether ``floor`` changed."""
        before, self.floor = self.floor, int(_P3)
        for priority, gauge in reversed(self._gauges.items()):
            gauge.read(levels[priority].queue.utilization())
            if gauge.pausing:
                self.floor = int(priority)
        return self.floor != before

    def batch_factor(self, priority: EventPriority) -> int:
        """Return the factor by which batches of ``priority`` are larger than configured at present."""
        gauge = self._gauges.get(priority)
        return BATCH_GROWTH if gauge is not None and gauge.warned else 1


class Pauses:
    """The scheduler's floor: the higher of what degradation and pressure leave running.

    ``degradation`` is the level in force. ``on_change`` is called after each change of the floor.
    """

    def __init__(self, config: EventConfig, scheduler: Scheduler) -> None:
        self.degradation = DegradationLevel.NORMAL
        self.on_change: Callable[[], None] = lambda: None
        self._scheduler = scheduler
        self._pressure = BackpressureGuard(config.backpressure)

    @property
    def lowest_allowed(self) -> EventPriority:
        """Return the lowest priority that degradation leaves running, whatever the pressure."""
        return self.degradation.lowest_allowed

    def degrade(self, level: DegradationLevel) -> None:
        """Pause the priorities below ``level`` and no others."""
        self.degradation = DegradationLevel(level)
        self._set_floor()

    def apply(self, state: SafetyState) -> DegradationLevel:
        """Set the degradation that belongs to a safety state, and return it.

        Anything that is no safety state pauses all but P0 and raises ContractError (`unknown-is-unsafe`).
        """
        level = SAFETY_TO_DEGRADATION.get(state) if isinstance(state, SafetyState) else None
        self.degrade(level or DegradationLevel.CRITICAL_ONLY)
        if level is None:
            raise ContractError(
                f"{state!r} is no safety state (allowed: {', '.join(SafetyState)}); only P0 runs now"
            )
        return level

    def check_pressure(self) -> bool:
        """Read the depths of the queues and pause or resume the priorities below them; return whether any was."""
        changed = self._pressure.read(self._scheduler.levels)
        if changed:
            self._set_floor()
        return changed

    @property
    def under_pressure(self) -> EventPriority:
        """Return the lowest priority that the depths of the queues leave running."""
        return EventPriority(self._pressure.floor)

    def press(self, lowest: EventPriority) -> None:
        """Leave ``lowest`` and what is above it running, as if the depths of the queues had said so."""
        self._pressure.floor = int(lowest)
        self._set_floor()

    def batch_factor(self, priority: EventPriority) -> int:
        """Return how much larger the batches of ``priority`` are at present (a queue that fills)."""
        return self._pressure.batch_factor(priority)

    def reconfigure(self, config: EventConfig) -> None:
        """Compare with the thresholds of ``config`` from now on."""
        self._pressure.reconfigure(config.backpressure)
        self._set_floor()

    def _set_floor(self) -> None:
        self._scheduler.floor = min(int(self.lowest_allowed), self._pressure.floor)
        self._scheduler.must_recheck = True
        self.on_change()
