"""What the double answers: the envelope of KIS, and refusals of its gateway and of its business side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SERVER_ERROR = 500
FORBIDDEN = 403


class Refused(Exception):
    """A call that is answered by an error: HTTP status and body."""

    def __init__(self, status: int, body: dict[str, str]) -> None:
        super().__init__(f"{status} {body}")
        self.status, self.body = status, body


@dataclass
class Answer:
    """A good answer: the parts of its body, and the header ``tr_cont`` ("" where a call has one page only)."""

    parts: dict[str, Any] = field(default_factory=dict)
    code: str = "MCA00000"
    text: str = "정상처리 되었습니다."
    tr_cont: str = ""

    @property
    def body(self) -> dict[str, Any]:
        return {**self.parts, "rt_cd": "0", "msg_cd": self.code, "msg1": self.text}


def gateway(code: str, status: int = SERVER_ERROR, text: str = "") -> Refused:
    """A refusal of the gateway, before the call reached anything behind it."""
    return Refused(status, {"rt_cd": "1", "msg_cd": code, "msg1": text or GATEWAY[code]})


def sign_in(code: str, status: int = FORBIDDEN) -> Refused:
    """A refusal of the calls that give tokens, whose body has other fields."""
    return Refused(status, {"error_code": code, "error_description": GATEWAY[code]})


def field_error(code: str, text: str) -> Refused:
    """A refusal of fields: HTTP 200, ``rt_cd`` 2."""
    return Refused(200, {"rt_cd": "2", "msg_cd": code, "msg1": text})


def business(code: str, text: str) -> Refused:
    """A refusal of the business side: HTTP 200, ``rt_cd`` 1."""
    return Refused(200, {"rt_cd": "1", "msg_cd": code, "msg1": text})


GATEWAY = {
    "EGW00001": "일시적 오류가 발생했습니다.",
    "EGW00002": "서버 에러가 발생했습니다.",
    "EGW00003": "접근이 거부되었습니다.",
    "EGW00004": "권한을 부여받지 않은 고객입니다.",
    "EGW00103": "유효하지 않은 AppKey입니다.",
    "EGW00105": "유효하지 않은 AppSecret입니다.",
    "EGW00121": "유효하지 않은 token 입니다.",
    "EGW00122": "token이 없습니다.",
    "EGW00123": "기간이 만료된 token 입니다.",
    "EGW00131": "유효하지 않은 hashkey 입니다.",
    "EGW00132": "Content-Type이 유효하지 않습니다.",
    "EGW00133": "접근토큰 발급 잠시 후 다시 시도하세요(1분당 1회)",
    "EGW00201": "초당 거래건수를 초과하였습니다.",
    "EGW00202": "GW라우팅 중 오류가 발생했습니다.",
    "EGW00203": "OPS라우팅 중 오류가 발생했습니다.",
    "EGW00206": "API 사용 권한이 없습니다.",
    "EGW00213": "모의투자 TR 이 아닙니다.",
    "EGW00215": "원장에서 허용 가능한 초당 거래건수를 초과하였습니다.",
    "EGW00300": "GW라우팅 중 오류가 발생했습니다.",
    "EGW00301": "연결 시간이 초과되었습니다. 직전 거래를 반드시 확인하세요.",
    "EGW00302": "거래시간이 초과되었습니다. 직전 거래를 반드시 확인하세요.",
    "EGW02004": "실전투자 TR 이 아닙니다.",
    "EGW02006": "모의투자 TR 이 아닙니다.",
    "EGW02007": "해당 앱키는 모의투자용 앱키가 아닙니다.",
}
"""Texts of the gateway by code; the wording is that of public programs where they quote it, else our own."""
