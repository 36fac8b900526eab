"""The work of a followed and recorded session on a server, done by a process that is no session.

``python -m bench.store_beside URL NAME RUN`` applies 200 batches a second and records 5,000 market values a second,
until its standard input ends. It prints a line when it has begun.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from bench.store_book import BATCHES_PER_S, TICKS_PER_S, Fills, Values
from qts.db.access import parse
from qts.db.timescale import TimescaleDBAdapter
from qts.runtime.recording.tick_recorder import TickRecorder
from qts.runtime.recording.wire import Greeting

EVERY_S = 0.05
"""How often batches go, as a follower gathers them."""
MOST_S = 60
"""How long it can go on: its batches are made before it begins."""


async def _work(url: str, name: str, run_id: str, folder: Path) -> None:
    book = Fills(folder / "book.sqlite", run_id)
    for _ in range(BATCHES_PER_S * MOST_S):
        book.fill()
    batches = list(book.batches())
    adapter = TimescaleDBAdapter(parse(url, {}), live=True)
    await adapter.open()
    await adapter.claim(book.run, whole_account=False)
    await adapter.put_run(book.run, (), ())
    recorder = TickRecorder(Greeting(url, name, "KRW", 10**9))
    recorder.start()
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), over.set)
    print("begun", flush=True)
    begun, sent, values = perf_counter(), 0, Values()
    while not over.is_set():
        await asyncio.sleep(EVERY_S)
        passed = perf_counter() - begun
        for number, value in values.due(passed, TICKS_PER_S):
            recorder.put(value, number)
        due = min(int(passed * BATCHES_PER_S), len(batches))
        if due > sent:
            await adapter.apply(batches[sent:due])
            sent = due
    await adapter.close()
    recorder.close(60)
    book.store.close()


def main(argv: list[str]) -> int:
    url, name, run_id = argv
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_work(url, name, run_id, Path(folder)))
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
