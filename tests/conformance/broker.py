"""What every broker must do, as tests given a factory: subclass, and give the fixture ``bench``.

What belongs to one kind of broker (matching, latency, its configuration) is tested beside it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import date
from decimal import Decimal as D

import pytest

from qts.broker.contracts import Broker
from qts.errors import BrokerUnavailable
from qts.execution.contracts import AckStatus, ExecutionReport, Fill, OrderCancelled
from qts.risk.contracts import Approved, OrderType
from qts.strategy.contracts import Side

BUY, SELL = Side.BUY, Side.SELL


class BrokerBench(ABC):
    """One broker and what stands behind it: its market, and its line. ``reports`` is what it has published."""

    broker: Broker
    reports: list[ExecutionReport]

    @abstractmethod
    def approved(self, key: str, side: Side, qty: int, *, kind: str = "") -> Approved:
        """An approved market order for the one symbol there is; ``kind``: the name of another type."""

    @abstractmethod
    def fills(self, key: str, qty: int) -> None:
        """Let ``qty`` of an open order be executed, and be reported."""

    @abstractmethod
    def lets_time_pass(self) -> None:
        """Let everything happen that waits for time alone, such as a cancel that was accepted."""

    @abstractmethod
    def cuts_the_line(self) -> None:
        """Let nothing reach the broker, and nothing come back, from now on."""


class BrokerTests:
    """The contract of :class:`~qts.broker.contracts.Broker`."""

    @pytest.fixture
    def bench(self) -> BrokerBench:
        raise NotImplementedError

    async def test_an_order_is_accepted_and_stands_in_the_books_whole(self, bench: BrokerBench) -> None:
        ack = await bench.broker.place(bench.approved("o", BUY, 10))

        (order,) = await bench.broker.orders()
        assert (ack.status, ack.client_order_id) == (AckStatus.ACCEPTED, "o")
        assert ack.ref == order.ref
        assert (order.client_order_id, order.side, order.qty, order.filled) == ("o", BUY, D(10), D(0))
        assert (order.is_open, order.remaining) == (True, D(10))

    async def test_its_numbers_tell_orders_apart(self, bench: BrokerBench) -> None:
        acks = [await bench.broker.place(bench.approved(f"o{number}", BUY, 1)) for number in range(3)]

        assert len({ack.ref for ack in acks}) == 3
        assert [order.client_order_id for order in await bench.broker.orders()] == ["o0", "o1", "o2"]

    async def test_an_order_that_comes_twice_is_one_order_with_one_answer(self, bench: BrokerBench) -> None:
        first = await bench.broker.place(bench.approved("o", BUY, 10))

        assert await bench.broker.place(bench.approved("o", BUY, 10)) == first
        assert len(await bench.broker.orders()) == 1

    async def test_what_it_does_not_do_it_refuses(self, bench: BrokerBench) -> None:
        assert OrderType.BEST not in bench.broker.capabilities.order_types

        ack = await bench.broker.place(bench.approved("o", BUY, 10, kind="BEST"))

        assert ack.status is AckStatus.REJECTED
        assert ack.reason
        assert not await bench.broker.orders()

    async def test_a_replacement_is_refused_where_it_cannot_be_had_and_the_order_stays(
        self, bench: BrokerBench
    ) -> None:
        assert not bench.broker.capabilities.replaces
        await bench.broker.place(bench.approved("o", BUY, 10))

        ack = await bench.broker.replace(bench.approved("p", BUY, 5), "o")

        assert (ack.status, ack.client_order_id) == (AckStatus.REJECTED, "p")
        assert [(order.client_order_id, order.qty) for order in await bench.broker.orders()] == [("o", D(10))]

    async def test_a_fill_is_published_once_and_listed_the_same(self, bench: BrokerBench) -> None:
        await bench.broker.place(bench.approved("o", BUY, 10))

        bench.fills("o", 4)

        (fill,) = bench.reports
        assert isinstance(fill, Fill)
        assert (fill.broker, fill.client_order_id, fill.side, fill.qty) == (bench.broker.name, "o", BUY, D(4))
        assert not fill.last
        assert list(await bench.broker.fills_since(0)) == [fill]
        assert list(await bench.broker.fills_since(fill.ts_ns)) == [fill]
        assert list(await bench.broker.fills_since(fill.ts_ns + 1)) == []
        (order,) = await bench.broker.orders()
        assert (order.filled, order.remaining) == (D(4), D(6))

    async def test_positions_are_the_sum_of_the_fills_and_flat_ones_are_left_out(self, bench: BrokerBench) -> None:
        await bench.broker.place(bench.approved("o", BUY, 10))
        bench.fills("o", 10)
        (bought,) = bench.reports
        assert isinstance(bought, Fill)
        symbol, price = bought.symbol, bought.price
        (held,) = (await bench.broker.positions()).items()
        assert (held[0], held[1].qty) == (symbol, D(10))
        assert held[1].average_price is None or held[1].average_price == price

        await bench.broker.place(bench.approved("p", SELL, 10))
        bench.fills("p", 10)

        assert dict(await bench.broker.positions()) == {}
        numbers = [report.execution_id for report in bench.reports if isinstance(report, Fill)]
        assert len(set(numbers)) == 2
        assert not [order for order in await bench.broker.orders() if order.is_open]

    async def test_a_cancel_is_accepted_first_and_confirmed_when_it_takes_effect(self, bench: BrokerBench) -> None:
        await bench.broker.place(bench.approved("o", BUY, 10))
        bench.fills("o", 4)

        ack = await bench.broker.cancel("o")
        bench.lets_time_pass()

        assert (ack.status, ack.client_order_id) == (AckStatus.ACCEPTED, "o")
        ended = bench.reports[-1]
        assert isinstance(ended, OrderCancelled)
        assert ended.client_order_id == "o"
        assert not [order for order in await bench.broker.orders() if order.is_open]

    async def test_a_cancel_of_what_is_not_open_is_refused(self, bench: BrokerBench) -> None:
        await bench.broker.place(bench.approved("o", BUY, 10))
        bench.fills("o", 10)

        for key in ("o", "never seen"):
            ack = await bench.broker.cancel(key)
            assert (ack.status, ack.client_order_id) == (AckStatus.REJECTED, key)

    async def test_without_a_line_nothing_is_proved_and_nothing_is_answered(self, bench: BrokerBench) -> None:
        await bench.broker.place(bench.approved("o", BUY, 10))
        bench.cuts_the_line()

        assert (await bench.broker.place(bench.approved("p", BUY, 10))).status is AckStatus.UNKNOWN
        assert (await bench.broker.cancel("o")).status is AckStatus.UNKNOWN
        for query in (
            bench.broker.orders(),
            bench.broker.fills_since(0),
            bench.broker.positions(),
            bench.broker.balance(),
            bench.broker.charges(date(2026, 1, 22)),
        ):
            with pytest.raises(BrokerUnavailable, match="not connected"):
                await query

    async def test_money_is_named_with_its_currency_or_not_known(self, bench: BrokerBench) -> None:
        balance = await bench.broker.balance()

        assert balance is None or balance.currency

    async def test_what_a_day_without_trades_cost_is_nothing_or_not_known(self, bench: BrokerBench) -> None:
        charges = await bench.broker.charges(date(2026, 1, 21))

        assert charges is None or charges == (0, 0)

    async def test_closing_leaves_open_orders_and_never_raises(self, bench: BrokerBench) -> None:
        await bench.broker.connect()
        await bench.broker.place(bench.approved("o", BUY, 10))

        await bench.broker.close()

        assert not [report for report in bench.reports if isinstance(report, OrderCancelled)]
        bench.cuts_the_line()
        await bench.broker.close()
