"""Drives a session on the event loop by the steps of a record: it does again what another session has done."""

from __future__ import annotations

import asyncio

from qts.clock import HeldClock
from qts.market.contracts import LiveFeed
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.drivers.live_driver import LiveWork
from qts.runtime.drivers.loop_session import LoopSession, on_loop
from qts.runtime.kernel import Kernel
from qts.runtime.session_events import SessionInfoInput
from qts.runtime.steps.contracts import GAP, INFO, LINE, STOP, VALUE
from qts.runtime.steps.repeater import StepRepeater


async def run_repeated(
    kernel: Kernel, feed: LiveFeed, steps: StepRepeater, clock: HeldClock, stop: StopFlag
) -> bool:
    """Do all ``steps``, which are those of the kernel as well. Return whether its feed had ended then.

    ``feed`` names the instruments; it is not run. ``stop`` ends it between two steps. Raises DataError where the
    session does not do what the record has.
    """

    async def no_commands() -> None:
        """Execute nothing: commands are not repeated."""

    is_over = False
    async with on_loop(kernel, clock, lambda *_: None, no_commands, lambda: None, by_hand=True) as session:
        kernel.pending_value = None
        conductor = asyncio.get_running_loop().create_task(
            steps.run(kernel.dispatcher, lambda: stop.requested), name="qts-steps"
        )
        driver = asyncio.get_running_loop().create_task(_drive(kernel, feed, session, steps, clock))
        try:
            await asyncio.wait((conductor, driver), return_when=asyncio.FIRST_EXCEPTION)
            for task in (conductor, driver):
                if task.done():
                    task.result()
            is_over = driver.result()
        finally:
            for task in (conductor, driver):
                task.cancel()
            await asyncio.gather(conductor, driver, return_exceptions=True)
    return is_over


async def _drive(
    kernel: Kernel, feed: LiveFeed, session: LoopSession, steps: StepRepeater, clock: HeldClock
) -> bool:
    work, info = LiveWork(kernel, feed, session, clock), SessionInfoInput(kernel.shared)
    while (step := await steps.next_of_driver()) is not None:
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
    return False
