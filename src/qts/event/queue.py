"""The four queues, one per priority, each with its own answer to being full (spec 01).

Producers may be any thread; the consumer is one thread at a time. Every operation is O(1). What is lost is
counted, and at any moment ``accepted == taken + size() + dropped_count + collapsed_count + sampled_out_count``.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Any, Final

from qts.errors import ContractError
from qts.event.config import QueueConfig
from qts.event.contracts import Event, EventType, OverflowPolicy
from qts.event.keys import collapse_key, is_risk_reducing
from qts.ids import seeded

_STOP: Final = EventType.EMERGENCY_STOP


class EventQueue(ABC):
    """What all queues share. ``items`` is the container itself: the dispatcher looks at its truth value."""

    __slots__ = ("_getters", "_lock", "batch_size", "capacity", "high_water", "items", "taken")

    def __init__(self, config: QueueConfig) -> None:
        self.capacity = config.capacity
        self.batch_size = config.batch_size
        self.items: Any = deque()
        self.taken = 0
        self.high_water = 0
        self._lock = threading.Lock()
        self._getters: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()

    @property
    @abstractmethod
    def accepted(self) -> int:
        """Events that entered, whatever became of them."""

    @property
    def dropped_count(self) -> int:
        """Events pushed out to make room."""
        return 0

    @property
    def collapsed_count(self) -> int:
        """Events replaced by a newer one of the same key."""
        return 0

    @property
    def sampled_out_count(self) -> int:
        """Newcomers that the sampling of a full queue refused."""
        return 0

    @abstractmethod
    def put_nowait(self, event: Event) -> bool:
        """Add at once; False when this event was not kept."""

    @abstractmethod
    def get_nowait(self) -> Event | None:
        """The next event, or None when there is none."""

    @abstractmethod
    def pending(self) -> list[Event]:
        """A copy of what is queued, in the order in which it will be taken."""

    @abstractmethod
    def restore(self, events: list[Event], counts: dict[str, int]) -> None:
        """Put stored events and counts (:meth:`counts`) into this empty queue."""

    def counts(self) -> dict[str, int]:
        """The counters as plain numbers."""
        return {
            "accepted": self.accepted,
            "taken": self.taken,
            "dropped": self.dropped_count,
            "collapsed": self.collapsed_count,
            "sampled": self.sampled_out_count,
        }

    async def put(self, event: Event) -> bool:
        """Like :meth:`put_nowait`; only a BLOCK queue waits for room."""
        return self.put_nowait(event)

    async def get(self, timeout_ms: float = 0) -> Event | None:
        """The next event, waiting up to ``timeout_ms`` for one (0 = at once)."""
        event = self.get_nowait()
        if event is not None or timeout_ms <= 0:
            return event
        await self._wait_for_event(timeout_ms / 1_000)
        return self.get_nowait()

    async def get_batch(self, max_count: int, timeout_ms: float = 0) -> list[Event]:
        """Up to ``max_count`` events: what is there, or what comes first within ``timeout_ms`` when empty."""
        first = await self.get(timeout_ms) if max_count > 0 else None
        batch = [] if first is None else [first]
        while batch and len(batch) < max_count and (event := self.get_nowait()) is not None:
            batch.append(event)
        return batch

    def peek(self) -> Event | None:
        """The event that would be taken next, left where it is."""
        try:
            first: Event = self.items[0]
        except IndexError:
            return None
        return first

    def note_depth(self) -> int:
        """The present depth, remembered in ``high_water`` when it was never greater."""
        depth = len(self.items)
        if depth > self.high_water:
            self.high_water = depth
        return depth

    def size(self) -> int:
        return len(self.items)

    def is_full(self) -> bool:
        return self.size() >= self.capacity

    def utilization(self) -> float:
        """Queued events over capacity; above 1 when events that must not be lost overflow."""
        return self.size() / self.capacity

    async def _wait_for_event(self, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        waiter = (loop, loop.create_future())
        self._getters.append(waiter)
        if self.items:  # one came between the look and the registration
            self._wake_getter()
        try:
            await asyncio.wait_for(waiter[1], timeout_s)
        except TimeoutError:
            pass
        finally:
            if waiter in self._getters:
                self._getters.remove(waiter)

    def _wake_getter(self) -> None:
        try:
            loop, future = self._getters.popleft()
        except IndexError:
            return
        loop.call_soon_threadsafe(_resolve, future)


def _resolve(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_result(None)


class RingBuffer(EventQueue):
    """P1: full means that the oldest goes.

    One bounded deque, appended to atomically: producers need no lock and the loss is what is missing.
    """

    __slots__ = ("_arrivals",)

    def __init__(self, config: QueueConfig) -> None:
        super().__init__(config)
        self.items = deque(maxlen=config.capacity)
        self._arrivals = itertools.count(1)

    @property
    def accepted(self) -> int:
        return int(repr(self._arrivals)[6:-1]) - 1  # read without moving it

    @property
    def dropped_count(self) -> int:
        return self.accepted - self.taken - len(self.items)

    def put_nowait(self, event: Event) -> bool:
        next(self._arrivals)
        self.items.append(event)
        if self._getters:
            self._wake_getter()
        return True

    def get_nowait(self) -> Event | None:
        try:
            event: Event = self.items.popleft()
        except IndexError:
            return None
        self.taken += 1
        return event

    def pending(self) -> list[Event]:
        return list(self.items)

    def restore(self, events: list[Event], counts: dict[str, int]) -> None:
        self.items.extend(events)
        self.taken = counts["taken"]
        self._arrivals = itertools.count(counts["accepted"] + 1)


class _CountingQueue(EventQueue):
    """Queues that decide under a lock and therefore count as they go."""

    __slots__ = ("_accepted", "_collapsed", "_dropped", "_sampled")

    def __init__(self, config: QueueConfig) -> None:
        super().__init__(config)
        self._accepted = self._dropped = self._collapsed = self._sampled = 0

    @property
    def accepted(self) -> int:
        return self._accepted

    @property
    def dropped_count(self) -> int:
        return self._dropped

    @property
    def collapsed_count(self) -> int:
        return self._collapsed

    @property
    def sampled_out_count(self) -> int:
        return self._sampled

    def put_nowait(self, event: Event) -> bool:
        with self._lock:
            kept = self._add(event)
            self.note_depth()
        if self._getters:
            self._wake_getter()
        return kept

    def get_nowait(self) -> Event | None:
        with self._lock:
            return self._take() if self.items else None

    def pending(self) -> list[Event]:
        with self._lock:
            return list(self.items)

    def restore(self, events: list[Event], counts: dict[str, int]) -> None:
        with self._lock:
            for event in events:
                self._store(event)
            self._accepted, self.taken = counts["accepted"], counts["taken"]
            self._dropped, self._collapsed = counts["dropped"], counts["collapsed"]
            self._sampled = counts["sampled"]

    def _take(self) -> Event:
        event: Event = self.items.popleft()
        self.taken += 1
        return event

    def _store(self, event: Event) -> None:
        self.items.append(event)

    @abstractmethod
    def _add(self, event: Event) -> bool: ...


class SamplingQueue(_CountingQueue):
    """P3: when full each newcomer is kept with ``sample_rate`` and pushes out the oldest.

    A refused newcomer counts as sampled out, a pushed-out oldest as dropped. Events that may not be dropped
    are always kept.
    """

    __slots__ = ("_rng", "sample_rate")

    def __init__(self, config: QueueConfig, rng: random.Random | None = None) -> None:
        super().__init__(config)
        self.sample_rate = config.sample_rate
        self._rng = rng or seeded(0, "event-sampling")

    def _add(self, event: Event) -> bool:
        self._accepted += 1
        if len(self.items) >= self.capacity:
            if event.can_drop and self._rng.random() >= self.sample_rate:
                self._sampled += 1
                return False
            self.items.popleft()
            self._dropped += 1
        self.items.append(event)
        return True


class CollapsingQueue(_CountingQueue):
    """P2: the newest event replaces the queued one of the same key and keeps its place.

    Full of distinct keys, the oldest goes, but never a risk-reducing signal: those stay even beyond capacity
    (there is one per strategy, symbol and side), and a newcomer that finds nothing else is dropped itself.
    """

    __slots__ = ("_droppable",)

    def __init__(self, config: QueueConfig) -> None:
        super().__init__(config)
        self.items = OrderedDict[Hashable, Event]()
        self._droppable: OrderedDict[Hashable, None] = OrderedDict()

    def _add(self, event: Event) -> bool:
        self._accepted += 1
        key = collapse_key(event)
        if key in self.items:
            self._collapsed += 1
        elif len(self.items) >= self.capacity and not self._make_room() and not is_risk_reducing(event):
            self._dropped += 1
            return False
        self._keep(key, event)
        return True

    def _make_room(self) -> bool:
        if not self._droppable:
            return False
        key, _ = self._droppable.popitem(last=False)
        del self.items[key]
        self._dropped += 1
        return True

    def _keep(self, key: Hashable, event: Event) -> None:
        self.items[key] = event
        if not is_risk_reducing(event):
            self._droppable.setdefault(key, None)

    def _take(self) -> Event:
        key, event = self.items.popitem(last=False)
        self._droppable.pop(key, None)
        self.taken += 1
        return event

    def _store(self, event: Event) -> None:
        self._keep(collapse_key(event), event)

    def peek(self) -> Event | None:
        with self._lock:
            return next(iter(self.items.values()), None)

    def pending(self) -> list[Event]:
        with self._lock:
            return list(self.items.values())


class BoundedQueue(_CountingQueue):
    """P0: nothing is dropped; when full the producer waits, EMERGENCY_STOP goes first and never waits.

    A producer that waits hands its event over with its claim: the next free place takes it, in the order of
    waiting. One that must not wait (:meth:`put_overflow`), and one that has waited longer than
    ``patience_s``, goes beyond the capacity, counted in ``overflow_count``; ``on_stall`` is told of the latter.
    """

    __slots__ = ("_stops", "_waiting", "on_stall", "overflow_count", "patience_s")

    def __init__(
        self, config: QueueConfig, *, patience_s: float = 1.0, on_stall: Callable[[Event], None] | None = None
    ) -> None:
        super().__init__(config)
        self._stops = 0
        self._waiting: deque[_Claim] = deque()
        self.overflow_count = 0
        self.patience_s = patience_s
        self.on_stall = on_stall or (lambda event: None)

    def put_nowait(self, event: Event) -> bool:
        """Add at once; False when there is no room (nothing has happened then)."""
        with self._lock:
            kept = self._add(event)
        if kept and self._getters:
            self._wake_getter()
        return kept

    def put_overflow(self, event: Event) -> bool:
        """Add at once, beyond the capacity if need be; True."""
        with self._lock:
            if not self._add(event):
                self._admit(event)
                self.overflow_count += 1
        if self._getters:
            self._wake_getter()
        return True

    async def put(self, event: Event) -> bool:
        """Wait for room; the event is always kept unless the waiting task is cancelled."""
        loop = asyncio.get_running_loop()
        room: asyncio.Future[None] = loop.create_future()
        claim = _Claim(event, lambda: loop.call_soon_threadsafe(_resolve, room))
        if self._claimed(claim):
            return True
        try:
            await asyncio.wait_for(room, self.patience_s)
        except TimeoutError:
            self._stalled(claim)
        except asyncio.CancelledError:
            self._withdraw(claim)
            raise
        return True

    def put_blocking(self, event: Event) -> bool:
        """Wait for room in a thread that is not the consumer's; the event is always kept."""
        room = threading.Event()
        claim = _Claim(event, room.set)
        if not self._claimed(claim) and not room.wait(self.patience_s):
            self._stalled(claim)
        return True

    def _claimed(self, claim: _Claim) -> bool:
        """Whether there was room at once; otherwise the claim stands in line."""
        with self._lock:
            kept = self._add(claim.event)
            if not kept:
                self._waiting.append(claim)
        if kept and self._getters:
            self._wake_getter()
        return kept

    def _withdraw(self, claim: _Claim) -> bool:
        with self._lock:
            if claim not in self._waiting:
                return False
            self._waiting.remove(claim)
            return True

    def _stalled(self, claim: _Claim) -> None:
        with self._lock:
            if claim not in self._waiting:
                return
            for earlier in iter(self._waiting.popleft, claim):
                self._overflow(earlier)
            self._overflow(claim)
        self.on_stall(claim.event)

    def _overflow(self, claim: _Claim) -> None:
        self._admit(claim.event)
        self.overflow_count += 1
        claim.granted()

    def _add(self, event: Event) -> bool:
        if event.event_type is _STOP:
            self.items.insert(self._stops, event)
            self._stops += 1
            self._accepted += 1
            return True
        if len(self.items) >= self.capacity or self._waiting:
            return False
        self._admit(event)
        return True

    def _admit(self, event: Event) -> None:
        self.items.append(event)
        self._accepted += 1
        self.note_depth()

    def _take(self) -> Event:
        event: Event = self.items.popleft()
        self.taken += 1
        if self._stops:
            self._stops -= 1
        while self._waiting and len(self.items) < self.capacity:
            claim = self._waiting.popleft()
            self._admit(claim.event)
            claim.granted()
        return event

    def _store(self, event: Event) -> None:
        self._stops += event.event_type is _STOP
        self.items.append(event)


class _Claim:
    """An event whose producer waits, and how to tell the producer that it was taken in."""

    __slots__ = ("event", "granted")

    def __init__(self, event: Event, granted: Callable[[], object]) -> None:
        self.event = event
        self.granted = granted


def create_queue(config: QueueConfig, *, rng: random.Random | None = None) -> EventQueue:
    """The queue for the overflow policy of ``config``; ``rng`` is the random source of a SAMPLE queue."""
    match config.overflow_policy:
        case OverflowPolicy.BLOCK:
            return BoundedQueue(config)
        case OverflowPolicy.DROP_OLDEST:
            return RingBuffer(config)
        case OverflowPolicy.COLLAPSE:
            return CollapsingQueue(config)
        case OverflowPolicy.SAMPLE:
            return SamplingQueue(config, rng)
    raise ContractError(f"unknown overflow policy {config.overflow_policy!r}")
