"""A flattening at a real broker whose answers are late, unknown or lost, and whose session is killed meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal as D
from pathlib import Path

from qts.execution.contracts import AckStatus, Fill
from qts.execution.protective.contracts import Origin
from qts.market.contracts import Quote
from qts.runtime.control.command_handler import CommandHandler
from qts.runtime.control.commands import Flatten, FlattenReport, Stop
from qts.strategy.contracts import Side
from tests.broker.scripted import ScriptedBroker
from tests.runtime.live_rig import LiveRig, live
from tests.runtime.rig import SYMBOL, ScriptedStrategy, kst

SECOND = 1_000_000_000
ASKED = Flatten(operator="kim", reason="drill", name=SYMBOL)


def quote(second: float) -> Quote:
    return Quote(SYMBOL, kst(10, 0, second), D(1_000), D(1_001), D(9_999), D(9_999))


@asynccontextmanager
async def session(directory: Path, broker: ScriptedBroker) -> AsyncIterator[tuple[LiveRig, ScriptedStrategy]]:
    scripted = ScriptedStrategy("one")
    async with live(directory, strategies=[scripted], settings={}, broker=broker) as rig:
        yield rig, scripted


async def with_ten_and_a_bid(rig: LiveRig, scripted: ScriptedStrategy, broker: ScriptedBroker) -> str:
    """Let the strategy hold ten shares and bid for five more; return the id of the bid."""
    scripted.wants(Side.BUY, qty=10)
    await rig.show(quote(0))
    broker.fill(broker.placed[0].request.client_order_id, 10, 1_001, kst(10, 0, 0.5))
    await rig.show(quote(1))
    scripted.wants(Side.BUY, qty=5, limit=800)
    await rig.show(quote(2))
    return broker.placed[1].request.client_order_id


def held(rig: LiveRig) -> D:
    return rig.kernel.shared.account.holding("one", SYMBOL)


async def test_a_kill_behind_the_order_neither_doubles_nor_widens_it(tmp_path: Path) -> None:
    # Given a sale of ten that is at the broker, with four of them executed, a bid, and a session that is killed
    broker = ScriptedBroker()
    async with session(tmp_path, broker) as (rig, scripted):
        bid = await with_ten_and_a_bid(rig, scripted, broker)
        await CommandHandler(rig.kernel).execute(ASKED)
        await rig.show(quote(3))
        (sale,) = [one.request for one in broker.placed if one.request.side is Side.SELL]
        assert (sale.qty, sale.forced, sale.reason) == (10, True, "flatten symbol 005930 by kim: drill")
        broker.fill(sale.client_order_id, 4, 1_000, kst(10, 0, 3.5))
        await rig.drain()
    # When it is resumed, the bid is executed, and the rest of the sale as well
    async with session(tmp_path, broker) as (rig, scripted):
        left = rig.kernel.shared.protective.part(("one", SYMBOL), Origin.OPERATOR)
        assert left is not None
        assert left.left == 6
        assert held(rig) == 6
        await rig.show(quote(20))
        broker.fill(bid, 5, 800, kst(10, 0, 20.5))
        await rig.drain()
        broker.fill(sale.client_order_id, 6, 1_000, kst(10, 0, 21))
        await rig.show(quote(40), quote(60))
        # Then no other sale was sent, no cancel, and the five are there
        assert [one.request.qty for one in broker.placed if one.request.side is Side.SELL] == [10]
        assert (broker.cancels, held(rig)) == ([], 5)
        assert len(rig.kernel.shared.protective) == 0
        assert rig.kernel.shared.protective.reasons() == {}


async def test_while_a_sales_fate_is_unknown_it_waits_and_says_so(tmp_path: Path) -> None:
    # Given a sale whose answer says nothing, at a broker that cannot be asked
    broker = ScriptedBroker()
    async with session(tmp_path, broker) as (rig, scripted):
        await with_ten_and_a_bid(rig, scripted, broker)
        broker.answers.append(AckStatus.UNKNOWN)
        broker.receives = False
        handler = CommandHandler(rig.kernel)
        await handler.execute(ASKED)
        progress = handler.progress_of(ASKED)
        assert progress is not None
        broker.before_answer = lambda approved: setattr(broker, "is_up", False)
        await rig.show(quote(3))
        # Then nothing else is sold, and the report names the order
        await rig.show(quote(20), quote(40))
        report = progress()
        assert isinstance(report, FlattenReport)
        sale = broker.placed[-1].request.client_order_id
        assert report.holdings[0].why == f"the fate of order {sale} over 10 is unknown; the broker is being asked"
        assert [one.request.qty for one in broker.placed if one.request.side is Side.SELL] == [10]
        # And when two answers prove that it never left, it is sold
        broker.is_up = broker.receives = True
        broker.before_answer = lambda approved: None
        for second in (100, 103, 130):
            rig.clock.set_ns(kst(10, 0, second))
            await rig.kernel.unresolved.resolve(rig.clock.time_ns())
            await rig.show(quote(second + 1))
        (again,) = [one.request for one in broker.placed if one.request.side is Side.SELL][1:]
        broker.fill(again.client_order_id, 10, 1_000, kst(10, 3))
        await rig.show(quote(200))
        report = progress()
        assert isinstance(report, FlattenReport)
        assert (held(rig), report.complete, report.is_flat) == (0, True, True)


async def test_the_cancel_of_an_offer_comes_before_its_shares_are_sold(tmp_path: Path) -> None:
    # Given an offer of all ten that rests
    broker = ScriptedBroker()
    async with session(tmp_path, broker) as (rig, scripted):
        scripted.wants(Side.BUY, qty=10)
        await rig.show(quote(0))
        broker.fill(broker.placed[0].request.client_order_id, 10, 1_001, kst(10, 0, 0.5))
        await rig.show(quote(1))
        scripted.wants(Side.SELL, limit=1_200)
        await rig.show(quote(2))
        offer = broker.placed[1].request.client_order_id
        # When it is flattened, and three of the offer are executed before the cancel arrives
        await CommandHandler(rig.kernel).execute(ASKED)
        await rig.show(quote(3))
        assert (broker.cancels, len(broker.placed)) == ([offer], 2)
        broker.fill(offer, 3, 1_200, kst(10, 0, 3.2))
        broker.end(offer, kst(10, 0, 3.4))
        await rig.show(quote(4), quote(5))
        # Then the other seven are sold at the market
        assert [(one.request.qty, one.request.limit) for one in broker.placed[2:]] == [(7, None)]


async def test_a_bid_that_the_sale_could_meet_is_cancelled_before_it(tmp_path: Path) -> None:
    # Given ten shares, and a bid just below the market
    broker = ScriptedBroker()
    async with session(tmp_path, broker) as (rig, scripted):
        await with_ten_and_a_bid(rig, scripted, broker)
        broker.end(broker.placed[1].request.client_order_id, kst(10, 0, 2))
        scripted.wants(Side.BUY, qty=5, limit=999)
        await rig.show(quote(3))
        near = broker.placed[2].request.client_order_id
        # When the holding is flattened
        handler = CommandHandler(rig.kernel)
        await handler.execute(ASKED)
        progress = handler.progress_of(ASKED)
        assert progress is not None
        await rig.show(quote(4), quote(5))
        # Then the bid is being cancelled, nothing is sold, and the report says why
        assert (broker.cancels, len(broker.placed)) == ([near], 3)
        report = progress()
        assert isinstance(report, FlattenReport)
        assert "it would meet BUY 5 at 999 of one" in report.holdings[0].why
        # And as soon as it has ended, the ten are sold
        broker.end(near, kst(10, 0, 5))
        await rig.show(quote(6), quote(7))
        assert [(one.request.side, one.request.qty) for one in broker.placed[3:]] == [(Side.SELL, 10)]


async def test_two_strategies_offer_no_more_than_others_have_left(tmp_path: Path) -> None:
    # Given ten shares each of two strategies, and an owner who has sold fifteen of the twenty by hand
    broker, one, two = ScriptedBroker(), ScriptedStrategy("one"), ScriptedStrategy("two")
    async with live(tmp_path, strategies=[one, two], settings={}, broker=broker) as rig:
        for number, scripted in enumerate((one, two)):
            scripted.wants(Side.BUY, qty=10)
            await rig.show(quote(2 * number))
            broker.fill(broker.placed[-1].request.client_order_id, 10, 1_001, kst(10, 0, 2 * number + 1))
            await rig.drain()
        ids = ("scripted", "x-1", "by hand", SYMBOL, Side.SELL)
        broker.trade_by_hand(Fill(*ids, D(15), D(1_000), D(0), D(0), kst(10, 0, 5), last=True))
        await rig.drain()
        # When all of it is to be sold
        handler = CommandHandler(rig.kernel)
        await handler.execute(ASKED)
        await rig.show(quote(20), quote(100))
        # Then the five that are there are offered, and the report says that the rest is left
        sales = [one.request for one in broker.placed if one.request.side is Side.SELL]
        assert [one.qty for one in sales] == [5]
        broker.fill(sales[0].client_order_id, 5, 1_000, kst(10, 1, 50))
        await rig.show(quote(200))
        assert [one.request.qty for one in broker.placed if one.request.side is Side.SELL] == [5]
        assert broker.books.held == {SYMBOL: 0}
        progress = handler.progress_of(ASKED)
        assert progress is not None
        report = progress()
        assert isinstance(report, FlattenReport)
        assert sorted(row.left for row in report.holdings) == ["10", "5"]


async def test_a_sale_that_the_broker_takes_back_is_made_again(tmp_path: Path) -> None:
    # Given a flattening of ten of which four are sold
    broker = ScriptedBroker()
    async with session(tmp_path, broker) as (rig, scripted):
        await with_ten_and_a_bid(rig, scripted, broker)
        handler = CommandHandler(rig.kernel)
        await handler.execute(ASKED)
        await rig.show(quote(3))
        progress = handler.progress_of(ASKED)
        assert progress is not None
        first = broker.placed[-1].request.client_order_id
        four = broker.fill(first, 4, 1_000, kst(10, 0, 3.5))
        await rig.drain()
        # When the broker takes the four back, and the rest is sold
        broker.take_back(four, kst(10, 0, 4))
        await rig.drain()
        await rig.show(quote(5))
        report = progress()
        assert isinstance(report, FlattenReport)
        assert [(row.sold, row.left, row.held) for row in report.holdings] == [("0", "10", "10")]
        broker.fill(first, 6, 1_000, kst(10, 0, 5.5))
        await rig.drain()
        # Then the four are sold again, and that is all
        sales = [one.request for one in broker.placed if one.request.side is Side.SELL]
        assert [one.qty for one in sales] == [10, 4]
        broker.fill(sales[-1].client_order_id, 4, 1_000, kst(10, 0, 6))
        await rig.show(quote(7), quote(70))
        report = progress()
        assert isinstance(report, FlattenReport)
        assert (held(rig), report.complete, report.is_flat) == (0, True, True)
        assert [one.request.qty for one in broker.placed if one.request.side is Side.SELL] == [10, 4]


async def test_after_a_stop_too(tmp_path: Path) -> None:
    # Given a stop that has sold all of a strategy
    broker = ScriptedBroker()
    async with session(tmp_path, broker) as (rig, scripted):
        bid = await with_ten_and_a_bid(rig, scripted, broker)
        stop = Stop(operator="kim", reason="drill", strategy="one")
        await CommandHandler(rig.kernel).execute(stop)
        await rig.show(quote(3))
        first = broker.placed[-1].request.client_order_id
        ten = broker.fill(first, 10, 1_000, kst(10, 0, 3.5))
        broker.end(bid, kst(10, 0, 3.6))
        await rig.show(quote(4), quote(70))
        assert (held(rig), rig.kernel.shared.protective.reasons()) == (0, {})
        # When the broker takes the sale back
        broker.take_back(ten, kst(10, 1, 15))
        await rig.drain()
        await rig.show(quote(76), quote(77))
        # Then the ten are sold again
        sales = [one.request for one in broker.placed if one.request.side is Side.SELL]
        assert [one.qty for one in sales] == [10, 10]
