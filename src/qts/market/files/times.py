"""Time order of a file: it never moves back, and one wrong stamp far ahead does not swallow the rest.

A row that jumps ahead is believed only if most of the next readable rows do not fall back: without that, a few
rows of ``2099-…`` would make every later row "older than the one before". One next row is no proof: wrong stamps
come in runs, and a broken line proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from qts.clock import NS_PER_S, to_ns
from qts.market.files.refusals import BAD_TIME, FUTURE, TIME_BACKWARDS, RowRefused

JUMP_NS: Final = NS_PER_S
"""A step forward up to this is believed at once (the tolerance for times of an exchange)."""
DECIDING_ROWS: Final = 8
"""The readable rows after a jump that decide on it, for or against: up to eight wrong stamps in a row are found.
A file in order is never touched by this: all its later rows agree."""
LATEST_NS: Final = 7_258_118_400 * NS_PER_S
"""2200-01-01 UTC: from here on a time is in the future whatever follows. The store counts nanoseconds in 64 bits,
which end in 2262, and a session looks ahead to its next days."""
LOOK_AHEAD: Final = 64
"""Rows looked at for one jump at most, unreadable ones included; if they decide nothing, the majority does."""


class TimeOrder:
    """``last_ns`` is the time of the newest accepted row (0: none). Up to ``soon_ns`` a step is certainly normal;
    it may lag behind the true limit (``last_ns`` + a second), so that it need not be kept up for every row.

    ``following`` gives the raw rows after the current one. ``not_after_ns``, when given, is the present: a row
    that jumps to more than a second after it is in the future whatever follows.
    """

    __slots__ = ("_times", "following", "last_ns", "not_after_ns", "soon_ns")

    def __init__(self, not_after_ns: int | None = None) -> None:
        self.last_ns = 0
        self.soon_ns = -1
        self.not_after_ns = not_after_ns
        self.following: Callable[[int], Sequence[Any]] = lambda _: ()
        # Where rows are more than a second apart each one is looked at by several before it: read its time once.
        self._times: dict[Any, int | None] = {}

    def check(self, ts_ns: int, time_of: Callable[[Any], int | None]) -> None:
        """Raise :class:`RowRefused` when ``ts_ns`` goes back or is in the future."""
        if ts_ns < self.last_ns:
            raise RowRefused(TIME_BACKWARDS)
        if ts_ns > self.soon_ns:
            self.check_jump(ts_ns, time_of)

    def check_jump(self, ts_ns: int, time_of: Callable[[Any], int | None]) -> None:
        """Judge a time behind ``soon_ns``; raise :class:`RowRefused` when it is in the future."""
        self.soon_ns = self.last_ns + JUMP_NS if self.last_ns else -1
        if ts_ns <= self.soon_ns:
            return
        if ts_ns >= LATEST_NS or (self.not_after_ns is not None and ts_ns > self.not_after_ns + JUMP_NS):
            raise RowRefused(FUTURE)
        if not self._is_followed(ts_ns, time_of):
            raise RowRefused(FUTURE)

    def accept(self, ts_ns: int) -> None:
        """Remember the time of an accepted row."""
        self.last_ns = ts_ns

    def _is_followed(self, ts_ns: int, time_of: Callable[[Any], int | None]) -> bool:
        """Return whether the rows to come agree with a jump to ``ts_ns``; where none has a usable time it is
        believed.

        A time behind the last accepted row does not count for this one: it is itself out of order. An even vote
        goes to the row before the jump, which was right so far; the first row of a file has none and is believed.
        """
        agree = against = 0
        for row in self._rows_ahead():
            time = self._time_ahead(row, time_of)
            if time is None or time < self.last_ns:
                continue
            if time >= ts_ns - JUMP_NS:
                agree += 1
            else:
                against += 1
            if agree == DECIDING_ROWS or against == DECIDING_ROWS:
                break
        return agree > against or (agree == against and not (agree and self.last_ns))

    def _rows_ahead(self) -> Iterator[Any]:
        """Yield the near rows first: they decide nearly always, and then no further block has to be read."""
        near = self.following(DECIDING_ROWS)
        yield from near
        if len(near) == DECIDING_ROWS:
            yield from self.following(LOOK_AHEAD)[DECIDING_ROWS:]

    def _time_ahead(self, row: Any, time_of: Callable[[Any], int | None]) -> int | None:
        try:
            return self._times[row]
        except KeyError:
            if len(self._times) >= 2 * LOOK_AHEAD:
                self._times.clear()
            time = self._times[row] = time_of(row)
            return time


class IsoTimes:
    """ISO times with an offset to nanoseconds; remembers the last text, since rows come in batches.

    Python's parser is precise to the microsecond; further digits are cut.
    """

    __slots__ = ("_ns", "_text")

    def __init__(self) -> None:
        self._text = ""
        self._ns = 0

    def ns(self, text: str) -> int:
        """Return the time in ns. Raises :class:`RowRefused` for no time, one without offset and one before 1970."""
        if text == self._text and text:
            return self._ns
        try:
            ns = self.parse(text)
        except (ValueError, OverflowError):
            raise RowRefused(BAD_TIME, text) from None
        if ns <= 0:
            raise RowRefused(BAD_TIME, text)
        self._text = text
        self._ns = ns
        return ns

    def parse(self, text: str) -> int:
        """Return nanoseconds since 1970. Raises :class:`RowRefused` or ValueError for what is no such time."""
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise RowRefused(BAD_TIME, text)
        return to_ns(moment)
