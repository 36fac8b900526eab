"""The websocket: registrations and what is refused of them, PINGPONG, and how connections end."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta

import aiohttp
import pytest

from tests.doubles.kis import KisDouble, Settings
from tests.doubles.kis.client import RawClient

SECOND = timedelta(seconds=1)
ABNORMAL = 1006


async def test_a_registration_is_taken_once_and_can_be_taken_back() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        socket = await client.connect()
        first = await socket.register("H0STCNT0", "005930")
        assert first["header"] == {"tr_id": "H0STCNT0", "tr_key": "005930", "encrypt": "N"}
        assert (first["body"]["rt_cd"], first["body"]["msg_cd"]) == ("0", "OPSP0000")
        assert (await socket.register("H0STCNT0", "005930"))["body"]["msg_cd"] == "OPSP0002"
        back = await socket.register("H0STCNT0", "005930", tr_type="2")
        assert (back["body"]["msg_cd"], back["body"]["msg1"]) == ("OPSP0001", "UNSUBSCRIBE SUCCESS")
        assert (await socket.register("H0STCNT0", "005930", tr_type="2"))["body"]["msg_cd"] == "OPSP0003"
        kis.market.trade("005930", 70_000)
        assert kis.sockets.registrations[-1] == ("2", "H0STCNT0", "005930", "OPSP0003")
        await socket.close()


@pytest.mark.parametrize(
    ("tr_id", "key", "tr_type", "code"),
    [
        ("H0STXXX0", "005930", "1", "OPSP8991"),
        ("H0STCNI9", "005930", "1", "OPSP8991"),
        ("H0STCNT0", "5930", "1", "OPSP8992"),
        ("H0STCNT0", "005930", "0", "OPSP8997"),
    ],
)
async def test_a_wrong_registration_is_refused(tr_id: str, key: str, tr_type: str, code: str) -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        socket = await client.connect()
        answer = await socket.register(tr_id, key, tr_type=tr_type)
        assert (answer["body"]["rt_cd"], answer["body"]["msg_cd"]) == ("1", code)
        await socket.close()


async def test_the_paper_host_has_no_data_of_the_other_venue() -> None:
    async with KisDouble(seed=1, paper=True) as kis, RawClient(kis) as client:
        socket = await client.connect()
        assert (await socket.register("H0NXCNT0", "005930"))["body"]["msg_cd"] == "OPSP8991"
        assert (await socket.register("H0STCNI9", kis.keys.hts_id))["body"]["msg_cd"] == "OPSP0000"
        await socket.close()


async def test_the_42nd_registration_is_too_much() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        socket = await client.connect()
        for number in range(41):
            assert (await socket.register("H0STCNT0", f"{number:06}"))["body"]["msg_cd"] == "OPSP0000"
        over = await socket.register("H0STCNT0", "000041")
        assert (over["body"]["msg_cd"], over["body"]["msg1"]) == ("OPSP0008", "MAX SUBSCRIBE OVER")
        await socket.close()


async def test_an_unknown_or_old_key_is_refused_and_a_live_session_keeps_its_own() -> None:
    async with KisDouble(seed=1, speed=0) as kis, RawClient(kis) as client:
        socket = await client.connect()
        wrong = await socket.register("H0STCNT0", "005930", approval_key="nothing")
        assert (wrong["header"]["tr_id"], wrong["body"]["msg_cd"]) == ("(null)", "OPSP0011")
        assert (await socket.register("H0STCNT0", "005930"))["body"]["msg_cd"] == "OPSP0000"
        # When a day has gone by, the session goes on with it, and no new one begins
        kis.access.expire_approvals()
        assert (await socket.register("H0STASP0", "005930"))["body"]["msg_cd"] == "OPSP0000"
        old = socket.approval
        await socket.close()
        other = await client.connect()
        assert (await other.register("H0STCNT0", "005930", approval_key=old))["body"]["msg_cd"] == "OPSP0011"
        assert (await other.register("H0STCNT0", "005930"))["body"]["msg_cd"] == "OPSP0000"
        await other.close()


async def test_a_second_session_of_a_key_is_told_so_and_closed() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        first, second = await client.connect(), await client.connect()
        await first.register("H0STCNT0", "005930")
        answer = await second.register("H0STCNT0", "005930")
        assert answer["header"] == {"tr_id": "(null)", "tr_key": "", "encrypt": "N"}
        assert answer["body"] == {"rt_cd": "9", "msg_cd": "OPSP8996", "msg1": "ALREADY IN USE appkey"}
        assert await second.ended() == ABNORMAL
        # And the first one goes on
        kis.market.trade("005930", 70_000)
        assert (await first.fields())[2] == "70000"
        await first.close()


async def test_a_session_that_has_gone_may_linger() -> None:
    async with KisDouble(seed=1, speed=0, settings=Settings(linger_s=5)) as kis, RawClient(kis) as client:
        first = await client.connect()
        await first.register("H0STCNT0", "005930")
        await first.close()
        second = await client.connect()
        assert (await second.register("H0STCNT0", "005930"))["body"]["msg_cd"] == "OPSP8996"
        await second.ended()
        kis.clock.jump(5 * SECOND)
        third = await client.connect()
        assert (await third.register("H0STCNT0", "005930"))["body"]["msg_cd"] == "OPSP0000"
        await third.close()


async def test_a_wrong_hts_id_ends_the_connection_without_a_close_frame() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        socket = await client.connect()
        await socket.send_registration("H0STCNI0", "another-id")
        assert await socket.ended() == ABNORMAL
        assert list(kis.sockets.registrations) == [("1", "H0STCNI0", "another-id", "")]


@pytest.mark.parametrize("answer", ["text", "pong"])
async def test_a_client_that_answers_pingpong_stays_and_a_silent_one_is_dropped(answer: str) -> None:
    async with KisDouble(seed=1, speed=0) as kis, RawClient(kis) as client:
        socket = await client.connect()
        # Given answers to PINGPONG every ten seconds, for a minute
        for _ in range(6):
            kis.clock.jump(10 * SECOND)
            text = await socket.text()
            assert set(json.loads(text)["header"]) == {"tr_id", "datetime"}
            if answer == "text":
                await socket.socket.send_str(text)
            else:
                await socket.socket.pong(text.encode())
            await socket.register("H0STCNT0", "005930")  # an answer proves that the one before was read
        # When it falls silent
        for _ in range(4):
            kis.clock.jump(10 * SECOND)
            message = await socket.socket.receive()
        # Then it is dropped
        assert message.type is not aiohttp.WSMsgType.TEXT
        assert await socket.ended() == ABNORMAL


async def test_all_connections_are_cut_at_a_time() -> None:
    async with KisDouble(seed=1, speed=0) as kis, RawClient(kis) as client:
        socket = await client.connect()
        await socket.register("H0STCNT0", "005930")
        kis.cut_at("10:05")
        kis.clock.jump(timedelta(minutes=5))
        assert await socket.ended() == ABNORMAL
        assert (kis.sockets.opened, kis.sockets.sessions) == (1, [])


async def test_a_muted_session_gets_pingpong_alone_and_a_frozen_one_nothing() -> None:
    async with KisDouble(seed=1, speed=0) as kis, RawClient(kis) as client:
        socket = await client.connect()
        await socket.register("H0STCNT0", "005930")
        kis.sockets.mute()
        kis.market.trade("005930", 70_000)
        kis.clock.jump(10 * SECOND)
        assert "PINGPONG" in await socket.text()
        kis.sockets.mute(on=False)
        kis.market.trade("005930", 70_100)
        assert (await socket.fields())[2] == "70100"
        kis.sockets.freeze()
        kis.market.trade("005930", 70_200)
        kis.clock.jump(10 * SECOND)
        with pytest.raises(TimeoutError):
            await socket.socket.receive(timeout=0.05)
        kis.sockets.cut()
        assert await socket.ended() == ABNORMAL


async def test_a_dead_connection_holds_the_key_until_it_is_missed() -> None:
    async with KisDouble(seed=1, speed=0) as kis, RawClient(kis) as client:
        dead = await client.connect()
        await dead.register("H0STCNT0", "005930")
        kis.sockets.freeze()
        second = await client.connect()
        assert (await second.register("H0STCNT0", "005930"))["body"]["msg_cd"] == "OPSP8996"
        await second.ended()
        for _ in range(4):
            kis.clock.jump(10 * SECOND)
            await asyncio.sleep(0.01)
        third = await client.connect()
        assert (await third.register("H0STCNT0", "005930"))["body"]["msg_cd"] == "OPSP0000"
        await third.close()
        await dead.close()


async def test_registrations_may_have_to_wait_for_each_other() -> None:
    settings = Settings(register_spacing_s=0.1)
    async with KisDouble(seed=1, speed=0, settings=settings) as kis, RawClient(kis) as client:
        socket = await client.connect()
        assert (await socket.register("H0STCNT0", "005930"))["body"]["msg_cd"] == "OPSP0000"
        assert (await socket.register("H0STASP0", "005930"))["body"]["msg_cd"] == "OPSP0007"
        kis.clock.jump(0.1 * SECOND)
        assert (await socket.register("H0STASP0", "005930"))["body"]["msg_cd"] == "OPSP0000"
        await socket.close()


async def test_the_websocket_answers_at_its_paths() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        for path in ("/", "/tryitout", "/tryitout/H0STCNT0"):
            await (await client.connect(path)).close()
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await client.connect("/nothing")


async def test_a_text_that_is_no_json_is_answered() -> None:
    async with KisDouble(seed=1) as kis, RawClient(kis) as client:
        socket = await client.connect()
        for text in ("{", "[]", '"x"', "{}"):
            await socket.socket.send_str(text)
            assert json.loads(await socket.text())["body"]["msg_cd"] == "OPSP9990"
        await socket.close()
