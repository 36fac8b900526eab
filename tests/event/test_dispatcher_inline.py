"""The dispatcher on the virtual clock: priority, publishing, results, lanes, deadlines."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta

import pytest

from qts.clock import ManualClock
from qts.errors import ContractError, StateError
from qts.event.config import (
    EventConfig,
)
from qts.event.contracts import (
    DegradationLevel,
    Event,
    EventType,
    Lane,
    create_event,
)
from qts.event.dispatcher import EventDispatcher
from qts.event.handlers import CallbackHandler, EventHandler, TypeFilterHandler
from qts.event.stream import Stream
from qts.market.contracts import Tick
from tests.event.support import (
    P0,
    P1,
    P2,
    P3,
    START,
    Recorder,
    balance,
    event_of,
    fill,
    inline_dispatcher,
    quote,
    small,
    tick,
)

TICK, LOG, STOP = EventType.PRICE_TICK, EventType.LOG_WRITE, EventType.EMERGENCY_STOP


# -- priority --------------------------------------------------------------------------------------------------


def test_everything_queued_is_handled_in_strict_priority() -> None:
    dispatcher, order = inline_dispatcher(), list[str]()
    for priority in (P3, P2, P1, P0):
        dispatcher.register_handler(priority, lambda event: order.append(event.priority.name))
        for n in range(2):
            dispatcher.dispatch_nowait(event_of(priority, n=n, symbol=str(n)))
    assert dispatcher.run_inline() == 8
    assert order == [p.name for p in (P0, P0, P1, P1, P2, P2, P3, P3)]
    assert balance(dispatcher) == [0, 0, 0, 0]


def test_p0_is_looked_at_before_each_handler_call_inside_a_batch() -> None:
    dispatcher, order = inline_dispatcher(), list[str]()

    def on_tick(event: Event) -> None:
        order.append(f"tick {event.payload['n']}")
        if event.payload["n"] == 0:
            dispatcher.publish(EventType.FILL_CONFIRMED, fill())

    dispatcher.register_handler(P0, lambda event: order.append("fill"))
    dispatcher.register_handler(P1, on_tick)
    for n in range(3):
        dispatcher.publish(TICK, {"n": n})
    dispatcher.run_inline()
    assert order == ["tick 0", "fill", "tick 1", "tick 2"]


def test_p0_is_looked_at_between_two_handlers_of_one_event() -> None:
    dispatcher, order = inline_dispatcher(), list[str]()

    def first(event: Event) -> None:
        order.append("first")
        dispatcher.publish(EventType.FILL_CONFIRMED, fill())

    dispatcher.register_handler(P2, first)
    dispatcher.register_handler(P2, lambda event: order.append("second"))
    dispatcher.register_handler(P0, lambda event: order.append("fill"))
    dispatcher.publish(EventType.STRATEGY_EVALUATE)
    dispatcher.run_inline()
    assert order == ["first", "fill", "second"]


def test_p1_goes_before_p2_and_p2_before_p3_whenever_they_come() -> None:
    dispatcher, order = inline_dispatcher(), list[str]()

    def on_log(event: Event) -> None:
        order.append("P3")
        if len(order) == 1:
            dispatcher.publish(EventType.STRATEGY_EVALUATE, {"symbol": "A"})
            dispatcher.publish(TICK, tick())

    dispatcher.register_handler(P1, lambda event: order.append("P1"))
    dispatcher.register_handler(P2, lambda event: order.append("P2"))
    dispatcher.register_handler(P3, on_log)
    dispatcher.publish(LOG)
    dispatcher.publish(LOG)
    dispatcher.run_inline()
    assert order == ["P3", "P1", "P2", "P3"]
    assert dispatcher.stats.priority_check() == (4, 0)


def test_emergency_stop_goes_first_then_p0_is_first_in_first_out() -> None:
    dispatcher, order = inline_dispatcher(), list[str]()
    dispatcher.register_handler(P0, lambda event: order.append(event.payload["n"]))
    for n in (1, 2):
        dispatcher.dispatch_nowait(create_event(EventType.FILL_PARTIAL, payload={"n": n}))
    dispatcher.dispatch_nowait(create_event(STOP, payload={"n": 0}))
    dispatcher.run_inline()
    assert order == [0, 1, 2]


def test_run_inline_stops_at_the_priority_it_was_asked_for() -> None:
    dispatcher = inline_dispatcher()
    for priority in (P0, P1, P2, P3):
        dispatcher.dispatch_nowait(event_of(priority))
    assert dispatcher.run_inline(P1) == 2
    assert [row["size"] for row in dispatcher.queue_stats().values()] == [0, 0, 1, 1]
    assert [dispatcher.stats.unfinished(priority) for priority in (P0, P1, P2, P3)] == [0, 0, 1, 1]


def test_the_self_check_counts_a_start_while_a_p0_had_been_waiting() -> None:
    dispatcher = inline_dispatcher()
    p0 = event_of(P0)
    dispatcher.dispatch_nowait(p0)
    dispatcher._scheduler._audit(1, started_ns=p0.accepted_ns)
    assert dispatcher.stats.priority_check() == (0, 0)  # it came at the same moment: nothing overtook it
    dispatcher._scheduler._audit(1, started_ns=p0.accepted_ns + 1)
    assert dispatcher.stats.priority_check() == (0, 1)
    dispatcher.run_inline()
    dispatcher._scheduler._audit(1, started_ns=p0.accepted_ns + 1)
    assert dispatcher.stats.priority_check() == (1, 1)  # nothing waits any more


def interrupting() -> tuple[EventDispatcher, list[str]]:
    """P1 events have two handlers; the first one publishes a fill, so the second is interrupted by P0."""
    dispatcher, order = inline_dispatcher(), list[str]()

    def first(event: Event) -> None:
        order.append(f"first {event.payload['n']}")
        dispatcher.publish(EventType.FILL_CONFIRMED, fill())

    dispatcher.register_handler(P1, first)
    dispatcher.register_handler(P1, lambda event: order.append(f"second {event.payload['n']}"))
    dispatcher.register_handler(P0, lambda event: order.append("fill"))
    return dispatcher, order


def test_a_pause_that_an_interruption_brings_stops_the_batch_after_the_event_begun() -> None:
    dispatcher, order = interrupting()
    dispatcher.register_handler(P0, lambda event: dispatcher.set_degradation_level(DegradationLevel.CRITICAL_ONLY))
    for n in range(3):
        dispatcher.publish(TICK, {"n": n})
    dispatcher.run_inline()
    assert order == ["first 0", "fill", "second 0"]


# -- publishing ------------------------------------------------------------------------------------------------


def test_publish_makes_and_accepts_an_event_with_time_and_id_of_the_dispatcher() -> None:
    clock = ManualClock(START)
    dispatcher, seen = inline_dispatcher(clock=clock), Recorder()
    dispatcher.register_handler(P1, seen)
    dispatcher.register_handler(P0, seen)
    dispatcher.register_handler(P2, seen)
    clock.advance(timedelta(seconds=1))
    payload = quote()
    assert dispatcher.publish(EventType.ORDERBOOK_UPDATE, payload, "feed")
    assert dispatcher.publish(EventType.FILL_CONFIRMED, fill())
    assert dispatcher.publish(EventType.ETEDA_CYCLE_START, {"cycle": 1})
    dispatcher.run_inline()
    book, cycle = seen.seen[1], seen.seen[2]
    assert book.payload is payload
    assert (book.source, book.event_id, book.timestamp) == ("feed", "e-1", START + timedelta(seconds=1))
    assert (book.priority, book.can_batch, seen.seen[0].requires_ack, cycle.can_collapse) == (P1, True, True, True)
    assert dispatcher.dispatch_count == 3


def test_library_use_takes_any_mapping_and_the_runtime_refuses_a_misfit_naming_the_field() -> None:
    loose, strict = inline_dispatcher(), inline_dispatcher(EventConfig(check_payloads=True))
    seen = Recorder()
    strict.register_handler(P1, seen)
    assert loose.publish(TICK, {"price": "cheap"})
    with pytest.raises(ContractError, match=r"PRICE_TICK: the payload is no Tick.*price"):
        strict.publish(TICK, {"symbol": "A", "ts_ns": 1, "price": "cheap", "size": 1})
    with pytest.raises(ContractError, match="price"):
        strict.dispatch_nowait(create_event(TICK, payload={"symbol": "A", "ts_ns": 1, "price": "x", "size": 1}))
    assert strict.publish(TICK, {"symbol": "A", "ts_ns": 1, "price": "5", "size": 1})
    assert strict.publish(TICK, tick("A", 5))
    strict.run_inline()
    assert seen.seen[0].payload == seen.seen[1].payload
    assert strict.dispatch_count == 2


async def test_dispatch_is_the_async_twin() -> None:
    dispatcher, seen = inline_dispatcher(), Recorder()
    dispatcher.register_handler(P3, seen)
    assert await dispatcher.dispatch(event_of(P3, n=1)) is True
    dispatcher.set_degradation_level(DegradationLevel.P3_PAUSED)
    assert await dispatcher.dispatch(event_of(P3, n=2)) is False
    dispatcher.set_degradation_level(DegradationLevel.NORMAL)
    dispatcher.run_inline()
    assert seen.numbers == [1]


def test_a_dispatcher_works_with_nothing_given_and_queues_before_it_is_started() -> None:
    dispatcher = EventDispatcher()
    assert dispatcher.dispatch_nowait(event_of(P0))
    assert dispatcher.publish(TICK, tick())
    assert dispatcher.is_running is False
    assert dispatcher.queue_stats()["P0_CRITICAL"]["queued"] == 1
    assert dispatcher.queue_stats()["P1_HIGH"]["queued"] == 1


def test_a_p0_handler_that_emits_p0_into_a_full_queue_never_waits_on_itself() -> None:
    dispatcher, order = inline_dispatcher(small(2)), list[int]()

    def emit(event: Event) -> None:
        order.append(event.payload["n"])
        if event.payload["n"] == 0:
            for n in range(1, 6):
                assert dispatcher.publish(EventType.FILL_PARTIAL, {"n": n})

    dispatcher.register_handler(P0, emit)
    dispatcher.publish(EventType.FILL_PARTIAL, {"n": 0})
    dispatcher.run_inline()
    assert order == [0, 1, 2, 3, 4, 5]
    assert dispatcher.queue_stats()["P0_CRITICAL"]["overflow"] == 3


def test_a_foreign_thread_waits_while_p0_is_full_and_a_long_wait_raises_fs095_and_keeps_the_event() -> None:
    codes: list[str] = []
    config = small(1, block_report_ms=1)
    dispatcher = inline_dispatcher(config, on_code=lambda code, detail: codes.append(f"{code}: {detail}"))
    dispatcher.publish(EventType.FILL_PARTIAL, {"n": 0})
    thread = threading.Thread(target=dispatcher.publish, args=(EventType.FILL_PARTIAL, {"n": 1}))
    thread.start()
    thread.join()
    assert [code[:5] for code in codes] == ["FS095"]
    assert "kept" in codes[0]
    assert dispatcher.run_inline() == 2


# -- results and lanes -----------------------------------------------------------------------------------------


class Repeater(EventHandler):
    """An async handler that answers every tick with an indicator update."""

    async def handle(self, event: Event) -> list[Event]:
        return [create_event(EventType.INDICATOR_UPDATE, payload={"symbol": "A", "n": event.payload["n"]})]


@pytest.mark.parametrize("lane", list(Lane))
def test_results_of_any_lane_come_back_as_events_and_every_lane_runs_inline(lane: Lane) -> None:
    dispatcher, seen = inline_dispatcher(), Recorder()
    dispatcher.register_handler(P1, Repeater(), lane=lane)
    dispatcher.register_handler(P2, seen)
    dispatcher.publish(TICK, {"n": 5})
    dispatcher.run_inline()
    assert seen.numbers == [5]


def test_a_plain_function_that_returns_a_coroutine_is_driven_too() -> None:
    dispatcher, done = inline_dispatcher(), list[str]()

    async def work(event: Event) -> None:
        done.append(event.event_id)

    async def fail(event: Event) -> None:
        raise ValueError("no")

    dispatcher.register_handler(P1, lambda event: work(event))
    dispatcher.register_handler(P2, lambda event: fail(event))
    dispatcher.publish(TICK, tick())
    dispatcher.publish(EventType.RISK_EVALUATE)
    dispatcher.run_inline()
    assert done == ["e-1"]
    assert [letter.attempts for letter in dispatcher.dead_letter_queue] == [4]


def test_a_handler_that_really_waits_on_the_virtual_clock_is_an_error_that_names_it() -> None:
    dispatcher = inline_dispatcher()

    async def sleeper(event: Event) -> None:
        await asyncio.sleep(0)

    dispatcher.register_handler(P1, CallbackHandler(sleeper, "sleeper"))
    dispatcher.publish(TICK, tick())
    with pytest.raises(StateError, match=r"handler 'sleeper' waited for something while handling PRICE_TICK"):
        dispatcher.run_inline()


def test_a_filtered_handler_is_called_with_its_types_only() -> None:
    dispatcher, seen = inline_dispatcher(), Recorder()
    dispatcher.register_handler(P1, TypeFilterHandler(seen, [EventType.VIX_UPDATE]))
    dispatcher.publish(TICK, {"n": 1})
    dispatcher.publish(EventType.VIX_UPDATE, {"n": 2})
    dispatcher.run_inline()
    assert seen.numbers == [2]


def test_lanes_are_bounded() -> None:
    config = EventConfig(max_worker_threads=1, max_worker_processes=1)
    dispatcher = inline_dispatcher(config)
    for lane in (Lane.THREAD, Lane.PROCESS):
        dispatcher.register_handler(P3, Recorder(), lane=lane)
        with pytest.raises(ContractError, match=f"lane {lane.value} has its 1 handlers already"):
            dispatcher.register_handler(P3, Recorder(), lane=lane)


def test_a_handler_that_no_other_process_can_find_is_refused_where_processes_are_real() -> None:
    with pytest.raises(ContractError, match="cannot run in another process"):
        EventDispatcher().register_handler(P3, lambda event: None, lane=Lane.PROCESS)


# -- overruns and deadlines ------------------------------------------------------------------------------------


def test_on_the_virtual_clock_no_handler_takes_too_long() -> None:
    dispatcher = inline_dispatcher(EventConfig(loop_handler_limit_us=10))

    def slow(event: Event) -> None:
        sum(range(20_000))

    dispatcher.register_handler(P1, CallbackHandler(slow, "slow"))
    dispatcher.publish(TICK, tick())
    dispatcher.run_inline(stream=Stream(iter([tick()]), {Tick: TICK}, "feed"))
    assert dispatcher.queue_stats()["P1_HIGH"]["handled"] == 2
    assert not dispatcher.reports


def test_the_deadline_is_kept_under_endless_p0() -> None:
    clock = ManualClock(START)
    dispatcher, ticks = inline_dispatcher(clock=clock), list[int]()
    handled = 0

    def endless(event: Event) -> None:
        nonlocal handled
        handled += 1
        clock.advance(timedelta(milliseconds=10))
        if handled < 100:
            dispatcher.publish(EventType.FILL_PARTIAL)

    dispatcher.register_handler(P0, endless)
    dispatcher.set_deadline(lambda: ticks.append(clock.monotonic_ns() // 1_000_000), 100)
    dispatcher.publish(EventType.FILL_PARTIAL)
    dispatcher.run_inline()
    assert ticks == [100, 200, 300, 400, 500, 600, 700, 800, 900]
    dispatcher.run_inline()
    assert ticks == [100, 200, 300, 400, 500, 600, 700, 800, 900, 1_000]


def test_missed_deadlines_are_not_made_up_for() -> None:
    clock = ManualClock(START)
    dispatcher, ticks = inline_dispatcher(clock=clock), list[int]()
    dispatcher.set_deadline(lambda: ticks.append(1), 100)
    clock.advance(timedelta(milliseconds=99))
    dispatcher.run_inline()
    assert ticks == []
    clock.advance(timedelta(seconds=10))
    dispatcher.run_inline()
    dispatcher.run_inline()
    assert ticks == [1]
    with pytest.raises(ContractError, match="interval_ms must be above 0, got 0"):
        dispatcher.set_deadline(lambda: None, 0)
