"""Lists, positions, money, the line and restarts: the other half of the contract of brokers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import date
from decimal import Decimal as D
from typing import Any

import pytest

from qts.broker.contracts import Broker
from qts.errors import BrokerUnavailable
from qts.execution.contracts import AckStatus
from qts.strategy.contracts import Side
from tests.conformance.broker_world import BrokerWorld, Held

BUY, SELL = Side.BUY, Side.SELL
DAY = date(2026, 1, 22)
QUERIES: dict[str, Callable[[Broker], Coroutine[Any, Any, object]]] = {
    "orders": lambda broker: broker.orders(),
    "fills": lambda broker: broker.fills_since(0),
    "positions": lambda broker: broker.positions(),
    "balance": lambda broker: broker.balance(),
    "holdings": lambda broker: broker.holdings(),
    "charges": lambda broker: broker.charges(DAY),
}


def _asks(world: BrokerWorld, query: str) -> None:
    """Skip a query that asks nothing of this broker."""
    if query == "fills":
        world.needs("execution_ids")


class ListTests:
    @pytest.fixture
    def world(self) -> BrokerWorld:
        raise NotImplementedError

    # -- executions

    async def test_a_fill_is_listed_as_it_was_published(self, world: BrokerWorld) -> None:
        world.needs("execution_ids")
        await world.broker.place(world.approved("o", BUY, 10))
        world.executes("o", 4)
        (fill,) = world.fills

        assert list(await world.broker.fills_since(0)) == [fill]
        assert list(await world.broker.fills_since(fill.ts_ns)) == [fill]
        assert list(await world.broker.fills_since(fill.ts_ns + 1)) == []

    async def test_fills_are_listed_oldest_first(self, world: BrokerWorld) -> None:
        world.needs("execution_ids")
        await world.broker.place(world.approved("o", BUY, 6))
        for qty in (1, 2, 3):
            world.executes("o", qty)

        assert [fill.qty for fill in await world.broker.fills_since(0)] == [D(1), D(2), D(3)]

    async def test_where_executions_have_no_numbers_the_row_shows_how_much_and_for_how_much(
        self, world: BrokerWorld
    ) -> None:
        world.needs_no("execution_ids")
        await world.broker.place(world.approved("o", BUY, 10))
        world.executes("o", 4)
        world.executes("o", 6)

        (order,) = await world.broker.orders()  # ended, and of today
        assert order.filled == D(10)
        assert order.amount == sum(fill.qty * fill.price for fill in world.fills)
        assert list(await world.broker.fills_since(0)) == []

    async def test_a_fill_whose_notice_was_lost_is_in_the_lists(self, world: BrokerWorld) -> None:
        await world.broker.place(world.approved("o", BUY, 10))
        world.drops_the_next_notice()
        world.executes("o", 4)

        assert world.reports == []
        assert [order.filled for order in await world.broker.orders()] == [D(4)]
        listed = [fill.qty for fill in await world.broker.fills_since(0)]
        assert listed == ([D(4)] if world.broker.capabilities.execution_ids else [])

    # -- orders

    async def test_an_order_that_has_ended_is_not_shown_as_open(self, world: BrokerWorld) -> None:
        await world.broker.place(world.approved("o", BUY, 1))
        placed = await world.broker.place(world.approved("p", BUY, 1))
        world.executes("o", 1)
        await world.broker.cancel("p", placed.ref)
        world.lets_time_pass()

        assert not [order for order in await world.broker.orders() if order.is_open]

    async def test_an_order_that_has_ended_in_part_stays_listed_where_only_its_row_says_whose_it_is(
        self, world: BrokerWorld
    ) -> None:
        if world.broker.capabilities.client_order_ids and world.broker.capabilities.execution_ids:
            pytest.skip("its executions are listed with our ids")
        placed = await world.broker.place(world.approved("o", BUY, 10))
        world.executes("o", 4)
        await world.broker.cancel("o", placed.ref)
        world.lets_time_pass()

        (order,) = await world.broker.orders()
        assert not order.is_open
        assert (order.qty, order.filled) == (D(10), D(4))
        assert placed.ref in (order.ref, *order.earlier)

    async def test_every_page_of_a_list_is_read(self, world: BrokerWorld) -> None:
        world.pages(2)
        acks = [await world.broker.place(world.approved(f"o{number}", BUY, 1)) for number in range(5)]

        assert [order.ref for order in await world.broker.orders()] == [ack.ref for ack in acks]

    @pytest.mark.parametrize("how", ["error", "empty", "timeout"])
    @pytest.mark.parametrize("number", [1, 2, 3])
    async def test_a_list_of_which_a_page_was_not_read_is_no_list(
        self, world: BrokerWorld, number: int, how: str
    ) -> None:
        world.pages(2)
        for key in range(5):
            await world.broker.place(world.approved(f"o{key}", BUY, 1))
        world.fails_a_page(number, how)

        with pytest.raises(BrokerUnavailable):
            await world.broker.orders()
        assert len(await world.broker.orders()) == 5

    @pytest.mark.parametrize("query", QUERIES)
    @pytest.mark.parametrize("how", ["error", "empty", "timeout"])
    async def test_a_query_that_is_not_answered_raises(self, world: BrokerWorld, query: str, how: str) -> None:
        """Also one with nothing to tell: an empty body is not an empty list."""
        _asks(world, query)
        world.fails_a_page(1, how)

        with pytest.raises(BrokerUnavailable):
            await QUERIES[query](world.broker)
        await QUERIES[query](world.broker)

    async def test_an_order_shows_at_the_latest_after_the_lag(self, world: BrokerWorld) -> None:
        world.shows_late()
        await world.broker.place(world.approved("o", BUY, 10))
        assert list(world.holds()) == ["o"]

        world.lets_the_lag_pass()

        assert [order.qty for order in await world.broker.orders()] == [D(10)]

    async def test_an_order_of_a_person_is_listed_without_our_name(self, world: BrokerWorld) -> None:
        await world.broker.place(world.approved("o", BUY, 10))
        world.orders_by_hand(SELL, 3)

        ours, theirs = await world.broker.orders()
        assert (ours.qty, theirs.qty, theirs.side) == (D(10), D(3), SELL)
        assert theirs.client_order_id != "o"
        assert ours.ref != theirs.ref

    async def test_a_fill_of_a_person_is_none_of_our_orders(self, world: BrokerWorld) -> None:
        await world.broker.place(world.approved("o", BUY, 10))

        world.executes(world.orders_by_hand(BUY, 3), 3)

        (fill,) = world.fills
        assert fill.client_order_id != "o"
        assert [held.qty for held in (await world.broker.positions()).values()] == [D(3)]
        assert world.holds()["o"] == Held(D(10), D(0), is_open=True)

    async def test_an_order_of_another_day_has_another_number(self, world: BrokerWorld) -> None:
        first = await world.broker.place(world.approved("o", BUY, 1))
        world.executes("o", 1)

        world.begins_another_day()
        second = await world.broker.place(world.approved("p", BUY, 1))
        world.executes("p", 1)

        assert first.ref != second.ref, "a number alone may come again"
        assert first.ref is not None
        assert second.ref is not None
        assert first.ref.day < second.ref.day
        one, other = world.fills
        names = [(fill.execution_id, fill.client_order_id, fill.ref) for fill in (one, other)]
        assert names[0] != names[1]

    async def test_asking_changes_nothing_however_often_and_side_by_side(self, world: BrokerWorld) -> None:
        await world.broker.place(world.approved("o", BUY, 10))
        world.executes("o", 4)

        first = await asyncio.gather(*(query(world.broker) for query in QUERIES.values()))
        second = await asyncio.gather(*(query(world.broker) for query in QUERIES.values()))

        assert first == second
        assert len(world.reports) == 1

    # -- positions and money

    async def test_positions_are_the_sum_of_the_fills_and_flat_ones_are_left_out(self, world: BrokerWorld) -> None:
        await world.broker.place(world.approved("o", BUY, 10))
        world.executes("o", 10)
        (bought,) = world.fills
        (held,) = (await world.broker.positions()).items()
        assert (held[0], held[1].qty) == (bought.symbol, D(10))
        assert held[1].average_price is None or held[1].average_price == bought.price

        await world.broker.place(world.approved("p", SELL, 10))
        world.executes("p", 10)

        assert dict(await world.broker.positions()) == {}
        assert not [order for order in await world.broker.orders() if order.is_open]

    async def test_open_orders_are_no_positions(self, world: BrokerWorld) -> None:
        await world.broker.place(world.approved("o", BUY, 10))

        assert dict(await world.broker.positions()) == {}

    async def test_money_is_named_with_its_currency_and_falls_by_what_is_bought(self, world: BrokerWorld) -> None:
        before = await world.broker.balance()
        await world.broker.place(world.approved("o", BUY, 10))
        world.executes("o", 10)
        after = await world.broker.balance()

        assert (before is None) is (after is None)
        if before is not None and after is not None:
            (fill,) = world.fills
            assert before.currency == after.currency != ""
            assert before.cash is None or before.cash - (after.cash or D(0)) == fill.qty * fill.price + fill.fee

    async def test_holdings_are_the_positions_and_the_money(self, world: BrokerWorld) -> None:
        await world.broker.place(world.approved("o", BUY, 10))
        world.executes("o", 10)

        held, balance = await world.broker.holdings(), await world.broker.balance()

        assert held.positions == await world.broker.positions() != {}
        assert (held.balance is None) is (balance is None)
        if held.balance is not None and balance is not None:
            assert (held.balance.currency, held.balance.cash) == (balance.currency, balance.cash)

    async def test_what_a_day_without_trades_cost_is_nothing_or_not_known(self, world: BrokerWorld) -> None:
        charges = await world.broker.charges(date(2026, 1, 21))

        assert charges is None or charges == (0, 0)

    async def test_what_a_day_cost_is_told_once_and_for_all(self, world: BrokerWorld) -> None:
        world.charges_today(fees=350, taxes=30)

        for _ in range(2):
            assert await world.broker.charges(DAY) == (D(350), D(30))

    # -- the line and restarts

    @pytest.mark.parametrize("query", QUERIES)
    async def test_without_a_line_nothing_is_answered(self, world: BrokerWorld, query: str) -> None:
        _asks(world, query)
        world.cuts_the_line()

        with pytest.raises(BrokerUnavailable, match="not connected"):
            await QUERIES[query](world.broker)

    async def test_what_happened_while_the_line_was_cut_is_listed_afterwards(self, world: BrokerWorld) -> None:
        await world.broker.place(world.approved("o", BUY, 10))
        world.cuts_the_line()
        world.executes("o", 4)
        world.repairs_the_line()

        (order,) = await world.broker.orders()
        assert order.filled == D(4)
        assert [held.qty for held in (await world.broker.positions()).values()] == [D(4)]

    async def test_a_line_that_comes_back_tells_nothing_as_new_that_was_told(self, world: BrokerWorld) -> None:
        await world.broker.place(world.approved("o", BUY, 10))
        world.executes("o", 4)
        for _ in range(3):
            world.cuts_the_line()
            world.repairs_the_line()
        world.executes("o", 6)

        assert [fill.qty for fill in world.fills] == [D(4), D(6)]
        assert [order for order in world.holds().values() if order.is_open] == []

    async def test_a_restart_forgets_no_order_and_no_execution(self, world: BrokerWorld) -> None:
        await world.broker.place(world.approved("o", BUY, 10))
        world.executes("o", 4)
        before = [await query(world.broker) for query in QUERIES.values()]

        world.restarts()

        assert [await query(world.broker) for query in QUERIES.values()] == before
        world.executes("o", 6)
        assert [fill.qty for fill in world.fills] == [D(4), D(6)]
        assert world.fills[-1].last

    async def test_news_after_a_restart_names_the_same_number_as_before(self, world: BrokerWorld) -> None:
        world.needs_no("client_order_ids")
        placed = await world.broker.place(world.approved("o", BUY, 10))

        world.restarts()
        world.executes("o", 4)
        world.ends("o")

        assert [(one.client_order_id, one.ref) for one in world.reports] == [("", placed.ref)] * 2

    async def test_an_order_can_be_cancelled_after_a_restart(self, world: BrokerWorld) -> None:
        """By its id, or where none is kept by the number that the session has stored."""
        placed = await world.broker.place(world.approved("o", BUY, 10))

        world.restarts()

        assert (await world.broker.cancel("o", placed.ref)).status is AckStatus.ACCEPTED
        world.lets_time_pass()
        assert world.holds() == {}

    async def test_an_order_that_was_placed_before_a_restart_is_not_placed_again_by_it(
        self, world: BrokerWorld
    ) -> None:
        world.needs("client_order_ids")
        await world.broker.place(world.approved("o", BUY, 10))

        world.restarts()
        await world.broker.place(world.approved("o", BUY, 10))

        assert len(await world.broker.orders()) == 1
