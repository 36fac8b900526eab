"""Drives a session on the event loop by the steps of a record: it does again what another session has done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from qts.broker.gateway.arrivals import ANSWER
from qts.clock import HeldClock
from qts.event.contracts import EventPriority, EventType
from qts.market.contracts import LiveFeed
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.drivers.live_driver import LiveWork
from qts.runtime.drivers.loop_session import LoopSession, on_loop
from qts.runtime.kernel import Kernel
from qts.runtime.session_events import SessionInfoInput
from qts.runtime.steps.contracts import (
    GAP,
    HANDLER,
    INFO,
    LINE,
    PRESSURE,
    REPORT,
    STOP,
    VALUE,
    WAITS,
    Steps,
)
from qts.runtime.steps.lines import Step
from qts.runtime.steps.repeater import StepRepeater


class _Hands:
    """Begins the steps that come from outside, and takes events for the others."""

    def __init__(self, kernel: Kernel, steps: StepRepeater) -> None:
        self._kernel = kernel
        self._steps = steps

    @property
    def has_stored(self) -> bool:
        """Return whether all rows of the book are stored."""
        return self._kernel.shared.record.is_book_stored

    def do(self, step: Step) -> None:
        """Begin ``step``, or let it begin."""
        kernel, steps = self._kernel, self._steps
        if step.kind == HANDLER:
            kernel.dispatcher.take_one(EventType(step.key))
        elif step.kind == WAITS:
            kernel.dispatcher.take_one(None)
        elif step.kind == ANSWER:
            kernel.sender.deliver_repeated()
        elif step.kind == REPORT:
            kernel.components.report_relay.pass_on(steps.take(REPORT))
        elif step.kind == PRESSURE:
            steps.take(PRESSURE, step.key)
            kernel.dispatcher.press(EventPriority[step.key])


@contextmanager
def conducted(kernel: Kernel, steps: Steps, stop: StopFlag) -> Iterator[None]:
    """Let the steps of a record be done within the block; where none is repeated nothing happens.

    On the loop. What waits for its turn there raises DataError where the session does not do what the record has,
    and when ``stop`` is requested.
    """
    if not isinstance(steps, StepRepeater):
        yield
        return
    work = steps.run(_Hands(kernel, steps), lambda: stop.requested)
    conductor = asyncio.get_running_loop().create_task(work, name="qts-steps")
    conductor.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # told by what waits
    try:
        yield
    finally:
        conductor.cancel()


async def run_repeated(
    kernel: Kernel, feed: LiveFeed, steps: StepRepeater, clock: HeldClock, follow: Callable[[Kernel], None]
) -> bool:
    """Do the driver's part of ``steps``, within :func:`conducted`. Return whether the feed had ended then.

    ``feed`` names the instruments; it is not run. ``follow``: see
    :class:`~qts.runtime.session.live_source.LiveSource`. Raises DataError where the session does not do what the
    record has.
    """

    async def no_commands() -> None:
        """Execute nothing: commands are not repeated."""

    follow(kernel)
    async with on_loop(kernel, clock, lambda *_: None, no_commands, lambda: None, by_hand=True) as session:
        kernel.pending_value = None
        return await _drive(kernel, feed, session, steps, clock)


async def _drive(
    kernel: Kernel, feed: LiveFeed, session: LoopSession, steps: StepRepeater, clock: HeldClock
) -> bool:
    work, info = LiveWork(kernel, feed, session, clock), SessionInfoInput(kernel.shared)
    while True:
        step = await steps.next_of_driver()
        content = steps.take(step.kind, step.key)
        if step.kind == VALUE:
            await work.deliver(content)
        elif step.kind == GAP:
            await work.report_gap(content)
        elif step.kind == INFO:
            info.on_info(content)
        elif step.kind == LINE:
            work.note_connection(step.key == "1")
        elif step.kind == STOP:
            if step.key == "over":
                await session.close_day()
            return step.key == "over"
        else:
            await session.run_scheduled_tasks(clock.time_ns())
