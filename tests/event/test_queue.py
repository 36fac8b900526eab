"""The four queues: what each does when it is full, what it counts, and in which order events leave."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any

import pytest

from qts.errors import ContractError
from qts.event.config import QueueConfig, QueueConfigs
from qts.event.contracts import Event, EventPriority, EventType, OverflowPolicy, create_event
from qts.event.queue import (
    BoundedQueue,
    CollapsingQueue,
    EventQueue,
    RingBuffer,
    SamplingQueue,
    create_queue,
)
from qts.ids import seeded
from qts.strategy.contracts import Side
from tests.event.support import P0, P1, P2, P3, event_of, signal


def queue_of(policy: OverflowPolicy, capacity: int, sample_rate: float = 1.0) -> EventQueue:
    priority = {OverflowPolicy.BLOCK: P0, OverflowPolicy.DROP_OLDEST: P1, OverflowPolicy.COLLAPSE: P2}.get(
        policy, P3
    )
    return create_queue(QueueConfig(priority, capacity, policy, sample_rate=sample_rate), rng=seeded(1, "t"))


def bounded(capacity: int = 2) -> BoundedQueue:
    queue = queue_of(OverflowPolicy.BLOCK, capacity)
    assert isinstance(queue, BoundedQueue)
    return queue


def fills(count: int) -> list[Event]:
    return [event_of(P0, n=n) for n in range(count)]


def ticks(count: int) -> list[Event]:
    return [event_of(P1, n=n) for n in range(count)]


def evaluations(*symbols: str) -> list[Event]:
    return [create_event(EventType.STRATEGY_EVALUATE, payload={"symbol": s, "n": n}) for n, s in enumerate(symbols)]


def numbers(queue: EventQueue) -> list[int]:
    taken = []
    while (event := queue.get_nowait()) is not None:
        taken.append(event.payload["n"])
    return taken


# -- what the seed of the configuration says ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("priority", "kind", "capacity", "batch", "window_ms"),
    [
        (P0, BoundedQueue, 100, 1, 0),
        (P1, RingBuffer, 10_000, 100, 10),
        (P2, CollapsingQueue, 1_000, 50, 100),
        (P3, SamplingQueue, 50_000, 100, 1_000),
    ],
)
def test_each_priority_has_its_class_and_capacity(
    priority: EventPriority, kind: type[EventQueue], capacity: int, batch: int, window_ms: int
) -> None:
    config = QueueConfigs()[priority]
    queue = create_queue(config)
    assert type(queue) is kind
    assert queue.capacity == capacity
    assert (config.batch_size, config.batch_timeout_ms) == (batch, window_ms)


def test_p3_keeps_a_tenth_when_full() -> None:
    assert QueueConfigs().p3.sample_rate == 0.1


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ContractError, match="overflow policy 'NONE'"):
        create_queue(QueueConfig(P0, 1, "NONE"))  # type: ignore[arg-type]


# -- the common interface --------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", list(OverflowPolicy))
async def test_put_and_get_keep_the_order_and_an_empty_queue_gives_none(policy: OverflowPolicy) -> None:
    queue = queue_of(policy, 4)
    events = [event_of(P1, n=n) for n in range(3)]
    assert [await queue.put(event) for event in events] == [True, True, True]
    assert (queue.size(), queue.is_full(), queue.utilization()) == (3, False, 0.75)
    assert queue.peek() is events[0]
    assert await queue.get() is events[0]
    assert await queue.get_batch(5) == events[1:]
    assert await queue.get() is None
    assert queue.peek() is None
    assert await queue.get_batch(5) == []
    assert await queue.get_batch(0) == []


@pytest.mark.parametrize("policy", list(OverflowPolicy))
async def test_a_waiting_get_is_woken_by_a_put_from_another_thread(policy: OverflowPolicy) -> None:
    queue = queue_of(policy, 4)
    event = event_of(P1, n=1)
    waiting = asyncio.ensure_future(queue.get(timeout_ms=5_000))
    await asyncio.sleep(0)
    thread = threading.Thread(target=queue.put_nowait, args=(event,))
    thread.start()
    assert await waiting is event
    thread.join()


async def test_get_and_get_batch_give_up_after_their_timeout() -> None:
    queue = queue_of(OverflowPolicy.DROP_OLDEST, 4)
    assert await queue.get(timeout_ms=1) is None
    assert await queue.get_batch(3, timeout_ms=1) == []


async def test_an_event_that_comes_between_look_and_wait_is_not_slept_over() -> None:
    queue = queue_of(OverflowPolicy.DROP_OLDEST, 4)
    waiting = asyncio.ensure_future(queue._wait_for_event(5.0))
    queue.items.append(event_of(P1, n=1))  # as a thread would, just before the waiter is registered
    await waiting
    queue._wake_getter()  # no one waits: nothing happens
    assert queue.size() == 1


async def test_a_getter_that_gave_up_is_not_woken_twice() -> None:
    queue = queue_of(OverflowPolicy.DROP_OLDEST, 4)
    waiting = asyncio.ensure_future(queue.get(timeout_ms=5_000))
    await asyncio.sleep(0)
    queue.put_nowait(event_of(P1, n=1))
    queue.put_nowait(event_of(P1, n=2))
    first = await waiting
    assert first is not None
    assert queue.size() == 1


# -- P1 --------------------------------------------------------------------------------------------------------


def test_a_full_ring_drops_the_oldest_and_counts_it() -> None:
    ring = queue_of(OverflowPolicy.DROP_OLDEST, 3)
    assert all(ring.put_nowait(event) for event in ticks(3))
    assert (ring.dropped_count, ring.is_full()) == (0, True)
    assert all(ring.put_nowait(event) for event in ticks(2))
    assert ring.dropped_count == 2
    assert numbers(ring) == [2, 0, 1]
    assert (ring.accepted, ring.taken, ring.collapsed_count, ring.sampled_out_count) == (5, 3, 0, 0)


def test_a_ring_is_exact_with_eight_producer_threads() -> None:
    ring = queue_of(OverflowPolicy.DROP_OLDEST, 50)
    events = ticks(1)
    threads = [
        threading.Thread(target=lambda: [ring.put_nowait(events[0]) for _ in range(2_000)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    taken = 0
    while any(thread.is_alive() for thread in threads):
        taken += ring.get_nowait() is not None
    taken += len(numbers(ring)) if ring.size() else 0
    assert ring.accepted == 16_000
    assert ring.taken == taken
    assert ring.dropped_count == 16_000 - taken


# -- P2 --------------------------------------------------------------------------------------------------------


def test_the_newest_of_a_key_replaces_the_queued_one_and_keeps_its_place() -> None:
    queue = queue_of(OverflowPolicy.COLLAPSE, 10)
    for event in evaluations("A", "B", "A"):
        assert queue.put_nowait(event)
    assert queue.size() == 2
    assert queue.collapsed_count == 1
    assert numbers(queue) == [2, 1]


def test_full_of_distinct_keys_the_oldest_goes_and_is_counted() -> None:
    queue = queue_of(OverflowPolicy.COLLAPSE, 2)
    for event in evaluations("A", "B", "C"):
        assert queue.put_nowait(event)
    assert queue.dropped_count == 1
    assert numbers(queue) == [1, 2]


def test_a_risk_reducing_signal_is_never_pushed_out() -> None:
    queue = queue_of(OverflowPolicy.COLLAPSE, 2)
    sell = create_event(EventType.SIGNAL_GENERATED, payload=signal(Side.SELL))
    queue.put_nowait(sell)
    for event in evaluations("A", "B", "C"):
        assert queue.put_nowait(event)
    assert (queue.size(), queue.dropped_count) == (2, 2)
    assert queue.get_nowait() is sell


def test_full_of_sells_a_wish_is_dropped_and_another_sell_is_kept_beyond_capacity() -> None:
    queue = queue_of(OverflowPolicy.COLLAPSE, 2)
    sells = [create_event(EventType.SIGNAL_GENERATED, payload=signal(Side.SELL, symbol=s)) for s in "ABC"]
    assert [queue.put_nowait(event) for event in sells[:2]] == [True, True]
    buy = create_event(EventType.SIGNAL_GENERATED, payload=signal(Side.BUY, symbol="Z"))
    assert queue.put_nowait(buy) is False
    assert queue.dropped_count == 1
    assert queue.put_nowait(sells[2]) is True
    assert queue.utilization() == 1.5
    assert [queue.get_nowait() for _ in range(3)] == sells


# -- P3 --------------------------------------------------------------------------------------------------------


def logs(count: int, **override: Any) -> list[Event]:
    return [create_event(EventType.LOG_WRITE, payload={"n": n}, **override) for n in range(count)]


def test_below_capacity_a_sampling_queue_keeps_everything() -> None:
    queue = queue_of(OverflowPolicy.SAMPLE, 5, sample_rate=0.0)
    assert all(queue.put_nowait(event) for event in logs(5))
    assert (queue.sampled_out_count, queue.dropped_count) == (0, 0)


def test_a_full_sampling_queue_refuses_all_newcomers_at_rate_0_and_none_at_rate_1() -> None:
    nothing, everything = queue_of(OverflowPolicy.SAMPLE, 5, 0.0), queue_of(OverflowPolicy.SAMPLE, 5, 1.0)
    assert [nothing.put_nowait(event) for event in logs(8)] == [True] * 5 + [False] * 3
    assert (nothing.sampled_out_count, nothing.dropped_count, numbers(nothing)) == (3, 0, [0, 1, 2, 3, 4])
    assert all(everything.put_nowait(event) for event in logs(8))
    assert (everything.sampled_out_count, everything.dropped_count) == (0, 3)
    assert numbers(everything) == [3, 4, 5, 6, 7]


def test_a_full_sampling_queue_keeps_newcomers_with_its_rate() -> None:
    queue = queue_of(OverflowPolicy.SAMPLE, 10, sample_rate=0.1)
    for event in logs(10_010):
        queue.put_nowait(event)
    assert queue.sampled_out_count + queue.dropped_count == 10_000
    assert 900 <= queue.dropped_count <= 1_100


def test_the_random_source_decides_and_is_injected() -> None:
    def run(seed: int) -> list[int]:
        config = QueueConfig(P3, 5, OverflowPolicy.SAMPLE, sample_rate=0.5)
        queue = create_queue(config, rng=seeded(seed, "x"))
        for event in logs(50):
            queue.put_nowait(event)
        return numbers(queue)

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_an_event_that_may_not_be_dropped_is_always_kept() -> None:
    queue = queue_of(OverflowPolicy.SAMPLE, 2, sample_rate=0.0)
    assert all(queue.put_nowait(event) for event in logs(4, can_drop=False))
    assert numbers(queue) == [2, 3]


def test_a_consumer_faster_than_the_push_out_loses_no_event() -> None:
    queue = queue_of(OverflowPolicy.SAMPLE, 1, sample_rate=1.0)
    assert isinstance(queue, SamplingQueue)
    queue._push_out()  # the consumer emptied it between the look and the push
    assert queue.dropped_count == 0


# -- P0 --------------------------------------------------------------------------------------------------------


def test_a_full_p0_queue_refuses_put_nowait_and_loses_nothing() -> None:
    queue = bounded(2)
    events = fills(3)
    assert [queue.put_nowait(event) for event in events] == [True, True, False]
    assert (queue.accepted, queue.size(), queue.dropped_count) == (2, 2, 0)


async def test_a_coroutine_waits_for_room_and_then_its_event_is_in() -> None:
    queue = bounded(1)
    first, second = fills(2)
    await queue.put(first)
    waiting = asyncio.ensure_future(queue.put(second))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert queue.get_nowait() is first
    assert await waiting is True
    assert queue.get_nowait() is second
    assert queue.overflow_count == 0


async def test_waiting_producers_are_let_in_in_the_order_they_came() -> None:
    queue = bounded(1)
    events = fills(4)
    await queue.put(events[0])
    waiting = [asyncio.ensure_future(queue.put(event)) for event in events[1:3]]
    await asyncio.sleep(0)
    assert queue.get_nowait() is events[0]
    assert queue.put_nowait(events[3]) is False  # there are claims before it
    assert [queue.get_nowait(), queue.get_nowait()] == events[1:3]
    await asyncio.gather(*waiting)


async def test_a_cancelled_producer_takes_its_event_back() -> None:
    queue = bounded(1)
    first, second = fills(2)
    await queue.put(first)
    waiting = asyncio.ensure_future(queue.put(second))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert queue.get_nowait() is first
    assert queue.get_nowait() is None


async def test_a_producer_cancelled_after_its_event_was_taken_leaves_it_in() -> None:
    queue = bounded(1)
    first, second = fills(2)
    await queue.put(first)
    waiting = asyncio.ensure_future(queue.put(second))
    await asyncio.sleep(0)
    queue.get_nowait()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert queue.get_nowait() is second
    assert queue.get_nowait() is None


def test_a_foreign_thread_waits_for_room() -> None:
    queue = bounded(1)
    queue.patience_s = 30.0
    first, second = fills(2)
    queue.put_nowait(first)
    thread = threading.Thread(target=queue.put_blocking, args=(second,))
    thread.start()
    while not queue._waiting:
        pass
    assert queue.size() == 1
    assert queue.get_nowait() is first
    thread.join()
    assert queue.get_nowait() is second
    assert queue.overflow_count == 0


async def test_patience_runs_out_the_stall_is_told_and_the_event_is_kept_in_order() -> None:
    queue = bounded(1)
    stalled: list[Event] = []
    queue.patience_s, queue.on_stall = 0.001, stalled.append
    events = fills(3)
    await queue.put(events[0])
    assert await queue.put(events[1]) is True
    assert queue.put_blocking(events[2]) is True
    assert stalled == events[1:]
    assert queue.overflow_count == 2
    assert [queue.get_nowait() for _ in range(3)] == events


def test_when_a_later_claim_stalls_the_earlier_ones_go_in_before_it() -> None:
    from qts.event.queue import _Claim

    queue = bounded(1)
    told: list[int] = []
    events = fills(3)
    queue.put_nowait(events[0])
    claims = [_Claim(event, lambda n=n: told.append(n)) for n, event in enumerate(events[1:])]  # type: ignore[misc]
    queue._waiting.extend(claims)
    queue._stalled(claims[1])
    assert queue.pending() == events
    assert told == [0, 1]
    queue._stalled(claims[1])  # it is in already
    assert queue.size() == 3


def test_a_producer_that_must_not_wait_goes_to_the_counted_overflow() -> None:
    queue = bounded(1)
    events = fills(3)
    assert all(queue.put_overflow(event) for event in events)
    assert (queue.overflow_count, queue.size(), queue.utilization()) == (2, 3, 3.0)
    assert [queue.get_nowait() for _ in range(3)] == events


def test_emergency_stop_goes_first_never_waits_and_keeps_its_own_order() -> None:
    queue = bounded(1)
    first = fills(1)[0]
    stops = [create_event(EventType.EMERGENCY_STOP, payload={"n": n}) for n in (7, 8)]
    queue.put_nowait(first)
    assert [queue.put_nowait(stop) for stop in stops] == [True, True]
    assert [queue.get_nowait() for _ in range(3)] == [*stops, first]
    queue.put_nowait(first)
    queue.put_nowait(stops[0])
    assert queue.get_nowait() is stops[0]


async def test_get_is_woken_by_every_way_into_p0() -> None:
    queue = bounded(1)
    for put in (queue.put_nowait, queue.put_overflow, queue.put_blocking):
        waiting = asyncio.ensure_future(queue.get(timeout_ms=5_000))
        await asyncio.sleep(0)
        event = fills(1)[0]
        put(event)
        assert await waiting is event


def test_p0_is_exact_with_eight_producer_threads() -> None:
    queue = bounded(20)
    queue.patience_s = 30.0
    threads = [
        threading.Thread(
            target=lambda base=base: [queue.put_blocking(event_of(P0, n=(base, n))) for n in range(300)]
        )
        for base in range(8)
    ]
    for thread in threads:
        thread.start()
    seen: list[tuple[int, int]] = []
    while len(seen) < 2_400:
        event = queue.get_nowait()
        if event is not None:
            seen.append(event.payload["n"])
    for thread in threads:
        thread.join()
    assert Counter(base for base, _ in seen) == dict.fromkeys(range(8), 300)
    assert all([n for base, n in seen if base == which] == list(range(300)) for which in range(8))
    assert queue.high_water <= 20


# -- state -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", list(OverflowPolicy))
def test_a_queue_is_rebuilt_from_its_pending_events_and_counts(policy: OverflowPolicy) -> None:
    first = queue_of(policy, 3, sample_rate=0.0)
    source = fills(3) if policy is OverflowPolicy.BLOCK else evaluations("A", "B", "C", "D", "A")
    for event in source:
        first.put_nowait(event)
    first.get_nowait()
    second = queue_of(policy, 3)
    second.restore(first.pending(), first.counts())
    assert second.counts() == first.counts()
    assert second.pending() == first.pending()


def test_stops_that_were_stored_stay_in_front() -> None:
    first, second = bounded(3), bounded(3)
    stop, late = (create_event(EventType.EMERGENCY_STOP) for _ in range(2))
    first.put_nowait(fills(1)[0])
    first.put_nowait(stop)
    second.restore(first.pending(), first.counts())
    second.put_nowait(late)
    assert [second.get_nowait(), second.get_nowait()] == [stop, late]


@pytest.mark.parametrize(
    ("policy", "rate"),
    [(OverflowPolicy.DROP_OLDEST, 1.0), (OverflowPolicy.SAMPLE, 1.0), (OverflowPolicy.SAMPLE, 0.0)],
)
def test_the_owner_of_a_queue_can_be_told_which_event_was_lost(policy: OverflowPolicy, rate: float) -> None:
    queue = queue_of(policy, 1, rate)
    lost: list[Event] = []
    queue.on_lost = lost.append
    events = logs(2)
    for event in events:
        queue.put_nowait(event)
    assert lost == [events[1 if rate == 0.0 else 0]]
    assert queue.accepted == 2
    assert queue.dropped_count + queue.sampled_out_count == 1


def test_the_owner_of_a_collapsing_queue_is_told_of_all_three_losses() -> None:
    queue = queue_of(OverflowPolicy.COLLAPSE, 1)
    lost: list[Event] = []
    queue.on_lost = lost.append
    one, two, other = evaluations("A", "A", "B")
    for event in (one, two, other):
        queue.put_nowait(event)
    assert lost == [one, two]
    queue.get_nowait()
    queue.put_nowait(create_event(EventType.SIGNAL_GENERATED, payload=signal(Side.SELL)))
    queue.put_nowait(other)
    assert lost[-1] is other
