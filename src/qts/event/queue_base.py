"""What all queues share: the interface, waiting for an event, and counting under a lock."""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any

from qts.event.config import QueueConfig
from qts.event.contracts import Event


class EventQueue(ABC):
    """What all queues share. ``items`` is the container itself: the dispatcher looks at its truth value."""

    takes_directly = False
    """Whether the one consumer may pop from the left of ``items`` itself and count it in ``taken``."""

    __slots__ = ("_getters", "_lock", "batch_size", "capacity", "held", "high_water", "items", "on_lost", "taken")

    def __init__(self, config: QueueConfig) -> None:
        self.capacity = config.capacity
        self.batch_size = config.batch_size
        self.items: Any = deque()
        self.taken = 0
        self.held = 0
        """Events taken from here that wait in front of handlers on other lanes."""
        self.high_water = 0
        self.on_lost: Callable[[Event], None] | None = None
        """Told of every event that is dropped, collapsed or sampled out; only for queues of one thread."""
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

    def release(self, count: int) -> bool:
        """``count`` of the events held by lanes wait no more; whether that has brought new ones into ``items``."""
        self.held -= count
        return False

    @abstractmethod
    def pending(self) -> list[Event]:
        """A copy of what is queued, in the order in which it will be taken."""

    @abstractmethod
    def restore(self, events: list[Event], counts: dict[str, int]) -> None:
        """Put stored events and counts (:meth:`counts`) into this empty queue."""

    @abstractmethod
    def count_passed(self) -> None:
        """Count an event that was never in here as accepted and taken."""

    @abstractmethod
    def counts(self) -> dict[str, int]:
        """The counters as plain numbers; every checkpoint asks for them."""

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
        loop.call_soon_threadsafe(resolve_future, future)


def resolve_future(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_result(None)


class CountingQueue(EventQueue):
    """Queues that decide under a lock and therefore count as they go."""

    __slots__ = ("_accepted", "_collapsed", "_dropped", "_sampled")

    def __init__(self, config: QueueConfig) -> None:
        super().__init__(config)
        self._accepted = self._dropped = self._collapsed = self._sampled = 0

    @property
    def accepted(self) -> int:
        return self._accepted

    def count_passed(self) -> None:
        self._accepted += 1
        self.taken += 1

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

    def counts(self) -> dict[str, int]:
        return {
            "accepted": self._accepted,
            "taken": self.taken,
            "dropped": self._dropped,
            "collapsed": self._collapsed,
            "sampled": self._sampled,
        }

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

    def _lost(self, event: Event) -> None:
        if self.on_lost is not None:
            self.on_lost(event)

    @abstractmethod
    def _add(self, event: Event) -> bool: ...
