"""A session at a broker that takes its time: nothing else waits for its answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from decimal import Decimal as D
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from qts.broker.contracts import BrokerOrder
from qts.broker.gateway.lanes import Lane
from qts.broker.gateway.view import GatewayView
from qts.clock import PacedClock, from_ns
from qts.db.sqlite import SqliteStore
from qts.event.contracts import EventType
from qts.execution.contracts import AckStatus, EmergencyStop, Order, OrderAck, OrderState, VenueRef
from qts.market.contracts import Quote
from qts.market.krx import krx_instrument
from qts.runtime.drivers.loop_session import on_loop
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Intent, Side
from tests.broker.scripted import ScriptedBroker
from tests.event.support import until
from tests.runtime.live_rig import LiveRig, live
from tests.runtime.rig import SYMBOL, ScriptedStrategy, ScriptFeed, kst

OTHER = "000660"


class TwoSymbols(ScriptFeed):
    def __init__(self) -> None:
        super().__init__()
        self.instruments = {symbol: krx_instrument(symbol) for symbol in (SYMBOL, OTHER)}


def quote(at_ns: int, symbol: str = SYMBOL) -> Quote:
    return Quote(symbol, at_ns, bid=D(150_000), ask=D(150_100), bid_size=D(10_000), ask_size=D(10_000))


def the_order(rig: LiveRig, symbol: str = SYMBOL) -> Order:
    (order,) = [order for order in rig.kernel.shared.orders if order.symbol == symbol]
    return order


async def in_session(
    directory: Path, body: Callable[[LiveRig, ScriptedBroker, ScriptedStrategy], Coroutine[Any, Any, None]]
) -> None:
    broker, scripted = ScriptedBroker(), ScriptedStrategy()
    broker.holds_answers = True
    async with live(
        directory, strategies=[scripted], settings={"event.retry_backoff_ms": "1"}, broker=broker, feed=TwoSymbols()
    ) as rig:
        await body(rig, broker, scripted)


async def sent(rig: LiveRig, broker: ScriptedBroker, scripted: ScriptedStrategy) -> str:
    """Have one share bought; the order is on its way and not answered."""
    scripted.wants(Side.BUY, qty=1)
    await rig.push(quote(kst(10)))
    await rig.until(lambda: broker.waiting)
    return broker.waiting[0]


async def test_the_next_signal_of_another_key_leaves_before_the_answer_comes(tmp_path: Path) -> None:
    async def body(rig: LiveRig, broker: ScriptedBroker, scripted: ScriptedStrategy) -> None:
        first = await sent(rig, broker, scripted)

        scripted.intents.append(Intent(OTHER, Side.BUY, 1.0, qty=1))
        await rig.push(quote(kst(10, 0, 1), OTHER))
        await rig.until(lambda: len(broker.waiting) == 2)

        assert [order.state for order in rig.kernel.shared.orders] == [OrderState.PENDING_NEW] * 2
        broker.let_answer(*[key for key in broker.waiting if key != first])  # the second is answered first
        await rig.until(lambda: the_order(rig, OTHER).state is OrderState.WORKING)
        assert the_order(rig).state is OrderState.PENDING_NEW

    await in_session(tmp_path, body)


async def test_prices_scheduled_tasks_and_operators_come_while_an_answer_is_missing(tmp_path: Path) -> None:
    async def body(rig: LiveRig, broker: ScriptedBroker, scripted: ScriptedStrategy) -> None:
        await sent(rig, broker, scripted)
        seen, evaluated = scripted.quotes, rig.kernel.counters.evaluations

        await rig.push(quote(kst(10, 0, 1)), quote(kst(11, 0, 1)))
        await rig.until(lambda: scripted.quotes == seen + 2 and rig.kernel.counters.evaluations > evaluated)

        asked: list[str] = []
        rig.kernel.due.call_soon(lambda: asked.append("an operator"))
        await rig.until(lambda: asked)
        assert broker.waiting == [the_order(rig).client_order_id]

    await in_session(tmp_path, body)


@pytest.mark.parametrize("answer", [AckStatus.ACCEPTED, AckStatus.UNKNOWN])
async def test_an_answer_is_judged_when_it_comes(tmp_path: Path, answer: AckStatus) -> None:
    async def body(rig: LiveRig, broker: ScriptedBroker, scripted: ScriptedStrategy) -> None:
        broker.answer = answer
        await sent(rig, broker, scripted)
        assert not any("FS042" in line.message for line in rig.logged)

        broker.let_answer()
        await rig.until(lambda: the_order(rig).state is not OrderState.PENDING_NEW)

        missing = answer is AckStatus.UNKNOWN
        assert the_order(rig).state is (OrderState.UNKNOWN if missing else OrderState.WORKING)
        assert any("FS042" in line.message for line in rig.logged) is missing

    await in_session(tmp_path, body)


async def test_a_stop_remembers_the_cancel_of_an_order_that_is_on_its_way(tmp_path: Path) -> None:
    async def body(rig: LiveRig, broker: ScriptedBroker, scripted: ScriptedStrategy) -> None:
        key = await sent(rig, broker, scripted)
        now = rig.clock.time_ns()

        rig.kernel.dispatcher.publish(EventType.EMERGENCY_STOP, EmergencyStop("alice", "enough", now), "alice")
        await rig.until(lambda: rig.kernel.shared.safety.current_state is SafetyState.LOCKDOWN)
        await rig.drain()

        # it may be at the broker: neither withdrawn, nor cancelled before it is known there
        assert (the_order(rig).state, broker.cancels) == (OrderState.PENDING_NEW, [])
        assert len(rig.kernel.shared.account.open_reservations) == 1

        broker.let_answer(key)
        await rig.until(lambda: broker.cancels == [key])
        assert the_order(rig).state is OrderState.WORKING
        broker.let_answer(key)
        broker.end(key, now)
        await rig.until(lambda: not len(rig.kernel.shared.orders))
        assert rig.kernel.shared.account.open_reservations == ()

    await in_session(tmp_path, body)


@pytest.mark.parametrize("way", ["signal", "file"])
async def test_an_entry_that_waits_does_not_leave_behind_a_stop_that_the_session_has_not_read(
    tmp_path: Path, way: str
) -> None:
    # Given an order that is not answered, and a second one behind it in the gateway
    broker, scripted = ScriptedBroker(), ScriptedStrategy()
    broker.holds_answers = True
    settings = {"broker.gateway.in_flight": "1", "broker.gateway.entry_wait_ms": "60000"}
    async with live(tmp_path, strategies=[scripted], settings=settings, broker=broker, feed=TwoSymbols()) as rig:
        first = await sent(rig, broker, scripted)
        scripted.intents.append(Intent(OTHER, Side.BUY, 1.0, qty=1))
        await rig.push(quote(kst(10, 0, 1), OTHER))
        await rig.until(lambda: shown(rig).lanes[Lane.ENTRY].waiting == 1)
        kill = rig.kernel.shared.kill
        (tmp_path / "operator").mkdir()
        kill.watch(tmp_path / "operator", lambda name: False)

        # When a stop comes while the session's thread is busy, and then the answer to the first
        if way == "signal":
            kill.press(liquidate=False, by="signal SIGUSR1")
        else:
            (tmp_path / "operator" / "stop-keep").touch()
        broker.let_answer(first)
        busy = Event()
        while not (shown(rig).not_sent or len(broker.placed) > 1):
            busy.wait(0.001)  # nothing on the session's loop gets its turn

        # Then the second has not left
        assert [one.request.client_order_id for one in broker.placed] == [first]
        await rig.drain()
        assert rig.orders()[-1].note == "not sent: a stop came before it was sent"


def shown(rig: LiveRig) -> GatewayView:
    view = rig.kernel.sender.view()
    assert view is not None
    return view


async def test_prices_come_while_an_exit_waits_for_its_answer(tmp_path: Path) -> None:
    async def body(rig: LiveRig, broker: ScriptedBroker, scripted: ScriptedStrategy) -> None:
        bought = await sent(rig, broker, scripted)
        broker.let_answer(bought)
        broker.fill(bought, 1, 150_100, rig.clock.time_ns())
        await rig.until(lambda: rig.kernel.shared.account.holding("scripted", SYMBOL) == 1)
        stop = EmergencyStop("alice", "enough", rig.clock.time_ns())

        rig.kernel.dispatcher.publish(EventType.EMERGENCY_STOP, stop, "alice")
        await rig.until(lambda: broker.waiting)
        sale = the_order(rig)
        await rig.push(quote(kst(10, 0, 2)), quote(kst(10, 0, 3)))

        assert rig.kernel.shared.last.quotes[SYMBOL].ts_ns == kst(10, 0, 3)  # strategies hear nothing in LOCKDOWN
        assert (sale.side, sale.forced, the_order(rig).state) == (Side.SELL, True, OrderState.PENDING_NEW)
        assert [one.request.client_order_id for one in broker.placed] == [bought, sale.client_order_id]

    await in_session(tmp_path, body)


async def test_a_fill_that_overtakes_its_answer_is_booked_at_once(tmp_path: Path) -> None:
    async def body(rig: LiveRig, broker: ScriptedBroker, scripted: ScriptedStrategy) -> None:
        key = await sent(rig, broker, scripted)

        broker.fill(key, 1, 150_100, rig.clock.time_ns())
        await rig.until(lambda: rig.kernel.counters.fills == 1)

        assert rig.kernel.shared.account.holding("scripted", SYMBOL) == 1
        broker.let_answer(key)
        await rig.until(lambda: not broker.waiting)
        await rig.drain()
        assert rig.kernel.shared.orders.get(key).state is OrderState.FILLED  # type: ignore[union-attr]

    await in_session(tmp_path, body)


async def test_an_order_that_waits_for_its_answer_is_seen_in_the_store(tmp_path: Path) -> None:
    async def body(rig: LiveRig, broker: ScriptedBroker, scripted: ScriptedStrategy) -> None:
        await sent(rig, broker, scripted)

        assert [order.state for order in rig.orders()] == [OrderState.PENDING_NEW]

    await in_session(tmp_path, body)


async def test_news_that_comes_while_the_books_are_read_is_not_overwritten(tmp_path: Path) -> None:
    """The broker is asked about an unknown order, which is filled before the answer is there."""

    class Slow(ScriptedBroker):
        async def orders(self) -> Sequence[BrokerOrder]:
            seen = await super().orders()
            if self.books.orders and not self.books.fills:
                key = next(iter(self.books.orders))
                self.fill(key, 1, 150_100, kst(10, 0, 1))
                await until(lambda: the_rig.kernel.counters.fills == 1)
            return seen

    broker, scripted = Slow(), ScriptedStrategy()
    broker.answer = AckStatus.UNKNOWN
    async with live(
        tmp_path, strategies=[scripted], settings={"event.retry_backoff_ms": "1"}, broker=broker, feed=TwoSymbols()
    ) as the_rig:
        scripted.wants(Side.BUY, qty=1)
        await the_rig.push(quote(kst(10)))
        await the_rig.until(lambda: any("FS042" in line.message for line in the_rig.logged))
        (key,) = [one.request.client_order_id for one in broker.placed]

        await the_rig.push(quote(kst(10, 1, 1)), quote(kst(10, 1, 2)))
        await the_rig.until(lambda: the_rig.kernel.counters.fills == 1)
        await the_rig.drain()

        order = the_rig.kernel.shared.orders.get(key)
        assert order is not None
        assert (order.state, order.filled) == (OrderState.FILLED, D(1))
        assert the_rig.kernel.shared.account.holding("scripted", SYMBOL) == 1


async def test_prices_and_signals_come_while_the_broker_is_asked_for_its_books(tmp_path: Path) -> None:
    async def body(rig: LiveRig, broker: ScriptedBroker, scripted: ScriptedStrategy) -> None:
        # Given an audit whose question to the broker is not answered
        broker.holds_queries = True
        rig.kernel.due.audit_soon()
        await rig.until(lambda: broker.asked)
        # when prices come, then a strategy sees them, and what it wants leaves
        await sent(rig, broker, scripted)
        await rig.push(quote(kst(10, 0, 1)))
        await rig.until(lambda: scripted.quotes == 2)
        assert broker.asked == 1
        broker.holds_queries = False
        broker.let_tell()
        await rig.until(lambda: not rig.kernel.background.is_busy)

    await in_session(tmp_path, body)


async def test_what_work_beside_the_prices_raises_ends_the_session(tmp_path: Path) -> None:
    async def body(rig: LiveRig, broker: ScriptedBroker, scripted: ScriptedStrategy) -> None:
        def fail() -> None:
            raise MemoryError("none left")

        broker.before_query = fail
        rig.kernel.due.audit_soon()
        with pytest.raises(MemoryError, match="none left"):
            await rig.until(lambda: False)

    await in_session(tmp_path, body)


async def test_a_stop_takes_out_what_was_on_its_way_although_the_session_ends(tmp_path: Path) -> None:
    async def body(rig: LiveRig, broker: ScriptedBroker, scripted: ScriptedStrategy) -> None:
        key = await sent(rig, broker, scripted)
        stop = EmergencyStop("alice", "enough", rig.clock.time_ns())
        rig.kernel.dispatcher.publish(EventType.EMERGENCY_STOP, stop, "alice")
        await rig.kernel.dispatcher.stop()

        closing = asyncio.create_task(rig.kernel.sender.close(60))
        broker.holds_answers = False
        broker.let_answer(key)
        await closing

        assert broker.cancels == [key]

    await in_session(tmp_path, body)


async def test_cancels_go_out_although_a_failure_ends_the_session(tmp_path: Path) -> None:
    taken: list[str] = []

    class Slow(ScriptedBroker):
        async def cancel(self, client_order_id: str, ref: VenueRef | None) -> OrderAck:
            ack = await super().cancel(client_order_id, ref)
            taken.append(client_order_id)
            return ack

    async def run_commands() -> None:
        """No operator is heard here."""

    broker, scripted = Slow(), ScriptedStrategy()
    store = SqliteStore(tmp_path / "rig.sqlite", durability="NORMAL")
    rig = LiveRig(store, (), [scripted], {"event.retry_backoff_ms": "1"}, broker, TwoSymbols(), tmp_path)
    kernel = rig.kernel
    await kernel.start(None)

    async def session() -> None:
        clock = PacedClock(from_ns(kst(10)))
        async with on_loop(kernel, clock, lambda share, moment: None, run_commands, lambda: None):
            scripted.wants(Side.BUY, qty=1)
            await rig.push(quote(kst(10)))
            await rig.until(lambda: broker.books.orders and the_order(rig).state is OrderState.WORKING)
            broker.holds_answers = True
            kernel.dispatcher.publish(EventType.EMERGENCY_STOP, EmergencyStop("alice", "enough", kst(10)), "alice")
            await rig.until(lambda: broker.waiting)
            asyncio.get_running_loop().call_later(0.01, broker.let_answer)
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        await session()
    store.close()

    assert taken == list(broker.books.orders)
