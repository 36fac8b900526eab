"""How time passes: the virtual clock runs as fast as rows come, the paced one on the event loop.

Both drive the same kernel; only who moves the clock differs.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from qts.clock import NS_PER_S, NS_PER_US, PacedClock, from_ns, stopwatch_ns, to_ns
from qts.errors import StateError, StorageError
from qts.event.contracts import EventPriority
from qts.event.garbage import quiet_collector
from qts.event.stream import Stream
from qts.market.contracts import MarketValue
from qts.runtime.kill_switch import KillSwitch
from qts.runtime.schedule import AFTER_CLOSE
from qts.runtime.wiring import EVENT_OF_VALUE

if TYPE_CHECKING:
    from qts.runtime.kernel import Kernel

T = TypeVar("T")
ROWS_PER_PROGRESS = 256
_FILES_OF_A_LOOP = 9
"""What an event loop, its threads and a look at the operator's commands open at most."""
_TURN_NS = 50_000_000
_AUDIT_NS = 5 * NS_PER_S
"""Real time between two recomputations of the whole book while a session is paced (spec 00)."""


class Progress(Protocol):
    """Told now and then how far the session is: share of the input 0..1 (None unknown) and its time in ns."""

    def __call__(self, share: float | None, moment_ns: int, /) -> None: ...


class StopFlag:
    """Asks the driver to stop after the value in hand; set from a signal handler.

    ``kill`` stops trading instead: a paper session looks at it before every entry.
    """

    def __init__(self) -> None:
        self.requested = False
        self.kill = KillSwitch()

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
    with quiet_collector() as collector:

        def seen(share: float | None, moment_ns: int) -> None:
            collector.look(quiet=False)
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
            kernel.close_day()  # orders expire; stopping drains what that publishes
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


def fastest_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    """uvloop where it is installed (extra ``fast``), else the loop of the standard library.

    Raises StorageError when the process may not open the files that a loop needs: uvloop would end it by a signal.
    """
    _require_files()
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _require_files() -> None:
    found: list[int] = []
    try:
        while len(found) < _FILES_OF_A_LOOP:
            found.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise StorageError(
            f"a session in real time needs {_FILES_OF_A_LOOP} more open files and gets {len(found)} "
            f"({error.strerror}); raise the limit (ulimit -n), then --resume"
        ) from None
    finally:
        for each in found:
            os.close(each)


async def _keep_appointments(kernel: Kernel, now_ns: int) -> None:
    if now_ns >= kernel.wake_ns:
        while kernel.keep_appointment(now_ns):
            await kernel.attend()
    await kernel.attend()
