"""Buffers what a live feed has pushed until the session takes it: in order of arrival, bounded, losses counted."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

from qts.market.contracts import FeedGap, MarketValue
from qts.wording import counted

MAX_WAITING: Final = 10_000
"""How many values wait for the session at most: some seconds of a busy market."""


class FeedBuffer:
    """A bounded buffer of values and gaps between a live feed and its session. For the loop's thread alone.

    When ``limit`` entries wait, the oldest is dropped in favour of the newest: the oldest price matters least.
    Dropped values are counted in ``dropped`` and reported as a gap before the next value, so that the reader knows
    that the rest is incomplete. Only market values pass through here: execution reports take another path and are
    never dropped.
    """

    def __init__(self, limit: int = MAX_WAITING) -> None:
        self.dropped = 0
        """Number of values dropped since the session began; gaps are not counted."""
        self._limit = limit
        self._waiting: deque[MarketValue | FeedGap] = deque()
        self._lost: dict[str, int] = {}
        self._lost_gap: FeedGap | None = None
        self._has_arrived = asyncio.Event()

    def put(self, value: MarketValue) -> None:
        """Add a value from the feed. Never waits, never raises."""
        self._add(value)

    def put_gap(self, gap: FeedGap) -> None:
        """Add a gap, at its place among the values. Never waits, never raises."""
        self._add(gap)

    def take(self) -> MarketValue | FeedGap | None:
        """Remove and return the oldest entry, a gap for dropped values first; None when nothing waits."""
        if self._lost or self._lost_gap is not None:
            return self._take_dropped_gap()
        if not self._waiting:
            self._has_arrived.clear()
            return None
        return self._waiting.popleft()

    def wake(self) -> None:
        """End a :meth:`wait` that is under way."""
        self._has_arrived.set()

    async def wait(self, seconds: float) -> None:
        """Wait until something arrives, at most ``seconds`` of real time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._has_arrived.wait()

    def _add(self, item: MarketValue | FeedGap) -> None:
        if len(self._waiting) >= self._limit:
            self._drop(self._waiting.popleft())
        self._waiting.append(item)
        self._has_arrived.set()

    def _drop(self, item: MarketValue | FeedGap) -> None:
        if not isinstance(item, FeedGap):
            self.dropped += 1
            self._lost[item.symbol] = self._lost.get(item.symbol, 0) + 1
        elif self._lost_gap is None or not item.symbols:
            self._lost_gap = item
        elif self._lost_gap.symbols:
            symbols = dict.fromkeys((*self._lost_gap.symbols, *item.symbols))
            self._lost_gap = FeedGap(item.ts_ns, item.reason, tuple(symbols))

    def _take_dropped_gap(self) -> FeedGap:
        """Return one gap for everything that was dropped since the previous one."""
        gap, lost = self._lost_gap, self._lost
        self._lost_gap, self._lost = None, {}
        if not lost:
            assert gap is not None  # asked for only when something was dropped
            return gap
        ts_ns = self._waiting[0].ts_ns if self._waiting else 0
        count = sum(lost.values())
        reason = f"{counted(count, 'value was', 'values were')} dropped: the session could not keep up"
        if gap is None:
            return FeedGap(ts_ns, reason, tuple(lost))
        symbols = tuple(dict.fromkeys((*gap.symbols, *lost))) if gap.symbols else ()
        return FeedGap(ts_ns, f"{gap.reason}; {reason}", symbols)
