"""Counts what the limits of a trading day are measured against. Part of the checkpoint, so a restart keeps it."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from typing import Any

from qts.money import ZERO
from qts.runtime.metrics.capital_move import CapitalMove

_KEPT_SENDS = 1_000


class TradingDay:
    """The entries of a trading day, its opening equity and the times of recent orders."""

    def __init__(self, open_equity: Decimal) -> None:
        self.open_equity = open_equity
        self.entries = 0
        self.moved: Decimal = ZERO
        """Capital moved between pools today, in the account's currency; at most 5 % of equity a day may move."""
        self._sends: deque[int] = deque(maxlen=_KEPT_SENDS)

    def start(self, equity: Decimal) -> None:
        """Start a new day at ``equity``."""
        self.open_equity = equity
        self.entries = 0
        self.moved = ZERO

    def on_capital_moved(self, move: CapitalMove) -> None:
        """Measure the day's result from an opening that has the capital that came, or lacks what left."""
        self.open_equity = move.carried(self.open_equity)

    def count_order(self, now_ns: int, *, is_entry: bool) -> None:
        """Count an order sent at ``now_ns``."""
        self._sends.append(now_ns)
        if is_entry:
            self.entries += 1

    def orders_within(self, window_ns: int, now_ns: int) -> int:
        """Return the number of orders sent in the last ``window_ns`` (at most 1,000; limits are far below)."""
        edge = now_ns - window_ns
        count = 0
        for moment in reversed(self._sends):
            if moment <= edge:
                break
            count += 1
        return count

    def export_state(self) -> dict[str, Any]:
        """Return the counts for a checkpoint."""
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
        """Continue from :meth:`export_state`."""
        self.open_equity = Decimal(saved["open_equity"])
        self.entries = saved["entries"]
        self.moved = Decimal(saved["moved"])
        self._sends = deque(saved["sends"], maxlen=_KEPT_SENDS)
