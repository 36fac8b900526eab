"""Orders, changes and cancels: what is sent, what an answer proves, and that none leaves twice."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from qts.broker.contracts import BrokerOrderState
from qts.broker.kis import rest
from qts.broker.kis.order_terms import is_after_market
from qts.clock import NS_PER_S
from qts.execution.contracts import AckStatus
from qts.market.krx import KST
from qts.risk.contracts import OrderType
from qts.strategy.contracts import Side
from qts.strategy.order_terms import TimeInForce
from tests.broker.kis.rig import SYMBOL, Rig, served
from tests.doubles.kis import Settings

BUY, SELL = Side.BUY, Side.SELL
ACCEPTED, REJECTED, UNKNOWN = AckStatus.ACCEPTED, AckStatus.REJECTED, AckStatus.UNKNOWN


def sent(rig: Rig, name: str = "order-cash") -> list[dict[str, str]]:
    account = {"CANO": rig.kis.keys.account, "ACNT_PRDT_CD": "01"}
    found = [dict(came.fields) for came in rig.kis.made(name)]
    assert all(account.items() <= one.items() for one in found)
    return [{name: text for name, text in one.items() if name not in account} for one in found]


# -- what is sent


async def test_a_limit_order_has_every_field_also_the_empty_ones(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        ack = await rig.broker.place(rig.approved("o"))
        (order,) = rig.orders()
        assert (ack.status, ack.client_order_id) == (ACCEPTED, "o")
        assert ack.ref is not None
        assert (ack.ref.number, f"{ack.ref.day:%Y%m%d}") == (order.number, order.day)
        assert sent(rig) == [
            {
                "PDNO": SYMBOL, "ORD_DVSN": "00", "ORD_QTY": "10", "ORD_UNPR": "69000", "EXCG_ID_DVSN_CD": "KRX",
                "SLL_TYPE": "", "CNDT_PRIC": "",
            }
        ]  # fmt: skip
        assert rig.kis.made("order-cash")[0].tr_id == "TTTC0012U"


async def test_a_sale_names_its_kind_and_a_market_order_the_price_0(tmp_path: Path) -> None:
    async with served(tmp_path, paper=True) as rig:
        rig.kis.hold(SYMBOL, 10, 60_000)
        assert (await rig.broker.place(rig.approved("o", SELL, 3, None))).status is ACCEPTED
        (fields,) = sent(rig)
        assert (fields["ORD_DVSN"], fields["ORD_UNPR"], fields["SLL_TYPE"]) == ("01", "0", "01")
        assert rig.kis.made("order-cash")[0].tr_id == "VTTC0011U"


KINDS: list[tuple[OrderType, TimeInForce, dict[str, Any], str]] = [
    (OrderType.LIMIT, TimeInForce.IOC, {}, "11"),
    (OrderType.LIMIT, TimeInForce.FOK, {}, "12"),
    (OrderType.MARKET, TimeInForce.IOC, {"limit": None}, "13"),
    (OrderType.MARKET, TimeInForce.FOK, {"limit": None}, "14"),
    (OrderType.BEST, TimeInForce.DAY, {"limit": None}, "03"),
    (OrderType.BEST, TimeInForce.IOC, {"limit": None}, "15"),
    (OrderType.BEST, TimeInForce.FOK, {"limit": None}, "16"),
    (OrderType.MID, TimeInForce.DAY, {"limit": None}, "21"),
    (OrderType.MID, TimeInForce.IOC, {"limit": None}, "23"),
    (OrderType.MID, TimeInForce.FOK, {"limit": None}, "24"),
    (OrderType.STOP_LIMIT, TimeInForce.DAY, {"limit": 71_500, "stop_price": D(71_000)}, "22"),
]


@pytest.mark.parametrize(("kind", "time", "terms", "code"), KINDS)
async def test_types_and_times_in_force_have_their_codes(
    tmp_path: Path, kind: OrderType, time: TimeInForce, terms: dict[str, Any], code: str
) -> None:
    async with served(tmp_path) as rig:
        ack = await rig.broker.place(rig.approved("o", type=kind, time_in_force=time, **terms))
        assert ack.status is ACCEPTED
        (fields,) = sent(rig)
        assert (fields["ORD_DVSN"], fields["CNDT_PRIC"]) == (code, "71000" if code == "22" else "")


AFTER_MARKET: list[tuple[str, OrderType, dict[str, Any], str]] = [
    ("KRX", OrderType.LIMIT, {}, "41"),
    ("KRX", OrderType.BEST, {"limit": None}, "44"),
    ("KRX", OrderType.MARKET, {"limit": None}, ""),
    ("KRX", OrderType.LIMIT, {"time_in_force": TimeInForce.IOC}, ""),
    ("NXT", OrderType.LIMIT, {}, "00"),
    ("NXT", OrderType.MID, {"limit": None}, ""),
    ("SOR", OrderType.LIMIT, {}, "00"),
]


@pytest.mark.parametrize(("exchange", "kind", "terms", "code"), AFTER_MARKET)
async def test_orders_after_the_regular_session_have_the_codes_of_their_venue(
    tmp_path: Path, exchange: str, kind: OrderType, terms: dict[str, Any], code: str
) -> None:
    """KRX trades until 20:00 since 2026-09-14, at limits and best prices alone; "" is not sent."""
    async with served(tmp_path, exchange=exchange) as rig:
        rig.kis.clock.jump_to(rig.kis.clock.at("16:30"))
        ack = await rig.broker.place(rig.approved("o", type=kind, **terms))
        assert ack.status is (ACCEPTED if code else REJECTED), ack
        assert [fields["ORD_DVSN"] for fields in sent(rig)] == ([code] if code else [])
        assert code or "after its regular session" in ack.reason


async def test_an_order_of_the_after_market_is_changed_and_cancelled_there(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        rig.kis.clock.jump_to(rig.kis.clock.at("16:30"))
        first = await rig.broker.place(rig.approved("o"))
        changed = await rig.broker.replace(rig.approved("p", limit=69_100), "o", first.ref)
        ended = await rig.broker.cancel("p", changed.ref)
        assert (first.status, changed.status, ended.status) == (ACCEPTED, ACCEPTED, ACCEPTED), (changed, ended)
        assert [fields["ORD_DVSN"] for fields in sent(rig, "order-rvsecncl")] == ["41", "41"]


@pytest.mark.parametrize(
    ("moment", "is_after"),
    [
        ("2026-09-11T16:30", False),  # the Friday before
        ("2026-09-14T15:59", False),
        ("2026-09-14T16:00", True),
        ("2026-09-14T19:59", True),
        ("2026-09-14T20:00", False),
        ("2026-11-19T16:10", False),  # the regular session ends at 16:30 on the day of the entrance examination
        ("2026-11-19T16:31", True),
    ],
)
def test_the_after_market_follows_the_regular_session(moment: str, is_after: bool) -> None:
    assert is_after_market(datetime.fromisoformat(f"{moment}+09:00").astimezone(KST)) is is_after


async def test_a_paper_account_takes_plain_orders_of_the_day_for_krx_alone(tmp_path: Path) -> None:
    async with served(tmp_path, paper=True) as rig:
        able = rig.broker.capabilities
        assert able.order_types == {OrderType.LIMIT, OrderType.MARKET, OrderType.BEST}
        assert able.times_in_force == {TimeInForce.DAY}
        for terms in ({"time_in_force": TimeInForce.IOC}, {"type": OrderType.MID, "limit": None}, {"venue": "NXT"}):
            ack = await rig.broker.place(rig.approved("o", **terms))
            assert (ack.status, bool(ack.reason)) == (REJECTED, True)
        assert rig.kis.made("order-cash") == []


@pytest.mark.parametrize(
    ("exchange", "lacks"),
    [("KRX", set()), ("NXT", {(OrderType.MARKET, TimeInForce.DAY)}), ("SOR", {(OrderType.MID, TimeInForce.DAY)})],
)
async def test_what_an_exchange_does_not_take_is_not_sent_there(
    tmp_path: Path, exchange: str, lacks: set[tuple[OrderType, TimeInForce]]
) -> None:
    async with served(tmp_path, exchange=exchange) as rig:
        for kind in (OrderType.MARKET, OrderType.MID):
            ack = await rig.broker.place(rig.approved(kind.value, type=kind, limit=None))
            assert (ack.status is REJECTED) is ((kind, TimeInForce.DAY) in lacks), ack
        assert {fields["EXCG_ID_DVSN_CD"] for fields in sent(rig)} == {exchange}


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        ({"type": OrderType.BEST}, "takes no limit"),
        ({"venue": "NYSE"}, "orders for NYSE are not taken here; allowed: KRX, NXT, SOR"),
        ({"max_cost": D(1)}, "cap on their cost"),
        ({"limit": None, "stop_price": D(1), "type": OrderType.STOP}, "orders of type STOP are not taken"),
        ({"time_in_force": TimeInForce.GTC}, "GTC are not taken"),
    ],
)
async def test_what_cannot_be_said_to_kis_is_not_sent(tmp_path: Path, terms: dict[str, Any], why: str) -> None:
    async with served(tmp_path) as rig:
        ack = await rig.broker.place(rig.approved("o", **terms))
        assert ack.status is REJECTED
        assert why in ack.reason
        assert rig.kis.requests == []


@pytest.mark.parametrize(("field", "number"), [("qty", D("1.5")), ("qty", D(0)), ("limit", D("69000.5"))])
async def test_numbers_are_whole(tmp_path: Path, field: str, number: D) -> None:
    async with served(tmp_path) as rig:
        approved = rig.approved("o")
        wrong = replace(approved, request=replace(approved.request, **{field: number}))
        assert (await rig.broker.place(wrong)).status is REJECTED
        assert rig.kis.requests == []


# -- what an answer proves


PROOFS = [
    ("closed", {}, "the market takes no orders now"),
    ("cash", {"qty": 100_000}, "the account has too little cash"),
    ("no_holding", {"side": SELL}, "the account holds too few shares"),
    ("unknown", {"symbol": "999999"}, "the symbol cannot be traded"),
    ("tick", {"limit": 69_050}, "the price is not allowed"),
    ("band", {"limit": 100_000}, "the price is not allowed"),
]


@pytest.mark.parametrize("paper", [False, True])
@pytest.mark.parametrize(("name", "terms", "meaning"), PROOFS)
async def test_a_refusal_with_a_text_is_a_proof_and_says_why(
    tmp_path: Path, paper: bool, name: str, terms: dict[str, Any], meaning: str
) -> None:
    async with served(tmp_path, paper=paper) as rig:
        if name == "closed":
            rig.kis.clock.jump_to(rig.kis.clock.at("21:00"))
        ack = await rig.broker.place(rig.approved("o", **terms))
        assert ack.status is REJECTED
        assert ack.reason.startswith(meaning)
        assert rig.said == []
        assert rig.orders() == []


async def test_an_order_that_would_meet_our_own_is_refused_as_a_wash_trade(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        rig.kis.hold(SYMBOL, 10, 60_000)
        await rig.broker.place(rig.approved("o", BUY, 10, 69_000))
        ack = await rig.broker.place(rig.approved("p", SELL, 10, 69_000))
        assert ack.status is REJECTED
        assert ack.reason.startswith("it would meet an order of the same account")


async def test_a_refusal_that_is_not_known_is_told_to_a_person(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        body = '{"rt_cd": "1", "msg_cd": "APBK7777", "msg1": "처음 보는 사유"}'
        rig.kis.fault("answer", on="order-cash", status=200, body=body)
        ack = await rig.broker.place(rig.approved("o"))
        assert ack.status is REJECTED
        assert ack.reason == "REJECTED_UNCLASSIFIED (KIS: APBK7777 처음 보는 사유)"
        (said,) = rig.said
        assert "send order o for a reason that is not known here: APBK7777 처음 보는 사유" in said


@pytest.mark.parametrize("fault", ["rate_limit", "token_expired", "token_unknown"])
async def test_what_the_gateway_stops_has_not_been_taken_and_is_not_sent_again(tmp_path: Path, fault: str) -> None:
    async with served(tmp_path) as rig:
        rig.kis.fault(fault, on="order-cash")
        assert (await rig.broker.place(rig.approved("o"))).status is REJECTED
        assert len(rig.kis.made("order-cash")) == 1
        assert rig.orders() == []


DOUBTS = [
    "cut_before", "ack_lost", "http_504_before", "http_504_after", "http_502", "http_503", "http_429",
    "timed_out_301", "timed_out_302", "transient", "server_error", "routing_error", "ledger_limit", "html",
    "bad_json", "empty_body", "wrong_charset",
]  # fmt: skip


@pytest.mark.parametrize("fault", DOUBTS)
async def test_anything_else_proves_nothing_and_the_order_leaves_once(tmp_path: Path, fault: str) -> None:
    async with served(tmp_path) as rig:
        await rig.broker.connect()
        rig.kis.fault(fault, on="order-cash")
        ack = await rig.broker.place(rig.approved("o"))
        assert (ack.status, ack.ref, bool(ack.reason)) == (UNKNOWN, None, True)
        assert len(rig.kis.made("order-cash")) == 1


@pytest.mark.parametrize("fault", ["timeout_before", "timeout_after"])
async def test_no_answer_in_time_proves_nothing(tmp_path: Path, fault: str) -> None:
    async with served(tmp_path, answer_s=0.2) as rig:
        rig.kis.fault(fault, on="order-cash")
        ack = await rig.broker.place(rig.approved("o"))
        assert (ack.status, ack.reason) == (UNKNOWN, "KIS: cannot send order o: no answer within 0.2 s")
        assert len(rig.orders()) == (fault == "timeout_after")


async def test_an_order_that_was_taken_without_a_number_is_unknown(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        body = '{"rt_cd": "0", "msg_cd": "APBK0013", "msg1": "주문 전송 완료 되었습니다.", "output": {}}'
        rig.kis.fault("answer", on="order-cash", status=200, body=body)
        assert (await rig.broker.place(rig.approved("o"))).status is UNKNOWN


async def test_an_order_that_comes_twice_is_sent_once_also_while_its_answer_is_awaited(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        await rig.broker.connect()
        first, second = await asyncio.gather(
            rig.broker.place(rig.approved("o")), rig.broker.place(rig.approved("o"))
        )
        assert (first.status, second.status) == (ACCEPTED, UNKNOWN)
        assert await rig.broker.place(rig.approved("o")) == first
        assert len(rig.orders()) == 1


async def test_being_cancelled_passes_through_and_the_order_is_not_sent_again(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        await rig.broker.connect()
        rig.kis.fault("timeout_after", on="order-cash")
        sending = asyncio.create_task(rig.broker.place(rig.approved("o")))
        while not rig.orders():
            await asyncio.sleep(0.001)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert (await rig.broker.place(rig.approved("o"))).status is UNKNOWN
        assert len(rig.orders()) == 1


# -- cancels


async def test_a_cancel_names_number_branch_and_exchange_and_has_a_number_of_its_own(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        placed = await rig.broker.place(rig.approved("o"))
        ack = await rig.broker.cancel("o", placed.ref)
        order, cancel = rig.orders()
        assert (ack.status, ack.ref and ack.ref.number) == (ACCEPTED, cancel.number)
        assert sent(rig, "order-rvsecncl") == [
            {
                "KRX_FWDG_ORD_ORGNO": order.branch, "ORGN_ODNO": order.number, "ORD_DVSN": "00",
                "RVSE_CNCL_DVSN_CD": "02", "ORD_QTY": "0", "ORD_UNPR": "0", "QTY_ALL_ORD_YN": "Y",
                "EXCG_ID_DVSN_CD": "KRX", "CNDT_PRIC": "",
            }
        ]  # fmt: skip
        assert order.rest == 0


async def test_the_answer_to_a_cancel_may_be_in_small_letters(tmp_path: Path) -> None:
    async with served(tmp_path, settings=Settings(lower_case_answers=True)) as rig:
        placed = await rig.broker.place(rig.approved("o"))
        assert (await rig.broker.cancel("o", placed.ref)).status is ACCEPTED


@pytest.mark.parametrize("rows", ["routed", "both", "asked"])
async def test_the_first_cancel_of_an_order_that_was_sent_on_names_the_exchange_where_it_is(
    tmp_path: Path, rows: str
) -> None:
    async with served(tmp_path, settings=Settings(sor_routes="NXT", sor_rows=rows), exchange="SOR") as rig:
        placed = await rig.broker.place(rig.approved("o"))
        assert rig.orders()[0].routed == "NXT"
        assert (await rig.broker.cancel("o", placed.ref)).status is ACCEPTED
        assert [fields["EXCG_ID_DVSN_CD"] for fields in sent(rig, "order-rvsecncl")] == ["NXT"]


@pytest.mark.parametrize("paper", [False, True])
async def test_an_order_is_cancelled_after_a_restart_by_its_number_alone(tmp_path: Path, paper: bool) -> None:
    async with served(tmp_path, paper=paper) as rig:
        placed = await rig.broker.place(rig.approved("o"))
        again = rig.restart()
        assert (await again.cancel("o", placed.ref)).status is ACCEPTED
        assert rig.orders()[0].rest == 0
        await again.close()


async def test_a_cancel_of_what_is_not_open_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        placed = await rig.broker.place(rig.approved("o"))
        assert placed.ref is not None
        rig.kis.fill(placed.ref.number)
        ack = await rig.broker.cancel("o", placed.ref)
        assert (ack.status, ack.reason.partition(" (")[0]) == (REJECTED, "nothing is left to change or cancel")
        never = await rig.broker.cancel("x", replace(placed.ref, number="0000000001"))
        assert never.status is REJECTED


async def test_a_cancel_of_another_day_is_not_sent(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        placed = await rig.broker.place(rig.approved("o"))
        rig.kis.clock.jump_to(rig.kis.clock.at("10:00", days=1))
        assert (await rig.broker.cancel("o", placed.ref)).status is REJECTED
        assert rig.kis.made("order-rvsecncl") == []


@pytest.mark.parametrize("fault", [*DOUBTS, "rate_limit", "token_expired"])
async def test_a_cancel_without_a_proof_may_be_asked_for_again(tmp_path: Path, fault: str) -> None:
    """Also where the gateway has refused it: that says nothing of the order."""
    async with served(tmp_path) as rig:
        placed = await rig.broker.place(rig.approved("o"))
        rig.kis.fault(fault, on="order-rvsecncl")
        assert (await rig.broker.cancel("o", placed.ref)).status is UNKNOWN
        assert len(rig.kis.made("order-rvsecncl")) == 1
        assert (await rig.broker.cancel("o", placed.ref)).status in (ACCEPTED, REJECTED)
        assert rig.orders()[0].rest == 0


# -- changes


async def test_a_new_price_gives_what_is_left_a_number_of_its_own(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        placed = await rig.broker.place(rig.approved("o"))
        assert placed.ref is not None
        rig.kis.fill(placed.ref.number, 4, 69_000)
        ack = await rig.broker.replace(rig.approved("p", limit=68_900), "o", placed.ref)
        assert ack.status is ACCEPTED
        first, second = rig.orders()
        assert (first.rest, second.rest, second.price, second.original) == (0, 6, 68_900, first.number)
        (order,) = await rig.broker.orders()
        assert (order.qty, order.filled, order.limit) == (D(10), D(4), D(68_900))
        assert (order.ref, order.earlier) == (ack.ref, (placed.ref,))


async def test_a_smaller_quantity_at_a_new_price_is_taken_out_first(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        placed = await rig.broker.place(rig.approved("o"))
        assert placed.ref is not None
        rig.kis.fill(placed.ref.number, 4, 69_000)
        ack = await rig.broker.replace(rig.approved("p", qty=7, limit=68_900), "o", placed.ref)
        assert ack.status is ACCEPTED
        assert [(one["RVSE_CNCL_DVSN_CD"], one["ORD_QTY"]) for one in sent(rig, "order-rvsecncl")] == [
            ("02", "3"),
            ("01", "0"),
        ]
        (order,) = await rig.broker.orders()
        assert (order.qty, order.filled, order.remaining, order.ref) == (D(7), D(4), D(3), ack.ref)


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        ({"qty": 11, "limit": 68_900}, "makes no order larger: 10 were ordered"),
        ({"qty": 4, "limit": 68_900}, "4 of it are executed already"),
        ({"qty": 7}, "at a new price only"),
        ({"side": SELL, "limit": 71_000}, "another symbol or side"),
        ({"time_in_force": TimeInForce.GTC, "limit": 68_900}, "GTC"),
    ],
)
async def test_a_change_that_kis_does_not_make_is_not_sent(tmp_path: Path, terms: dict[str, Any], why: str) -> None:
    async with served(tmp_path) as rig:
        placed = await rig.broker.place(rig.approved("o"))
        assert placed.ref is not None
        rig.kis.fill(placed.ref.number, 4, 69_000)
        ack = await rig.broker.replace(rig.approved("p", **terms), "o", placed.ref)
        assert (ack.status, ack.client_order_id) == (REJECTED, "p")
        assert why in ack.reason
        assert rig.kis.made("order-rvsecncl") == []


async def test_the_old_number_names_nothing_any_more(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        placed = await rig.broker.place(rig.approved("o"))
        changed = await rig.broker.replace(rig.approved("p", limit=68_900), "o", placed.ref)
        await rig.broker.orders()
        assert (await rig.broker.cancel("p", placed.ref)).status is REJECTED
        assert (await rig.broker.cancel("p", changed.ref)).status is ACCEPTED
        assert [one.state for one in await rig.broker.orders()] == [BrokerOrderState.CANCELLED]


async def test_a_change_of_which_half_was_done_says_so(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        placed = await rig.broker.place(rig.approved("o"))
        rig.kis.fault("ack_lost", on="order-rvsecncl", after=1)
        ack = await rig.broker.replace(rig.approved("p", qty=7, limit=68_900), "o", placed.ref)
        assert ack.status is UNKNOWN
        assert ack.reason.endswith("; 3 were taken out of it before")


# -- without a token


async def test_an_order_that_has_not_left_is_rejected_and_a_cancel_may_be_asked_for_again(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        placed = await rig.broker.place(rig.approved("o"))
        # Given a token that is over, and none that can be had
        rig.kis.clock.jump(timedelta(hours=3))
        rig.broker._rest.tokens.refuse(rig.broker._rest.tokens.present())
        rig.kis.fault("http_502", on="tokenP", times=None)
        # When an order and a cancel are asked for
        ack = await rig.broker.place(rig.approved("p"))
        cancel = await rig.broker.cancel("o", placed.ref)
        # Then neither was sent: the one is refused, the other still open
        assert (ack.status, cancel.status) == (REJECTED, UNKNOWN)
        assert ack.reason.startswith("nothing was sent: KIS: cannot send order p: KIS: cannot get an access token")
        assert (len(rig.kis.made("order-cash")), len(rig.kis.made("order-rvsecncl"))) == (1, 0)


async def test_an_order_does_not_wait_for_a_token_beyond_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "_TOKEN_S", 0.05)
    async with served(tmp_path) as rig:
        rig.kis.fault("timeout_before", on="tokenP")
        ack = await rig.broker.place(rig.approved("o"))
        assert (ack.status, rig.kis.made("order-cash")) == (REJECTED, [])
        assert "KIS has given no token within 0.05 s" in ack.reason


# -- the clock of KIS


async def test_kis_tells_its_time_to_half_a_second(tmp_path: Path) -> None:
    async with served(tmp_path) as rig:
        told = await rig.broker.time_ns()
        assert told is not None
        assert abs(told - rig.kis.clock.time_ns()) <= NS_PER_S // 2
