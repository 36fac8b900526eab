"""The times of hooks: the shorter of two runs, and what a session in real time allows."""

from __future__ import annotations

import pytest

from qts.workbench.check.call_times import HookTimes, hook_times, judge_times
from qts.workbench.check.findings import HookTime, Outcome


def times(*durations_us: int) -> HookTimes:
    """Return the times of calls at the moments 1, 2, 3, … ns."""
    found = HookTimes()
    for moment, duration in enumerate(durations_us, 1):
        found.add(duration * 1_000, moment)
    return found


def hook(name: str = "on_bar", *, calls: int = 5_000, **more: float) -> HookTime:
    figures = {"median_us": 20.0, "p99_us": 40.0, "longest_us": 90.0, **more}
    return HookTime(hook=name, calls=calls, longest_at="", **figures)


def test_each_call_counts_with_its_shorter_duration_of_two_runs() -> None:
    # Given two runs, each disturbed in another call
    (found,) = hook_times([{"on_bar": times(10, 900, 12)}, {"on_bar": times(11, 13, 800)}], lambda ns: f"at {ns}")
    # Then the disturbances are gone, and the longest call is the one that was long in both
    assert (found.calls, found.median_us, found.longest_us, found.longest_at) == (3, 12, 13, "at 2")


def test_runs_that_made_other_calls_are_not_mixed() -> None:
    (found,) = hook_times([{"on_bar": times(10, 900)}, {"on_bar": times(1)}], str)
    assert (found.calls, found.longest_us) == (2, 900)


@pytest.mark.parametrize(
    ("one", "outcome", "told"),
    [
        (hook(median_us=200), Outcome.PASSED, 0),
        (hook(median_us=200.1), Outcome.FAILED, 1),
        (hook(p99_us=200.1), Outcome.PASSED, 1),
        (hook(p99_us=200.1, calls=999), Outcome.PASSED, 0),
        (hook(longest_us=1_000_000), Outcome.PASSED, 0),
        (hook(longest_us=1_000_000.1), Outcome.FAILED, 1),
        (hook("on_start", median_us=9_000_000, longest_us=9_000_000), Outcome.PASSED, 0),
    ],
    ids=["at the budget", "above it", "slow hundredth", "few calls", "a second", "above a second", "start"],
)
def test_a_hook_is_judged_by_its_median_and_its_longest_call(one: HookTime, outcome: Outcome, told: int) -> None:
    result = judge_times([one])
    assert (result.outcome, len(result.findings)) == (outcome, told)
