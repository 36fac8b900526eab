"""P0 with a journal and a handler on another lane that is slower than what comes: memory stays bounded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from qts.event.config import EventConfig, JournalConfig, LaneLimits, QueueConfig, QueueConfigs
from qts.event.contracts import Event, EventType, Lane, OverflowPolicy, create_event
from qts.event.dispatcher import EventDispatcher
from qts.event.journal import Journal
from qts.event.journal_recovery import read_journal
from tests.event.support import P0, balanced, until

RUN_ID = "0123456789abcdef"


class Slow:
    """A handler that does nothing until it is let go; it keeps the numbers it was given."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.seen: list[int] = []

    def __call__(self, event: Event) -> None:
        self.let_go.wait()
        self.seen.append(event.payload["n"])


def numbered(n: int) -> Event:
    return create_event(EventType.FILL_PARTIAL, payload={"n": n}, event_id=f"n-{n}")


def small(window: int = 2, lane_backlog: int = 5) -> EventConfig:
    return EventConfig(
        queue_configs=QueueConfigs(p0=QueueConfig(P0, window, OverflowPolicy.BLOCK)),
        lane_limits=LaneLimits(p0_ms=60_000),
        lane_backlog=lane_backlog,
        journal=JournalConfig(mark_ms=1, segment_bytes=4_096),
    )


@asynccontextmanager
async def running(directory: Path, config: EventConfig, journal: Journal) -> AsyncIterator[EventDispatcher]:
    dispatcher = EventDispatcher(config, journal=journal)
    await dispatcher.start()
    try:
        yield dispatcher
    finally:
        await dispatcher.stop()


async def give(dispatcher: EventDispatcher, numbers: range) -> None:
    for n in numbers:
        dispatcher.dispatch_nowait(numbered(n))
        await asyncio.sleep(0)


async def test_beyond_the_backlog_of_a_slow_lane_p0_waits_in_the_journal_and_comes_in_order(tmp_path: Path) -> None:
    # Given a window of 2, a backlog of 5 and a thread handler that hangs over its first event
    config, slow, heard = small(), Slow(), list[int]()
    with Journal(tmp_path, RUN_ID, config.journal) as journal:
        async with running(tmp_path, config, journal) as dispatcher:
            dispatcher.register_handler(P0, slow, lane=Lane.THREAD)
            dispatcher.register_handler(P0, lambda event: heard.append(event.payload["n"]))
            # when 40 events come
            await give(dispatcher, range(40))
            await until(lambda: dispatcher.queue_stats()["P0_CRITICAL"]["queued"] == 34)
            # then 1 is in hand and 5 wait in front of it; the loop's own handler has these six, 34 are on disk
            assert heard == [0, 1, 2, 3, 4, 5]
            in_memory = dispatcher._levels[0].queue.pending()
            assert len(in_memory) <= 2
            # and when the handler works again, all come to both, in order, and nothing is lost
            slow.let_go.set()
            await until(lambda: dispatcher.queue_stats()["P0_CRITICAL"]["handled"] == 40)
            assert slow.seen == heard == list(range(40))
            assert balanced(dispatcher)
            assert dispatcher._levels[0].queue.held == 0
        journal.flush()
        assert {one.status_name for one in read_journal(tmp_path).entries.values()} <= {"applied"}


async def test_an_emergency_stop_does_not_wait_behind_a_slow_lane(tmp_path: Path) -> None:
    config, slow, stops = small(), Slow(), list[str]()
    with Journal(tmp_path, RUN_ID, config.journal) as journal:
        async with running(tmp_path, config, journal) as dispatcher:

            def note_stop(event: Event) -> None:
                if event.event_type is EventType.EMERGENCY_STOP:
                    stops.append(event.event_id)

            dispatcher.register_handler(P0, slow, lane=Lane.THREAD)
            dispatcher.register_handler(P0, note_stop)
            await give(dispatcher, range(20))
            stop = create_event(EventType.EMERGENCY_STOP, payload={"n": 99}, event_id="stop")
            dispatcher.dispatch_nowait(stop)
            await until(lambda: stops == ["stop"])
            assert slow.seen == []
            slow.let_go.set()
            await until(lambda: len(slow.seen) == 21)


async def test_a_stop_in_between_loses_nothing(tmp_path: Path) -> None:
    # Given a dispatcher whose lane is full and whose journal holds the rest
    config, slow = small(), Slow()
    with Journal(tmp_path, RUN_ID, config.journal) as journal:
        dispatcher = EventDispatcher(config, journal=journal)
        dispatcher.register_handler(P0, slow, lane=Lane.THREAD)
        await dispatcher.start()
        await give(dispatcher, range(30))
        # when it is stopped while its handler goes on
        slow.let_go.set()
        left = await dispatcher.stop()
        # then P0 was drained, in order
        assert left["P0_CRITICAL"] == 0
        assert slow.seen == list(range(30))


async def test_a_killed_process_leaves_what_a_slow_lane_had_not_done(tmp_path: Path) -> None:
    config, slow = small(), Slow()
    with Journal(tmp_path, RUN_ID, config.journal) as journal:
        dispatcher = EventDispatcher(config, journal=journal)
        dispatcher.register_handler(P0, slow, lane=Lane.THREAD)
        await dispatcher.start()
        await give(dispatcher, range(30))
        journal.flush()
        driver = dispatcher._driver
        assert driver is not None
        await driver.end(dispatcher._registrations())  # no handler finishes any more
    slow.let_go.set()
    again = Slow()
    again.let_go.set()
    with Journal(tmp_path, RUN_ID, config.journal) as journal:
        async with running(tmp_path, config, journal) as dispatcher:
            dispatcher.register_handler(P0, again, lane=Lane.THREAD)
            await until(lambda: len(again.seen) == 30)
            assert again.seen == list(range(30))


async def test_without_a_journal_p0_is_kept_in_memory_whatever_the_backlog(tmp_path: Path) -> None:
    slow = Slow()
    dispatcher = EventDispatcher(small())
    dispatcher.register_handler(P0, slow, lane=Lane.THREAD)
    await dispatcher.start()
    await give(dispatcher, range(30))
    slow.let_go.set()
    await dispatcher.stop()
    assert slow.seen == list(range(30))


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.sampled_from(["put", "put", "take", "give to a lane", "lane goes on"]), max_size=120))
def test_whatever_the_pace_nothing_is_lost_or_overtaken_and_memory_is_bounded(steps: list[str]) -> None:
    # Given a window of 2 and lanes that may hold 5
    config = small()
    with TemporaryDirectory() as directory, Journal(Path(directory), RUN_ID, config.journal) as journal:
        dispatcher = EventDispatcher(config, journal=journal)
        queue = dispatcher._levels[0].queue
        given_, taken, in_lanes = 0, list[int](), 0
        # when events come, are taken, wait in front of lanes and are worked off at any pace
        for step in steps:
            if step == "put":
                dispatcher.dispatch_nowait(numbered(given_))
                given_ += 1
            elif step == "lane goes on":
                if in_lanes:
                    in_lanes -= 1
                    queue.release(1)
            elif (event := queue.get_nowait()) is not None:
                taken.append(event.payload["n"])
                if step == "give to a lane":
                    in_lanes += 1
                    queue.held += 1
            assert len(queue.pending()) <= 2
            assert in_lanes <= 5 + 2
        # then all can be had, in order
        queue.release(in_lanes)
        while (event := queue.get_nowait()) is not None:
            taken.append(event.payload["n"])
        assert taken == list(range(given_))
        assert queue.size() == 0
