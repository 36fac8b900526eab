"""Keeps what a live feed has pushed until the session takes it: in order of arrival, bounded, losses counted."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Final

from qts.market.contracts import FeedGap, MarketValue

MOST_WAITING: Final = 10_000
"""Values that wait for the session at most; some seconds of a busy market."""


class Arrivals:
    """Values and gaps between a live feed and its session, on the loop's thread alone.

    With ``limit`` waiting, the oldest is dropped for the newest: prices that are over matter least. What was
    dropped is counted in ``dropped`` and told as a gap before the next value, so that nobody takes what is left for
    everything. Only market values pass through here; news of orders has its own way and is never dropped.
    """

    def __init__(self, limit: int = MOST_WAITING) -> None:
        self.dropped = 0
        """Values dropped since the beginning."""
        self._limit = limit
        self._waiting: deque[MarketValue | FeedGap] = deque()
        self._lost: dict[str, int] = {}
        self._lost_gap: FeedGap | None = None
        self._came = asyncio.Event()

    def put(self, value: MarketValue) -> None:
        """Take a value from the feed; never waits, never raises."""
        self._add(value)

    def put_gap(self, gap: FeedGap) -> None:
        """Take note of a gap; it keeps its place among the values."""
        self._add(gap)

    def take(self) -> MarketValue | FeedGap | None:
        """Return the oldest, a gap made of what was dropped before it first; None when nothing waits."""
        if self._lost or self._lost_gap is not None:
            return self._told()
        if not self._waiting:
            self._came.clear()
            return None
        return self._waiting.popleft()

    def wake(self) -> None:
        """End the present :meth:`wait`."""
        self._came.set()

    async def wait(self, seconds: float) -> None:
        """Wait until something comes, at most ``seconds`` of real time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._came.wait()

    def _add(self, item: MarketValue | FeedGap) -> None:
        if len(self._waiting) >= self._limit:
            self._drop(self._waiting.popleft())
        self._waiting.append(item)
        self._came.set()

    def _drop(self, item: MarketValue | FeedGap) -> None:
        if not isinstance(item, FeedGap):
            self.dropped += 1
            self._lost[item.symbol] = self._lost.get(item.symbol, 0) + 1
        elif self._lost_gap is None or not item.symbols:
            self._lost_gap = item
        elif self._lost_gap.symbols:
            symbols = dict.fromkeys((*self._lost_gap.symbols, *item.symbols))
            self._lost_gap = FeedGap(item.ts_ns, item.reason, tuple(symbols))

    def _told(self) -> FeedGap:
        """Return one gap for everything dropped since the last one."""
        gap, lost = self._lost_gap, self._lost
        self._lost_gap, self._lost = None, {}
        if not lost:
            assert gap is not None  # asked for only when something was dropped
            return gap
        ts_ns = self._waiting[0].ts_ns if self._waiting else 0
        reason = f"{sum(lost.values()):,} values were dropped: the session could not keep up"
        if gap is None:
            return FeedGap(ts_ns, reason, tuple(lost))
        symbols = tuple(dict.fromkeys((*gap.symbols, *lost))) if gap.symbols else ()
        return FeedGap(ts_ns, f"{gap.reason}; {reason}", symbols)
