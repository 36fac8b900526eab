"""How many events one thread makes, publishes and sees handled: QTS with full accounting, and its peers."""

from __future__ import annotations

import asyncio
import gc
import itertools
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter_ns
from typing import Any

from qts.event.config import EventConfig, QueueConfig, QueueConfigs
from qts.event.contracts import EventPriority, EventType, OverflowPolicy, create_event, priority_for
from qts.event.dispatcher import EventDispatcher
from qts.event.payloads import StrategyEvaluate

CHUNK = 100
"""Published before the handlers get their turn; below the capacity of P0."""
EVENTS = 300_000
KINDS = {
    "P0": EventType.FILL_CONFIRMED,
    "P1": EventType.PRICE_TICK,
    "P2": EventType.STRATEGY_EVALUATE,
    "P3": EventType.METRIC_RECORD,
}
_ROOMY = EventConfig(
    queue_configs=QueueConfigs(p2=QueueConfig(EventPriority.P2_MEDIUM, 10_000, OverflowPolicy.COLLAPSE))
)
PAYLOADS = [StrategyEvaluate("throughput", str(number), number) for number in range(CHUNK)]
CHUNKS = [
    [StrategyEvaluate("throughput", str(number), number) for number in range(first, first + CHUNK)]
    for first in range(0, 50 * CHUNK, CHUNK)
]
"""About different things, so that no P2 event takes the place of one that still waits."""


class Unaccounted(Exception):
    """The counters do not say what was done: the figure would be of another job."""


def qts_made_inline(kind: EventType, events: int) -> float:
    """Made, published, handled; the caller gives the turn (replay and simulation run like this)."""
    dispatcher = _dispatcher(kind, inline=True)
    publish, run = dispatcher.publish, dispatcher.run_inline
    begun = perf_counter_ns()
    for chunk in _chunks(events):
        for payload in chunk:
            publish(kind, payload)
        run()
    return _rate(dispatcher, events, begun)


def qts_ready_inline(kind: EventType, events: int) -> float:
    """The same with events that exist already."""
    dispatcher = _dispatcher(kind, inline=True)
    chunks = [[create_event(kind, payload=payload) for payload in chunk] for chunk in _chunks(events)]
    accept, run = dispatcher.dispatch_nowait, dispatcher.run_inline
    begun = perf_counter_ns()
    for chunk in chunks:
        for event in chunk:
            accept(event)
        run()
    return _rate(dispatcher, events, begun)


async def qts_made_on_loop(kind: EventType, events: int) -> float:
    """Made, published and handled on an event loop, which gets turns until a chunk is done (as live)."""
    dispatcher = _dispatcher(kind)
    await dispatcher.start()
    publish, priority = dispatcher.publish, priority_for(kind)
    begun = perf_counter_ns()
    for chunk in _chunks(events):
        for payload in chunk:
            publish(kind, payload)
        await asyncio.sleep(0)
        while dispatcher.stats.is_waiting(priority):
            await asyncio.sleep(0)
    rate = _rate(dispatcher, events, begun)
    await dispatcher.stop()
    return rate


def _chunks(events: int) -> Iterator[list[StrategyEvaluate]]:
    return itertools.islice(itertools.cycle(CHUNKS), events // CHUNK)


def _dispatcher(kind: EventType, *, inline: bool = False) -> EventDispatcher:
    dispatcher = EventDispatcher(_ROOMY, inline=inline)
    dispatcher.register_handler(EventPriority(list(KINDS.values()).index(kind)), lambda event: None)
    return dispatcher


def _rate(dispatcher: EventDispatcher, events: int, begun_ns: int) -> float:
    took_ns = perf_counter_ns() - begun_ns
    handled = sum(row["handled"] for row in dispatcher.queue_stats().values())
    looked, _ = dispatcher.stats.priority_check()
    if handled != events or looked != events:
        raise Unaccounted(f"{events} events published, {handled} counted as handled, {looked} latencies recorded")
    return events * 1e9 / took_ns


def bare_call(events: int) -> float:
    """A function call per event on an object made for it: what no dispatcher can beat."""
    numbers, clock = itertools.count(), perf_counter_ns

    def nothing(event: object) -> None: ...

    begun = perf_counter_ns()
    for _ in range(events // CHUNK):
        for payload in PAYLOADS:
            nothing((payload, next(numbers), clock()))
    return events * 1e9 / (perf_counter_ns() - begun)


def cases(events: int, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> dict[str, Callable[[], float]]:
    """What is measured of QTS: each gives events a second of one run."""
    found: dict[str, Callable[[], float]] = {"bare call, made": lambda: bare_call(events)}
    for name, kind in KINDS.items():
        found[f"{name} made"] = partial(qts_made_inline, kind, events)
        found[f"{name} ready"] = partial(qts_ready_inline, kind, events)
        found[f"{name} made, on the loop"] = partial(_on, new_loop, partial(qts_made_on_loop, kind, events))
    return found


def runs_of(cases: dict[str, Callable[[], float]], runs: int) -> dict[str, list[float]]:
    """The runs of all cases take turns, so that a busy minute hits them all."""
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(runs):
        for name, case in cases.items():
            gc.collect()
            rates[name].append(case())
    return rates


def median(values: list[float]) -> int:
    return round(statistics.median(values))


def _on(new_loop: Callable[[], asyncio.AbstractEventLoop], work: Callable[[], Any]) -> float:
    with asyncio.Runner(loop_factory=new_loop) as runner:
        rate: float = runner.run(work())
        return rate
