"""Counts the events of a session for its result. Part of the checkpoint, so a resumed session continues."""

from __future__ import annotations

from typing import Any

import msgspec


class SessionCounters(msgspec.Struct):
    """Counters of the whole session. ``stand_in_bases``: symbols whose previous close was not in the data.

    ``targets_reached``: targets from which holding and working orders were less than one lot away.
    ``cancels_of_nothing``: cancels that met neither an order nor a target. The last four show whether parts of a
    checkpoint that seldom change have to be encoded again.
    """

    first_day: str
    fills: int = 0
    orders: int = 0
    forced_exits: int = 0
    refusals: dict[str, int] = {}
    stand_in_bases: list[str] = []
    targets_reached: int = 0
    cancels_of_nothing: int = 0
    codes_told: int = 0
    changes: int = 0
    evaluations: int = 0
    metrics_fed: int = 0

    def refused(self, reason: str) -> None:
        """Count a signal that was refused for ``reason``."""
        self.refusals[reason] = self.refusals.get(reason, 0) + 1

    def export_state(self) -> dict[str, Any]:
        """Return all counters for a checkpoint."""
        return msgspec.structs.asdict(self)

    def import_state(self, saved: dict[str, Any]) -> None:
        """Continue from :meth:`export_state`."""
        for name in self.__struct_fields__:
            setattr(self, name, saved.get(name, 0))  # an earlier version counted less
