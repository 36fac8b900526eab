"""The meaning of a refusal of KIS: its codes say different things in different places, so its Korean text decides.

A text that none of the rules knows is REJECTED_UNCLASSIFIED: the order was refused, and a person is shown why.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from qts.broker.kis.answers import Reply

_TOO_FAST: Final = "EGW00201"
NOT_EXECUTED: Final = frozenset(
    {
        "EGW00004",  # no right
        "EGW00103",  # application key
        "EGW00105",  # application secret
        "EGW00121",  # token
        "EGW00122",  # no token
        "EGW00123",  # the token has ended
        "EGW00131",  # hash key
        "EGW00132",  # content type
        _TOO_FAST,  # requests in a second
        "EGW00206",  # no right to the call
        "EGW00213",  # no call of paper accounts
        "EGW02004",  # no call of live accounts
        "EGW02006",  # no call of paper accounts
    }
)
"""Refusals of the gateway before a call reaches what is behind it, so they prove that an order was not taken.

Not among them: EGW00001, 00002, 00003, 00202, 00203, 00215 and 00300, where that is not known, and EGW00301 and
00302, which mean that it is to be asked for."""


class Meaning(Enum):
    """The meanings of refusals."""

    CLOSED = "the market takes no orders now"
    NO_CASH = "the account has too little cash"
    NO_HOLDINGS = "the account holds too few shares"
    WASH_TRADE = "it would meet an order of the same account"
    OTHER_EXCHANGE = "the order is at another exchange"
    NOT_OPEN = "nothing is left to change or cancel"
    NOT_TRADABLE = "the symbol cannot be traded"
    BAD_PRICE = "the price is not allowed"
    BAD_TERMS = "the order's type, quantity or exchange is not allowed"
    NOT_ALLOWED = "the account may not do that"
    TOO_FAST = "more requests in a second than KIS takes"
    IN_DOUBT = "something failed at the broker"
    REJECTED_UNCLASSIFIED = "REJECTED_UNCLASSIFIED"


_RULES: Final = (
    # Trouble of the broker's own proves nothing, whatever else the text says.
    (
        Meaning.IN_DOUBT,
        r"시간.{0,3}초과|타임.?아웃|time.?out|시스템|장애|통신|처리.{0,6}(오류|지연)|처리.?중|잠시.?후",
    ),
    (Meaning.IN_DOUBT, r"원장.{0,4}오류|접속.{0,4}불가|전문.{0,8}오류"),
    (Meaning.OTHER_EXCHANGE, r"원주문.?거래소"),
    (Meaning.NOT_OPEN, r"(정정|취소).{0,14}(수량|주문).{0,10}(없|초과|부족|불가)|원주문.{0,8}(없|확인|존재)"),
    (Meaning.NOT_OPEN, r"이미.{0,8}(체결|취소|정정)|기.?체결"),
    (Meaning.WASH_TRADE, r"가장.?매매|자전|통정|동일.{0,8}(반대|상대)|본인.{0,10}(반대|상대)|교차"),
    (Meaning.CLOSED, r"장.{0,3}(운영|종료|마감|개시|시작)|휴장|영업일|거래.?시간|주문.{0,6}시간|접수.?시간"),
    (Meaning.NO_CASH, r"(주문|매수).{0,4}가능.{0,2}(금액|현금)|예수금|증거금|현금.{0,4}부족|잔액"),
    (Meaning.NO_CASH, r"금액.{0,10}(부족|초과)"),
    (Meaning.NO_HOLDINGS, r"(매도|주문).{0,4}가능.{0,2}(수량|주식|잔고)|잔고.{0,6}(부족|내역|없)"),
    (Meaning.NO_HOLDINGS, r"보유.{0,10}(수량|없|부족)|수량.{0,4}부족"),
    (Meaning.NOT_TRADABLE, r"(거래|매매).{0,2}(정지|불가|제한)|정리.?매매|상장.?폐지|관리.?종목|투자.?(경고|위험)"),
    (Meaning.NOT_TRADABLE, r"종목.{0,12}(없|불가|아닙|제한|오류)"),
    (
        Meaning.BAD_PRICE,
        r"상한가|하한가|가격.{0,4}제한|호가.{0,3}단위|단가|주문.?가격|가격.{0,12}(오류|초과|미만|같)",
    ),
    (
        Meaning.BAD_TERMS,
        r"주문.?(구분|유형|수량|조건)|수량.{0,8}(오류|초과|단위)|거래소|호가.?(구분|유형)|입력|INPUT",
    ),
    (Meaning.NOT_ALLOWED, r"계좌|권한|미.?신청|약관|고객|ACNO"),
)
_COMPILED: Final = tuple((meaning, re.compile(pattern, re.IGNORECASE)) for meaning, pattern in _RULES)


def meaning_of(text: str) -> Meaning:
    """Return what the text of a refusal means."""
    return next((meaning for meaning, rule in _COMPILED if rule.search(text)), Meaning.REJECTED_UNCLASSIFIED)


def refusal_of(reply: Reply) -> Meaning | None:
    """Return what an answer that proves a refusal means; None for one that proves nothing.

    A proof is a refusal of the gateway before the call went on, or HTTP 200 with a code other than 0 and a text
    that does not speak of trouble at the broker.
    """
    envelope = reply.envelope
    if envelope is None:
        return None
    if envelope.code in NOT_EXECUTED:
        return Meaning.TOO_FAST if envelope.code == _TOO_FAST else Meaning.NOT_ALLOWED
    if reply.status != 200 or envelope.rt_cd in ("", "0") or envelope.code.startswith("EGW"):
        return None
    meaning = meaning_of(envelope.msg1)
    return None if meaning is Meaning.IN_DOUBT else meaning


def is_of_gateway(reply: Reply) -> bool:
    """Return whether the gateway refused the call before it went on."""
    return reply.code in NOT_EXECUTED
