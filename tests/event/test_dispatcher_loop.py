"""The dispatcher on a real event loop: threads, async handlers, lanes, backpressure, stopping."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from qts.clock import PacedClock, SystemClock
from qts.errors import StateError
from qts.event.config import EventConfig, LaneLimits, QueueAlert, QueueAlerts, QueueConfig, QueueConfigs
from qts.event.contracts import DegradationLevel, Event, EventType, Lane, OverflowPolicy, create_event
from qts.event.dispatcher import EventDispatcher
from qts.event.handlers import CallbackHandler, EventHandler
from qts.event.loop_driver import LoopDriver
from qts.event.monitoring import Alert
from tests.event.support import P0, P1, P2, P3, START, Recorder, event_of, fill, tick

TICK, LOG, PARTIAL = EventType.PRICE_TICK, EventType.LOG_WRITE, EventType.FILL_PARTIAL
FAST = EventConfig(retry_backoff_ms=0)


@asynccontextmanager
async def running(config: EventConfig = FAST, **options: Any) -> AsyncIterator[EventDispatcher]:
    dispatcher = EventDispatcher(config, **options)
    await dispatcher.start()
    try:
        yield dispatcher
    finally:
        await dispatcher.stop(timeout_ms=1_000)


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Give the loop turns until ``condition`` holds; the bound only ends a test that is broken."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for never came"
        await asyncio.sleep(0.001)


def balanced(dispatcher: EventDispatcher) -> bool:
    names = ("handled", "dropped", "collapsed", "sampled", "dead_lettered", "size")
    return all(row["accepted"] == sum(row[name] for name in names) for row in dispatcher.queue_stats().values())


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
    assert dispatcher.priority_check() == (4, 0)


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


async def test_the_thread_switch_interval_is_short_while_running_and_restored_after() -> None:
    before = sys.getswitchinterval()
    async with running(EventConfig(switch_interval_us=200)):
        assert sys.getswitchinterval() == pytest.approx(0.0002)
    assert sys.getswitchinterval() == before
    async with running(EventConfig(switch_interval_us=0)):
        assert sys.getswitchinterval() == before


async def test_at_rest_everything_accepted_is_finished_also_what_a_handler_was_waiting_for() -> None:
    let_go, finished = asyncio.Event(), list[int]()

    async def waits(event: Event) -> None:
        await let_go.wait()
        finished.append(event.payload["n"])

    async with running() as dispatcher:
        dispatcher.register_handler(P2, waits)
        for n in range(3):
            dispatcher.publish(EventType.STRATEGY_EVALUATE, {"symbol": str(n), "n": n})
        assert dispatcher.is_busy
        assert not await dispatcher.at_rest(timeout_ms=5)
        let_go.set()
        assert await dispatcher.at_rest(timeout_ms=20_000)
        assert finished == [0, 1, 2]
        assert not dispatcher.is_busy


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
        assert dispatcher.latency(P2).start.count == 2
        let_go.set()
        assert await dispatcher.at_rest(timeout_ms=20_000)
        assert dispatcher.latency(P2).start.count == 3


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
        dispatcher._engine.watching = True
        dispatcher._engine.deadline_ns = 0

        def broken() -> None:
            dispatcher._engine.watching = False
            raise RuntimeError("the guardian failed")

        dispatcher._engine.on_deadline = broken
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
    assert dispatcher.priority_check()[1] == 0


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


# -- async handlers --------------------------------------------------------------------------------------------


class Gate:
    """An async handler that waits until it is let on, event by event."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.done: list[int] = []
        self.tasks: set[Any] = set()
        self.open = asyncio.Event()

    async def __call__(self, event: Event) -> None:
        self.tasks.add(asyncio.current_task())
        self.started.append(event.payload["n"])
        await self.open.wait()
        self.tasks.add(asyncio.current_task())
        self.done.append(event.payload["n"])


async def test_an_async_handler_that_waits_holds_up_neither_p0_nor_other_handlers() -> None:
    async with running() as dispatcher:
        gate, other, fills = Gate(), Recorder(), Recorder()
        dispatcher.register_handler(P3, gate)
        dispatcher.register_handler(P3, other)
        dispatcher.register_handler(P0, fills)
        for n in range(3):
            dispatcher.publish(LOG, {"n": n})
        await until(lambda: other.numbers == [0, 1, 2])
        assert gate.started == [0]
        dispatcher.publish(PARTIAL, {"n": 9})
        await until(lambda: fills.numbers == [9])
        assert dispatcher.queue_stats()["P3_LOW"]["size"] == 3
        gate.open.set()
        await until(lambda: gate.done == [0, 1, 2])
        assert balanced(dispatcher)
        assert len(gate.tasks) == 1  # both halves of a handler belong to one task, and that is not None
        assert None not in gate.tasks


async def test_a_timeout_inside_an_async_handler_cancels_only_that_handler() -> None:
    async with running() as dispatcher:
        outcome: list[int] = []

        async def handler(event: Event) -> None:
            try:
                async with asyncio.timeout(0.001):
                    await asyncio.sleep(3600)
            except TimeoutError:
                outcome.append(event.payload["n"])

        dispatcher.register_handler(P2, handler)
        for n in range(2):
            dispatcher.publish(EventType.RISK_EVALUATE, {"symbol": str(n), "n": n})
        await until(lambda: outcome == [0, 1])
        assert len(dispatcher.dead_letter_queue) == 0


async def test_an_async_handler_that_fails_after_waiting_is_retried_and_dead_lettered() -> None:
    async with running() as dispatcher:
        attempts: list[int] = []

        async def handler(event: Event) -> None:
            attempts.append(1)
            await asyncio.sleep(0)
            raise ValueError("late")

        dispatcher.register_handler(P1, handler)
        dispatcher.publish(TICK, {"symbol": "A"})
        await until(lambda: len(dispatcher.dead_letter_queue) == 1)
        assert len(attempts) == 4
        assert dispatcher.dead_letter_queue[0].error == "ValueError: late"


async def test_an_async_handler_that_fails_at_its_first_step_after_waiting_once() -> None:
    async with running() as dispatcher:
        calls: list[int] = []

        async def handler(event: Event) -> None:
            calls.append(event.payload["n"])
            if event.payload["n"] == 0:
                await asyncio.sleep(0)
            elif calls.count(1) < 2:
                raise ValueError("at once")

        dispatcher.register_handler(P1, handler)
        for n in range(2):
            dispatcher.publish(TICK, {"n": n})
        await until(lambda: calls == [0, 1, 1])
        await until(lambda: dispatcher.queue_stats()["P1_HIGH"]["handled"] == 2)


async def test_an_async_handler_past_its_lanes_limit_is_cut_off_and_the_next_event_is_handled() -> None:
    limits = LaneLimits(p3_ms=20)
    async with running(EventConfig(lane_limits=limits, retry_backoff_ms=0)) as dispatcher:
        done: list[int] = []

        async def handler(event: Event) -> None:
            if event.payload["n"] == 0:
                await asyncio.sleep(3600)
            await asyncio.sleep(0)
            done.append(event.payload["n"])

        dispatcher.register_handler(P3, CallbackHandler(handler, "hanger"))
        for n in range(2):
            dispatcher.publish(LOG, {"n": n})
        await until(lambda: done == [1])
        (letter,) = dispatcher.dead_letter_queue
        assert (letter.handler, letter.attempts) == ("hanger", 1)
        assert letter.error == "LaneTimeout: cut off after 20 ms"


async def test_a_plain_function_may_return_a_coroutine_that_waits() -> None:
    async with running() as dispatcher:
        done: list[int] = []

        async def work(event: Event) -> None:
            await asyncio.sleep(0)
            done.append(event.payload["n"])

        dispatcher.register_handler(P1, lambda event: work(event))
        for n in range(3):
            dispatcher.publish(TICK, {"n": n})
        await until(lambda: done == [0, 1, 2])


async def test_a_coroutine_that_waits_in_a_retry_goes_on_like_any_other() -> None:
    async with running() as dispatcher:
        calls: list[str] = []

        async def work() -> None:
            await asyncio.sleep(0)
            calls.append("done")

        def handler(event: Event) -> Any:
            calls.append("call")
            if len(calls) == 1:
                raise ValueError("once")
            return work()

        dispatcher.register_handler(P1, handler)
        dispatcher.publish(TICK, {"symbol": "A"})
        await until(lambda: calls == ["call", "call", "done"])
        await until(lambda: dispatcher.queue_stats()["P1_HIGH"]["handled"] == 1)


# -- threads ---------------------------------------------------------------------------------------------------


async def test_a_blocking_thread_handler_is_not_felt_on_the_loop_and_keeps_its_order() -> None:
    async with running() as dispatcher:
        let_go = threading.Event()
        threads: set[int] = set()
        seen, fills = Recorder(), Recorder()

        def blocking(event: Event) -> Event:
            let_go.wait()
            threads.add(threading.get_ident())
            return create_event(EventType.INDICATOR_UPDATE, payload={"n": event.payload["n"], "symbol": str(event)})

        dispatcher.register_handler(P3, blocking, lane=Lane.THREAD)
        dispatcher.register_handler(P2, seen)
        dispatcher.register_handler(P0, fills)
        for n in range(3):
            dispatcher.publish(LOG, {"n": n})
        dispatcher.publish(PARTIAL, {"n": 9})
        await until(lambda: fills.numbers == [9])
        assert seen.numbers == []
        let_go.set()
        await until(lambda: seen.numbers == [0, 1, 2])
        assert threads
        assert threading.get_ident() not in threads
        assert balanced(dispatcher)


async def test_async_and_failing_handlers_work_in_a_thread() -> None:
    async with running() as dispatcher:
        seen = Recorder(failures=2)

        async def handler(event: Event) -> None:
            await asyncio.sleep(0)
            seen(event)

        dispatcher.register_handler(P3, handler, lane=Lane.THREAD)
        dispatcher.publish(LOG, {"n": 1})
        await until(lambda: seen.numbers == [1])
        assert seen.calls == 3


async def test_a_handler_with_a_batch_method_gets_batches_in_its_thread() -> None:
    sizes: list[int] = []
    let_go = threading.Event()

    class Batching(EventHandler):
        async def handle(self, event: Event) -> None:
            raise AssertionError("batches only")

        async def handle_batch(self, events: Any) -> list[Event]:
            let_go.wait()
            sizes.append(len(events))
            return [create_event(EventType.INDICATOR_UPDATE, payload={"n": len(events)})]

    queues = QueueConfigs(p3=QueueConfig(P3, 1_000, OverflowPolicy.SAMPLE, 10, 1_000, 0.1))
    async with running(EventConfig(queue_configs=queues)) as dispatcher:
        seen = Recorder()
        dispatcher.register_handler(P3, Batching(), lane=Lane.THREAD)
        dispatcher.register_handler(P2, seen)
        for n in range(25):
            dispatcher.publish(LOG, {"n": n})
        await until(lambda: dispatcher.queue_stats()["P3_LOW"]["queued"] == 0)
        let_go.set()
        await until(lambda: sum(sizes) == 25)
        assert sizes == [1, 10, 10, 4]
        await until(lambda: dispatcher.queue_stats()["P3_LOW"]["handled"] == 25)


@pytest.mark.parametrize("batched", [True, False], ids=["in one batch", "one by one"])
async def test_events_of_one_key_that_a_lane_fails_with_are_each_handled_once_and_in_order(batched: bool) -> None:
    """Given 0 in work and 1 (A), 2 (A), 3 (B), 4 (A) behind it: the lane fails once with what it does next."""
    let_go, done, failures = threading.Event(), list[int](), [1]

    class Stumbling(EventHandler):
        async def handle(self, event: Event) -> None:
            await self.work([event])

        async def work(self, events: Any) -> None:
            let_go.wait()
            numbers = [event.payload["n"] for event in events]
            if 1 in numbers and failures:
                failures.pop()
                raise RuntimeError("once")
            done.extend(numbers)

    class StumblingBatches(Stumbling):
        async def handle_batch(self, events: Any) -> list[Event]:
            await self.work(events)
            return []

    async with running(EventConfig(retry_backoff_ms=1)) as dispatcher:
        handler = StumblingBatches() if batched else Stumbling()
        dispatcher.register_handler(P1, handler, lane=Lane.THREAD)
        for n, symbol in enumerate("CAABA"):
            dispatcher.publish(TICK, {"symbol": symbol, "n": n})
        await until(lambda: dispatcher.queue_stats()["P1_HIGH"]["queued"] == 0)
        let_go.set()
        assert await dispatcher.at_rest(timeout_ms=20_000)
    assert sorted(done) == [0, 1, 2, 3, 4]
    assert [n for n in done if n in (1, 2, 4)] == [1, 2, 4]
    assert balanced(dispatcher)
    assert dispatcher.queue_stats()["P1_HIGH"]["handled"] == 5


async def test_a_hanging_thread_is_cut_off_replaced_and_given_up_after_three() -> None:
    limits = LaneLimits(p3_ms=10)
    let_go = threading.Event()
    async with running(EventConfig(lane_limits=limits)) as dispatcher:
        handler = CallbackHandler(lambda event: let_go.wait(), "hanger")
        dispatcher.register_handler(P3, handler, lane=Lane.THREAD)
        for n in range(5):
            dispatcher.publish(LOG, {"n": n})
        await until(lambda: len(dispatcher.dead_letter_queue) == 5)
        errors = [letter.error for letter in dispatcher.dead_letter_queue]
        assert errors[:3] == ["LaneTimeout: cut off after 10 ms"] * 3
        assert errors[3:] == ["LaneTimeout: 3 threads of this handler hang"] * 2
        let_go.set()  # what the abandoned threads say now is not listened to
        await asyncio.sleep(0.01)
        assert balanced(dispatcher)


async def test_a_p0_thread_handler_past_ten_milliseconds_is_reported() -> None:
    async with running() as dispatcher:
        dispatcher.register_handler(P0, CallbackHandler(lambda event: time.sleep(0.02), "slow"), lane=Lane.THREAD)
        dispatcher.publish(EventType.FILL_CONFIRMED, fill())
        await until(lambda: len(dispatcher.reports) == 1)
        (report,) = dispatcher.reports
        assert (report.kind, report.name) == ("too long", "slow")


async def test_a_full_lane_loses_by_its_priority_and_p0_never() -> None:
    let_go = threading.Event()
    queues = QueueConfigs(
        p0=QueueConfig(P0, 2, OverflowPolicy.BLOCK), p1=QueueConfig(P1, 2, OverflowPolicy.DROP_OLDEST)
    )
    codes: list[str] = []
    async with running(
        EventConfig(queue_configs=queues, lane_limits=LaneLimits(p0_ms=60_000, p1_ms=60_000)),
        on_code=lambda code, detail: codes.append(code),
    ) as dispatcher:
        for priority in (P0, P1):
            dispatcher.register_handler(priority, lambda event: let_go.wait(), lane=Lane.THREAD)
        for n in range(6):
            dispatcher.publish(PARTIAL, {"n": n})
            dispatcher.publish(TICK, {"n": n})
            await until(lambda: dispatcher.queue_stats()["P1_HIGH"]["queued"] == 0)
        stats = dispatcher.queue_stats()
        assert (stats["P1_HIGH"]["dropped"], stats["P1_HIGH"]["size"]) == (3, 3)
        assert (stats["P0_CRITICAL"]["dropped"], stats["P0_CRITICAL"]["size"]) == (0, 6)
        assert codes == ["FS095"]
        let_go.set()
        await until(lambda: dispatcher.queue_stats()["P0_CRITICAL"]["handled"] == 6)
        assert balanced(dispatcher)


async def test_a_retry_that_a_full_lane_loses_lets_later_events_of_its_key_go_on() -> None:
    queues = QueueConfigs(p1=QueueConfig(P1, 1, OverflowPolicy.DROP_OLDEST))
    fail, let_go, seen = threading.Event(), threading.Event(), list[int]()

    def handler(event: Event) -> None:
        number = event.payload["n"]
        if number == 1:
            fail.wait()
            raise ValueError("told to fail")
        if number == 2:
            let_go.wait()
        seen.append(number)

    async with running(EventConfig(queue_configs=queues, retry_backoff_ms=0)) as dispatcher:
        dispatcher.register_handler(P1, handler, lane=Lane.THREAD)
        entry = dispatcher._levels[P1].entries[0]

        def in_lane() -> list[int]:
            assert entry.runner is not None
            return [flight.event.payload["n"] for flight in entry.runner.pending]

        dispatcher.publish(TICK, {"n": 1, "symbol": "a"})
        await until(lambda: in_lane() == [1])
        dispatcher.publish(TICK, {"n": 2, "symbol": "b"})
        await until(lambda: in_lane() == [1, 2])
        fail.set()
        await until(lambda: in_lane() == [2, 1])
        dispatcher.publish(TICK, {"n": 3, "symbol": "c"})
        await until(lambda: in_lane() == [2, 3])
        let_go.set()
        await until(lambda: seen == [2, 3])
        dispatcher.publish(TICK, {"n": 4, "symbol": "a"})
        await until(lambda: seen == [2, 3, 4])


# -- retries, deadlines, monitoring ----------------------------------------------------------------------------


async def test_a_retry_waits_for_its_backoff_and_holds_up_nobody() -> None:
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
        dispatcher.set_degradation_level(DegradationLevel.NORMAL)
        dispatcher._engine.floor = 1  # P2 stays queued
        for n in range(3):
            dispatcher._levels[2].queue.put_nowait(event_of(P2, symbol=str(n)))
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


async def test_a_slice_or_a_wake_after_the_end_does_nothing() -> None:
    dispatcher = EventDispatcher()
    await dispatcher.start()
    driver = dispatcher._driver
    assert isinstance(driver, LoopDriver)
    await dispatcher.stop()
    driver._slice()
    dispatcher.asleep = True
    driver.wake()
    dispatcher._wake()
    assert dispatcher.asleep is True


async def test_the_clock_may_be_given_with_the_loop() -> None:
    async with running(clock=SystemClock()) as dispatcher:
        assert dispatcher.publish(TICK, tick())
        assert dispatcher.is_running
