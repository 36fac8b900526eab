"""The Korean text of every note; :mod:`qts.notes.rendering` says how placeholders are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TEXTS: Final[Mapping[str, str]] = {
    # what another program has written as text
    "text": "{text}",
    # what is traded with
    "real-money": "실전(LIVE): 이 세션은 실제 돈으로 거래했습니다",
    "paper-account": "모의투자 계좌: 이 세션은 실제 돈 없이 증권사의 모의투자 계좌로 거래했습니다",
    # rules of the market
    "rule-before-first-row": "{subject}: {since} 이전의 기준이 없어 {day}에는 첫 기준을 적용했습니다.",
    "rule-before-first-row-settled": (
        "{subject}: {since} 이전의 기준이 없어 {day} 결제분에는 첫 기준을 적용했습니다."
    ),
    "broker-fee": "위탁수수료",
    "sell-tax": "증권거래세({board})",
    "sell-tax-with-rural": "증권거래세(농특세 포함, {board})",
    "tick-table": "호가 단위({board})",
    "price-limit": "가격제한폭",
    "session-times": "거래 시간",
    "settlement": "결제일",
    "no-closed-days": "휴장일: {year}년의 휴장일 자료가 없어 평일을 모두 거래일로 보았습니다.",
    # the input as a whole
    "input-delimiter": "입력: 첫 줄을 보고 열 구분 기호를 {mark:으로/로} 판단했습니다.",
    "mark-comma": "쉼표",
    "mark-semicolon": "세미콜론",
    "mark-tab": "탭",
    "mark-bar": "세로줄",
    "input-symbols-read": "입력: 종목 표기를 다음과 같이 읽었습니다: {named}.",
    "symbol-read-as": "{spelled} → {symbol}",
    "some-of": "{named} 외 {count}종목",
    "input-rules-kospi": (
        "거래 규칙: {named:은/는} 코스피 종목으로 보았습니다. 다른 시장은 instruments.yaml에 시장(KRX-KOSDAQ, "
        "KRX-ETF)을 적으세요."
    ),
    "input-rules-guessed": (
        "거래 규칙: 파일의 숫자로 추정했습니다: {named}. 정하려면 instruments.yaml에 종목을 적으세요."
    ),
    "rules-of-numbers": "{symbol}(호가 단위 {tick}, 매매수량단위 {lot}, 24시간 거래)",
    "rules-of-numbers-with-fee": (
        "{symbol}(호가 단위 {tick}, 매매수량단위 {lot}, 수수료 {fee}%, 세금 없음, 24시간 거래)"
    ),
    "bars-read": "입력: {symbols}종목, {interval}봉 {bars}개이며 {known}.",
    "bars-known-at-close": "각 봉은 그 거래일 장 마감에 알려진 것으로 봅니다",
    "bars-known-at-midnight": "각 봉은 그날이 끝나는 자정에 알려진 것으로 봅니다",
    "bars-known-at-end": "각 봉은 끝나는 시각에 알려진 것으로 보며, 파일의 시각은 봉의 시작으로 읽었습니다",
    "warm-up-read": "준비 구간: {symbols}종목의 {interval}봉을 다음에서 읽었습니다: {named}.",
    "warm-up-source": "{named}({bars}개)",
    "warm-up-stored-values": "{server} 서버에 기록된 시세",
    "warm-up-stored-bars": "{server} 서버에 저장된 {interval}봉",
    "warm-up-own-rows": "입력의 {day} 이전 행",
    "warm-up-missing": (
        "준비 구간: {symbols}종목의 {interval}봉이 부족합니다: {named}. 다 채워질 때까지 진입 주문은 나가지 "
        "않으며, --from 이전 행이나 --history 파일로 미리 채울 수 있습니다."
    ),
    "bars-none": (
        "{interval}봉: {strategy} 전략이 선언했지만 한 개도 만들어지지 않았습니다. 봉은 체결, "
        "또는 입력에 있는 같거나 더 짧은 봉으로 만듭니다."
    ),
    "warm-up-dropped": "준비 구간: {strategy} 전략이 시작 전 봉에서 낸 주문 {count}건은 버려졌습니다.",
    "warm-up-found": "{symbol} {wanted}개 중 {found}개",
    "bars-encoding": "입력: 열 이름을 보고 {encoding} 인코딩으로 읽었습니다.",
    "bars-without-volume": "입력: 거래량이 0인 봉이 {bars}개입니다. 거래량이 없는 봉에서는 체결되지 않습니다.",
    "bars-symbols-named": "입력: 종목을 파일 이름에서 읽었습니다: {named}.",
    "bars-newest-first": "입력: 최신 행이 먼저 있어 시간 순서로 바꾸어 읽었습니다: {named}.",
    "bars-floats": "입력: 열 {columns}의 값이 이진 부동소수점이어서 가장 짧은 십진수로 읽었습니다.",
    "bars-actions": "입력: 분할·배당 {count}건을 읽었고 다른 종목의 {left}건은 제외했습니다.",
    "bars-actions-derived": (
        "입력: 수정종가에서 분할·배당 {count}건을 소수 자릿수가 허용하는 만큼 정확히 계산했습니다"
        "(예: {symbol} {day} {kind} {value}). 정확한 값은 actions.csv에 적으세요."
    ),
    "action-dividend": "배당",
    "action-split": "분할",
    "bars-adjusted-unused": (
        "입력: {interval}봉으로는 분할·배당일을 알 수 없어 {symbol}의 수정종가를 쓰지 않았습니다."
    ),
    "bars-binary-noise": (
        "입력: 가격·거래량 {noisy}개에 이진 부동소수점 오차가 있어 십진수로 읽었습니다(예: {place}의 {was} → "
        "{now})."
    ),
    "input-depth-gaps": (
        "입력: {symbol}의 호가 갱신에 빠진 곳이 {count}곳 있습니다. 그 뒤로는 다음 스냅숏까지 호가 잔량을 모르는 "
        "것으로 봅니다."
    ),
    "input-trades-missing": "입력: 기록에서 {symbol}의 체결 {count}건이 빠져 있습니다.",
    "values-recorded": "시세 {count}건을 서버에 기록했고, {waiting}건이 기록을 기다리고 있습니다.",
    "values-not-cached": (
        "캐시: 대기한 값이 너무 많았거나 캐시가 제때 응답하지 않아 {count}건을 쓰지 못했습니다({kinds})."
    ),
    "values-not-recorded": "서버 기록을 기다리는 시세가 너무 많아 {count}건을 기록하지 못했습니다({symbols}).",
    "values-refused-by-server": "시세 {count}건은 서버에 저장할 수 없습니다. 첫 번째 이유: {why}",
    "input-ended-early": "입력: {damage}({line}행 뒤).",
    "gzip-truncated": "gzip 파일이 중간에 끝나 불완전한 마지막 행을 버렸습니다",
    "gzip-damaged": "gzip 데이터가 손상되어({error}) 그 뒤는 읽을 수 없고 앞의 값도 틀릴 수 있습니다",
    "parquet-damaged": "parquet 행 그룹 {group:을/를} 읽을 수 없습니다: {error}",
    "input-binary-noise": (
        "입력: 처음 {rows}행의 가격·수량 {numbers}개 중 {noisy}개에 이진 부동소수점 오차가 있어 십진 단위에 "
        "맞추었습니다(예: {line}행의 {was} → {now})."
    ),
    "input-float-sizes": (
        "입력: {symbol}의 수량은 단위가 없는 이진 부동소수점 값이어서(예: {line}행의 {was}) 매매수량단위를 "
        "{lot:으로/로} 보았습니다."
    ),
    # the session
    "dead-letters": "처리 실패 보관함(dead letter): {priority} 이벤트 {count}건을 처리하지 못했습니다{last}.",
    "last-error": "(마지막 오류: {error})",
    "quarantine": (
        "격리된 증권사 통보: {count}건을 장부에 반영하지 않았습니다. 첫 건은 {at}의 {code}입니다(사유: {reason})."
    ),
    "stopped-by-operator": (
        "정지 중: {scope} — {since}부터, 운영자 {operator}({reason}). 해제할 때까지 신규 진입하지 않습니다."
    ),
    "scope-strategy": "전략 {name}",
    "scope-symbol": "종목 {name}",
    "scope-pool": "자금 풀 {name}",
    "stopped-after-rejects": (
        "정지 중: 종목 {symbol} — 주문 {count}건이 연속으로 거부되었습니다(마지막 사유: {reason}). 다음 거래일까지 "
        "신규 진입하지 않습니다."
    ),
    "limit-refused": "주문 한도: 주문 {count}건이 한도 {limit}에 걸려 나가지 않았습니다.",
    "limit-volume-unknown": ("주문 한도: 진입 주문 {count}건은 평균 거래량을 알 수 없어 수량 한도만 적용했습니다."),
    "limit-session-info-unknown": (
        "주문 한도: 시세 제공원이 거래정지와 종목 지정 정보를 알려 주지 않아 진입 주문을 그 기준으로 "
        "거르지 않습니다."
    ),
    "order-unknown": (
        "결과 미확인 주문: {about} — 증권사에 {count}회 조회했고, 다음 조회는 {next}. {held} 묶여 있으며, 확인될 "
        "때까지 {symbol}의 다른 {side} 주문은 나가지 않습니다."
    ),
    "order-unknown-at-end": (
        "결과 미확인 주문: {about} — 끝날 때까지 확인되지 않았습니다(증권사 조회 {count}회). {held} 묶여 있으며, "
        "재개한 세션이 확인할 때까지 {symbol}의 다른 {side} 주문은 나가지 않습니다."
    ),
    "exit-open-at-end": (
        "{strategy}의 {symbol} {qty}주 청산이 세션이 끝날 때까지 마무리되지 않았습니다. 재개한 세션이 이어서 "
        "청산합니다. 사유: {reason}"
    ),
    "order-in-words": "{order}({symbol} {qty}주 {price} {side})",
    "side-buy": "매수",
    "side-sell": "매도",
    "at-market": "시장가",
    "at-limit": "지정가 {limit}",
    "question-now": "진행 중입니다",
    "question-in": "{seconds}초 뒤입니다",
    "held-back-cash": "{amount} {currency:이/가}",
    "held-back-shares": "{symbol} {qty}주가",
    "server-has-all": "서버: {server:이/가} 이 실행의 배치 {batches}건을 모두 받았습니다.",
    "server-lacks": (
        "서버: {server:이/가} 이 실행의 배치 {batches}건 가운데 {lacks}건을 아직 받지 못했습니다({reason}). "
        "남은 배치는 {directory}에 보관되어 있으며, 같은 명령에 --resume을 붙여 실행하면 전송됩니다."
    ),
    "server-unknown": (
        "서버: {server:이/가} 이 실행의 배치 {batches}건 가운데 무엇을 가지고 있는지 확인하지 못했습니다"
        "({reason}). 잃은 것은 없습니다. 배치는 {directory}에 있으며, 같은 명령에 --resume을 붙여 "
        "실행하면 서버에 없는 것을 전송합니다."
    ),
    "server-not-drained": "세션이 store.drain_s보다 오래 기다리지 않음",
    "server-unnamed": "서버",
    "server-unnamed-sheets": "Google Sheets",
    "server-altered": ("서버: {server}에 보낸 내용과 다른 행이 있었습니다. 옳은 것은 로컬 장부입니다: {first}"),
    "price-in-doubt": (
        "불가능한 가격: {price}. 시세 {refused}건을 제외했고, 가격을 믿을 수 없어 이 종목에 신규 진입하지 "
        "않습니다. 액면분할이나 권리락이 있었습니까? 수정주가를 쓰거나 파일을 {cut}에서 나누세요."
    ),
    "price-was-doubted": "불가능한 가격: {price}. 시세 {refused}건을 제외했고, 이후 시세는 정상으로 돌아왔습니다.",
    "impossible-price": (
        "{symbol}의 {at} 가격 {price:은/는} {base} 기준 당일 가격제한폭 {low}~{high} 밖입니다{split}"
    ),
    "base-previous": "{price}",
    "base-first-price": "당일 첫 가격 {price}",
    "split-likely": "({ratio} 분할?)",
    "fills-on-open": (
        "봉 체결: 주문은 다음 봉의 시가부터, 슬리피지 {ticks}호가로, 봉 거래량의 {share}%까지만 체결됩니다."
    ),
    "fills-on-close": "봉 체결: 주문은 주문 당일 봉의 종가에, 그 거래량의 {share}%까지만 체결됩니다.",
    "held-without-price": (
        "보유 {count}개 종목은 {days}일 이상 시세가 없어({symbol}: {since} 이후) 마지막 가격으로 평가했습니다."
    ),
    "no-previous-close": "가격제한폭: 전일 종가 자료가 없는 {count}개 종목은 첫 가격을 기준가로 썼습니다.",
    # figures of performance that are unknown
    "performance-unknown": "성과 지표를 계산할 수 없습니다: {error}",
    "figure-too-few-days": "판단하기에 부족합니다. 거래일이 {days}일뿐이며 {needed}일이 필요합니다.",
    "figure-no-days": "판단하기에 부족합니다. 마감된 거래일이 없습니다.",
    "figure-no-spread": "판단하기에 부족합니다. 날마다 수익률이 같았습니다.",
    "figure-no-fall": "판단하기에 부족합니다. 평가액이 줄어든 적이 없습니다.",
    "figure-no-capital": "판단하기에 부족합니다. 자본이 없었습니다.",
    "figure-flat-benchmark": "판단하기에 부족합니다. 벤치마크가 움직이지 않았습니다.",
    "figure-nothing-traded": "판단하기에 부족합니다. 사거나 판 것이 없습니다.",
    "figure-no-trips": "판단하기에 부족합니다. 매수에서 전량 매도까지 끝난 거래가 없습니다.",
    "figure-no-losing-trip": "판단하기에 부족합니다. 손실로 끝난 거래가 없습니다.",
    "figure-no-winning-trip": "판단하기에 부족합니다. 이익으로 끝난 거래가 없습니다.",
    "figure-no-stop": "판단하기에 부족합니다. 손절 가격이 정해진 거래가 없습니다.",
    "figure-no-prices": "판단하기에 부족합니다. 보유 기간의 가격을 알 수 없습니다.",
    # searches over parameters
    "search-luck-unknown": (
        "{trials}개 시도 중 최고; 거래일이나 거래한 시도가 너무 적어 운이 얼마나 작용했는지 알 수 없습니다"
    ),
    "search-no-best": (
        "{trials}개 시도 중 순위를 매길 수 있는 것이 없습니다: "
        "실패했거나, 거래가 너무 적거나, 거래일이 너무 적습니다"
    ),
    "search-verdict": "{trials}개 시도 중 최고; 운만으로도 이런 결과가 나올 확률은 {chance} %",
    "search-verdict-judged": (
        "{trials}개 시도 중 최고; 운만으로도 이런 결과가 나올 확률은 {chance} %; "
        "{folds}개 구간 중 {held}개에서 선택에 쓰지 않은 기간에도 수익이 났습니다"
    ),
}
"""Code to text."""
