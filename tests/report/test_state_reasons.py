"""Codes of the governor are words for people in both languages; words of rules and operators stand as recorded."""

from __future__ import annotations

import pytest

from qts.report import state_reasons
from qts.report.state_reasons import reason_said
from qts.state import reasons
from qts.state.config import StateConfig
from qts.state.contracts import OperatingState, PendingConfirmation
from qts.state.hysteresis import DAY_NS, held_back_by
from qts.state.transition import rules_of


def test_every_code_has_both_languages() -> None:
    assert state_reasons._ALONE.keys() == reasons._ALONE.keys()
    assert state_reasons._AROUND_PARAMETERS.keys() == reasons._BEFORE_PARAMETERS.keys()


@pytest.mark.parametrize(
    ("reason", "korean"),
    [
        ("lockdown_released", "LOCKDOWN이 해제됨"),
        ("override_cleared: all clear", "운영자가 수동 지정을 끝냄: all clear"),
        ("safety_forced: FAIL", "안전 상태 FAIL에 따른 전환"),
        ("confirmation_pending: 0/2", "확인 평가 2회 중 0회"),
        ("min_duration_not_met: 3.457/7 days", "현재 상태 유지 3.457일째(최소 7일)"),
    ],
)
def test_a_code_is_said_in_words(reason: str, korean: str) -> None:
    assert reason_said(reason) == (reasons.sentence(reason), korean)


@pytest.mark.parametrize(
    ("evaluations", "held_ns", "korean"),
    [
        (1, 3 * DAY_NS + DAY_NS // 2, ("확인 평가 2회 중 1회", "현재 상태 유지 3.5일째(최소 7일)")),
        (2, 1, ("확인 평가 2회 모두 통과, 필요한 시간은 아직 지나지 않음", "현재 상태 유지 0일째(최소 7일)")),
    ],
)
def test_what_the_governor_itself_writes_is_said_in_words(
    evaluations: int, held_ns: int, korean: tuple[str, ...]
) -> None:
    config, now = StateConfig(), 10 * DAY_NS
    (rule,) = (r for r in rules_of(config) if r.from_state is OperatingState.AGGRESSIVE)
    written = held_back_by(
        rule,
        config,
        now,
        pending=PendingConfirmation(rule.name, rule.to_state, now, evaluations),
        entered_ns=now - held_ns,
        last_transition_ns=None,
        has_override=False,
    )

    assert [reason_said(reason) for reason in written] == [
        (reasons.sentence(reason), said) for reason, said in zip(written, korean, strict=True)
    ]


@pytest.mark.parametrize("reason", ["BalancedToDefensive: vix 37.32 > 30", "calm again", ""])
def test_recorded_words_stay(reason: str) -> None:
    assert reason_said(reason) is None
