"""Handlers that do not finish on the loop at once: async ones and those in threads."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from qts.event.config import EventConfig, LaneLimits, QueueConfig, QueueConfigs
from qts.event.contracts import Event, EventType, Lane, OverflowPolicy, create_event
from qts.event.dispatcher import EventDispatcher
from qts.event.handlers import CallbackHandler, EventHandler
from tests.event.support import (
    P0,
    P1,
    P2,
    P3,
    Gate,
    Recorder,
    balanced,
    fill,
    running,
    until,
)

TICK, LOG, PARTIAL = EventType.PRICE_TICK, EventType.LOG_WRITE, EventType.FILL_PARTIAL


# -- async handlers --------------------------------------------------------------------------------------------


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


async def test_what_ends_the_task_of_an_async_handler_outside_of_it_is_an_error_of_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A lack of memory where the rest of a handler is begun: it stays half done, so a session has to end."""
    errors: list[BaseException | None] = []

    def fails(*given: Any) -> None:
        raise MemoryError

    async with running() as dispatcher:
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: errors.append(context["exception"] if "handle" in context else None)
        )
        dispatcher.register_handler(P3, Gate())
        monkeypatch.setattr("qts.event.lanes._Remainder", fails)
        dispatcher.publish(LOG, {"n": 0})
        await until(lambda: errors)
        assert [type(error) for error in errors] == [MemoryError]
        monkeypatch.undo()
        await dispatcher.stop(timeout_ms=1)


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
        assert len(dispatcher.dead_letter_queue) == 0


class OwnError(BaseException):
    """What no handler should raise, and some will."""


@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit, GeneratorExit, OwnError])
@pytest.mark.parametrize("where", ["after waiting", "at its first step", "in a thread"])
async def test_a_handler_that_raises_what_ends_tasks_or_programs_has_failed_like_any_other(
    error: type[BaseException], where: str
) -> None:
    """Given events 1 and 2, of which 1 fails always: it is tried four times and dead-lettered, 2 is done."""
    async with running(EventConfig(retry_backoff_ms=0, lane_limits=LaneLimits(p1_ms=60_000))) as dispatcher:
        calls: list[int] = []

        async def handler(event: Event) -> None:
            calls.append(event.payload["n"])
            if where == "after waiting" or event.payload["n"] == 0:
                await asyncio.sleep(0)
            if event.payload["n"] == 1:
                raise error("told to")

        dispatcher.register_handler(P1, handler, lane=Lane.THREAD if where == "in a thread" else Lane.LOOP)
        dispatcher.publish(TICK, {"n": 0, "symbol": "A"})  # from now on its strand is in charge
        await until(lambda: dispatcher.queue_stats()["P1_HIGH"]["handled"] == 1)
        for n in (1, 2):
            dispatcher.publish(TICK, {"n": n, "symbol": str(n)})
        await until(lambda: len(dispatcher.dead_letter_queue) == 1)
        await until(lambda: dispatcher.queue_stats()["P1_HIGH"]["handled"] == 2)
        assert sorted(calls) == [0, 1, 1, 1, 1, 2]
        (letter,) = dispatcher.dead_letter_queue
        assert (letter.error, letter.attempts) == (f"{error.__name__}: told to", 4)
        assert balanced(dispatcher)


@pytest.mark.parametrize("waits_first", [True, False])
async def test_a_handler_that_cancels_the_task_it_finds_itself_in_harms_only_itself(waits_first: bool) -> None:
    async with running(EventConfig(retry_backoff_ms=0, lane_limits=LaneLimits(p1_ms=60_000))) as dispatcher:
        calls, done = list[int](), list[int]()

        async def handler(event: Event) -> None:
            calls.append(event.payload["n"])
            await asyncio.sleep(0) if waits_first else None
            if calls == [1]:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            await asyncio.sleep(0)
            done.append(event.payload["n"])

        dispatcher.register_handler(P1, handler)
        for n in (1, 2):
            dispatcher.publish(TICK, {"n": n, "symbol": str(n)})
        await until(lambda: sorted(done) == [1, 2])
        await until(lambda: dispatcher.queue_stats()["P1_HIGH"]["handled"] == 2)
        assert calls.count(1) == (2 if waits_first else 1)  # there is nothing to cancel before it has waited
        assert balanced(dispatcher)


async def test_a_handler_that_goes_on_after_it_was_cut_off_is_not_taken_for_the_next() -> None:
    """Given event 0 cut off, which swallows that and ends while 1 is in work: 1 is not finished by it."""
    async with running(EventConfig(lane_limits=LaneLimits(p2_ms=200))) as dispatcher:
        swallowed, let_go, done = asyncio.Event(), asyncio.Event(), list[int]()

        async def handler(event: Event) -> None:
            if event.payload["n"] == 0:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    swallowed.set()
                return
            await let_go.wait()
            done.append(event.payload["n"])

        dispatcher.register_handler(P2, handler)
        dispatcher.publish(EventType.RISK_EVALUATE, {"symbol": "0", "n": 0})
        dispatcher.publish(EventType.RISK_EVALUATE, {"symbol": "1", "n": 1})
        await swallowed.wait()
        await asyncio.sleep(0)
        assert dispatcher.queue_stats()["P2_MEDIUM"]["handled"] == 0
        let_go.set()
        await until(lambda: done == [1])
        await until(lambda: dispatcher.queue_stats()["P2_MEDIUM"]["handled"] == 1)
        assert [letter.error for letter in dispatcher.dead_letter_queue] == ["LaneTimeout: cut off after 200 ms"]


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
        await until(lambda: dispatcher.queue_stats()["P1_HIGH"]["handled"] == 3)
        assert len(dispatcher.dead_letter_queue) == 0


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
        assert len(dispatcher.dead_letter_queue) == 0


async def test_thousands_behind_an_async_handler_that_waited_are_all_done_and_p0_comes_between_them() -> None:
    """Given 3,000 events behind one that waits, and a fill as the second of them is handled: the fill is next."""
    async with running() as dispatcher:
        let_go, order = asyncio.Event(), list[Any]()

        async def handler(event: Event) -> None:
            if event.payload["n"] == 0:
                await let_go.wait()
            if event.payload["n"] == 2:
                dispatcher.publish(PARTIAL, {"n": 9})
            order.append(event.payload["n"])

        dispatcher.register_handler(P3, handler)
        dispatcher.register_handler(P0, lambda event: order.append("fill"))
        for n in range(3_000):
            dispatcher.publish(LOG, {"n": n})
        await until(lambda: dispatcher.queue_stats()["P3_LOW"]["queued"] == 0)
        let_go.set()
        await until(lambda: len(order) == 3_001)
        assert order.index("fill") <= 4  # at most one call later than the one in which it came
        assert [n for n in order if n != "fill"] == list(range(3_000))


async def test_every_step_of_a_handler_on_the_loop_is_reported_when_it_takes_too_long() -> None:
    """Given steps of 10 ms where 5 are allowed: after waiting, at the first step of a later call, in a retry."""
    async with running(EventConfig(loop_handler_limit_us=5_000, retry_backoff_ms=0)) as dispatcher:
        failures = [1]

        async def late(event: Event) -> None:
            await asyncio.sleep(0)
            time.sleep(0.01)

        async def early(event: Event) -> None:
            if event.payload["n"] == 0:
                await asyncio.sleep(0)
            else:
                time.sleep(0.01)

        def again(event: Event) -> None:
            if failures:
                failures.pop()
                raise ValueError("once")
            time.sleep(0.01)

        for priority, handler in ((P1, late), (P2, early), (P3, again)):
            dispatcher.register_handler(priority, CallbackHandler(handler, handler.__name__))
        for n in range(2):
            dispatcher.publish(TICK, {"n": n, "symbol": str(n)})
            dispatcher.publish(EventType.RISK_EVALUATE, {"n": n, "symbol": str(n)})
        dispatcher.publish(LOG, {"n": 0})
        assert await dispatcher.stats.wait_until_idle(timeout_ms=20_000)
        overruns = dispatcher.reports.overruns
        assert overruns["late"].count >= 2
        assert min(overruns[name].longest_us for name in ("late", "early", "again")) >= 10_000


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
        assert await dispatcher.stats.wait_until_idle(timeout_ms=20_000)
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
        await until(lambda: not any(thread.name == "qts-lane-hanger" for thread in threading.enumerate()))
        assert dispatcher.queue_stats()["P3_LOW"]["handled"] == 0

        def one_more_is_handled() -> bool:
            """None of them hangs any more; a busy machine may need more than 10 ms for one and another thread."""
            dispatcher.publish(LOG, {"n": 5})
            return dispatcher.queue_stats()["P3_LOW"]["handled"] > 0

        await until(one_more_is_handled)
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
        (registered,) = dispatcher.stats.handlers(P1)

        def in_lane() -> list[int]:
            assert registered.runner is not None
            return [flight.event.payload["n"] for flight in registered.runner.pending]

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


async def test_an_event_that_is_sent_again_while_its_lane_is_busy_is_handled_each_time() -> None:
    """Given one event object three times behind another in a lane: each counts and none gets in another's way."""
    let_go, seen = threading.Event(), list[int]()

    def handler(event: Event) -> None:
        let_go.wait()
        seen.append(event.payload["n"])

    async with running() as dispatcher:
        dispatcher.register_handler(P3, handler, lane=Lane.THREAD)
        again = create_event(LOG, payload={"n": 1})
        for event in (again, again, again, create_event(LOG, payload={"n": 2})):
            dispatcher.dispatch_nowait(event)
        await until(lambda: dispatcher.queue_stats()["P3_LOW"]["queued"] == 0)
        runner = dispatcher.stats.handlers(P3)[0].runner
        assert runner is not None
        assert [flight.event.payload["n"] for flight in runner.pending] == [1, 1, 1, 2]
        let_go.set()
        await until(lambda: seen == [1, 1, 1, 2])
        await until(lambda: dispatcher.queue_stats()["P3_LOW"]["handled"] == 4)
        assert balanced(dispatcher)


async def test_nothing_goes_on_in_one_lane_while_a_stop_waits_for_another() -> None:
    """Given a handler that fails when the stop lets it: its event is tried again by the next start, and once."""
    failing, closed, calls = asyncio.Event(), asyncio.Event(), list[int]()

    async def lingering(event: Event) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            failing.set()
            await closed.wait()

    async def stumbling(event: Event) -> None:
        calls.append(event.payload["n"])
        if len(calls) == 1:
            try:
                await failing.wait()
                raise ValueError("once")
            finally:
                closed.set()
        await asyncio.sleep(0.02)  # a second retry would come within it

    dispatcher = EventDispatcher(EventConfig(retry_backoff_ms=1))
    dispatcher.register_handler(P1, lingering)
    dispatcher.register_handler(P2, stumbling)
    await dispatcher.start()
    dispatcher.publish(TICK, {"n": 0})
    dispatcher.publish(EventType.RISK_EVALUATE, {"n": 1})
    await until(lambda: calls == [1])
    assert (await dispatcher.stop(timeout_ms=0))["P2_MEDIUM"] == 1
    await dispatcher.start()
    await until(lambda: dispatcher.queue_stats()["P2_MEDIUM"]["handled"] == 1)
    assert calls == [1, 1]
    assert len(dispatcher.dead_letter_queue) == 0
    closed.set()
    await dispatcher.stop(timeout_ms=0)
