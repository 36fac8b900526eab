"""The basis on which the operating state was judged, in sentences for people: one list in English and Korean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from qts.runtime.metrics.volatility import CLOSES_NEEDED, NOT_MEASURED

Bilingual = tuple[str, str]
"""(English, Korean)"""

METRICS_KOREAN: Final[Mapping[str, str]] = {
    "drawdown_pct": "낙폭",
    "vix": "변동성",
    "consecutive_scalp_losses": "연속 스캘프 손실",
    "daily_loss_pct": "당일 손실",
    "market_circuit_breaker": "서킷브레이커",
    "consecutive_profitable_days": "연속 수익일",
    "cagr": "연환산 수익률",
    "capital_growth_pct": "자본 증가율",
    "win_rate_30d": "30일 승률",
}
NEEDS: Final[Mapping[str, Bilingual]] = {
    "vix": ("a volatility source", "변동성 자료"),
    "market_circuit_breaker": ("a feed that reports it", "이를 제공하는 시세"),
    "cagr": ("252 daily closes", "일별 종가 252개"),
    "capital_growth_pct": ("126 daily closes", "일별 종가 126개"),
    "win_rate_30d": ("a closed trade in the last 30 days", "최근 30일 안의 청산 거래"),
}
"""What a metric that was never known would have needed."""
_JUDGED_BY_INDEX: Final[Bilingual] = (
    "the operating state follows an index, not this account: drawdown, daily loss, CAGR and growth in its reasons "
    "are the index's",
    "운용 상태는 이 계좌가 아니라 지수를 따릅니다: 전환 사유의 낙폭, 당일 손실, 연환산 수익률, 자본 증가율은 "
    "지수의 값입니다",
)


def basis_lines(basis: Mapping[str, Any]) -> list[Bilingual]:
    """Return the sentences about ``basis`` (the result's ``state_basis``), the most important first."""
    if not basis["enabled"]:
        return [
            (
                "the operating state was switched off (state.enabled: false): it ruled nothing",
                "운용 상태가 꺼져 있어(state.enabled: false) 아무것도 제한하지 않았습니다",
            )
        ]
    lines = [_JUDGED_BY_INDEX] if basis.get("judged_by") == "index" else []
    if basis["days_without_entry"]:
        lines.append(_without_entry(basis["days_without_entry"], basis["trading_days"]))
    if basis["waits"]:
        lines.append((f"DEFENSIVE goes on: {basis['waits']}", f"방어 상태가 계속되는 이유: {basis['waits']}"))
    return [*lines, volatility_line(basis["volatility"]), *_known(basis["known_since"])]


def volatility_line(seen: Mapping[str, Any]) -> Bilingual:
    """Return which source gave the volatility, and its newest value."""
    value, since = seen["value"], seen["measured_since"]
    if seen["source"] == "none":
        return (
            f"volatility: not measured; {NOT_MEASURED:g} stands in, with which DEFENSIVE can end and AGGRESSIVE is "
            f"not reached (measuring it needs {CLOSES_NEEDED} daily closes)",
            f"변동성: 측정되지 않아 {NOT_MEASURED:g}로 대신했습니다. 방어 상태는 끝날 수 있고 공격 상태에는 "
            f"이르지 않습니다(측정에는 일별 종가 {CLOSES_NEEDED}개가 필요합니다)",
        )
    newest = ("unknown at the end", "마지막에는 알 수 없음") if value is None else (f"{value:.1f}",) * 2
    if seen["source"] == "feed":
        begun = ("never received", "받은 적 없음") if since is None else (f"since {since}", f"{since}부터")
        return (
            f"volatility: the index of the feed, {newest[0]} ({begun[0]})",
            f"변동성: 시세에 포함된 변동성 지수, {newest[1]} ({begun[1]})",
        )
    return (
        f"volatility: realised_20d, {newest[0]}: the 20-day volatility of the symbols, scaled so that its usual "
        f"level is 17; not the VIX (since {since})",
        f"변동성: realised_20d, {newest[1]}. 종목들의 20일 변동성을 평소 수준이 17이 되도록 환산한 값이며 VIX가 "
        f"아닙니다({since}부터)",
    )


def _without_entry(without: int, days: int) -> Bilingual:
    return (
        f"no entry was possible on {without:,} of {days:,} trading days",
        f"거래일 {days:,}일 중 {without:,}일은 신규 진입이 불가능했습니다",
    )


def _known(since: Mapping[str, str | None]) -> list[Bilingual]:
    """Return the conditions that can hold, by the first day of each, and those that never could."""
    days: dict[str, list[str]] = {}
    for name, day in since.items():
        if day is not None:
            days.setdefault(day, []).append(name)
    found = "; ".join(f"{', '.join(names)} since {day}" for day, names in sorted(days.items()))
    korean = "; ".join(
        f"{', '.join(METRICS_KOREAN[name] for name in names)} {day}부터" for day, names in sorted(days.items())
    )
    lines = [(f"conditions that can hold: {found}", f"판단할 수 있는 조건: {korean}")] if days else []
    never = [name for name, day in since.items() if day is None]
    if never:
        english = "; ".join(f"{name} (needs {_needs(name)[0]})" for name in never)
        korean = "; ".join(f"{METRICS_KOREAN[name]}({_needs(name)[1]} 필요)" for name in never)
        lines.append(
            (f"never known, so no condition on it held: {english}", f"알 수 없어 성립하지 않은 조건: {korean}")
        )
    return lines


def _needs(name: str) -> Bilingual:
    return NEEDS.get(name, ("a price not older than 26 hours", "26시간 이내의 가격"))
