"""What happens when a handler or a queue fails: retries, holds, dead letters, rebuilt queues."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qts.errors import StateError
from qts.event.config import (
    EventConfig,
)
from qts.event.contracts import (
    DegradationLevel,
    Event,
    EventType,
    create_event,
)
from qts.event.dispatcher import EventDispatcher
from qts.event.handlers import CallbackHandler
from qts.event.queue import BoundedQueue
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
    tick,
)

TICK, LOG, STOP = EventType.PRICE_TICK, EventType.LOG_WRITE, EventType.EMERGENCY_STOP


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


def test_a_p0_without_order_or_symbol_holds_no_other_and_can_be_replayed() -> None:
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
    dispatcher._scheduler.rewire()


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


def test_handlers_of_one_name_are_told_apart_so_that_a_replay_reaches_the_right_one() -> None:
    # Given two handlers that are called the same, of which the second fails
    dispatcher = inline_dispatcher(EventConfig(retries=0))
    heard: list[str] = []

    def make(word: str, fails: list[bool]) -> Callable[[Event], None]:
        def handler(event: Event) -> None:
            if fails and fails.pop():
                raise ValueError("told to fail")
            heard.append(word)

        return handler

    for word, fails in (("first", []), ("second", [True])):
        dispatcher.register_handler(P1, CallbackHandler(make(word, fails), "booking"))
    dispatcher.dispatch_nowait(event_of(P1, n=1))
    dispatcher.run_inline()
    # when its dead letter is replayed
    (letter,) = dispatcher.dead_letter_queue
    assert (heard, letter.handler) == (["first"], "booking#2")
    assert dispatcher.replay_dead_letter(letter.event.event_id, letter.handler)
    dispatcher.run_inline()
    # then the second has it, and the first is not called again
    assert heard == ["first", "second"]
