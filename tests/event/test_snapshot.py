"""A dispatcher that was stored goes on exactly as the one that was not."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from qts.clock import ManualClock
from qts.errors import StateError
from qts.event.config import EventConfig
from qts.event.contracts import DegradationLevel, Event, EventType, Lane, create_event
from qts.event.dispatcher import EventDispatcher
from qts.event.handlers import CallbackHandler
from qts.strategy.contracts import Side
from tests.event.support import (
    P0,
    P1,
    P2,
    P3,
    START,
    Recorder,
    balanced,
    event_of,
    fill,
    inline_dispatcher,
    signal,
    tick,
    until,
)


def stored(dispatcher: EventDispatcher) -> dict[str, Any]:
    """The state after a journey through msgpack, as a checkpoint makes it."""
    value: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(dispatcher.export_state()))
    return value


def test_pending_events_counters_and_ids_go_on_as_if_nothing_had_happened() -> None:
    first, second = inline_dispatcher(), inline_dispatcher()
    done: dict[str, list[str]] = {"first": [], "second": []}
    for name, dispatcher in (("first", first), ("second", second)):
        for priority in (P0, P1, P2, P3):
            handler = CallbackHandler(lambda event, name=name: done[name].append(event.event_id), f"h{priority}")
            dispatcher.register_handler(priority, handler)
    first.publish(EventType.PRICE_TICK, tick())
    first.run_inline()
    first.publish(EventType.FILL_CONFIRMED, fill())
    first.publish(EventType.PRICE_TICK, tick())
    for side in (Side.BUY, Side.BUY, Side.SELL):
        first.publish(EventType.SIGNAL_GENERATED, signal(side))
    first.publish(EventType.LOG_WRITE, {"text": "x"})
    first.publish(EventType.EMERGENCY_STOP)
    first.set_degradation_level(DegradationLevel.P3_PAUSED)
    first.publish(EventType.LOG_WRITE)
    second.import_state(stored(first))
    assert second.export_state() == first.export_state()
    for dispatcher in (first, second):
        dispatcher.publish(EventType.VIX_UPDATE)
        dispatcher.run_inline()
        dispatcher.set_degradation_level(DegradationLevel.NORMAL)
        dispatcher.run_inline()
    assert done["second"] == done["first"][1:]
    assert done["second"][0] == "e-8"  # the stop
    assert done["second"][-1] == "e-7"
    assert second.export_state() == first.export_state()
    assert second.queue_stats() == first.queue_stats() | {
        name: row | {"high_water": second.queue_stats()[name]["high_water"]}
        for name, row in first.queue_stats().items()
    }


def failing_pair() -> tuple[EventDispatcher, EventDispatcher, Recorder, Recorder]:
    first, second = inline_dispatcher(), inline_dispatcher()
    broken, whole = Recorder(failures=4), Recorder()
    first.register_handler(P0, CallbackHandler(broken, "book"))
    second.register_handler(P0, CallbackHandler(whole, "book"))
    return first, second, broken, whole


def test_dead_letters_and_what_is_held_behind_them_survive() -> None:
    first, second, _, whole = failing_pair()
    for n in range(3):
        first.publish(EventType.FILL_PARTIAL, {"order_id": "o", "n": n})
    first.run_inline()
    second.import_state(stored(first))
    assert second.export_state() == first.export_state()
    assert balanced(second)
    second.publish(EventType.FILL_PARTIAL, {"order_id": "o", "n": 3})
    second.publish(EventType.FILL_PARTIAL, {"order_id": "p", "n": 9})
    second.run_inline()
    assert whole.numbers == [9]
    second.replay_dead_letter(second.dead_letter_queue[0].event.event_id)
    second.run_inline()
    assert whole.numbers == [9, 0, 1, 2, 3]
    assert balanced(second)


def test_an_event_that_waits_for_another_attempt_is_tried_again_with_its_count() -> None:
    first, second, _, whole = failing_pair()
    first._retries.schedule = lambda hold, delay_s: None
    for n in range(2):
        first.publish(EventType.FILL_PARTIAL, {"order_id": "o", "n": n})
    first.run_inline()
    whole.failures = 3
    second.import_state(stored(first))
    assert second.export_state() == first.export_state()
    second.run_inline()
    assert len(second.dead_letter_queue) == 1  # one attempt before, three after
    assert second.dead_letter_queue[0].attempts == 4
    assert balanced(second)


def test_an_event_two_handlers_share_is_still_counted_once() -> None:
    results = []
    for resume in (False, True):
        dispatcher = inline_dispatcher()
        one, two = Recorder(failures=1), Recorder(failures=1)
        dispatcher.register_handler(P1, CallbackHandler(one, "one"))
        dispatcher.register_handler(P1, CallbackHandler(two, "two"))
        dispatcher._retries.schedule = lambda hold, delay_s: None
        dispatcher.publish(EventType.PRICE_TICK, {"symbol": "A", "n": 1})
        dispatcher.run_inline()
        if resume:
            fresh = inline_dispatcher()
            fresh.register_handler(P1, CallbackHandler(one, "one"))
            fresh.register_handler(P1, CallbackHandler(two, "two"))
            fresh.import_state(stored(dispatcher))
            dispatcher = fresh
        else:
            for entry in dispatcher._levels[1].registrations:
                dispatcher._levels[1].due.extend(entry.blocked_keys.values())
        dispatcher.run_inline()
        results.append(
            (one.numbers, two.numbers, dispatcher.queue_stats()["P1_HIGH"]["handled"], balanced(dispatcher))
        )
    assert results == [([1], [1], 1, True)] * 2


def test_the_event_whose_handler_stores_the_state_counts_as_handled() -> None:
    first, second = inline_dispatcher(), inline_dispatcher()
    states: list[dict[str, Any]] = []
    first.register_handler(P0, CallbackHandler(lambda event: states.append(stored(first)), "book"))
    second.register_handler(P0, CallbackHandler(Recorder(), "book"))
    first.publish(EventType.FILL_CONFIRMED, fill())
    first.publish(EventType.FILL_CONFIRMED, fill("o-2"))
    first.run_inline()
    second.import_state(states[0])
    assert second.queue_stats()["P0_CRITICAL"]["handled"] == 1
    assert balanced(second)
    assert second.run_inline() == 1


def test_the_deadline_keeps_its_distance() -> None:
    clock = ManualClock(START)
    first = inline_dispatcher(clock=clock)
    first.set_deadline(lambda: None, 100)
    clock.advance(timedelta(milliseconds=30))
    later = ManualClock(START + timedelta(days=1))
    second, ticks = inline_dispatcher(clock=later), list[int]()
    second.set_deadline(lambda: ticks.append(1), 100)
    second.import_state(stored(first))
    later.advance(timedelta(milliseconds=69))
    second.run_inline()
    assert ticks == []
    later.advance(timedelta(milliseconds=1))
    second.run_inline()
    assert ticks == [1]


def test_other_handlers_or_a_dispatcher_in_use_are_refused() -> None:
    first, other, used = inline_dispatcher(), inline_dispatcher(), inline_dispatcher()
    other.register_handler(P1, CallbackHandler(Recorder(), "new"))
    used.publish(EventType.PRICE_TICK, tick())
    state = stored(first)
    with pytest.raises(StateError, match=r"P1_HIGH: stored for the handlers \[\], here are \['new'\]"):
        other.import_state(state)
    with pytest.raises(StateError, match="before the first event"):
        used.import_state(state)


async def test_events_a_lane_holds_are_stored_and_tried_again() -> None:
    let_go = threading.Event()
    first = EventDispatcher(EventConfig())
    first.register_handler(P3, CallbackHandler(lambda event: let_go.wait(), "slow"), lane=Lane.THREAD)
    await first.start()
    for n in range(3):
        first.dispatch_nowait(create_event(EventType.LOG_WRITE, payload={"n": n}))
    await until(lambda: first.queue_stats()["P3_LOW"]["queued"] == 0)
    state = stored(first)
    let_go.set()
    await first.stop()
    second, seen = inline_dispatcher(), Recorder()
    second.register_handler(P3, CallbackHandler(seen, "slow"), lane=Lane.THREAD)
    second.import_state(state)
    second.run_inline()
    assert seen.numbers == [0, 1, 2]
    assert balanced(second)


async def test_two_events_of_one_key_in_a_lane_come_back_in_order() -> None:
    dispatcher = EventDispatcher(EventConfig())
    gate = asyncio.Event()
    seen: list[int] = []

    async def handler(event: Event) -> None:
        await gate.wait()
        seen.append(event.payload["n"])

    dispatcher.register_handler(P1, CallbackHandler(handler, "h"))
    await dispatcher.start()
    for n in range(3):
        dispatcher.dispatch_nowait(event_of(P1, symbol="A", n=n))
    await until(lambda: dispatcher.queue_stats()["P1_HIGH"]["queued"] == 0)
    state = stored(dispatcher)
    gate.set()
    await dispatcher.stop()
    second, again = inline_dispatcher(), Recorder()
    second.register_handler(P1, CallbackHandler(again, "h"))
    second.import_state(state)
    second.run_inline()
    assert again.numbers == [0, 1, 2]
