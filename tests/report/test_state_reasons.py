"""Codes of the governor are words for people in both languages; words of rules and operators stand as recorded."""

from __future__ import annotations

import pytest

from qts.report import state_reasons
from qts.report.state_reasons import reason_said
from qts.state import reasons


def test_every_code_has_both_languages() -> None:
    assert state_reasons._ALONE.keys() == reasons._ALONE.keys()
    assert state_reasons._BEFORE_PARAMETERS.keys() == reasons._BEFORE_PARAMETERS.keys()


@pytest.mark.parametrize(
    ("reason", "korean"),
    [
        ("lockdown_released", "LOCKDOWN이 해제됨"),
        ("override_cleared: all clear", "운용자가 수동 지정을 끝냄: all clear"),
        ("confirmation_pending: 0/2", "확인 평가 2회 중 0회"),
        ("min_duration_not_met: 3/5", "현재 상태가 3일째로 최소 5일에 못 미침"),
    ],
)
def test_a_code_is_said_in_words(reason: str, korean: str) -> None:
    assert reason_said(reason) == (reasons.sentence(reason), korean)


@pytest.mark.parametrize("reason", ["BalancedToDefensive: vix 37.32 > 30", "calm again", ""])
def test_recorded_words_stay(reason: str) -> None:
    assert reason_said(reason) is None
