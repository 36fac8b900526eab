"""Counts of the trading day that limits are measured against. They live in the checkpoint, so a restart
does not forget them."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import Any

from qts.money import ZERO

_KEPT_SENDS = 1_000


class TradingDay:
    """Entries, equity at the start of the day and the moments of recent sends."""

    def __init__(self, open_equity: Decimal) -> None:
        self.open_equity = open_equity
        self.entries = 0
        self.moved: Decimal = ZERO
        """Capital moved between pools today (spec 02: at most 5 % of equity a day)."""
        self._sends: deque[int] = deque(maxlen=_KEPT_SENDS)

    def roll(self, equity: Decimal) -> None:
        """Start a new day at ``equity``."""
        self.open_equity = equity
        self.entries = 0
        self.moved = ZERO

    def sent(self, now_ns: int, *, is_entry: bool) -> None:
        self._sends.append(now_ns)
        if is_entry:
            self.entries += 1

    def orders_within(self, window_ns: int, now_ns: int) -> int:
        """Orders sent in the last ``window_ns`` (at most 1,000 are remembered; limits are far below)."""
        edge = now_ns - window_ns
        count = 0
        for moment in reversed(self._sends):
            if moment <= edge:
                break
            count += 1
        return count

    def export_state(self) -> dict[str, Any]:
        # Only sends of the longest window (a minute) can still matter; the newest are looked at first.
        edge = self._sends[-1] - 60_000_000_000 if self._sends else 0
        recent: list[int] = []
        for moment in reversed(self._sends):
            if moment <= edge:
                break
            recent.append(moment)
        return {
            "open_equity": str(self.open_equity),
            "entries": self.entries,
            "moved": str(self.moved),
            "sends": recent[::-1],
        }

    def import_state(self, saved: dict[str, Any]) -> None:
        self.open_equity = Decimal(saved["open_equity"])
        self.entries = saved["entries"]
        self.moved = Decimal(saved["moved"])
        self._sends = deque(saved["sends"], maxlen=_KEPT_SENDS)
