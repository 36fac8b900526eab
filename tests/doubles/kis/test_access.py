"""Keys, tokens and limits: what the double gives, and what it refuses as KIS does."""

from __future__ import annotations

from datetime import timedelta

import aiohttp
import pytest

from tests.doubles.kis import DoubleClock, KisDouble, Settings
from tests.doubles.kis.client import QUOTATIONS, RawClient
from tests.doubles.kis.clock import OPEN_DAY

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


async def test_a_token_is_given_once_a_minute_and_stays_the_same_for_six_hours() -> None:
    async with KisDouble(seed=1, speed=0) as kis, RawClient(kis) as client:
        # Given a token, which is over in 24 hours, at 10:00 of the next day in Korea
        first = await client.ask_token()
        assert (first.status, first.body["expires_in"], first.body["token_type"]) == (200, 86_400, "Bearer")
        assert first.body["access_token_token_expired"] == "2026-10-21 10:00:00"
        # When it is asked for again within the minute
        kis.clock.jump(timedelta(seconds=59))
        again = await client.ask_token()
        # Then it is refused
        assert (again.status, again.body["error_code"]) == (403, "EGW00133")
        assert "1분당 1회" in again.body["error_description"]
        # And after the minute the same one is given, until six hours are over
        kis.clock.jump(timedelta(seconds=1))
        second = await client.ask_token()
        assert second.body["access_token"] == first.body["access_token"]
        assert second.body["access_token_token_expired"] == first.body["access_token_token_expired"]
        kis.clock.jump(6 * HOUR - MINUTE)
        third = await client.ask_token()
        assert third.body["access_token"] != first.body["access_token"]
        assert kis.access.issued == 3


async def test_a_token_is_over_after_a_day() -> None:
    async with KisDouble(seed=1, speed=0) as kis, RawClient(kis) as client:
        await client.sign_in()
        kis.clock.jump(24 * HOUR - timedelta(seconds=1))
        assert (await client.price()).status == 200
        kis.clock.jump(timedelta(seconds=1))
        late = await client.price()
        assert (late.status, late.code, late.text) == (500, "EGW00123", "기간이 만료된 token 입니다.")


async def test_a_token_that_was_given_back_is_not_known_any_more() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        reply = await client.post_plain("/oauth2/revokeP", client.signature(token=client.token))
        assert reply.status == 200
        assert (await client.price()).code == "EGW00121"


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"appkey": "x" * 36}, "EGW00103"), ({"appsecret": "x" * 180}, "EGW00105"), ({"grant_type": "x"}, "EGW00101")],
)
async def test_wrong_keys_get_no_token(changes: dict[str, str], code: str) -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        reply = await client.ask_token(**changes)
        assert (reply.status, reply.body["error_code"]) == (403, code)


async def test_the_key_for_the_websocket_wants_the_secret_by_another_name() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        assert len(await client.approval()) == 36
        reply = await client.post_plain("/oauth2/Approval", client.signature())
        assert (reply.status, reply.body["error_code"]) == (403, "EGW00105")


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"authorization": None}, 500, "EGW00122"),
        ({"authorization": "Bearer nothing"}, 500, "EGW00121"),
        ({"appkey": "x" * 36}, 403, "EGW00103"),
        ({"appsecret": "x" * 180}, 403, "EGW00105"),
        ({"tr_id": ""}, 200, "OPSQ0003"),
        ({"tr_id": "FHKST09999999"}, 500, "EGW00203"),
        ({"custtype": None}, 200, "OPSQ0003"),
        ({"custtype": "X"}, 200, "OPSQ0003"),
    ],
)
async def test_a_call_without_its_headers_is_refused(
    headers: dict[str, str | None], status: int, code: str
) -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        reply = await client.price(**headers)
        assert (reply.status, reply.code) == (status, code)
        assert reply.body["rt_cd"] != "0"


@pytest.mark.parametrize(
    ("field", "value"),
    [("OFL_YN", None), ("CTX_AREA_FK100", None), ("CTX_AREA_NK100", None), ("INQR_DVSN", None), ("INQR_DVSN", "")],
)
async def test_a_query_has_to_send_every_field_also_the_empty_ones(field: str, value: str | None) -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        reply = await client.balance(**{field: value})
        assert (reply.body["rt_cd"], reply.code) == ("2", "OPSQ2001")
        assert reply.text == f"ERROR INPUT FIELD NOT FOUND [{field}]"


async def test_before_2026_fields_that_may_be_empty_could_be_missing() -> None:
    async with KisDouble(seed=1, settings=Settings(every_field=False)) as kis, RawClient(kis) as client:
        await client.sign_in()
        assert (await client.balance(OFL_YN=None)).body["rt_cd"] == "0"


async def test_another_account_is_refused() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        assert (await client.balance(CANO="12345678")).code == "OPSQ2000"


async def test_each_host_takes_its_own_tr_ids_alone() -> None:
    # Given the live host
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        # Then a paper TR is refused
        reply = await client.post(f"{TRADE}", "VTTC0012U", client.order_body())
        assert (reply.status, reply.code) == (500, "EGW02004")
    # And a live TR on the paper host
    async with KisDouble(seed=1, paper=True) as kis, RawClient(kis) as client:
        await client.sign_in()
        reply = await client.post(TRADE, "FHKST01010100", client.order_body(), tr_id="TTTC0012U")
        assert (reply.status, reply.code, reply.text) == (500, "EGW02006", "모의투자 TR 이 아닙니다.")
    # And one that the paper host does not have at all
    async with KisDouble(seed=1, paper=True) as kis, RawClient(kis) as client:
        await client.sign_in()
        reply = await client.quotation(
            "chk-holiday", "CTCA0903R", BASS_DT="20261020", CTX_AREA_NK="", CTX_AREA_FK=""
        )
        assert reply.status == 500
        kis.settings.not_paper_tr = "EGW00213"
        kis.clock.jump(timedelta(seconds=1))
        assert (await client.price(tr_id="TTTC8434R")).code == "EGW00203"


TRADE = "/uapi/domestic-stock/v1/trading/order-cash"


@pytest.mark.parametrize(("paper", "code"), [(False, "EGW02004"), (True, "EGW02007")])
async def test_keys_of_the_other_host_are_refused_at_the_first_call(paper: bool, code: str) -> None:
    async with KisDouble(seed=1, paper=paper) as kis, RawClient(kis, kis.other_keys) as client:
        await client.sign_in()
        reply = await client.price()
        assert (reply.status, reply.code) == (500, code)
        # Or they get no token at all
        kis.settings.other_keys_sign_in = False
        assert (await client.ask_token()).body["error_code"] == "EGW00103"


async def test_old_tr_ids_of_orders_are_taken_until_they_are_not() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        assert (await client.post(TRADE, "TTTC0802U", client.order_body())).code == "APBK0013"
        kis.settings.old_tr_ids = False
        assert (await client.post(TRADE, "TTTC0802U", client.order_body())).body["rt_cd"] != "0"


async def test_a_body_has_to_be_json_with_texts() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        reply = await client.post(TRADE, "TTTC0012U", client.order_body(), content_type="text/plain")
        assert reply.code == "EGW00132"
        assert (await client.post(TRADE, "TTTC0012U", {"ORD_QTY": 10})).code == "OPSQ9999"
        lower = {name.lower(): value for name, value in client.order_body().items()}
        assert (await client.post(TRADE, "TTTC0012U", lower)).code == "OPSQ2001"


async def test_a_hash_of_the_body_is_optional_but_has_to_fit() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        hashed = (await client.post_plain("/uapi/hashkey", client.order_body())).body["HASH"]
        assert (await client.post(TRADE, "TTTC0012U", client.order_body(), hashkey=hashed)).code == "APBK0013"
        reply = await client.post(TRADE, "TTTC0012U", client.order_body(ORD_QTY="11"), hashkey=hashed)
        assert reply.code == "EGW00131"


@pytest.mark.parametrize(("paper", "limit"), [(False, 18), (True, 1)])
async def test_calls_of_a_second_are_limited(paper: bool, limit: int) -> None:
    async with KisDouble(seed=1, paper=paper, speed=0) as kis, RawClient(kis) as client:
        await client.sign_in()
        # Given as many calls as a second has
        for _ in range(limit):
            assert (await client.price()).status == 200
        # Then the next one is refused
        reply = await client.price()
        assert (reply.status, reply.code, reply.body["rt_cd"]) == (500, "EGW00201", "1")
        assert reply.text == "초당 거래건수를 초과하였습니다."
        # And one second later it is taken
        kis.clock.jump(timedelta(seconds=1))
        assert (await client.price()).status == 200


@pytest.mark.parametrize(
    ("settings", "steps_ms", "taken"),
    [
        (Settings(), (0, 600, 500, 400, 200), [True, True, True, False, True]),
        (Settings(sliding_second=False), (0, 600, 500, 100, 900), [True, True, True, True, True]),
        (Settings(refused_calls_count=True), (0, 500, 400, 500, 600), [True, True, False, False, True]),
    ],
)
async def test_a_second_is_counted_in_one_of_several_ways(
    settings: Settings, steps_ms: tuple[int, ...], taken: list[bool]
) -> None:
    # Given two calls a second, and calls at these distances
    settings.live_per_s = 2
    async with KisDouble(seed=1, speed=0, settings=settings) as kis, RawClient(kis) as client:
        await client.sign_in()
        found = []
        for step in steps_ms:
            kis.clock.jump(timedelta(milliseconds=step))
            found.append((await client.price()).status == 200)
        assert found == taken


async def test_the_ledger_has_a_limit_of_its_own() -> None:
    async with KisDouble(seed=1, speed=0, settings=Settings(ledger_per_s=2)) as kis, RawClient(kis) as client:
        await client.sign_in()
        for _ in range(2):
            await client.balance()
        reply = await client.balance()
        assert (reply.status, reply.code) == (500, "EGW00215")
        assert (await client.price()).status == 200


async def test_a_client_without_a_name_can_be_cut_off() -> None:
    async with KisDouble(seed=1, settings=Settings(needs_user_agent=True)) as kis, RawClient(kis) as client:
        client.session.headers["User-Agent"] = "tests"
        await client.sign_in()
        async with aiohttp.ClientSession(skip_auto_headers={"User-Agent"}) as nameless:
            with pytest.raises(aiohttp.ClientError):
                await nameless.get(kis.rest_url + QUOTATIONS + "inquire-price")


async def test_the_paper_host_may_be_down_at_weekends() -> None:
    settings = Settings(down_at_weekends=True)
    start = OPEN_DAY + timedelta(days=4)
    async with KisDouble(seed=1, paper=True, start=start, settings=settings) as kis, RawClient(kis) as client:
        with pytest.raises(aiohttp.ClientError):
            await client.sign_in()


async def test_the_date_of_an_answer_is_that_of_the_double() -> None:
    clock = DoubleClock(OPEN_DAY, 0)
    async with KisDouble(seed=1, clock=clock) as kis, RawClient(kis) as client:
        await client.sign_in()
        assert (await client.price()).headers["Date"] == "Tue, 20 Oct 2026 01:00:00 GMT"
        kis.settings.date_offset_s = 3
        assert (await client.price()).headers["Date"] == "Tue, 20 Oct 2026 01:00:03 GMT"


async def test_a_path_that_is_unknown_is_not_found() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        assert (await client.quotation("inquire-nothing", "FHKST01010100")).status == 404
