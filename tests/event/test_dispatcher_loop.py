"""The dispatcher on a real event loop: producers in threads, slices, retries, deadlines, stopping."""

from __future__ import annotations

import asyncio
import sys
import threading
import time

import pytest

from qts.clock import PacedClock, SystemClock
from qts.errors import StateError
from qts.event.config import EventConfig, LaneLimits, QueueAlert, QueueAlerts, QueueConfig, QueueConfigs
from qts.event.contracts import DegradationLevel, Event, EventType, Lane, OverflowPolicy
from qts.event.dispatcher import EventDispatcher
from qts.event.loop_driver import LoopDriver
from qts.event.monitoring import Alert
from tests.event.support import (
    FAST,
    P0,
    P1,
    P2,
    P3,
    START,
    Gate,
    Recorder,
    balanced,
    event_of,
    running,
    tick,
    until,
)

TICK, LOG, PARTIAL = EventType.PRICE_TICK, EventType.LOG_WRITE, EventType.FILL_PARTIAL


# -- running ---------------------------------------------------------------------------------------------------


async def test_what_was_queued_before_start_is_handled_after_it_in_strict_priority() -> None:
    dispatcher, order = EventDispatcher(FAST), list[int]()
    for priority in (P3, P2, P1, P0):
        dispatcher.register_handler(priority, lambda event: order.append(int(event.priority)))
        assert await dispatcher.dispatch(event_of(priority))
    await dispatcher.start()
    assert dispatcher.is_running
    left = await dispatcher.stop()
    assert order == [0, 1, 2, 3]
    assert left == {"P0_CRITICAL": 0, "P1_HIGH": 0, "P2_MEDIUM": 0, "P3_LOW": 0}
    assert not dispatcher.is_running
    assert dispatcher.stats.priority_check() == (4, 0)


async def test_an_idle_system_handles_an_event_at_once_whatever_its_batch_window() -> None:
    queues = QueueConfigs(p3=QueueConfig(P3, 100, OverflowPolicy.SAMPLE, 100, 60_000, 0.1))
    async with running(EventConfig(queue_configs=queues)) as dispatcher:
        seen = Recorder()
        dispatcher.register_handler(P3, seen)
        await asyncio.sleep(0.01)
        dispatcher.publish(LOG, {"n": 1})
        await until(lambda: seen.numbers == [1], seconds=5)


async def test_starting_twice_and_running_inline_beside_the_loop_are_refused() -> None:
    async with running() as dispatcher:
        with pytest.raises(StateError, match="already started"):
            await dispatcher.start()
        with pytest.raises(StateError, match="runs on an event loop"):
            dispatcher.run_inline()
    assert await dispatcher.stop() == {"P0_CRITICAL": 0, "P1_HIGH": 0, "P2_MEDIUM": 0, "P3_LOW": 0}


async def test_a_stopped_dispatcher_can_be_started_again() -> None:
    seen = Recorder()
    dispatcher = EventDispatcher(FAST)
    dispatcher.register_handler(P1, seen)
    for n in range(2):
        await dispatcher.start()
        dispatcher.publish(TICK, {"n": n})
        await dispatcher.stop()
        dispatcher.publish(TICK, {"n": 10 + n})  # waits for the next start
    assert seen.numbers == [0, 10, 1]


async def test_where_p0_cannot_finish_stopping_does_not_wait_for_it_without_end() -> None:
    """Given a P0 handler that waits for what will not come, when the dispatcher is told so, then it stops."""
    dispatcher, never = EventDispatcher(FAST), asyncio.Event()

    async def waits(event: Event) -> None:
        await never.wait()

    dispatcher.register_handler(P0, waits)
    await dispatcher.start()
    await dispatcher.dispatch(event_of(P0))

    async with asyncio.timeout(30):
        left = await dispatcher.stop(10, whole_p0=False)

    assert left["P0_CRITICAL"] == 1
    assert not dispatcher.is_running


async def test_the_thread_switch_interval_is_short_while_running_and_restored_after() -> None:
    before = sys.getswitchinterval()
    async with running(EventConfig(switch_interval_us=200)):
        assert sys.getswitchinterval() == pytest.approx(0.0002)
    assert sys.getswitchinterval() == before
    async with running(EventConfig(switch_interval_us=0)):
        assert sys.getswitchinterval() == before


@pytest.mark.parametrize("microseconds", [1, 3, 700, 1_001, 4_999, 5_000, 31_415])
async def test_the_switch_interval_is_restored_to_the_microsecond(microseconds: int) -> None:
    """The interpreter cuts off fractions of a microsecond; the binary float of 0.001001 s lies just below it."""
    default = sys.getswitchinterval()
    try:
        sys.setswitchinterval(microseconds / 1_000_000 + 5e-7)
        before = sys.getswitchinterval()
        for _ in range(3):  # without rounding each start and stop takes another microsecond away
            async with running(EventConfig(switch_interval_us=200)):
                pass
        assert round(sys.getswitchinterval() * 1_000_000) == round(before * 1_000_000) == microseconds
    finally:
        sys.setswitchinterval(default + 5e-7)


async def test_at_rest_everything_accepted_is_finished_also_what_a_handler_was_waiting_for() -> None:
    let_go, finished = asyncio.Event(), list[int]()

    async def waits(event: Event) -> None:
        await let_go.wait()
        finished.append(event.payload["n"])

    async with running() as dispatcher:
        dispatcher.register_handler(P2, waits)
        for n in range(3):
            dispatcher.publish(EventType.STRATEGY_EVALUATE, {"symbol": str(n), "n": n})
        assert dispatcher.stats.is_busy
        assert not await dispatcher.stats.wait_until_idle(timeout_ms=5)
        let_go.set()
        assert await dispatcher.stats.wait_until_idle(timeout_ms=20_000)
        assert finished == [0, 1, 2]
        assert not dispatcher.stats.is_busy


async def test_an_event_that_waits_in_its_lane_has_not_started_yet() -> None:
    """Latency counts from accept to the handler's start: two starts, not three, while the second one waits."""
    let_go, started = asyncio.Event(), list[int]()

    async def waits(event: Event) -> None:
        started.append(event.payload["n"])
        if event.payload["n"] == 1:
            await let_go.wait()

    async with running() as dispatcher:
        dispatcher.register_handler(P2, waits)
        for n in range(3):
            dispatcher.publish(EventType.STRATEGY_EVALUATE, {"symbol": str(n), "n": n})
        await until(lambda: started == [0, 1])
        assert dispatcher.stats.latency(P2).start.count == 2
        let_go.set()
        assert await dispatcher.stats.wait_until_idle(timeout_ms=20_000)
        assert dispatcher.stats.latency(P2).start.count == 3


async def test_the_loop_gets_a_turn_between_two_slices() -> None:
    async with running(EventConfig(slice_us=50, loop_handler_limit_us=1_000_000)) as dispatcher:
        turns: list[int] = []
        handled = Recorder()

        def work(event: Event) -> None:
            sum(range(2_000))
            handled(event)

        dispatcher.register_handler(P1, work)
        for n in range(300):
            dispatcher.publish(TICK, {"n": n})

        async def other() -> None:
            while len(handled.seen) < 300:
                turns.append(len(handled.seen))
                await asyncio.sleep(0)

        await other()
        assert len(set(turns)) > 5


async def test_a_slice_that_fails_is_reported_and_the_next_event_is_still_handled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as dispatcher:
        seen = Recorder()
        dispatcher.register_handler(P1, seen)
        dispatcher._scheduler.watching = True
        dispatcher._scheduler.deadline_ns = 0

        def broken() -> None:
            dispatcher._scheduler.watching = False
            raise RuntimeError("the guardian failed")

        dispatcher._scheduler.on_deadline = broken
        dispatcher.publish(TICK, {"n": 1})
        await until(lambda: seen.numbers == [1])
        assert dispatcher.reports.counts == {"slice": 1}
        assert "the dispatcher's slice failed" in caplog.text


# -- producers -------------------------------------------------------------------------------------------------


async def test_eight_threads_lose_nothing_and_keep_their_order() -> None:
    seen: list[tuple[int, int]] = []
    async with running(EventConfig(block_report_ms=60_000)) as dispatcher:
        dispatcher.register_handler(P0, lambda event: seen.append(event.payload["n"]))

        def produce(base: int) -> None:
            for n in range(200):
                assert dispatcher.publish(PARTIAL, {"n": (base, n), "order_id": str(base)})

        threads = [threading.Thread(target=produce, args=(base,)) for base in range(8)]
        for thread in threads:
            thread.start()
        await until(lambda: len(seen) == 1_600, seconds=60)
        for thread in threads:
            thread.join()
        assert dispatcher.queue_stats()["P0_CRITICAL"]["overflow"] == 0
    assert all([n for base, n in seen if base == which] == list(range(200)) for which in range(8))
    assert dispatcher.stats.priority_check()[1] == 0


async def test_a_coroutine_waits_for_room_in_p0_and_a_loop_callback_never_does() -> None:
    queues = QueueConfigs(p0=QueueConfig(P0, 1, OverflowPolicy.BLOCK))
    async with running(EventConfig(queue_configs=queues)) as dispatcher:
        seen = Recorder()
        dispatcher.register_handler(P0, seen)
        assert await asyncio.gather(*(dispatcher.dispatch(event_of(P0, n=n)) for n in range(5))) == [True] * 5
        await until(lambda: len(seen.seen) == 5)
        assert seen.numbers == [0, 1, 2, 3, 4]
        assert dispatcher.queue_stats()["P0_CRITICAL"]["overflow"] == 0
        assert all(dispatcher.dispatch_nowait(event_of(P0, n=n)) for n in range(3))
        assert dispatcher.queue_stats()["P0_CRITICAL"]["overflow"] == 2
        await until(lambda: len(seen.seen) == 8)


async def test_an_async_p0_handler_that_dispatches_p0_into_a_full_queue_does_not_wait_on_itself() -> None:
    queues = QueueConfigs(p0=QueueConfig(P0, 1, OverflowPolicy.BLOCK))
    async with running(EventConfig(queue_configs=queues, block_report_ms=60_000)) as dispatcher:
        seen: list[int] = []

        async def handler(event: Event) -> None:
            seen.append(event.payload["n"])
            if event.payload["n"] == 0:
                for n in (1, 2, 3):
                    await dispatcher.dispatch(event_of(P0, n=n))

        dispatcher.register_handler(P0, handler)
        await dispatcher.dispatch(event_of(P0, n=0))
        await until(lambda: seen == [0, 1, 2, 3])


async def test_an_event_that_comes_after_the_loop_was_closed_stays_queued(caplog: pytest.LogCaptureFixture) -> None:
    dispatcher = EventDispatcher(FAST)

    def closed() -> None:
        async def begin() -> None:
            await dispatcher.start()
            await asyncio.sleep(0.01)

        asyncio.run(begin())

    thread = threading.Thread(target=closed)
    thread.start()
    thread.join()
    assert dispatcher.publish(TICK, tick())
    assert "it stays queued" in caplog.text
    assert dispatcher.queue_stats()["P1_HIGH"]["queued"] == 1


# -- retries, deadlines, monitoring ----------------------------------------------------------------------------


async def test_a_retry_waits_for_its_backoff_and_holds_up_no_other() -> None:
    async with running(EventConfig(retry_backoff_ms=30)) as dispatcher:
        order: list[str] = []
        failed: list[float] = []

        def handler(event: Event) -> None:
            if event.payload["n"] == 0 and not failed:
                failed.append(time.monotonic())
                raise ValueError("once")
            order.append(event.payload["symbol"])

        dispatcher.register_handler(P1, handler)
        for n, symbol in enumerate("AB"):
            dispatcher.publish(TICK, {"symbol": symbol, "n": n})
        await until(lambda: order == ["B", "A"])
        assert time.monotonic() - failed[0] >= 0.03


async def test_the_deadline_comes_when_nothing_else_does_and_under_load() -> None:
    async with running() as dispatcher:
        ticks: list[int] = []
        dispatcher.set_deadline(lambda: ticks.append(1), 5)
        await until(lambda: len(ticks) >= 3)
        handled: list[int] = []

        def endless(event: Event) -> None:
            handled.append(1)
            if len(ticks) < 10:
                dispatcher.publish(PARTIAL)

        dispatcher.register_handler(P0, endless)
        dispatcher.publish(PARTIAL)
        await until(lambda: len(ticks) >= 10)


async def test_the_deadline_of_an_accelerated_clock_is_accelerated() -> None:
    dispatcher = EventDispatcher(clock=PacedClock(START, speed=1_000.0))
    ticks: list[int] = []
    dispatcher.set_deadline(lambda: ticks.append(1), 1_000)
    await dispatcher.start()
    await until(lambda: len(ticks) >= 3, seconds=20)
    await dispatcher.stop()


async def test_depth_alerts_are_told_while_running() -> None:
    alerts: list[Alert] = []
    config = EventConfig(queue_alerts=QueueAlerts(p2=QueueAlert(2, 3)), monitoring_interval_ms=10)
    async with running(config, on_alert=alerts.append) as dispatcher:
        for n in range(3):
            dispatcher.dispatch_nowait(event_of(P2, symbol=str(n)))
        dispatcher.set_degradation_level(DegradationLevel.P2_P3_PAUSED)  # before the first slice: they stay queued
        await until(lambda: len(alerts) >= 1)
        assert (alerts[0].priority, alerts[0].severity, alerts[0].threshold) == (P2, "warning", 2)


async def test_what_waits_behind_a_pause_is_handled_when_the_pause_ends() -> None:
    async with running() as dispatcher:
        seen = Recorder()
        dispatcher.register_handler(P3, seen)
        dispatcher.publish(LOG, {"n": 1})
        dispatcher.set_degradation_level(DegradationLevel.P3_PAUSED)
        await asyncio.sleep(0.01)
        assert seen.numbers == []
        dispatcher.set_degradation_level(DegradationLevel.NORMAL)
        await until(lambda: seen.numbers == [1])


async def test_a_replayed_dead_letter_wakes_the_loop() -> None:
    async with running() as dispatcher:
        handler = Recorder(failures=4)
        dispatcher.register_handler(P0, handler)
        for n in range(2):
            dispatcher.publish(PARTIAL, {"order_id": "o", "n": n})
        await until(lambda: len(dispatcher.dead_letter_queue) == 1)
        await asyncio.sleep(0.01)
        dispatcher.replay_dead_letter(dispatcher.dead_letter_queue[0].event.event_id)
        await until(lambda: handler.numbers == [0, 1])


# -- stopping --------------------------------------------------------------------------------------------------


async def test_stop_drains_p0_fully_and_says_what_was_left_of_the_rest() -> None:
    dispatcher, seen = EventDispatcher(EventConfig(retry_backoff_ms=1)), Recorder(failures=2)
    dispatcher.register_handler(P0, seen)
    await dispatcher.start()
    dispatcher.set_degradation_level(DegradationLevel.NORMAL)
    for n in range(300):
        dispatcher.publish(PARTIAL, {"n": n, "order_id": "o"})
    for n in range(5):
        dispatcher.publish(LOG, {"n": n})
    dispatcher.set_degradation_level(DegradationLevel.P3_PAUSED)
    left = await dispatcher.stop(timeout_ms=0)
    assert seen.numbers == list(range(300))
    assert left == {"P0_CRITICAL": 0, "P1_HIGH": 0, "P2_MEDIUM": 0, "P3_LOW": 5}
    assert balanced(dispatcher)


async def test_stop_gives_up_on_a_lane_at_the_deadline_and_the_next_start_tries_again() -> None:
    let_go, seen = threading.Event(), Recorder()

    def blocking(event: Event) -> None:
        let_go.wait()
        seen(event)

    dispatcher = EventDispatcher()
    dispatcher.register_handler(P3, blocking, lane=Lane.THREAD)
    await dispatcher.start()
    for n in range(3):
        dispatcher.publish(LOG, {"n": n, "symbol": "A"})
    await until(lambda: dispatcher.queue_stats()["P3_LOW"]["queued"] == 0)
    left = await dispatcher.stop(timeout_ms=10)
    assert left["P3_LOW"] == 3
    assert balanced(dispatcher)
    let_go.set()
    await dispatcher.start()
    assert (await dispatcher.stop())["P3_LOW"] == 0
    assert sorted(set(seen.numbers)) == [0, 1, 2]
    assert balanced(dispatcher)


async def test_events_of_one_key_that_a_lane_gives_back_keep_their_order() -> None:
    let_go, seen = threading.Event(), Recorder()
    dispatcher = EventDispatcher(EventConfig(lane_limits=LaneLimits(p1_ms=60_000)))
    dispatcher.register_handler(P1, lambda event: let_go.wait() and seen(event), lane=Lane.THREAD)
    await dispatcher.start()
    for n in range(3):
        dispatcher.publish(TICK, {"symbol": "A", "n": n})
    await until(lambda: dispatcher.queue_stats()["P1_HIGH"]["queued"] == 0)
    assert (await dispatcher.stop(timeout_ms=1))["P1_HIGH"] == 3
    let_go.set()
    await dispatcher.start()
    await until(lambda: dispatcher.queue_stats()["P1_HIGH"]["handled"] == 3)
    await dispatcher.stop()
    assert seen.numbers[-3:] == [0, 1, 2]  # the abandoned thread may have seen the first one too


async def test_what_waits_for_the_operator_does_not_keep_stop_waiting() -> None:
    dispatcher = EventDispatcher(FAST)
    dispatcher.register_handler(P0, Recorder(failures=4))
    await dispatcher.start()
    for n in range(2):
        dispatcher.publish(PARTIAL, {"order_id": "o", "n": n})
    left = await dispatcher.stop()
    assert left["P0_CRITICAL"] == 1
    assert len(dispatcher.dead_letter_queue) == 1


async def test_events_behind_a_retry_are_kept_over_a_stop() -> None:
    dispatcher, seen = EventDispatcher(EventConfig(retry_backoff_ms=60_000)), Recorder(failures=1)
    dispatcher.register_handler(P1, seen)
    await dispatcher.start()
    for n in range(3):
        dispatcher.publish(TICK, {"symbol": "A", "n": n})
    await until(lambda: dispatcher.queue_stats()["P1_HIGH"]["queued"] == 0)
    assert (await dispatcher.stop(timeout_ms=0))["P1_HIGH"] == 3
    await dispatcher.start()
    await until(lambda: seen.numbers == [0, 1, 2])
    await dispatcher.stop()


async def test_an_async_handler_in_the_middle_is_given_up_at_the_deadline_and_tried_again() -> None:
    dispatcher = EventDispatcher(FAST)
    gate = Gate()
    dispatcher.register_handler(P3, gate)
    await dispatcher.start()
    dispatcher.publish(LOG, {"n": 1})
    await until(lambda: gate.started == [1])
    assert (await dispatcher.stop(timeout_ms=1))["P3_LOW"] == 1
    gate.open.set()
    await dispatcher.start()
    await until(lambda: gate.done == [1])
    await dispatcher.stop()
    assert balanced(dispatcher)


async def test_what_comes_after_the_end_wakes_no_loop_and_stays_queued() -> None:
    """Given a dispatcher that was stopped, when an event comes, then no slice runs, of the old driver neither."""
    dispatcher, seen = EventDispatcher(), Recorder()
    dispatcher.register_handler(P3, seen)
    await dispatcher.start()
    driver = dispatcher._driver
    assert isinstance(driver, LoopDriver)
    await dispatcher.stop()

    assert dispatcher.publish(LOG, {"n": 1})
    driver.wake()
    driver._slice()
    await asyncio.sleep(0)
    assert seen.numbers == []
    assert dispatcher.stats.unfinished(P3) == 1

    await dispatcher.start()
    await until(lambda: seen.numbers == [1])
    await dispatcher.stop()


async def test_the_clock_may_be_given_with_the_loop() -> None:
    async with running(clock=SystemClock()) as dispatcher:
        assert dispatcher.publish(TICK, tick())
        assert dispatcher.is_running
