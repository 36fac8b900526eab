"""Drives a session on the event loop by what a live feed pushes, in real time.

Each value is given to the kernel at once, in order of arrival. While none comes, scheduled tasks and due work
run by the clock. A gap raises AN010 and makes the depth of its symbols unknown until their next snapshot; nothing
else changes, because a price that grows old is refused by its age.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from qts.clock import NS_PER_S, PacedClock, stopwatch_ns
from qts.execution.texts import kept_text
from qts.market.contracts import BookUpdate, FeedGap, LiveFeed, MarketValue
from qts.market.session_info import SessionInfo, TellsSessionInfo
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.drivers.feed_buffer import MAX_WAITING, FeedBuffer
from qts.runtime.drivers.loop_session import POLL_INTERVAL_NS, LoopSession, on_loop
from qts.runtime.kernel import Kernel
from qts.runtime.session.progress import Progress
from qts.runtime.session_events import SessionInfoInput
from qts.runtime.steps.contracts import GAP, INFO, LINE, STOP, TASKS, VALUE


async def run_live(
    kernel: Kernel,
    feed: LiveFeed,
    progress: Progress,
    stop: StopFlag,
    clock: PacedClock,
    run_commands: Callable[[], Awaitable[object]],
    begin_stops: Callable[[], object],
    *,
    max_waiting: int = MAX_WAITING,
    record: Callable[[MarketValue], object] = lambda value: None,
) -> bool:
    """Deliver what ``feed`` pushes until the feed ends or ``stop`` is requested. Return True when it has ended.

    ``clock`` runs in real time (speed 1). ``run_commands`` and ``begin_stops`` are called as by
    :func:`~qts.runtime.drivers.paced_driver.run_paced`; ``run_commands`` at once when the kill switch is pressed.
    At most ``max_waiting`` values wait when they arrive faster than the session takes them. Values that wait when a
    stop is requested are not given any more. ``record`` is called with each value right before it is delivered.
    When the feed fails, the session stops in order and the feed's error is raised; an error raised while the feed
    is being closed is only logged.
    """
    buffer = FeedBuffer(max_waiting)
    async with on_loop(kernel, clock, progress, run_commands, begin_stops) as session:
        kernel.pending_value = None  # of a resumed session: that value is out of date
        if isinstance(feed, TellsSessionInfo):
            feed.tell_session_info(_InfoInput(kernel).on_info)
        source = asyncio.get_running_loop().create_task(feed.run(buffer.put, buffer.put_gap), name="qts-feed")
        source.add_done_callback(lambda done: buffer.wake())
        try:
            is_over = await _LiveInput(kernel, feed, session, clock, buffer, source, record).run(stop, run_commands)
            if is_over:
                await session.close_day()
        finally:
            ended_itself = source.done()
            source.cancel()
            await asyncio.wait((source,), timeout=kernel.shared.config.event.stop_timeout_ms / 1_000)
    if source.done() and not source.cancelled() and (error := source.exception()) is not None:
        if ended_itself:
            raise error
        why = kept_text(f"{type(error).__name__}: {error}")  # the stop is complete even so
        kernel.notices.say("WARNING", f"feed {feed.name}: its connection could not be closed in order: {why}")
    return is_over


class _InfoInput:
    """Takes what a feed tells of its instruments as steps."""

    def __init__(self, kernel: Kernel) -> None:
        self._steps = kernel.shared.steps
        self._input = SessionInfoInput(kernel.shared)

    def on_info(self, info: SessionInfo) -> None:
        """Keep an info."""
        self._steps.take(INFO, content=info)
        self._input.on_info(info)


class _LiveInput:
    """The loop that moves values from a feed's buffer to the kernel."""

    def __init__(
        self,
        kernel: Kernel,
        feed: LiveFeed,
        session: LoopSession,
        clock: PacedClock,
        buffer: FeedBuffer,
        source: asyncio.Task[None],
        record: Callable[[MarketValue], object],
    ) -> None:
        self._kernel = kernel
        self._feed = feed
        self._session = session
        self._clock = clock
        self._buffer = buffer
        self._source = source
        self._was_connected = False
        self._steps = kernel.shared.steps
        self._work = LiveWork(kernel, feed, session, clock, record)

    async def run(self, stop: StopFlag, run_commands: Callable[[], Awaitable[object]]) -> bool:
        """Take what arrives; return True when the feed has ended without failure, False on a stop or a failure."""
        kill = self._kernel.shared.kill
        next_periodic_ns = 0
        while not stop.requested:
            arrived = self._buffer.take()
            if arrived is not None:
                await self._deliver(arrived)
            elif self._source.done():
                is_over = not self._source.cancelled() and self._source.exception() is None
                self._steps.take(STOP, "over" if is_over else "failed")
                return is_over
            else:
                if self._session.is_anything_due():
                    self._steps.take(TASKS)
                    await self._session.run_scheduled_tasks(self._clock.time_ns())
                await self._buffer.wait(POLL_INTERVAL_NS / NS_PER_S)
            if stopwatch_ns() >= next_periodic_ns:
                next_periodic_ns = stopwatch_ns() + POLL_INTERVAL_NS
                self._note_connection()
                self._kernel.due.on_rows(self._kernel.intake.rows)
                await self._session.run_periodic_work()
            elif kill.is_pressed():
                await run_commands()
            await self._session.yield_to_handlers()
        self._steps.take(STOP, "stop")
        return False

    async def _deliver(self, arrived: MarketValue | FeedGap) -> None:
        if isinstance(arrived, FeedGap):
            self._steps.take(GAP, content=arrived)
            await self._work.report_gap(arrived)
        else:
            self._steps.take(VALUE, content=arrived)
            await self._work.deliver(arrived)

    def _note_connection(self) -> None:
        connected = self._feed.connected
        if connected != self._was_connected and not (self._was_connected and self._source.done()):
            self._steps.take(LINE, "1" if connected else "0")
            self._work.note_connection(connected)
        self._was_connected = connected


class LiveWork:
    """The work on values, gaps and the state of a feed's line, of a live session or of a repeated one."""

    def __init__(
        self,
        kernel: Kernel,
        feed: LiveFeed,
        session: LoopSession,
        clock: PacedClock,
        record: Callable[[MarketValue], object] = lambda value: None,
    ) -> None:
        self._record = record
        self._kernel = kernel
        self._feed = feed
        self._session = session
        self._clock = clock
        self._with_depth: dict[str, None] = {}
        """Symbols that have shown price levels of their book, as an ordered set; at most one per instrument."""

    async def deliver(self, value: MarketValue) -> None:
        """Deliver a value to the kernel."""
        if value.__class__ is BookUpdate:
            self._with_depth[value.symbol] = None
        self._record(value)
        await self._session.deliver(value, self._clock.time_ns())

    async def report_gap(self, gap: FeedGap) -> None:
        """Raise AN010, and mark the books of the symbols concerned as unknown."""
        symbols = gap.symbols or tuple(self._feed.instruments)
        named = ", ".join(symbols[:5]) + (f" and {len(symbols) - 5} more" if len(symbols) > 5 else "")
        self._report_fault(f"values of {named} are missing: {kept_text(gap.reason)}")
        now_ns = self._clock.time_ns()
        for symbol in symbols:
            if symbol in self._with_depth:
                unknown = BookUpdate(symbol, now_ns, (), (), after_gap=True)
                self._record(unknown)
                await self._session.deliver(unknown, now_ns)

    def note_connection(self, connected: bool) -> None:
        """Log that the feed is connected from now on, or raise AN010 because it is no longer."""
        if connected:
            self._kernel.notices.say("INFO", f"feed {self._feed.name}: connected")
        else:
            self._report_fault("not connected: prices grow old until it is again")

    def _report_fault(self, what: str) -> None:
        """Log a fault of the feed and raise AN010."""
        message = f"feed {self._feed.name}: {what}"
        self._kernel.notices.say("WARNING", message)
        self._kernel.on_code("AN010", message)
