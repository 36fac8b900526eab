"""Remembers since when an exit is refused, so that limits can give way with the time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from qts.clock import NS_PER_S
from qts.risk.contracts import OrderRequest
from qts.strategy.contracts import Side

FORGOTTEN_NS: Final = 2 * 3_600 * NS_PER_S
"""An exit that was not tried again for so long is a new one; the rules try theirs at least once an hour."""


class ExitAttempts:
    """The exits that were refused and have not left since, by strategy, symbol and side; times of one clock, ns."""

    def __init__(self) -> None:
        self._refused: dict[tuple[str, str, Side], tuple[int, int]] = {}
        """When each was refused for the first time and for the last."""

    def waited_ns(self, request: OrderRequest, now_ns: int) -> int:
        """Return how long ago the exit was refused for the first time, 0 when it was not.

        A clock that was set back before a restart takes nothing of it away.
        """
        if not self._refused:  # mostly
            return 0
        first_ns, last_ns = self._refused.get(_key(request), (now_ns, now_ns))
        return max(now_ns, last_ns) - first_ns if now_ns - last_ns <= FORGOTTEN_NS else 0

    def on_refused(self, request: OrderRequest, now_ns: int) -> None:
        """Note that an exit was refused."""
        first_ns = now_ns - self.waited_ns(request, now_ns)
        self._refused = {key: one for key, one in self._refused.items() if now_ns - one[1] <= FORGOTTEN_NS}
        self._refused[_key(request)] = first_ns, now_ns

    def on_passed(self, request: OrderRequest) -> None:
        """Note that an exit leaves: the collar of the next begins small."""
        if self._refused:
            self._refused.pop(_key(request), None)

    def export_state(self) -> list[list[object]]:
        """Return them as plain data, for a checkpoint."""
        return [[*key, *times] for key, times in self._refused.items()]

    def import_state(self, saved: Iterable[Sequence[object]]) -> None:
        """Continue from :meth:`export_state`."""
        self._refused = {
            (str(strategy), str(symbol), Side(side)): (int(str(first_ns)), int(str(last_ns)))
            for strategy, symbol, side, first_ns, last_ns in saved
        }


def _key(request: OrderRequest) -> tuple[str, str, Side]:
    return request.strategy, request.symbol, request.side
