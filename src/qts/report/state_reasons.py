"""Reasons for changes of the operating state, in both languages, where the record is a code of the governor."""

from __future__ import annotations

from typing import Final

from qts.report.meanings import Bilingual
from qts.state.reasons import days_text, sentence

_ALONE: Final = {
    "no_transition_needed": "성립한 규칙이 없음",
    "manual_override_active": "운영자의 수동 지정이 적용 중",
    "cooldown_period": "직전 전환 뒤의 대기 시간이 끝나지 않음",
    "lockdown_released": "LOCKDOWN이 해제됨",
    "no_override": "적용 중인 수동 지정 없음",
    "override_cleared": "운영자가 수동 지정을 끝냄",
    "override_expired": "수동 지정의 기한이 지남",
}
_AROUND_PARAMETERS: Final = {
    "override_cleared": ("운영자가 수동 지정을 끝냄: ", ""),
    "override_expired": ("수동 지정의 기한이 지남: ", ""),
    "manual_override": ("운영자의 수동 지정: ", ""),
    "safety_forced": ("안전 상태 ", "에 따른 전환"),
    "safety_beats_override": ("안전 상태가 우선하여 거부됨: ", ""),
}
"""What stands before and behind the parameters."""


def reason_said(reason: str) -> Bilingual | None:
    """Return ``reason`` in both languages; None for words of a rule or an operator, which stand as recorded."""
    english = sentence(reason)
    if english == reason:
        return None
    code, colon, parameters = reason.partition(": ")
    if not colon:
        return english, _ALONE.get(reason, english)
    if code in _AROUND_PARAMETERS:
        before, behind = _AROUND_PARAMETERS[code]
        return english, f"{before}{parameters}{behind}"
    first, _, second = parameters.partition("/")
    if code == "confirmation_pending":
        return english, _confirmation(first, second)
    if code == "min_duration_not_met":
        return english, f"현재 상태 유지 {days_text(first)}일째(최소 {second.removesuffix(' days')}일)"
    return english, english


def _confirmation(met: str, wanted: str) -> str:
    if met == wanted:
        return f"확인 평가 {wanted}회 모두 통과, 필요한 시간은 아직 지나지 않음"
    return f"확인 평가 {wanted}회 중 {met}회"
