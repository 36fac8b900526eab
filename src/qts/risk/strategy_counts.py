"""Counts what a strategy does again and again: orders that it asks for, executions of one kind, stop-outs of a day.

Pure counts; what follows from them is for :mod:`qts.runtime.orders.strategy_watch`. Times are ns of the session's
clock, days the market's own dates (ISO).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from qts.clock import NS_PER_S
from qts.risk.windows import RateWindow

MOST_ASKED: Final = 100_000
MOST_EXECUTIONS: Final = 10_000
"""The highest limits that these counts can tell apart."""

Kind: TypeAlias = tuple[str, str, str]
"""Strategy, symbol and side of an execution."""


class Asked:
    """The orders and targets that each strategy has asked for within the last second."""

    def __init__(self) -> None:
        self._windows: dict[str, RateWindow] = {}

    def count(self, strategy: str, now_ns: int) -> int:
        """Return how many ``strategy`` has asked for within the last second."""
        window = self._windows.get(strategy)
        return 0 if window is None else window.count(now_ns)

    def is_over(self, strategy: str, limit: int, now_ns: int) -> bool:
        """Count one more; return whether those of the last second are more than ``limit``."""
        window = self._windows.get(strategy)
        if window is None:
            window = self._windows[strategy] = RateWindow(NS_PER_S, MOST_ASKED + 1)
        window.add(now_ns)
        return window.count(now_ns) > limit

    def export_state(self, now_ns: int) -> dict[str, Any]:
        """Return the counts as plain data, for a checkpoint."""
        return _ages(self._windows, now_ns)

    def import_state(self, saved: Mapping[str, Any], now_ns: int) -> None:
        """Continue from :meth:`export_state`."""
        self._windows = {}
        for strategy, ages_ns in saved.items():
            self._windows[strategy] = window = RateWindow(NS_PER_S, MOST_ASKED + 1)
            window.restore(ages_ns, now_ns)


class Executions:
    """The executions of each kind within the last ``window_ns``: an order that was filled is one, in however many
    parts."""

    def __init__(self) -> None:
        self._windows: dict[Kind, RateWindow] = {}
        self._window_ns = 0

    def highest(self, strategy: str, now_ns: int) -> int:
        """Return how many executions the kind of ``strategy`` has that has the most."""
        counts = (window.count(now_ns) for kind, window in self._windows.items() if kind[0] == strategy)
        return max(counts, default=0)

    def reaches(self, kind: Kind, limit: int, window_ns: int, now_ns: int) -> bool:
        """Count one more of ``kind``; return whether those of the last ``window_ns`` are ``limit`` or more.

        Reaching it ends the count, so that a strategy that was let go on has the whole limit again.
        """
        if window_ns != self._window_ns:
            self._change(window_ns, now_ns)
        window = self._windows.get(kind)
        if window is None:
            self._forget_old(now_ns)
            window = self._windows[kind] = RateWindow(window_ns, MOST_EXECUTIONS)
        window.add(now_ns)
        reached = window.count(now_ns) >= limit
        if reached:
            window.clear()
        return reached

    def forget(self, strategy: str) -> None:
        """Forget the executions of a strategy, which a person has let go on."""
        for kind in [kind for kind in self._windows if kind[0] == strategy]:
            del self._windows[kind]

    def export_state(self, now_ns: int) -> list[Any]:
        """Return the counts as plain data, for a checkpoint."""
        aged = ((kind, window.ages_ns(now_ns)) for kind, window in self._windows.items())
        kept = [[*kind, ages_ns] for kind, ages_ns in aged if ages_ns]
        return [self._window_ns, kept] if kept else []

    def import_state(self, saved: list[Any], now_ns: int) -> None:
        """Continue from :meth:`export_state`."""
        self._windows.clear()
        if saved:
            self._window_ns, kept = saved
            for *kind, ages_ns in kept:
                self._restore((kind[0], kind[1], kind[2]), ages_ns, now_ns)

    def _change(self, window_ns: int, now_ns: int) -> None:
        """Measure over ``window_ns`` from now on; what has left the old window is not known any more."""
        before = [(kind, window.ages_ns(now_ns)) for kind, window in self._windows.items()]
        self._window_ns = window_ns
        for kind, ages_ns in before:
            self._restore(kind, ages_ns, now_ns)

    def _restore(self, kind: Kind, ages_ns: list[int], now_ns: int) -> None:
        self._windows[kind] = window = RateWindow(self._window_ns, MOST_EXECUTIONS)
        window.restore(ages_ns, now_ns)

    def _forget_old(self, now_ns: int) -> None:
        for kind in [kind for kind, window in self._windows.items() if not window.count(now_ns)]:
            del self._windows[kind]


class StopOuts:
    """The positions of each strategy that were closed by their stop today."""

    def __init__(self) -> None:
        self._day = ""
        self._counts: dict[str, int] = {}

    def count(self, strategy: str, day: str) -> int:
        """Return how many there were of ``strategy`` on ``day``."""
        return self._counts.get(strategy, 0) if day <= self._day else 0

    def reaches(self, strategy: str, limit: int, day: str) -> bool:
        """Count one more; return whether those of ``day`` are ``limit`` or more.

        A date before the newest one counts as that one.
        """
        if day > self._day:
            self._day = day
            self._counts.clear()
        count = self._counts[strategy] = self._counts.get(strategy, 0) + 1
        return count >= limit

    def forget(self, strategy: str) -> None:
        """Forget the stop-outs of a strategy, which a person has let go on."""
        self._counts.pop(strategy, None)

    def export_state(self) -> list[Any]:
        """Return the counts as plain data, for a checkpoint."""
        return [self._day, self._counts] if self._counts else []

    def import_state(self, saved: list[Any]) -> None:
        """Continue from :meth:`export_state`."""
        self._day, counts = saved or ("", {})
        self._counts = dict(counts)


def _ages(windows: Mapping[str, RateWindow], now_ns: int) -> dict[str, list[int]]:
    aged: Iterable[tuple[str, list[int]]] = ((name, window.ages_ns(now_ns)) for name, window in windows.items())
    return {name: ages_ns for name, ages_ns in aged if ages_ns}
