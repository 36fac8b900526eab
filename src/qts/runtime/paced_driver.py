"""Drives a session on the event loop: each value of a feed at its time, on a real or accelerated clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from itertools import chain
from typing import Final

from qts.clock import NS_PER_S, NS_PER_US, PacedClock, from_ns, stopwatch_ns, to_ns
from qts.errors import StorageError
from qts.event.contracts import EventPriority
from qts.market.contracts import MarketValue
from qts.runtime.kernel import Kernel
from qts.runtime.kill_switch import KillSwitch
from qts.runtime.progress import ROWS_PER_PROGRESS, Progress
from qts.runtime.schedule import AFTER_CLOSE
from qts.runtime.stop_flag import StopFlag

_TURN_NS: Final = 50_000_000
_AUDIT_NS: Final = 5 * NS_PER_S
"""Real time between two recomputations of the whole book while a session is paced."""


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
    turn_ns = round(_TURN_NS * clock.speed)
    slice_ns = kernel.parts.config.event.slice_us * NS_PER_US
    audit_ns = 0
    begun_ns = clock.time_ns()

    async def look_around() -> None:
        nonlocal audit_ns
        if hearing.done():
            hearing.result()  # it ends by an error only
        now_ns = clock.time_ns()
        progress(_share_of_day(kernel, begun_ns, now_ns), now_ns)
        await listen()
        if stopwatch_ns() >= audit_ns:
            audit_ns = stopwatch_ns() + _AUDIT_NS
            kernel.audit_due = kernel.attention = True

    async with kernel.parts.record.off_loop():
        await kernel.dispatcher.start()
        hearing = asyncio.get_running_loop().create_task(_hear_always(kill, hear), name="qts-hear")
        try:
            left, until_ns = 1, 0
            for value in chain((kernel.in_hand,) if kernel.in_hand is not None else (), values):
                kernel.in_hand = value
                while clock.time_ns() < value.ts_ns:
                    if stop.requested:
                        return False
                    await _keep_appointments(kernel, clock.time_ns())
                    await look_around()
                    await clock.sleep_until_ns(min(value.ts_ns, clock.time_ns() + turn_ns))
                await _keep_appointments(kernel, value.ts_ns)
                kernel.in_hand = None
                kernel.take(value)
                left -= 1
                if not left:
                    left = (
                        ROWS_PER_PROGRESS  # a session that is behind its clock never waits, but is seen and heard
                    )
                    kernel.checkpoint_if_due()
                    await look_around()
                elif kill.is_pressed():
                    await listen()
                # Rows that are late come as fast as they can be taken: a fill must not wait for all of them.
                if kernel.dispatcher.is_waiting(EventPriority.P0_CRITICAL) or stopwatch_ns() >= until_ns:
                    await asyncio.sleep(0)
                    until_ns = stopwatch_ns() + slice_ns
                if stop.requested:
                    return False
            # What the last value has caused belongs before the close, as long as it does not take for ever.
            await kernel.dispatcher.at_rest(kernel.parts.config.event.stop_timeout_ms)
            await kernel.attend()
            await kernel.close_day()  # orders expire; stopping drains what that publishes
            return True
        except BaseException as error:  # what was under way may be half done, and stopping writes checkpoints
            kernel.parts.record.give_up("the session", error)
            raise
        finally:
            # The disk may have ended the session just then: the orders are cancelled all the same.
            if kill.is_pressed():
                with suppress(StorageError):
                    await listen()
            # After a failure handlers cannot finish, and what they were given is in the journal for the resume.
            await kernel.dispatcher.stop(whole_p0=not kernel.parts.record.has_failed)
            hearing.cancel()


async def _hear_always(kill: KillSwitch, hear: Callable[[], object]) -> None:
    real = PacedClock(from_ns(0))  # an operator waits in real time, whatever the session's clock shows
    while True:
        await real.sleep_until_ns(real.time_ns() + _TURN_NS)
        if kill.is_pressed():
            hear()


def _share_of_day(kernel: Kernel, begun_ns: int, now_ns: int) -> float | None:
    """How much of the time from ``begun_ns`` to the end of the market's day has passed, 0..1.

    Values come unevenly, so counting them would promise a wrong time left. A market that never closes has no end of
    the day: then the share of the input.
    """
    calendar = kernel.parts.calendar
    close = calendar.close(calendar.local_date(from_ns(now_ns)))
    if close is None:
        return kernel.parts.feed.progress()
    whole = to_ns(close + AFTER_CLOSE) - begun_ns
    return min(max((now_ns - begun_ns) / whole, 0.0), 1.0) if whole > 0 else 1.0


async def _keep_appointments(kernel: Kernel, now_ns: int) -> None:
    if now_ns >= kernel.wake_ns:
        while kernel.keep_appointment(now_ns):
            await kernel.attend()
    await kernel.attend()
