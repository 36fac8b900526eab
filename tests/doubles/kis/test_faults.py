"""Faults of calls: what the client sees, and whether the order was taken all the same."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import aiohttp
import pytest

from tests.doubles.kis import KisDouble
from tests.doubles.kis.client import TRADING, RawClient
from tests.doubles.kis.faults import CALLS

GONE, HELD = "gone", "held"


async def outcome(client: RawClient, patience_s: float = 20) -> tuple[int | str, str]:
    """Order, and return the status and the body as they came; no status where there was no answer."""
    url, headers = client.kis.rest_url + TRADING + "order-cash", client.headers("TTTC0012U")
    try:
        async with client.session.post(
            url, json=client.order_body(), headers=headers, timeout=aiohttp.ClientTimeout(total=patience_s)
        ) as answer:
            return answer.status, (await answer.read()).decode("utf-8", "replace")
    except TimeoutError:
        return HELD, ""
    except aiohttp.ClientError:
        return GONE, ""


@pytest.mark.parametrize(
    ("name", "status", "taken"),
    [
        ("cut_before", GONE, False),
        ("ack_lost", GONE, True),
        ("timeout_before", HELD, False),
        ("timeout_after", HELD, True),
        ("http_504_before", 504, False),
        ("http_504_after", 504, True),
        ("http_502", 502, False),
        ("http_503", 503, False),
        ("http_429", 429, False),
        ("timed_out_301", 500, True),
        ("timed_out_302", 500, True),
        ("transient", 500, False),
        ("server_error", 500, False),
        ("routing_error", 500, False),
        ("rate_limit", 500, False),
        ("ledger_limit", 500, False),
        ("token_expired", 500, False),
        ("token_unknown", 500, False),
        ("html", 200, True),
        ("bad_json", 200, True),
        ("empty_body", 200, True),
        ("wrong_charset", 200, True),
    ],
)
async def test_a_call_goes_wrong_by_name(name: str, status: int | str, taken: bool) -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        kis.fault(name, on="order-cash")
        seen, body = await outcome(client, 0.3 if status is HELD else 20)
        while taken and not kis.books.orders:  # the client has given up before it came
            await asyncio.sleep(0.01)
        assert (seen, len(kis.books.orders)) == (status, int(taken))
        assert CALLS[name].code in body
        assert kis.faults.happened == [name]
        # And the next call is well
        assert (await client.order()).code == "APBK0013"


@pytest.mark.parametrize("name", ["slow", "late"])
async def test_an_answer_can_take_its_time(name: str) -> None:
    async with KisDouble(seed=1, speed=0) as kis, RawClient(kis) as client:
        await client.sign_in()
        kis.fault(name, on="order-cash", seconds=5)
        answer = asyncio.create_task(client.order())
        while not kis.made("order-cash") or (name == "late" and not kis.books.orders):
            await asyncio.sleep(0.01)
        # Then a slow call has not been done, and a late one has
        assert len(kis.books.orders) == (1 if name == "late" else 0)
        assert not answer.done()
        while not answer.done():
            kis.clock.jump(kis.clock.at("10:00:05") - kis.clock.at("10:00"))
            await asyncio.sleep(0.01)
        assert (await answer).code == "APBK0013"


async def test_an_order_may_be_taken_long_after_its_connection_was_cut() -> None:
    async with KisDouble(seed=1, speed=0) as kis, RawClient(kis) as client:
        await client.sign_in()
        kis.fault("taken_late", on="order-cash", seconds=8)
        assert await outcome(client) == (GONE, "")
        kis.clock.jump(timedelta(seconds=7))
        assert (await client.daily()).body["output1"] == []
        kis.clock.jump(timedelta(seconds=1))
        await client.price()
        assert [row["ord_tmd"] for row in (await client.daily()).body["output1"]] == ["100008"]


async def test_the_host_can_be_down_and_up_again() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        socket = await client.connect()
        kis.down()
        with pytest.raises(aiohttp.ClientError):
            await client.price()
        assert await socket.ended() == 1006
        with pytest.raises(aiohttp.ClientError):
            await client.session.ws_connect(kis.ws_url)
        kis.down(on=False)
        assert (await client.price()).status == 200
        await (await client.connect()).close()


async def test_an_answer_can_be_any() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        kis.fault("answer", on="order-cash", status=418, body="tea", content_type="text/plain", is_done=True)
        assert await outcome(client) == (418, "tea")
        assert len(kis.books.orders) == 1


async def test_a_fault_waits_for_its_occasion() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        # Given a fault at the second and third order of one name
        waits = kis.fault("server_error", on="TTTC0012U", where={"PDNO": "000660"}, times=2, after=1)
        prices = {"005930": "69000", "000660": "199000"}
        names = ("005930", "000660", "000660", "005930", "000660", "000660")
        codes = [(await client.order(PDNO=name, ORD_UNPR=prices[name])).code for name in names]
        assert codes == ["APBK0013", "APBK0013", "EGW00002", "APBK0013", "EGW00002", "APBK0013"]
        assert waits.fired == 2
        waits.end()


async def test_a_fault_without_end_ends_when_it_is_told() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        waits = kis.fault("http_503", on="inquire-price", times=None)
        for _ in range(3):
            with pytest.raises(aiohttp.ContentTypeError):
                await client.price()
        waits.end()
        assert (await client.price()).status == 200
        assert [request.status for request in kis.made("inquire-price")] == [503, 503, 503, 200]


async def test_faults_come_by_chance_and_the_same_seed_gives_the_same_ones() -> None:
    seen = []
    for _ in range(2):
        async with KisDouble(seed=7) as kis, RawClient(kis) as client:
            await client.sign_in()
            kis.faults.rates = {"transient": 0.3, "server_error": 0.2}
            seen.append([(await client.price()).code for _ in range(15)])
            assert len(kis.faults.happened) == sum(code.startswith("EGW") for code in seen[-1])
    assert seen[0] == seen[1]
    assert {"EGW00001", "EGW00002", "MCA00000"} == set(seen[0])


@pytest.mark.parametrize(("when", "shown", "after"), [("before", "10", 0), ("after", "0", 0), ("before", "0", 1)])
async def test_something_happens_while_a_call_is_done(when: str, shown: str, after: int) -> None:
    # Given a fill that comes just before the list is made, or just behind it
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        number = (await client.order()).number
        kis.during("inquire-daily-ccld", lambda: kis.fill(number), when=when, after=after)
        # Then the list has it or lacks it, and the next one has it
        assert (await client.daily()).body["output1"][0]["tot_ccld_qty"] == shown
        assert (await client.daily()).body["output1"][0]["tot_ccld_qty"] == "10"
        assert len(kis.books.fills) == 1


async def test_a_name_that_is_no_fault_is_refused() -> None:
    kis = KisDouble(seed=1)
    with pytest.raises(ValueError, match="no fault 'nothing'"):
        kis.fault("nothing")
