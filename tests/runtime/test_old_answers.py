"""Answers of the broker that are older than what has happened since they were asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from qts.execution.contracts import Order, OrderState
from qts.strategy.contracts import Side
from tests.broker.scripted import NAMED, ScriptedBroker
from tests.runtime.books_rig import CUMULATIVE, PRICE, quote
from tests.runtime.live_rig import live
from tests.runtime.rig import SYMBOL, ScriptedStrategy, kst


@pytest.mark.parametrize(("named", "at"), [(True, "fills_since"), (True, "orders"), (False, "orders")])
@pytest.mark.parametrize("what", ["fill", "part", "cancel"])
async def test_what_happens_while_the_broker_is_asked_is_not_corrected(
    tmp_path: Path, what: str, at: str, named: bool
) -> None:
    """The answer shows the moment of the question, and comes when a fill or an end of then is booked."""
    broker, scripted = ScriptedBroker(capabilities=NAMED if named else CUMULATIVE), ScriptedStrategy()
    async with live(tmp_path, strategies=[scripted], settings={}, broker=broker) as rig:
        scripted.wants(Side.BUY, qty=10)
        await rig.show(quote(0))
        kernel, (key,) = rig.kernel, broker.books.orders
        broker.fill(key, 2, PRICE, kst(10, 0, 0))
        await rig.drain()
        # Given a question that is under way
        broker.holds_queries = True
        asking = asyncio.create_task(kernel.unresolved.resolve(kst(10, 0, 1)))
        while broker.calls[-1:] != [at] or not broker.asked:
            broker.let_tell()
            await asyncio.sleep(0)
        # When something happens, is told and booked before the answer is there
        if what == "cancel":
            broker.end(key, kst(10, 0, 1))
        else:
            broker.fill(key, 8 if what == "fill" else 3, PRICE, kst(10, 0, 1))
        await rig.drain()
        broker.holds_queries = False
        while not asking.done():
            broker.let_tell()
            await asyncio.sleep(0)
        await rig.drain()
        # Then nothing is corrected, now or when the broker is asked again
        for second in (2, 5, 8):
            await kernel.unresolved.resolve(kst(10, 0, second))
            await rig.drain()
        order = kernel.shared.orders.get(key)
        assert isinstance(order, Order)
        held = {"fill": 10, "part": 5, "cancel": 2}[what]
        state = {"fill": OrderState.FILLED, "part": OrderState.PARTIAL, "cancel": OrderState.CANCELLED}[what]
        assert (order.state, order.filled, kernel.shared.account.position(SYMBOL)) == (state, held, held)
        assert [row.kind for row in rig.store.bookings()] == []
        assert [row.code for row in kernel.shared.safety.history] == []


@pytest.mark.parametrize("has_ended", [False, True])
async def test_answers_that_are_always_older_than_the_newest_fill_take_nothing_back(
    tmp_path: Path, *, has_ended: bool
) -> None:
    """Each answer shows one share less than is booked by the time it comes, in readings three seconds apart."""
    broker, scripted = ScriptedBroker(capabilities=CUMULATIVE), ScriptedStrategy()
    async with live(tmp_path, strategies=[scripted], settings={}, broker=broker) as rig:
        scripted.wants(Side.BUY, qty=10)
        await rig.show(quote(0))
        (key,) = broker.books.orders
        broker.fill(key, 2, PRICE, kst(10, 0, 0))
        if has_ended:
            broker.end(key, kst(10, 0, 0))
        await rig.drain()

        for second in range(1, 16, 3):
            broker.holds_queries = True
            asking = asyncio.create_task(rig.kernel.unresolved.resolve(kst(10, 0, second)))
            while broker.calls[-1:] != ["orders"] or not broker.asked:
                broker.let_tell()
                await asyncio.sleep(0)
            broker.fill(key, 1, PRICE, kst(10, 0, 0))
            await rig.drain()
            broker.holds_queries = False
            broker.let_tell()
            await asking
            await rig.drain()

        assert rig.kernel.shared.account.position(SYMBOL) == 7
        assert list(rig.store.bookings()) == []
        assert not [row for row in rig.kernel.shared.safety.history if row.code == "FS041"]


async def test_a_fill_that_was_told_by_no_notice_is_booked_by_the_answer_after_one_that_was_too_old(
    tmp_path: Path,
) -> None:
    """Another fill of its order is told while the broker is asked: that answer counts not, the next does."""
    broker, scripted = ScriptedBroker(capabilities=NAMED), ScriptedStrategy()
    async with live(tmp_path, strategies=[scripted], settings={}, broker=broker) as rig:
        scripted.wants(Side.BUY, qty=10)
        await rig.show(quote(0))
        kernel, (key,) = rig.kernel, broker.books.orders
        broker.fill(key, 6, PRICE, kst(10, 0, 0), told=False)
        # Given a question that is under way, whose answer has that fill
        broker.holds_queries = True
        asking = asyncio.create_task(kernel.unresolved.resolve(kst(10, 0, 1)))
        while broker.calls[-1:] != ["orders"] or not broker.asked:
            broker.let_tell()
            await asyncio.sleep(0)
        # When the next fill is told and booked before the answer is there
        broker.fill(key, 4, PRICE, kst(10, 0, 1))
        await rig.drain()
        broker.holds_queries = False
        while not asking.done():
            broker.let_tell()
            await asyncio.sleep(0)
        await rig.drain()
        # Then the next answer books the first one
        await kernel.unresolved.resolve(kst(10, 0, 2))
        await rig.drain()
        order = kernel.shared.orders.get(key)
        assert isinstance(order, Order)
        held = kernel.shared.account.position(SYMBOL)
        assert (order.state, order.filled, held) == (OrderState.FILLED, 10, 10)
