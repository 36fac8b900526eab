"""Orders, answers, fills and ends: a half of the contract of brokers."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal as D

import pytest
from msgspec.structs import replace

from qts.broker.contracts import BrokerOrderState
from qts.errors import BrokerUnavailable
from qts.execution.contracts import AckStatus, Fill, FillReversed, OrderCancelled, OrderRejected
from qts.risk.contracts import OrderType
from qts.strategy.contracts import Side
from qts.strategy.order_terms import TimeInForce
from tests.conformance.broker_world import BrokerWorld, Held

BUY, SELL = Side.BUY, Side.SELL
LIMIT = {"type": OrderType.LIMIT, "limit": D(50)}


class OrderTests:
    @pytest.fixture
    def world(self) -> BrokerWorld:
        raise NotImplementedError

    # -- names and abilities

    async def test_its_name_and_its_capabilities_never_change(self, world: BrokerWorld) -> None:
        name, able = world.broker.name, world.broker.capabilities

        await world.broker.connect()
        await world.broker.place(world.approved("o", BUY, 1))
        world.cuts_the_line()

        assert (world.broker.name, world.broker.capabilities) == (name, able)
        await world.broker.close()
        assert (world.broker.name, world.broker.capabilities) == (name, able)

    async def test_it_takes_some_order_and_names_no_negative_lag(self, world: BrokerWorld) -> None:
        able = world.broker.capabilities

        assert able.order_types
        assert able.times_in_force
        assert able.visibility_lag_ns >= 0
        assert able.requests_per_s is None or able.requests_per_s > 0

    # -- placing

    async def test_an_order_is_accepted_and_stands_in_the_books_whole(self, world: BrokerWorld) -> None:
        approved = world.approved("o", BUY, 10)
        ack = await world.broker.place(approved)

        (order,) = await world.broker.orders()
        assert (ack.status, ack.client_order_id) == (AckStatus.ACCEPTED, "o")
        assert ack.ref == order.ref
        assert order.client_order_id == ("o" if world.broker.capabilities.client_order_ids else None)
        assert (order.symbol, order.side) == (approved.request.symbol, BUY)
        assert (order.qty, order.filled, order.is_open, order.remaining) == (D(10), D(0), True, D(10))
        assert world.holds() == {"o": Held(D(10), D(0), is_open=True)}

    async def test_its_numbers_tell_orders_apart(self, world: BrokerWorld) -> None:
        acks = [await world.broker.place(world.approved(f"o{number}", BUY, 1)) for number in range(3)]

        assert len({ack.ref for ack in acks}) == 3
        assert [order.ref for order in await world.broker.orders()] == [ack.ref for ack in acks], "oldest first"

    async def test_an_order_that_comes_twice_is_one_order_with_one_answer(self, world: BrokerWorld) -> None:
        first = await world.broker.place(world.approved("o", BUY, 10))

        assert await world.broker.place(world.approved("o", BUY, 10)) == first
        assert len(await world.broker.orders()) == 1

    async def test_buys_and_sells_are_kept_apart(self, world: BrokerWorld) -> None:
        await world.broker.place(world.approved("b", BUY, 3))
        world.executes("b", 3)

        await world.broker.place(world.approved("s", SELL, 2))

        (sale,) = [order for order in await world.broker.orders() if order.is_open]
        assert (sale.side, sale.qty) == (SELL, D(2))

    @pytest.mark.parametrize("kind", OrderType)
    async def test_a_type_is_taken_or_refused_as_the_capabilities_say(
        self, world: BrokerWorld, kind: OrderType
    ) -> None:
        terms = {
            "limit": D(50) if kind in (OrderType.LIMIT, OrderType.STOP_LIMIT) else None,
            "stop_price": D(60) if kind in (OrderType.STOP, OrderType.STOP_LIMIT) else None,
        }
        side = SELL if terms["stop_price"] else BUY
        if side is SELL:
            await world.broker.place(world.approved("held", BUY, 10))
            world.executes("held", 10)

        ack = await world.broker.place(world.approved("o", side, 10, type=kind, **terms))

        is_taken = kind in world.broker.capabilities.order_types
        assert (ack.status is AckStatus.ACCEPTED) is is_taken, ack
        assert bool([order for order in await world.broker.orders() if order.is_open]) is is_taken
        assert is_taken or (ack.status is AckStatus.REJECTED and ack.reason)

    @pytest.mark.parametrize("time", TimeInForce)
    async def test_a_time_in_force_is_taken_or_refused_as_the_capabilities_say(
        self, world: BrokerWorld, time: TimeInForce
    ) -> None:
        ack = await world.broker.place(world.approved("o", BUY, 10, **LIMIT, time_in_force=time))

        is_taken = time in world.broker.capabilities.times_in_force
        assert ack.status is (AckStatus.ACCEPTED if is_taken else AckStatus.REJECTED), ack
        assert is_taken or ack.reason

    async def test_a_cap_on_the_cost_is_refused_where_there_is_none(self, world: BrokerWorld) -> None:
        world.needs_no("caps_cost")

        ack = await world.broker.place(world.approved("o", BUY, 10, max_cost=D(1_000)))

        assert (ack.status, world.holds()) == (AckStatus.REJECTED, {})

    async def test_an_order_for_a_bar_that_is_over_is_refused_where_none_is_taken(self, world: BrokerWorld) -> None:
        world.needs_no("exits_in_bars")
        approved = world.approved("o", SELL, 10, armed_ns=1)

        ack = await world.broker.place(approved)

        assert (ack.status, world.holds()) == (AckStatus.REJECTED, {})

    async def test_what_it_refuses_has_a_reason_and_leaves_nothing(self, world: BrokerWorld) -> None:
        world.refuses_the_next_order()

        ack = await world.broker.place(world.approved("o", BUY, 10))

        assert (ack.status, ack.client_order_id) == (AckStatus.REJECTED, "o")
        assert ack.reason
        assert (list(await world.broker.orders()), world.holds(), world.reports) == ([], {}, [])

    # -- answers

    async def test_an_order_stands_in_the_books_before_its_answer_is_there(self, world: BrokerWorld) -> None:
        world.holds_answers()
        answer = asyncio.create_task(world.broker.place(world.approved("o", BUY, 10)))
        await asyncio.sleep(0)

        assert len(await world.broker.orders()) == 1
        assert not answer.done()
        world.lets_answer()
        assert (await answer).status is AckStatus.ACCEPTED

    async def test_an_answer_that_is_late_holds_back_no_other(self, world: BrokerWorld) -> None:
        world.holds_answers()
        answers = [asyncio.create_task(world.broker.place(world.approved(f"o{n}", BUY, 1))) for n in range(3)]
        await asyncio.sleep(0)

        assert len(await world.broker.orders()) == 3
        world.lets_answer()
        assert {(await answer).status for answer in answers} == {AckStatus.ACCEPTED}

    async def test_a_fill_may_overtake_the_answer(self, world: BrokerWorld) -> None:
        world.holds_answers()
        answer = asyncio.create_task(world.broker.place(world.approved("o", BUY, 10)))
        await asyncio.sleep(0)

        world.executes("o", 10)
        assert [fill.qty for fill in world.fills] == [D(10)]
        world.lets_answer()
        ack = await answer
        assert ack.status is AckStatus.ACCEPTED
        assert world.is_about(world.fills[0], "o", ack)

    async def test_being_cancelled_passes_through_and_the_order_is_there(self, world: BrokerWorld) -> None:
        world.holds_answers()
        answer = asyncio.create_task(world.broker.place(world.approved("o", BUY, 10)))
        await asyncio.sleep(0)

        answer.cancel()

        with pytest.raises(asyncio.CancelledError):
            await answer
        assert world.holds() == {"o": Held(D(10), D(0), is_open=True)}

    async def test_an_answer_that_is_lost_proves_nothing_and_the_list_shows_the_order(
        self, world: BrokerWorld
    ) -> None:
        world.loses_the_next_answer()

        ack = await world.broker.place(world.approved("o", BUY, 10))

        assert (ack.status, ack.client_order_id) == (AckStatus.UNKNOWN, "o")
        (order,) = await world.broker.orders()
        assert (order.qty, order.side) == (D(10), BUY)

    async def test_an_order_that_is_lost_proves_nothing_and_is_nowhere(self, world: BrokerWorld) -> None:
        world.loses_the_next_order()

        ack = await world.broker.place(world.approved("o", BUY, 10))

        assert ack.status is AckStatus.UNKNOWN
        assert (list(await world.broker.orders()), world.holds()) == ([], {})

    async def test_without_a_line_nothing_is_proved(self, world: BrokerWorld) -> None:
        placed = await world.broker.place(world.approved("o", BUY, 10))
        world.cuts_the_line()

        assert (await world.broker.place(world.approved("p", BUY, 10))).status is AckStatus.UNKNOWN
        assert (await world.broker.cancel("o", placed.ref)).status is AckStatus.UNKNOWN
        assert list(world.holds()) == ["o"]

    # -- fills

    async def test_a_fill_is_published_once_and_names_its_order(self, world: BrokerWorld) -> None:
        placed = await world.broker.place(world.approved("o", BUY, 10))

        world.executes("o", 4)

        (fill,) = world.reports
        assert isinstance(fill, Fill)
        assert world.is_about(fill, "o", placed)
        assert (fill.broker, fill.side, fill.qty) == (world.broker.name, BUY, D(4))
        assert not fill.last
        assert fill.price > 0
        assert not fill.inferred
        (order,) = await world.broker.orders()
        assert (order.filled, order.remaining) == (D(4), D(6))

    async def test_a_fill_of_an_order_whose_answer_was_lost_names_the_number_that_the_list_shows(
        self, world: BrokerWorld
    ) -> None:
        world.needs_no("client_order_ids")
        world.loses_the_next_answer()
        await world.broker.place(world.approved("o", BUY, 10))

        world.executes("o", 4)

        (fill,), (order,) = world.fills, await world.broker.orders()
        assert (fill.client_order_id, fill.ref) == ("", order.ref)

    async def test_parts_add_up_and_the_last_one_says_so(self, world: BrokerWorld) -> None:
        await world.broker.place(world.approved("o", BUY, 10))

        for qty in (4, 5, 1):
            world.executes("o", qty)

        assert [(fill.qty, fill.last) for fill in world.fills] == [(D(4), False), (D(5), False), (D(1), True)]
        assert world.holds() == {}

    async def test_the_ids_of_executions_tell_them_apart(self, world: BrokerWorld) -> None:
        world.needs("execution_ids")
        for key in ("o", "p"):
            await world.broker.place(world.approved(key, BUY, 2))
            world.executes(key, 1)
            world.executes(key, 1)

        assert len({(fill.client_order_id, fill.execution_id) for fill in world.fills}) == 4

    async def test_executions_without_numbers_are_told_without_an_id_and_by_the_orders_number(
        self, world: BrokerWorld
    ) -> None:
        world.needs_no("execution_ids")
        placed = await world.broker.place(world.approved("o", BUY, 2))
        world.executes("o", 1)
        world.executes("o", 1)

        assert [(fill.execution_id, fill.ref) for fill in world.fills] == [("", placed.ref)] * 2

    async def test_a_notice_that_is_told_twice_has_the_same_identity(self, world: BrokerWorld) -> None:
        world.needs("execution_ids")
        world.doubles_the_next_notice()
        await world.broker.place(world.approved("o", BUY, 10))

        world.executes("o", 4)
        world.lets_time_pass()

        first, second = world.fills
        assert first == second
        assert [order.filled for order in await world.broker.orders()] == [D(4)]

    async def test_notices_out_of_order_say_the_same(self, world: BrokerWorld) -> None:
        await world.broker.place(world.approved("o", BUY, 10))
        world.holds_notices()
        for qty in (4, 6):
            world.executes("o", qty)
        world.tells_backwards()

        assert [fill.qty for fill in world.fills] == [D(6), D(4)]
        assert sum(fill.last for fill in world.fills) == 1, "that which completes it"

    async def test_an_execution_that_is_taken_back_is_named_and_not_listed(self, world: BrokerWorld) -> None:
        placed = await world.broker.place(world.approved("o", BUY, 10))
        world.executes("o", 10)
        (fill,) = world.fills

        world.takes_back(fill)

        bust = world.reports[-1]
        assert isinstance(bust, FillReversed)
        assert (bust.broker, bust.execution_id) == (fill.broker, fill.execution_id)
        assert world.is_about(bust, "o", placed)
        assert list(await world.broker.fills_since(0)) == []
        assert dict(await world.broker.positions()) == {}

    # -- cancels

    async def test_a_cancel_is_accepted_first_and_confirmed_when_it_takes_effect(self, world: BrokerWorld) -> None:
        placed = await world.broker.place(world.approved("o", BUY, 10))
        world.executes("o", 4)

        ack = await world.broker.cancel("o", placed.ref)
        world.lets_time_pass()

        assert (ack.status, ack.client_order_id) == (AckStatus.ACCEPTED, "o")
        ended = world.reports[-1]
        assert isinstance(ended, OrderCancelled)
        assert world.is_about(ended, "o", placed)
        assert not [order for order in await world.broker.orders() if order.is_open]
        assert [held.qty for held in (await world.broker.positions()).values()] == [D(4)], "what was filled stays"

    async def test_a_cancel_that_loses_the_race_leaves_the_fill(self, world: BrokerWorld) -> None:
        placed = await world.broker.place(world.approved("o", BUY, 10))

        assert (await world.broker.cancel("o", placed.ref)).status is AckStatus.ACCEPTED
        world.executes("o", 10)
        world.lets_time_pass()

        assert [(fill.qty, fill.last) for fill in world.fills] == [(D(10), True)]
        assert not [report for report in world.reports if isinstance(report, OrderCancelled)]
        assert world.holds() == {}

    async def test_a_cancel_of_what_is_not_open_is_refused(self, world: BrokerWorld) -> None:
        placed = await world.broker.place(world.approved("o", BUY, 10))
        world.executes("o", 10)
        assert placed.ref is not None

        for key, ref in (("o", placed.ref), ("never seen", replace(placed.ref, number="never seen"))):
            ack = await world.broker.cancel(key, ref)
            assert (ack.status, ack.client_order_id) == (AckStatus.REJECTED, key)

    async def test_two_cancels_end_an_order_once(self, world: BrokerWorld) -> None:
        placed = await world.broker.place(world.approved("o", BUY, 10))

        for _ in range(2):
            assert (await world.broker.cancel("o", placed.ref)).status is not AckStatus.UNKNOWN
        world.lets_time_pass()

        assert len([report for report in world.reports if isinstance(report, OrderCancelled)]) == 1

    async def test_a_cancel_without_an_answer_may_be_asked_for_again(self, world: BrokerWorld) -> None:
        placed = await world.broker.place(world.approved("o", BUY, 10))
        world.cuts_the_line()
        assert (await world.broker.cancel("o", placed.ref)).status is AckStatus.UNKNOWN
        world.repairs_the_line()

        assert (await world.broker.cancel("o", placed.ref)).status is AckStatus.ACCEPTED
        world.lets_time_pass()
        assert world.holds() == {}

    async def test_an_order_that_ends_by_itself_is_reported(self, world: BrokerWorld) -> None:
        placed = await world.broker.place(world.approved("o", BUY, 10))

        world.ends("o")

        (ended,) = world.reports
        assert isinstance(ended, OrderCancelled)
        assert world.is_about(ended, "o", placed)
        assert world.holds() == {}

    async def test_an_order_that_is_rejected_later_is_reported(self, world: BrokerWorld) -> None:
        world.rejects_the_next_order_later()
        placed = await world.broker.place(world.approved("o", BUY, 10))
        assert placed.status is AckStatus.ACCEPTED

        world.lets_time_pass()

        (ended,) = world.reports
        assert isinstance(ended, OrderRejected)
        assert world.is_about(ended, "o", placed)
        assert world.holds() == {}
        assert [one for one in await world.broker.orders() if one.state is not BrokerOrderState.REJECTED] == []

    # -- replacements

    async def test_a_replacement_is_refused_where_it_cannot_be_had_and_the_order_stays(
        self, world: BrokerWorld
    ) -> None:
        world.needs_no("replaces")
        placed = await world.broker.place(world.approved("o", BUY, 10))

        ack = await world.broker.replace(world.approved("p", BUY, 5), "o", placed.ref)

        assert (ack.status, ack.client_order_id) == (AckStatus.REJECTED, "p")
        assert world.holds() == {"o": Held(D(10), D(0), is_open=True)}

    async def test_a_replacement_stands_in_the_place_of_its_order_with_what_was_executed(
        self, world: BrokerWorld
    ) -> None:
        world.needs("replaces")
        placed = await world.broker.place(world.approved("o", BUY, 10))
        world.executes("o", 4)

        ack = await world.broker.replace(world.approved("p", BUY, 7), "o", placed.ref)

        assert (ack.status, ack.client_order_id) == (AckStatus.ACCEPTED, "p")
        (order,) = await world.broker.orders()
        assert (order.qty, order.filled, order.ref) == (D(7), D(4), ack.ref)
        assert placed.ref == order.ref or placed.ref in order.earlier
        world.executes("p", 3)
        assert world.fills[-1].last
        assert world.is_about(world.fills[-1], "p", ack)

    async def test_a_cancel_names_the_newest_number_and_the_numbers_before_it_name_nothing_any_more(
        self, world: BrokerWorld
    ) -> None:
        world.needs("replaces")
        world.needs_no("client_order_ids")
        placed = await world.broker.place(world.approved("o", BUY, 10))
        replaced = await world.broker.replace(world.approved("p", BUY, 7), "o", placed.ref)
        assert placed.ref != replaced.ref

        assert (await world.broker.cancel("p", placed.ref)).status is AckStatus.REJECTED
        assert list(world.holds()) == ["p"]
        assert (await world.broker.cancel("p", replaced.ref)).status is AckStatus.ACCEPTED
        world.lets_time_pass()
        assert world.holds() == {}

    async def test_a_cancel_has_a_number_of_its_own_and_the_order_keeps_its(self, world: BrokerWorld) -> None:
        world.needs_no("client_order_ids")
        placed = await world.broker.place(world.approved("o", BUY, 10))

        cancel = await world.broker.cancel("o", placed.ref)

        assert cancel.ref != placed.ref
        assert [order.ref for order in await world.broker.orders()] == [placed.ref]

    async def test_a_cancel_of_another_venue_or_day_than_the_orders_is_refused(self, world: BrokerWorld) -> None:
        world.needs_no("client_order_ids")
        placed = await world.broker.place(world.approved("o", BUY, 10))
        assert placed.ref is not None

        for wrong in (
            replace(placed.ref, venue=f"{placed.ref.venue}-other"),
            replace(placed.ref, day=placed.ref.day - timedelta(days=1)),
        ):
            assert (await world.broker.cancel("o", wrong)).status is AckStatus.REJECTED
        assert world.holds() == {"o": Held(D(10), D(0), is_open=True)}

    async def test_what_is_filled_is_not_replaced(self, world: BrokerWorld) -> None:
        world.needs("replaces")
        placed = await world.broker.place(world.approved("o", BUY, 10))
        world.executes("o", 10)

        ack = await world.broker.replace(world.approved("p", BUY, 7), "o", placed.ref)

        assert (ack.status, world.holds()) == (AckStatus.REJECTED, {})

    # -- lifetime

    async def test_it_does_not_connect_without_a_line(self, world: BrokerWorld) -> None:
        world.is_out_of_reach()

        with pytest.raises(BrokerUnavailable):
            await world.broker.connect()

    async def test_closing_leaves_open_orders_and_never_raises_however_often(self, world: BrokerWorld) -> None:
        await world.broker.connect()
        await world.broker.place(world.approved("o", BUY, 10))

        await world.broker.close()
        await world.broker.close()

        assert list(world.holds()) == ["o"]
        world.cuts_the_line()
        await world.broker.close()
        assert world.reports == []

    async def test_a_broker_that_was_never_connected_can_be_closed(self, world: BrokerWorld) -> None:
        await world.broker.close()

        assert world.reports == []
