"""The four queues, one per priority, each with its own overflow policy.

Producers may be any thread; the consumer is one thread at a time. Every operation is O(1). What is lost is
counted, and at any moment ``accepted == taken + size() + dropped_count + collapsed_count + sampled_out_count``.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Final

from qts.errors import ContractError
from qts.event.config import QueueConfig
from qts.event.contracts import Event, EventType, OverflowPolicy
from qts.event.ordering_keys import collapse_key, field_of, is_risk_reducing, keeps_its_turn
from qts.event.queue_base import CountingQueue, EventQueue, resolve_future
from qts.ids import seeded

__all__ = ["BoundedQueue", "CollapsingQueue", "EventQueue", "RingBuffer", "SamplingQueue", "create_queue"]
_STOP: Final = EventType.EMERGENCY_STOP


class BoundedQueue(CountingQueue):
    """The P0 queue: nothing is dropped; when full the producer waits, EMERGENCY_STOP goes first and never waits.

    A producer that waits hands its event over with its claim: the next free place is given in the order of waiting.
    One that must not wait (:meth:`put_overflow`), and one that has waited longer than
    ``patience_s``, goes beyond the capacity, counted in ``overflow_count``; ``on_stall`` is called with the latter.
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
        """Add at once; return False, without any effect, when there is no room."""
        with self._lock:
            kept = self._add(event)
        if kept and self._getters:
            self._wake_getter()
        return kept

    def put_overflow(self, event: Event) -> bool:
        """Add at once, beyond the capacity if need be, and return True; for producers on the loop's thread."""
        with self._lock:
            items = self.items
            depth = len(items)
            if depth < self.capacity and not self._waiting and event.event_type is not _STOP:
                items.append(event)
                self._accepted += 1
                if depth >= self.high_water:
                    self.high_water = depth + 1
            elif not self._add(event):
                self._admit(event)
                self.overflow_count += 1
        if self._getters:
            self._wake_getter()
        return True

    async def put(self, event: Event) -> bool:
        """Wait for room; the event is always kept unless the waiting task is cancelled."""
        loop = asyncio.get_running_loop()
        room: asyncio.Future[None] = loop.create_future()
        claim = _Claim(event, lambda: loop.call_soon_threadsafe(resolve_future, room))
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
        """Return whether there was room at once; otherwise the claim waits."""
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
    """An event whose producer waits, and the call that resumes the producer."""

    __slots__ = ("event", "granted")

    def __init__(self, event: Event, granted: Callable[[], object]) -> None:
        self.event = event
        self.granted = granted


class RingBuffer(EventQueue):
    """The P1 queue: when full, the oldest is dropped.

    One bounded deque, appended to atomically: producers need no lock and the loss is what is missing.
    """

    takes_directly = True

    __slots__ = ("arrivals",)

    def __init__(self, config: QueueConfig) -> None:
        super().__init__(config)
        self.items = deque(maxlen=config.capacity)
        self.arrivals = itertools.count(1)

    @property
    def accepted(self) -> int:
        return int(repr(self.arrivals)[6:-1]) - 1  # read without moving it

    @property
    def dropped_count(self) -> int:
        return self.accepted - self.taken - len(self.items)

    def put_nowait(self, event: Event) -> bool:
        next(self.arrivals)
        if self.on_lost is not None and len(self.items) == self.capacity:
            self.on_lost(self.items.popleft())
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

    def count_passed(self) -> None:
        next(self.arrivals)
        self.taken += 1

    def pending(self) -> list[Event]:
        return list(self.items)

    def counts(self) -> dict[str, int]:
        accepted, taken = self.accepted, self.taken
        dropped = accepted - taken - len(self.items)
        return {"accepted": accepted, "taken": taken, "dropped": dropped, "collapsed": 0, "sampled": 0}

    def restore(self, events: list[Event], counts: dict[str, int]) -> None:
        self.items.extend(events)
        self.taken = counts["taken"]
        self.arrivals = itertools.count(counts["accepted"] + 1)


class CollapsingQueue(CountingQueue):
    """The P2 queue: the newest event replaces the queued one of the same key, at its place.

    Where a target or a cancel of the same strategy is among the two or came between them, it goes to the end
    instead: what these do depends on what was said before them.

    Full of distinct keys, the oldest is dropped, but never a risk-reducing signal: those stay even beyond capacity
    (there is one per strategy, symbol and side), and a new event that finds nothing else is dropped itself.
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
            self._lost(self.items[key])
            if self._is_last_word(key, event):
                self.items.move_to_end(key)
        elif len(self.items) >= self.capacity and not self._make_room() and not is_risk_reducing(event):
            self._dropped += 1
            self._lost(event)
            return False
        self._keep(key, event)
        return True

    def _is_last_word(self, key: Hashable, event: Event) -> bool:
        """Return whether ``event`` must be handled after all that was queued behind the event that it replaces."""
        if keeps_its_turn(event):
            return True
        strategy = field_of(event.body, "strategy")
        for other_key, other in reversed(self.items.items()):
            if other_key == key:
                return False
            if keeps_its_turn(other) and field_of(other.body, "strategy") == strategy:
                return True
        return False

    def _make_room(self) -> bool:
        if not self._droppable:
            return False
        key, _ = self._droppable.popitem(last=False)
        self._dropped += 1
        self._lost(self.items.pop(key))
        return True

    def _keep(self, key: Hashable, event: Event) -> None:
        self.items[key] = event
        if not is_risk_reducing(event):
            self._droppable.setdefault(key, None)

    def _take(self) -> Event:
        key, oldest = self.items.popitem(last=False)
        event: Event = oldest
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


class SamplingQueue(CountingQueue):
    """The P3 queue: when full each new event is kept with ``sample_rate`` and replaces the oldest.

    A refused event counts as sampled out, a replaced one as dropped. Events that may not be dropped
    are always kept.
    """

    takes_directly = True

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
                self._lost(event)
                return False
            self._push_out()
        self.items.append(event)
        return True

    def _push_out(self) -> None:
        try:
            oldest = self.items.popleft()
        except IndexError:  # the consumer, which needs no lock, was faster
            return
        self._dropped += 1
        self._lost(oldest)


def create_queue(config: QueueConfig, *, rng: random.Random | None = None) -> EventQueue:
    """Return the queue for the overflow policy of ``config``; ``rng`` is the random source of a SAMPLE queue.

    Raises ContractError for a policy that does not exist.
    """
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
