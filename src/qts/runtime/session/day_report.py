"""The report of one day, which an operator reads the next morning: a text in English and in Korean.

All its numbers are those of two closes, so it can be made again from their stored rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

from qts.capital.contracts import Pool
from qts.ledger.closes import DayCloseRow, HoldingCloseRow
from qts.ledger.contracts import PositionRow
from qts.money import minus, negated, plus, sum_of


class DayReport(NamedTuple):
    """The day between two closes. ``before`` None: it is the first; the run opened with ``opened`` then.

    ``holdings`` are what was held at the close; ``positions`` in the account's ``currency`` at cost.
    """

    opened: Decimal
    currency: str
    before: DayCloseRow | None
    close: DayCloseRow
    holdings: Sequence[PositionRow | HoldingCloseRow]


def reports_of(
    closes: Iterable[DayCloseRow], holdings: Iterable[HoldingCloseRow], opened: Decimal, currency: str
) -> Iterator[DayReport]:
    """Yield the reports of all closed days from their stored rows, oldest first.

    ``holdings`` are the rows of all holdings that changed on a day, in the order of the days; the run opened with
    ``opened`` units of ``currency``.
    """
    rows = list(holdings)
    held: dict[tuple[str, str], HoldingCloseRow] = {}
    before, place = None, 0
    for close in closes:
        while place < len(rows) and rows[place].day <= close.day:
            if rows[place].pool is not None:  # None: EXTERNAL
                held[rows[place].strategy, rows[place].symbol] = rows[place]
            place += 1
        yield DayReport(opened, currency, before, close, list(held.values()))
        before = close


_ENGLISH: Final = {
    "title": "Day report",
    "opening": "opening equity",
    "closing": "closing equity",
    "change": "change",
    "deposits": "of it deposited",
    "contributions": "of it shares taken over from EXTERNAL, at market prices",
    "withdrawals": "of it withdrawn",
    "gained": "change without these",
    "cash": "cash",
    "result": "result realised, after fees and taxes",
    "fees": "fees",
    "taxes": "taxes",
    "fills": "fills",
    "orders": "orders sent",
    "causes": "warnings and alarms",
    "external": "cash of EXTERNAL (not ours)",
    "held": "held at the close",
    "nothing": "nothing",
    "holding": "{strategy}: {qty} {symbol} that cost {cost} {unit}",
    "note": "What the broker reports of this day later is part of a later day; this report is not changed.",
}
_KOREAN: Final = {
    "title": "일일 보고서",
    "opening": "시작 총자산",
    "closing": "마감 총자산",
    "change": "증감",
    "deposits": "이 중 입금",
    "contributions": "이 중 EXTERNAL에서 편입한 주식 (시가)",
    "withdrawals": "이 중 출금",
    "gained": "입출금·편입을 제외한 증감",
    "cash": "예수금",
    "result": "실현손익 (수수료·세금 차감 후)",
    "fees": "수수료",
    "taxes": "세금",
    "fills": "체결 건수",
    "orders": "전송한 주문 수",
    "causes": "경고 및 경보",
    "external": "EXTERNAL(우리 것이 아닌 자산) 예수금",
    "held": "마감 시 보유 잔고",
    "nothing": "없음",
    "holding": "{strategy}: {symbol} {qty}주, 매입금액 {cost} {unit}",
    "note": "이 날에 대해 증권사가 나중에 알려 온 내용은 그 뒤의 날에 반영되며, 이 문서는 바뀌지 않습니다.",
}
TEXTS: Final = {"en": _ENGLISH, "ko": _KOREAN}


def text_of(report: DayReport, language: str) -> str:
    """Return the report as lines of text in ``language``, en or ko."""
    t, close, before = TEXTS[language], report.close, report.before
    opening = report.opened if before is None else before.equity
    unit = report.currency

    def since(name: str) -> Decimal:
        return minus(getattr(close, name), Decimal(0) if before is None else getattr(before, name))

    def signed(value: Decimal) -> str:
        return f"{value:+,f} {unit}" if value else f"0 {unit}"

    change, came = minus(close.equity, opening), since("deposits")
    shares, went = since("contributed_value"), since("withdrawals")
    capital = [
        (t[name], signed(value))
        for name, value in (("deposits", came), ("contributions", shares), ("withdrawals", negated(went)))
        if value
    ]
    if capital:
        capital.append((t["gained"], signed(plus(minus(minus(change, came), shares), went))))
    realized = sum_of(close.realized.values())
    realized_before = Decimal(0) if before is None else sum_of(before.realized.values())
    rows = [
        (t["opening"], f"{opening:,f} {unit}"),
        (t["closing"], f"{close.equity:,f} {unit}"),
        (t["change"], signed(change)),
        *capital,
        *((f"{t['cash']} {pool.value}", f"{close.cash[pool]:,f} {unit}") for pool in Pool),
        (t["result"], signed(minus(realized, realized_before))),
        (t["fees"], f"{since('fees'):,f} {unit}"),
        (t["taxes"], f"{since('taxes'):,f} {unit}"),
        (t["fills"], f"{since('fills'):,}"),
        (t["orders"], f"{since('orders'):,}"),
        (t["causes"], f"{since('causes'):,}"),
    ]
    if close.external_cash:
        rows.append((t["external"], f"{close.external_cash:,f} {unit}"))
    held = [
        t["holding"].format(
            strategy=row.strategy, symbol=row.symbol, qty=f"{row.qty:,f}", cost=f"{row.cost:,f}", unit=unit
        )
        for row in report.holdings
        if row.qty
    ]
    lines = [f"{t['title']} {close.day}", "", *(f"{name}: {value}" for name, value in rows), ""]
    return "\n".join([*lines, f"{t['held']}:", *(f"  {one}" for one in held or [t["nothing"]]), "", t["note"], ""])
