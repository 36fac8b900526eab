"""Time order of a file: it never moves back, and one wrong stamp far ahead does not swallow the rest.

A row that jumps ahead is believed only if the rows after it do not fall back: without that, a single
``2099-…`` would make every later row "older than the one before".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from qts.clock import NS_PER_S, to_ns
from qts.market.files.refusals import BAD_TIME, FUTURE, TIME_BACKWARDS, RowRefused

JUMP_NS: Final = NS_PER_S
"""A step forward up to this is believed at once (the tolerance the specification gives exchange times)."""
LONG_JUMP_NS: Final = 86_400 * NS_PER_S
"""From here on the majority of the next rows decides even when the very next one agrees."""
WITNESSES: Final = 5


class TimeOrder:
    """``last_ns`` is the time of the newest accepted row (0: none). Up to ``soon_ns`` a step is certainly normal;
    it may lag behind the true limit (``last_ns`` + a second), so that it need not be kept up for every row.

    ``following`` gives the raw rows after the current one. ``not_after_ns``, when given, is the present: a row
    that jumps to more than a second after it is in the future whatever follows.
    """

    __slots__ = ("following", "last_ns", "not_after_ns", "soon_ns")

    def __init__(self, not_after_ns: int | None = None) -> None:
        self.last_ns = 0
        self.soon_ns = -1
        self.not_after_ns = not_after_ns
        self.following: Callable[[int], Sequence[Any]] = lambda _: ()

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
        if self.not_after_ns is not None and ts_ns > self.not_after_ns + JUMP_NS:
            raise RowRefused(FUTURE)
        if ts_ns - self.last_ns < LONG_JUMP_NS:
            agrees = self._witnesses(1, time_of)
            if not agrees or agrees[0] >= ts_ns - JUMP_NS:
                return
        times = self._witnesses(WITNESSES, time_of)
        # A time behind the last accepted row says nothing about this one: it is itself out of order.
        times = [time for time in times if time >= self.last_ns]
        if 2 * sum(time < ts_ns - JUMP_NS for time in times) > len(times):
            raise RowRefused(FUTURE)

    def accept(self, ts_ns: int) -> None:
        self.last_ns = ts_ns

    def _witnesses(self, count: int, time_of: Callable[[Any], int | None]) -> list[int]:
        return [time for row in self.following(count) if (time := time_of(row)) is not None]


class IsoTimes:
    """ISO times with an offset to nanoseconds; remembers the last text, since rows come in batches.

    Python's parser is precise to the microsecond; further digits are cut.
    """

    __slots__ = ("_ns", "_text")

    def __init__(self) -> None:
        self._text = ""
        self._ns = 0

    def ns(self, text: str) -> int:
        """Raises :class:`RowRefused` for no time, a time without offset and one before 1970."""
        if text == self._text and text:
            return self._ns
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                raise RowRefused(BAD_TIME, text)
            ns = to_ns(moment)
        except (ValueError, OverflowError):
            raise RowRefused(BAD_TIME, text) from None
        if ns <= 0:
            raise RowRefused(BAD_TIME, text)
        self._text = text
        self._ns = ns
        return ns
