"""Drives a session on the event loop by what a live feed pushes, in real time.

Each value is given to the kernel at once, in the order of arrival. While none comes, appointments and due work are
kept by the clock. A gap is told (AN010), makes the depth of its symbols unknown until their next snapshot, and
changes nothing else: a price that grows old is refused by its age.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from qts.clock import NS_PER_S, PacedClock, stopwatch_ns
from qts.execution.texts import kept_text
from qts.market.contracts import BookUpdate, FeedGap, LiveFeed, MarketValue
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.drivers.arrivals import MOST_WAITING, Arrivals
from qts.runtime.drivers.loop_session import TURN_NS, LoopSession, on_loop
from qts.runtime.kernel import Kernel
from qts.runtime.session.progress import Progress


async def run_live(
    kernel: Kernel,
    feed: LiveFeed,
    progress: Progress,
    stop: StopFlag,
    clock: PacedClock,
    listen: Callable[[], Awaitable[object]],
    hear: Callable[[], object],
    *,
    most_waiting: int = MOST_WAITING,
) -> bool:
    """Give the kernel what ``feed`` pushes until it is over or ``stop`` is asked for. True when it is over.

    ``clock`` passes in real time (speed 1). ``listen`` and ``hear`` are called as by
    :func:`~qts.runtime.drivers.paced_driver.run_paced`; ``listen`` at once when the kill switch is pressed. Of
    values that come faster than they can be taken ``most_waiting`` wait. What waits when a stop is asked for is not
    given any more. When the feed fails the session stops in order, and the feed's error is raised; one that comes
    while the feed is closed is only told.
    """
    arrivals = Arrivals(most_waiting)
    async with on_loop(kernel, clock, progress, listen, hear) as session:
        kernel.pending_value = None  # of a resumed session: it is long over
        source = asyncio.get_running_loop().create_task(feed.run(arrivals.put, arrivals.put_gap), name="qts-feed")
        source.add_done_callback(lambda done: arrivals.wake())
        try:
            is_over = await _LiveInput(kernel, feed, session, clock, arrivals, source).run(stop, listen)
            if is_over:
                await session.close_day()
        finally:
            ended_itself = source.done()
            source.cancel()
            await asyncio.wait((source,), timeout=kernel.parts.config.event.stop_timeout_ms / 1_000)
    if source.done() and not source.cancelled() and (error := source.exception()) is not None:
        if ended_itself:
            raise error
        why = kept_text(f"{type(error).__name__}: {error}")  # a stop is a stop, however the line took its end
        kernel.notices.say("WARNING", f"feed {feed.name}: its line could not be closed in order: {why}")
    return is_over


class _LiveInput:
    """The loop between a feed's arrivals and the kernel."""

    def __init__(
        self,
        kernel: Kernel,
        feed: LiveFeed,
        session: LoopSession,
        clock: PacedClock,
        arrivals: Arrivals,
        source: asyncio.Task[None],
    ) -> None:
        self._kernel = kernel
        self._feed = feed
        self._session = session
        self._clock = clock
        self._arrivals = arrivals
        self._source = source
        self._was_connected = False
        self._with_depth: dict[str, None] = {}
        """Symbols that have shown levels of their book; never more than the feed has instruments."""

    async def run(self, stop: StopFlag, listen: Callable[[], Awaitable[object]]) -> bool:
        """Take what arrives. True when the feed is over and has not failed, False after a stop or a failure."""
        kill = self._kernel.parts.kill
        next_look_ns = 0
        while not stop.requested:
            arrived = self._arrivals.take()
            if arrived is not None:
                await self._give(arrived)
            elif self._source.done():
                return not self._source.cancelled() and self._source.exception() is None
            else:
                await self._session.run_scheduled_tasks(self._clock.time_ns())
                await self._arrivals.wait(TURN_NS / NS_PER_S)
            if stopwatch_ns() >= next_look_ns:
                next_look_ns = stopwatch_ns() + TURN_NS
                self._note_connection()
                self._kernel.due.on_rows(self._kernel.intake.rows)
                await self._session.look_around()
            elif kill.is_pressed():
                await listen()
            await self._session.yield_to_handlers()
        return False

    async def _give(self, arrived: MarketValue | FeedGap) -> None:
        if isinstance(arrived, FeedGap):
            await self._tell_gap(arrived)
            return
        if arrived.__class__ is BookUpdate:
            self._with_depth[arrived.symbol] = None
        await self._session.give(arrived, self._clock.time_ns())

    async def _tell_gap(self, gap: FeedGap) -> None:
        """Raise AN010, and make unknown what was known of the books concerned."""
        symbols = gap.symbols or tuple(self._feed.instruments)
        named = ", ".join(symbols[:5]) + (f" and {len(symbols) - 5} more" if len(symbols) > 5 else "")
        self._tell(f"values of {named} are missing: {kept_text(gap.reason)}")
        now_ns = self._clock.time_ns()
        for symbol in symbols:
            if symbol in self._with_depth:
                await self._session.give(BookUpdate(symbol, now_ns, (), (), after_gap=True), now_ns)

    def _note_connection(self) -> None:
        connected = self._feed.connected
        if self._was_connected and not connected and not self._source.done():
            self._tell("not connected: prices grow old until it is again")
        elif connected and not self._was_connected:
            self._kernel.notices.say("INFO", f"feed {self._feed.name}: connected")
        self._was_connected = connected

    def _tell(self, what: str) -> None:
        message = f"feed {self._feed.name}: {what}"
        self._kernel.notices.say("WARNING", message)
        self._kernel.on_code("AN010", message)
