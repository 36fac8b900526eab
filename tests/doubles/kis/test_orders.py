"""Orders: numbers, fills, revises and cancels, and each refusal."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.doubles.kis import KST, KisDouble, Settings
from tests.doubles.kis.client import RawClient

SECOND = timedelta(seconds=1)


def at(hour: int, minute: int, day: int = 20) -> datetime:
    return datetime(2026, 10, day, hour, minute, tzinfo=KST)


# -- orders that are taken ---------------------------------------------------------------------------------------


async def test_an_order_that_meets_the_book_fills_level_by_level() -> None:
    # Given a book with 300 shares at 70,000 and 1,000 at 70,100
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        kis.market.book("005930", [(69_900, 500)], [(70_000, 300), (70_100, 1_000)])
        # When 400 are bought up to 70,100
        number = (await client.order(ORD_QTY="400", ORD_UNPR="70100")).number
        # Then 300 cost 70,000 and 100 cost 70,100
        order = kis.books.order(number)
        assert [(one.qty, one.price) for one in kis.books.fills] == [(300, 70_000), (100, 70_100)]
        assert (order.filled, order.amount, order.rest) == (400, 28_010_000, 0)
        assert kis.market["005930"].krx.asks == [(70_100, 900)]
        # And the holding and the money of D+2 are right: 140 won of a million are the fee, 3,921.4 cut
        balance = (await client.balance()).body
        assert balance["output1"][0]["hldg_qty"] == "400"
        assert balance["output1"][0]["pchs_avg_pric"] == "70025.0000"
        assert balance["output2"][0]["prvs_rcdl_excc_amt"] == str(100_000_000 - 28_010_000 - 3_921)
        assert balance["output2"][0]["dnca_tot_amt"] == "100000000"


async def test_a_waiting_order_fills_by_trades_of_others() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        number = (await client.order(ORD_QTY="10", ORD_UNPR="69500")).number
        kis.market.trade("005930", 69_600, 100, side="5")
        assert kis.books.order(number).filled == 0
        kis.market.trade("005930", 69_500, 4, side="5")
        kis.market.trade("005930", 69_400, 100, side="5")
        assert [(one.qty, one.price) for one in kis.books.fills] == [(4, 69_500), (6, 69_500)]


async def test_orders_fill_as_they_are_told() -> None:
    async with KisDouble(seed=1, settings=Settings(matching="told")) as kis, RawClient(kis) as client:
        await client.sign_in()
        number = (await client.order(ORD_UNPR="70500")).number
        assert kis.books.order(number).rest == 10
        kis.fill(number, 3, 70_400)
        kis.fill(number)
        assert [(one.qty, one.price) for one in kis.books.fills] == [(3, 70_400), (7, 70_500)]


@pytest.mark.parametrize(
    ("kind", "price", "filled", "left"),
    [
        ("00", "70000", 300, 100), ("01", "0", 400, 0), ("03", "0", 300, 100), ("04", "0", 0, 400),
        ("11", "70000", 300, 0), ("12", "70000", 0, 0), ("12", "70100", 400, 0), ("13", "0", 400, 0),
        ("14", "0", 400, 0), ("15", "0", 300, 0), ("16", "0", 0, 0), ("21", "0", 0, 400),
    ],
)  # fmt: skip
async def test_each_kind_of_order_takes_what_it_may(kind: str, price: str, filled: int, left: int) -> None:
    # Given 300 shares at 70,000 and 1,000 at 70,100
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        kis.market.book("005930", [(69_800, 500)], [(70_000, 300), (70_100, 1_000)])
        # When 400 are bought
        number = (await client.order(ORD_QTY="400", ORD_UNPR=price, ORD_DVSN=kind)).number
        # Then this much is filled and waits; what IOC and FOK leave has ended
        order = kis.books.order(number)
        assert (order.filled, order.rest) == (filled, left)
        assert order.cancelled == 400 - filled - left


async def test_a_stop_limit_waits_for_its_trigger() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        number = (await client.order(ORD_DVSN="22", ORD_UNPR="70600", CNDT_PRIC="70500")).number
        kis.market.quote("005930", 70_200, 70_300)
        assert kis.books.order(number).filled == 0
        kis.market.trade("005930", 70_500)
        kis.market.trade("005930", 70_500)
        assert kis.books.order(number).filled == 10


async def test_a_revise_and_a_cancel_have_numbers_of_their_own() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        first = (await client.order(ORD_QTY="10")).number
        # When four of ten are revised, and then all that is left of both is cancelled
        second = (await client.revise(first, 69_100, ORD_QTY="4", QTY_ALL_ORD_YN="N")).number
        assert (kis.books.order(first).rest, kis.books.order(second).rest) == (6, 4)
        third = (await client.cancel(second)).number
        fourth = (await client.cancel(first, ORD_QTY="1", QTY_ALL_ORD_YN="N")).number
        # Then there are four numbers, and five shares of the first wait
        assert len({first, second, third, fourth}) == 4
        assert (kis.books.order(first).rest, kis.books.order(second).rest) == (5, 0)
        # And the rows say so
        rows = {row["odno"]: row for row in await client.every_daily()}
        assert rows[second]["orgn_odno"] == first
        assert (rows[second]["ord_qty"], rows[second]["cnc_cfrm_qty"], rows[second]["cncl_yn"]) == ("4", "4", "Y")
        assert (rows[third]["orgn_odno"], rows[third]["rmn_qty"]) == (second, "0")
        assert (rows[first]["rmn_qty"], rows[first]["cnc_cfrm_qty"]) == ("5", "1")


async def test_a_cancel_that_takes_time_loses_against_a_fill() -> None:
    async with (
        KisDouble(seed=1, speed=0, settings=Settings(cancel_confirm_s=2)) as kis,
        RawClient(kis) as client,
    ):
        await client.sign_in()
        number = (await client.order()).number
        cancel = (await client.cancel(number)).number
        kis.fill(number)
        kis.clock.jump(2 * SECOND)
        await client.price()
        assert kis.books.order(number).filled == 10
        assert kis.books.order(cancel).rejected == 10


async def test_numbers_begin_again_each_day_unless_they_do_not() -> None:
    async with KisDouble(seed=1, speed=0) as kis, RawClient(kis) as client:
        await client.sign_in()
        first = int((await client.order()).number)
        kis.clock.jump(timedelta(days=1))
        kis.access.expire()
        await client.sign_in()
        assert abs(int((await client.order()).number) - first) < 10
        assert len(kis.books.orders) == 2


async def test_the_exchange_may_refuse_an_order_later() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        number = (await client.order()).number
        kis.trading.reject(kis.books.order(number))
        assert (await client.daily()).body["output1"][0]["rjct_qty"] == "10"


async def test_an_answer_to_a_revise_may_have_keys_in_lower_case() -> None:
    async with KisDouble(seed=1, settings=Settings(lower_case_answers=True)) as kis, RawClient(kis) as client:
        await client.sign_in()
        number = (await client.order()).number
        assert set((await client.cancel(number)).body["output"]) == {"krx_fwdg_ord_orgno", "odno", "ord_tmd"}


# -- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"PDNO": "999999"}, "APBK0656", "해당종목정보가 없습니다."),
        ({"ORD_UNPR": "69050"}, "APBK0510", "주식주문호가단위 오류입니다."),
        ({"ORD_UNPR": "91100"}, "APBK0406", "상한가를 초과한 주문단가입니다."),
        ({"ORD_UNPR": "48950"}, "APBK0407", "하한가 미만인 주문단가입니다."),
        ({"ORD_UNPR": "0"}, "APBK0403", "주문단가를 확인하세요."),
        ({"ORD_DVSN": "01"}, "APBK0403", "주문단가를 확인하세요."),
        ({"ORD_DVSN": "22", "CNDT_PRIC": ""}, "APBK0403", "주문단가를 확인하세요."),
        ({"ORD_QTY": "0"}, "APBK0401", "주문수량을 확인하세요."),
        ({"ORD_QTY": "1.5"}, "APBK0401", "주문수량을 확인하세요."),
        ({"ORD_QTY": "-1"}, "APBK0401", "주문수량을 확인하세요."),
        ({"ORD_QTY": "2000"}, "APBK0952", "주문가능금액을 초과 했습니다"),
        ({"EXCG_ID_DVSN_CD": "NYSE"}, "APBK1944", "거래소ID구분코드를 확인하세요."),
        ({"ORD_DVSN": "99"}, "APBK1943", "해당 거래소에서 사용할 수 없는 주문구분입니다."),
        ({"ORD_DVSN": "41"}, "APBK3013", "현재 시간에 사용할 수 없는 주문구분입니다."),
        ({"ORD_DVSN": "06", "ORD_UNPR": "0"}, "APBK3013", "현재 시간에 사용할 수 없는 주문구분입니다."),
        ({"EXCG_ID_DVSN_CD": "NXT", "ORD_DVSN": "01", "ORD_UNPR": "0"}, "APBK1943", None),
        ({"EXCG_ID_DVSN_CD": "NXT", "ORD_DVSN": "27"}, "APBK3013", None),
        ({"EXCG_ID_DVSN_CD": "SOR", "ORD_DVSN": "02"}, "APBK1943", None),
        ({"EXCG_ID_DVSN_CD": "SOR", "ORD_DVSN": "21", "ORD_UNPR": "0"}, "APBK1943", None),
    ],
)
async def test_an_order_that_breaks_a_rule_is_refused(changes: dict[str, str], code: str, text: str | None) -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        reply = await client.order(**changes)
        assert (reply.status, reply.code) == (200, code)
        assert reply.body["rt_cd"] == ("7" if code == "APBK0952" else "1")
        assert text in (None, reply.text)
        assert kis.books.orders == {}


async def test_more_than_is_held_is_not_sold() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        # Given nothing, then ten shares of which six are for sale already
        assert (await client.order("sell", ORD_UNPR="71000")).code == "APBK0400"
        kis.hold("005930", 10, 60_000)
        assert (await client.order("sell", ORD_UNPR="71000", ORD_QTY="6")).code == "APBK0013"
        # Then five more are refused and four are taken
        reply = await client.order("sell", ORD_UNPR="71000", ORD_QTY="5")
        assert (reply.code, reply.text) == ("APBK0400", "주문 가능한 수량을 초과했습니다.")
        assert (await client.order("sell", ORD_UNPR="71000", ORD_QTY="4")).code == "APBK0013"
        sell_type = await client.order("sell", ORD_UNPR="71000", SLL_TYPE="99")
        assert sell_type.body["rt_cd"] == "1"


async def test_an_order_at_the_market_is_counted_at_the_upper_limit() -> None:
    # Given 1,000,000 won and a price of 70,000, whose upper limit is 91,000
    async with KisDouble(seed=1, cash=1_000_000) as kis, RawClient(kis) as client:
        await client.sign_in()
        # Then ten can be bought at the market, for 910,000 and a fee of 127, and eleven cannot
        assert (await client.buyable(0, "01")).body["output"]["nrcvb_buy_qty"] == "10"
        assert (await client.order(ORD_DVSN="01", ORD_UNPR="0", ORD_QTY="11")).code == "APBK0952"
        assert (await client.order(ORD_DVSN="01", ORD_UNPR="0", ORD_QTY="10")).code == "APBK0013"


async def test_money_of_open_orders_is_not_spent_twice() -> None:
    async with KisDouble(seed=1, cash=1_000_000) as kis, RawClient(kis) as client:
        await client.sign_in()
        number = (await client.order(ORD_QTY="10", ORD_UNPR="69000")).number
        assert (await client.order(ORD_QTY="5", ORD_UNPR="69000")).code == "APBK0952"
        assert (await client.revise(number, 69_500)).code == "APBK0013"
        assert (await client.balance()).body["output2"][0]["prvs_rcdl_excc_amt"] == "1000000"


@pytest.mark.parametrize(
    ("setting", "price", "refused"),
    [
        ("crossing", "70500", True),
        ("crossing", "70400", False),
        ("opposite", "70400", True),
        ("off", "70500", False),
    ],
)
async def test_an_order_that_would_meet_our_own_is_refused(setting: str, price: str, refused: bool) -> None:
    # Given our own sale at 70,500, which the market does not reach
    async with (
        KisDouble(seed=1, settings=Settings(wash=setting, matching="told")) as kis,
        RawClient(kis) as client,
    ):
        await client.sign_in()
        kis.hold("005930", 10, 60_000)
        assert (await client.order("sell", ORD_UNPR="70500")).code == "APBK0013"
        # When we buy at a price that meets it, or does not
        reply = await client.order(ORD_UNPR=price)
        # Then it is refused as a trade with oneself
        assert (reply.body["rt_cd"] != "0") is refused
        assert ("자전거래" in reply.text) is refused


async def test_a_buy_at_the_market_meets_any_sale_of_ours() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        kis.hold("005930", 10, 60_000)
        await client.order("sell", ORD_UNPR="80000")
        assert "자전거래" in (await client.order(ORD_DVSN="01", ORD_UNPR="0")).text


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ORGN_ODNO": "0000000001"}, "APBK0344"),
        ({"KRX_FWDG_ORD_ORGNO": "00000"}, "APBK0344"),
        ({"EXCG_ID_DVSN_CD": "NXT"}, "APBK0345"),
        ({"QTY_ALL_ORD_YN": "N", "ORD_QTY": "11"}, "APBK0928"),
        ({"QTY_ALL_ORD_YN": "N", "ORD_QTY": "0"}, "APBK0401"),
    ],
)
async def test_a_cancel_that_names_another_order_is_refused(changes: dict[str, str], code: str) -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        number = (await client.order()).number
        reply = await client.cancel(number, **changes)
        assert (reply.body["rt_cd"] != "0", reply.code) == (True, code)
        assert kis.books.order(number).rest == 10


async def test_only_the_newest_number_can_be_cancelled_and_only_once() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        first = (await client.order()).number
        second = (await client.revise(first, 69_100)).number
        reply = await client.cancel(first)
        assert (reply.code, reply.text) == ("APBK0927", "정정/취소할 수량이 없습니다.")
        assert (await client.cancel(second)).code == "APBK0013"
        assert (await client.cancel(second)).code == "APBK0927"


@pytest.mark.parametrize(
    ("setting", "taken"), [("routed", {"NXT"}), ("asked", {"SOR"}), ("either", {"NXT", "SOR"})]
)
async def test_the_cancel_of_a_routed_order_names_where_it_is(setting: str, taken: set[str]) -> None:
    # Given orders for SOR that were routed to NXT
    settings = Settings(sor_routes="NXT", cancel_venue=setting)
    async with KisDouble(seed=1, settings=settings) as kis, RawClient(kis) as client:
        await client.sign_in()
        found = set()
        for venue in ("KRX", "NXT", "SOR"):
            number = (await client.order(EXCG_ID_DVSN_CD="SOR")).number
            reply = await client.cancel(number, EXCG_ID_DVSN_CD=venue)
            if reply.body["rt_cd"] == "0":
                found.add(venue)
            else:
                text = f"취소주문 불가합니다. 원주문 거래소[NXT] 취소주문 거래소[{venue}]"
                assert (reply.body["rt_cd"], reply.text) == ("7", text)
        assert found == taken


@pytest.mark.parametrize(
    ("moment", "changes", "code"),
    [
        (at(8, 0), {}, "APBK0918"),
        (at(8, 35), {}, "APBK0013"),
        (at(8, 35), {"ORD_DVSN": "05", "ORD_UNPR": "0"}, "APBK0013"),
        (at(8, 45), {"ORD_DVSN": "05", "ORD_UNPR": "0"}, "APBK3013"),
        (at(8, 35), {"ORD_DVSN": "11"}, "APBK3013"),
        (at(8, 10), {"EXCG_ID_DVSN_CD": "NXT"}, "APBK0013"),
        (at(8, 10), {"EXCG_ID_DVSN_CD": "NXT", "ORD_DVSN": "27"}, "APBK0013"),
        (at(8, 55), {"EXCG_ID_DVSN_CD": "NXT"}, "APBK0918"),
        (at(8, 10), {"EXCG_ID_DVSN_CD": "SOR"}, "APBK0013"),
        (at(15, 25), {}, "APBK0013"),
        (at(15, 25), {"ORD_DVSN": "03", "ORD_UNPR": "0"}, "APBK3013"),
        (at(15, 25), {"EXCG_ID_DVSN_CD": "NXT"}, "APBK0918"),
        (at(15, 45), {"ORD_DVSN": "06", "ORD_UNPR": "0"}, "APBK0013"),
        (at(15, 45), {}, "APBK3013"),
        (at(16, 30), {"ORD_DVSN": "41"}, "APBK0013"),
        (at(16, 30), {"ORD_DVSN": "44", "ORD_UNPR": "0"}, "APBK0013"),
        (at(16, 30), {"ORD_DVSN": "01", "ORD_UNPR": "0"}, "APBK3013"),
        (at(16, 30), {"EXCG_ID_DVSN_CD": "NXT"}, "APBK0013"),
        (at(20, 1), {"ORD_DVSN": "41"}, "APBK0918"),
        (at(10, 0, 24), {}, "APBK0919"),
        (datetime(2026, 9, 11, 16, 30, tzinfo=KST), {"ORD_DVSN": "07"}, "APBK0013"),
        (datetime(2026, 9, 11, 16, 30, tzinfo=KST), {"ORD_DVSN": "41"}, "APBK3013"),
        (datetime(2026, 11, 19, 9, 30, tzinfo=KST), {"ORD_DVSN": "11"}, "APBK3013"),
        (datetime(2026, 11, 19, 16, 10, tzinfo=KST), {}, "APBK0013"),
    ],
)
async def test_each_session_takes_its_own_kinds(moment: datetime, changes: dict[str, str], code: str) -> None:
    async with KisDouble(seed=1, start=moment, speed=0) as kis, RawClient(kis) as client:
        await client.sign_in()
        assert (await client.order(**changes)).code == code


async def test_the_market_can_be_open_always() -> None:
    night = datetime(2026, 10, 24, 3, 0, tzinfo=KST)
    async with (
        KisDouble(seed=1, start=night, speed=0, settings=Settings(always_open=True)) as kis,
        RawClient(kis) as client,
    ):
        await client.sign_in()
        socket = await client.connect()
        await socket.register("H0STCNT0", "005930")
        number = (await client.order(ORD_UNPR="70000")).number
        assert kis.books.order(number).filled == 10
        record = await socket.fields()
        assert (record[1], record[34], record[46]) == ("030000", "20", "2")
        waiting = (await client.order(ORD_UNPR="69000")).number
        kis.clock.jump(timedelta(hours=18))
        kis.schedule.catch_up()
        assert kis.books.order(waiting).rest == 10
        await socket.close()


@pytest.mark.parametrize(
    ("moment", "code", "text"),
    [
        (at(8, 45), "40570000", "모의투자 장시작전 입니다."),
        (at(15, 31), "40580000", "모의투자 장종료 입니다."),
        (at(10, 0, 25), "40100000", "모의투자 영업일이 아닙니다."),
        (at(10, 0), "40600000", "모의투자 매수주문이 완료 되었습니다."),
    ],
)
async def test_the_paper_host_has_texts_and_hours_of_its_own(moment: datetime, code: str, text: str) -> None:
    async with KisDouble(seed=1, paper=True, start=moment) as kis, RawClient(kis) as client:
        await client.sign_in()
        reply = await client.order()
        assert (reply.code, reply.text) == (code, text)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"EXCG_ID_DVSN_CD": "NXT"}, "90000000"),
        ({"EXCG_ID_DVSN_CD": "SOR"}, "90000000"),
        ({"ORD_DVSN": "11"}, "40060000"),
        ({"ORD_DVSN": "21", "ORD_UNPR": "0"}, "40060000"),
        ({"ORD_UNPR": "69050"}, "40030000"),
        ({"ORD_QTY": "9999"}, "40250000"),
    ],
)
async def test_the_paper_host_takes_the_regular_kinds_at_the_exchange(changes: dict[str, str], code: str) -> None:
    async with KisDouble(seed=1, paper=True) as kis, RawClient(kis) as client:
        await client.sign_in()
        assert (await client.order(**changes)).code == code


@pytest.mark.parametrize(
    ("side", "bid", "ask", "venue"),
    [("buy", 69_900, 70_000, "KRX"), ("buy", 69_800, 69_900, "NXT"), ("sell", 70_000, 70_100, "NXT"),
     ("sell", 69_800, 69_900, "KRX")],
)  # fmt: skip
async def test_an_order_for_sor_goes_where_the_price_is_better(side: str, bid: int, ask: int, venue: str) -> None:
    # Given 69,900 to 70,000 at the exchange
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        kis.hold("005930", 10, 60_000)
        kis.market.quote("005930", bid, ask, venue="NXT")
        price = "70000" if side == "buy" else "69900"
        number = (await client.order(side, EXCG_ID_DVSN_CD="SOR", ORD_UNPR=price)).number
        order = kis.books.order(number)
        assert (order.venue, order.routed, order.filled) == ("SOR", venue, 10)


async def test_a_name_that_the_other_venue_does_not_trade_is_refused_there() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        kis.market.add("123450", 69_000, on_nxt=False)
        assert (await client.order(PDNO="123450", EXCG_ID_DVSN_CD="NXT")).code == "APBK1945"
        number = (await client.order(PDNO="123450", EXCG_ID_DVSN_CD="SOR")).number
        assert kis.books.order(number).routed == "KRX"


async def test_codes_of_refusals_can_be_all_the_same() -> None:
    settings = Settings(shared_code="APBK0918", business_status=500)
    async with KisDouble(seed=1, settings=settings) as kis, RawClient(kis) as client:
        await client.sign_in()
        cash, tick = await client.order(ORD_QTY="9999"), await client.order(ORD_UNPR="69050")
        assert (cash.status, cash.code, tick.code) == (500, "APBK0918", "APBK0918")
        assert cash.text != tick.text
