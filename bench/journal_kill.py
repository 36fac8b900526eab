"""Kills a process that journals P0 at random moments, again and again, and counts what was lost or done twice.

    python -m bench.journal_kill --kills 1000 --events 10000000

One round is one life of a child: it opens the journal, takes up what the last life left, and a thread sends it
fills from where the acknowledgements ended, as a broker does after a reconnect. The parent kills it with SIGKILL
after a random time. Two files that every life maps into memory survive the kill as a database would: one byte per
fill, set by the handler under the fill's unique key, and the cursor up to which fills were acknowledged. At the
end a last life takes up the rest.

lost: acknowledged fills without effect · twice: fills with more than one effect · out of order: fills of one order
whose effect came after a later one's · problems: what contradicts the journal's own rules, looked for after every
kill. ``taken up`` says how often the journal was needed: fills that were
acknowledged, or at least accepted, and not handled when the process died.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import mmap
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from qts.event.config import EventConfig, JournalConfig
from qts.event.contracts import Event, EventPriority, EventType, create_event
from qts.event.dispatcher import EventDispatcher
from qts.event.journal import Journal
from qts.event.journal_recovery import check_journal
from qts.execution.contracts import Fill
from qts.strategy.contracts import Side

RUN = "kill-and-restart"
ORDERS = 8
BURST = 2_000
EVENTS_PER_S = 30_000
"""About what one life gets through, sending included; only decides how long lives are."""
MOST_PROBLEMS = 5
"""Told of one kill; the first ones say what is wrong."""
ONE = Decimal(1)
# Counters in the second file: the cursor, effects the unique key refused, violations of order, events taken up, and
# the newest effect of each order.
CURSOR, AGAIN, DISORDER, TAKEN_UP, NEWEST = 0, 1, 2, 3, 4


class Books:
    """The effects, kept like rows under a unique key: what is in the two mapped files survives a kill."""

    def __init__(self, directory: Path, events: int) -> None:
        self.effects = _mapped(directory / "effects", events + 1)
        self._counters = _mapped(directory / "counters", 8 * (NEWEST + ORDERS))

    def get(self, counter: int) -> int:
        number: int = struct.unpack_from("<Q", self._counters, 8 * counter)[0]
        return number

    def set(self, counter: int, value: int) -> None:
        struct.pack_into("<Q", self._counters, 8 * counter, value)

    def apply(self, event: Event) -> None:
        """The handler: the effect and its key are one byte, so a kill leaves both or neither."""
        number = int(event.payload.execution_id)
        if self.effects[number]:
            self.set(AGAIN, self.get(AGAIN) + 1)  # refused by the unique key, as the second notice of a broker is
            return
        order = NEWEST + number % ORDERS
        if number < self.get(order):
            self.set(DISORDER, self.get(DISORDER) + 1)
        self.effects[number] += 1
        self.set(order, max(number, self.get(order)))


def _mapped(path: Path, size: int) -> mmap.mmap:
    with path.open("a+b") as file:
        file.truncate(max(size, path.stat().st_size))
        return mmap.mmap(file.fileno(), 0)


def fill_event(number: int) -> Event:
    """Fill ``number``, the same in every life: its key is what the broker calls it."""
    fill = Fill(
        "sim",
        str(number),
        f"o-{number % ORDERS}",
        "005930",
        Side.BUY,
        ONE,
        Decimal(75_000),
        ONE,
        ONE,
        number,
        False,
    )
    return create_event(EventType.FILL_PARTIAL, "broker", fill, event_id=f"fill-{number}")


def live(directory: Path, events: int, burst: int, ready: int, *, only_finish: bool) -> None:
    """One life; ends by itself only when everything is done."""
    asyncio.run(_live(directory, events, burst, ready, only_finish))


async def _live(directory: Path, events: int, burst: int, ready: int, only_finish: bool) -> None:
    books = Books(directory, events)
    config = EventConfig(journal=JournalConfig(segment_bytes=256 * 1024))
    journal = Journal(directory / "journal", RUN, config.journal)
    books.set(TAKEN_UP, books.get(TAKEN_UP) + len(journal.unfinished))
    dispatcher = EventDispatcher(config, journal=journal)
    dispatcher.register_handler(EventPriority.P0_CRITICAL, books.apply)
    await dispatcher.start()
    os.write(ready, b".")
    if not only_finish:
        await asyncio.to_thread(_broker, dispatcher, books, events, burst)
    await dispatcher.stop()
    journal.close()
    os.write(ready, b"!")


def _broker(dispatcher: EventDispatcher, books: Books, events: int, burst: int) -> None:
    """Send fills from the cursor on, in bursts; the cursor moves with the acknowledgements."""
    number = books.get(CURSOR)
    while number < events:
        last = min(number + burst, events)
        done = threading.Event()
        for one in range(number + 1, last):
            dispatcher.dispatch_nowait(fill_event(one), _moves_cursor(books, one) if one % 64 == 0 else None)
        dispatcher.dispatch_nowait(fill_event(last), _moves_cursor(books, last, done))
        done.wait()
        number = last


def _moves_cursor(books: Books, number: int, done: threading.Event | None = None) -> Any:
    """Acknowledgements come in order, so one stands for all before it."""

    def told(error: Exception | None) -> None:
        if error is None:
            books.set(CURSOR, number)
        if done is not None:
            done.set()

    return told


def kill_rounds(
    directory: Path, kills: int, events: int, seed: int, burst: int = BURST, longest_s: float | None = None
) -> dict[str, Any]:
    """Run the whole trial in ``directory``; the counts as the module says.

    A life is killed after up to ``longest_s``; None: as long as twice its share of the events may take.
    """
    rng, began = random.Random(seed), time.monotonic()
    killed = finished = 0
    problems: list[str] = []
    longest_s = longest_s or max(0.05, 2 * events / max(kills, 1) / EVENTS_PER_S)
    while killed < kills:
        pid, ready = _fork(directory, events, burst, only_finish=False)
        os.read(ready, 1)
        time.sleep(rng.random() * longest_s)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        finished += b"!" in os.read(ready, 8)
        os.close(ready)
        killed += 1
        problems += [f"kill {killed}: {one}" for one in check_journal(directory / "journal")[:MOST_PROBLEMS]]
    reached = Books(directory, events).get(CURSOR)
    if reached < events:
        pid, ready = _fork(directory, events, burst, only_finish=False)
        os.waitpid(pid, 0)
        os.close(ready)
    pid, ready = _fork(directory, events, burst, only_finish=True)
    os.waitpid(pid, 0)
    os.close(ready)
    return _verdict(directory, events, killed, finished) | {
        "acknowledged_between_kills": reached,
        "problems": problems + check_journal(directory / "journal"),
        "seconds": round(time.monotonic() - began, 1),
    }


def _fork(directory: Path, events: int, burst: int, *, only_finish: bool) -> tuple[int, int]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        code = 1
        try:
            live(directory, events, burst, writing, only_finish=only_finish)
            code = 0
        except BaseException as error:  # the child must never come back into the parent's loop
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(code)
    os.close(writing)
    return pid, reading


def _verdict(directory: Path, events: int, killed: int, finished: int) -> dict[str, Any]:
    books = Books(directory, events)
    effects = books.effects[1 : events + 1]
    return {
        "kills": killed,
        "events": events,
        "lost": effects.count(0),
        "twice": events - effects.count(0) - effects.count(1),
        "out_of_order": books.get(DISORDER),
        "taken_up": books.get(TAKEN_UP),
        "told_again": books.get(AGAIN),
        "lives_that_ended_by_themselves": finished,
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--burst", type=int, default=BURST, help="fills sent before waiting for the acknowledgement"
    )
    parser.add_argument("--directory", type=Path, help="where to work (default: a temporary directory)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    directory = Path(tempfile.mkdtemp(prefix="journal-kill-", dir=args.directory))
    try:
        result = kill_rounds(directory, args.kills, args.events, args.seed, args.burst)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if args.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name.replace('_', ' '):32} {value}")
    return 0 if not (result["lost"] or result["twice"] or result["out_of_order"] or result["problems"]) else 1


if __name__ == "__main__":
    sys.exit(main())
