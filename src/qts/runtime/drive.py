"""How time passes: the virtual clock runs as fast as rows come, the paced one on the event loop.

Both drive the same kernel; only who moves the clock differs.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from qts.clock import PacedClock, from_ns
from qts.errors import StateError
from qts.market.contracts import MarketValue

if TYPE_CHECKING:
    from qts.runtime.kernel import Kernel

T = TypeVar("T")
ROWS_PER_PROGRESS = 256
_TURN_NS = 50_000_000


class Progress(Protocol):
    """Told now and then how far the session is: share of the input 0..1 (None unknown) and its time."""

    def __call__(self, share: float | None, moment: str, /) -> None: ...


class StopFlag:
    """Asks the driver to stop after the value in hand; set from a signal handler."""

    def __init__(self) -> None:
        self.requested = False

    def request(self) -> None:
        self.requested = True


def complete(step: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends to its end; the virtual clock has no loop to wait on.

    Raises StateError when it does suspend.
    """
    try:
        step.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    step.close()
    raise StateError(f"{step!r} waited for something on the virtual clock")


def run_virtual(
    kernel: Kernel, values: Iterator[MarketValue], progress: Progress, stop: StopFlag, pace: PacedClock | None
) -> bool:
    """Pull every value; the next one only when nothing is queued. True when the input came to its end.

    ``pace`` slows the session down to a multiple of real time; decisions are the same with and without it.
    """
    take = kernel.take
    left, ended = ROWS_PER_PROGRESS, False
    held = kernel.in_hand

    def pull() -> bool:
        """Bring one more thing to do; the dispatcher calls this when nothing is queued."""
        nonlocal left, held, ended
        if kernel.attention:
            complete(kernel.attend())
            return True
        value = held
        if value is None:
            value = None if stop.requested else next(values, None)
            if value is None:
                ended = True
                return False
            left -= 1
            if not left or pace is not None:
                look_around(value)
        if value.ts_ns >= kernel.wake_ns:
            held = kernel.in_hand = value  # a checkpoint among the appointments must not lose it
            if kernel.keep_appointment(value.ts_ns):
                return True
            held = kernel.in_hand = None
        elif held is not None:
            held = kernel.in_hand = None
        take(value)
        return True

    def look_around(value: MarketValue) -> None:
        """Now and then, and before a pause: tell how far we are, see whether a checkpoint is due."""
        nonlocal left
        if left <= 0:
            left = ROWS_PER_PROGRESS
            kernel.checkpoint_if_due()
            progress(kernel.parts.feed.progress(), from_ns(value.ts_ns).isoformat())
        if pace is not None:
            pace.wait_until_ns(value.ts_ns, lambda: stop.requested)

    with _quiet_garbage_collector():
        while not ended:
            kernel.dispatcher.run_inline(pull=pull)
    kernel.settle()
    return not stop.requested


@contextmanager
def _quiet_garbage_collector() -> Iterator[None]:
    """Freeze what exists and collect only when told to: at the end of each session day."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()


async def run_paced(
    kernel: Kernel,
    values: Iterator[MarketValue],
    progress: Progress,
    stop: StopFlag,
    clock: PacedClock,
    listen: Callable[[], object],
) -> bool:
    """Give each value at its time on the running event loop. True when the input came to its end.

    ``listen`` is called every turn (0.05 s of real time at the latest): it takes what operators want.
    """
    turn_ns = round(_TURN_NS * clock.speed)
    await kernel.dispatcher.start()
    try:
        left = ROWS_PER_PROGRESS
        for value in chain((kernel.in_hand,) if kernel.in_hand is not None else (), values):
            kernel.in_hand = value
            while clock.time_ns() < value.ts_ns:
                if stop.requested:
                    return False
                await _keep_appointments(kernel, clock.time_ns())
                progress(kernel.parts.feed.progress(), clock.now().isoformat())
                listen()
                await clock.sleep_until_ns(min(value.ts_ns, clock.time_ns() + turn_ns))
            await _keep_appointments(kernel, value.ts_ns)
            kernel.in_hand = None
            kernel.take(value)
            left -= 1
            if not left:
                left = ROWS_PER_PROGRESS
                kernel.checkpoint_if_due()
                listen()
                await asyncio.sleep(0)
            if stop.requested:
                return False
        await kernel.attend()
        kernel.close_day()  # orders expire; stopping drains what that publishes
        return True
    finally:
        await kernel.dispatcher.stop()


def fastest_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop where it is installed (extra ``fast``), else the loop of the standard library."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


async def _keep_appointments(kernel: Kernel, now_ns: int) -> None:
    if now_ns >= kernel.wake_ns:
        while kernel.keep_appointment(now_ns):
            await kernel.attend()
    await kernel.attend()
