"""Notices of orders: fields, cipher, order and what may happen to them."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import pytest

from tests.doubles.kis import KisDouble, Settings
from tests.doubles.kis.client import RawClient, RawSocket

SECOND = timedelta(seconds=1)


async def listening(client: RawClient) -> RawSocket:
    """Open a websocket that gets the notices of the customer."""
    socket = await client.connect()
    kis = client.kis
    answer = await socket.register("H0STCNI9" if kis.is_paper else "H0STCNI0", kis.keys.hts_id)
    assert answer["body"]["msg_cd"] == "OPSP0000"
    return socket


@pytest.mark.parametrize(("paper", "encrypted"), [(False, True), (False, False), (True, True)])
async def test_acceptance_and_fill_are_told_with_26_fields(paper: bool, encrypted: bool) -> None:
    settings = Settings(encrypted=encrypted)
    async with KisDouble(seed=1, paper=paper, settings=settings) as kis, RawClient(kis) as client:
        await client.sign_in()
        socket = await listening(client)
        assert (len(socket.cipher[0]), len(socket.cipher[1])) == (32, 16)
        # When an order is taken and filled
        kis.market.book("005930", [(69_900, 10)], [(70_000, 4)])
        number = (await client.order(ORD_UNPR="70000")).number
        accepted, filled = await socket.fields(), await socket.fields()
        # Then the acceptance has the order's quantity where a fill has its own
        assert len(accepted) == len(filled) == 26
        assert accepted[:3] == [kis.keys.hts_id, kis.keys.account + "01", number]
        assert [accepted[place] for place in (4, 5, 6, 8, 9, 12, 13, 14, 16)] == [
            "02", "0", "00", "005930", "10", "0", "1", "1", "",
        ]  # fmt: skip
        assert [filled[place] for place in (9, 10, 12, 13, 14, 16)] == ["4", "70000", "0", "2", "2", "10"]
        assert (filled[19], filled[25]) == ("1", "70000")
        assert filled[15] == "91252"
        await socket.close()


async def test_notices_had_23_fields_before_2025() -> None:
    settings = Settings(notice_width=23, encrypted=False)
    async with KisDouble(seed=1, settings=settings) as kis, RawClient(kis) as client:
        await client.sign_in()
        socket = await listening(client)
        await client.order()
        record = await socket.fields()
        assert len(record) == 23
        assert (record[18], record[22]) == ("삼성전자", "69000")
        await socket.close()


@pytest.mark.parametrize(("when", "first"), [("before", "notice"), ("after", "answer")])
async def test_a_notice_comes_before_the_answer_or_behind_it(when: str, first: str) -> None:
    async with (
        KisDouble(seed=1, speed=0, settings=Settings(notices=when)) as kis,
        RawClient(kis) as client,
    ):
        await client.sign_in()
        socket = await listening(client)
        # Given an answer that takes its time
        kis.fault("late", on="order-cash", seconds=1)
        answer = asyncio.create_task(client.order())
        if first == "notice":
            # Then the notice is there before the answer
            assert (await socket.fields())[13] == "1"
            assert not answer.done()
        kis.clock.jump(2 * SECOND)
        while not answer.done():
            await asyncio.sleep(0.01)
            kis.clock.jump(SECOND)
        assert (await answer).code == "APBK0013"
        if first == "answer":
            assert (await socket.fields())[13] == "1"
        await socket.close()


async def test_revise_cancel_end_and_refusal_are_told() -> None:
    async with KisDouble(seed=1, settings=Settings(encrypted=False)) as kis, RawClient(kis) as client:
        await client.sign_in()
        socket = await listening(client)
        first = (await client.order()).number
        second = (await client.revise(first, 69_100)).number
        third = (await client.cancel(second)).number
        fourth = (await client.order(ORD_DVSN="11")).number
        fifth = (await client.order()).number
        kis.trading.reject(kis.books.order(fifth))
        told = [await socket.fields() for _ in range(9)]
        assert [(one[2], one[3], one[5], one[9], one[12], one[14]) for one in told] == [
            (first, "", "0", "10", "0", "1"),
            (second, first, "1", "10", "0", "1"),
            (second, first, "1", "10", "0", "2"),
            (third, second, "2", "10", "0", "1"),
            (third, second, "2", "10", "0", "2"),
            (fourth, "", "0", "10", "0", "1"),
            (fourth, "", "0", "10", "0", "3"),
            (fifth, "", "0", "10", "0", "1"),
            (fifth, "", "0", "10", "1", "1"),
        ]
        assert [one[7] for one in told[5:7]] == ["1", "1"]
        await socket.close()


@pytest.mark.parametrize(
    ("venue", "route", "shown"),
    [("KRX", "KRX", "1"), ("NXT", "KRX", "2"), ("SOR", "KRX", "3"), ("SOR", "NXT", "4")],
)
async def test_a_notice_says_where_an_order_went(venue: str, route: str, shown: str) -> None:
    settings = Settings(encrypted=False, sor_routes=route)
    async with KisDouble(seed=1, settings=settings) as kis, RawClient(kis) as client:
        await client.sign_in()
        socket = await listening(client)
        await client.order(EXCG_ID_DVSN_CD=venue)
        assert (await socket.fields())[19] == shown
        await socket.close()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("notice_dropped", ["2", "3"]),
        ("notice_doubled", ["1", "1", "2", "3"]),
        ("notice_swapped", ["2", "1", "3"]),
        ("notice_late", ["2", "3", "1"]),
    ],
)
async def test_notices_are_dropped_doubled_swapped_and_late(fault: str, expected: list[str]) -> None:
    # Given an order, and a fault at the first of three fills of 1, 2 and 3 shares
    settings = Settings(encrypted=False, matching="told")
    async with KisDouble(seed=1, speed=0, settings=settings) as kis, RawClient(kis) as client:
        await client.sign_in()
        socket = await listening(client)
        number = (await client.order()).number
        await socket.fields()
        waits = kis.fault(fault, kind="fill", number=number, seconds=1)
        for qty in (1, 2, 3):
            kis.fill(number, qty)
        await kis.written()
        kis.clock.jump(SECOND)
        assert [(await socket.fields())[9] for _ in expected] == expected
        assert (waits.fired, kis.faults.happened) == (1, [fault])
        # And the books know all of them, and PINGPONG goes on
        assert kis.books.order(number).filled == 6
        kis.clock.jump(10 * SECOND)
        assert json.loads(await socket.text())["header"]["tr_id"] == "PINGPONG"
        await socket.close()


async def test_two_fills_of_one_second_look_alike() -> None:
    settings = Settings(encrypted=False, matching="told")
    async with KisDouble(seed=1, speed=0, settings=settings) as kis, RawClient(kis) as client:
        await client.sign_in()
        socket = await listening(client)
        number = (await client.order()).number
        await socket.fields()
        kis.fill(number, 2)
        kis.fill(number, 2)
        assert await socket.fields() == await socket.fields()
        kis.notices.repeat()
        assert (await socket.fields())[9] == "2"
        assert (await client.daily()).body["output1"][0]["tot_ccld_qty"] == "4"
        await socket.close()


@pytest.mark.parametrize(("named", "shown"), [(True, ("1", True)), (False, ("0", False))])
async def test_a_fill_of_a_revised_order_may_name_it(named: bool, shown: tuple[str, bool]) -> None:
    settings = Settings(encrypted=False, fills_name_revises=named, conditions=("", "I", "F"))
    async with KisDouble(seed=1, settings=settings) as kis, RawClient(kis) as client:
        await client.sign_in()
        socket = await listening(client)
        first = (await client.order()).number
        second = (await client.revise(first, 69_100)).number
        kis.fill(second)
        record = [await socket.fields() for _ in range(4)][-1]
        assert (record[2], record[5], record[3] == first, record[7]) == (second, *shown, "")
        await socket.close()


async def test_orders_from_elsewhere_are_told_too() -> None:
    async with KisDouble(seed=1, settings=Settings(encrypted=False)) as kis, RawClient(kis) as client:
        await client.sign_in()
        socket = await listening(client)
        order = kis.by_hand("buy", "000660", 3, 199_000)
        assert (await socket.fields())[2] == order.number
        assert kis.requests[-1].name != "order-cash"
        await socket.close()


@pytest.mark.parametrize("told", [False, True])
async def test_the_end_of_an_order_with_its_day_may_be_told(told: bool) -> None:
    settings = Settings(encrypted=False, expiry_is_told=told)
    async with KisDouble(seed=1, speed=0, settings=settings) as kis, RawClient(kis) as client:
        await client.sign_in()
        socket = await listening(client)
        number = (await client.order(ORD_DVSN="00")).number
        await socket.fields()
        kis.clock.jump_to(kis.clock.at("15:30"))
        kis.schedule.catch_up()
        # Then it is, or the next text is the last notice again
        kis.notices.repeat()
        record = await socket.fields()
        assert (record[2], record[13], record[14]) == (number, "1", "2" if told else "1")
        await socket.close()
