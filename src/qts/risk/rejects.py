"""Remember what the broker has rejected, and how long new orders wait because of it.

A symbol whose orders are rejected waits longer after each, and is stopped after some in a row; many rejects of the
whole account within a short time are a storm, which is for safety. What is stopped is entries. An exit only waits a
fixed pause, so that it goes on trying without flooding the broker; a forced one has its own schedule.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from qts.clock import NS_PER_S, from_ns
from qts.risk.config import RiskConfig

_GROWTH: Final = 2


class Rejected(msgspec.Struct):
    """The state of a symbol: rejects in a row, the reason of the last one, whether entries are stopped.

    ``wait_until_ns``: no entry before. ``exit_ns``: when an exit was rejected last.
    """

    row: int = 0
    wait_until_ns: int = 0
    exit_ns: int | None = None
    stopped: bool = False
    said: str = ""


class RejectOutcome(msgspec.Struct, frozen=True):
    """The consequences of one reject: ``stopped`` its symbol, or completed a ``storm`` (in words, else "")."""

    stopped: bool
    storm: str


class Rejects:
    """The account's rejects. A row in a symbol ends with an order there that was not rejected.

    A stopped symbol may enter again with the next day, when an operator releases it, or when an order of it is
    filled: an exit that gets through proves that the broker takes its orders.
    """

    def __init__(self) -> None:
        self._symbols: dict[str, Rejected] = {}
        self._recent: deque[tuple[int, str]] = deque()

    def rejected(
        self, symbol: str, order_id: str, reason: str, now_ns: int, config: RiskConfig, *, is_exit: bool
    ) -> RejectOutcome | None:
        """Count a reject of an order; None when that order's has been counted already."""
        if any(order_id == known for _, known in self._recent):
            return None
        stops = self._count(symbol, reason, now_ns, config)
        if is_exit:
            self._symbols[symbol].exit_ns = now_ns
        return RejectOutcome(stops, self._storm(order_id, now_ns, config))

    def _count(self, symbol: str, reason: str, now_ns: int, config: RiskConfig) -> bool:
        one = self._symbols.setdefault(symbol, Rejected())
        one.row += 1
        one.said = reason[:200]
        wait_s = config.reject_wait_s
        for _ in range(one.row - 1):
            wait_s = min(wait_s * _GROWTH, config.reject_wait_max_s)
        one.wait_until_ns = now_ns + round(wait_s * NS_PER_S)
        stops = one.row >= config.rejects_before_stop and not one.stopped
        one.stopped |= stops
        return stops

    def _storm(self, order_id: str, now_ns: int, config: RiskConfig) -> str:
        recent, window_ns = self._recent, config.reject_storm_window_s * NS_PER_S
        recent.append((now_ns, order_id))
        while recent[0][0] <= now_ns - window_ns or len(recent) > config.rejects_before_fail:
            recent.popleft()
        if len(recent) < config.rejects_before_fail:
            return ""
        seconds = (now_ns - recent[0][0]) / NS_PER_S
        recent.clear()  # the next storm counts from here
        return f"{config.rejects_before_fail} orders were rejected within {seconds:.1f} s"

    def succeeded(self, symbol: str) -> bool:
        """Forget the row of a symbol whose order was not rejected; whether that has ended a stop."""
        one = self._symbols.pop(symbol, None)
        return one is not None and one.stopped

    def release(self, symbol: str) -> bool:
        """Let a symbol enter again, by an operator's command; return whether it was stopped."""
        return self.succeeded(symbol)

    def new_day(self) -> None:
        """Begin the day without yesterday's rows and stops."""
        self._symbols.clear()

    @property
    def stopped(self) -> Mapping[str, str]:
        """Return the symbols that take no entry, with the reason of the last reject."""
        return {symbol: one.said for symbol, one in self._symbols.items() if one.stopped}

    def stop_of(self, symbol: str) -> str:
        """Return in words why a symbol takes no entry; "" when it does."""
        one = self._symbols.get(symbol)
        if one is None or not one.stopped:
            return ""
        return f"{one.row} orders of {symbol} in a row were rejected, the last: {one.said}"

    def in_a_row(self, symbol: str) -> int:
        """Return how many orders of ``symbol`` were rejected one after the other today."""
        one = self._symbols.get(symbol)
        return 0 if one is None else one.row

    def wait_of(self, symbol: str, now_ns: int, pause_ns: int | None) -> str:
        """Return in words until when an order waits; "" when it need not.

        ``pause_ns``: what an exit waits after the reject of an exit, None for an entry, whose wait grows.
        """
        one = self._symbols.get(symbol)
        if one is None:
            return ""
        until_ns = one.wait_until_ns
        if pause_ns is not None:
            until_ns = now_ns if one.exit_ns is None else one.exit_ns + pause_ns
        if now_ns >= until_ns:
            return ""
        until = f"{from_ns(until_ns):%H:%M:%S.%f}"[:-3]
        return f"an order of {symbol} was rejected, {one.row} in a row: the next waits until {until} UTC"

    def export_state(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "symbols": {symbol: msgspec.structs.asdict(one) for symbol, one in self._symbols.items()},
            "recent": [list(one) for one in self._recent],
        }

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Restore what :meth:`export_state` returned."""
        self._symbols = {symbol: Rejected(**one) for symbol, one in saved["symbols"].items()}
        self._recent = deque((ns, order_id) for ns, order_id in saved["recent"])
