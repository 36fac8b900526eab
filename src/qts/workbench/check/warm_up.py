"""Compares what a strategy wants after once, twice and four times the bars of warm-up that it declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from itertools import pairwise
from typing import Any, Final

import msgspec

from qts.clock import from_ns
from qts.errors import ContractError
from qts.market.series.wanted import MOST_BARS, wanted_bars
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session_plan import Options, SessionPlan
from qts.runtime.wiring.warm_up import read_history
from qts.strategy.loading import StrategySpec
from qts.workbench.check.comparison import first_difference
from qts.workbench.check.findings import CheckResult, Finding, judged, skipped
from qts.workbench.check.texts import difference_finding
from qts.workbench.check.trials import Trial, Trials

TIMES: Final = (1, 2, 4)
"""The warm-ups compared, in multiples of what is declared."""
NEAR: Final = 0.001
"""The share by which numbers of two warm-ups may differ: an exponential mean never forgets its beginning wholly."""
_NAME: Final = "warm-up"


class WarmUpCheck:
    """The check of the warm-up of the strategy ``spec``, whose class declares ``declared`` of each interval.

    ``make_plan`` makes the plan of a backtest with other options. ``user`` and ``on_progress`` as in
    :class:`~qts.workbench.check.trials.Trials`.
    """

    def __init__(
        self,
        make_plan: Callable[[Options], SessionPlan],
        options: Options,
        spec: StrategySpec,
        declared: Mapping[str, int],
        user: StopFlag,
        on_progress: Callable[[int], object],
    ) -> None:
        self._make_plan, self._options, self._spec = make_plan, options, spec
        self._declared, self._user, self._on_progress = declared, user, on_progress
        self.runs = 0

    def judge(self, whole: Trial, trials: Trials) -> CheckResult:
        """Run it from one day on with each warm-up, as many as there are rows for, and compare.

        The day is the first of the options, else the one at which half of the rows of ``whole`` are over.
        """
        day = self._options.first_day or _middle_day(whole, trials)
        plan = self._make_plan(msgspec.structs.replace(self._options, first_day=day))
        times = self._times_there(plan)
        if len(times) < 2:
            why = f"there are too few rows before {day} for twice {_text(self._declared)}"
            return skipped(_NAME, f"{why}; begin later with --from, or give earlier rows with --history")
        runs = Trials(plan, self._spec, self._user, self._on_progress, is_quiet=True)
        found = [(one, runs.run(bars=self._multiple(one))) for one in times]
        self.runs = runs.count
        multiples = ", ".join(f"{one} ×" for one in times)
        text = f"from {day} on, after {multiples} {_text(self._declared)}: all intents"
        failures = [Finding(text=one) for _, trial in found for one in trial.failures]
        if failures:
            return judged(_NAME, text, failures[:1])
        if not all(trial.recorder.warmed for _, trial in found):
            return skipped(_NAME, f"it was shown nothing from before {day}")
        if not any(trial.said for _, trial in found):
            return skipped(_NAME, f"it wanted nothing from {day} on, so there is nothing to compare")
        return judged(_NAME, text, self._findings(found, trials.moment_text))

    def _findings(self, found: list[tuple[int, Trial]], moment: Callable[[int], str]) -> list[Finding]:
        """Compare each warm-up with the next longer one; the longest that still differs is told."""
        for (shorter, first), (longer, second) in reversed(list(pairwise(found))):
            difference = first_difference(first.said, second.said, near=NEAR)
            if difference is not None:
                bars = _text(self._multiple(longer))
                enough = f"declare {bars}" if longer < found[-1][0] else f"declare more than {bars}"
                lead = f"{shorter} × what it declares is too little, {enough}"
                return [difference_finding(difference, lead, f"after {longer} ×", moment, f"after {shorter} ×")]
        return []

    def _times_there(self, plan: SessionPlan) -> list[int]:
        """Return the multiples for which there are bars enough before the session."""
        wanted = wanted_bars(self._multiple(TIMES[-1]), (), "bars")
        origins = read_history(wanted, plan.open_feed(), plan.open_feed).origins()
        most = min((one.found // self._declared[one.interval] for one in origins), default=0)
        return [one for one in TIMES if one <= most]

    def _multiple(self, times: int) -> dict[str, int]:
        return {interval: min(times * n, MOST_BARS) for interval, n in self._declared.items()}


def bars_of(cls: type) -> Mapping[str, int]:
    """Return the bars that a class declares by interval; empty when it declares none, or not in the usual form."""
    declared: Any = getattr(cls, "bars", None)
    try:
        wanted_bars(declared, (), "bars")
    except ContractError:
        return {}
    return dict(declared)


def _middle_day(whole: Trial, trials: Trials) -> date:
    marks = whole.recorder.feed.marks
    _, ns = marks[len(marks) // 2]
    calendar = next(iter(trials.feed.instruments.values())).calendar
    return calendar.local_date(from_ns(ns))


def _text(bars: Mapping[str, int]) -> str:
    return "bars = {" + ", ".join(f'"{interval}": {n}' for interval, n in bars.items()) + "}"
