"""What others do to the dispatcher while an event is in hand: none of it may cost a P0 event or stop the loop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from qts.event.config import EventConfig
from qts.event.contracts import Event, EventType, Lane, create_event
from qts.event.dispatcher import EventDispatcher
from tests.event.support import P0, P3, Recorder, balanced, event_of, inline_dispatcher, running, until

FAST = EventConfig(retries=1, retry_backoff_ms=0)
LOG = EventType.LOG_WRITE


@pytest.mark.parametrize("raised", [asyncio.CancelledError("gone"), GeneratorExit()], ids=["cancelled", "exit"])
async def test_a_cancelled_future_that_a_handler_meets_is_its_own_failure(raised: BaseException) -> None:
    """Given a handler that lets it out, the loop goes on, and the event is retried and dead-lettered."""

    def meets(event: Event) -> None:
        raise raised

    async with running(FAST) as dispatcher:
        seen = Recorder()
        dispatcher.register_handler(P3, meets)
        dispatcher.register_handler(P0, seen)
        dispatcher.publish(LOG)
        await until(lambda: len(dispatcher.dead_letter_queue) == 1)
        dispatcher.dispatch_nowait(event_of(P0, n=1))
        await until(lambda: seen.numbers == [1])
        assert type(raised).__name__ in dispatcher.dead_letter_queue[0].error


async def test_an_async_handler_that_awaits_what_was_cancelled_fails_like_any_other() -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()

    async def waits(event: Event) -> None:
        await future

    async with running(FAST) as dispatcher:
        dispatcher.register_handler(P3, waits)
        dispatcher.publish(LOG)
        await until(lambda: len(dispatcher.dead_letter_queue) == 1)
        letter = dispatcher.dead_letter_queue[0]
        assert (letter.error.partition(":")[0], letter.attempts) == ("CancelledError", 2)
        seen = Recorder()  # the loop goes on
        dispatcher.register_handler(P0, seen)
        dispatcher.dispatch_nowait(event_of(P0, n=1))
        await until(lambda: seen.numbers == [1])


@pytest.mark.parametrize("lane", [Lane.LOOP, Lane.THREAD])
async def test_a_returned_event_that_is_refused_is_the_failure_of_who_returned_it(lane: Lane) -> None:
    """Given two handlers of a P0 event, the other one has it all the same, and everything adds up."""

    def returns(event: Event) -> Event:
        return create_event(LOG, payload={"nonsense": 1})

    async with running(msgspec.structs.replace(FAST, check_payloads=True)) as dispatcher:
        seen = Recorder()
        dispatcher.register_handler(P0, returns, lane=lane)
        dispatcher.register_handler(P0, seen)
        dispatcher.publish(EventType.BROKER_DISCONNECT)
        await until(lambda: len(dispatcher.dead_letter_queue) == 1)
        assert len(seen.seen) == 1
        assert "nonsense" in dispatcher.dead_letter_queue[0].error
        assert balanced(dispatcher)


async def test_a_deadline_whose_callback_fails_comes_again_and_says_so() -> None:
    calls, codes = list[int](), list[str]()

    def fails_once() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ValueError("no price")

    dispatcher = EventDispatcher(FAST, on_code=lambda code, detail: codes.append(code))
    await dispatcher.start()
    dispatcher.set_deadline(fails_once, 5)
    await until(lambda: len(calls) >= 3)
    await dispatcher.stop()
    assert codes == ["FS100"]
    assert [report.kind for report in dispatcher.reports] == ["deadline"]


def test_a_dead_letter_that_no_file_takes_is_kept_in_memory_and_its_event_is_finished(tmp_path: Path) -> None:
    codes = list[str]()
    dispatcher = inline_dispatcher(
        FAST, dead_letter_path=tmp_path / "gone" / "letters", on_code=lambda code, detail: codes.append(detail)
    )
    dispatcher.register_handler(P0, Recorder(failures=9))
    dispatcher.dispatch_nowait(event_of(P0, n=1))
    dispatcher.run_inline()
    assert len(dispatcher.dead_letter_queue) == 1
    assert dispatcher.queue_stats()["P0_CRITICAL"]["size"] == 0
    assert "cannot write dead letters" in codes[0]


def test_who_is_told_may_raise_without_costing_an_event() -> None:
    def raises(*what: object) -> None:
        raise RuntimeError("the listener is broken")

    config = EventConfig(retries=0, retry_backoff_ms=0, loop_handler_limit_us=1)
    dispatcher, seen = inline_dispatcher(config, on_code=raises, on_report=raises), Recorder(failures=1)
    dispatcher.register_handler(P0, seen)
    for n in range(3):
        dispatcher.dispatch_nowait(event_of(P0, n=n, order_id=f"o-{n}"))
    dispatcher.run_inline()
    assert seen.numbers == [1, 2]
    stats = dispatcher.queue_stats()["P0_CRITICAL"]
    assert (stats["handled"], stats["dead_lettered"], stats["size"]) == (2, 1, 0)
