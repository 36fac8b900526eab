"""Counts the messages that leave for the broker, orders, replaces and cancels alike, in a second and on a day."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from qts.clock import NS_PER_S, Clock
from qts.risk.windows import RateWindow

_KEPT: Final = 100_000
"""Messages of a second that are remembered; limits are not above it."""


class SentMessages(msgspec.Struct, frozen=True):
    """The number of messages that have left within the last second, and today."""

    second: int
    day: int


class Messages:
    """The messages of the last second and of the market's day. Any thread.

    An order that was taken from its lane counts as leaving now until it has left. ``trade_date`` returns the
    market's own date (ISO) of a moment; a date before the newest one counts as that one, so that a clock that is
    set back brings no messages again. ``entries_per_second``: how many messages of a second let an entry leave;
    None: any number.
    """

    def __init__(self, clock: Clock, trade_date: Callable[[int], str], *, entries_per_second: int | None) -> None:
        self._clock = clock
        self._entries = entries_per_second
        self._trade_date = trade_date
        self._guard = threading.Lock()
        self._window = RateWindow(NS_PER_S, _KEPT)
        self._taken = 0
        self._full_until_ns: int | None = None
        self._day = ""
        self._today = 0
        self.waiting: Callable[[], int] = lambda: 0
        """Returns how many messages wait for their turn; they count as leaving before what comes next."""

    @classmethod
    def uncounted(cls, clock: Clock) -> Messages:
        """Return messages for a gateway without limits."""
        return cls(clock, lambda ns: "", entries_per_second=None)

    def sent(self) -> SentMessages:
        """Return the counts of now, those that wait among them."""
        waiting = self.waiting()  # before the guard: it has one of its own
        today = self._trade_date(self._clock.time_ns())
        with self._guard:
            return SentMessages(self._second() + waiting, (self._today if today <= self._day else 0) + waiting)

    def lets_entry_leave(self) -> bool:
        """Return whether an entry whose turn has come may leave now, by the messages of the last second."""
        with self._guard:
            return self._entries is None or self._second() < self._entries

    def _second(self) -> int:
        now_ns = self._clock.monotonic_ns()
        count = self._window.count(now_ns) + self._taken
        if self._full_until_ns is not None and self._entries is not None and now_ns < self._full_until_ns:
            return max(count, self._entries)  # a process that ended a moment ago may have used all of it
        return count

    def add(self) -> str:
        """Count a message that leaves now; return the date under which it counts."""
        today = self._trade_date(self._clock.time_ns())
        with self._guard:
            self._window.add(self._clock.monotonic_ns())
            return self._count(today)

    def take(self) -> str:
        """Count an order that is about to leave; return the date under which it counts.

        :meth:`leave` or :meth:`keep_back` follows.
        """
        today = self._trade_date(self._clock.time_ns())
        with self._guard:
            self._taken += 1
            return self._count(today)

    def leave(self) -> None:
        """Note that an order leaves that was taken."""
        with self._guard:
            self._taken -= 1
            self._window.add(self._clock.monotonic_ns())

    def keep_back(self) -> None:
        """Note that an order does not leave that was taken; it stays counted on its day."""
        with self._guard:
            self._taken -= 1

    def _count(self, today: str) -> str:
        if today > self._day:
            self._day, self._today = today, 0
        self._today += 1
        return self._day

    def continue_after(self, day: str, count: int) -> None:
        """Continue after a process that sent ``count`` messages on ``day``, the last of them perhaps just now."""
        with self._guard:
            self._take_over(day, count)
            self._full_until_ns = self._clock.monotonic_ns() + NS_PER_S

    def export_state(self) -> dict[str, Any]:
        """Return the counts as plain data, for a checkpoint."""
        with self._guard:
            ages_ns = self._window.ages_ns(self._clock.monotonic_ns())
            return {"second": ages_ns, "day": self._day, "today": self._today}

    def import_state(self, saved: Mapping[str, Any]) -> None:
        """Continue from :meth:`export_state`; what is known to have left later stays counted."""
        with self._guard:
            self._window.restore(saved["second"], self._clock.monotonic_ns())
            self._take_over(saved["day"], saved["today"])

    def _take_over(self, day: str, count: int) -> None:
        if day == self._day:
            self._today = max(self._today, count)
        elif day > self._day:
            self._day, self._today = day, count
