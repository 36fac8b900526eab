"""Counts events within a moving window of time."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


class RateWindow:
    """The events of the last ``length_ns``, an event at t until just before t + ``length_ns``.

    Times are ns of one clock; a time before that of the newest event counts as the newest event's, so that a clock
    that is set back lets nothing leave the window early. At most the newest ``kept`` are remembered: with a limit
    of ``kept`` or less, an event that is let pass only while :meth:`count` is below the limit makes never more than
    the limit in any window of that length.
    """

    __slots__ = ("_length_ns", "_times")

    def __init__(self, length_ns: int, kept: int) -> None:
        self._length_ns = length_ns
        self._times: deque[int] = deque(maxlen=kept)

    def count(self, now_ns: int) -> int:
        """Return how many events are in the window that ends at ``now_ns``, at most ``kept``."""
        times = self._times
        if times:
            newest_ns = times[-1]
            edge_ns = (now_ns if now_ns > newest_ns else newest_ns) - self._length_ns
            while times and times[0] <= edge_ns:
                times.popleft()
        return len(times)

    def add(self, now_ns: int) -> None:
        """Add an event."""
        times = self._times
        times.append(times[-1] if times and times[-1] > now_ns else now_ns)

    def clear(self) -> None:
        """Forget every event."""
        self._times.clear()

    def ages_ns(self, now_ns: int) -> list[int]:
        """Return how long ago each event of the window was, the oldest first, for :meth:`restore`."""
        self.count(now_ns)
        return [max(now_ns - at_ns, 0) for at_ns in self._times]

    def restore(self, ages_ns: Sequence[int], now_ns: int) -> None:
        """Continue from :meth:`ages_ns`: time in which no process ran lets nothing leave the window."""
        self._times = deque((now_ns - age_ns for age_ns in ages_ns), maxlen=self._times.maxlen)
