"""Refusals of the business side by name: code and text on the live host, and on the paper one.

The wording is that of public programs and reports where they quote it, else our own; codes mean different things in
different programs, so a client has to read the text.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.doubles.kis.answers import Refused
from tests.doubles.kis.settings import Settings

MOCK = "모의투자 주문처리가 안되었습니다"


class Reason(NamedTuple):
    """One refusal: its ``rt_cd``, code and text on each host."""

    rt_cd: str
    live: tuple[str, str]
    paper: tuple[str, str]


REASONS = {
    "closed": Reason("1", ("APBK0918", "장운영시간이 아닙니다."), ("40580000", "모의투자 장종료 입니다.")),
    "not_yet": Reason("1", ("APBK0918", "장운영시간이 아닙니다."), ("40570000", "모의투자 장시작전 입니다.")),
    "no_business_day": Reason(
        "1", ("APBK0919", "장운영일자가 주문일과 상이합니다."), ("40100000", "모의투자 영업일이 아닙니다.")
    ),
    "cash": Reason(
        "7", ("APBK0952", "주문가능금액을 초과 했습니다"), ("40250000", "모의투자 주문가능금액이 부족합니다.")
    ),
    "sellable": Reason(
        "1", ("APBK0400", "주문 가능한 수량을 초과했습니다."), ("40260000", "모의투자 매도가능수량이 부족합니다.")
    ),
    "no_holding": Reason(
        "1", ("APBK0400", "주문 가능한 수량을 초과했습니다."), ("40240000", "모의투자 잔고내역이 없습니다.")
    ),
    "unknown_code": Reason("1", ("APBK0656", "해당종목정보가 없습니다."), ("40070000", f"{MOCK}(매매불가 종목)")),
    "halted": Reason("1", ("APBK0634", "거래정지 종목입니다."), ("40070000", f"{MOCK}(매매불가 종목)")),
    "tick": Reason("1", ("APBK0510", "주식주문호가단위 오류입니다."), ("40030000", f"{MOCK}(호가단위 오류)")),
    "above_band": Reason(
        "1", ("APBK0406", "상한가를 초과한 주문단가입니다."), ("40040000", f"{MOCK}(상한가 초과)")
    ),
    "below_band": Reason("1", ("APBK0407", "하한가 미만인 주문단가입니다."), ("40040000", f"{MOCK}(하한가 미만)")),
    "kind": Reason(
        "1", ("APBK1943", "해당 거래소에서 사용할 수 없는 주문구분입니다."), ("40060000", f"{MOCK}(주문구분 오류)")
    ),
    "kind_now": Reason(
        "1",
        ("APBK3013", "현재 시간에 사용할 수 없는 주문구분입니다."),
        ("40060000", f"{MOCK}(주문구분 오류)"),
    ),
    "venue": Reason(
        "1",
        ("APBK1944", "거래소ID구분코드를 확인하세요."),
        ("90000000", "모의투자에서는 해당업무가 제공되지 않습니다."),
    ),
    "not_on_venue": Reason(
        "1", ("APBK1945", "해당 거래소에서 거래할 수 없는 종목입니다."), ("40070000", f"{MOCK}(매매불가 종목)")
    ),
    "quantity": Reason("1", ("APBK0401", "주문수량을 확인하세요."), ("40050000", f"{MOCK}(주문수량 오류)")),
    "price": Reason("1", ("APBK0403", "주문단가를 확인하세요."), ("40050000", f"{MOCK}(주문단가 오류)")),
    "wash": Reason(
        "7",
        ("APBK2010", "자전거래 의심 주문으로 접수할 수 없습니다."),
        ("40080000", f"{MOCK}(자전거래 의심)"),
    ),
    "no_original": Reason(
        "7",
        ("APBK0344", "원주문정보가 존재하지않습니다."),
        ("40320000", "모의투자 원주문번호가 존재하지 않습니다."),
    ),
    "other_venue": Reason(
        "7",
        ("APBK0345", "{what}주문 불가합니다. 원주문 거래소[{original}] {what}주문 거래소[{asked}]"),
        ("90000000", "모의투자에서는 해당업무가 제공되지 않습니다."),
    ),
    "nothing_left": Reason(
        "7",
        ("APBK0927", "정정/취소할 수량이 없습니다."),
        ("40330000", "모의투자 정정/취소할 수량이 없습니다."),
    ),
    "too_much": Reason(
        "7",
        ("APBK0928", "정정취소 가능수량을 초과하였습니다."),
        ("40340000", "모의투자 정정/취소 가능수량을 초과하였습니다."),
    ),
}


def refusal(name: str, settings: Settings, *, is_paper: bool, **values: str) -> Refused:
    """Make the refusal of a name as the settings wish it."""
    reason = REASONS[name]
    code, text = reason.paper if is_paper else reason.live
    rt_cd = settings.business_rt_cd or ("1" if is_paper else reason.rt_cd)
    body = {"rt_cd": rt_cd, "msg_cd": settings.shared_code or code, "msg1": text.format(**values)}
    return Refused(settings.business_status, body)
