"""The meaning of the codes and names of a session, one sentence each, in English and Korean.

Tests hold the tables complete: a new refusal, row reason or invariant without its sentence fails them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qts.market.files import refusals as rows
from qts.risk.contracts import Refusal

Bilingual = tuple[str, str]
"""(English, Korean)"""

REFUSALS: Final[Mapping[str, Bilingual]] = {
    Refusal.BELOW_STATE_THRESHOLD.value: (
        "The strategy was less sure than the operating state demands of an entry.",
        "전략의 확신도가 현재 운용 상태의 진입 기준보다 낮았습니다.",
    ),
    Refusal.NEW_ENTRY_BLOCKED_IN_DEFENSIVE_STATE.value: (
        "DEFENSIVE takes exits only; the entry had to wait.",
        "방어 상태에서는 청산만 허용되어 신규 진입이 거부되었습니다.",
    ),
    Refusal.ENGINE_INACTIVE.value: (
        "The engine of this pool is inactive in the operating state of that moment.",
        "그 시점의 운용 상태에서는 해당 자금 풀의 엔진이 비활성 상태였습니다.",
    ),
    Refusal.SAFETY_BLOCKS_ENTRIES.value: (
        "Safety was FAIL or LOCKDOWN: only risk-reducing orders leave.",
        "안전 상태가 FAIL 또는 LOCKDOWN이라 위험을 줄이는 주문만 나갔습니다.",
    ),
    Refusal.STOPPED_BY_OPERATOR.value: (
        "An operator or a limit had stopped this strategy, symbol or pool; it takes no entry until it is released.",
        "운영자 또는 한도가 이 전략, 종목 또는 자금 풀을 정지시켜 해제할 때까지 신규 진입이 거부되었습니다.",
    ),
    Refusal.STOPPED_AFTER_REJECTS.value: (
        "The broker had rejected several orders of this symbol in a row; it takes no entry until the next day, "
        "an operator's release, or a fill.",
        "이 종목의 주문이 연속으로 거부되어 다음 거래일, 운영자의 해제 또는 체결이 있을 때까지 "
        "신규 진입을 멈추었습니다.",
    ),
    Refusal.STORE_BEHIND.value: (
        "The server that has to have every order (store.durability: server) was away or behind; entries wait until "
        "it has caught up.",
        "모든 주문을 받아 두어야 하는 서버(store.durability: server)가 응답하지 않거나 뒤처져 있어, "
        "따라잡을 때까지 신규 진입이 거부되었습니다.",
    ),
    Refusal.BROKER_NOT_COMPARED.value: (
        "The line to the broker had been lost, or the broker could not be asked; entries wait until its books are "
        "compared with ours.",
        "증권사와의 연결이 끊겼거나 조회에 실패하여, 증권사의 장부와 대조를 마칠 때까지 "
        "신규 진입이 거부되었습니다.",
    ),
    Refusal.REJECTED_JUST_NOW.value: (
        "The broker had just rejected an order of this symbol; the next one waits, longer after each reject.",
        "방금 이 종목의 주문이 거부되어 잠시 기다립니다. 거부가 이어질수록 대기 시간이 길어집니다.",
    ),
    Refusal.WARMING.value: (
        "The strategy did not have as many bars of this symbol as it declares; until then it takes no entry.",
        "전략이 선언한 만큼의 봉이 이 종목에 아직 쌓이지 않아, 채워질 때까지 신규 진입이 거부되었습니다.",
    ),
    Refusal.MARKET_CLOSED.value: (
        "The market took no orders at that moment.",
        "그 시각에는 시장이 주문을 받지 않았습니다.",
    ),
    Refusal.UNKNOWN_SYMBOL.value: (
        "No instrument is known under that symbol.",
        "알려지지 않은 종목입니다.",
    ),
    Refusal.PRICE_UNUSABLE.value: (
        "No usable price was known: missing, not finite, zero or negative; for an entry also a book that was "
        "crossed, locked or empty on one side.",
        "사용할 수 있는 가격이 없었습니다(없음, NaN·무한대, 0 또는 음수). "
        "진입은 호가가 역전되거나 같거나 한쪽이 비어도 거부됩니다.",
    ),
    Refusal.PRICE_IN_DOUBT.value: (
        "The market showed a price that the day's price band makes impossible, such as an undeclared split; the "
        "symbol takes no entry until its prices fit again.",
        "당일 가격제한폭으로는 있을 수 없는 가격(예: 반영되지 않은 액면분할)이 나와, 시세가 정상으로 돌아올 때까지 "
        "이 종목의 신규 진입이 거부되었습니다.",
    ),
    Refusal.PRICE_STALE.value: (
        "The latest price was older than its limit, or from the future.",
        "시세가 허용 시간보다 오래되었거나 미래의 시각이었습니다.",
    ),
    Refusal.PRICE_OUTSIDE_BAND.value: (
        "The price lay outside the day's price limits, or they were not known.",
        "가격이 당일 상·하한가 밖이거나 제한폭을 알 수 없었습니다.",
    ),
    Refusal.OFF_TICK_GRID.value: (
        "The limit was not a multiple of the tick.",
        "지정가가 호가 단위에 맞지 않았습니다.",
    ),
    Refusal.QTY_BELOW_LOT.value: (
        "What was left after all limits was less than one lot, or no whole number of lots.",
        "모든 한도를 적용한 수량이 매매수량단위보다 작거나 그 배수가 아니었습니다.",
    ),
    Refusal.DUPLICATE_INTENT.value: (
        "An order of the same strategy, symbol and side was still working.",
        "같은 전략·종목·매매 방향의 주문이 아직 미체결 상태였습니다.",
    ),
    Refusal.INSUFFICIENT_CAPITAL.value: (
        "The pool had too little free cash, or was locked.",
        "자금 풀의 주문가능금액이 부족하거나 풀이 잠겨 있었습니다.",
    ),
    Refusal.EXPOSURE_LIMIT.value: (
        "The account's exposure would have passed its limit.",
        "계좌 전체의 익스포저(보유 평가금액)가 한도를 넘게 됩니다.",
    ),
    Refusal.SYMBOL_WEIGHT_LIMIT.value: (
        "The symbol would have weighed more than its share of equity.",
        "한 종목의 비중이 한도를 넘게 됩니다.",
    ),
    Refusal.MAX_POSITIONS.value: (
        "As many positions were open as the operating state allows.",
        "운용 상태가 허용하는 보유 종목 수에 이미 도달했습니다.",
    ),
    Refusal.DAILY_TRADE_LIMIT.value: (
        "The day's number of entries was used up.",
        "하루 진입 횟수를 모두 사용했습니다.",
    ),
    Refusal.DAILY_LOSS_LIMIT.value: (
        "The day's loss limit was reached; no more entries.",
        "하루 손실 한도에 도달하여 더 이상 진입하지 않습니다.",
    ),
    Refusal.ORDER_RATE_LIMIT.value: (
        "Too many orders within one second; room is kept for exits.",
        "1초 안의 주문 수가 한도에 도달했습니다(청산용 여유는 남겨 둡니다).",
    ),
    Refusal.NOTHING_TO_SELL.value: (
        "Nothing was held that was not already offered; nothing is sold short.",
        "매도 가능한 보유 수량이 없었습니다(공매도 없음).",
    ),
    Refusal.UNRESOLVED_ORDER.value: (
        "The fate of an earlier order on that key was unknown; the broker has to be asked first.",
        "같은 종목·매매 방향의 이전 주문 결과를 아직 모르므로 먼저 증권사에 확인해야 합니다.",
    ),
    Refusal.CONFLICTING_SIGNALS.value: (
        "An exit was already under way: it wins over an entry, and a forced one over the strategy's own.",
        "이미 청산이 진행 중이었습니다. 청산은 진입보다, 규칙에 의한 자동 청산은 전략 자신의 청산보다 우선합니다.",
    ),
    Refusal.CRITICAL_ONLY_MODE.value: (
        "The queues were in critical-only mode: only cancels and exits leave.",
        "대기열이 긴급 전용 모드여서 취소와 청산만 나갔습니다.",
    ),
    Refusal.OPEN_ORDERS_LIMIT.value: (
        "As many orders were open as are allowed.",
        "미체결 주문 수가 한도에 도달했습니다.",
    ),
    Refusal.LIMIT_TOO_FAR.value: (
        "The limit was too far through the market (above the price for a buy, below it for a sell).",
        "지정가가 허용 범위를 넘어 현재가보다 불리했습니다(매수는 더 높게, 매도는 더 낮게).",
    ),
    Refusal.SIGNALS_PAUSED.value: (
        "Signals were not decided at that time: safety was FAIL or LOCKDOWN, or a queue was full.",
        "당시에는 매매 신호를 처리하지 않았습니다. 안전 상태가 FAIL 또는 LOCKDOWN이었거나 대기열이 가득 찼습니다.",
    ),
    Refusal.LEVEL_ON_WRONG_SIDE.value: (
        "A stop, take or trigger lay where the price already was or beyond it, so it would have acted at once.",
        "손절·익절·발동 가격이 이미 현재가에 닿았거나 지나친 쪽에 있어 주문이 거부되었습니다.",
    ),
    Refusal.TAG_IN_USE.value: (
        "The strategy had an open order with the same tag already.",
        "전략에 같은 태그를 가진 미체결 주문이 이미 있었습니다.",
    ),
    Refusal.NOT_TAKEN_BY_BROKER.value: (
        "The broker does not take orders of this type or with this time in force.",
        "증권사가 받지 않는 주문 유형 또는 주문 유효 조건이었습니다.",
    ),
    Refusal.WITHDRAWN.value: (
        "The order was taken out while it was being written down: by its own strategy, a forced exit or a stop.",
        "주문을 기록하는 동안 전략 자신, 자동 청산 또는 정지에 의해 취소되어 전송되지 않았습니다.",
    ),
}
"""Why a signal was rejected, by reason."""

ROWS_KOREAN: Final[Mapping[str, str]] = {
    rows.MALFORMED: "행을 해석할 수 없습니다: JSON 오류, 열 수 불일치, 시각 없음",
    rows.WRONG_TYPE: "필드가 없거나 형식과 다른 자료형입니다",
    rows.INVALID_UTF8: "UTF-8이 아닌 바이트가 있습니다",
    rows.OVERLONG: "어떤 형식의 행보다도 깁니다",
    rows.NOT_A_NUMBER: "가격이나 수량이 십진수가 아닙니다",
    rows.NOT_FINITE: "가격이나 수량이 NaN 또는 무한대입니다",
    rows.OUT_OF_RANGE: "가격이나 수량이 터무니없이 크거나 작습니다",
    rows.NO_PRICE: "가격이 없습니다: 비어 있거나 모두 0(개장 전, 거래 정지)",
    rows.NONPOSITIVE_PRICE: "가격이 0이거나 음수입니다",
    rows.NONPOSITIVE_SIZE: "수량이 없는 체결입니다",
    rows.NEGATIVE_SIZE: "수량이나 거래량이 음수입니다",
    rows.CROSSED_BOOK: "매수 호가가 매도 호가보다 높습니다",
    rows.NO_TRADE: "거래가 없는 봉입니다: 시가·고가·저가가 0이거나 거래량이 없는 날(거래 정지, 휴장)",
    rows.NO_VOLUME: "거래량이 없는 봉입니다",
    rows.OUTSIDE_RANGE: "봉의 시가나 종가가 저가와 고가 사이에 있지 않습니다",
    rows.BAD_TIME: "시각이 UTC 오프셋을 가진 ISO 형식이 아닙니다",
    rows.TIME_BACKWARDS: "앞 행보다 이른 시각입니다. 시간은 되돌아가지 않습니다",
    rows.FUTURE: "아직 오지 않은 시각입니다",
    rows.DUPLICATE: "같은 행 또는 같은 체결이 다시 왔습니다",
    rows.LATE: "거래소 시각으로 볼 때 도착했을 때 이미 오래된 값입니다",
    rows.UNKNOWN_SYMBOL: "알려진 종목이 아닙니다",
    rows.TOO_MANY_SYMBOLS: "한 세션이 담을 수 있는 종목 수를 넘었습니다",
    rows.UNKNOWN_STREAM: "이 형식이 쓰지 않는 스트림입니다",
    rows.TRUNCATED_GZIP: "gzip 파일이 중간에 끝나 불완전한 마지막 행을 버렸습니다",
    rows.DAMAGED_GZIP: (
        "gzip 파일이 손상되었습니다. 손상이 드러난 곳 뒤는 읽을 수 없고, 그 앞의 값도 틀릴 수 있습니다"
    ),
    rows.DAMAGED_PARQUET: "parquet 파일이 손상되어 그 뒤는 읽을 수 없습니다",
}
"""Why a row of the input was not used; the English is :data:`qts.market.files.refusals.REASONS`."""

INVARIANTS: Final[Mapping[int, Bilingual]] = {
    1: (
        "The pools add up to total equity, and to opening capital plus all results, to the last unit.",
        "자금 풀의 합은 총자산과 같고, 초기 자본에 모든 손익을 더한 값과 한 단위까지 일치한다.",
    ),
    2: (
        "A transfer between pools happens wholly, once, and never beyond what is available.",
        "자금 풀 간 이동은 전부, 단 한 번, 가용 금액 안에서만 일어난다.",
    ),
    3: (
        "Reserved cash is exactly what open orders hold back; each reservation is released once.",
        "주문 증거금은 미체결 매수 주문에 묶인 금액과 정확히 같고, 증거금마다 한 번만 해제된다.",
    ),
    4: (
        "A position is the sum of its fills, its average cost comes from them, and the broker agrees.",
        "보유 수량은 체결의 합이고 매입단가도 체결에서 나오며 증권사와 일치한다.",
    ),
    5: (
        "A fill is applied exactly once, in whatever order or number of copies it arrives.",
        "체결은 어떤 순서로 몇 번 도착하든 정확히 한 번 반영된다.",
    ),
    6: (
        "No order fills or sends more than was approved.",
        "어떤 주문도 승인된 수량보다 많이 나가거나 체결되지 않는다.",
    ),
    7: (
        "Every order that left had a durable intent and its own unexpired risk approval.",
        "나간 주문마다 먼저 기록된 주문 내용과 그 주문만의 유효한 리스크 승인이 있다.",
    ),
    8: (
        "At most one order of unknown fate per symbol and side; it is never sent again.",
        "결과를 모르는 주문은 종목·매매 방향마다 하나뿐이며 다시 보내지 않는다.",
    ),
    9: (
        "Every journalled P0 event was applied or parked exactly once, without gaps.",
        "저널의 P0 이벤트는 빠짐없이 정확히 한 번 반영되거나 보관된다.",
    ),
    10: (
        "In FAIL and LOCKDOWN only cancels and reduce-only orders leave; they never grow or flip a position.",
        "FAIL과 LOCKDOWN에서는 취소와 포지션 축소 주문만 나가며 포지션을 늘리거나 뒤집지 않는다.",
    ),
    11: (
        "Escape can be entered from every execution stage and ends only flat, confirmed by the broker.",
        "긴급 전량 청산은 모든 집행 단계에서 가능하고 증권사가 확인한 무포지션에서만 끝난다.",
    ),
    12: (
        "A finished order has nothing left working at the broker.",
        "끝난 주문은 증권사에 남아 있지 않다.",
    ),
    13: (
        "Safety rises freely and falls only by rule; LOCKDOWN ends only by an operator.",
        "안전 상태는 자유롭게 올라가고 규칙으로만 내려오며, LOCKDOWN은 운영자만 푼다.",
    ),
    14: (
        "Safety outranks the operating state; an alarm never makes it bolder.",
        "안전 상태가 운용 상태보다 우선하며, 경보 중에 더 대담해지지 않는다.",
    ),
    15: (
        "No decision used a price that was not finite, too old, from the future or outside the band.",
        "유한하지 않거나 오래되었거나 미래이거나 제한폭 밖의 가격으로 결정하지 않는다.",
    ),
    16: (
        "Order rates and open amounts stayed within their limits at every instant.",
        "주문 빈도와 미체결 규모는 언제나 한도 안에 있다.",
    ),
    17: (
        "At most one live protective order per position, never larger than it.",
        "보호 주문은 포지션마다 하나뿐이며 포지션보다 크지 않다.",
    ),
    18: (
        "A trailing stop only tightens, and the micro-risk loop never misses its beat.",
        "트레일링 스톱은 조여지기만 하고 실시간 손절 감시는 제때 돈다.",
    ),
    19: (
        "Nothing lower started while a P0 event waited; no P0 was dropped and every loss is counted.",
        "P0가 기다리는 동안 낮은 순위가 시작되지 않고, P0는 버려지지 않으며 유실된 이벤트는 모두 집계된다.",
    ),
    20: (
        "Each ledger row reaches the spreadsheet exactly once and in order.",
        "원장 행은 스프레드시트에 순서대로 정확히 한 번 도달한다.",
    ),
    21: (
        "The journal replayed from nothing gives the live state; the same seed gives the same run.",
        "저널을 처음부터 재생하면 현재 상태가 되고, 같은 시드는 같은 결과를 낸다.",
    ),
    22: (
        "Losing the cache changes no order and no balance.",
        "캐시가 사라져도 주문과 잔고는 바뀌지 않는다.",
    ),
    23: (
        "Every change of state, override and order names who, why and under which configuration.",
        "모든 상태 변경·개입·주문에 누가, 왜, 어떤 설정으로 했는지가 남는다.",
    ),
    24: (
        "No secret appears in any output.",
        "어떤 출력에도 비밀 정보가 없다.",
    ),
    25: (
        "The broker's book, our ledger and independent counters agree on every quantity.",
        "증권사 장부, 우리 원장, 독립 집계의 수량이 모두 일치한다.",
    ),
}
"""The invariants, each in one sentence."""

LIMITS_KOREAN: Final[Mapping[str, str]] = {
    "exposure_limit": "총자산 대비 비율. 보유분과 미체결 진입 주문의 합이 이를 넘으면 GR001",
    "symbol_weight_limit": "총자산 대비 한 종목의 비중. 이를 넘으면 GR010",
    "daily_loss_warning": "당일 시작 총자산 대비 손실률. 이를 넘으면 GR020",
    "daily_loss_limit": "당일 시작 총자산 대비 손실률. 여기부터 신규 진입 중지",
    "position_size_limit": "수량을 산정한 진입 한 건이 쓰는 자금 풀 가용 예산의 비율",
    "order_rate_per_second": "1초 동안의 전체 주문 수",
    "order_rate_kept_for_exits": "진입 주문이 청산용으로 남겨 두는 초당 주문 수",
    "max_open_orders": "신규 진입이 멈추는 계좌의 미체결 주문 수",
    "approval_ttl_ms": "승인을 사용할 수 있는 시간(밀리초), PreCheck 단계의 제한 시간",
    "max_price_deviation": "지정가가 현재가에서 불리한 쪽으로 벗어날 수 있는 비율",
    "reject_wait_s": "주문이 거부된 뒤 그 종목의 진입이 기다리는 시간(초). 연속 거부마다 두 배",
    "reject_wait_max_s": "그 대기 시간의 상한(초)",
    "rejects_before_stop": "연속으로 이만큼 거부되면 그날 그 종목의 진입 중지",
    "rejects_before_fail": "아래 시간 안에 계좌 전체에서 이만큼 거부되면 FS043",
    "reject_storm_window_s": "거부 횟수를 세는 시간(초)",
    "market_order_allowance": "지정가 없는 진입의 소요 금액에 더하는 비율",
}
"""What a limit of the gate means; the English is the description in :class:`qts.risk.config.RiskConfig`."""

PRICE_AGE: Final[Bilingual] = (
    "seconds; no decision on a feed that has been silent for longer",
    "초 단위. 시세가 이보다 오래 끊기면 의사 결정을 하지 않음",
)
"""What ``max_price_age_s`` means, which is a limit of the session and not of the gate."""

CODES_KOREAN: Final[Mapping[str, str]] = {
    "FS001": "스키마 불일치",
    "FS010": "필수 원시 필드 누락",
    "FS020": "계산한 값에 NaN 또는 무한대 발생",
    "FS030": "위험 계산 오류",
    "FS040": "증권사 주문 집행 오류",
    "FS041": "체결 데이터 불완전",
    "FS042": "증권사 응답 시간 초과",
    "FS043": "주문 거부 폭주: 증권사가 주문을 잇달아 거부",
    "FS050": "총자산이 0 이하",
    "FS051": "익스포저(보유 평가금액)가 한도의 1.2배 초과",
    "FS052": "당일 손실이 한도(시작 총자산의 5%) 초과",
    "FS060": "사이클 시간 초과 또는 증권사 시계와 몇 초 차이",
    "FS061": "이벤트 루프가 진행되지 않음",
    "FS062": "운영자의 명령을 받지 못할 수 있음(파일을 열 수 없거나 명령 디렉터리를 읽을 수 없음)",
    "FS070": "보유 수량이 원장 또는 증권사와 불일치",
    "FS071": "실행 중에 저장된 기록이 변경됨",
    "FS080": "총자본이 0 이하",
    "FS081": "자금 풀 잔액이 음수",
    "FS082": "자금 풀의 낙폭이 20% 초과",
    "FS083": "자금 풀의 비정상적 변동",
    "FS084": "자금 풀의 합과 계좌 불일치",
    "FS085": "안전 상태가 LOCKDOWN이므로 자금 풀 잠금 필요",
    "FS090": "주문 전송이 모두 실패",
    "FS091": "증권사가 모르는 종목",
    "FS092": "긴급 전량 청산",
    "FS093": "체결 시간 초과",
    "FS094": "슬리피지 한도 초과",
    "FS095": "P0 대기열 초과(생산자가 1초 넘게 대기)",
    "FS096": "P0 대기열 장애",
    "FS097": "P1 대기열 재구성 실패",
    "FS098": "P0 이벤트가 처리 실패 보관함(dead letter)으로 이동",
    "FS100": "실시간 손절 감시 중단",
    "FS101": "내부 추정 잔고가 1초 넘게 지연",
    "FS102": "실시간 손절 감시의 긴급 청산",
    "FS103": "실시간 손절 감시가 의사 결정 경로를 중지",
    "FS104": "킬 스위치",
    "FS105": "시세 수신 중단",
    "GR001": "익스포저(보유 평가금액)가 한도(총자산의 95%) 초과",
    "GR010": "한 종목의 비중이 15% 초과",
    "GR020": "당일 손실 경고(−3%)",
    "GR030": "상충하는 신호",
    "GR040": "포지션 불일치 또는 보유 없는 매도",
    "GR050": "자금 풀 목표 비중의 합이 100%가 아님",
    "GR051": "자금 풀이 최소 비중 미달",
    "GR052": "자금 풀이 최대 비중 초과",
    "GR053": "자금 풀 간 이동 금액 축소",
    "GR054": "자금 풀 간 이동 대기",
    "GR055": "자금 풀 비중이 목표에서 10%p 넘게 이탈",
    "GR060": "분할 주문 과다",
    "GR061": "주문가능금액 부족",
    "GR062": "일일 거래 횟수 한도",
    "GR063": "슬리피지 경고",
    "GR064": "체결 지연",
    "GR070": "손절가 변경 과다",
    "GR071": "최대 역행폭(MAE) 근접",
    "GR072": "거래 보유 시간 한도 근접",
    "GR073": "변동성 경고",
    "GR074": "비상 주문 실패",
    "GR080": "AGGRESSIVE의 일일 거래 횟수 도달",
    "GR081": "BALANCED에서 자금 풀 불균형",
    "GR082": "DEFENSIVE에서 진입 시도",
    "GR090": "긴급 전용 모드",
    "AN001": "가격제한폭을 벗어난 불가능한 가격",
    "AN010": "데이터 누락",
    "AN020": "손익 급변",
    "AN030": "원장 불일치",
    "AN040": "사이클 시간 급증(예상의 3배) 또는 증권사 시계와의 차이",
    "AN050": "증권사 응답 지연 또는 연결 끊김",
    "AN060": "전략 정지(연속 오류, 시작 실패, 저장할 수 없는 상태 또는 지나치게 많은 주문)",
    "AN061": "한도가 전략을 정지함(같은 체결의 반복 또는 하루 손절 횟수 초과)",
}
"""What a safety code means; the English is :data:`qts.safety.codes.CATALOGUE`."""

UNITS_KOREAN: Final[Mapping[str, str]] = {
    "": "",
    "thousand ": "천",
    "million ": "백만",
    "billion ": "십억",
    "trillion ": "조",
}
"""The words of :func:`qts.report.time_charts.money_scale`, as a Korean financial statement writes them."""

CURRENCIES_KOREAN: Final[Mapping[str, str]] = {"KRW": "원"}
"""Currencies that have a Korean word of their own; any other keeps its code."""

STATES_KOREAN: Final[Mapping[str, str]] = {"AGGRESSIVE": "공격", "BALANCED": "균형", "DEFENSIVE": "방어"}
"""A gloss for the operating states."""

PRIORITIES: Final[Mapping[str, Bilingual]] = {
    "P0": ("critical: fills, orders", "긴급: 체결·주문"),
    "P1": ("high: market data", "높음: 시세"),
    "P2": ("medium: decisions", "보통: 의사 결정"),
    "P3": ("low: logs, screens", "낮음: 로그·화면"),
}

POOL_HORIZONS: Final[Mapping[str, Bilingual]] = {
    "SCALP": ("minutes to hours", "수 분~수 시간"),
    "SWING": ("days to weeks", "며칠~몇 주"),
    "PORTFOLIO": ("months to years", "몇 달~몇 년"),
}
