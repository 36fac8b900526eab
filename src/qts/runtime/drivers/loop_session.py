"""A session on the event loop, as far as its drivers share it: begin, turns between values, end.

:mod:`qts.runtime.drivers.paced_driver` and :mod:`qts.runtime.drivers.live_driver` differ in where values come from
alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from qts.clock import NS_PER_S, NS_PER_US, PacedClock, from_ns, stopwatch_ns, to_ns
from qts.errors import StorageError
from qts.event.contracts import EventPriority
from qts.market.contracts import MarketValue
from qts.runtime.control.kill_switch import KillSwitch
from qts.runtime.kernel import Kernel
from qts.runtime.session.progress import Progress, share_of
from qts.runtime.session.schedule import AFTER_CLOSE

TURN_NS: Final = 50_000_000
"""Real time after which a driver looks around while no value comes."""
_AUDIT_NS: Final = 5 * NS_PER_S
"""Real time between two recomputations of the whole book."""


class LoopSession:
    """What a driver on the event loop does between values; on the loop's thread alone.

    ``listen`` takes what operators want. Make it with :func:`on_loop`.
    """

    def __init__(
        self, kernel: Kernel, clock: PacedClock, progress: Progress, listen: Callable[[], Awaitable[object]]
    ) -> None:
        self._kernel = kernel
        self._clock = clock
        self._progress = progress
        self._listen = listen
        self._share = share_of(kernel.parts.feed)
        self._begun_ns = clock.time_ns()
        self._slice_ns = kernel.parts.config.event.slice_us * NS_PER_US
        self._slice_ends_ns = self._audit_ns = 0
        self.hearing: asyncio.Task[None] | None = None

    async def look_around(self) -> None:
        """Tell the progress, take what operators want, now and then have the whole book recomputed."""
        if self.hearing is not None and self.hearing.done():
            self.hearing.result()  # it ends by an error only
        now_ns = self._clock.time_ns()
        self._progress(self._share_of_day(now_ns), now_ns)
        await self._listen()
        if stopwatch_ns() >= self._audit_ns:
            self._audit_ns = stopwatch_ns() + _AUDIT_NS
            self._kernel.due.audit = self._kernel.due.pending = True

    async def run_scheduled_tasks(self, now_ns: int) -> None:
        """Keep what is due by ``now_ns`` (ns of the session's clock), one after the other, and the due work."""
        kernel = self._kernel
        if now_ns >= kernel.due.wake_ns:
            while kernel.run_scheduled_task(now_ns):
                await kernel.run_due_work()
        await kernel.run_due_work()

    async def give(self, value: MarketValue, now_ns: int) -> None:
        """Give one value to the kernel, what is due by ``now_ns`` kept before; a checkpoint meanwhile holds it."""
        kernel = self._kernel
        kernel.pending_value = value
        await self.run_scheduled_tasks(now_ns)
        kernel.pending_value = None
        kernel.on_market_value(value)

    async def yield_to_handlers(self) -> None:
        """Let the scheduler have its slice when a fill waits or the present slice is over."""
        waiting = self._kernel.dispatcher.stats.is_waiting(EventPriority.P0_CRITICAL)
        if waiting or stopwatch_ns() >= self._slice_ends_ns:
            await asyncio.sleep(0)
            self._slice_ends_ns = stopwatch_ns() + self._slice_ns

    async def close_day(self) -> None:
        """After the last value: what it has caused belongs before the close, as long as that ends in time."""
        kernel, limit_ms = self._kernel, self._kernel.parts.config.event.stop_timeout_ms
        await kernel.dispatcher.stats.at_rest(limit_ms)
        await kernel.run_due_work()
        await kernel.background.finished(limit_ms / 1_000)
        await kernel.close_day()  # orders expire; stopping drains what that publishes

    def _share_of_day(self, now_ns: int) -> float | None:
        """Return how much of the time to the end of the market's day has passed, 0..1.

        Values come unevenly, so counting them would promise a wrong time left. A market that never closes has no
        end of the day: then the share of the input.
        """
        calendar = self._kernel.parts.calendar
        close = calendar.close(calendar.local_date(from_ns(now_ns)))
        if close is None:
            return self._share()
        whole = to_ns(close + AFTER_CLOSE) - self._begun_ns
        return min(max((now_ns - self._begun_ns) / whole, 0.0), 1.0) if whole > 0 else 1.0


@asynccontextmanager
async def on_loop(
    kernel: Kernel,
    clock: PacedClock,
    progress: Progress,
    listen: Callable[[], Awaitable[object]],
    hear: Callable[[], object],
) -> AsyncIterator[LoopSession]:
    """Run the dispatcher and the record on the running loop within the block; drain and stop both at its end.

    ``hear`` is called every 0.05 s of real time while the kill switch is pressed, also while all else waits for a
    disk: it sends stops on their way. Whatever is raised in the block or in a callback of the loop makes the record
    give up, because what was under way may be half done and stopping writes checkpoints.
    """
    kill = kernel.parts.kill
    loop = asyncio.get_running_loop()

    def on_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if "handle" in context and error is not None:  # a callback that should have called the next one, perhaps
            kernel.parts.record.give_up("a callback of the event loop", error)
        loop.default_exception_handler(context)

    session = LoopSession(kernel, clock, progress, listen)
    async with kernel.parts.record.running():
        loop.set_exception_handler(on_loop_error)
        await kernel.dispatcher.start()
        hearing = loop.create_task(_hear_always(kill, hear), name="qts-hear")
        session.hearing = hearing
        try:
            yield session
        except BaseException as error:
            kernel.parts.record.give_up("the session", error)
            raise
        finally:
            try:
                # The disk may have ended the session just then: the orders are cancelled all the same.
                if kill.is_pressed():
                    with suppress(StorageError):
                        await listen()
            except BaseException as error:
                kernel.parts.record.give_up("the session", error)
                raise
            finally:
                await _end(kernel)
                hearing.cancel()
                loop.set_exception_handler(None)


async def _end(kernel: Kernel) -> None:
    """Stop what goes on beside the prices, the dispatcher, the sender; after a failure wait for the sender alone.

    Handlers cannot finish then, and what they were given is in the journal for the resume. But a stop may just have
    asked for cancels, and they are no less wanted.
    """
    record, timeout_s = kernel.parts.record, kernel.parts.config.event.stop_timeout_ms / 1_000
    await _end_background(kernel, 0 if record.has_failed else timeout_s)
    try:
        await kernel.dispatcher.stop(whole_p0=not record.has_failed)
    finally:
        await kernel.sender.close(timeout_s)


async def _end_background(kernel: Kernel, grace_s: float) -> None:
    """Let what goes on beside the prices come to its end; what is too slow is cut off, and its failure told."""
    try:
        await kernel.background.finished(grace_s)
    except Exception as error:  # noqa: BLE001 - the edge of the session: everything after it has to be ended, too
        kernel.parts.record.give_up("work beside the prices", error)
    await kernel.background.end()


async def _hear_always(kill: KillSwitch, hear: Callable[[], object]) -> None:
    real = PacedClock(from_ns(0))  # an operator waits in real time, whatever the session's clock shows
    while True:
        await real.sleep_until_ns(real.time_ns() + TURN_NS)
        if kill.is_pressed():
            hear()
