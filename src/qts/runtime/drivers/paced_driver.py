"""Drives a session on the event loop: gives each value of a feed at its time, on a real or accelerated clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from itertools import chain

from qts.clock import PacedClock
from qts.market.contracts import MarketValue
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.drivers.loop_session import POLL_INTERVAL_NS, on_loop
from qts.runtime.kernel import Kernel
from qts.runtime.session.progress import ROWS_PER_PROGRESS, Progress


async def run_paced(
    kernel: Kernel,
    values: Iterator[MarketValue],
    progress: Progress,
    stop: StopFlag,
    clock: PacedClock,
    run_commands: Callable[[], Awaitable[object]],
    begin_stops: Callable[[], object],
) -> bool:
    """Deliver each value at its time on the running event loop. Return True when the input has ended, False on a
    stop.

    ``run_commands`` executes operators' commands; it is awaited at least every 0.05 s of real time, and at once
    when the kill switch is pressed. ``begin_stops`` sends stops ahead of all other events; it is called as often
    while the switch is pressed, also while this coroutine waits for a disk. Raises what ``run_commands`` raises,
    and StorageError when the store or the journal has failed.
    """
    kill = kernel.shared.kill
    interval_ns = round(POLL_INTERVAL_NS * clock.speed)
    async with on_loop(kernel, clock, progress, run_commands, begin_stops) as session:
        left = 1
        for value in chain((kernel.pending_value,) if kernel.pending_value is not None else (), values):
            kernel.pending_value = value
            while clock.time_ns() < value.ts_ns:
                if stop.requested:
                    return False
                await session.run_scheduled_tasks(clock.time_ns())
                await session.run_periodic_work()
                await clock.sleep_until_ns(min(value.ts_ns, clock.time_ns() + interval_ns))
            await session.deliver(value, value.ts_ns)
            left -= 1
            if not left:
                left = ROWS_PER_PROGRESS  # behind its clock a session never waits, but still reports and obeys
                kernel.due.on_rows(kernel.intake.rows)
                await session.run_periodic_work()
            elif kill.is_pressed():
                await run_commands()
            # Late rows come as fast as they can be taken: a fill must not wait for all of them.
            await session.yield_to_handlers()
            if stop.requested:
                return False
        await session.close_day()
        return True
