"""The double from end to end: a token, a price, an order, the balance, and a trade over the websocket."""

from __future__ import annotations

import pytest

from tests.doubles.kis import KisDouble
from tests.doubles.kis.client import QUOTATIONS, RawClient


async def test_a_customer_signs_in_asks_and_orders() -> None:
    # Given a customer with 100,000,000 won
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        await client.sign_in()
        # Then it is told the price, and its band of 30 %
        price = await client.price()
        assert price.status == 200
        assert (price.body["rt_cd"], price.body["output"]["stck_sdpr"]) == ("0", "70000")
        assert (price.body["output"]["stck_mxpr"], price.body["output"]["stck_llam"]) == ("91000", "49000")
        # When it orders
        order = await client.order()
        # Then the order has a number of ten digits
        assert (order.body["rt_cd"], order.code) == ("0", "APBK0013")
        number = order.body["output"]["ODNO"]
        assert len(number) == 10
        assert kis.books.order(number).rest == 10
        balance = await client.balance()
        assert balance.body["output2"][0]["prvs_rcdl_excc_amt"] == "100000000"
        assert balance.body["output1"] == []


async def test_an_error_of_the_double_itself_ends_the_test() -> None:
    async def used() -> None:
        async with KisDouble(seed=1) as kis, RawClient(kis) as client:
            await client.sign_in()
            kis.during("inquire-price", lambda: 1 // 0)
            url, headers = kis.rest_url + QUOTATIONS + "inquire-price", client.headers("FHKST01010100")
            async with client.session.get(url, headers=headers) as answer:
                assert answer.status == 500

    with pytest.raises(ZeroDivisionError):
        await used()


async def test_the_same_seed_gives_the_same_keys_tokens_and_numbers() -> None:
    seen = []
    for seed in (1, 1, 2):
        async with KisDouble(seed=seed) as kis, RawClient(kis) as client:
            await client.sign_in()
            seen.append((kis.keys, client.token, (await client.order()).number))
    assert seen[0] == seen[1]
    assert all(one != other for one, other in zip(seen[1], seen[2], strict=True))


async def test_a_registered_client_gets_the_trades_of_a_name() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        socket = await client.connect()
        # Given a registration
        answer = await socket.register("H0STCNT0", "005930")
        assert answer["body"]["msg1"] == "SUBSCRIBE SUCCESS"
        # When a trade happens
        kis.market.trade("005930", 70_100, 7)
        # Then its frame has one record of 47 fields
        text = await socket.text()
        assert text.startswith("0|H0STCNT0|001|005930^100000^70100^2^100^")
        fields = text.split("|")[3].split("^")
        assert (len(fields), fields[12], fields[13]) == (47, "7", "7")
        await socket.close()
