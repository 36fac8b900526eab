"""How long P0 events wait under a flood, while a book is written at 200 batches a second: followed, and by itself.

The one and the other by turns; a pair is one of each, next to each other in time. The followed one also records
market values, so that everything of a server is at work in it that a session has.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from tests.servers.postgres import Postgres

from bench.figures import percentile
from bench.latency import under
from bench.loads import Flood
from bench.store_book import NAME, Fills, server, target
from qts.clock import SystemClock
from qts.db.access import parse
from qts.db.follower import Follower
from qts.db.timescale import TimescaleDBAdapter
from qts.event.dispatcher import EventDispatcher
from qts.market.contracts import Tick
from qts.runtime.recording.tick_recorder import TickRecorder
from qts.runtime.recording.wire import Greeting

PAIRS, QUICK_PAIRS = 9, 2
COUNT, QUICK_COUNT = 500, 200
BATCHES_PER_S = 200
TICKS_PER_S = 5_000
MOST_RATIO = 1.25


class FloodWithTicks(Flood):
    """The flood, with market values that are put into a recorder on the loop, as a session does; None: nothing."""

    def __init__(self, recorder: TickRecorder | None) -> None:
        super().__init__()
        self._recorder, self._number = recorder, 0
        self._task: asyncio.Task[None] | None = None

    def press(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._put())

    async def _put(self) -> None:
        """Put values at a steady rate, or wait as long for none."""
        begun = perf_counter()
        while True:
            await asyncio.sleep(0.01)
            due = int((perf_counter() - begun) * TICKS_PER_S)
            for _ in range(due - self._number if self._recorder is not None else 0):
                self._number += 1
                at_ns = 1_767_312_000_000_000_000 + self._number * 1_000
                price = Decimal(71_200 + self._number % 50)
                assert self._recorder is not None, "looked at above"
                self._recorder.put(Tick("005930", at_ns, price, Decimal(1 + self._number % 9)), self._number)

    def release(self) -> None:
        super().release()
        if self._task is not None:
            self._task.cancel()


def measure(*, quick: bool) -> dict[str, Any]:
    """The pairs, the followed half first in every second one."""
    pairs, count = (QUICK_PAIRS, QUICK_COUNT) if quick else (PAIRS, COUNT)
    alone: list[float] = []
    followed: list[float] = []
    with server() as started, tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        for pair in range(pairs):
            halves = [(alone, False), (followed, True)]
            for waits, is_followed in halves if pair % 2 == 0 else reversed(halves):
                path = Path(folder) / f"{pair}-{is_followed}.sqlite"
                waits.append(_p99_us(started, path, pair, count, is_followed=is_followed))
    ratios = [one / other for one, other in zip(followed, alone, strict=True)]
    return {
        "alone_p99_us": [round(value) for value in alone],
        "followed_p99_us": [round(value) for value in followed],
        "ratios": [round(value, 2) for value in ratios],
        "targets": [
            target("P0 p99 under flood, followed ÷ by itself", round(statistics.median(ratios), 3), MOST_RATIO)
        ],
    }


def _p99_us(started: Postgres, path: Path, pair: int, count: int, *, is_followed: bool) -> float:
    """The p99 of the waits since a P0 was due, of all its sources together, in µs."""
    book = Fills(path, f"{pair:08x}{is_followed:08x}", "FULL", followed=is_followed)
    recorder: TickRecorder | None = None
    if is_followed:
        recorder = TickRecorder(Greeting(started.url(), f"bench-{pair}", "KRW", 10**9))
        recorder.start()
    with _written(book, started.url() if is_followed else ""):
        load = FloodWithTicks(recorder)
        samples, _ = asyncio.run(under(load, 1, count, lambda config: EventDispatcher(config)))
    if recorder is not None:
        recorder.close(60)
        view = recorder.view()
        assert view.recorded, view
        assert not view.dropped, view
    book.store.close()
    waits = sorted(wait for one in samples for source in one.values() for wait in source["due"])
    return percentile(waits, 0.99) / 1_000


@contextmanager
def _written(book: Fills, url: str) -> Iterator[None]:
    """Write the book at a steady rate on a thread, as a session's writer does; follow it where a URL is given."""
    follower: Follower | None = None
    if url:

        async def adapter() -> TimescaleDBAdapter:
            return TimescaleDBAdapter(parse(url, {}), live=True)

        follower = Follower(NAME, book.run, adapter, SystemClock(), whole_account=False)
        follower.connect()
        follower.start(book.store)
    over = threading.Event()

    def write() -> None:
        begun, number = perf_counter(), 0
        while not over.is_set():
            book.fill()
            if follower is not None:
                follower.wake()
            number += 1
            sleep(max(0.0, begun + number / BATCHES_PER_S - perf_counter()))

    writer = threading.Thread(target=write, name="bench writer")
    writer.start()
    try:
        yield
    finally:
        over.set()
        writer.join()
        if follower is not None:
            assert follower.is_following, follower.status
            follower.stop()
