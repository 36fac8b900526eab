"""Says when the broker is asked for its books, and counts the questions about each order of unknown fate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from qts.clock import NS_PER_S
from qts.runtime.due_work import GUARD_INTERVAL_NS

_FAST: Final = 4
"""Requests in a second from which on a broker is asked often."""
_INTERVALS_NS: Final = (3 * NS_PER_S, NS_PER_S)
_SLOW_INTERVALS_NS: Final = (30 * NS_PER_S, 3 * NS_PER_S)


def interval_ns(requests_per_s: int | None, *, is_uncertain: bool) -> int:
    """Return the time between two comparisons with the books of a broker that takes so many requests; None: any."""
    usual_ns, soon_ns = _INTERVALS_NS if requests_per_s is None or requests_per_s >= _FAST else _SLOW_INTERVALS_NS
    return soon_ns if is_uncertain else usual_ns


class QuestionTimes:
    """The questions that this process has asked about orders of unknown fate. For the session's thread."""

    def __init__(self, *, is_simulated: bool) -> None:
        self._is_simulated = is_simulated
        self.is_asking = False
        """Whether a question is under way."""
        self._asked_ns = 0
        """When it was asked last, ns of the session's clock."""
        self._counts: dict[str, int] = {}

    def count(self, unknown: Iterable[str], now_ns: int) -> None:
        """Count one question at ``now_ns`` about each of the orders ``unknown``; all others are forgotten."""
        self._asked_ns = now_ns
        self._counts = {key: self._counts.get(key, 0) + 1 for key in unknown}

    def about(self, client_order_id: str) -> int:
        """Return how often the broker was asked about an order."""
        return self._counts.get(client_order_id, 0)

    def next_ns(self, interval_ns: int) -> int:
        """Return when the broker is asked next, ns of the session's clock; 0: now, or it is being asked."""
        if self.is_asking or not self._asked_ns:
            return 0
        return self._asked_ns + (GUARD_INTERVAL_NS if self._is_simulated else interval_ns)
