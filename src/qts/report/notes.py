"""The notes of a session in Korean.

The core writes them in English, with numbers and dates inside; each shape of them has its Korean here. A note of
another shape is shown as it is.
"""

from __future__ import annotations

import re
from typing import Final

_SUBJECTS: Final = {
    "broker fee": "위탁수수료",
    "sell tax": "증권거래세",
    "tick table": "호가 단위",
    "price limit": "가격제한폭",
    "session times": "거래 시간",
    "settlement": "결제일",
}
_SCOPES: Final = {"strategy": "전략", "symbol": "종목", "pool": "풀"}
_STRAY: Final = (
    r"(?P<symbol>\S+): (?P<price>\S+) at (?P<at>\S+ \S+) is outside the day's band of "
    r"(?P<low>\S+) to (?P<high>\S+) around (?:the day's first price )?(?P<base>\S+)"
    r"(?: \(a (?P<split>\S+) split\?\))?"
)
_SHAPES: Final = (
    (
        re.compile(
            rf"(?P<what>{'|'.join(_SUBJECTS)})(?: (?P<board>\w+))?: no row before (?P<since>\S+); "
            r"on (?P<day>\S+)(?P<dated> \(settlement\))? the oldest applies"
        ),
        "{what}: {since} 이전의 기준이 없어 {day}{dated}에는 가장 오래된 기준을 적용했습니다.",
    ),
    (
        re.compile(
            r"dead letters: (?P<count>\d+) (?P<priority>P\d) events could not be handled"
            r"(?:; the last: (?P<last>.*))?",
            re.DOTALL,
        ),
        "처리 실패 보관함(dead letter): {priority} 이벤트 {count}건을 처리하지 못했습니다{last}.",
    ),
    (
        re.compile(
            r"quarantine: (?P<count>\d+) notices of the broker were not booked; the first at (?P<since>\S+) "
            r"\((?P<code>\w+)\): (?P<reason>.*)",
            re.DOTALL,
        ),
        "격리된 증권사 통보: {count}건을 장부에 반영하지 않았습니다. 첫 건은 {since}({code}): {reason}.",
    ),
    (
        re.compile(
            r"stopped: (?P<kind>strategy|symbol|pool) (?P<name>.+) is stopped since (?P<since>\S+ \S+) UTC "
            r"by (?P<operator>.*?): (?P<reason>.*); it takes no entry until it is released",
            re.DOTALL,
        ),
        "정지 중: {kind} {name} — {since} UTC부터, 운용자 {operator}: {reason}. "
        "해제할 때까지 신규 진입하지 않습니다.",
    ),
    (
        re.compile(
            r"stopped: (?P<count>\d+) orders of (?P<name>.+?) in a row were rejected, the last: (?P<reason>.*); "
            r"it takes no entry until the next day",
            re.DOTALL,
        ),
        "정지 중: 종목 {name} — 주문 {count}건이 연속으로 거부되었습니다(마지막 사유: {reason}). "
        "다음 거래일까지 신규 진입하지 않습니다.",
    ),
    (
        re.compile(r"calendar: no closed days are known for (?P<year>\d+); weekdays count as trading days"),
        "휴장일: {year}년의 휴장일 자료가 없어 평일을 모두 거래일로 보았습니다.",
    ),
    (
        re.compile(
            rf"prices: {_STRAY}; (?P<count>\d+) values were refused, the symbol is in doubt and takes no entry\. "
            r"Was the share split, or did its rights go ex\? Use adjusted prices, or cut the file at (?P<cut>\S+)"
        ),
        "불가능한 가격: {symbol} {at}의 가격 {price}은(는) {base} 기준 당일 가격제한폭 {low}~{high} 밖입니다"
        "{split}. 값 {count}건을 쓰지 않았고, 가격을 믿을 수 없어 이 종목에 신규 진입하지 않습니다. "
        "액면분할이나 권리락이 있었습니까? 수정주가를 쓰거나 파일을 {cut}에서 나누세요.",
    ),
    (
        re.compile(rf"prices: {_STRAY}; (?P<count>\d+) values were refused, later ones were believed again"),
        "불가능한 가격: {symbol} {at}의 가격 {price}은(는) {base} 기준 당일 가격제한폭 {low}~{high} 밖입니다"
        "{split}. 값 {count}건을 쓰지 않았고, 그 뒤 가격은 다시 맞았습니다.",
    ),
    (
        re.compile(
            r"price band: no previous close in the data for (?P<count>\d+) symbols; "
            r"their first price stood in"
        ),
        "가격제한폭: 전일 종가 자료가 없는 {count}개 종목은 첫 가격을 기준가로 썼습니다.",
    ),
    (
        re.compile(
            r"input: cells are separated by (?P<mark>commas|semicolons|tabs|vertical bars), as its first line shows"
        ),
        "입력: 첫 줄을 보고 열 구분 기호를 {mark}(으)로 판단했습니다.",
    ),
    (
        re.compile(r"input: symbols: read (?P<named>.*)", re.DOTALL),
        "입력: 종목 표기를 다음과 같이 읽었습니다: {named}.",
    ),
    (
        re.compile(
            r"input: rules: taken for shares of KOSPI: (?P<named>.*); for another board write its market "
            r"\(KRX-KOSDAQ, KRX-ETF\) into instruments\.yaml",
            re.DOTALL,
        ),
        "거래 규칙: {named}은(는) 코스피 종목으로 보았습니다. 다른 시장은 instruments.yaml에 시장(KRX-KOSDAQ, "
        "KRX-ETF)을 적으세요.",
    ),
    (
        re.compile(
            r"input: rules: guessed from the numbers of the file: (?P<named>.*); to set them write the symbols "
            r"into instruments\.yaml",
            re.DOTALL,
        ),
        "거래 규칙: 파일의 숫자로 추정했습니다: {named}. 정하려면 instruments.yaml에 종목을 적으세요.",
    ),
    (
        re.compile(
            r"input: (?P<symbol>\S+): gaps in the depth updates: (?P<count>\d+); after each the depth counts as "
            r"unknown until the next snapshot"
        ),
        "입력: {symbol}의 호가 갱신에 빠진 곳이 {count}곳 있습니다. 그 뒤로는 다음 스냅숏까지 호가 잔량을 모르는 "
        "것으로 봅니다.",
    ),
    (
        re.compile(r"input: (?P<symbol>\S+): trades missing from the recording: (?P<count>\d+)"),
        "입력: 기록에서 {symbol}의 체결 {count}건이 빠져 있습니다.",
    ),
    (
        re.compile(
            r"input: the gzip file ends in the middle; its last line is dropped \(after line (?P<count>\d+)\)"
        ),
        "입력: gzip 파일이 중간에 끝나 불완전한 마지막 행을 버렸습니다({count}행 뒤).",
    ),
    (
        re.compile(
            r"input: the gzip data is damaged: what follows is lost, and values before this place may be wrong "
            r"\((?P<error>.*)\) \(after line (?P<count>\d+)\)",
            re.DOTALL,
        ),
        "입력: gzip 데이터가 손상되어 그 뒤는 읽을 수 없고 앞의 값도 틀릴 수 있습니다({count}행 뒤, {error}).",
    ),
    (
        re.compile(
            r"input: (?P<count>\d+) of (?P<all>\d+) prices and sizes in the first (?P<rows>\d+) rows carry "
            r"binary noise; such numbers are put on the decimal grid, e\.g\. line (?P<line>\d+): (?P<was>\S+) "
            r"is taken for (?P<now>\S+)"
        ),
        "입력: 처음 {rows}행의 가격·수량 {all}개 중 {count}개에 이진 부동소수점 오차가 있어 "
        "십진 단위에 맞추었습니다(예: {line}행의 {was} → {now}).",
    ),
    (
        re.compile(
            r"input: sizes of (?P<symbol>\S+) are binary floats without a grid, e\.g\. line (?P<line>\d+): "
            r"(?P<was>\S+); its lot is taken to be (?P<lot>\S+)"
        ),
        "입력: {symbol}의 수량은 단위가 없는 이진 부동소수점 값이어서(예: {line}행의 {was}) "
        "최소 수량 단위를 {lot}(으)로 보았습니다.",
    ),
    (
        re.compile(
            r"input: row group (?P<group>\d+) cannot be read: (?P<error>.*) \(after line (?P<count>\d+)\)",
            re.DOTALL,
        ),
        "입력: parquet 행 그룹 {group}을(를) 읽을 수 없습니다({count}행 뒤, {error}).",
    ),
)


def note_in_korean(note: str) -> str | None:
    """The Korean of a note; None for a shape that is not known."""
    for shape, korean in _SHAPES:
        if (found := shape.fullmatch(note)) is not None:
            parts = {name: text or "" for name, text in found.groupdict().items()}
            if "what" in parts:
                parts["what"] = _SUBJECTS[parts["what"]] + (f"({parts['board']})" if parts["board"] else "")
            if "kind" in parts:
                parts["kind"] = _SCOPES[parts["kind"]]
            if parts.get("dated"):
                parts["dated"] = "(결제일)"
            if "count" in parts:
                parts["count"] = f"{int(parts['count']):,}"
            if parts.get("split"):
                parts["split"] = f"({parts['split']} 분할?)"
            if parts.get("last"):
                parts["last"] = f"(마지막 오류: {parts['last']})"
            return korean.format(**parts)
    return None
