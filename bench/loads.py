"""The loads under which P0 is measured, for the dispatcher of QTS.

A load registers its handlers in the lanes they would declare in a program, fills the queues and keeps them full.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from time import perf_counter
from typing import Any

import msgspec

from bench.work import burn_20ms, burn_50ms, hold_gil_50ms, sleep_50ms, spin
from qts.event.config import EventConfig, QueueConfig, QueueConfigs
from qts.event.contracts import Event, EventPriority, EventType, Lane, OverflowPolicy
from qts.event.dispatcher import EventDispatcher
from qts.event.handlers import TypeFilterHandler
from qts.event.payloads import MetricRecord, StrategyEvaluate

FLOOD_P2, FLOOD_P2_NS = 10_000, 200_000
FLOOD_P3, FLOOD_P3_NS = 50_000, 50_000
STOPWATCH_NS = 2_000
"""What calling a handler and reading the stopwatch take; a handler "of 200 µs" is not meant to exceed 200 µs."""
TOP_UP_S = 0.0101
"""No multiple of the producers' millisecond: else the same P0 would meet every refill, or none would."""
BACKLOG = 8
WORKERS_UP_S = 1.5
"""Worker processes have started and work after this long, also on a busy machine."""
HEAP_OBJECTS = 1_000_000
_P2, _P3 = EventPriority.P2_MEDIUM, EventPriority.P3_LOW


class Load:
    """Only P0. ``busy`` shows whether the load has really begun to press."""

    name = "idle"
    config = EventConfig()

    def attach(self, dispatcher: EventDispatcher) -> None:
        self.dispatcher = dispatcher

    def press(self) -> None:
        """Called on the loop once the dispatcher runs."""

    @property
    def busy(self) -> bool:
        return True

    def release(self) -> None:
        """Stop refilling."""


class Flood(Load):
    """10,000 P2 of 200 µs and 50,000 P3 of 50 µs queued; whatever is handled is replaced by its own handler."""

    name = "flood"
    config = EventConfig(
        queue_configs=QueueConfigs(p2=QueueConfig(_P2, 2 * FLOOD_P2, OverflowPolicy.COLLAPSE, 50, 100)),
        stop_timeout_ms=0,
    )
    p2 = FLOOD_P2

    def __init__(self) -> None:
        self.handled = 0
        self.refilling = True

    def attach(self, dispatcher: EventDispatcher) -> None:
        super().attach(dispatcher)
        dispatcher.register_handler(_P2, self.on_p2)
        dispatcher.register_handler(_P3, self.on_p3)
        for number in range(self.p2):
            dispatcher.publish(EventType.STRATEGY_EVALUATE, StrategyEvaluate("flood", str(number), 0))
        for number in range(FLOOD_P3):
            dispatcher.publish(EventType.METRIC_RECORD, MetricRecord("flood", float(number), 0))

    @property
    def busy(self) -> bool:
        return self.handled > 100

    def on_p2(self, event: Event) -> None:
        spin(FLOOD_P2_NS - STOPWATCH_NS)
        self._refill(event)

    def on_p3(self, event: Event) -> None:
        spin(FLOOD_P3_NS - STOPWATCH_NS)
        self._refill(event)

    def _refill(self, event: Event) -> None:
        self.handled += 1
        if self.refilling:
            self.dispatcher.publish(event.event_type, event.body)

    def release(self) -> None:
        self.refilling = False


class FloodP3(Flood):
    """The 50,000 P3 alone: the strict order of ``flood`` never reaches them while P2 waits."""

    name = "flood, P3 only"
    p2 = 0


class Hostile(Load):
    """Handlers that do not belong on the loop, each in its lane and never out of work."""

    config = EventConfig(stop_timeout_ms=0)

    def __init__(self, name: str, kinds: dict[EventType, tuple[Callable[[Any], None], Lane]]) -> None:
        self.name = name
        self._kinds = kinds
        self._timer: asyncio.TimerHandle | None = None
        self._numbers = itertools.count()
        self._begun_s = 0.0

    def attach(self, dispatcher: EventDispatcher) -> None:
        super().attach(dispatcher)
        for kind, (work, lane) in self._kinds.items():
            priority = _P2 if kind is EventType.STRATEGY_EVALUATE else _P3
            dispatcher.register_handler(priority, TypeFilterHandler(work, {kind}), lane=lane)

    def press(self) -> None:
        self._begun_s = perf_counter()
        self._top_up()

    @property
    def busy(self) -> bool:
        stats = self.dispatcher.queue_stats()
        handled = stats["P2_MEDIUM"]["handled"] + stats["P3_LOW"]["handled"]
        return handled >= 2 * len(self._kinds) and perf_counter() - self._begun_s > WORKERS_UP_S

    def _top_up(self) -> None:
        """Keep a few of each kind under way: enough that no lane is ever idle."""
        self._timer = asyncio.get_running_loop().call_later(TOP_UP_S, self._top_up)
        waiting = self.dispatcher.stats.unfinished(_P2) + self.dispatcher.stats.unfinished(_P3)
        if waiting < BACKLOG * len(self._kinds):
            for kind in self._kinds:
                self.dispatcher.publish(kind, self._payload(kind))

    def _payload(self, kind: EventType) -> StrategyEvaluate | None:
        """P2 events about different things, so that none takes the place of another."""
        return StrategyEvaluate("hostile", str(next(self._numbers)), 0) if kind in _P2_BURN else None

    def release(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class Heap(Load):
    """A program that holds a million objects and makes more with every price: what garbage collection costs P0."""

    name = "heap of 1 M objects"

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    def attach(self, dispatcher: EventDispatcher) -> None:
        super().attach(dispatcher)
        self._held = [[number] for number in range(HEAP_OBJECTS)]
        dispatcher.register_handler(EventPriority.P1_HIGH, self._keep_some)

    def _keep_some(self, event: Event) -> None:
        self._held[0].append([[] for _ in range(20)])  # type: ignore[arg-type]

    def press(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(0.001, self.press)
        for _ in range(20):
            self.dispatcher.publish(EventType.PRICE_TICK, None)

    def release(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._held.clear()


class _Kinds(msgspec.Struct, frozen=True):
    name: str
    kinds: dict[EventType, tuple[Callable[[Any], None], Lane]]


_BURN = {EventType.REPORT_GENERATE: (burn_50ms, Lane.PROCESS)}
_SLEEP = {EventType.NOTIFICATION_SEND: (sleep_50ms, Lane.THREAD)}
_HOLD = {EventType.DASHBOARD_UPDATE: (hold_gil_50ms, Lane.PROCESS)}
_P2_BURN = {EventType.STRATEGY_EVALUATE: (burn_20ms, Lane.PROCESS)}
_HOSTILE = (
    _Kinds("P3 burns 50 ms", _BURN),
    _Kinds("P3 sleeps 50 ms", _SLEEP),
    _Kinds("P3 holds the GIL 50 ms", _HOLD),
    _Kinds("P2 burns 20 ms", _P2_BURN),
    _Kinds("all four at once", _BURN | _SLEEP | _HOLD | _P2_BURN),
)

LOADS: dict[str, Callable[[], Load]] = {
    Load.name: Load,
    Flood.name: Flood,
    FloodP3.name: FloodP3,
    **{one.name: (lambda one=one: Hostile(one.name, one.kinds)) for one in _HOSTILE},  # type: ignore[misc]
    Heap.name: Heap,
}
HOSTILE_NAMES = tuple(one.name for one in _HOSTILE)
QUICK_LOADS = (Load.name, Flood.name, "all four at once")
