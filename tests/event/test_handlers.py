from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from qts.errors import ContractError
from qts.event.contracts import Event, EventType, create_event
from qts.event.handlers import (
    CallbackHandler,
    EventHandler,
    LoggingHandler,
    TypeFilterHandler,
    as_handler,
    direct_call,
    events_in,
    types_of,
)
from tests.event.support import P1, event_of

TICK = create_event(EventType.PRICE_TICK, "feed")
LOG = create_event(EventType.LOG_WRITE)


class Doubler(EventHandler):
    """Returns the event it was given."""

    async def handle(self, event: Event) -> Any:
        return event


def plain(event: Event) -> str:
    return event.event_id


async def waiting(event: Event) -> str:
    return event.event_id


class CallableObject:
    async def __call__(self, event: Event) -> str:
        return event.event_id


@pytest.mark.parametrize("callback", [plain, waiting, CallableObject()])
async def test_a_callback_may_be_plain_or_async(callback: Callable[[Event], Any]) -> None:
    assert await CallbackHandler(callback).handle(TICK) == TICK.event_id


def test_a_callback_handler_has_a_name_and_refuses_what_cannot_be_called() -> None:
    assert CallbackHandler(plain).name == "plain"
    assert CallbackHandler(plain, "mine").name == "mine"
    assert CallbackHandler(CallableObject()).name == "CallableObject"
    with pytest.raises(ContractError, match="must be callable, got 5"):
        CallbackHandler(5)  # type: ignore[arg-type]


async def test_a_type_filter_passes_only_its_types() -> None:
    handler = TypeFilterHandler(plain, [EventType.PRICE_TICK])
    assert await handler.handle(TICK) == TICK.event_id
    assert await handler.handle(LOG) is None
    assert handler.name == "plain"
    assert types_of(handler) == {EventType.PRICE_TICK}
    assert types_of(TypeFilterHandler(handler, [EventType.LOG_WRITE])) == frozenset()
    assert types_of(as_handler(plain)) == frozenset(EventType)
    with pytest.raises(ContractError, match="event_types must be members"):
        TypeFilterHandler(plain, ["PRICE"])  # type: ignore[list-item]
    with pytest.raises(ContractError, match="event_types must be members"):
        TypeFilterHandler(plain, [])
    assert TypeFilterHandler(Doubler(), [EventType.PRICE_TICK]).name == "Doubler"


async def test_the_logging_handler_writes_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "qts.event"):
        await LoggingHandler().handle(TICK)
    assert [record.getMessage() for record in caplog.records] == [
        f"P1_HIGH PRICE_TICK id={TICK.event_id} source=feed"
    ]


async def test_a_batch_is_handled_one_by_one_in_order_and_gives_all_results() -> None:
    events = [event_of(P1, n=n) for n in range(3)]
    assert await Doubler().handle_batch(events) == events


def test_a_handler_class_is_made_and_a_handler_stays_itself() -> None:
    handler = Doubler()
    assert as_handler(handler) is handler
    assert isinstance(as_handler(Doubler), Doubler)


def test_the_direct_call_goes_past_all_wrappers() -> None:
    assert direct_call(TypeFilterHandler(plain, [EventType.LOG_WRITE])) == (plain, plain, False)
    assert direct_call(as_handler(waiting)) == (waiting, waiting, True)
    callable_object = CallableObject()
    assert direct_call(as_handler(callable_object)) == (callable_object, callable_object, True)
    handler = Doubler()
    assert direct_call(handler) == (handler, handler.handle, True)


def test_events_in_a_result() -> None:
    assert list(events_in(TICK)) == [TICK]
    assert list(events_in([TICK, 5, LOG])) == [TICK, LOG]
    assert list(events_in("text")) == []
    assert list(events_in(None)) == []
