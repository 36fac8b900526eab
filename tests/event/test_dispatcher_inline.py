"""The dispatcher on the virtual clock: priority, order, retries, dead letters, pauses, accounting."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from qts.clock import ManualClock
from qts.errors import ContractError, StateError
from qts.event.config import (
    Backpressure,
    BackpressureThreshold,
    EventConfig,
    QueueAlert,
    QueueAlerts,
    QueueConfig,
    QueueConfigs,
)
from qts.event.contracts import (
    DegradationLevel,
    Event,
    EventType,
    Lane,
    OverflowPolicy,
    create_event,
)
from qts.event.dispatcher import SAFETY_TO_DEGRADATION, EventDispatcher
from qts.event.handlers import CallbackHandler, EventHandler, TypeFilterHandler
from qts.event.queue import BoundedQueue
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Side
from tests.event.support import (
    P0,
    P1,
    P2,
    P3,
    START,
    Recorder,
    event_of,
    fill,
    inline_dispatcher,
    quote,
    signal,
    tick,
)

TICK, LOG, STOP = EventType.PRICE_TICK, EventType.LOG_WRITE, EventType.EMERGENCY_STOP


def small(capacity: int = 2, **options: Any) -> EventConfig:
    """A configuration with a P0 queue of ``capacity``."""
    return EventConfig(queue_configs=QueueConfigs(p0=QueueConfig(P0, capacity, OverflowPolicy.BLOCK)), **options)


def balance(dispatcher: EventDispatcher) -> list[int]:
    """Accepted events that are nowhere, per priority: all zero when nothing is lost from the books."""
    names = ("handled", "dropped", "collapsed", "sampled", "dead_lettered", "size")
    return [row["accepted"] - sum(row[name] for name in names) for row in dispatcher.queue_stats().values()]


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
    assert dispatcher.priority_check() == (4, 0)


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


def test_the_self_check_counts_a_start_while_a_p0_had_been_waiting() -> None:
    dispatcher = inline_dispatcher()
    p0 = event_of(P0)
    dispatcher.dispatch_nowait(p0)
    dispatcher._engine._audit(1, started_ns=p0.accepted_ns)
    assert dispatcher.priority_check() == (0, 0)  # it came at the same moment: nobody overtook it
    dispatcher._engine._audit(1, started_ns=p0.accepted_ns + 1)
    assert dispatcher.priority_check() == (0, 1)
    dispatcher.run_inline()
    dispatcher._engine._audit(1, started_ns=p0.accepted_ns + 1)
    assert dispatcher.priority_check() == (1, 1)  # nothing waits any more


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


# -- failures --------------------------------------------------------------------------------------------------


def test_a_handler_that_raises_three_times_succeeds_at_the_fourth_attempt() -> None:
    dispatcher, handler = inline_dispatcher(), Recorder(failures=3)
    dispatcher.register_handler(P1, handler)
    dispatcher.publish(TICK, {"n": 1})
    assert dispatcher.run_inline() == 1
    assert (handler.calls, handler.numbers, len(dispatcher.dead_letter_queue)) == (4, [1], 0)
    assert dispatcher.queue_stats()["P1_HIGH"]["handled"] == 1


def test_after_the_fourth_failure_the_event_is_dead_lettered_and_p0_raises_fs098() -> None:
    codes: list[tuple[str, str]] = []
    dispatcher = inline_dispatcher(on_code=lambda code, detail: codes.append((code, detail)))
    for priority in (P0, P1):
        dispatcher.register_handler(priority, CallbackHandler(Recorder(failures=4), "broken"))
    dispatcher.publish(TICK, {"n": 1})
    dispatcher.publish(EventType.FILL_CONFIRMED, fill())
    dispatcher.run_inline()
    fill_letter, tick_letter = dispatcher.dead_letter_queue
    assert (tick_letter.event.event_type, tick_letter.handler, tick_letter.attempts) == (TICK, "broken", 4)
    assert tick_letter.error == "ValueError: told to fail"
    assert tick_letter.time_ns == int(START.timestamp()) * 1_000_000_000
    assert [code for code, _ in codes] == ["FS098"]
    assert fill_letter.event.event_id in codes[0][1]
    assert [row["dead_lettered"] for row in dispatcher.queue_stats().values()] == [1, 1, 0, 0]
    assert balance(dispatcher) == [0, 0, 0, 0]


def test_a_broken_handler_never_starves_another() -> None:
    dispatcher, good = inline_dispatcher(), Recorder()
    dispatcher.register_handler(P1, Recorder(failures=10_000))
    dispatcher.register_handler(P1, good)
    for n in range(5):
        dispatcher.publish(TICK, {"n": n, "symbol": "A"})
    dispatcher.run_inline()
    assert good.numbers == [0, 1, 2, 3, 4]
    assert len(dispatcher.dead_letter_queue) == 5


@pytest.mark.parametrize("priority", [P0, P1, P2])
def test_a_retry_holds_later_events_of_its_key_and_no_others(priority: Any) -> None:
    kind = {P0: EventType.FILL_PARTIAL, P1: TICK, P2: EventType.PORTFOLIO_EVALUATE}[priority]
    dispatcher, order = inline_dispatcher(), list[str]()
    postponed: list[Any] = []
    dispatcher._retries.schedule = lambda hold, delay_s: postponed.append(hold)

    def handler(event: Event) -> None:
        if event.payload["n"] == 0 and not postponed:
            raise ValueError("once")
        order.append(f"{event.payload['symbol']}{event.payload['n']}")

    dispatcher.register_handler(priority, handler)
    for n, symbol in enumerate("AABAB"):
        dispatcher.dispatch_nowait(create_event(kind, payload={"symbol": symbol, "n": n}, can_collapse=False))
    dispatcher.run_inline()
    assert order == ["B2", "B4"]  # A0 failed: A1 and A3 wait behind it
    dispatcher._retries.schedule = dispatcher._retry_at_once
    dispatcher._retry_at_once(postponed[0], 0.0)
    dispatcher.run_inline()
    assert order == ["B2", "B4", "A0", "A1", "A3"]
    assert balance(dispatcher) == [0, 0, 0, 0]


def test_p3_keeps_no_order_so_a_retry_holds_nothing() -> None:
    dispatcher, order = inline_dispatcher(), list[int]()
    postponed: list[Any] = []
    dispatcher._retries.schedule = lambda hold, delay_s: postponed.append(hold)

    def handler(event: Event) -> None:
        if event.payload["n"] == 0:
            raise ValueError("always")
        order.append(event.payload["n"])

    dispatcher.register_handler(P3, handler)
    for n in range(3):
        dispatcher.publish(LOG, {"symbol": "A", "n": n})
    dispatcher.run_inline()
    assert order == [1, 2]


def test_held_p1_events_are_bounded_and_the_loss_is_counted() -> None:
    dispatcher = inline_dispatcher(EventConfig(held_capacity=2))
    dispatcher._retries.schedule = lambda hold, delay_s: None
    dispatcher.register_handler(P1, Recorder(failures=1))
    for n in range(5):
        dispatcher.publish(TICK, {"symbol": "A", "n": n})
    dispatcher.run_inline()
    row = dispatcher.queue_stats()["P1_HIGH"]
    assert (row["dropped"], row["size"], row["handled"]) == (2, 3, 0)


def test_a_dead_lettered_p0_holds_later_events_of_that_order_for_the_operator_and_others_go_on() -> None:
    dispatcher, handler = inline_dispatcher(), Recorder(failures=4)
    dispatcher.register_handler(P0, handler)
    for n, order in enumerate(["o-1", "o-1", "o-2", "o-1"]):
        dispatcher.publish(EventType.FILL_PARTIAL, {"order_id": order, "n": n})
    dispatcher.run_inline()
    assert handler.numbers == [2]
    assert dispatcher.queue_stats()["P0_CRITICAL"]["size"] == 2
    assert balance(dispatcher) == [0, 0, 0, 0]
    (letter,) = dispatcher.dead_letter_queue
    assert dispatcher.replay_dead_letter(letter.event.event_id) is True
    dispatcher.run_inline()
    assert handler.numbers == [2, 0, 1, 3]
    assert len(dispatcher.dead_letter_queue) == 0
    row = dispatcher.queue_stats()["P0_CRITICAL"]
    assert (row["handled"], row["dead_lettered"], row["size"]) == (3, 1, 0)


def test_an_operator_may_skip_a_dead_letter_and_let_the_rest_go_on() -> None:
    dispatcher, handler = inline_dispatcher(), Recorder(failures=4)
    dispatcher.register_handler(P0, handler)
    for n in range(3):
        dispatcher.publish(EventType.FILL_PARTIAL, {"order_id": "o-1", "n": n})
    dispatcher.run_inline()
    (letter,) = dispatcher.dead_letter_queue
    assert dispatcher.skip_dead_letter(letter.event.event_id, letter.handler)
    dispatcher.run_inline()
    assert handler.numbers == [1, 2]
    assert not dispatcher.skip_dead_letter(letter.event.event_id)
    assert not dispatcher.replay_dead_letter("no-such")


def test_a_p0_without_order_or_symbol_holds_nobody_and_can_be_replayed() -> None:
    dispatcher, handler = inline_dispatcher(), Recorder(failures=4)
    dispatcher.register_handler(P0, handler)
    dispatcher.publish(EventType.BROKER_DISCONNECT, {"n": 1})
    dispatcher.publish(EventType.BROKER_DISCONNECT, {"n": 2})
    dispatcher.run_inline()
    assert handler.numbers == [2]
    (letter,) = dispatcher.dead_letter_queue
    assert dispatcher.replay_dead_letter(letter.event.event_id)
    dispatcher.run_inline()
    assert handler.numbers == [2, 1]


def test_a_p1_letter_replayed_while_its_key_is_being_retried_goes_next() -> None:
    dispatcher = inline_dispatcher()
    handler = Recorder(failures=4)
    dispatcher.register_handler(P1, handler)
    dispatcher.publish(TICK, {"symbol": "A", "n": 0})
    dispatcher.run_inline()
    waiting: list[Any] = []
    dispatcher._retries.schedule = lambda hold, delay_s: waiting.append(hold)
    handler.failures = 1
    dispatcher.publish(TICK, {"symbol": "A", "n": 1})
    dispatcher.publish(TICK, {"symbol": "A", "n": 2})
    dispatcher.run_inline()
    dispatcher.replay_dead_letter(dispatcher.dead_letter_queue[0].event.event_id)
    dispatcher._retries.schedule = dispatcher._retry_at_once
    dispatcher._retry_at_once(waiting[0], 0.0)
    dispatcher.run_inline()
    assert handler.numbers == [1, 0, 2]


def test_skipping_a_letter_whose_key_is_not_held_only_forgets_it() -> None:
    dispatcher = inline_dispatcher()
    dispatcher.register_handler(P1, Recorder(failures=4))
    dispatcher.publish(TICK, {"symbol": "A", "n": 0})
    dispatcher.run_inline()
    assert dispatcher.skip_dead_letter(dispatcher.dead_letter_queue[0].event.event_id)
    assert len(dispatcher.dead_letter_queue) == 0


def test_a_letter_of_a_handler_that_is_gone_cannot_be_replayed(tmp_path: Path) -> None:
    path = tmp_path / "letters.jsonl"
    first = inline_dispatcher(dead_letter_path=path)
    first.register_handler(P1, CallbackHandler(Recorder(failures=4), "old"))
    first.publish(TICK, {"symbol": "A"})
    first.run_inline()
    second = inline_dispatcher(dead_letter_path=path)
    with pytest.raises(StateError, match="no handler 'old' is registered for P1_HIGH"):
        second.replay_dead_letter(second.dead_letter_queue[0].event.event_id)


def test_an_event_with_two_handlers_is_counted_once_and_dead_when_one_failed_for_good() -> None:
    dispatcher, good = inline_dispatcher(), Recorder()
    dispatcher.register_handler(P1, good)
    dispatcher.register_handler(P1, Recorder(failures=4))
    dispatcher.publish(TICK, {"n": 1})
    dispatcher.run_inline()
    row = dispatcher.queue_stats()["P1_HIGH"]
    assert good.numbers == [1]
    assert (row["accepted"], row["handled"], row["dead_lettered"]) == (1, 0, 1)


def test_an_async_handler_that_fails_is_retried_like_any_other() -> None:
    dispatcher, calls = inline_dispatcher(), list[int]()

    async def handler(event: Event) -> None:
        calls.append(1)
        if len(calls) < 3:
            raise ValueError("twice")

    dispatcher.register_handler(P1, handler)
    dispatcher.publish(TICK, tick())
    dispatcher.run_inline()
    assert len(calls) == 3
    assert dispatcher.queue_stats()["P1_HIGH"]["handled"] == 1


def test_a_coroutine_returned_by_a_plain_function_is_driven_in_a_retry_too() -> None:
    dispatcher, calls = inline_dispatcher(), list[int]()

    async def work() -> None:
        calls.append(1)

    def handler(event: Event) -> Any:
        if not calls:
            calls.append(0)
            raise ValueError("once")
        return work()

    dispatcher.register_handler(P1, handler)
    dispatcher.publish(TICK, tick())
    dispatcher.run_inline()
    assert calls == [0, 1]


# -- overruns and deadlines ------------------------------------------------------------------------------------


def test_a_handler_that_overstays_is_named_in_a_report() -> None:
    dispatcher = inline_dispatcher(EventConfig(loop_handler_limit_us=10))

    def slow(event: Event) -> None:
        sum(range(20_000))

    dispatcher.register_handler(P1, CallbackHandler(slow, "slow"))
    dispatcher.publish(TICK, tick())
    dispatcher.run_inline()
    (report,) = dispatcher.reports
    assert (report.kind, report.name, report.event_id) == ("overrun", "slow", "e-1")
    assert report.took_us > 10


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


# -- pausing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "allowed"),
    [
        (DegradationLevel.NORMAL, [True, True, True, True]),
        (DegradationLevel.P3_PAUSED, [True, True, True, False]),
        (DegradationLevel.P2_P3_PAUSED, [True, True, False, False]),
        (DegradationLevel.CRITICAL_ONLY, [True, False, False, False]),
    ],
)
def test_each_level_pauses_what_it_says(level: DegradationLevel, allowed: list[bool]) -> None:
    dispatcher = inline_dispatcher()
    dispatcher.set_degradation_level(level)
    assert [dispatcher.is_priority_allowed(priority) for priority in (P0, P1, P2, P3)] == allowed
    assert [dispatcher.dispatch_nowait(event_of(priority)) for priority in (P0, P1, P2, P3)] == allowed
    assert [
        dispatcher.publish(kind) for kind in (EventType.FILL_PARTIAL, TICK, EventType.RISK_EVALUATE, LOG)
    ] == allowed
    assert dispatcher.reject_count == 2 * allowed.count(False)
    assert [row["rejected"] for row in dispatcher.queue_stats().values()] == [0 if yes else 2 for yes in allowed]


def test_what_was_queued_before_a_pause_waits_and_is_handled_after_it() -> None:
    dispatcher, seen = inline_dispatcher(), Recorder()
    dispatcher.register_handler(P3, seen)
    dispatcher.publish(LOG, {"n": 1})
    dispatcher.set_degradation_level(DegradationLevel.P3_PAUSED)
    assert dispatcher.run_inline() == 0
    dispatcher.set_degradation_level(DegradationLevel.NORMAL)
    assert dispatcher.run_inline() == 1
    assert seen.numbers == [1]


def test_a_pause_set_by_a_handler_stops_the_batch_it_is_in() -> None:
    dispatcher, seen = inline_dispatcher(), list[int]()

    def handler(event: Event) -> None:
        seen.append(event.payload["n"])
        dispatcher.set_degradation_level(DegradationLevel.CRITICAL_ONLY)

    dispatcher.register_handler(P1, handler)
    for n in range(3):
        dispatcher.publish(TICK, {"n": n})
    dispatcher.run_inline()
    assert seen == [0]


@pytest.mark.parametrize("state", list(SafetyState))
def test_every_safety_state_has_its_degradation(state: SafetyState) -> None:
    expected = {
        SafetyState.NORMAL: DegradationLevel.NORMAL,
        SafetyState.WARNING: DegradationLevel.P3_PAUSED,
        SafetyState.FAIL: DegradationLevel.P2_P3_PAUSED,
        SafetyState.LOCKDOWN: DegradationLevel.CRITICAL_ONLY,
    }
    dispatcher = inline_dispatcher()
    assert dispatcher.apply_safety_state(state) is expected[state] is SAFETY_TO_DEGRADATION[state]
    assert dispatcher.degradation_level is expected[state]


@pytest.mark.parametrize("unknown", [None, "NORMAL?", "NORMAL", 0])
def test_an_unknown_safety_state_is_never_treated_as_normal(unknown: Any) -> None:
    dispatcher = inline_dispatcher()
    with pytest.raises(ContractError, match="is no safety state"):
        dispatcher.apply_safety_state(unknown)
    assert dispatcher.degradation_level is DegradationLevel.CRITICAL_ONLY


def pressed() -> EventDispatcher:
    """P1 of ten, warning at 7, critical at 9."""
    queues = QueueConfigs(p1=QueueConfig(P1, 10, OverflowPolicy.DROP_OLDEST))
    return inline_dispatcher(EventConfig(queue_configs=queues))


def test_critical_backpressure_pauses_the_lower_priorities_until_below_warning() -> None:
    dispatcher = pressed()
    allowed = []
    for step in (8, 1, -1, -1, -1, 0):  # depth 8, 9, 8, 7, 6, 6
        for _ in range(max(step, 0)):
            dispatcher.publish(TICK, tick())
        for _ in range(max(-step, 0)):
            dispatcher._levels[1].queue.get_nowait()
        dispatcher.check_pressure()
        allowed.append(dispatcher.is_priority_allowed(P2))
    assert allowed == [True, False, False, False, True, True]
    assert dispatcher.is_priority_allowed(P1)


def test_warning_makes_batches_larger_and_nothing_else() -> None:
    dispatcher = pressed()
    factors = []
    for depth in (6, 7):
        while dispatcher._levels[1].queue.size() < depth:
            dispatcher.publish(TICK, tick())
        dispatcher.check_pressure()
        factors.append(dispatcher.batch_factor(P1))
    assert factors[0] == 1
    assert factors[1] > 1
    assert dispatcher.batch_factor(P3) == 1
    assert dispatcher.is_priority_allowed(P3)


def test_p2_pressure_pauses_p3_only() -> None:
    queues = QueueConfigs(p2=QueueConfig(P2, 20, OverflowPolicy.COLLAPSE))
    threshold = Backpressure(p2=BackpressureThreshold(0.8, 0.95))
    dispatcher = inline_dispatcher(EventConfig(queue_configs=queues, backpressure=threshold))
    for n in range(19):
        dispatcher.publish(EventType.RISK_EVALUATE, {"symbol": str(n)})
    dispatcher.check_pressure()
    assert [dispatcher.is_priority_allowed(p) for p in (P1, P2, P3)] == [True, True, False]


def test_backpressure_delays_a_sell_but_never_refuses_it() -> None:
    dispatcher = pressed()
    for _ in range(9):
        dispatcher.publish(TICK, tick())
    dispatcher.check_pressure()
    assert dispatcher.publish(EventType.SIGNAL_GENERATED, signal(Side.BUY)) is False
    assert dispatcher.publish(EventType.SIGNAL_GENERATED, signal(Side.SELL)) is True
    dispatcher.set_degradation_level(DegradationLevel.P2_P3_PAUSED)
    assert dispatcher.publish(EventType.SIGNAL_GENERATED, signal(Side.SELL)) is False


def test_thresholds_and_limits_may_change_while_running_and_nothing_else_does() -> None:
    dispatcher = pressed()
    for _ in range(5):
        dispatcher.publish(TICK, tick())
    new = EventConfig(
        backpressure=Backpressure(p1=BackpressureThreshold(0.4, 0.5)),
        queue_alerts=QueueAlerts(p1=QueueAlert(5, 6)),
        loop_handler_limit_us=1_000,
        retries=9,
    )
    dispatcher.check_pressure()
    assert dispatcher.is_priority_allowed(P2)
    dispatcher.reconfigure(new)
    dispatcher.check_pressure()
    assert not dispatcher.is_priority_allowed(P2)
    assert [alert.threshold for alert in dispatcher.monitor.check(dispatcher._levels)] == [5]
    assert dispatcher._engine.limit_ns == 1_000_000
    assert dispatcher.config.retries == 3
    assert dispatcher.queue_stats()["P1_HIGH"]["capacity"] == 10


# -- accounting ------------------------------------------------------------------------------------------------


def test_queue_stats_have_the_documented_keys_for_every_priority() -> None:
    stats = inline_dispatcher().queue_stats()
    assert list(stats) == ["P0_CRITICAL", "P1_HIGH", "P2_MEDIUM", "P3_LOW"]
    documented = {"size", "capacity", "utilization", "accepted", "handled", "dropped", "collapsed", "sampled"}
    assert all(documented | {"rejected", "dead_lettered", "high_water"} <= set(row) for row in stats.values())
    assert [row["capacity"] for row in stats.values()] == [100, 10_000, 1_000, 50_000]


def test_an_event_being_handled_is_still_accounted_for() -> None:
    dispatcher, seen = inline_dispatcher(), list[list[int]]()
    dispatcher.register_handler(P1, lambda event: seen.append(balance(dispatcher)))
    dispatcher.publish(TICK, tick())
    dispatcher.run_inline()
    assert seen == [[0, 0, 0, 0]]


def test_latency_is_measured_from_accept_to_start_and_from_start_to_end() -> None:
    dispatcher = inline_dispatcher()
    dispatcher.register_handler(P1, lambda event: sum(range(2_000)))
    for _ in range(50):
        dispatcher.publish(TICK, tick())
    dispatcher.run_inline()
    seen = dispatcher.latency(P1)
    assert seen.start.count == seen.end.count == 50
    assert 0 < seen.start.p50_us <= seen.start.max_us
    assert 0 < seen.end.p50_us <= seen.end.max_us
    assert seen.start.p99_us > seen.end.p50_us  # the last one waited for all before it


def test_long_latencies_are_recorded_too() -> None:
    dispatcher = inline_dispatcher()
    dispatcher.register_handler(P1, lambda event: sum(range(100_000)))
    event = create_event(TICK)
    dispatcher.dispatch_nowait(event)
    for _ in range(20):
        sum(range(100_000))
    dispatcher.run_inline()
    assert dispatcher.latency(P1).end.max_us > 524.288
    assert dispatcher.latency(P1).start.max_us > 524.288


def test_an_inline_dispatcher_cannot_be_started() -> None:
    async def start() -> None:
        await inline_dispatcher().start()

    with pytest.raises(StateError, match="an inline dispatcher is run by run_inline"):
        asyncio.run(start())


# -- the machinery itself --------------------------------------------------------------------------------------


class Broken:
    """A container that is not empty and gives nothing away."""

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Any:
        raise RuntimeError("damaged")

    def popleft(self) -> None:
        raise RuntimeError("damaged")

    popitem = append = popleft


def break_queue(dispatcher: EventDispatcher, number: int, *, salvage: bool) -> None:
    """Let the queue of one level fail at the next take; ``salvage`` keeps its events readable."""
    level = dispatcher._levels[number]
    events = level.queue.pending()
    level.queue.items = level.items = Broken()
    if salvage:
        type(level.queue).pending  # noqa: B018 - the class keeps its own
        broken = level.queue

        class Readable(type(broken)):  # type: ignore[misc]
            __slots__ = ()

            def pending(self) -> list[Event]:
                return events

        level.queue.__class__ = Readable
    dispatcher._engine.rewire()


def test_a_broken_p0_queue_is_rebuilt_with_its_events_and_raises_fs096() -> None:
    codes: list[str] = []
    dispatcher = inline_dispatcher(on_code=lambda code, detail: codes.append(code))
    seen = Recorder()
    dispatcher.register_handler(P0, seen)
    dispatcher.publish(EventType.FILL_PARTIAL, {"n": 1})
    break_queue(dispatcher, 0, salvage=True)
    dispatcher.run_inline()
    assert codes == ["FS096"]
    assert seen.numbers == [1]
    assert dispatcher.degradation_level is DegradationLevel.P2_P3_PAUSED
    assert balance(dispatcher) == [0, 0, 0, 0]
    dispatcher.publish(EventType.FILL_PARTIAL, {"n": 2})
    dispatcher.run_inline()
    assert seen.numbers == [1, 2]


@pytest.mark.parametrize(("salvage", "expected"), [(True, []), (False, ["FS097"])])
def test_a_broken_p1_queue_is_rebuilt_and_fs097_says_when_its_events_are_gone(
    salvage: bool, expected: list[str]
) -> None:
    codes: list[str] = []
    dispatcher, seen = inline_dispatcher(on_code=lambda code, detail: codes.append(code)), Recorder()
    dispatcher.register_handler(P1, seen)
    dispatcher.publish(TICK, {"n": 1})
    break_queue(dispatcher, 1, salvage=salvage)
    dispatcher.run_inline()
    dispatcher.publish(TICK, {"n": 2})
    dispatcher.run_inline()
    assert codes == expected
    assert seen.numbers == ([1, 2] if salvage else [2])


@pytest.mark.parametrize("number", [2, 3])
def test_broken_lower_queues_are_rebuilt_without_a_code(number: int) -> None:
    codes: list[str] = []
    dispatcher = inline_dispatcher(on_code=lambda code, detail: codes.append(code))
    priority = (P0, P1, P2, P3)[number]
    dispatcher.dispatch_nowait(event_of(priority))
    break_queue(dispatcher, number, salvage=False)
    dispatcher.run_inline()
    assert dispatcher.dispatch_nowait(event_of(priority))
    assert dispatcher.run_inline() == 1
    assert codes == []
    assert [report.kind for report in dispatcher.reports] == ["queue"]


@pytest.mark.parametrize("priority", [P0, P2])
def test_a_queue_that_breaks_while_accepting_is_rebuilt_and_the_event_is_kept(priority: Any) -> None:
    dispatcher, seen = inline_dispatcher(), Recorder()
    dispatcher.register_handler(priority, seen)
    queue = dispatcher._levels[priority].queue
    queue._lock = None
    assert dispatcher.dispatch_nowait(event_of(priority, n=1)) is True
    dispatcher.set_degradation_level(DegradationLevel.NORMAL)
    dispatcher.run_inline()
    assert seen.numbers == [1]
    assert isinstance(dispatcher._levels[0].queue, BoundedQueue)
