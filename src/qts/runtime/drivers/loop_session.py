"""The part of a session on the event loop that its drivers share: start, work between values, end.

:mod:`qts.runtime.drivers.paced_driver` and :mod:`qts.runtime.drivers.live_driver` differ only in where values come
from.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from qts.clock import NS_PER_S, NS_PER_US, PacedClock, from_ns, stopwatch_ns, to_ns
from qts.errors import StorageError
from qts.event.contracts import EventPriority
from qts.market.contracts import Bar, MarketValue
from qts.runtime.control.kill_switch import KillSwitch
from qts.runtime.kernel import Kernel
from qts.runtime.session.progress import Progress, share_of
from qts.runtime.session.schedule import AFTER_CLOSE

POLL_INTERVAL_NS: Final = 50_000_000
"""Real time after which a driver does its periodic work while no value comes."""
_SENDS_OR_BOOKS: Final = ("forced-exits", "unknown-orders")
"""The background work that may send or book; all else only asks the broker, and can go on behind a split."""
_AUDIT_NS: Final = 5 * NS_PER_S
"""Real time between two recomputations of the whole book."""


class LoopSession:
    """The work of a driver on the event loop between values. For the loop's thread alone.

    ``run_commands`` executes operators' commands. Create it with :func:`on_loop`.
    """

    def __init__(
        self, kernel: Kernel, clock: PacedClock, progress: Progress, run_commands: Callable[[], Awaitable[object]]
    ) -> None:
        self._kernel = kernel
        self._clock = clock
        self._progress = progress
        self._run_commands = run_commands
        self._share = share_of(kernel.shared.feed)
        self._begun_ns = clock.time_ns()
        self._slice_ns = kernel.shared.config.event.slice_us * NS_PER_US
        self._slice_ends_ns = self._audit_ns = self._compared_ns = 0
        self.stop_task: asyncio.Task[None] | None = None
        """The task that begins stops while the kill switch is pressed; it ends only by an error."""

    async def run_periodic_work(self) -> None:
        """Report the progress, execute operators' commands, and request comparisons and audits that are due.

        Every 5 s an audit of the whole book; a comparison with a real broker's books as often as
        :attr:`~qts.runtime.orders.reconciliation.OrderReconciler.interval_ns` says.
        Raises what stopped the task that begins stops, and StorageError when the store has failed.
        """
        if self.stop_task is not None and self.stop_task.done():
            self.stop_task.result()  # raises the error that ended it
        now_ns = self._clock.time_ns()
        self._progress(self._share_of_day(now_ns), now_ns)
        await self._run_commands()
        if stopwatch_ns() >= self._audit_ns:
            self._audit_ns = stopwatch_ns() + _AUDIT_NS
            self._kernel.due.audit = self._kernel.due.pending = True
        kernel = self._kernel
        if not kernel.venue.is_simulated and stopwatch_ns() - self._compared_ns >= kernel.unresolved.interval_ns:
            self._compared_ns = stopwatch_ns()
            kernel.due.resolve_soon()

    def is_anything_due(self) -> bool:
        """Return whether tasks or due work have come due by the real time, or the clock was held for a second."""
        real_ns, due = self._clock.real_ns(), self._kernel.due
        return due.pending or real_ns >= due.wake_ns or real_ns - self._clock.time_ns() >= NS_PER_S

    async def run_scheduled_tasks(self, now_ns: int) -> None:
        """Run the tasks due by ``now_ns`` (ns of the session's clock) one after the other, and due work."""
        kernel = self._kernel
        if now_ns >= kernel.due.wake_ns:
            while kernel.run_scheduled_task(now_ns):
                await kernel.run_due_work()
                if kernel.is_before_actions:
                    await self._finish_work()
        await kernel.run_due_work()

    async def _finish_work(self) -> None:
        """Wait, while there is time, until what was executed and sent before a split is booked and answered."""
        kernel, limit_ms = self._kernel, self._kernel.shared.config.event.stop_timeout_ms
        await kernel.dispatcher.stats.wait_until_idle(limit_ms)
        await kernel.background.wait(limit_ms / 1_000, _SENDS_OR_BOOKS)

    async def deliver(self, value: MarketValue, now_ns: int) -> None:
        """Deliver a value to the kernel after the tasks due by ``now_ns``; a checkpoint in between keeps it."""
        kernel = self._kernel
        kernel.pending_value = value
        await self.run_scheduled_tasks(now_ns)
        if isinstance(value, Bar) and value.symbol in kernel.triggers.bound:
            accepted = kernel.market.accept(value)
            await self._execute_triggers()
            kernel.pending_value = None
            if accepted:
                kernel.market.publish_accepted(value)
            return
        kernel.pending_value = None
        kernel.on_market_value(value)
        await kernel.run_due_work()  # a stop may have been reached

    async def _execute_triggers(self) -> None:
        """Sell what a bar has triggered, before any strategy sees the bar, while there is time."""
        kernel = self._kernel
        limit_ms = kernel.shared.config.event.stop_timeout_ms
        await kernel.dispatcher.stats.wait_until_idle(limit_ms)  # what has filled in it is booked first
        while kernel.triggers.is_due and await kernel.triggers.step(kernel.shared.clock.time_ns()):
            await kernel.dispatcher.stats.wait_until_idle(limit_ms)

    async def yield_to_handlers(self) -> None:
        """Yield to the scheduler when a P0 event waits or the driver's time slice is over."""
        waiting = self._kernel.dispatcher.stats.is_waiting(EventPriority.P0_CRITICAL)
        if waiting or stopwatch_ns() >= self._slice_ends_ns:
            await asyncio.sleep(0)
            self._slice_ends_ns = stopwatch_ns() + self._slice_ns

    async def close_day(self) -> None:
        """Close the market's day after the last value, when the events of that value are handled or time is up."""
        kernel, limit_ms = self._kernel, self._kernel.shared.config.event.stop_timeout_ms
        await kernel.dispatcher.stats.wait_until_idle(limit_ms)
        await kernel.run_due_work()
        await kernel.background.wait(limit_ms / 1_000)
        await kernel.close_day()  # orders expire; stopping drains what that publishes

    def _share_of_day(self, now_ns: int) -> float | None:
        """Return the share of the time to the end of the market's day that has passed, 0..1.

        Values come unevenly, so counting them would give a wrong time left. A market that never closes has no end
        of the day: there it is the share of the input, None while unknown.
        """
        calendar = self._kernel.shared.calendar
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
    run_commands: Callable[[], Awaitable[object]],
    begin_stops: Callable[[], object],
    *,
    by_hand: bool = False,
) -> AsyncIterator[LoopSession]:
    """Run the dispatcher and the store writer on the running loop within the block; drain and stop both at its end.

    ``begin_stops`` is called every 0.05 s of real time while the kill switch is pressed, also while everything else
    waits for a disk. Any exception in the block or in a callback of the loop makes the store writer give up,
    because the work under way may be half done and stopping would write a checkpoint of it. ``by_hand``: as in
    :meth:`~qts.event.dispatcher.EventDispatcher.start`.
    """
    kill = kernel.shared.kill
    loop = asyncio.get_running_loop()

    def on_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if "handle" in context and error is not None:  # the callback may have been the one that schedules the next
            kernel.shared.record.give_up("a callback of the event loop", error)
        loop.default_exception_handler(context)

    session = LoopSession(kernel, clock, progress, run_commands)
    async with kernel.shared.record.running():
        loop.set_exception_handler(on_loop_error)
        await kernel.dispatcher.start(by_hand=by_hand)
        stop_task = loop.create_task(_begin_stops_while_pressed(kill, begin_stops), name="qts-stops")
        session.stop_task = stop_task
        try:
            yield session
        except BaseException as error:
            kernel.shared.record.give_up("the session", error)
            raise
        finally:
            try:
                # A failed disk may have ended the session just before: the orders are cancelled all the same.
                if kill.is_pressed():
                    with suppress(StorageError):
                        await run_commands()
            except BaseException as error:
                kernel.shared.record.give_up("the session", error)
                raise
            finally:
                await _end(kernel)
                stop_task.cancel()
                loop.set_exception_handler(None)


async def _end(kernel: Kernel) -> None:
    """Stop the background work, the dispatcher and the gateway; after a failure wait for the gateway alone.

    Handlers cannot finish then, and their events are in the journal for the resumed session. But a stop may just
    have requested cancels, and those still have to be sent.
    """
    record, timeout_s = kernel.shared.record, kernel.shared.config.event.stop_timeout_ms / 1_000
    await _end_background(kernel, 0 if record.has_failed else timeout_s)
    try:
        await kernel.dispatcher.stop(whole_p0=not record.has_failed)
    finally:
        await kernel.sender.close(timeout_s)


async def _end_background(kernel: Kernel, grace_s: float) -> None:
    """Wait ``grace_s`` for the background work, then cancel it; a failure makes the store writer give up."""
    try:
        await kernel.background.wait(grace_s)
    except Exception as error:  # noqa: BLE001 - the edge of the session: what comes after it must be stopped, too
        kernel.shared.record.give_up("background work", error)
    await kernel.background.cancel()


async def _begin_stops_while_pressed(kill: KillSwitch, begin_stops: Callable[[], object]) -> None:
    """Call ``begin_stops`` every 0.05 s of real time while the kill switch is pressed; never returns."""
    real = PacedClock(from_ns(0))  # an operator waits in real time, whatever the session's clock shows
    while True:
        await real.sleep_until_ns(real.time_ns() + POLL_INTERVAL_NS)
        if kill.is_pressed():
            begin_stops()
