"""What refusals mean: by their text, since codes mean different things, and what proves nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qts.broker.kis.answers import Reply, envelope_of
from qts.broker.kis.texts import NOT_EXECUTED, Meaning, is_of_gateway, meaning_of, refusal_of

TEXTS = {
    "장운영일자가 주문일과 상이합니다": Meaning.CLOSED,
    "장운영시간이 아닙니다": Meaning.CLOSED,
    "모의투자 장종료 입니다.": Meaning.CLOSED,
    "모의투자 장시작전 입니다": Meaning.CLOSED,
    "모의투자 영업일이 아닙니다.": Meaning.CLOSED,
    "주문가능금액을 초과 했습니다": Meaning.NO_CASH,
    "모의투자 주문가능 금액을 확인하세요": Meaning.NO_CASH,
    "증거금이 부족합니다": Meaning.NO_CASH,
    "주문 가능한 수량을 초과했습니다.": Meaning.NO_HOLDINGS,
    "모의투자 잔고내역이 없습니다": Meaning.NO_HOLDINGS,
    "매도가능수량이 부족합니다": Meaning.NO_HOLDINGS,
    "모의투자 정정/취소할 수량이 없습니다.": Meaning.NOT_OPEN,
    "이미 체결된 주문입니다": Meaning.NOT_OPEN,
    "가장매매 우려 주문으로 접수가 거부되었습니다": Meaning.WASH_TRADE,
    "동일종목 반대주문이 있습니다": Meaning.WASH_TRADE,
    "해당종목정보가 없습니다.": Meaning.NOT_TRADABLE,
    "거래정지 종목입니다": Meaning.NOT_TRADABLE,
    "모의투자 주문처리가 안되었습니다(매매불가 종목)": Meaning.NOT_TRADABLE,
    "주문단가가 상한가를 초과했습니다": Meaning.BAD_PRICE,
    "모의투자 정정가격이 원주문가격과 같습니다": Meaning.BAD_PRICE,
    "호가단위 오류": Meaning.BAD_PRICE,
    "ERROR : INPUT FIELD NOT FOUND [PDNO]": Meaning.BAD_TERMS,
    "일시적인 시스템 오류입니다": Meaning.IN_DOUBT,
    "거래시간이 초과되었습니다": Meaning.IN_DOUBT,
    "주문 처리 중 오류가 발생했습니다": Meaning.IN_DOUBT,
    "처음 보는 거절 사유": Meaning.REJECTED_UNCLASSIFIED,
}


def reply(status: int = 200, **body: Any) -> Reply:
    return Reply(status, "", envelope_of(json.dumps(body).encode()))


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_means_one_thing(text: str) -> None:
    assert meaning_of(text) is TEXTS[text]


def test_a_code_alone_decides_nothing() -> None:
    """APBK0918 and others mean a closed market in one place, and too little money in another."""
    closed = reply(rt_cd="1", msg_cd="APBK0918", msg1="장운영시간이 아닙니다")
    poor = reply(rt_cd="7", msg_cd="APBK0918", msg1="주문가능금액을 초과 했습니다")
    assert (refusal_of(closed), refusal_of(poor)) == (Meaning.CLOSED, Meaning.NO_CASH)


def test_a_refusal_with_a_text_that_is_not_known_is_a_refusal_all_the_same() -> None:
    assert refusal_of(reply(rt_cd="1", msg_cd="APBK9999", msg1="처음 보는")) is Meaning.REJECTED_UNCLASSIFIED


@pytest.mark.parametrize("code", sorted(NOT_EXECUTED))
def test_what_the_gateway_stops_before_the_ledger_is_proof_at_any_status(code: str) -> None:
    stopped = reply(500, rt_cd="1", msg_cd=code, msg1="…")
    assert refusal_of(stopped) is (Meaning.TOO_FAST if code == "EGW00201" else Meaning.NOT_ALLOWED)
    assert is_of_gateway(stopped)


@pytest.mark.parametrize(
    "doubtful",
    [
        reply(500, rt_cd="1", msg_cd="APBK0952", msg1="주문가능금액을 초과 했습니다"),
        reply(500, rt_cd="1", msg_cd="EGW00001", msg1="일시적 오류가 발생했습니다."),
        reply(200, rt_cd="1", msg_cd="EGW00301", msg1="연결 시간이 초과되었습니다."),
        reply(500, rt_cd="1", msg_cd="EGW00302", msg1="거래시간이 초과되었습니다."),
        reply(500, rt_cd="1", msg_cd="EGW00215", msg1="원장에서 허용 가능한 초당 거래건수를 초과하였습니다."),
        reply(200, rt_cd="1", msg_cd="APBK1", msg1="일시적인 시스템 오류"),
        reply(200, rt_cd="", msg_cd="APBK0952", msg1="주문가능금액을 초과 했습니다"),
        reply(200, rt_cd="0", msg_cd="APBK0013", msg1="주문 전송 완료 되었습니다."),
        Reply(200, "", envelope_of(b"")),
        Reply(504, "", envelope_of(b"<html>")),
    ],
)
def test_what_proves_no_refusal_is_none(doubtful: Reply) -> None:
    assert refusal_of(doubtful) is None
