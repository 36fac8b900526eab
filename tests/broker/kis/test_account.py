"""The books of an account: orders made of the rows of their messages, every page, holdings, money, costs."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from qts.broker.contracts import Balance, BrokerOrderState, BrokerPosition, Holdings
from qts.broker.kis.known import KnownOrders, ref_of
from qts.broker.kis.order_rows import OrderRow, orders_of
from qts.broker.kis.pauses import Pace
from qts.clock import NS_PER_S
from qts.errors import BrokerUnavailable
from qts.ledger.contracts import Charges
from qts.runtime.orders.broker_books import read_books
from qts.strategy.contracts import Side
from tests.broker.kis.rig import SYMBOL, served
from tests.broker.kis.wire import DONE, Answer, Wire
from tests.doubles.kis import Settings

BUY, SELL = Side.BUY, Side.SELL
OPEN, FILLED = BrokerOrderState.OPEN, BrokerOrderState.FILLED
CANCELLED, REJECTED = BrokerOrderState.CANCELLED, BrokerOrderState.REJECTED
DAY = date(2026, 10, 20)


def row(number: int, qty: int = 10, filled: int = 0, rest: int | None = None, **fields: str) -> OrderRow:
    told: dict[str, Any] = {
        "odno": f"{number:010}", "sll_buy_dvsn_cd": "02", "pdno": SYMBOL, "ord_qty": f"{qty}",
        "tot_ccld_qty": f"{filled}", "rmn_qty": f"{qty - filled if rest is None else rest}", "ord_dt": "20261020",
        "ord_tmd": "100000", "ord_unpr": "69000", "tot_ccld_amt": f"{filled * 69_000}", "ord_gno_brno": "91252",
        "ord_dvsn_cd": "00", "excg_id_dvsn_cd": "KRX", **fields,
    }  # fmt: skip
    return OrderRow(**told)


def read(*rows: OrderRow) -> list[Any]:
    return list(orders_of(rows, "20261020", KnownOrders()))


# -- rows


def test_a_row_is_an_order_with_what_was_executed_of_it() -> None:
    (order,) = read(row(7, 10, 4))
    assert (order.ref, order.earlier, order.client_order_id) == (ref_of(DAY, "7"), (), None)
    assert (order.symbol, order.side, order.state) == (SYMBOL, BUY, OPEN)
    assert (order.qty, order.filled, order.remaining) == (D(10), D(4), D(6))
    assert (order.limit, order.amount) == (D(69_000), D(276_000))
    assert order.ts_ns == 1_792_458_000_000_000_000  # 2026-10-20 01:00 UTC


@pytest.mark.parametrize(
    ("one", "state"),
    [
        (row(1, 10, 10), FILLED),
        (row(1, 10, 4, 0, cnc_cfrm_qty="6"), CANCELLED),
        (row(1, 10, 0, 0), CANCELLED),
        (row(1, 10, 0, 0, rjct_qty="10"), REJECTED),
        (row(1, 10, 12, 0), FILLED),
    ],
)
def test_the_state_follows_from_the_quantities(one: OrderRow, state: BrokerOrderState) -> None:
    assert [order.state for order in read(one)] == [state]


def test_changes_and_their_order_are_one_and_quantities_add_up() -> None:
    """4 of 10 were executed, 3 taken out, and what was left changed twice; 1 was executed in between."""
    first = row(1, 10, 4, 0, cnc_cfrm_qty="3", cncl_yn="Y")
    cancel = row(2, 3, 0, 0, orgn_odno="0000000001", sll_buy_dvsn_cd_name="현금매수취소*")
    second = row(3, 3, 1, 0, orgn_odno="0000000001", sll_buy_dvsn_cd_name="현금매수정정*")
    third = row(4, 2, 0, orgn_odno="0000000003", sll_buy_dvsn_cd_name="현금매수정정*", ord_unpr="68800")
    (order,) = read(third, cancel, first, second)
    assert (order.qty, order.filled, order.remaining, order.limit) == (D(7), D(5), D(2), D(68_800))
    assert order.amount == D(345_000)
    assert (order.ref, order.earlier) == (ref_of(DAY, "4"), (ref_of(DAY, "1"), ref_of(DAY, "3")))


def test_a_cancel_is_a_message_alone_however_its_row_is_marked() -> None:
    for marks in ({"sll_buy_dvsn_cd_name": "현금매수취소*"}, {"cncl_yn": "Y"}):
        (order,) = read(row(1, 10, 0), row(2, 10, 0, 10, orgn_odno="0000000001", **marks))
        assert (order.ref, order.qty, order.state) == (ref_of(DAY, "1"), D(10), OPEN)


def test_a_change_whose_order_is_not_listed_is_an_order() -> None:
    (order,) = read(row(3, 6, 0, orgn_odno="0000000001"))
    assert (order.ref, order.qty) == (ref_of(DAY, "3"), D(6))


def test_orders_come_oldest_first() -> None:
    later, earlier = row(1, ord_tmd="110000"), row(9, ord_tmd="090000")
    assert [order.ref.number for order in read(later, earlier)] == ["0000000009", "0000000001"]


def test_without_an_amount_the_average_price_tells_it_and_without_both_it_is_not_known() -> None:
    (one,) = read(row(1, 10, 4, tot_ccld_amt="", avg_prvs="69000.5"))
    (other,) = read(row(1, 10, 4, tot_ccld_amt="0", avg_prvs=""))
    assert (one.amount, other.amount) == (D(276_002), None)


def test_a_market_order_has_no_limit() -> None:
    assert [order.limit for order in read(row(1, ord_unpr="0"))] == [None]


@pytest.mark.parametrize(
    "wrong",
    [
        {"odno": ""},
        {"odno": "0000000000"},
        {"sll_buy_dvsn_cd": "00"},
        {"ord_qty": "ten"},
        {"tot_ccld_qty": ""},
        {"rmn_qty": "-1"},
        {"ord_dt": "2026102"},
        {"ord_tmd": "256000"},
    ],
)
def test_a_row_that_cannot_be_read_makes_the_list_unread(wrong: dict[str, str]) -> None:
    with pytest.raises(BrokerUnavailable, match="in an answer of KIS cannot be read"):
        read(row(1), row(2, **wrong))


def test_a_row_that_comes_twice_counts_once_and_not_at_all_when_it_has_changed() -> None:
    assert len(read(row(1), row(1))) == 1
    with pytest.raises(BrokerUnavailable, match="comes twice with different values"):
        read(row(1), row(1, filled=3))


# -- against the double


@pytest.mark.parametrize("paper", [False, True])
async def test_all_orders_of_the_day_are_listed_over_all_pages(tmp_path: Path, paper: bool) -> None:
    settings = Settings(live_rows=7, paper_rows=7, live_holdings=7)
    async with served(tmp_path, paper=paper, settings=settings) as rig:
        acks = [await rig.broker.place(rig.approved(f"o{n}", qty=1, limit=60_000)) for n in range(23)]
        rig.kis.fill(rig.orders()[3].number)
        found = await rig.broker.orders()
        assert [order.ref for order in found] == [ack.ref for ack in acks]
        assert [n for n, order in enumerate(found) if not order.is_open] == [3]
        assert len(rig.kis.made("inquire-daily-ccld")) == 4


async def test_an_order_that_only_the_list_of_open_ones_shows_is_listed(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        placed = await rig.broker.place(rig.approved("o"))
        rig.kis.fault("row_missing", on="inquire-daily-ccld")
        (order,) = await rig.broker.orders()
        assert (order.ref, order.qty, order.is_open) == (placed.ref, D(10), True)


@pytest.mark.parametrize("column", ["excg_id_dvsn_cd", "excg_id_dvsn_Cd"])
async def test_an_order_of_a_person_is_listed_without_our_name(tmp_path: Path, column: str) -> None:
    async with served(tmp_path, settings=Settings(venue_column=column)) as rig:
        rig.kis.by_hand("buy", SYMBOL, 3, 69_000, venue="NXT")
        (order,) = await rig.broker.orders()
        assert (order.client_order_id, order.qty) == (None, D(3))
        assert (await rig.broker.cancel("x", order.ref)).status.value == "ACCEPTED"


async def test_a_query_with_all_its_fields_is_answered_also_where_the_empty_ones_are_asked_for(
    tmp_path: Path,
) -> None:
    async with served(tmp_path, settings=Settings(every_field=True)) as rig:
        await rig.broker.orders()
        await rig.broker.positions()
        await rig.broker.balance()
        assert {came.status for came in rig.kis.requests} == {200}
        asked = rig.kis.made("inquire-daily-ccld")[0].fields
        assert {name for name, text in asked.items() if not text} == {
            "PDNO", "INQR_DVSN_1", "ORD_GNO_BRNO", "ODNO", "CTX_AREA_FK100", "CTX_AREA_NK100",
        }  # fmt: skip


async def test_holdings_are_those_of_the_trades_and_empty_rows_are_left_out(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        rig.kis.hold("000660", 5, 100_000)
        bought = await rig.broker.place(rig.approved("o", qty=10))
        assert bought.ref is not None
        rig.kis.fill(bought.ref.number)
        assert dict(await rig.broker.positions()) == {
            "000660": BrokerPosition(D(5), D(100_000)),
            SYMBOL: BrokerPosition(D(10), D(69_000)),
        }
        sold = await rig.broker.place(rig.approved("p", SELL, 10, 71_000))
        assert sold.ref is not None
        rig.kis.fill(sold.ref.number)
        assert list(await rig.broker.positions()) == ["000660"]
        assert SYMBOL in {one["pdno"] for one in rig.kis.made("inquire-balance")[-1].answer["output1"]}


async def test_all_pages_of_holdings_are_read(tmp_path: Path) -> None:
    async with served(tmp_path, settings=Settings(live_holdings=2)) as rig:
        for code in ("000660", SYMBOL, "035720"):
            if code not in rig.kis.market.listings:
                rig.kis.market.add(code, 50_000)
            rig.kis.hold(code, 5, 50_000)
        assert set(await rig.broker.positions()) == {"000660", SYMBOL, "035720"}


async def test_money_is_that_of_the_day_after_tomorrow_and_what_can_be_ordered_for(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        before = await rig.broker.balance()
        assert before == Balance("KRW", D(100_000_000), D(100_000_000))
        bought = await rig.broker.place(rig.approved("o", qty=10))
        assert bought.ref is not None
        rig.kis.fill(bought.ref.number)
        await rig.broker.place(rig.approved("p", qty=10))
        after = await rig.broker.balance()
        # 690,000 won and a fee of 96 (140 parts in a million, cut to the won) leave in two days
        assert after.cash == D(99_309_904)
        # and the open order holds as much back now
        assert after.orderable == D(98_619_808)


@pytest.mark.parametrize("name", ["orders", "positions", "balance", "holdings", "charges"])
@pytest.mark.parametrize("fault", ["http_502", "empty_body", "cut_before"])
async def test_without_an_answer_there_is_no_list(tmp_path: Path, name: str, fault: str) -> None:
    async with served(tmp_path, paper=True) as rig:
        await rig.broker.connect()
        rig.kis.fault(fault, times=2)  # the library asks again where a connection was cut
        arguments = {"charges": (DAY,)}.get(name, ())
        with pytest.raises(BrokerUnavailable):
            await getattr(rig.broker, name)(*arguments)


async def test_executions_have_no_numbers_so_none_are_listed(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        placed = await rig.broker.place(rig.approved("o"))
        assert placed.ref is not None
        rig.kis.fill(placed.ref.number)
        asked = len(rig.kis.requests)
        assert list(await rig.broker.fills_since(0)) == []
        assert len(rig.kis.requests) == asked, "and none is asked for"


@pytest.mark.parametrize(("paper", "lists"), [(True, 2), (False, 3)])
async def test_a_reading_of_all_books_asks_for_each_list_once(tmp_path: Path, paper: bool, lists: int) -> None:
    """Read twice, so that nothing has happened in between: 4 requests of a paper account."""
    async with served(tmp_path, paper=paper) as rig:
        await rig.broker.place(rig.approved("o"))
        before = len(rig.kis.requests)
        books = await read_books(rig.broker, lambda fill: fill)
        asked = [came.name for came in rig.kis.requests[before:]]
        assert (len(books.orders), len(asked)) == (1, 2 * lists)
        assert asked == asked[:lists] * 2
        assert len(set(asked)) == lists


async def test_a_paper_account_that_takes_one_request_a_second_refuses_none(tmp_path: Path) -> None:
    """The account is asked for everything at the pace of paper trading: 5 requests take 4 seconds at least."""
    async with served(tmp_path, paper=True) as rig:
        rig.kis.settings.paper_per_s = 1
        clock = rig.kis.clock
        broker = replace(rig.parts, pace=Pace(1, clock, rig.parts.pause)).broker()
        begun_ns = clock.time_ns()
        await broker.orders()
        await read_books(broker, lambda fill: fill)
        asked = [came.status for came in rig.kis.requests if came.name != "tokenP"]
        await broker.close()
    assert asked == [200] * 5
    assert clock.time_ns() - begun_ns >= 4 * NS_PER_S


async def test_shares_and_money_are_those_of_the_moment_of_the_question(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        first = await rig.broker.holdings()
        bought = await rig.broker.place(rig.approved("o", qty=10))
        assert bought.ref is not None
        rig.kis.fill(bought.ref.number)
        second = await rig.broker.holdings()
        assert first == Holdings({}, Balance("KRW", D(100_000_000), None))
        # 690,000 won and a fee of 96 leave in two days
        held = {SYMBOL: BrokerPosition(D(10), D(69_000))}
        assert second == Holdings(held, Balance("KRW", D(99_309_904), None))


async def test_a_list_may_be_late(tmp_path: Path) -> None:
    async with served(tmp_path, settings=Settings(list_lag_s=(3, 3))) as rig:
        await rig.broker.place(rig.approved("o"))
        assert list(await rig.broker.orders()) == []
        rig.kis.clock.jump(timedelta(seconds=3))
        assert len(await rig.broker.orders()) == 1


# -- costs


def costs(*rows: tuple[str, str, str]) -> Answer:
    output1 = [{"trad_dt": day, "fee": fee, "tl_tax": tax} for day, fee, tax in rows]
    return Answer({**DONE, "output1": output1, "output2": {}})


async def test_fees_and_taxes_of_a_day_are_summed_over_its_trades(tmp_path: Path) -> None:
    async with Wire() as wire:
        wire.answers.clear()
        wire.answers.append(costs(("20261020", "96", "0"), ("20261020", "99", "1420"), ("20261019", "5", "5")))
        broker = wire.parts(tmp_path, live=True).broker()
        assert await broker.charges(DAY) == Charges(D(195), D(1420))
        assert wire.asked[0].headers["tr_id"] == "TTTC8715R"
        await broker.close()


async def test_a_day_of_which_no_trade_is_listed_is_not_known_yet(tmp_path: Path) -> None:
    async with Wire() as wire:
        wire.answers.clear()
        wire.answers.append(costs())
        broker = wire.parts(tmp_path, live=True).broker()
        assert await broker.charges(DAY) is None
        await broker.close()


async def test_a_paper_account_does_not_tell_costs(tmp_path: Path) -> None:
    async with served(tmp_path, paper=True) as rig:
        assert await rig.broker.charges(DAY) is None


# -- connecting


async def test_connecting_asks_for_the_account(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        await rig.broker.connect()
        assert [came.name for came in rig.kis.requests] == ["tokenP", "inquire-daily-ccld", "inquire-psbl-rvsecncl"]


async def test_keys_that_are_refused_do_not_connect(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        rig.kis.access.customers.clear()
        with pytest.raises(BrokerUnavailable, match="EGW00103"):
            await rig.broker.connect()


async def test_an_account_that_is_none_of_the_keys_does_not_connect(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        rig.kis.access.customers[rig.kis.keys.appkey] = rig.kis.other_keys
        with pytest.raises(BrokerUnavailable):
            await rig.broker.connect()


async def test_closing_may_come_twice_and_before_anything_else(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        await rig.broker.close()
        await rig.broker.connect()
        await rig.broker.close()
        await rig.broker.close()
