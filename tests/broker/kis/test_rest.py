"""REST calls: headers, every page, the pace, what may be asked again, and that a POST leaves once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from qts.broker.kis.pauses import Pace
from qts.broker.kis.rest import KisRest, Query
from qts.clock import NS_PER_S
from qts.errors import BrokerUnavailable
from tests.broker.kis.wire import APP_KEY, APP_SECRET, DONE, TOKEN, Answer, Wire, refused
from tests.doubles.kis.clock import DoubleClock

LIST = Query("/list", "TTTC0001R", "VTTC0001R")
PRICE = Query("/price", "FHKST01", "FHKST01", None)
LIVE_ONLY = Query("/only", "TTTC0084R", "", None)


def page(number: int, tr_cont: str, key: str = "") -> Answer:
    context = {"ctx_area_fk100": f"f{key or number}", "ctx_area_nk100": f"n{key or number}"}
    return Answer({**DONE, **context, "output1": [number]}, tr_cont=tr_cont)


def script(wire: Wire, *answers: Answer) -> None:
    wire.answers.clear()
    wire.answers.extend(answers)


async def listed(rest: KisRest) -> list[bytes]:
    return [bytes(one.output1) for one in await rest.pages(LIST, {"A": "1", "EMPTY": ""}, "list things")]


# -- what is sent


async def test_a_query_has_all_headers_and_all_fields_also_the_empty_ones(tmp_path: Path) -> None:
    async with Wire() as wire:
        script(wire, page(1, ""))
        await listed(wire.rest(tmp_path))
        (came,) = wire.asked
        assert (came.method, came.path) == ("GET", "/list")
        assert came.fields == {"A": "1", "EMPTY": "", "CTX_AREA_FK100": "", "CTX_AREA_NK100": ""}
        sent = {name: came.headers[name] for name in ("authorization", "appkey", "appsecret", "tr_id", "custtype")}
        assert sent == {
            "authorization": f"Bearer {TOKEN}1",
            "appkey": APP_KEY,
            "appsecret": APP_SECRET,
            "tr_id": "VTTC0001R",
            "custtype": "P",
        }
        assert came.headers["content-type"] == "application/json; charset=utf-8"
        assert "Mozilla" in came.headers["user-agent"]


async def test_a_live_account_has_other_names_for_its_calls(tmp_path: Path) -> None:
    async with Wire() as wire:
        rest = wire.rest(tmp_path, live=True)
        await rest.ask(LIVE_ONLY, {}, "find a thing")
        assert wire.asked[0].headers["tr_id"] == "TTTC0084R"


async def test_a_call_that_paper_accounts_lack_is_not_sent(tmp_path: Path) -> None:
    async with Wire() as wire:
        with pytest.raises(BrokerUnavailable, match="a paper account of KIS has no only"):
            await wire.rest(tmp_path).ask(LIVE_ONLY, {}, "find a thing")
        assert wire.came == []


# -- pages


async def test_every_page_is_read_with_the_keys_of_the_one_before(tmp_path: Path) -> None:
    async with Wire() as wire:
        script(wire, page(1, "F"), page(2, "M"), page(3, "D"))
        assert await listed(wire.rest(tmp_path)) == [b"[1]", b"[2]", b"[3]"]
        assert [came.headers["tr_cont"] for came in wire.asked] == ["", "N", "N"]
        keys = [(came.fields["CTX_AREA_FK100"], came.fields["CTX_AREA_NK100"]) for came in wire.asked]
        assert keys == [("", ""), ("f1", "n1"), ("f2", "n2")]


@pytest.mark.parametrize("last", ["D", "E", "", " "])
async def test_the_last_page_says_so_or_says_nothing(tmp_path: Path, last: str) -> None:
    async with Wire() as wire:
        script(wire, page(1, last), page(2, ""))
        assert await listed(wire.rest(tmp_path)) == [b"[1]"]


@pytest.mark.parametrize(
    "wrong",
    [
        Answer(b""),
        Answer(b"<html>502</html>", 502),
        Answer({**DONE, "rt_cd": "1", "msg1": "조회 오류"}),
        Answer({}),
        Answer({"rt_cd": 0}),
        refused("EGW00302", "거래시간이 초과되었습니다."),
        Answer(closes=True),
    ],
    ids=["empty", "no JSON", "refused", "no code", "code of another kind", "timed out", "cut"],
)
@pytest.mark.parametrize("number", [1, 2])
async def test_a_list_of_which_a_page_was_not_read_is_no_list(tmp_path: Path, wrong: Answer, number: int) -> None:
    async with Wire() as wire:
        script(wire, *[page(1, "F"), wrong][2 - number :], *[wrong] * 3)
        with pytest.raises(BrokerUnavailable, match="cannot list things"):
            await listed(wire.rest(tmp_path))


async def test_a_page_that_leads_to_itself_ends_the_list_as_unread(tmp_path: Path) -> None:
    async with Wire() as wire:
        script(wire, page(1, "M", "same"))
        with pytest.raises(BrokerUnavailable, match="page 3 would be the one before it"):
            await listed(wire.rest(tmp_path))


# -- asked again


@pytest.mark.parametrize("code", ["EGW00201", "EGW00215"])
async def test_a_query_beyond_the_limit_of_requests_is_asked_again_a_second_later(
    tmp_path: Path, code: str
) -> None:
    async with Wire() as wire:
        script(wire, refused(code, "초당 거래건수를 초과하였습니다."), page(1, ""))
        before = wire.clock.time_ns()
        assert await listed(wire.rest(tmp_path)) == [b"[1]"]
        assert wire.clock.time_ns() - before >= NS_PER_S


async def test_a_query_is_asked_a_few_times_and_then_not_answered(tmp_path: Path) -> None:
    async with Wire() as wire:
        script(wire, refused("EGW00201", "초당"))
        with pytest.raises(BrokerUnavailable, match="EGW00201"):
            await listed(wire.rest(tmp_path))
        assert len(wire.asked) == 4


@pytest.mark.parametrize("code", ["EGW00001", "EGW00301", "EGW00302"])
async def test_no_other_refusal_is_asked_again(tmp_path: Path, code: str) -> None:
    async with Wire() as wire:
        script(wire, refused(code, "…"))
        with pytest.raises(BrokerUnavailable, match=code):
            await listed(wire.rest(tmp_path))
        assert len(wire.asked) == 1


async def test_an_answer_that_does_not_come_is_none(tmp_path: Path) -> None:
    async with Wire() as wire:
        never = asyncio.Event()
        wire.before = lambda came: never.wait() if came.path == "/list" else None
        with pytest.raises(BrokerUnavailable, match=r"no answer within 0\.05 s"):
            await listed(wire.rest(tmp_path, answer_s=0.05))
        never.set()


async def test_without_a_server_it_is_not_connected(tmp_path: Path) -> None:
    async with Wire() as wire:
        rest = wire.rest(tmp_path)
        await rest.tokens.token()
        await wire._runner.cleanup()
        with pytest.raises(BrokerUnavailable, match="KIS is not connected: cannot list things"):
            await listed(rest)


# -- orders


async def test_a_post_on_a_connection_that_the_server_has_closed_leaves_once(tmp_path: Path) -> None:
    """A library that sends it again on a new connection would buy twice."""
    async with Wire() as wire:
        rest = wire.rest(tmp_path)
        # Given a connection that is kept
        script(wire, Answer(DONE), Answer(closes=True))
        await rest.post("/order", "V", {"PDNO": "005930"}, "send order o")
        # When the server closes it without an answer to the next order
        with pytest.raises(BrokerUnavailable):
            await rest.post("/order", "V", {"PDNO": "005930"}, "send order p")
        # Then that has come in once, on the same connection
        assert len(wire.asked) == 2
        assert wire.asked[0].connection == wire.asked[1].connection


async def test_a_query_on_such_a_connection_may_be_repeated_by_the_library(tmp_path: Path) -> None:
    async with Wire() as wire:
        rest = wire.rest(tmp_path)
        script(wire, page(1, ""), Answer(closes=True), page(2, ""))
        assert await listed(rest) == [b"[1]"]
        assert await listed(rest) == [b"[2]"]


@pytest.mark.parametrize(
    "answer",
    [
        refused("EGW00201", "초당 거래건수를 초과하였습니다."),
        refused("EGW00123", "기간이 만료된 token 입니다."),
        refused("EGW00302", "거래시간이 초과되었습니다."),
        Answer(b"", 504),
        Answer(DONE, 307, headers={"Location": "/order"}),
    ],
    ids=["limit", "token", "timeout", "gateway", "redirect"],
)
async def test_a_post_is_never_sent_again(tmp_path: Path, answer: Answer) -> None:
    async with Wire() as wire:
        script(wire, answer, Answer(DONE))
        reply = await wire.rest(tmp_path).post("/order", "V", {}, "send order o")
        assert reply.status == answer.status
        assert len(wire.asked) == 1


async def test_an_order_goes_before_the_pages_that_wait_for_their_turn() -> None:
    # Given two pages that wait because the one request of this second was made
    clock, left = DoubleClock(speed=0), list[str]()
    pace = Pace(1, clock, clock.sleep)

    async def send(name: str, *, is_order: bool) -> None:
        await pace.turn(is_order=is_order)
        left.append(name)

    await send("page 1", is_order=False)
    waiting = [asyncio.create_task(send(f"page {number}", is_order=False)) for number in (2, 3)]
    await asyncio.sleep(0.01)
    # When an order comes, and time passes
    waiting.append(asyncio.create_task(send("order", is_order=True)))
    for _ in range(40):
        await asyncio.sleep(0)
        clock.jump(timedelta(milliseconds=100))
    await asyncio.gather(*waiting)
    # Then it is the first to leave
    assert left == ["page 1", "order", "page 2", "page 3"]


async def test_requests_keep_the_pace_of_the_account(tmp_path: Path) -> None:
    async with Wire() as wire:
        rest = wire.rest(tmp_path, paper_requests_per_s=2)
        moments: list[int] = []
        wire.before = lambda came: moments.append(wire.clock.time_ns())
        for _ in range(5):
            await rest.ask(PRICE, {}, "find a price")
        asked = moments[1:]  # after the token
        assert all(later - earlier >= NS_PER_S for earlier, later in zip(asked, asked[2:], strict=False))


# -- the clock of KIS


async def test_the_time_of_an_answer_bounds_how_far_our_clock_is_from_that_of_kis(tmp_path: Path) -> None:
    async with Wire() as wire:
        rest = wire.rest(tmp_path)
        assert rest.times.offset() is None
        # Given an answer at 10:00:00 of our clock that shows 10:00:03, which is any moment of that second
        script(wire, Answer(DONE, headers={"Date": "Tue, 20 Oct 2026 01:00:03 GMT"}))
        await rest.ask(PRICE, {}, "find a price")
        # Then our clock is behind by three to four seconds
        assert rest.times.offset() == (-4 * NS_PER_S, -3 * NS_PER_S)
