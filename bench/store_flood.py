"""How long P0 events wait under a flood, while a book is written at 200 batches a second: followed, and by itself.

By turns; the followed one also records market values, so that everything of a server is at work in it that a
session has. A server on the same machine takes its share of the cores, for this session or another, so a third arm
lets another process do that work, while the session is by itself.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from tests.servers.postgres import Postgres

from bench.figures import percentile
from bench.latency import under
from bench.loads import Flood
from bench.store_book import BATCHES_PER_S, NAME, TICKS_PER_S, Fills, Values, server, target
from qts.clock import SystemClock
from qts.db.access import parse
from qts.db.follower import Follower
from qts.db.timescale import TimescaleDBAdapter
from qts.event.dispatcher import EventDispatcher
from qts.runtime.recording.tick_recorder import TickRecorder
from qts.runtime.recording.wire import Greeting

PAIRS, QUICK_PAIRS = 9, 2
COUNT, QUICK_COUNT = 500, 200
MOST_RATIO = 1.25
ROOT = Path(__file__).parent.parent


class FloodWithTicks(Flood):
    """The flood, with market values that are put into a recorder on the loop, as a session does; None: nothing."""

    def __init__(self, recorder: TickRecorder | None) -> None:
        super().__init__()
        self._recorder = recorder
        self._task: asyncio.Task[None] | None = None

    def press(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._put())

    async def _put(self) -> None:
        """Put values at a steady rate, or wait as long for none."""
        begun, values = perf_counter(), Values()
        while True:
            await asyncio.sleep(0.01)
            if self._recorder is not None:
                for number, value in values.due(perf_counter() - begun, TICKS_PER_S):
                    self._recorder.put(value, number)

    def release(self) -> None:
        super().release()
        if self._task is not None:
            self._task.cancel()


ARMS = ("alone", "beside", "followed")
"""The session by itself on the machine; by itself while another process does the same work on the server; followed
and recorded. The second shows what the server and the recorder take from the machine, and the third beside it what
they take from the session."""


def measure(*, quick: bool) -> dict[str, Any]:
    """The three arms by turns, in another order each time."""
    rounds, count = (QUICK_PAIRS, QUICK_COUNT) if quick else (PAIRS, COUNT)
    waits: dict[str, list[float]] = {arm: [] for arm in ARMS}
    with server() as started, tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        for number in range(rounds):
            turn = number % len(ARMS)
            for arm in (*ARMS[turn:], *ARMS[:turn]):
                path = Path(folder) / f"{number}-{arm}.sqlite"
                waits[arm].append(_p99_us(started, path, number, count, arm))
    ratios = {
        arm: [one / other for one, other in zip(waits["followed"], waits[arm], strict=True)]
        for arm in ("alone", "beside")
    }
    medians = {arm: round(statistics.median(found), 3) for arm, found in ratios.items()}
    return {
        "p99_us": {arm: [round(value) for value in found] for arm, found in waits.items()},
        "ratios": {arm: [round(value, 2) for value in found] for arm, found in ratios.items()},
        "targets": [
            target("P0 p99 under flood, followed ÷ by itself", medians["alone"], MOST_RATIO),
            target("P0 p99 under flood, followed ÷ server busy for others", medians["beside"], MOST_RATIO),
        ],
    }


def _p99_us(started: Postgres, path: Path, number: int, count: int, arm: str) -> float:
    """The p99 of the waits since a P0 was due, of all its sources together, in µs."""
    is_followed = arm == "followed"
    book = Fills(path, f"{number:08x}{ARMS.index(arm):08x}", "FULL", followed=is_followed)
    recorder: TickRecorder | None = None
    if is_followed:
        recorder = TickRecorder(Greeting(started.url(), f"bench-{number}", "KRW", 10**9))
        recorder.start()
    beside = _beside(started.url(), number) if arm == "beside" else nullcontext()
    with beside, _written(book, started.url() if is_followed else ""):
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
def _beside(url: str, number: int) -> Iterator[None]:
    """Let another process do the work of a session on the server, meanwhile."""
    command = [sys.executable, "-m", "bench.store_beside", url, f"beside-{number}", f"{number:015x}b"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        try:
            yield
        finally:
            process.stdin.close()
            assert process.wait() == 0


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
