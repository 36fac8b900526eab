"""P0 with the journal: appended → acknowledged at 1,000/s and in a burst, and what it costs the handler's start.

Left out with a note where this version has no journal. The files lie in a temporary directory: on a machine whose
temporary directory is in memory, set TMPDIR to the disk that the journal will live on.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import itertools
import statistics
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from bench import latency
from bench.figures import latency_us, micros, table
from bench.producers import INTERVAL_NS, SOURCES, sharp_sleep, wait_until
from qts.event.config import EventConfig
from qts.event.dispatcher import EventDispatcher

NewLoop = Callable[[], asyncio.AbstractEventLoop]
BODY = bytes(180)
"""About as long as a stored fill."""
RUN_ID = "bench-0000000000"
BURST = 200_000


def missing() -> str:
    """Why the journal cannot be measured here; "" when it can."""
    return "" if importlib.util.find_spec("qts.event.journal") else "this version has no qts.event.journal"


def measure(runs: int, quick: bool, new_loop: NewLoop) -> dict[str, Any]:
    """The journal by itself, then P0 under load with it."""
    if why := missing():
        return {"missing": why}
    found: dict[str, Any] = {
        "acknowledged_us": latency_us([_paced(200 if quick else 500) for _ in range(runs)]),
        "burst_per_s": round(statistics.median(_burst(BURST // (10 if quick else 1)) for _ in range(runs))),
    }
    if "journal" not in inspect.signature(EventDispatcher).parameters:
        return found | {"dispatcher_missing": "EventDispatcher takes no journal"}
    loads = ("idle",) if quick else ("flood",)
    with tempfile.TemporaryDirectory() as directory:
        numbers = itertools.count()

        def make(config: EventConfig) -> EventDispatcher:
            return EventDispatcher(config, journal=_new_journal(Path(directory) / str(next(numbers))))

        found["latency"] = latency.measure(loads, runs, 200 if quick else latency.COUNT, new_loop, make)
    return found


def _new_journal(directory: Path) -> Any:
    from qts.event.journal import Journal

    return Journal(directory, RUN_ID)


def _paced(count: int) -> list[int]:
    """Nanoseconds from the moment an append was due to the acknowledgement, one a millisecond."""
    waits: list[int] = []
    done = threading.Event()
    with tempfile.TemporaryDirectory() as directory, _new_journal(Path(directory)) as journal:

        def produce() -> None:
            sharp_sleep()
            start_ns = perf_counter_ns() + 10 * INTERVAL_NS
            for number in range(count):
                due_ns = start_ns + number * INTERVAL_NS
                wait_until(due_ns)
                sequence = journal.append(f"event-{number}", BODY)
                journal.when_acknowledged(
                    sequence, lambda error, due_ns=due_ns: waits.append(perf_counter_ns() - due_ns)
                )
            journal.flush()
            done.set()

        threading.Thread(target=produce, daemon=True).start()
        done.wait(60)
    return waits


def _burst(count: int) -> float:
    """Events a second, appended as fast as one thread can and all acknowledged."""
    with tempfile.TemporaryDirectory() as directory, _new_journal(Path(directory)) as journal:
        begun = perf_counter_ns()
        sequence = 0
        for number in range(count):
            if journal.crowded:
                journal.wait_for_room(1.0)
            sequence = journal.append(str(number), BODY)
        journal.wait(sequence)
        return count * 1e9 / (perf_counter_ns() - begun)


def judge(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """The bars of the journal beside what was measured."""
    p99 = figures.get("acknowledged_us", {}).get("p99")
    burst = figures.get("burst_per_s")
    return [
        {
            "what": "journal: due → acknowledged at 1,000/s, p99 µs",
            "value": p99,
            "bar": 1_000.0,
            "at_least": False,
            "met": None if p99 is None else p99 <= 1_000,
        },
        {
            "what": "journal: P0/s in a burst",
            "value": burst,
            "bar": 100_000,
            "at_least": True,
            "met": None if burst is None else burst >= 100_000,
        },
    ]


def show(figures: dict[str, Any]) -> list[str]:
    """What a terminal shows of it."""
    if figures.get("missing"):
        return [f"journal: left out, {figures['missing']}"]
    acknowledged = figures["acknowledged_us"]
    told = ", ".join(f"{key} {micros(acknowledged[key])}" for key in ("p50", "p99", "p999", "max"))
    parts = [f"journal: due → acknowledged at 1,000/s {told}; burst {figures['burst_per_s']:,} P0/s"]
    if "latency" not in figures:
        return [*parts, f"P0 under load with the journal: left out, {figures['dispatcher_missing']}"]
    rows = []
    for load, row in figures["latency"].items():
        for source in SOURCES:
            due, sent = row[source]["from_due_us"], row[source]["from_sent_us"]
            cells = [*(micros(due[key]) for key in ("p50", "p99", "p999", "max")), micros(sent["p99"])]
            rows.append([f"{load} · P0 from {source}", *cells, str(row["p0"]["lost"])])
    header = ["wait of P0, journal on", "due p50", "p99", "p99.9", "max", "sent p99", "lost"]
    return [*parts, table(header, rows)]
