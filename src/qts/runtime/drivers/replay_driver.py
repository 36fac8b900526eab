"""Drives a session on the virtual clock: as fast as values come, or at a multiple of real time.

The scheduler draws the values itself, the next one only when nothing is queued. Nothing in it waits, so a coroutine
is run to completion at once. About every 50 ms it pauses between two values so that other tasks of the event loop
can run; that changes nothing in the session.
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
from qts.runtime.drivers.straight_rows import StraightRows
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.kernel import Kernel
from qts.runtime.session.progress import ROWS_PER_PROGRESS, Progress, share_of

_YIELD_INTERVAL_NS: Final = 50_000_000
"""Real time after which the session yields to the event loop, checked every :data:`ROWS_PER_PROGRESS` values."""


async def run_replay(
    kernel: Kernel, values: Iterator[MarketValue], progress: Progress, stop: StopFlag, pace: PacedClock | None
) -> bool:
    """Deliver every value on the running event loop, yielding to it about every 50 ms. Return False after a stop.

    ``pace`` slows the session down to a multiple of real time, None runs it as fast as possible; decisions are the
    same either way.
    """
    with closing(_slices(kernel, values, progress, stop, pace)) as slices:
        for until_ns in slices:
            await asyncio.sleep(0)
            if pace is not None:
                await pace.sleep_until_ns(until_ns)
    return not stop.requested


def run_virtual(
    kernel: Kernel, values: Iterator[MarketValue], progress: Progress, stop: StopFlag, pace: PacedClock | None
) -> bool:
    """Run like :func:`run_replay` where no event loop runs; the thread is blocked until the end."""
    for until_ns in _slices(kernel, values, progress, stop, pace):
        if pace is not None:
            pace.wait_until_ns(until_ns, lambda: stop.requested)
    return not stop.requested


def _slices(
    kernel: Kernel, values: Iterator[MarketValue], progress: Progress, stop: StopFlag, pace: PacedClock | None
) -> Generator[int, None, None]:
    """Run the session in slices; after each the caller waits until ``pace`` shows the yielded moment (ns)."""
    with controlled_gc(collects=False) as collector:  # a collection would take as long as years of daily bars

        def report(share: float | None, moment_ns: int) -> None:
            collector.maybe_collect(quiet=False)
            progress(share, moment_ns)

        replay_input = _ReplayInput(kernel, values, report, stop, pace)
        stream = replay_input.stream = kernel.market.stream(replay_input.payloads())
        while not stream.ended:
            stream.paused = False
            kernel.dispatcher.run_inline(stream=stream)
            yield replay_input.until_ns
    run_to_completion(kernel.drain())


class _ReplayInput:
    """The values of a replay as the scheduler draws them, each accepted before it is given."""

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
        self._share = share_of(kernel.shared.feed)
        self._left = ROWS_PER_PROGRESS
        """Values until the next report, that one included."""
        self._yield_at_ns = stopwatch_ns() + _YIELD_INTERVAL_NS
        self.until_ns = 0
        """The moment (ns on the clock of ``pace``) until which the caller waits after this slice; 0: not at all."""

    def payloads(self) -> Iterator[MarketValue | None]:
        """Yield each accepted value that the scheduler has to handle, and None after any other step that has queued
        events.
        """
        kernel, stop, due = self._kernel, self._stop, self._kernel.due
        accept, straight = kernel.market.accept, None if self._pace is not None else StraightRows(kernel, stop)
        first = () if kernel.pending_value is None else (kernel.pending_value,)
        yield from self._due_work()
        values = chain(first, () if stop.requested else self._values)
        prepared: MarketValue | None = None
        while True:
            value, accepted, most = prepared, False, self._left - (prepared is None)
            if straight is not None and most > 0:
                value = straight.take(values, most, prepared)
                accepted = straight.is_accepted
                if straight.taken:
                    self._left, prepared = most - straight.taken + 1, None
                    if value is None:
                        if not self._is_idle():
                            yield None
                        yield from self._due_work()
                        if stop.requested:
                            return
            if value is None:
                value = next(values, None)
                if value is None:
                    return
            if not accepted:
                if prepared is None and (yield from self._prepare(value)) and straight is not None:
                    prepared = value  # it may be straight now
                    continue
                accepted = accept(value)
            prepared = None
            if kernel.triggers.is_due:
                yield from self._execute_triggers()
            if accepted and kernel.market.publish_ended():
                yield None
            yield value if accepted else None
            if due.pending:
                yield from self._due_work()
            if stop.requested:
                return

    def _prepare(self, value: MarketValue) -> Generator[None, None, bool]:
        """Do what comes before ``value`` is accepted: report, wait for its time, run the scheduled tasks due.

        Return whether the time of scheduled tasks had come.
        """
        kernel, stop, pace = self._kernel, self._stop, self._pace
        self._left -= 1
        if not self._left or pace is not None:
            kernel.pending_value = value  # a checkpoint taken while other tasks run must keep it
            if self._left <= 0:
                self._left = ROWS_PER_PROGRESS
                self._report(value)
                if stopwatch_ns() >= self._yield_at_ns:
                    yield from self._yield_to_loop(0)
            if pace is not None:
                if pace.time_ns() < value.ts_ns and not kernel.shared.record.is_settled:
                    run_to_completion(kernel.shared.record.begin_checkpoint())  # others may read it meanwhile
                while pace.time_ns() < value.ts_ns and not stop.requested:
                    yield from self._yield_to_loop(
                        min(value.ts_ns, pace.time_ns() + round(_YIELD_INTERVAL_NS * pace.speed))
                    )
            kernel.pending_value = None
        if value.ts_ns < kernel.due.wake_ns:
            return False
        kernel.pending_value = value  # a checkpoint among the scheduled tasks must keep it
        while kernel.run_scheduled_task(value.ts_ns):
            if not self._is_idle():
                yield None
            if kernel.due.pending:
                yield from self._due_work()
        kernel.pending_value = None
        return True

    def _report(self, value: MarketValue) -> None:
        self._kernel.due.on_rows(self._kernel.intake.rows)
        self._progress(self._share(), value.ts_ns)

    def _yield_to_loop(self, until_ns: int) -> Iterator[None]:
        """Pause the stream: the scheduler returns to the caller, who waits until ``until_ns`` of ``pace``."""
        self.until_ns = until_ns
        self.stream.paused = True
        yield None
        self._yield_at_ns = stopwatch_ns() + _YIELD_INTERVAL_NS

    def _execute_triggers(self) -> Iterator[None]:
        """Sell what the newest value has triggered, before any strategy sees the value. No checkpoint is taken."""
        yield None  # what has filled in it is booked first
        while run_to_completion(self._kernel.triggers.step(self._kernel.shared.clock.time_ns())):
            if not self._is_idle():
                yield None

    def _due_work(self) -> Iterator[None]:
        """Run the kernel's due work step by step, each step followed by a run of the queues."""
        while self._kernel.due.pending:
            run_to_completion(self._kernel.run_due_work())
            if not self._is_idle():
                yield None

    def _is_idle(self) -> bool:
        return self._kernel.dispatcher.straight.is_idle
