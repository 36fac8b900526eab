"""An answer that comes after its order was given up: it counts, and what was asked meanwhile does not."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from qts.execution.contracts import AckStatus, Order, OrderState
from qts.strategy.contracts import Side
from tests.broker.scripted import ScriptedBroker
from tests.runtime.live_rig import LiveRig, live
from tests.runtime.rig import ScriptedStrategy, kst
from tests.runtime.test_slow_broker import quote

SETTINGS = {"event.retry_backoff_ms": "1", "broker.gateway.answer_ms": "20"}


async def given_up(
    directory: Path, body: Callable[[LiveRig, ScriptedBroker, str], Coroutine[Any, Any, None]], answer: AckStatus
) -> None:
    """Have a share bought; the answer is late, and a question about the order waits for its own."""
    broker, scripted = ScriptedBroker(), ScriptedStrategy()
    async with live(directory, strategies=[scripted], settings=SETTINGS, broker=broker) as rig:
        broker.holds_answers, broker.answer = True, answer
        scripted.wants(Side.BUY, qty=1)
        await rig.push(quote(kst(10)))
        await rig.until(lambda: broker.waiting)
        (key,) = broker.waiting
        broker.shows[key] = lambda row: None  # no list shows it
        broker.holds_queries = True
        await rig.until(lambda: state(rig, key) is OrderState.UNKNOWN)
        rig.kernel.due.resolve_soon()
        await rig.until(lambda: broker.asked)
        await body(rig, broker, key)


def order_of(rig: LiveRig, key: str) -> Order:
    order = rig.kernel.shared.orders.get(key)
    assert order is not None
    return order


def state(rig: LiveRig, key: str) -> OrderState:
    return order_of(rig, key).state


async def tells_all(rig: LiveRig, broker: ScriptedBroker) -> None:
    """Answer the questions that wait and those that follow."""
    broker.holds_queries = False
    broker.let_tell()
    await rig.until(lambda: not broker.asked and not rig.kernel.background.is_running("unknown-orders"))


async def test_it_is_adopted_and_the_question_that_was_under_way_decides_nothing(tmp_path: Path) -> None:
    async def body(rig: LiveRig, broker: ScriptedBroker, key: str) -> None:
        # When the answer comes, and then one of before it, which does not show the order
        broker.let_answer(key)
        await rig.until(lambda: state(rig, key) is OrderState.WORKING)
        await tells_all(rig, broker)

        # Then the order works, and was sent once
        assert state(rig, key) is OrderState.WORKING
        assert order_of(rig, key).newest_number == "scripted-o1"
        assert [one.request.client_order_id for one in broker.placed] == [key]
        # And a later absence begins to count only now: it was never counted before
        rig.clock.set_ns(kst(10, 0, 1))
        await rig.kernel.unresolved.resolve(rig.clock.time_ns())
        assert state(rig, key) is OrderState.WORKING

    await given_up(tmp_path, body, AckStatus.ACCEPTED)


async def test_a_late_rejection_ends_it_and_gives_the_money_back(tmp_path: Path) -> None:
    async def body(rig: LiveRig, broker: ScriptedBroker, key: str) -> None:
        assert len(rig.kernel.shared.account.open_reservations) == 1

        broker.let_answer(key)
        await rig.until(lambda: state(rig, key) is OrderState.REJECTED)
        await tells_all(rig, broker)

        assert state(rig, key) is OrderState.REJECTED
        assert rig.kernel.shared.account.open_reservations == ()
        assert len(broker.placed) == 1

    await given_up(tmp_path, body, AckStatus.REJECTED)


@pytest.mark.parametrize("way", ["the list first", "the answer first"])
async def test_list_and_late_answer_say_the_same_in_any_order(tmp_path: Path, way: str) -> None:
    async def body(rig: LiveRig, broker: ScriptedBroker, key: str) -> None:
        broker.shows.clear()
        if way == "the answer first":
            broker.let_answer(key)
            await rig.until(lambda: state(rig, key) is OrderState.WORKING)
        await tells_all(rig, broker)
        await rig.kernel.unresolved.resolve(rig.clock.time_ns())
        assert state(rig, key) is OrderState.WORKING
        if way == "the list first":
            broker.let_answer(key)
            await rig.until(lambda: not broker.waiting)
            await rig.drain()

        assert (state(rig, key), order_of(rig, key).newest_number) == (OrderState.WORKING, "scripted-o1")
        assert len(order_of(rig, key).venue_refs) == 1

    await given_up(tmp_path, body, AckStatus.ACCEPTED)
