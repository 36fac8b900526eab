"""The dispatcher: accepts events from anywhere, gives them to handlers in strict priority."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from qts.clock import NS_PER_MS, Clock, SystemClock, stopwatch_ns
from qts.errors import ContractError
from qts.event import contracts
from qts.event.config import EventConfig
from qts.event.contracts import (
    TRAITS,
    DegradationLevel,
    Event,
    EventFactory,
    EventPriority,
    EventType,
    Lane,
)
from qts.event.dead_letter import DeadLetterQueue
from qts.event.engine import Engine, Entry, Level
from qts.event.handlers import Callback, EventHandler, as_handler
from qts.event.monitoring import LatencySnapshot
from qts.event.payloads import typed_payload
from qts.event.queue import BoundedQueue, create_queue
from qts.event.retry import Hold, RetryBook
from qts.ids import CounterIds, IdSource, random_prefix
from qts.safety.contracts import SafetyState

_P0: Final = EventPriority.P0_CRITICAL
_stamp: Final = msgspec.structs.force_setattr

SAFETY_TO_DEGRADATION: Final[Mapping[SafetyState, DegradationLevel]] = dict(
    zip(SafetyState, DegradationLevel, strict=True)
)


class _Door:
    """What publishing needs to know about one type, in one place."""

    __slots__ = ("flags", "level", "number", "priority", "put")

    def __init__(self, event_type: EventType, level: Level, put: Callable[[Event], bool]) -> None:
        traits = TRAITS[event_type]
        self.level = level
        self.number = level.number
        self.priority = traits.priority
        self.put = put


class EventDispatcher:
    """See the package's documentation; ``EventDispatcher()`` works alone."""

    def __init__(
        self,
        config: EventConfig | None = None,
        *,
        clock: Clock | None = None,
        ids: IdSource | None = None,
        rng: random.Random | None = None,
        inline: bool = False,
        on_code: Callable[[str, str], None] | None = None,
        dead_letter_path: Path | None = None,
    ) -> None:
        self._config = config or EventConfig()
        self._clock = clock or SystemClock()
        self.inline = inline
        self._on_code = on_code or (lambda code, detail: None)
        self._factory = (
            contracts.default_factory()
            if clock is None and ids is None
            else EventFactory(self._clock, ids or CounterIds(random_prefix()))
        )
        self._levels = tuple(
            Level(priority, create_queue(self._config.queue_configs[priority], rng=rng))
            for priority in EventPriority
        )
        self.dead_letter_queue = DeadLetterQueue(self._config.dead_letter_capacity, dead_letter_path)
        self._retries = RetryBook(
            self._config,
            self.dead_letter_queue,
            now_ns=self._clock.time_ns,
            on_code=self._on_code,
            schedule=self._retry_at_once,
        )
        self._engine = Engine(self._config, self._levels, self._retries, self._clock.monotonic_ns)
        self._engine.emit = self.dispatch_nowait
        self._degradation = DegradationLevel.NORMAL
        self._asleep = False
        self._doors = {
            kind: _Door(kind, self._levels[TRAITS[kind].priority], self._put_for(TRAITS[kind].priority))
            for kind in EventType
        }
        self._traits = [TRAITS[kind] for kind in EventType]
        self._time_ns = self._factory.time_ns
        self._run = self._factory.run
        self._numbers = self._factory.numbers

    def register_handler(
        self, priority: EventPriority, handler: EventHandler | Callback, *, lane: Lane = Lane.LOOP
    ) -> None:
        self._levels[priority].add(Entry(as_handler(handler), priority, lane))

    def publish(self, event_type: EventType, payload: Any = None, source: str = "") -> bool:
        """Make an event and accept it, in one step. Thread-safe; like :meth:`dispatch_nowait`."""
        door = self._doors[event_type]
        number = door.number
        if number > self._engine.floor:
            door.level.rejected += 1
            return False
        event = Event(
            event_type, door.priority, source, payload, next(self._numbers), self._time_ns(),
            number == 0, 0 if number else 10, number == 1, number == 2, number == 3, self._run, stopwatch_ns(),
        )  # fmt: skip
        kept = door.put(event)
        if self._asleep:
            self._wake()
        return kept

    def dispatch_nowait(self, event: Event) -> bool:
        level = self._levels[event.priority]
        if level.number > self._engine.floor:
            level.rejected += 1
            return False
        _stamp(event, "accepted_ns", stopwatch_ns())
        kept = self._doors[event.event_type].put(event)
        if self._asleep:
            self._wake()
        return kept

    def _wake(self) -> None: ...

    def run_inline(self, lowest: EventPriority = EventPriority.P3_LOW) -> int:
        return self._engine.run(lowest)

    def _put_for(self, priority: EventPriority) -> Callable[[Event], bool]:
        queue = self._levels[priority].queue
        return queue.put_overflow if isinstance(queue, BoundedQueue) else queue.put_nowait

    def _retry_at_once(self, hold: Hold, delay_s: float) -> None:
        hold.flight.level.due.append(hold)
        self._engine.attention = True
