"""Drives a session on the virtual clock: as fast as values come, or at a multiple of real time.

The scheduler draws the values itself; the next one only when nothing is queued.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from qts.clock import PacedClock
from qts.event.gc_control import controlled_gc
from qts.event.stream import Stream
from qts.market.contracts import MarketValue
from qts.runtime.kernel import Kernel
from qts.runtime.progress import ROWS_PER_PROGRESS, Progress
from qts.runtime.stop_flag import StopFlag
from qts.runtime.sync import complete
from qts.runtime.wiring import EVENT_OF_VALUE


def run_virtual(
    kernel: Kernel, values: Iterator[MarketValue], progress: Progress, stop: StopFlag, pace: PacedClock | None
) -> bool:
    """Pull every value; the next one only when nothing is queued. True when the input came to its end.

    ``pace`` slows the session down to a multiple of real time; decisions are the same with and without it.
    """
    with controlled_gc() as collector:

        def seen(share: float | None, moment_ns: int) -> None:
            collector.maybe_collect(quiet=False)
            progress(share, moment_ns)

        stream = Stream(_drawn(kernel, values, seen, stop, pace), EVENT_OF_VALUE, "feed")
        kernel.dispatcher.run_inline(stream=stream)
    kernel.settle()
    return not stop.requested


def _drawn(
    kernel: Kernel, values: Iterator[MarketValue], progress: Progress, stop: StopFlag, pace: PacedClock | None
) -> Iterator[MarketValue | None]:
    """The values, each taken in before it is given; None after anything else that the dispatcher must look at.

    The dispatcher asks for the next one only when nothing is queued.
    """
    absorb = kernel.intake.absorb
    left = ROWS_PER_PROGRESS
    held = () if kernel.in_hand is None else (kernel.in_hand,)
    yield from _attended(kernel)
    for value in chain(held, () if stop.requested else values):
        left -= 1
        if not left or pace is not None:
            if left <= 0:
                left = ROWS_PER_PROGRESS
                kernel.checkpoint_if_due()
                progress(kernel.parts.feed.progress(), value.ts_ns)
            if pace is not None:
                pace.wait_until_ns(value.ts_ns, lambda: stop.requested)
        if value.ts_ns >= kernel.wake_ns:
            kernel.in_hand = value  # a checkpoint among the appointments must not lose it
            while kernel.keep_appointment(value.ts_ns):
                yield None
                yield from _attended(kernel)
            kernel.in_hand = None
        yield value if absorb(value) else None
        if kernel.attention:
            yield from _attended(kernel)
        if stop.requested:
            return


def _attended(kernel: Kernel) -> Iterator[None]:
    """What waits for a quiet moment, piece by piece, each followed by a look at the queues."""
    while kernel.attention:
        complete(kernel.attend())
        yield None
