"""A stream: drawn from when nothing is queued, its events accounted for like any other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from datetime import timedelta
from decimal import Decimal

import pytest

from qts.clock import ManualClock
from qts.errors import ContractError, StateError
from qts.event.config import EventConfig
from qts.event.contracts import DegradationLevel, Event, EventType
from qts.event.dispatcher import EventDispatcher
from qts.event.stream import Stream
from qts.execution.contracts import Fill
from qts.ids import CounterIds
from qts.market.contracts import Quote, Tick
from tests.event.support import P0, P1, P2, P3, START, fill, inline_dispatcher

TICK, LOG = EventType.PRICE_TICK, EventType.LOG_WRITE


def row(n: int) -> Tick:
    return Tick("005930", n, Decimal(75_000), Decimal(1))


def streamed(give: Iterable[Tick | None]) -> Stream:
    return Stream(iter(give), {Tick: TICK}, "feed")


def test_a_stream_is_drawn_from_only_when_nothing_is_left() -> None:
    dispatcher, order = inline_dispatcher(), list[str]()

    def rows() -> Iterator[Tick | None]:
        for n in range(3):
            order.append(f"row {n}")
            yield None if n == 1 else row(n)  # a row need not lead to an event

    def on_tick(event: Event) -> None:
        order.append("tick")
        dispatcher.publish(EventType.STRATEGY_EVALUATE)
        dispatcher.publish(LOG)

    dispatcher.register_handler(P1, on_tick)
    dispatcher.register_handler(P2, lambda event: order.append("evaluate"))
    dispatcher.register_handler(P3, lambda event: order.append("log"))
    assert dispatcher.run_inline(stream=streamed(rows())) == 6
    assert order == ["row 0", "tick", "evaluate", "log", "row 1", "row 2", "tick", "evaluate", "log"]


def test_what_a_stream_itself_publishes_goes_before_the_event_it_gives() -> None:
    """Given a feed whose row makes an order fill, the fill is handled before any handler gets the row."""
    dispatcher, order = inline_dispatcher(), list[str]()

    def rows() -> Iterator[Tick]:
        dispatcher.publish(EventType.FILL_CONFIRMED, fill())
        yield row(1)

    dispatcher.register_handler(P0, lambda event: order.append("fill"))
    dispatcher.register_handler(P1, lambda event: order.append("tick"))
    dispatcher.run_inline(stream=streamed(rows()))
    assert order == ["fill", "tick"]
    assert dispatcher.stats.priority_check() == (2, 0)


def test_an_event_of_a_stream_is_one_like_any_other() -> None:
    clock, seen = ManualClock(START), list[Event]()
    dispatcher = EventDispatcher(clock=clock, ids=CounterIds("run"), inline=True)
    dispatcher.register_handler(P1, seen.append)

    def rows() -> Iterator[Tick]:
        yield row(1)
        clock.advance(timedelta(seconds=1))
        yield row(2)

    dispatcher.run_inline(stream=streamed(rows()))
    assert [(e.event_id, e.event_type, e.priority, e.source, e.payload) for e in seen] == [
        ("run-1", TICK, P1, "feed", row(1)),
        ("run-2", TICK, P1, "feed", row(2)),
    ]
    assert [event.timestamp for event in seen] == [START, START + timedelta(seconds=1)]
    assert all(event.accepted_ns > 0 and event.can_batch for event in seen)


@pytest.mark.parametrize("handlers", [0, 1, 2], ids=["no handler", "one handler", "two handlers"])
def test_every_event_of_a_stream_is_accounted_for(handlers: int) -> None:
    dispatcher = inline_dispatcher()
    for _ in range(handlers):
        dispatcher.register_handler(P1, lambda event: None)
    assert dispatcher.run_inline(stream=streamed(row(n) for n in range(7))) == 7
    stats = dispatcher.queue_stats()["P1_HIGH"]
    assert [stats[name] for name in ("accepted", "handled", "dropped", "size", "rejected")] == [7, 7, 0, 0, 0]
    latency = dispatcher.stats.latency(P1)
    assert (latency.start.count, latency.end.count) == (1, 1)  # of sixteen the first, whether it was queued or not


@pytest.mark.parametrize(("every", "measured"), [(1, 10), (3, 4), (5, 2), (100, 1)])
@pytest.mark.parametrize("handlers", [1, 2], ids=["straight", "queued"])
def test_of_so_many_rows_the_latency_of_one_is_measured(every: int, measured: int, handlers: int) -> None:
    # Given a handler that interrupts the drawing now and then, which does not reset the count
    dispatcher, stamps = inline_dispatcher(EventConfig(latency_sample_rows=every)), list[int]()

    def on_tick(event: Event) -> None:
        stamps.append(event.accepted_ns)
        if event.payload.ts_ns % 4 == 0:
            dispatcher.publish(LOG)

    dispatcher.register_handler(P1, on_tick)
    if handlers == 2:
        dispatcher.register_handler(P1, lambda event: None)
    dispatcher.register_handler(P3, lambda event: None)
    # When ten rows are drawn
    dispatcher.run_inline(stream=streamed(row(n) for n in range(10)))
    # Then rows 0, every, 2 x every, ... are measured; each row bears a reading, and none an older one than before
    latency = dispatcher.stats.latency(P1)
    assert (latency.start.count, latency.end.count) == (measured, measured)
    assert dispatcher.stats.latency(P3).start.count == 3  # what was queued is measured, all of it
    assert stamps == sorted(stamps)
    assert stamps[0] > 0


@pytest.mark.parametrize("every", [1, 2])
def test_an_event_of_a_stream_that_failed_is_measured_only_when_it_is_its_turn(every: int) -> None:
    # Given a handler that fails once, with the second row
    dispatcher, calls = inline_dispatcher(EventConfig(latency_sample_rows=every, retry_backoff_ms=0)), list[int]()

    def on_tick(event: Event) -> None:
        calls.append(event.payload.ts_ns)
        if calls == [0, 1]:
            raise RuntimeError("once")

    dispatcher.register_handler(P1, on_tick)
    # When three rows are drawn
    dispatcher.run_inline(stream=streamed(row(n) for n in range(3)))
    # Then it was tried again before the third, and measured as often as one that did not fail
    assert calls == [0, 1, 1, 2]
    latency = dispatcher.stats.latency(P1)
    assert (latency.start.count, latency.end.count) == ((3, 3) if every == 1 else (2, 2))
    assert dispatcher.queue_stats()["P1_HIGH"]["handled"] == 3


def test_an_event_of_a_stream_counts_as_handled_from_when_its_handler_has_it() -> None:
    dispatcher, sizes = inline_dispatcher(), list[tuple[int, int, int]]()

    def look(event: Event) -> None:
        stats = dispatcher.queue_stats()["P1_HIGH"]
        sizes.append((stats["accepted"], stats["handled"], stats["size"]))

    dispatcher.register_handler(P1, look)
    dispatcher.run_inline(stream=streamed(row(n) for n in range(2)))
    assert sizes == [(1, 1, 0), (2, 2, 0)]  # accepted = handled + size at any moment


def test_a_pause_of_p1_refuses_what_a_stream_gives_and_draws_on() -> None:
    """Prices go into the last-value table as they are drawn, so a lockdown must not stop the drawing."""
    dispatcher, seen = inline_dispatcher(), list[int]()

    def on_tick(event: Event) -> None:
        seen.append(event.payload.ts_ns)
        if event.payload.ts_ns == 2:
            dispatcher.set_degradation_level(DegradationLevel.CRITICAL_ONLY)

    dispatcher.register_handler(P1, on_tick)
    assert dispatcher.run_inline(stream=streamed(row(n) for n in range(1, 6))) == 2
    stats = dispatcher.queue_stats()["P1_HIGH"]
    assert (seen, stats["accepted"], stats["handled"], stats["rejected"]) == ([1, 2], 2, 2, 3)


def test_a_handler_that_fails_with_an_event_of_a_stream_is_tried_again_before_the_next() -> None:
    dispatcher, order = inline_dispatcher(), list[str]()

    def fails_once(event: Event) -> None:
        order.append(f"tick {event.payload.ts_ns}")
        if order == ["tick 1"]:
            raise RuntimeError("once")

    dispatcher.register_handler(P1, fails_once)
    dispatcher.run_inline(stream=streamed(row(n) for n in (1, 2)))
    assert order == ["tick 1", "tick 1", "tick 2"]
    assert dispatcher.queue_stats()["P1_HIGH"]["handled"] == 2


def test_a_deadline_is_looked_at_before_each_event_of_a_stream() -> None:
    clock = ManualClock(START)
    dispatcher, order = EventDispatcher(clock=clock, ids=CounterIds("run"), inline=True), list[str]()
    dispatcher.set_deadline(lambda: order.append("deadline"), interval_ms=100)
    dispatcher.register_handler(P1, lambda event: order.append("tick"))

    def rows() -> Iterator[Tick]:
        for n in range(3):
            clock.advance(timedelta(milliseconds=100))
            yield row(n)

    dispatcher.run_inline(stream=streamed(rows()))
    assert order == ["deadline", "tick"] * 3


def test_an_ended_stream_is_not_asked_again() -> None:
    dispatcher, asked = inline_dispatcher(), list[int]()

    def rows() -> Iterator[Tick]:
        asked.append(1)
        yield row(1)
        asked.append(2)

    stream = streamed(rows())
    assert (dispatcher.run_inline(stream=stream), dispatcher.run_inline(stream=stream)) == (1, 0)
    assert asked == [1, 2]


def test_a_stream_gives_events_of_p1_of_the_classes_it_named() -> None:
    with pytest.raises(ContractError, match="a stream gives events of P1, FILL_CONFIRMED is P0_CRITICAL"):
        Stream(iter(()), {Fill: EventType.FILL_CONFIRMED}, "feed")
    with pytest.raises(ContractError, match="feed gave a Quote; listed are Tick"):
        inline_dispatcher().run_inline(stream=Stream(iter([Quote("A", 1)]), {Tick: TICK}, "feed"))


def test_an_interruption_by_p0_does_not_end_the_drawing() -> None:
    """Given two handlers of which the first publishes a fill, the fill comes between them, row after row."""
    dispatcher, order = inline_dispatcher(), list[str]()

    def first(event: Event) -> None:
        order.append(f"first {event.payload.ts_ns}")
        dispatcher.publish(EventType.FILL_CONFIRMED, fill())

    dispatcher.register_handler(P1, first)
    dispatcher.register_handler(P1, lambda event: order.append(f"second {event.payload.ts_ns}"))
    dispatcher.register_handler(P0, lambda event: order.append("fill"))
    dispatcher.run_inline(stream=streamed(row(n) for n in range(3)))
    assert order == [step for n in range(3) for step in (f"first {n}", "fill", f"second {n}")]


def test_an_event_of_a_stream_that_cannot_be_gone_on_with_is_not_handled() -> None:
    async def waits(event: Event) -> None:
        await asyncio.sleep(0)

    dispatcher = inline_dispatcher()
    dispatcher.register_handler(P1, waits)
    with pytest.raises(StateError, match="waited for something"):
        dispatcher.run_inline(stream=streamed([row(1)]))
    stats = dispatcher.queue_stats()["P1_HIGH"]
    assert (stats["accepted"], stats["handled"], stats["size"]) == (1, 0, 1)


def test_the_counts_of_an_event_that_failed_add_up() -> None:
    dispatcher = inline_dispatcher(EventConfig(retry_backoff_ms=0, retries=0))

    def fails(event: Event) -> None:
        raise ValueError

    dispatcher.register_handler(P1, fails)
    dispatcher.run_inline(stream=streamed([row(1)]))
    stats = dispatcher.queue_stats()["P1_HIGH"]
    assert [stats[name] for name in ("accepted", "handled", "dead_lettered", "size")] == [1, 0, 1, 0]


def test_a_nested_run_does_not_make_the_stream_forget_what_waits_to_be_tried_again() -> None:
    dispatcher, order = inline_dispatcher(EventConfig(retry_backoff_ms=0, retries=0)), list[int]()
    refused = [1]

    def on_tick(event: Event) -> None:
        if event.payload.ts_ns in refused:
            raise ValueError
        order.append(event.payload.ts_ns)

    def rows() -> Iterator[Tick]:
        yield row(1)
        yield row(2)
        refused.clear()
        dispatcher.replay_dead_letter(dispatcher.dead_letter_queue[0].event.event_id)
        dispatcher.run_inline(P0)
        yield row(3)

    dispatcher.register_handler(P1, on_tick)
    dispatcher.run_inline(stream=streamed(rows()))
    assert order.index(1) < order.index(3)
