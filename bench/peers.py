"""What people use today, doing the same jobs in the same run: nautilus_trader, vnpy, and the standard library.

Each peer is used as its documentation shows, at its defaults. One that is not installed is left out with a note.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from time import perf_counter_ns, time_ns
from typing import Any, NamedTuple

import msgspec

from bench.figures import latency_us
from bench.producers import Mark, from_process
from bench.throughput import CHUNK, PAYLOADS
from bench.work import HOSTILE_NS, hold_gil_50ms, spin

P0, P2, P3 = 0, 2, 3
HOSTILE_EVENTS = 20
Handler = Callable[[Any], None]


class Job(NamedTuple):
    """What a peer is given: a priority (most have none and ignore it), what to do, and what with."""

    priority: int
    work: Handler
    body: Any


class Message(msgspec.Struct, frozen=True, gc=False):
    """As cheap as a message with an id and a time of its own can be made."""

    number: int
    ts_ns: int
    body: Any


class Peer(ABC):
    """One peer: how to start it, how to hand it a job (from the loop's thread), how to end it."""

    name: str

    @abstractmethod
    async def begin(self) -> None: ...

    @abstractmethod
    def give(self, job: Job) -> None: ...

    @abstractmethod
    async def end(self) -> None: ...

    async def rate(self, events: int, *, made: bool) -> float:
        """Events a second to a handler that only counts."""
        handled = itertools.count(1)
        seen = 0

        def count(_: Any) -> None:
            nonlocal seen
            seen = next(handled)

        await self.begin()
        numbers = itertools.count()
        ready = [Message(number, 0, payload) for number, payload in enumerate(PAYLOADS)]
        begun = perf_counter_ns()
        for _ in range(events // CHUNK):
            for index, payload in enumerate(PAYLOADS):
                message = Message(next(numbers), time_ns(), payload) if made else ready[index]
                self.give(Job(P2, count, message))
            await asyncio.sleep(0)
        while seen < events:
            await asyncio.sleep(0)
        took_ns = perf_counter_ns() - begun
        await self.end()
        return events * 1e9 / took_ns


class NautilusBus(Peer):
    """``MessageBus.publish``: calls the subscribers at once; there is no queue and nothing to wait for."""

    name = "nautilus MessageBus.publish"
    only_rate = True

    async def begin(self) -> None:
        self._bus = _new_bus()

    def give(self, job: Job) -> None:
        raise NotImplementedError("a synchronous call has no queue to wait in")

    async def end(self) -> None: ...

    async def rate(self, events: int, *, made: bool) -> float:
        bus = _new_bus()
        bus.subscribe("bench.quotes.SIM.BTC", lambda message: None)
        publish, numbers = bus.publish, itertools.count()
        ready = [Message(number, 0, payload) for number, payload in enumerate(PAYLOADS)]
        begun = perf_counter_ns()
        for _ in range(events // CHUNK):
            for index, payload in enumerate(PAYLOADS):
                publish(
                    "bench.quotes.SIM.BTC",
                    Message(next(numbers), time_ns(), payload) if made else ready[index],
                )
        return events * 1e9 / (perf_counter_ns() - begun)


class NautilusLive(Peer):
    """The live data engine: queue, bus, handler on the loop. P0 has an engine of its own, as executions have."""

    name = "nautilus live engines"

    async def begin(self) -> None:
        self._critical, self._other = _LiveEngine(), _LiveEngine()

    def give(self, job: Job) -> None:
        (self._critical if job.priority == P0 else self._other).give(job)

    async def end(self) -> None:
        self._critical.engine.stop()
        self._other.engine.stop()
        await asyncio.sleep(0.05)


class _LiveEngine:
    def __init__(self) -> None:
        from nautilus_trader.cache.cache import Cache
        from nautilus_trader.common.component import LiveClock
        from nautilus_trader.live.config import LiveDataEngineConfig
        from nautilus_trader.live.data_engine import LiveDataEngine
        from nautilus_trader.model.data import CustomData, DataType

        kind = DataType(_data_class())
        bus = _new_bus()
        config = LiveDataEngineConfig(qsize=1_000_000)
        self.engine = LiveDataEngine(asyncio.get_running_loop(), bus, Cache(), LiveClock(), config)
        self._wrap = lambda job: CustomData(kind, _data_class()(job))
        bus.subscribe(f"data.{kind.topic}", lambda data: data.job.work(data.job.body))
        self.engine.start()

    def give(self, job: Job) -> None:
        self.engine.process(self._wrap(job))


class VnpyEngine(Peer):
    """``EventEngine``: one queue, one thread that calls the handlers."""

    name = "vnpy EventEngine"

    async def begin(self) -> None:
        from vnpy.event import Event, EventEngine

        self._event = Event
        self._engine = EventEngine()
        self._engine.register("job", lambda event: event.data.work(event.data.body))
        self._engine.start()

    def give(self, job: Job) -> None:
        self._engine.put(self._event("job", job))

    async def end(self) -> None:
        await asyncio.to_thread(self._engine.stop)


class AsyncioPriorityQueue(Peer):
    """A consumer task that takes the most urgent job and does it."""

    name = "asyncio.PriorityQueue"

    async def begin(self) -> None:
        self._queue: asyncio.PriorityQueue[tuple[int, int, Job]] = asyncio.PriorityQueue()
        self._numbers = itertools.count()
        self._task = asyncio.create_task(self._consume())

    def give(self, job: Job) -> None:
        self._queue.put_nowait((job.priority, next(self._numbers), job))

    async def _consume(self) -> None:
        while True:
            _, _, job = await self._queue.get()
            job.work(job.body)

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class ThreadPriorityQueue(Peer):
    """The same with a thread and ``queue.PriorityQueue``."""

    name = "thread + PriorityQueue"

    async def begin(self) -> None:
        self._queue: queue.PriorityQueue[tuple[int, int, Job | None]] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._thread = threading.Thread(target=self._consume, daemon=True)
        self._thread.start()

    def give(self, job: Job) -> None:
        self._queue.put((job.priority, next(self._numbers), job))

    def _consume(self) -> None:
        while (job := self._queue.get()[2]) is not None:
            job.work(job.body)

    async def end(self) -> None:
        self._queue.put((9, next(self._numbers), None))
        await asyncio.to_thread(self._thread.join)


def _new_bus() -> Any:
    from nautilus_trader.common.component import LiveClock, MessageBus
    from nautilus_trader.model.identifiers import TraderId

    return MessageBus(TraderId("BENCH-001"), LiveClock())


def _data_class() -> Any:
    """A nautilus ``Data`` that carries a job; made once, when nautilus is there."""
    global _JobData
    if _JobData is None:
        from nautilus_trader.core.data import Data

        class JobData(Data):  # type: ignore[misc, no-any-unimported]
            def __init__(self, job: Job) -> None:
                self.job = job

            @property
            def ts_event(self) -> int:
                return 0

            @property
            def ts_init(self) -> int:
                return 0

        _JobData = JobData
    return _JobData


_JobData: Any = None
PEERS: Sequence[tuple[type[Peer], str]] = (
    (NautilusBus, "nautilus_trader"),
    (NautilusLive, "nautilus_trader"),
    (VnpyEngine, "vnpy"),
    (AsyncioPriorityQueue, ""),
    (ThreadPriorityQueue, ""),
)


def available() -> tuple[list[type[Peer]], dict[str, str]]:
    """The peers that can be measured here, and why the others cannot."""
    found, missing = [], {}
    for peer, package in PEERS:
        try:
            if package:
                __import__(package)
            found.append(peer)
        except Exception as error:  # a peer that is there but cannot be imported must not end the measurement
            missing[peer.name] = f"{type(error).__name__}: {error}; install the extra `bench`"
    return found, missing


def flood(share: float) -> list[Job]:
    """The flood of the dispatcher's own measurement, as jobs in the order P2, P3."""
    p2 = Job(P2, lambda _: spin(198_000), None)
    p3 = Job(P3, lambda _: spin(48_000), None)
    return [p2] * round(10_000 * share) + [p3] * round(50_000 * share)


def hostile(work: Handler, share: float) -> list[Job]:
    """A second of hostile work, or a share of it."""
    return [Job(P3, work, None)] * round(HOSTILE_EVENTS * share)


PEER_LOADS: dict[str, Callable[[float], list[Job]]] = {
    "idle": lambda share: [],
    "flood": flood,
    "P3 burns 50 ms": lambda share: hostile(lambda _: spin(HOSTILE_NS), share),
    "P3 holds the GIL 50 ms": lambda share: hostile(hold_gil_50ms, share),
}


async def p0_latency(peer: Peer, jobs: list[Job], count: int) -> dict[str, Any]:
    """P0 from another process, beginning as ``jobs`` are queued.

    They are queued once and not refilled, so the wait behind a peer that works them off first has an end.
    """
    due: list[int] = []

    def on_p0(mark: Mark) -> None:
        due.append(perf_counter_ns() - mark.due_ns)

    def receive(mark: Mark) -> None:
        if mark.number == 0:  # not earlier: a peer that hogs the loop would be done before the first P0 is due
            for job in jobs:
                peer.give(job)
        peer.give(Job(P0, on_p0, mark))

    await peer.begin()
    await from_process(receive, count)
    limit = perf_counter_ns() + 60 * 10**9
    while len(due) < count and perf_counter_ns() < limit:
        await asyncio.sleep(0.01)
    await peer.end()
    return {"from_due_us": latency_us([due]), "lost": count - len(due)}
