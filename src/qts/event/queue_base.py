"""The base of all queues: the interface, waiting for an event, and counting under a lock."""

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
    """The interface of all queues. ``items`` is the container itself: the dispatcher reads its truth value."""

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
        """Called with every event that is dropped, collapsed or sampled out; only for queues of one thread."""
        self._lock = threading.Lock()
        self._getters: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()

    @property
    @abstractmethod
    def accepted(self) -> int:
        """Return the number of events that entered, whatever their outcome."""

    @property
    def dropped_count(self) -> int:
        """Return the number of events dropped to make room."""
        return 0

    @property
    def collapsed_count(self) -> int:
        """Return the number of events replaced by a newer one of the same key."""
        return 0

    @property
    def sampled_out_count(self) -> int:
        """Return the number of events that the sampling of a full queue refused."""
        return 0

    @abstractmethod
    def put_nowait(self, event: Event) -> bool:
        """Add at once; return False when this event was not kept. Thread-safe."""

    @abstractmethod
    def get_nowait(self) -> Event | None:
        """Remove and return the next event; None when there is none."""

    def release(self, count: int) -> bool:
        """Note that lanes hold ``count`` events fewer; return whether that has brought new ones into ``items``."""
        self.held -= count
        return False

    @abstractmethod
    def pending(self) -> list[Event]:
        """Return a copy of what is queued, in the order in which it will be taken."""

    @abstractmethod
    def restore(self, events: list[Event], counts: dict[str, int]) -> None:
        """Put stored events and counts (:meth:`counts`) into this empty queue."""

    @abstractmethod
    def count_passed(self) -> None:
        """Count an event that was never in here as accepted and taken."""

    @abstractmethod
    def counts(self) -> dict[str, int]:
        """Return the counters as plain numbers, for a checkpoint."""

    async def put(self, event: Event) -> bool:
        """Add as :meth:`put_nowait` does; only a BLOCK queue waits for room."""
        return self.put_nowait(event)

    async def get(self, timeout_ms: float = 0) -> Event | None:
        """Remove and return the next event, waiting up to ``timeout_ms`` (0: not at all); None when none came."""
        event = self.get_nowait()
        if event is not None or timeout_ms <= 0:
            return event
        await self._wait_for_event(timeout_ms / 1_000)
        return self.get_nowait()

    async def get_batch(self, max_count: int, timeout_ms: float = 0) -> list[Event]:
        """Remove and return up to ``max_count`` events; when empty, wait ``timeout_ms`` for the first."""
        first = await self.get(timeout_ms) if max_count > 0 else None
        batch = [] if first is None else [first]
        while batch and len(batch) < max_count and (event := self.get_nowait()) is not None:
            batch.append(event)
        return batch

    def peek(self) -> Event | None:
        """Return the event that would be taken next, without removing it; None when there is none."""
        try:
            first: Event = self.items[0]
        except IndexError:
            return None
        return first

    def note_depth(self) -> int:
        """Return the present depth, and keep the greatest one in ``high_water``."""
        depth = len(self.items)
        if depth > self.high_water:
            self.high_water = depth
        return depth

    def size(self) -> int:
        """Return the number of queued events."""
        return len(self.items)

    def is_full(self) -> bool:
        """Return whether ``capacity`` events are queued."""
        return self.size() >= self.capacity

    def utilization(self) -> float:
        """Return queued events over capacity; above 1 when events that must not be lost overflow."""
        return self.size() / self.capacity

    async def _wait_for_event(self, timeout_s: float) -> None:
        loop = asyncio.get_running_loop()
        waiter = (loop, loop.create_future())
        self._getters.append(waiter)
        if self.items:  # one came between the check and the registration
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
    """Finish ``future`` unless it is done, on its loop's thread."""
    if not future.done():
        future.set_result(None)


class CountingQueue(EventQueue):
    """The base of queues that decide under a lock and count as they do."""

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
