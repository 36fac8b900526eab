"""The difference between our clock and a broker's, as far as its answers prove it."""

from __future__ import annotations

from typing import Final, NamedTuple

from qts.clock import NS_PER_S

_READINGS: Final = 64
_AGE_NS: Final = 300 * NS_PER_S
"""Readings that are older than the newest by more than this are forgotten: clocks run apart, and are set."""


class Offset(NamedTuple):
    """The difference of our clock less the broker's: at least ``low_ns``, at most ``high_ns``."""

    low_ns: int
    high_ns: int

    @property
    def apart_ns(self) -> int:
        """Return by how much the clocks differ at least; 0 where they may be the same."""
        return max(self.low_ns, -self.high_ns, 0)


class _Reading(NamedTuple):
    received_ns: int
    offset: Offset


class BrokerClock:
    """The times that a broker has told with its answers, beside ours.

    An adapter makes one and calls :meth:`note` for each answer that carries a time, always on one thread;
    :meth:`offset` is for any. One answer that tells whole
    seconds bounds the difference to a second and the time that it was under way; several bound it more closely.
    """

    def __init__(self) -> None:
        self._readings: tuple[_Reading, ...] = ()
        """Replaced, never changed."""

    def note(self, shown_ns: int, sent_ns: int, received_ns: int, resolution_ns: int = NS_PER_S) -> None:
        """Note that the broker showed ``shown_ns``, cut to ``resolution_ns``, between two moments of our clock.

        All in ns since 1970 (UTC).
        """
        offset = Offset(sent_ns - shown_ns - resolution_ns, received_ns - shown_ns)
        self._readings = (*self._readings[1 - _READINGS :], _Reading(received_ns, offset))

    def offset(self) -> Offset | None:
        """Return what the newest answers prove together; None while none has told a time.

        An answer that contradicts younger ones is from before a clock was set, and does not count, nor do those
        before it.
        """
        readings = self._readings
        if not readings:
            return None
        newest, found = readings[-1], readings[-1].offset
        for one in reversed(readings):
            both = Offset(max(found.low_ns, one.offset.low_ns), min(found.high_ns, one.offset.high_ns))
            if both.low_ns > both.high_ns or abs(newest.received_ns - one.received_ns) > _AGE_NS:
                break
            found = both
        return found
