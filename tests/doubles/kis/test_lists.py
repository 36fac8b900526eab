"""Lists of orders and holdings: pages, what is cumulative, what lags, and how they can lie."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.doubles.kis import KisDouble, Settings
from tests.doubles.kis.books import Account
from tests.doubles.kis.client import TRADING, RawClient
from tests.doubles.kis.clock import OPEN_DAY
from tests.doubles.kis.rules import Wanted

SECOND = timedelta(seconds=1)


async def pages(client: RawClient) -> list[tuple[str, int]]:
    """Read all pages of today's orders: the header of each, and how many rows it has."""
    found = []
    reply = await client.daily()
    while True:
        found.append((reply.headers["tr_cont"], len(reply.body["output1"])))
        if reply.headers["tr_cont"] in ("D", "E"):
            return found
        client.kis.clock.jump(SECOND)
        reply = await client.daily("N", CTX_AREA_FK100=reply.body["ctx_area_fk100"],
                                   CTX_AREA_NK100=reply.body["ctx_area_nk100"])  # fmt: skip


def many(kis: KisDouble, count: int) -> list[str]:
    """Place orders that do not fill, and return their numbers."""
    kis.account.cash = 10**12
    return [kis.by_hand("buy", "005930", 1, 60_000).number for _ in range(count)]


@pytest.mark.parametrize(
    ("paper", "count", "expected"),
    [
        (False, 0, [("D", 0)]),
        (False, 100, [("D", 100)]),
        (False, 101, [("F", 100), ("E", 1)]),
        (False, 250, [("F", 100), ("M", 100), ("E", 50)]),
        (True, 15, [("D", 15)]),
        (True, 31, [("F", 15), ("M", 15), ("E", 1)]),
    ],
)
async def test_orders_come_in_pages(paper: bool, count: int, expected: list[tuple[str, int]]) -> None:
    async with KisDouble(seed=1, paper=paper, speed=0) as kis, RawClient(kis) as client:
        await client.sign_in()
        many(kis, count)
        assert await pages(client) == expected


async def test_a_new_order_between_two_pages_moves_no_row() -> None:
    async with KisDouble(seed=1, settings=Settings(live_rows=2)) as kis, RawClient(kis) as client:
        await client.sign_in()
        numbers = many(kis, 4)
        first = await client.daily()
        many(kis, 1)
        keys = {name.upper(): first.body[name] for name in ("ctx_area_fk100", "ctx_area_nk100")}
        second = await client.daily("N", **keys)
        rows = first.body["output1"] + second.body["output1"]
        assert [row["odno"] for row in rows] == numbers[::-1]
        # And keys without the header tr_cont N give the first page again, unless they are enough
        again = await client.daily("", **keys)
        assert again.body["output1"][0]["odno"] != numbers[-1]
        assert again.headers["tr_cont"] == "F"
        kis.settings.pages_need_header = False
        assert (await client.daily("", **keys)).body["output1"] == second.body["output1"]


async def test_pages_that_are_counted_show_a_row_twice_when_an_order_comes() -> None:
    async with (
        KisDouble(seed=1, settings=Settings(live_rows=2, pages_by="offset")) as kis,
        RawClient(kis) as client,
    ):
        await client.sign_in()
        numbers = many(kis, 4)
        first = await client.daily()
        many(kis, 1)
        keys = {name.upper(): first.body[name] for name in ("ctx_area_fk100", "ctx_area_nk100")}
        second = await client.daily("N", **keys)
        rows = [row["odno"] for row in first.body["output1"] + second.body["output1"]]
        assert rows == [numbers[3], numbers[2], numbers[2], numbers[1]]


@pytest.mark.parametrize(("paper", "size"), [(False, 50), (True, 20)])
async def test_holdings_come_in_pages(paper: bool, size: int) -> None:
    async with KisDouble(seed=1, paper=paper, speed=0) as kis, RawClient(kis) as client:
        await client.sign_in()
        for number in range(size + 1):
            kis.market.add(f"1{number:05}", 10_000)
            kis.hold(f"1{number:05}", 1, 10_000)
        first = await client.balance()
        assert (first.headers["tr_cont"], len(first.body["output1"])) == ("F", size)
        kis.clock.jump(SECOND)
        keys = {name.upper(): first.body[name] for name in ("ctx_area_fk100", "ctx_area_nk100")}
        second = await client.balance("N", **keys)
        assert (second.headers["tr_cont"], len(second.body["output1"])) == ("E", 1)


async def test_the_rows_of_orders_can_be_chosen() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        kis.hold("000660", 5, 100_000)
        bought = (await client.order(ORD_UNPR="70000")).number
        waiting = (await client.order()).number
        sold = (await client.order("sell", PDNO="000660", ORD_QTY="5", ORD_UNPR="210000")).number
        at_nxt = (await client.order(EXCG_ID_DVSN_CD="NXT")).number

        async def chosen(**query: str) -> list[str]:
            return [row["odno"] for row in (await client.daily(INQR_DVSN="01", **query)).body["output1"]]

        assert await chosen() == [bought, waiting, sold, at_nxt]
        assert await chosen(CCLD_DVSN="01") == [bought]
        assert await chosen(CCLD_DVSN="02") == [waiting, sold, at_nxt]
        assert await chosen(SLL_BUY_DVSN_CD="01") == [sold]
        assert await chosen(PDNO="000660") == [sold]
        assert await chosen(ODNO=waiting.lstrip("0")) == [waiting]
        assert await chosen(EXCG_ID_DVSN_CD="NXT") == [at_nxt]
        assert await chosen(EXCG_ID_DVSN_CD="") == [bought, waiting, sold]
        assert await chosen(INQR_END_DT="20261019") == []
        kis.settings.empty_venue = "ALL"
        assert await chosen(EXCG_ID_DVSN_CD="") == [bought, waiting, sold, at_nxt]
        open_rows = (await client.open_orders()).body["output"]
        assert {row["odno"]: (row["psbl_qty"], row["excg_id_dvsn_cd"]) for row in open_rows} == {
            waiting: ("10", "KRX"), sold: ("5", "KRX"), at_nxt: ("10", "NXT"),
        }  # fmt: skip


async def test_the_list_of_open_orders_is_not_on_the_paper_host() -> None:
    async with KisDouble(seed=1, paper=True) as kis, RawClient(kis) as client:
        await client.sign_in()
        reply = await client.open_orders()
        assert (reply.status, reply.code) == (500, "EGW00203")


async def test_what_was_filled_is_cumulative() -> None:
    async with KisDouble(seed=1, settings=Settings(matching="told")) as kis, RawClient(kis) as client:
        await client.sign_in()
        number = (await client.order(ORD_UNPR="70500")).number
        kis.fill(number, 3, 70_000)
        kis.fill(number, 4, 70_100)
        (row,) = (await client.daily()).body["output1"]
        assert (row["ord_qty"], row["tot_ccld_qty"], row["rmn_qty"]) == ("10", "7", "3")
        assert (row["tot_ccld_amt"], row["avg_prvs"]) == ("490400", "70057")


async def test_an_order_is_in_lists_only_after_a_while() -> None:
    settings = Settings(list_lag_s=(10, 10))
    async with KisDouble(seed=1, speed=0, settings=settings) as kis, RawClient(kis) as client:
        await client.sign_in()
        await client.order()
        kis.clock.jump(9 * SECOND)
        assert (await client.daily()).body["output1"] == []
        assert (await client.open_orders()).body["output"] == []
        kis.clock.jump(SECOND)
        assert len((await client.daily()).body["output1"]) == 1


async def test_fills_come_late_into_rows_and_into_the_balance() -> None:
    settings = Settings(fill_lag_s=3, holdings_lag_s=5, matching="told")
    async with KisDouble(seed=1, speed=0, settings=settings) as kis, RawClient(kis) as client:
        await client.sign_in()
        kis.hold("005930", 1, 60_000)
        kis.fill((await client.order(ORD_UNPR="70000")).number, 4)

        async def seen() -> tuple[str, str, str]:
            row = (await client.daily()).body["output1"][0]
            return row["tot_ccld_qty"], row["rmn_qty"], (await client.balance()).body["output1"][0]["hldg_qty"]

        assert await seen() == ("0", "10", "1")
        kis.clock.jump(3 * SECOND)
        assert await seen() == ("4", "6", "1")
        kis.clock.jump(2 * SECOND)
        assert await seen() == ("4", "6", "5")


async def test_a_fill_can_be_taken_back() -> None:
    async with KisDouble(seed=1, settings=Settings(matching="told")) as kis, RawClient(kis) as client:
        await client.sign_in()
        number = (await client.order(ORD_UNPR="70000")).number
        fill = kis.fill(number, 4)
        kis.fill(number, 1)
        kis.books.bust(fill)
        row, balance = (await client.daily()).body["output1"][0], (await client.balance()).body
        assert (row["tot_ccld_qty"], row["rmn_qty"]) == ("1", "9")
        names = ("hldg_qty", "thdt_buyqty", "thdt_sll_qty", "pchs_amt")
        assert [balance["output1"][0][name] for name in names] == ["1", "1", "0", "70000"]
        # 140 won of a million are the fee: 9.8, cut
        assert balance["output2"][0]["prvs_rcdl_excc_amt"] == str(100_000_000 - 70_000 - 9)


async def test_the_row_of_a_revised_order_may_count_it_as_cancelled() -> None:
    settings = Settings(revise_counts_as_cancel=True)
    async with KisDouble(seed=1, settings=settings) as kis, RawClient(kis) as client:
        await client.sign_in()
        first = (await client.order()).number
        await client.revise(first, 69_100)
        row = (await client.daily(ODNO=first)).body["output1"][0]
        assert (row["cnc_cfrm_qty"], row["rmn_qty"], row["cncl_yn"]) == ("10", "0", "N")


async def test_a_row_may_say_that_an_order_was_smaller_and_is_complete() -> None:
    # Given 1,147 ordered, of which 40 are filled
    async with KisDouble(seed=1, settings=Settings(matching="told")) as kis, RawClient(kis) as client:
        await client.sign_in()
        number = (await client.order(ORD_QTY="1147")).number
        kis.fill(number, 40)
        kis.fault("row_shrinks", number=number)
        # When it is asked for, twice
        (lie,), (truth,) = (await client.daily()).body["output1"], (await client.daily()).body["output1"]
        # Then the first answer says 40 of 40
        assert [lie[name] for name in ("ord_qty", "tot_ccld_qty", "rmn_qty")] == ["40", "40", "0"]
        assert [truth[name] for name in ("ord_qty", "tot_ccld_qty", "rmn_qty")] == ["1147", "40", "1107"]


@pytest.mark.parametrize(
    ("fault", "options", "expected"),
    [
        ("one_row", {}, [("D", 1)]),
        ("row_missing", {"place": 1}, [("F", 2), ("E", 1)]),
        ("row_doubled", {"place": 1}, [("F", 2), ("E", 3)]),
    ],
)
async def test_lists_can_lie(fault: str, options: dict[str, int], expected: list[tuple[str, int]]) -> None:
    # Given four orders in pages of two
    async with KisDouble(seed=1, settings=Settings(live_rows=2)) as kis, RawClient(kis) as client:
        await client.sign_in()
        numbers = many(kis, 4)
        named: dict[str, Any] = {"number": numbers[options["place"]]} if options else {}
        kis.fault(fault, times=None, **named)
        assert await pages(client) == expected


async def test_a_page_can_come_twice() -> None:
    async with KisDouble(seed=1, settings=Settings(live_rows=2)) as kis, RawClient(kis) as client:
        await client.sign_in()
        many(kis, 4)
        kis.fault("page_repeats")
        first = await client.daily()
        keys = {name.upper(): first.body[name] for name in ("ctx_area_fk100", "ctx_area_nk100")}
        assert (await client.daily("N", **keys)).body["output1"] == first.body["output1"]
        assert (await client.daily("N", **keys)).body["output1"] != first.body["output1"]


async def test_a_page_can_fail() -> None:
    async with KisDouble(seed=1, settings=Settings(live_rows=2)) as kis, RawClient(kis) as client:
        await client.sign_in()
        many(kis, 4)
        waits = kis.fault("page_fails", page=2, on="inquire-daily-ccld")
        first = await client.daily()
        keys = {name.upper(): first.body[name] for name in ("ctx_area_fk100", "ctx_area_nk100")}
        failed = await client.daily("N", **keys)
        assert (failed.status, failed.code, waits.fired) == (500, "EGW00002", 1)
        assert (await client.daily("N", **keys)).status == 200


@pytest.mark.parametrize(
    ("settings", "marks", "rows"),
    [
        (Settings(), ["N", "Y"], 2),
        (Settings(cancel_marks="cancel"), ["Y", "N"], 2),
        (Settings(cancel_marks="both"), ["Y", "Y"], 2),
        (Settings(cancel_rows=False), ["Y"], 1),
    ],
)
async def test_a_cancel_is_marked_in_one_of_several_ways(settings: Settings, marks: list[str], rows: int) -> None:
    async with KisDouble(seed=1, settings=settings) as kis, RawClient(kis) as client:
        await client.sign_in()
        await client.cancel((await client.order()).number)
        found = (await client.daily()).body["output1"]
        assert [row["cncl_yn"] for row in found] == marks
        assert (found[-1]["cnc_cfrm_qty"], found[-1]["rmn_qty"], len(found)) == ("10", "0", rows)


@pytest.mark.parametrize(
    ("settings", "column", "venue"),
    [
        (Settings(sor_routes="NXT"), "excg_id_dvsn_cd", "NXT"),
        (Settings(sor_routes="NXT", sor_rows="asked"), "excg_id_dvsn_cd", "SOR"),
        (Settings(sor_routes="NXT", sor_rows="both"), "excg_id_dvsn_cd", "SOR-NXT"),
        (Settings(venue_column="excg_id_dvsn_Cd"), "excg_id_dvsn_Cd", "KRX"),
    ],
)
async def test_a_row_names_the_venue_in_one_of_several_ways(settings: Settings, column: str, venue: str) -> None:
    async with KisDouble(seed=1, settings=settings) as kis, RawClient(kis) as client:
        await client.sign_in()
        await client.order(EXCG_ID_DVSN_CD="SOR")
        assert (await client.daily()).body["output1"][0][column] == venue


async def test_money_and_shares_settle_two_business_days_later() -> None:
    # Given a Thursday on which ten shares are sold at 70,000, all that there were
    start = OPEN_DAY + timedelta(days=2)
    async with KisDouble(seed=1, start=start, speed=0, cash=0) as kis, RawClient(kis) as client:
        await client.sign_in()
        kis.hold("005930", 10, 60_000)
        kis.market.quote("005930", 70_000, 70_100)
        await client.order("sell", ORD_UNPR="70000")
        # Then 700,000 less a fee of 98 and a tax of 1,400 are there with D+2, and the row stays with quantity 0
        found = await money(client)
        assert found == (["0", "0", "698502"], ["0"], "1498")
        # And on Friday, over the weekend and on Monday, until it is settled
        kis.clock.jump(timedelta(days=1))
        assert await money(client) == (["0", "698502", "698502"], ["0"], "0")
        kis.clock.jump(timedelta(days=2))
        assert await money(client) == (["0", "698502", "698502"], ["0"], "0")
        kis.clock.jump(timedelta(days=1))
        assert await money(client) == (["698502", "698502", "698502"], [], "0")


async def money(client: RawClient) -> tuple[list[str], list[str], str]:
    """Ask for the cash of today, tomorrow and D+2, the quantities held, and the costs of today."""
    client.kis.access.expire()
    client.kis.clock.jump(timedelta(minutes=1))
    await client.sign_in()
    body = (await client.balance()).body
    totals = body["output2"][0]
    names = ("dnca_tot_amt", "nxdy_excc_amt", "prvs_rcdl_excc_amt")
    return [totals[name] for name in names], [row["hldg_qty"] for row in body["output1"]], totals["thdt_tlex_amt"]


async def test_a_second_account_is_not_seen() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        kis.books.accounts["99999999"] = Account("99999999", 10**9)
        kis.trading.place(kis.books.accounts["99999999"], Wanted("02", "005930", "00", "KRX", 1, 60_000))
        assert (await client.daily()).body["output1"] == []


async def test_what_a_day_has_cost_is_listed_by_name_and_not_on_the_paper_host() -> None:
    # Given 10 shares bought and sold at 70,000: fees of 140 and taxes of 2,000 in a million of 700,000 won
    told = Settings(matching="told")
    async with KisDouble(seed=1, settings=told) as kis, RawClient(kis) as client:
        await client.sign_in()
        for side in ("buy", "sell"):
            kis.fill(kis.by_hand(side, "005930", 10, 70_000).number)
        asked = {
            **client.account(), "SORT_DVSN": "01", "INQR_STRT_DT": "20261020", "INQR_END_DT": "20261020",
            "CBLC_DVSN": "00", "PDNO": "", "CTX_AREA_FK100": "", "CTX_AREA_NK100": "",
        }  # fmt: skip
        reply = await client.get(TRADING + "inquire-period-trade-profit", "TTTC8715R", asked)
        (row,) = reply.body["output1"]
        assert (row["trad_dt"], row["pdno"], row["fee"], row["tl_tax"]) == ("20261020", "005930", "196", "1400")
        # Then nothing is listed of another day
        other = {**asked, "INQR_STRT_DT": "20261019", "INQR_END_DT": "20261019"}
        reply = await client.get(TRADING + "inquire-period-trade-profit", "TTTC8715R", other)
        assert reply.body["output1"] == []
    async with KisDouble(seed=1, paper=True) as kis, RawClient(kis) as client:
        await client.sign_in()
        reply = await client.get(TRADING + "inquire-period-trade-profit", "TTTC8715R", asked)
        assert reply.body["rt_cd"] != "0"
