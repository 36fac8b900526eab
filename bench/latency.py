"""P0 under load in the dispatcher of QTS: one event a millisecond from the loop, a thread and another process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from time import perf_counter_ns
from typing import Any

from bench.figures import latency_us
from bench.loads import LOADS, Load
from bench.producers import SOURCES, Mark
from qts.event.contracts import Event, EventPriority, EventType
from qts.event.dispatcher import EventDispatcher

COUNT = 500
WARM_UP_S = 20.0
LATE_S = 10.0

Samples = dict[str, dict[str, list[int]]]
"""By source: nanoseconds from due to handler start, and from sent to handler start."""


class Incomplete(Exception):
    """A load did not begin, or P0 events did not arrive."""


class Arrivals:
    """The P0 handler: notes when it started, and for which mark."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.due: list[int] = []
        self.sent: list[int] = []
        self.numbers: list[int] = []

    def __call__(self, event: Event) -> None:
        now, told = perf_counter_ns(), event.body
        self.note(Mark(**told), now)

    def note(self, mark: Mark, now: int = 0) -> None:
        now = now or perf_counter_ns()
        self.due.append(now - mark.due_ns)
        self.sent.append(now - mark.sent_ns)
        self.numbers.append(mark.number)


async def under(
    load: Load, rounds: int, count: int, make: Callable[..., EventDispatcher]
) -> tuple[list[Samples], dict[str, int]]:
    """Every source in every round under one load; the samples, and what P0 became of."""
    dispatcher = make(load.config)
    arrivals = Arrivals()
    dispatcher.register_handler(EventPriority.P0_CRITICAL, arrivals)
    load.attach(dispatcher)
    await dispatcher.start()
    samples: list[Samples] = []
    repeated = 0
    try:
        load.press()
        await until(lambda: load.busy, WARM_UP_S, f"load {load.name!r} did not begin")
        for _ in range(rounds):
            one: Samples = {}
            for source, produce in SOURCES.items():
                arrivals.clear()
                await produce(lambda mark: dispatcher.publish(EventType.FILL_CONFIRMED, mark._asdict()), count)
                await until(lambda: len(arrivals.numbers) >= count, LATE_S, f"P0 from the {source} did not arrive")
                one[source] = {"due": arrivals.due, "sent": arrivals.sent}
                repeated += len(arrivals.numbers) - len(set(arrivals.numbers))
            samples.append(one)
    finally:
        load.release()
        await dispatcher.stop()
    stats = dispatcher.queue_stats()["P0_CRITICAL"]
    sent = rounds * count * len(SOURCES)
    looked, overtaken = dispatcher.stats.priority_check()
    return samples, {
        "sent": sent,
        "lost": sent - stats["handled"],
        "twice": repeated,
        "starts": looked,
        "overtaken": overtaken,
        "overruns": dispatcher.reports.counts.get("overrun", 0),
    }


async def _bare(rounds: int, count: int) -> list[Samples]:
    samples: list[Samples] = []
    loop = asyncio.get_running_loop()
    arrivals = Arrivals()
    for _ in range(rounds):
        one: Samples = {}
        for source, produce in SOURCES.items():
            arrivals.clear()

            def send(mark: Mark, source: str = source) -> None:
                if source == "thread":
                    loop.call_soon_threadsafe(arrivals.note, mark)
                elif source == "loop":
                    loop.call_soon(arrivals.note, mark)
                else:
                    arrivals.note(mark)

            await produce(send, count)
            await until(lambda: len(arrivals.numbers) >= count, LATE_S, f"marks from the {source} did not arrive")
            one[source] = {"due": arrivals.due, "sent": arrivals.sent}
        samples.append(one)
    return samples


def floor(rounds: int, count: int, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> dict[str, Any]:
    """The same producers on an idle loop without any dispatcher: what machine, loop and neighbours cost alone."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        samples = runner.run(_bare(rounds, count))
    return figures_of(samples) | {"p0": {"lost": 0}}


async def until(ready: Callable[[], bool], patience_s: float, problem: str) -> None:
    limit = perf_counter_ns() + patience_s * 1e9
    while not ready():
        if perf_counter_ns() > limit:
            raise Incomplete(problem)
        await asyncio.sleep(0.005)


def measure(
    names: Iterable[str],
    rounds: int,
    count: int,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    make: Callable[..., EventDispatcher] = EventDispatcher,
) -> dict[str, Any]:
    """Figures by load and source."""
    found: dict[str, Any] = {}
    for name in names:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            samples, counters = runner.run(under(LOADS[name](), rounds, count, make))
        found[name] = figures_of(samples) | {"p0": counters}
    return found


def figures_of(samples: list[Samples]) -> dict[str, Any]:
    """Percentiles by source."""
    return {
        source: {
            f"from_{since}_us": latency_us([one[source][since] for one in samples]) for since in ("due", "sent")
        }
        for source in SOURCES
    }
