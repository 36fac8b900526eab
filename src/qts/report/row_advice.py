"""Advice for rows of the input that were refused, and how unfilled orders ended: English and Korean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qts.market.files import refusals as rows
from qts.market.files.remedies import SENTENCES, sentence_of

ALLOWED_KOREAN: Final[Mapping[str, str]] = {
    rows.MALFORMED: "한 줄에 한 행, 머리글과 같은 열 수",
    rows.WRONG_TYPE: "형식이 정한 필드와 자료형",
    rows.INVALID_UTF8: "UTF-8",
    rows.OVERLONG: "한 줄에 최대 1 MiB",
    rows.NOT_A_NUMBER: "70000, 0.015와 같은 십진수",
    rows.NOT_FINITE: "유한한 수, 모르면 빈 칸",
    rows.OUT_OF_RANGE: "시장에서 나올 수 있는 수",
    rows.NO_PRICE: "0보다 큰 매수·매도 호가 또는 체결가",
    rows.NONPOSITIVE_PRICE: "0보다 큰 가격, 없으면 빈 칸",
    rows.NONPOSITIVE_SIZE: "0보다 큰 수량",
    rows.NEGATIVE_SIZE: "0 이상의 수량",
    rows.CROSSED_BOOK: "매도 호가 이하의 매수 호가",
    rows.NO_TRADE: "거래가 있는 봉. 여기서 뺀 행으로 잃는 것은 없습니다",
    rows.NO_VOLUME: "0 이상의 거래량",
    rows.OUTSIDE_RANGE: "저가와 고가 사이의 시가와 종가",
    rows.BAD_TIME: "2026-01-23T09:01:00+09:00와 같이 UTC 오프셋이 있는 시각",
    rows.TIME_BACKWARDS: "시각 순서로 늘어선 행",
    rows.FUTURE: "뒤따르는 행과 맞는 시각",
    rows.LATE: "시세 설정이 허용하는 초 안에 들어온 값",
    rows.DUPLICATE: "같은 행은 한 번만",
    rows.UNKNOWN_SYMBOL: "알려진 종목",
    rows.TOO_MANY_SYMBOLS: "최대 10,000개 종목",
    rows.UNKNOWN_STREAM: "bookTicker, trade, depth",
    rows.TRUNCATED_GZIP: "온전한 파일",
    rows.DAMAGED_GZIP: "온전한 파일",
    rows.DAMAGED_PARQUET: "온전한 파일",
}
"""The Korean of :data:`qts.market.files.refusals.ALLOWED`."""

REMEDIES_KOREAN: Final[Mapping[str, str]] = {
    "": "",
    "epoch": "1970년부터 센 값으로 보입니다: --date-format {}",
    "serial": "스프레드시트의 날짜 일련번호로 보입니다: --date-format excel --timezone Asia/Seoul",
    "day_first": "일이 먼저 적혀 있습니다: --date-format %d/%m/%Y",
    "month_first": "월이 먼저 적혀 있습니다: --date-format %m/%d/%Y",
    "which_first": "일과 월 중 무엇이 먼저인지 지정하세요: --date-format %d/%m/%Y 또는 --date-format %m/%d/%Y",
    "naive": "시각의 시간대를 지정하세요: --timezone Asia/Seoul (또는 다른 시간대)",
    "thousands": "천 단위 구분 기호를 빼세요",
    "comma": "소수점은 쉼표가 아니라 점으로 쓰세요",
    "zeros": "앞자리 0이 사라졌습니다: {}. 열을 텍스트로 저장하세요",
    "six": "한국 종목 코드는 여섯 자리입니다",
    "won": (
        "원화 계좌는 한국 주식을 거래합니다. 다른 종목은 instruments.yaml에 규칙(OPEN-24H 시장과 currency, "
        "quantum, tick, fee_rate, tax_rate)을 적거나 계좌 통화를 지정하세요: --set runtime.currency=USD"
    ),
    "currency": "한 계좌의 통화는 하나이며 이 종목의 통화는 {}입니다",
    "encoding": "{}(한국어)로 보입니다: --encoding {}",
    "sort": "파일을 시각 순서로 정렬하세요",
    "tell_apart": "서로 다른 행이라면 구별할 수 있는 열 id(또는 seq)를 추가하세요",
    "empty": "빈 칸입니다",
}
"""The Korean of :data:`qts.market.files.remedies.SENTENCES`."""


ENDINGS_KOREAN: Final[Mapping[str, str]] = {
    "CANCELLED": "취소",
    "REJECTED": "거부",
    "NOT_SENT": "전송되지 않음",
    "expired at the close": "장 마감으로 만료",
    "cancelled on request": "요청에 따라 취소",
    "other reasons": "그 밖의 사유",
}
"""How an order ended, and the reasons that our own parts give; a broker's words stay as they are."""


def ending(reason: str) -> tuple[str, str]:
    """Return how an order ended without a fill, as the result's ``orders_unfilled`` names it: (English, Korean)."""
    state, _, why = reason.partition(": ")
    korean = ENDINGS_KOREAN.get(state, state)
    return reason, f"{korean}: {ENDINGS_KOREAN.get(why, why)}" if why else korean


def row_advice(reason: str, remedy: str) -> tuple[str, str]:
    """Return what is allowed in the place of a row refused for ``reason``, and its remedy: (English, Korean)."""
    return (
        _joined(rows.ALLOWED.get(reason, reason), sentence_of(remedy, SENTENCES)),
        _joined(ALLOWED_KOREAN.get(reason, reason), sentence_of(remedy, REMEDIES_KOREAN)),
    )


def _joined(allowed: str, remedy: str) -> str:
    return f"{allowed}; {remedy}" if remedy else allowed
