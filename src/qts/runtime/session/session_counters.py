"""What a session counts for its result. Lives in the checkpoint, so a resumed session counts on."""

from __future__ import annotations

from typing import Any

import msgspec


class SessionCounters(msgspec.Struct):
    """Numbers of the whole session. ``stand_in_bases``: symbols whose previous close was not in the data.

    The last four tell when a checkpoint's parts that seldom change have to be encoded anew.
    """

    first_day: str
    fills: int = 0
    orders: int = 0
    forced_exits: int = 0
    refusals: dict[str, int] = {}
    stand_in_bases: list[str] = []
    codes_told: int = 0
    changes: int = 0
    evaluations: int = 0
    metrics_fed: int = 0

    def refused(self, reason: str) -> None:
        self.refusals[reason] = self.refusals.get(reason, 0) + 1

    def export_state(self) -> dict[str, Any]:
        return msgspec.structs.asdict(self)

    def import_state(self, saved: dict[str, Any]) -> None:
        for name in self.__struct_fields__:
            setattr(self, name, saved[name])
