"""Codes of the governor in words; everything else stays as it is."""

import pytest

from qts.state.reasons import sentence


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("confirmation_pending: 0/2", "0 of 2 confirming evaluations"),
        ("confirmation_pending: 2/2", "2 of 2 confirming evaluations, but not over the required time yet"),
        ("min_duration_not_met: 3.5/7 days", "the state has lasted 3.5 days, its minimum is 7 days"),
        ("min_duration_not_met: 4.052e-05/3 days", "the state has lasted 0 days, its minimum is 3 days"),
        ("cooldown_period", "the cooldown after the last change is not over"),
        ("lockdown_released", "the lockdown was released"),
        ("override_cleared", "the override was ended by an operator"),
        ("override_cleared: it is over", "the override was ended by an operator: it is over"),
        ("manual_override: elections: tonight", "an operator's override: elections: tonight"),
        ("safety_forced: FAIL", "forced by safety FAIL"),
        (
            "safety_beats_override: WARNING allows nothing bolder than DEFENSIVE",
            "refused by safety: WARNING allows nothing bolder than DEFENSIVE",
        ),
    ],
)
def test_a_code_is_written_out_with_its_parameters(reason: str, said: str) -> None:
    assert sentence(reason) == said


@pytest.mark.parametrize("reason", ["BalancedToDefensive: vix 37.32 > 30", "", "first start", "own words: kept"])
def test_what_is_no_code_is_kept(reason: str) -> None:
    assert sentence(reason) == reason
