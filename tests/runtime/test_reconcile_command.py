"""``reconcile``: the broker's books are compared with ours when an operator asks, and the outcome is told whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal as D
from pathlib import Path

import pytest

from qts.execution.contracts import AckStatus, OrderState
from qts.market.contracts import Quote
from qts.runtime.control import book_comparison
from qts.runtime.control.command_handler import CommandHandler
from qts.runtime.control.commands import Reconcile, ReconcileReport
from qts.runtime.drivers.sync import run_to_completion
from qts.runtime.orders import order_comparison
from qts.strategy.contracts import Side
from tests.broker.scripted import ScriptedBroker
from tests.runtime.books_rig import CUMULATIVE
from tests.runtime.live_rig import LiveRig, live
from tests.runtime.rig import SYMBOL, Rig, ScriptedStrategy, kst, with_ten

AT = kst(9, 0, 5)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no time pass between two readings."""
    monkeypatch.setattr(book_comparison, "_BETWEEN_READINGS_S", 0.01)
    monkeypatch.setattr(order_comparison, "BETWEEN_ANSWERS_NS", 0)


def quote(at_ns: int) -> Quote:
    return Quote(SYMBOL, at_ns, D(150_000), D(150_100), D(10_000), D(10_000))


@asynccontextmanager
async def session(directory: Path) -> AsyncIterator[tuple[LiveRig, CommandHandler, ScriptedBroker]]:
    """A session at a broker that has 7 shares of its owner, and 10 that the strategy is buying."""
    broker = ScriptedBroker()
    broker.books.held, broker.books.paid = {SYMBOL: D(7)}, {SYMBOL: D(150_000)}
    async with live(directory, strategies=[ScriptedStrategy()], settings={}, broker=broker) as rig:
        await rig.show(quote(AT))
        strategy = rig.kernel.host.contexts[0].strategy
        assert isinstance(strategy, ScriptedStrategy)
        strategy.wants(Side.BUY, qty=10)
        await rig.show(quote(AT + 1))
        yield rig, CommandHandler(rig.kernel), broker


async def outcome(rig: LiveRig, handler: CommandHandler) -> ReconcileReport:
    """Give the command and return what its answer says."""
    command = Reconcile(operator="kim", reason="drill")
    async with asyncio.timeout(30):
        while (answer := await handler.step(command)) is None:
            await asyncio.sleep(0.005)
            await rig.kernel.run_due_work()
    assert (answer.done, answer.answer) == (True, "the books of scripted are compared with ours")
    assert answer.reconcile is not None
    return answer.reconcile


async def test_books_that_agree_are_told_with_what_was_compared(tmp_path: Path) -> None:
    async with session(tmp_path) as (rig, handler, broker):
        report = await outcome(rig, handler)
        cash = broker.books.cash
        assert report.compared == (
            "orders: 1 open here, 1 at scripted, 0 of them not ours",
            "executions of the day: 0 listed at scripted",
            "shares: 1 symbol, 0 of ours, 1 of EXTERNAL",
            f"cash: {cash:,f} KRW settled at scripted, 100,000,000 of it ours, {cash - 100_000_000:,f} not",
        )
        assert (report.booked, report.differs, report.problem) == ((), (), "")
        logged = [line.message for line in rig.logged if "reconcile" in line.message]
        assert logged == ["operator kim: reconcile (drill): 0 differences, 0 bookings"]


async def test_where_executions_have_no_numbers_each_list_is_asked_for_twice_and_the_orders_once_before(
    tmp_path: Path,
) -> None:
    """What the orders show is booked first; then all is read until two readings are the same."""
    async with session(tmp_path) as (rig, handler, broker):
        broker.capabilities = CUMULATIVE
        begun = len(broker.calls)
        await outcome(rig, handler)
        asked = [call for call in broker.calls[begun:] if call not in ("orders", "holdings")]
        assert asked == []
        assert broker.calls[begun : begun + 5] == ["orders", *["orders", "holdings"] * 2]


async def test_a_fill_that_no_notice_told_is_booked_and_told(tmp_path: Path) -> None:
    # Given an execution of 4 whose notice was lost
    async with session(tmp_path) as (rig, handler, broker):
        (key,) = [one.request.client_order_id for one in broker.placed]
        broker.drops = 1
        broker.fill(key, 4, 150_000, AT + 2)
        assert rig.kernel.shared.account.position(SYMBOL) == 0
        # When the books are compared
        report = await outcome(rig, handler)
        # Then it is booked, and nothing differs
        assert report.booked == (f"order {key}: WORKING 0 of 10 → PARTIAL 4 of 10",)
        assert report.differs == ()
        assert rig.kernel.shared.account.position(SYMBOL) == 4


async def test_shares_that_nothing_explains_differ(tmp_path: Path) -> None:
    async with session(tmp_path) as (rig, handler, broker):
        broker.books.held[SYMBOL] = D(9)
        report = await outcome(rig, handler)
        assert report.differs == ("005930: 9 at scripted, 7 here: 0 of the strategies, 7 of EXTERNAL",)


async def test_an_order_of_unknown_fate_is_asked_about_until_it_is_known(tmp_path: Path) -> None:
    # Given an order that never reached the broker, and whose answer says nothing
    async with session(tmp_path) as (rig, handler, broker):
        (first,) = [one.request.client_order_id for one in broker.placed]
        broker.fill(first, 10, 150_000, AT + 2)
        await rig.show(quote(AT + 3))
        broker.answers.append(AckStatus.UNKNOWN)
        broker.receives = False
        strategy = rig.kernel.host.contexts[0].strategy
        assert isinstance(strategy, ScriptedStrategy)
        strategy.wants(Side.SELL, qty=10)
        await rig.show(quote(AT + 4))
        (order,) = rig.kernel.shared.orders
        assert order.state is OrderState.UNKNOWN
        # When the books are compared
        report = await outcome(rig, handler)
        # Then two answers without it prove that it was never sent
        assert report.booked == (f"order {order.client_order_id}: UNKNOWN 0 of 10 → NOT_SENT 0 of 10",)
        assert report.differs == ()


async def test_a_broker_that_does_not_answer_is_said_and_nothing_is_booked(tmp_path: Path) -> None:
    async with session(tmp_path) as (rig, handler, broker):
        broker.is_up = False
        report = await outcome(rig, handler)
        assert (report.compared, report.differs, report.booked) == ((), (), ())
        assert report.problem
        # And it can be asked for again
        broker.is_up = True
        assert (await outcome(rig, handler)).problem == ""


async def test_an_execution_while_it_reads_is_no_difference(tmp_path: Path) -> None:
    # Given a fill that happens after the first question
    async with session(tmp_path) as (rig, handler, broker):
        (key,) = [one.request.client_order_id for one in broker.placed]
        left = [3, 2, 5]

        def trade() -> None:
            if left and len(broker.calls) % 3 == 0:
                qty = left.pop()
                broker.fill(key, qty, 150_000, AT + 10 + len(left))

        broker.before_query = trade
        report = await outcome(rig, handler)
        assert (report.differs, report.problem) == ((), "")


def test_a_simulated_exchange_is_compared_as_well(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(one := ScriptedStrategy("one"))
    with_ten(rig, one)
    answer = run_to_completion(rig.commands.execute(Reconcile(operator="kim", reason="drill")))
    now = answer.reconcile
    assert now is not None
    assert (now.problem, now.differs, now.booked) == ("", (), ())
    assert now.compared[-1] == "cash: not compared: broker sim does not say what money the account has"
