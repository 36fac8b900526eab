"""Drives a session on the event loop: each value of a feed at its time, on a real or accelerated clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from itertools import chain

from qts.clock import PacedClock
from qts.market.contracts import MarketValue
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.drivers.loop_session import TURN_NS, on_loop
from qts.runtime.kernel import Kernel
from qts.runtime.session.progress import ROWS_PER_PROGRESS, Progress


async def run_paced(
    kernel: Kernel,
    values: Iterator[MarketValue],
    progress: Progress,
    stop: StopFlag,
    clock: PacedClock,
    listen: Callable[[], Awaitable[object]],
    hear: Callable[[], object],
) -> bool:
    """Give each value at its time on the running event loop. True when the input came to its end.

    ``listen`` is called every turn (0.05 s of real time at the latest), and at once when the kill switch is
    pressed: it takes what operators want. ``hear`` is called as often when the switch is pressed, also while all
    this waits for a disk: it sends stops on their way.
    """
    kill = kernel.parts.kill
    turn_ns = round(TURN_NS * clock.speed)
    async with on_loop(kernel, clock, progress, listen, hear) as session:
        left = 1
        for value in chain((kernel.pending_value,) if kernel.pending_value is not None else (), values):
            kernel.pending_value = value
            while clock.time_ns() < value.ts_ns:
                if stop.requested:
                    return False
                await session.run_scheduled_tasks(clock.time_ns())
                await session.look_around()
                await clock.sleep_until_ns(min(value.ts_ns, clock.time_ns() + turn_ns))
            await session.give(value, value.ts_ns)
            left -= 1
            if not left:
                left = ROWS_PER_PROGRESS  # a session that is behind its clock never waits, but is seen and heard
                kernel.due.on_rows(kernel.intake.rows)
                await session.look_around()
            elif kill.is_pressed():
                await listen()
            # Rows that are late come as fast as they can be taken: a fill must not wait for all of them.
            await session.yield_to_handlers()
            if stop.requested:
                return False
        await session.close_day()
        return True
