"""The time that the calls of a strategy's hooks take, against what a session in real time allows."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from qts.clock import NS_PER_US
from qts.runtime.strategies.context import ON_START
from qts.workbench.check.findings import CheckResult, Finding, HookTime, judged

CALL_BUDGET_US: Final = 200.0
"""What a call of a strategy may take on the loop of a session in real time, where fills wait for it."""
LONGEST_CALL_US: Final = 1_000_000.0
"""A single call that takes longer is a failure; a worker process is ended after that."""
_MOST_CALLS: Final = 1_000_000
"""Durations of one hook that are kept."""
_ENOUGH_CALLS: Final = 1_000
"""Calls of a hook below which its slowest hundredth is only a few of them."""


class HookTimes:
    """The durations of one hook's calls, ns, each with the steps of the generator that it returned.

    ``moments`` are the session's times of the calls, ns; 0: before the first row.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.durations = array("q")
        self.moments = array("q")

    def add(self, duration_ns: int, at_ns: int) -> None:
        """Count a call at the session's time ``at_ns``."""
        self.calls += 1
        if len(self.durations) < _MOST_CALLS:
            self.durations.append(duration_ns)
            self.moments.append(at_ns)

    def shortest_of(self, other: HookTimes) -> HookTimes:
        """Return these calls with the shorter duration of two runs that made the same; else these.

        What another program takes from a call it seldom takes from both.
        """
        if self.moments != other.moments:
            return self
        both = HookTimes()
        both.calls, both.moments = self.calls, self.moments
        both.durations = array("q", map(min, self.durations, other.durations))
        return both

    def share_us(self, share: float) -> float:
        """Return the duration in µs that ``share`` of the calls, 0..1, did not exceed; 0 without calls."""
        ordered = sorted(self.durations)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] / NS_PER_US if ordered else 0.0

    @property
    def longest_at_ns(self) -> int:
        """Return the session's time of the longest call, ns; 0: before the first row."""
        if not self.durations:
            return 0
        return self.moments[max(range(len(self.durations)), key=self.durations.__getitem__)]


def hook_times(runs: Sequence[Mapping[str, HookTimes]], moment: Callable[[int], str]) -> list[HookTime]:
    """Return the time of each hook, each call the shortest of the runs that made the same calls.

    ``moment`` gives the text of the session's time (ns).
    """
    first, *others = runs
    found = []
    for hook, times in first.items():
        shortest = times
        for other in others:
            shortest = shortest.shortest_of(other.get(hook, times))
        found.append(_hook_time(hook, shortest, moment))
    return found


def _hook_time(hook: str, times: HookTimes, moment: Callable[[int], str]) -> HookTime:
    at_ns = times.longest_at_ns
    return HookTime(
        hook=hook,
        calls=times.calls,
        median_us=round(times.share_us(0.5), 1),
        p99_us=round(times.share_us(0.99), 1),
        longest_us=round(times.share_us(1.0), 1),
        longest_at=moment(at_ns) if at_ns else "",
    )


def judge_times(times: Sequence[HookTime]) -> CheckResult:
    """Judge the hooks but ``on_start``, for which nothing waits.

    A median above :data:`CALL_BUDGET_US`, or a call longer than :data:`LONGEST_CALL_US`, fails. A slowest hundredth
    above the first is worth a note.
    """
    findings = []
    for one in times:
        if one.hook == ON_START:
            continue
        is_slow = one.median_us > CALL_BUDGET_US or one.longest_us > LONGEST_CALL_US
        if is_slow or (one.p99_us > CALL_BUDGET_US and one.calls >= _ENOUGH_CALLS):
            at = f" (at {one.longest_at})" if one.longest_at else ""
            text = (
                f"{one.hook} takes {one.median_us:,.0f} µs in the median, {one.p99_us:,.0f} µs in one of 100 "
                f"calls, at most {one.longest_us:,.0f} µs{at}; on the loop of qts run a call may take "
                f"{CALL_BUDGET_US:.0f} µs: make it shorter, or run it in a process of its own"
            )
            findings.append(Finding(text=text, fails=is_slow, moment=one.longest_at))
    return judged("time", f"each call against {CALL_BUDGET_US:.0f} µs", findings)
