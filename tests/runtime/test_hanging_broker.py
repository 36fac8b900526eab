"""A broker that does not answer, and one that blocks its thread, hold back their own orders alone."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from msgspec.structs import replace

from qts.errors import BrokerUnavailable
from qts.event.contracts import EventType
from qts.execution.contracts import AckStatus, EmergencyStop, OrderState
from qts.runtime.control.command_handler import CommandHandler
from qts.safety.contracts import SafetyState
from qts.strategy.contracts import Side
from tests.broker.scripted import Held, ScriptedBroker
from tests.event.support import until
from tests.runtime.live_rig import LiveRig, live
from tests.runtime.rig import SYMBOL, ScriptedStrategy, command, kst
from tests.runtime.test_slow_broker import TwoSymbols, quote

QUICK = {"event.retry_backoff_ms": "1"}


class Hanging(ScriptedBroker):
    """Answers an order when a test lets it; ``blocks``: until then its thread does nothing else either."""

    def __init__(self, *, blocks: bool) -> None:
        super().__init__()
        self.let_go = threading.Event()
        self.holds_answers = not blocks
        if blocks:
            self.before_answer = lambda approved: self.let_go.wait(60) and None


class Connecting(ScriptedBroker):
    """Opens its connection when a test lets it."""

    opening: Held | None = None

    async def connect(self) -> None:
        self.opening = Held()
        await self.opening.wait()

    def opens(self) -> None:
        assert self.opening is not None
        self.opening.let_go()


def waiting_in(rig: LiveRig, lane: str) -> int:
    view = rig.kernel.sender.view()
    assert view is not None
    return next(one.waiting for one in view.lanes if one.lane == lane)


def state_of(rig: LiveRig, key: str) -> OrderState:
    order = rig.kernel.shared.orders.get(key)
    assert order is not None
    return order.state


@pytest.mark.parametrize("blocks", [False, True])
async def test_prices_fills_commands_and_stops_go_on_for_ten_seconds_without_an_answer(
    tmp_path: Path, blocks: bool
) -> None:
    broker, strategy = Hanging(blocks=blocks), ScriptedStrategy()
    async with live(tmp_path, strategies=[strategy], settings=QUICK, broker=broker, feed=TwoSymbols()) as rig:
        # Given an order that the broker has, and that it does not answer for ten seconds
        strategy.wants(Side.BUY, qty=2)
        await rig.push(quote(kst(10)))
        await rig.until(lambda: broker.placed)
        key = broker.placed[0].request.client_order_id
        # when prices of those seconds come, then the strategy sees each of them
        seen = strategy.quotes
        for second in range(1, 6):
            await rig.push(quote(kst(10, 0, second)))
        await rig.until(lambda: strategy.quotes == seen + 5)
        # and news of the order is booked
        if not blocks:
            broker.fill(key, 1, 150_100, kst(10, 0, 5))
            await rig.until(lambda: rig.kernel.counters.fills == 1)
        # and an operator is answered
        answer = await CommandHandler(rig.kernel).execute(command("override", state="DEFENSIVE"))
        assert answer.done
        # and a stop is in force, whose cancel waits for the answer
        stop = EmergencyStop("alice", "enough", rig.clock.time_ns())
        rig.kernel.dispatcher.publish(EventType.EMERGENCY_STOP, stop, "alice")
        await rig.until(lambda: rig.kernel.shared.safety.current_state is SafetyState.LOCKDOWN)
        await rig.push(quote(kst(10, 0, 10)))
        assert state_of(rig, key) is (OrderState.PENDING_NEW if blocks else OrderState.PARTIAL)
        assert len(broker.placed) == 1 + len([one for one in broker.placed if one.request.reduce_only])
        # When the answer comes, then it is booked, and the cancel follows it
        broker.holds_answers = False
        broker.let_go.set()
        broker.let_answer()
        await rig.until(lambda: key in broker.cancels)
        assert state_of(rig, key) in (OrderState.WORKING, OrderState.PARTIAL)


async def test_a_stop_right_after_a_restart_does_not_wait_for_the_broker(tmp_path: Path) -> None:
    # Given a session that was killed with an order at the broker
    broker, strategy = ScriptedBroker(), ScriptedStrategy()
    async with live(tmp_path, strategies=[strategy], settings=QUICK, broker=broker, feed=TwoSymbols()) as rig:
        strategy.wants(Side.BUY, qty=2)
        await rig.push(quote(kst(10)))
        await rig.until(lambda: broker.placed)
        await rig.drain()
        await rig.kernel.shared.record.checkpoint()
    key = broker.placed[0].request.client_order_id

    # when it is started again, and the broker answers no question
    broker.holds_queries = True
    again = ScriptedStrategy()
    async with live(tmp_path, strategies=[again], settings=QUICK, broker=broker, feed=TwoSymbols()) as rig:
        await rig.until(lambda: broker.asked)
        # then a stop is accepted, in force, and its cancel leaves
        answer = await CommandHandler(rig.kernel).execute(command("stop"))
        assert answer.done
        await rig.until(lambda: rig.kernel.shared.safety.current_state is SafetyState.LOCKDOWN)
        await rig.until(lambda: key in broker.cancels)
        # all before the first answer
        assert rig.kernel.unresolved.not_compared
        broker.holds_queries = False
        broker.let_tell()


async def test_a_connection_that_does_not_open_holds_back_requests_and_nothing_else(tmp_path: Path) -> None:
    broker, strategy = Connecting(), ScriptedStrategy()
    async with live(tmp_path, strategies=[strategy], settings=QUICK, broker=broker, feed=TwoSymbols()) as rig:
        # Given a connection that is being opened
        asked = len(broker.calls)
        rig.kernel.connect_soon()
        await until(lambda: broker.opening)
        # when an order is given away, then it waits in its lane
        strategy.wants(Side.BUY, qty=1)
        await rig.push(quote(kst(10)))
        await rig.until(lambda: waiting_in(rig, "entry"))
        # and an operator's stop is in force
        assert (await CommandHandler(rig.kernel).execute(command("stop"))).done
        await rig.until(lambda: rig.kernel.shared.safety.current_state is SafetyState.LOCKDOWN)
        rig.kernel.due.resolve_soon()
        await rig.until(lambda: waiting_in(rig, "background"))
        assert (broker.placed, broker.calls[asked:]) == ([], [])
        # When it is open, then what waits leaves
        broker.opens()
        await rig.until(lambda: "orders" in broker.calls[asked:])


async def test_a_connection_that_cannot_be_opened_ends_the_session(tmp_path: Path) -> None:
    broker, strategy = ScriptedBroker(), ScriptedStrategy()
    async with live(tmp_path, strategies=[strategy], settings=QUICK, broker=broker, feed=TwoSymbols()) as rig:
        broker.is_up = False
        rig.kernel.connect_soon()

        with pytest.raises(BrokerUnavailable):
            await rig.until(lambda: False)


async def test_a_session_ends_in_time_although_the_broker_never_answers(tmp_path: Path) -> None:
    broker, strategy = Hanging(blocks=True), ScriptedStrategy()
    async with live(tmp_path, strategies=[strategy], settings=QUICK, broker=broker, feed=TwoSymbols()) as rig:
        strategy.wants(Side.BUY, qty=1)
        await rig.push(quote(kst(10)))
        await rig.until(lambda: broker.placed)
        key = broker.placed[0].request.client_order_id

        await rig.kernel.dispatcher.stop()
        await rig.kernel.sender.close(0)

        assert state_of(rig, key) is OrderState.UNKNOWN
        assert len(rig.kernel.shared.account.open_reservations) == 1  # it may be at the broker
        broker.let_go.set()


async def test_a_stop_takes_back_what_has_not_left(tmp_path: Path) -> None:
    """Without our ids the second order of a key waits for the answer to the first."""
    broker, one, other = ScriptedBroker(), ScriptedStrategy("one"), ScriptedStrategy("other")
    broker.capabilities = replace(broker.capabilities, client_order_ids=False)
    broker.holds_answers = True
    async with live(tmp_path, strategies=[one, other], settings=QUICK, broker=broker, feed=TwoSymbols()) as rig:
        one.wants(Side.BUY, qty=1)
        await rig.push(quote(kst(10)))
        await rig.until(lambda: broker.waiting)
        other.wants(Side.BUY, qty=1)
        await rig.push(quote(kst(10, 0, 1)))
        await rig.until(lambda: len(rig.kernel.shared.orders) == 2)
        (waits,) = [order for order in rig.kernel.shared.orders if order.strategy == "other"]
        await until(lambda: state_of(rig, waits.client_order_id) is OrderState.PENDING_NEW)

        stop = EmergencyStop("alice", "enough", rig.clock.time_ns())
        rig.kernel.dispatcher.publish(EventType.EMERGENCY_STOP, stop, "alice")
        await rig.until(lambda: state_of(rig, waits.client_order_id) is OrderState.NOT_SENT)

        assert [order.strategy for order in rig.kernel.shared.orders if order.symbol == SYMBOL] == ["one"]
        assert len(rig.kernel.shared.account.open_reservations) == 1
        assert len(broker.placed) == 1
        broker.let_answer()
        await rig.until(lambda: broker.cancels)


async def test_only_questions_about_what_is_not_certain_go_before_entries(tmp_path: Path) -> None:
    broker, strategy = ScriptedBroker(), ScriptedStrategy()
    async with live(tmp_path, strategies=[strategy], settings=QUICK, broker=broker, feed=TwoSymbols()) as rig:

        def asked() -> tuple[int, int]:
            view = rig.kernel.sender.view()
            assert view is not None
            sent = {lane.lane: lane.sent for lane in view.lanes}
            return sent["resolve"], sent["background"]

        resolve, background = asked()
        await rig.kernel.unresolved.resolve(rig.clock.time_ns())
        assert asked() == (resolve, background + 2)

        broker.answer, broker.receives = AckStatus.UNKNOWN, False
        strategy.wants(Side.BUY, qty=1)
        await rig.push(quote(kst(10)))
        await rig.until(rig.kernel.unresolved.any)
        await rig.until(lambda: not rig.kernel.sender.in_flight)
        resolve, background = asked()
        await rig.kernel.unresolved.resolve(rig.clock.time_ns())
        assert asked()[0] >= resolve + 2


async def test_the_gateway_is_in_the_view_of_the_session(tmp_path: Path) -> None:
    broker, strategy = ScriptedBroker(), ScriptedStrategy()
    async with live(tmp_path, strategies=[strategy], settings=QUICK, broker=broker, feed=TwoSymbols()) as rig:
        strategy.wants(Side.BUY, qty=1)
        await rig.push(quote(kst(10)))
        await rig.until(lambda: broker.placed)
        await rig.drain()

        view = rig.kernel.sender.view()
        assert view is not None
        sent = {lane.lane: (lane.sent, lane.waiting, lane.delay_s) for lane in view.lanes}
        assert list(sent) == ["cancel", "exit", "resolve", "entry", "background"]
        assert sent["entry"] == (1, 0, 0.0)
        assert (view.in_flight, view.not_sent) == (0, 0)
        assert broker.placed[0].request.symbol == SYMBOL


@pytest.mark.parametrize(
    ("answer", "state"), [(AckStatus.ACCEPTED, OrderState.WORKING), (AckStatus.REJECTED, OrderState.REJECTED)]
)
async def test_an_answer_that_comes_after_the_order_was_given_up_is_adopted(
    tmp_path: Path, answer: AckStatus, state: OrderState
) -> None:
    broker, strategy = ScriptedBroker(), ScriptedStrategy()
    broker.holds_answers, broker.receives, broker.answer = True, False, answer  # the broker's books say nothing
    settings = {**QUICK, "broker.gateway.answer_ms": "1"}
    async with live(tmp_path, strategies=[strategy], settings=settings, broker=broker, feed=TwoSymbols()) as rig:
        strategy.wants(Side.BUY, qty=1)
        await rig.push(quote(kst(10)))
        await rig.until(lambda: broker.placed)
        key = broker.placed[0].request.client_order_id
        await rig.until(lambda: state_of(rig, key) is OrderState.UNKNOWN)

        broker.let_answer()
        await rig.until(lambda: state_of(rig, key) is state)
        assert len(rig.kernel.shared.account.open_reservations) == (state is OrderState.WORKING)
        assert len(broker.placed) == 1
