"""Small builders that the event tests share."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from qts.capital.contracts import Pool
from qts.clock import ManualClock
from qts.event import gc_control
from qts.event.config import EventConfig, QueueConfig, QueueConfigs
from qts.event.contracts import Event, EventPriority, EventType, OverflowPolicy, create_event
from qts.event.dispatcher import EventDispatcher
from qts.execution.contracts import Fill
from qts.ids import CounterIds, seeded
from qts.market.contracts import Quote, Tick
from qts.strategy.contracts import Intent, Side, Signal

START = datetime(2024, 1, 2, tzinfo=UTC)
P0, P1, P2, P3 = EventPriority


def inline_dispatcher(config: EventConfig | None = None, **options: Any) -> EventDispatcher:
    """A dispatcher on a virtual clock; its ids are e-1, e-2, …"""
    options.setdefault("clock", ManualClock(START))
    return EventDispatcher(config, ids=CounterIds("e"), rng=seeded(1, "test"), inline=True, **options)


def fill(order: str = "o-1", execution: str = "x-1") -> Fill:
    price = Decimal(75_000)
    return Fill("sim", execution, order, "005930", Side.BUY, Decimal(1), price, Decimal(0), Decimal(0), 1, True)


def tick(symbol: str = "005930", price: int = 75_000) -> Tick:
    return Tick(symbol, 1, Decimal(price), Decimal(1))


def quote(symbol: str = "005930") -> Quote:
    return Quote(symbol, 1, Decimal(74_900), Decimal(75_000))


def signal(side: Side = Side.BUY, *, symbol: str = "005930", strategy: str = "s", forced: bool = False) -> Signal:
    return Signal("d-1", strategy, Pool.SCALP, Intent(symbol, side, 0.9), 1, forced)


def event_of(priority: EventPriority, **payload: Any) -> Event:
    """An event of the given priority whose payload is a mapping."""
    kinds = (EventType.FILL_CONFIRMED, EventType.PRICE_TICK, EventType.STRATEGY_EVALUATE, EventType.LOG_WRITE)
    return create_event(kinds[priority], payload=payload)


def as_python_starts_collecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what a dispatcher of another test, whose loop was closed under it, has left behind."""
    monkeypatch.setattr(gc_control, "_heap", gc_control._Heap())
    gc.unfreeze()
    gc.enable()


class Recorder:
    """A handler that remembers what it saw, and fails as long as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.seen: list[Event] = []
        self.calls = 0
        self.failures = failures

    def __call__(self, event: Event) -> None:
        self.calls += 1
        if self.failures:
            self.failures -= 1
            raise ValueError("told to fail")
        self.seen.append(event)

    @property
    def numbers(self) -> list[Any]:
        return [event.payload["n"] for event in self.seen]


FAST = EventConfig(retry_backoff_ms=0)


@asynccontextmanager
async def running(config: EventConfig = FAST, **options: Any) -> AsyncIterator[EventDispatcher]:
    dispatcher = EventDispatcher(config, **options)
    await dispatcher.start()
    try:
        yield dispatcher
    finally:
        await dispatcher.stop(timeout_ms=1_000)


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Give the loop turns until ``condition`` holds; the bound only ends a test that is broken."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for never came"
        await asyncio.sleep(0.001)


def small(capacity: int = 2, **options: Any) -> EventConfig:
    """A configuration with a P0 queue of ``capacity``."""
    return EventConfig(queue_configs=QueueConfigs(p0=QueueConfig(P0, capacity, OverflowPolicy.BLOCK)), **options)


def balance(dispatcher: EventDispatcher) -> list[int]:
    """Accepted events that are nowhere, per priority: all zero when nothing is lost from the books."""
    names = ("handled", "dropped", "collapsed", "sampled", "dead_lettered", "size")
    return [row["accepted"] - sum(row[name] for name in names) for row in dispatcher.queue_stats().values()]


def balanced(dispatcher: EventDispatcher) -> bool:
    return not any(balance(dispatcher))


def is_gone(pid: int) -> bool:
    """Return whether the process has ended; a zombie has."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except ProcessLookupError:
        return True
    except FileNotFoundError:  # no such process any more, or no /proc on this machine
        return Path("/proc/self").exists()


class Gate:
    """An async handler that waits until it is let on, event by event."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.done: list[int] = []
        self.tasks: set[Any] = set()
        self.open = asyncio.Event()

    async def __call__(self, event: Event) -> None:
        self.tasks.add(asyncio.current_task())
        self.started.append(event.payload["n"])
        await self.open.wait()
        self.tasks.add(asyncio.current_task())
        self.done.append(event.payload["n"])
