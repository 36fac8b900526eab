"""The market: frames of each width, states of names, quotations, bars and days."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.doubles.kis import KST, KisDouble, Settings
from tests.doubles.kis.charts import Bar
from tests.doubles.kis.client import RawClient, RawSocket
from tests.doubles.kis.days import Days, date_of
from tests.doubles.kis.grid import band_of, step_of
from tests.doubles.kis.tape import walk

SECOND = timedelta(seconds=1)


async def listening(client: RawClient, *tr_ids: str) -> RawSocket:
    """Open a websocket that gets these kinds of data of 005930."""
    socket = await client.connect()
    for tr_id in tr_ids:
        assert (await socket.register(tr_id, "005930"))["body"]["msg_cd"] == "OPSP0000"
    return socket


# -- grid and days -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "step"),
    [
        (1_999, 1), (2_000, 5), (4_995, 5), (5_000, 10), (19_990, 10), (20_000, 50), (49_950, 50), (50_000, 100),
        (199_900, 100), (200_000, 500), (499_500, 500), (500_000, 1_000),
    ],
)  # fmt: skip
def test_the_grid_is_that_of_2023(price: int, step: int) -> None:
    assert step_of(price) == step


@pytest.mark.parametrize(
    ("base", "low", "high"),
    # 1,545: 1,081.5 and 2,008.5 are cut inward to 1,082 and 2,005; 16,500: 11,550 and 21,450
    [(70_000, 49_000, 91_000), (1_545, 1_082, 2_005), (16_500, 11_550, 21_450), (9_990, 7_000, 12_980)],
)
def test_the_band_is_cut_inward_to_the_grid(base: int, low: int, high: int) -> None:
    assert band_of(base) == (low, high)


def test_business_days_leave_out_weekends_and_holidays() -> None:
    days = Days()
    assert days.after("20261008") == "20261012"  # the 9th is a holiday, a Friday
    assert days.settles("20261007") == "20261012"
    assert days.after("20261012", -1) == "20261008"
    assert days.krx("20261009", "100000") == "closed"
    assert [days.nxt("20261020", hms) for hms in ("080000", "090000", "090030", "153500", "154000")] == [
        "pre", "pause", "continuous", "between", "after",
    ]  # fmt: skip


# -- frames ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [46, 47])
async def test_trades_have_46_or_47_fields(width: int) -> None:
    async with KisDouble(seed=1, speed=0, settings=Settings(trade_width=width)) as kis, RawClient(kis) as client:
        socket = await listening(client, "H0STCNT0")
        kis.market.quote("005930", 70_000, 70_100)
        kis.market.trade("005930", 70_100, 3)
        kis.market.trade("005930", 69_900, 2, side="5")
        await socket.fields()
        record = await socket.fields()
        assert len(record) == width
        # 3 x 70,100 + 2 x 69,900 = 350,100 for five shares
        assert record[:7] == ["005930", "100000", "69900", "5", "-100", "-0.14", "70020.00"]
        assert record[7:15] == ["70100", "70100", "69900", "70100", "70000", "2", "5", "350100"]
        assert (record[15], record[16], record[21], record[33], record[34]) == ("1", "1", "5", "20261020", "20")
        assert record[46:] == (["2"] if width == 47 else [])
        await socket.close()


async def test_trades_are_packed_up_to_twenty() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        socket = await listening(client, "H0STCNT0")
        kis.market.trades("005930", [(70_000 + 100 * number, 1, "1") for number in range(23)])
        first, second = await socket.text(), await socket.text()
        assert [text.split("|")[2] for text in (first, second)] == ["020", "003"]
        fields = first.split("|")[3].split("^")
        assert len(fields) == 20 * 47
        assert fields[2::47] == [str(70_000 + 100 * number) for number in range(20)]
        await socket.close()


async def test_fields_can_be_empty_and_changes_without_a_sign() -> None:
    settings = Settings(empty_fields=frozenset({40, 45}), signed_changes=False)
    async with KisDouble(seed=1, settings=settings) as kis, RawClient(kis) as client:
        socket = await listening(client, "H0STCNT0")
        kis.market.trade("005930", 69_000)
        record = await socket.fields()
        assert (record[3], record[4], record[40], record[44], record[45]) == ("5", "1000", "", "", "")
        await socket.close()


@pytest.mark.parametrize("width", [59, 62, 63])
async def test_books_have_59_62_or_63_fields(width: int) -> None:
    async with KisDouble(seed=1, settings=Settings(book_width=width)) as kis, RawClient(kis) as client:
        socket = await listening(client, "H0STASP0")
        kis.market.book("005930", [(70_000, 5), (69_900, 7)], [(70_200, 3)])
        record = await socket.fields()
        assert len(record) == width
        assert (record[3:5], record[13:16], record[23:25]) == (["70200", "0"], ["70000", "69900", "0"], ["3", "0"])
        assert (record[33:35], record[43], record[44]) == (["5", "7"], "3", "12")
        assert record[59:60] == (["70100"] if width > 59 else [])
        await socket.close()


async def test_the_other_venue_and_both_together_have_frames_of_their_own() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        socket = await listening(client, "H0NXCNT0", "H0UNCNT0", "H0NXASP0", "H0UNASP0")
        kis.market.trade("005930", 70_000, venue="NXT")
        assert [(await socket.text())[:10] for _ in range(2)] == ["0|H0NXCNT0", "0|H0UNCNT0"]
        kis.market.quote("005930", 70_000, 70_100, venue="NXT")
        texts = [await socket.text() for _ in range(2)]
        assert [text[:10] for text in texts] == ["0|H0NXASP0", "0|H0UNASP0"]
        assert [len(text.split("^")) for text in texts] == [65, 65]
        kis.market.trade("005930", 70_000)
        assert (await socket.text()).startswith("0|H0UNCNT0")
        await socket.close()


async def test_states_and_expected_matches_are_told() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        socket = await listening(client, "H0STMKO0", "H0STANC0")
        kis.market.start_vi("005930", "2")
        vi = await socket.fields()
        assert (len(vi), vi[1], vi[8]) == (11, "N", "2")
        assert (await client.price()).body["output"]["vi_cls_code"] == "2"
        kis.market.end_vi("005930")
        kis.market.halt("005930", "불성실공시")
        assert (await socket.fields())[8] == "N"
        halted = await socket.fields()
        assert halted[1:3] == ["Y", "불성실공시"]
        assert (await client.price()).body["output"]["iscd_stat_cls_code"] == "58"
        kis.market.resume("005930")
        kis.market.announce("174")
        kis.market.expect("005930", 70_500, 1_000)
        assert [(await socket.fields())[3] for _ in range(2)] == ["", "174"]
        expected = await socket.fields()
        assert (len(expected), expected[2], expected[12]) == (45, "70500", "1000")
        rows = await client.quotation(
            "inquire-vi-status", "FHPST01390000", FID_DIV_CLS_CODE="0", FID_COND_SCR_DIV_CODE="20139",
            FID_MRKT_CLS_CODE="0", FID_INPUT_ISCD="", FID_RANK_SORT_CLS_CODE="0", FID_INPUT_DATE_1="20261020",
            FID_TRGT_CLS_CODE="", FID_TRGT_EXLS_CLS_CODE="",
        )  # fmt: skip
        assert [
            (row["mksc_shrn_iscd"], row["vi_kind_code"], row["vi_cls_code"]) for row in rows.body["output"]
        ] == [("005930", "2", "N")]
        await socket.close()


async def test_nothing_trades_by_itself_in_a_halt_an_interruption_or_single_price() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        kis.market.start_vi("005930")
        # Given an order that would fill, and one that cannot wait
        number = (await client.order(ORD_UNPR="70000")).number
        assert kis.books.order(number).filled == 0
        assert (await client.order(ORD_UNPR="70000", ORD_DVSN="11")).code == "APBK3013"
        # When the auction ends at 69,900
        kis.matching.auction("005930", 69_900)
        assert [(one.qty, one.price) for one in kis.books.fills] == [(10, 69_900)]
        kis.market.end_vi("005930")
        kis.market.halt("005930")
        assert (await client.order()).code == "APBK0634"
        kis.market.resume("005930")
        kis.market.single_price("005930")
        assert kis.books.order((await client.order(ORD_UNPR="70000")).number).filled == 0


def _of_the_file(kind: str) -> list[dict[str, str]]:
    shared = os.environ.get("QTS_SHARED")
    path = Path(shared or ".") / "data" / "kis_ws_frames.jsonl"
    if shared is None or not path.exists():
        pytest.skip("needs the recorded frames of KIS: QTS_SHARED names the folder that has them")
    found = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [one for one in found if one["kind"] == kind]


async def test_frames_have_the_form_of_recorded_ones() -> None:
    async with KisDouble(seed=1, settings=Settings(trade_width=46)) as kis, RawClient(kis) as client:
        socket = await listening(client, "H0STCNT0", "H0STASP0")
        kis.market.trade("005930", 70_000)
        made = await socket.fields()
        for one in _of_the_file("trade"):
            head, tr_id, count, text = one["frame"].split("|")
            recorded = text.split("^")
            assert (head, tr_id, len(recorded)) == ("0", "H0STCNT0", 46 * int(count))
            _check_form(made, recorded[:46])
        for one in _of_the_file("book"):
            kis.settings.book_width = int(one["fields"])
            kis.market.quote("005930", 70_000, 70_100)
            _check_form(await socket.fields(), one["frame"].split("|")[3].split("^"))
        await socket.close()


def _check_form(made: list[str], recorded: list[str]) -> None:
    """Check that fields are texts, numbers with or without decimals, or empty at the same places."""
    assert len(made) == len(recorded)
    for place, (ours, theirs) in enumerate(zip(made, recorded, strict=True)):
        assert (ours == "", "." in ours, ours.isalpha()) == (theirs == "", "." in theirs, theirs.isalpha()), place


# -- quotations --------------------------------------------------------------------------------------------------


async def test_book_and_trades_can_be_asked_for() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        code = {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": "005930"}
        kis.market.book("005930", [(70_000, 5)], [(70_100, 3)])
        book = (await client.quotation("inquire-asking-price-exp-ccn", "FHKST01010200", **code)).body
        assert [book["output1"][name] for name in ("askp1", "bidp1", "askp_rsqn1", "bidp_rsqn2")] == [
            "70100", "70000", "3", "0",
        ]  # fmt: skip
        for number in range(40):
            kis.market.trade("005930", 70_000, number + 1)
        trades = (await client.quotation("inquire-ccnl", "FHKST01010300", **code)).body["output"]
        assert (len(trades), trades[0]["cntg_vol"], trades[-1]["cntg_vol"]) == (30, "40", "11")
        until = await client.quotation(
            "inquire-time-itemconclusion", "FHPST01060000", **code, FID_INPUT_HOUR_1="095959"
        )
        assert until.body["output2"] == []


@pytest.mark.parametrize(
    ("changes", "code"), [({"FID_COND_MRKT_DIV_CODE": "Q"}, "OPSQ2001"), ({"FID_INPUT_ISCD": "5930"}, "OPSQ2002")]
)
async def test_a_name_or_market_that_is_unknown_is_refused(changes: dict[str, str], code: str) -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        query = {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": "005930", **changes}
        reply = await client.quotation("inquire-price", "FHKST01010100", **query)
        assert (reply.body["rt_cd"], reply.code) == ("2", code)


async def daily(client: RawClient, first: str, last: str, adjusted: str = "1") -> list[dict[str, str]]:
    reply = await client.quotation(
        "inquire-daily-itemchartprice", "FHKST03010100", FID_COND_MRKT_DIV_CODE="J", FID_INPUT_ISCD="005930",
        FID_INPUT_DATE_1=first, FID_INPUT_DATE_2=last, FID_PERIOD_DIV_CODE="D", FID_ORG_ADJ_PRC=adjusted,
    )  # fmt: skip
    rows: list[dict[str, str]] = reply.body["output2"]
    return rows


async def test_daily_bars_come_a_hundred_at_a_time_next_to_the_end() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        first = await daily(client, "20260101", "20261020")
        assert (len(first), first[0]["stck_bsop_date"], first[0]["stck_clpr"]) == (100, "20261019", "70000")
        # When those before are asked for
        before = f"{date_of(first[-1]['stck_bsop_date']) - timedelta(days=1):%Y%m%d}"
        second = await daily(client, "20260101", before)
        days = [row["stck_bsop_date"] for row in first + second]
        # Then there is no gap and no double
        assert days == sorted(set(days), reverse=True)
        assert len(days) == sum(
            kis.days.is_business(f"{datetime(2026, 1, 1) + timedelta(days=number):%Y%m%d}") for number in range(292)
        )
        # And today has a bar once it has traded; a bar can be put in place
        kis.market.trade("005930", 70_500, 5)
        assert (await daily(client, "20261020", "20261020"))[0]["acml_vol"] == "5"
        kis.charts.put("005930", Bar("20261019", 1, 2, 1, 2, 3, 4))
        assert (await daily(client, "20261019", "20261019"))[0]["stck_hgpr"] == "2"


async def test_bars_before_a_split_are_adjusted_where_it_is_asked_for() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        kis.charts.put("005930", Bar("20261016", 3_500_000, 3_500_000, 3_500_000, 3_500_000, 10, 35_000_000))
        kis.charts.splits["005930"] = [("20261019", 50)]
        raw, adjusted = (
            await daily(client, "20261016", "20261016"),
            await daily(client, "20261016", "20261016", "0"),
        )
        assert (raw[0]["stck_clpr"], adjusted[0]["stck_clpr"], adjusted[0]["acml_vol"]) == (
            "3500000",
            "70000",
            "500",
        )


async def test_minute_bars_of_today_come_thirty_at_a_time() -> None:
    async with KisDouble(seed=1, speed=0) as kis, RawClient(kis) as client:
        await client.sign_in()
        for number in range(40):
            kis.market.trade("005930", 70_000 + 100 * (number % 3), 1)
            kis.market.trade("005930", 70_100, 2)
            kis.clock.jump(timedelta(minutes=1))

        async def minutes(until: str) -> list[dict[str, str]]:
            reply = await client.quotation(
                "inquire-time-itemchartprice", "FHKST03010200", FID_COND_MRKT_DIV_CODE="J", FID_INPUT_ISCD="005930",
                FID_INPUT_HOUR_1=until, FID_PW_DATA_INCU_YN="N", FID_ETC_CLS_CODE="",
            )  # fmt: skip
            rows: list[dict[str, str]] = reply.body["output2"]
            return rows

        newest = await minutes("104000")
        assert (len(newest), newest[0]["stck_cntg_hour"], newest[-1]["stck_cntg_hour"]) == (30, "103900", "101000")
        assert [newest[0][name] for name in ("stck_oprc", "stck_hgpr", "stck_lwpr", "stck_prpr", "cntg_vol")] == [
            "70000", "70100", "70000", "70100", "3",
        ]  # fmt: skip
        assert len(await minutes("100900")) == 10


async def test_holidays_are_told_in_pages() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        first = await client.quotation(
            "chk-holiday", "CTCA0903R", BASS_DT="20261009", CTX_AREA_NK="", CTX_AREA_FK=""
        )
        rows = first.body["output"]
        assert [(row["bass_dt"], row["opnd_yn"], row["wday_dvsn_cd"]) for row in rows[:4]] == [
            ("20261009", "N", "06"), ("20261010", "N", "07"), ("20261011", "N", "01"), ("20261012", "Y", "02"),
        ]  # fmt: skip
        assert first.headers["tr_cont"] == "F"
        second = await client.quotation(
            "chk-holiday", "CTCA0903R", tr_cont="N", BASS_DT="20261009",
            CTX_AREA_NK=first.body["ctx_area_nk"], CTX_AREA_FK=first.body["ctx_area_fk"],
        )  # fmt: skip
        assert second.body["output"][0]["bass_dt"] == "20261102"


# -- the course of a day -----------------------------------------------------------------------------------------


async def test_a_day_opens_closes_and_begins_again() -> None:
    # Given 08:50, a buy that reaches the opening price and one that does not
    start = datetime(2026, 10, 23, 8, 50, tzinfo=KST)
    async with KisDouble(seed=1, start=start, speed=0) as kis, RawClient(kis) as client:
        await client.sign_in()
        socket = await listening(client, "H0STMKO0", "H0STCNT0")
        opening = (await client.order(ORD_UNPR="70500")).number
        waiting = (await client.order(ORD_UNPR="69000")).number
        conditional = (await client.order(ORD_UNPR="69000", ORD_DVSN="02")).number
        kis.market.expect("005930", 70_200, 1_000)
        # When the market opens
        kis.clock.jump_to(kis.clock.at("09:00:01"))
        assert (await socket.fields())[2] == "70200"
        assert (await socket.fields())[3] == "112"
        assert [(one.order.number, one.price) for one in kis.books.fills] == [(opening, 70_200)]
        # And closes at the last price, for the conditional limit at the market
        kis.market.trade("005930", 71_000)
        kis.clock.jump_to(kis.clock.at("15:30:01"))
        await client.price()
        assert [(one.order.number, one.price) for one in kis.books.fills][1:] == [(conditional, 71_000)]
        order = kis.books.order(waiting)
        assert (order.rest, order.expired, order.cancelled) == (0, 10, 0)
        # And its row still has what was left, or has it as cancelled
        row = (await client.daily(ODNO=waiting)).body["output1"][0]
        assert (row["rmn_qty"], row["cnc_cfrm_qty"], row["cncl_yn"]) == ("10", "0", "N")
        kis.settings.expired_rest_stays = False
        row = (await client.daily(ODNO=waiting)).body["output1"][0]
        assert (row["rmn_qty"], row["cnc_cfrm_qty"]) == ("0", "10")
        # Then the close is the base of Monday, and of the days between
        kis.clock.jump_to(kis.clock.at("09:30", days=3))
        kis.access.expire()
        await client.sign_in()
        price = (await client.price()).body["output"]
        assert (price["stck_sdpr"], price["acml_vol"], price["stck_oprc"]) == ("71000", "0", "0")
        bars = await daily(client, "20261022", "20261026")
        assert [(bar["stck_bsop_date"], bar["stck_clpr"]) for bar in bars] == [
            ("20261023", "71000"), ("20261022", "70000"),
        ]  # fmt: skip
        await socket.close()


async def test_a_tape_happens_at_its_moments_and_is_the_same_for_a_seed() -> None:
    seen = []
    for seed in (4, 4, 5):
        async with KisDouble(seed=1, speed=0) as kis, RawClient(kis) as client:
            begin = kis.clock.at("10:00:01")
            tape = list(walk(kis.market, "005930", begin=begin, end=begin + 60 * SECOND, seed=seed))
            low, high = kis.market["005930"].band
            assert all(low < step.bid < step.ask < high and step.price in (step.bid, step.ask) for step in tape)
            socket = await listening(client, "H0STCNT0")
            playing = kis.play(tape)
            kis.clock.jump(30 * SECOND)
            records = [await socket.fields() for _ in range(30)]
            assert kis.market["005930"].krx.volume == sum(step.qty for step in tape[:30])
            kis.clock.jump(40 * SECOND)
            await playing
            seen.append([record[2] for record in records])
            await socket.close()
    assert seen[0] == seen[1] != seen[2]


async def test_an_order_of_the_after_market_lives_until_eight() -> None:
    start = datetime(2026, 10, 20, 16, 30, tzinfo=KST)
    async with KisDouble(seed=1, start=start, speed=0) as kis, RawClient(kis) as client:
        await client.sign_in()
        numbers = [(await client.order(ORD_DVSN="41")).number, (await client.order(EXCG_ID_DVSN_CD="NXT")).number]
        kis.clock.jump_to(kis.clock.at("19:59"))
        kis.market.trade("005930", 68_900, 4, side="5")
        assert [kis.books.order(number).rest for number in numbers] == [6, 10]
        kis.clock.jump_to(kis.clock.at("20:00"))
        kis.schedule.catch_up()
        assert [kis.books.order(number).rest for number in numbers] == [0, 0]
