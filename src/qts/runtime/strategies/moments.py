"""Makes the moments of a session: what came due for strategies at one time, beside the values of the feed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qts.runtime.strategies.timers import StrategyTimers
from qts.strategy.moment import Moment


class Moments:
    """The source of moments. For the session's thread alone; part of the checkpoint.

    A session has one only when a strategy declares bars or has an ``on_timer``.
    """

    def __init__(self, timers: StrategyTimers) -> None:
        self.timers = timers

    @property
    def due_ns(self) -> int:
        """Return when the next moment is due, in ns of the session's clock; 2^63 − 1 when none is known."""
        return self.timers.due_ns

    def take(self) -> Moment:
        """Return the moment that is due at :attr:`due_ns`; what comes due then next is after it."""
        at_ns = self.due_ns
        return Moment(at_ns, self.timers.take(at_ns))

    def export_state(self) -> dict[str, Any]:
        """Return the timers for a checkpoint."""
        return {"timers": self.timers.export_state()}

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state`."""
        self.timers.import_state(saved["timers"])
