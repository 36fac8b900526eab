"""Reasons for changes of the operating state, in both languages, where the record is a code of the governor."""

from __future__ import annotations

from typing import Final

from qts.report.meanings import Bilingual
from qts.state.reasons import sentence

_ALONE: Final = {
    "no_transition_needed": "성립한 규칙이 없음",
    "manual_override_active": "운용자의 수동 지정이 적용 중",
    "cooldown_period": "직전 전환 뒤의 대기 시간이 끝나지 않음",
    "lockdown_released": "LOCKDOWN이 해제됨",
    "no_override": "적용 중인 수동 지정 없음",
    "override_cleared": "운용자가 수동 지정을 끝냄",
    "override_expired": "수동 지정의 기한이 지남",
}
_BEFORE_PARAMETERS: Final = {
    "override_cleared": "운용자가 수동 지정을 끝냄: ",
    "override_expired": "수동 지정의 기한이 지남: ",
    "manual_override": "운용자의 수동 지정: ",
    "safety_forced": "안전 상태에 의한 전환 ",
    "safety_beats_override": "안전 상태가 우선하여 거부됨: ",
}


def reason_said(reason: str) -> Bilingual | None:
    """Return ``reason`` in both languages; None for words of a rule or an operator, which stand as recorded."""
    english = sentence(reason)
    if english == reason:
        return None
    code, colon, parameters = reason.partition(": ")
    if not colon:
        return english, _ALONE.get(reason, english)
    if code in _BEFORE_PARAMETERS:
        return english, _BEFORE_PARAMETERS[code] + parameters
    first, _, second = parameters.partition("/")
    if code == "confirmation_pending":
        return english, f"확인 평가 {second}회 중 {first}회"
    if code == "min_duration_not_met":
        return english, f"현재 상태가 {first}일째로 최소 {second}일에 못 미침"
    return english, english
