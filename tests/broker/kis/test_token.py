"""The access token: one for all processes, renewed before its end, asked for once a minute at most."""

from __future__ import annotations

import asyncio
import os
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from qts.broker.kis.rest import Query
from qts.errors import BrokerUnavailable
from tests.broker.kis.wire import TOKEN, Answer, Wire, refused, too_soon

PRICE = Query("/price", "F1", "F1", None)


async def test_a_token_is_asked_for_once_and_found_by_the_next_process(tmp_path: Path) -> None:
    async with Wire() as wire:
        # Given a process that has asked for a token
        first, second = wire.rest(tmp_path), wire.rest(tmp_path)
        assert (await first.tokens.token()).reveal() == f"{TOKEN}1"
        # When another one needs one
        token = await second.tokens.token()
        # Then it has the same, from a file that is its owner's alone
        assert token.reveal() == f"{TOKEN}1"
        assert wire.issued == 1
        (file,) = (tmp_path / "qts" / "kis").glob("*.json")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


async def test_processes_that_ask_at_one_moment_get_one_token(tmp_path: Path) -> None:
    async with Wire() as wire:
        rests = [wire.rest(tmp_path) for _ in range(5)]
        tokens = await asyncio.gather(*(one.tokens.token() for one in rests))
        assert {one.reveal() for one in tokens} == {f"{TOKEN}1"}
        assert wire.issued == 1


async def test_two_accounts_have_two_tokens(tmp_path: Path) -> None:
    async with Wire() as wire:
        paper, live = wire.rest(tmp_path), wire.rest(tmp_path, live=True)
        assert (await paper.tokens.token()) != (await live.tokens.token())
        assert wire.issued == 2


@pytest.mark.parametrize(("minutes", "issued"), [(23 * 60 + 29, 1), (23 * 60 + 31, 2)])
async def test_a_token_of_a_day_is_renewed_half_an_hour_before_its_end(
    tmp_path: Path, minutes: int, issued: int
) -> None:
    async with Wire() as wire:
        rest = wire.rest(tmp_path)
        await rest.tokens.token()
        wire.clock.jump(timedelta(minutes=minutes))
        assert (await rest.tokens.token()).reveal() == f"{TOKEN}{issued}"


async def test_the_end_is_told_in_korean_time(tmp_path: Path) -> None:
    async with Wire() as wire:
        # Given an answer that names 10:40 in Seoul as the end, and a clock that shows 10:00 there
        body = {"access_token": "t", "access_token_token_expired": "2026-10-20 10:40:00", "expires_in": 86_400}
        wire.tokens.append(Answer(body))
        rest = wire.rest(tmp_path)
        assert (await rest.tokens.token()).reveal() == "t"
        wire.clock.jump(timedelta(minutes=9))  # then the token lives for more than half an hour
        assert (await rest.tokens.token()).reveal() == "t"
        wire.clock.jump(timedelta(minutes=2))
        assert (await rest.tokens.token()).reveal() == f"{TOKEN}2"


async def test_a_refusal_within_the_minute_is_waited_for_and_told(tmp_path: Path) -> None:
    async with Wire() as wire:
        said: list[str] = []
        wire.tokens.append(too_soon())
        rest = wire.rest(tmp_path, tell=said.append)
        before = wire.clock.time_ns()
        assert (await rest.tokens.token()).reveal() == f"{TOKEN}2"
        assert wire.clock.time_ns() - before >= 60_000_000_000
        assert said == ["KIS gives one token a minute: the next one is asked for in 61 s"]


async def test_a_process_does_not_ask_within_a_minute_of_one_that_got_none(tmp_path: Path) -> None:
    async with Wire() as wire:
        wire.tokens.append(Answer(b"no JSON", 500))
        with pytest.raises(BrokerUnavailable, match="cannot get an access token: HTTP 500"):
            await wire.rest(tmp_path).tokens.token()
        before = wire.clock.time_ns()
        await wire.rest(tmp_path).tokens.token()
        assert wire.clock.time_ns() - before >= 60_000_000_000


async def test_a_token_that_cannot_be_renewed_yet_is_used_on(tmp_path: Path) -> None:
    async with Wire() as wire:
        rest = wire.rest(tmp_path)
        await rest.tokens.token()
        wire.clock.jump(timedelta(hours=23, minutes=40))
        wire.tokens.append(too_soon())
        assert (await rest.tokens.token()).reveal() == f"{TOKEN}1"


@pytest.mark.parametrize("code", ["EGW00121", "EGW00123"])
async def test_a_token_that_ends_in_mid_session_is_renewed_once_and_the_query_asked_again(
    tmp_path: Path, code: str
) -> None:
    async with Wire() as wire:
        rest = wire.rest(tmp_path)
        await rest.tokens.token()
        wire.clock.jump(timedelta(minutes=5))
        good = wire.answers.pop()
        wire.answers.extend([refused(code, "token"), good])
        await rest.ask(PRICE, {}, "find a price")
        assert [came.headers["authorization"] for came in wire.asked] == [f"Bearer {TOKEN}1", f"Bearer {TOKEN}2"]


async def test_a_token_that_is_refused_again_is_not_renewed_again(tmp_path: Path) -> None:
    async with Wire() as wire:
        rest = wire.rest(tmp_path)
        wire.answers.append(refused("EGW00123", "기간이 만료된 token 입니다."))
        wire.answers.popleft()
        with pytest.raises(BrokerUnavailable, match="EGW00123"):
            await rest.ask(PRICE, {}, "find a price")
        assert (len(wire.asked), wire.issued) == (2, 2)


async def test_a_process_whose_token_was_refused_takes_the_one_that_another_has_renewed(tmp_path: Path) -> None:
    async with Wire() as wire:
        one, other = wire.rest(tmp_path), wire.rest(tmp_path)
        old = await one.tokens.token()
        await other.tokens.token()
        wire.clock.jump(timedelta(minutes=5))
        one.tokens.refuse(old)
        assert (await one.tokens.token()).reveal() == f"{TOKEN}2"
        other.tokens.refuse(old)
        assert (await other.tokens.token()).reveal() == f"{TOKEN}2"
        assert wire.issued == 2


async def test_a_file_that_others_may_read_is_not_used_and_replaced(tmp_path: Path) -> None:
    async with Wire() as wire:
        await wire.rest(tmp_path).tokens.token()
        (file,) = (tmp_path / "qts" / "kis").glob("*.json")
        os.chmod(file, 0o644)
        assert (await wire.rest(tmp_path).tokens.token()).reveal() == f"{TOKEN}2"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_damaged_file_is_as_good_as_none(tmp_path: Path) -> None:
    async with Wire() as wire:
        await wire.rest(tmp_path).tokens.token()
        (file,) = (tmp_path / "qts" / "kis").glob("*.json")
        file.write_bytes(b'{"token": "half')
        assert (await wire.rest(tmp_path).tokens.token()).reveal() == f"{TOKEN}2"


async def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    async with Wire() as wire:
        (tmp_path / "qts").write_text("a file")
        with pytest.raises(BrokerUnavailable, match="cannot be kept in"):
            await wire.rest(tmp_path).tokens.token()


async def test_a_key_for_the_websocket_names_the_secret_as_it_is_called_there(tmp_path: Path) -> None:
    async with Wire() as wire:
        rest = wire.rest(tmp_path)
        assert (await rest.approval_key()).reveal() == "approvalCANARY"
        assert set(wire.came[-1].fields) == {"grant_type", "appkey", "secretkey"}
