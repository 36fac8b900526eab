"""Drives a session on the virtual clock: as fast as values come, or at a multiple of real time.

The scheduler draws the values itself; the next one only when nothing is queued. Nothing in it waits, so a
coroutine is run to its end on the spot. Every now and then it stands between two values, and whoever else lives
on the event loop gets a turn; that changes nothing in the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import chain
from typing import Final

from qts.clock import PacedClock, stopwatch_ns
from qts.event.gc_control import controlled_gc
from qts.event.stream import Stream
from qts.market.contracts import MarketValue
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.kernel import Kernel
from qts.runtime.session.progress import ROWS_PER_PROGRESS, Progress, share_of

_TURN_NS: Final = 50_000_000
"""Real time after which the event loop gets a turn, looked at every :data:`ROWS_PER_PROGRESS` values."""


async def run_replay(
    kernel: Kernel, values: Iterator[MarketValue], progress: Progress, stop: StopFlag, pace: PacedClock | None
) -> bool:
    """Pull every value on the running event loop, which gets a turn about every 50 ms. True at the input's end.

    ``pace`` slows the session down to a multiple of real time; decisions are the same with and without it.
    """
    with closing(_turns(kernel, values, progress, stop, pace)) as turns:
        for until_ns in turns:
            await asyncio.sleep(0)
            if pace is not None:
                await pace.sleep_until_ns(until_ns)
    return not stop.requested


def run_virtual(
    kernel: Kernel, values: Iterator[MarketValue], progress: Progress, stop: StopFlag, pace: PacedClock | None
) -> bool:
    """Do the same as :func:`run_replay` where no event loop runs; the thread is blocked until the end."""
    for until_ns in _turns(kernel, values, progress, stop, pace):
        if pace is not None:
            pace.wait_until_ns(until_ns, lambda: stop.requested)
    return not stop.requested


def _turns(
    kernel: Kernel, values: Iterator[MarketValue], progress: Progress, stop: StopFlag, pace: PacedClock | None
) -> Generator[int, None, None]:
    """Run the session piece by piece; after each the caller waits until ``pace`` shows the yielded moment (ns)."""
    with controlled_gc() as collector:

        def seen(share: float | None, moment_ns: int) -> None:
            collector.maybe_collect(quiet=False)
            progress(share, moment_ns)

        drawn = _Drawn(kernel, values, seen, stop, pace)
        stream = drawn.stream = kernel.market.stream(drawn.payloads())
        while not stream.ended:
            stream.paused = False
            kernel.dispatcher.run_inline(stream=stream)
            yield drawn.until_ns
    run_to_completion(kernel.drain())


class _Drawn:
    """The values of a replay as the scheduler draws them: each accepted before it is given."""

    stream: Stream

    def __init__(
        self,
        kernel: Kernel,
        values: Iterator[MarketValue],
        progress: Progress,
        stop: StopFlag,
        pace: PacedClock | None,
    ) -> None:
        self._kernel = kernel
        self._values = values
        self._progress = progress
        self._stop = stop
        self._pace = pace
        self._share = share_of(kernel.parts.feed)
        self._turn_ends_ns = stopwatch_ns() + _TURN_NS
        self.until_ns = 0
        """What the caller waits for after this turn, on the clock of ``pace``."""

    def payloads(self) -> Iterator[MarketValue | None]:
        """Give each value after it was accepted; None after anything else that the scheduler must look at."""
        kernel, stop, pace = self._kernel, self._stop, self._pace
        accept, due = kernel.market.accept, kernel.due
        left = ROWS_PER_PROGRESS
        held = () if kernel.pending_value is None else (kernel.pending_value,)
        yield from self._due_work()
        for value in chain(held, () if stop.requested else self._values):
            left -= 1
            if not left or pace is not None:
                kernel.pending_value = value  # whoever has a turn meanwhile must not lose it
                if left <= 0:
                    left = ROWS_PER_PROGRESS
                    self._report(value)
                    if stopwatch_ns() >= self._turn_ends_ns:
                        yield from self._turn(0)
                if pace is not None:
                    while pace.time_ns() < value.ts_ns and not stop.requested:
                        yield from self._turn(min(value.ts_ns, pace.time_ns() + round(_TURN_NS * pace.speed)))
                kernel.pending_value = None
            if value.ts_ns >= due.wake_ns:
                kernel.pending_value = value  # a checkpoint among the appointments must not lose it
                while kernel.run_scheduled_task(value.ts_ns):
                    yield None
                    yield from self._due_work()
                kernel.pending_value = None
            yield value if accept(value) else None
            if due.pending:
                yield from self._due_work()
            if stop.requested:
                return

    def _report(self, value: MarketValue) -> None:
        self._kernel.due.on_rows(self._kernel.intake.rows)
        self._progress(self._share(), value.ts_ns)

    def _turn(self, until_ns: int) -> Iterator[None]:
        """Let the scheduler return to its caller, who waits until ``pace`` shows ``until_ns``."""
        self.until_ns = until_ns
        self.stream.paused = True
        yield None
        self._turn_ends_ns = stopwatch_ns() + _TURN_NS

    def _due_work(self) -> Iterator[None]:
        """What waits for a quiet moment, piece by piece, each followed by a look at the queues."""
        while self._kernel.due.pending:
            run_to_completion(self._kernel.run_due_work())
            yield None
