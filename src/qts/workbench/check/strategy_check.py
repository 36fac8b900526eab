"""Checks one strategy: the runs, and what each of them shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from qts.clock import NS_PER_S, stopwatch_ns
from qts.event.gc_control import controlled_gc
from qts.market.bars.opener import named_files
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session_plan import SEEDS, Options, SessionPlan
from qts.strategy.loading import StrategySpec, manifest_of_spec
from qts.wording import counted
from qts.workbench.check.call_times import CALL_BUDGET_US, hook_times, judge_times
from qts.workbench.check.comparison import Difference, first_difference, first_fill_difference
from qts.workbench.check.findings import (
    CheckResult,
    Finding,
    Outcome,
    StrategyReport,
    judged,
    skipped,
)
from qts.workbench.check.outside import Outside
from qts.workbench.check.places import cut_moments, restart_rows
from qts.workbench.check.recorder import MOST_INTENTS
from qts.workbench.check.source_scan import written_in
from qts.workbench.check.texts import difference_finding, seen_finding, written_finding
from qts.workbench.check.trials import Trial, Trials
from qts.workbench.check.warm_up import TIMES, WarmUpCheck, bars_of
from qts.workbench.check.watch import CallWatch

_WATCHED_COST: Final = 3.0
"""What a watched run takes, in runs that are not watched, for the estimate."""
_START_S: Final = 0.2
"""What it takes to start and end a session, for the estimate."""
_NOTHING: Final = "it wanted nothing, so there is nothing to compare"
_NO_REPEAT: Final = "not judged: the same data twice gives other intents, so a difference would show nothing"


class StrategyCheck:
    """The check of the strategy ``spec`` by the backtest that ``make_plan`` plans with ``options``.

    ``cuts`` is the number of places at which the input is cut, and at which a run is restarted. ``user`` stops the
    check. ``on_progress`` is called with the share of the work done, 0..1, and what is being done; ``on_estimate``
    once, with the number of runs and the seconds that the whole will take.
    """

    def __init__(
        self,
        make_plan: Callable[[Options], SessionPlan],
        options: Options,
        spec: StrategySpec,
        *,
        cuts: int,
        user: StopFlag,
        on_progress: Callable[[float, str], object],
        on_estimate: Callable[[int, float], object],
    ) -> None:
        self._plan = make_plan(options)
        self._trials = Trials(self._plan, spec, user, self._on_rows)
        self._make_plan, self._options, self._user = make_plan, options, user
        self._spec, self._cuts = spec, cuts
        self._other_runs = 0
        self._on_progress, self._on_estimate = on_progress, on_estimate
        self._doing = "the whole run"
        self._done = 0.0
        self._total = 0.0
        """Work done before the present run, and in all, in rows; 0: not known yet."""
        self._estimated_s = 0.0

    def run(self) -> StrategyReport:
        """Make every check and return what came of them.

        Raises StoppedByUser, and what a session raises: InputError for what cannot be used.
        """
        with controlled_gc():  # each session shares it, and does not collect all that is there
            return self._report()

    def _report(self) -> StrategyReport:
        started = stopwatch_ns()
        whole = self._trials.run()
        ran = self._judge_run(whole)
        timed = [whole]
        if ran.outcome is Outcome.FAILED:
            why = _NOTHING if not whole.failures else "not made: the strategy fails in the whole run"
            checks = [ran, *(skipped(name, why) for name in ("look-ahead", "warm-up", "restart", "repeat", "seed"))]
            checks.append(self._outside(None))
        else:
            checks = self._compare(whole, ran, timed)
        times = hook_times([one.recorder.times for one in timed], self._moment)
        checks.append(judge_times(times))
        return StrategyReport(
            strategy=self._spec.place,
            source=self._trials.feed.name,
            rows=whole.rows,
            intents=len(whole.said) + whole.recorder.unkept,
            fills=len(whole.recorder.filled),
            passed=all(one.outcome is not Outcome.FAILED for one in checks),
            checks=tuple(checks),
            times=tuple(times),
            budget_us=CALL_BUDGET_US,
            runs=self._trials.count + self._other_runs,
            estimated_s=round(self._estimated_s, 3),
            wall_s=round((stopwatch_ns() - started) / NS_PER_S, 3),
        )

    def _compare(self, whole: Trial, ran: CheckResult, timed: list[Trial]) -> list[CheckResult]:
        """Make the checks that compare runs with the whole one; a run for ``timed`` is added to it."""
        moments, rows = cut_moments(whole, self._cuts), restart_rows(whole, self._cuts)
        self._estimate(whole, len(moments), len(rows))
        cut, is_state = self._cut(whole, moments)
        again, watch = self._watched()
        repeated = self._judge_repeat(whole, again)
        outside = self._outside(watch)
        if repeated.outcome is Outcome.FAILED:
            unjudged = [skipped(name, _NO_REPEAT) for name in ("warm-up", "restart")]
            look_ahead = self._judge_cut(moments, [], watch) if not cut else skipped("look-ahead", _NO_REPEAT)
            return [ran, look_ahead, *unjudged, repeated, skipped("seed", _NO_REPEAT), outside]
        look_ahead = self._judge_cut(moments, self._cut_findings(cut, is_state=is_state), watch)
        warm_up = self._judge_warm_up(whole)
        return [
            ran, look_ahead, warm_up, self._judge_restart(whole, rows), repeated, self._judge_seed(whole, timed),
            outside,
        ]  # fmt: skip

    # -- the whole run -------------------------------------------------------------------------------------------

    def _judge_run(self, whole: Trial) -> CheckResult:
        findings = [Finding(text=text) for text in whole.failures]
        if not whole.said and not findings:
            findings.append(
                Finding(text="it wanted nothing, so nothing can be compared; take data in which it trades")
            )
        fills = counted(len(whole.recorder.filled), "fill")
        text = f"{counted(whole.rows, 'row')}, {counted(len(whole.said), 'intent')}, {fills}"
        if whole.recorder.unkept:
            text += f"; of {len(whole.said) + whole.recorder.unkept:,} the first {MOST_INTENTS:,} are compared"
        return judged("runs", text, findings)

    # -- look-ahead ----------------------------------------------------------------------------------------------

    def _cut(self, whole: Trial, moments: Sequence[int]) -> tuple[tuple[int, Difference | str] | None, bool]:
        """Run over the input up to each of ``moments`` with objects of one class, until one run differs.

        Return that moment and the difference or the failure (None: none differs), and whether the class or its
        module is what differs: loaded again it does not.
        """
        for place, moment in enumerate(moments, 1):
            self._doing = f"cut {place} of {len(moments)}"
            found = self._cut_difference(whole, self._run(is_fresh=False, until_ns=moment), moment)
            if found is not None:
                again = self._cut_difference(whole, self._run(until_ns=moment), moment)
                return (moment, found), again is None
        return None, False

    @staticmethod
    def _cut_difference(whole: Trial, cut: Trial, moment: int) -> Difference | str | None:
        return first_difference(whole.said, cut.said, moment) or next(iter(cut.failures), None)

    def _cut_findings(self, found: tuple[int, Difference | str] | None, *, is_state: bool) -> list[Finding]:
        if found is None:
            return []
        moment, difference = found
        cause = (
            "its class or module remembers an earlier run"
            if is_state
            else "what it wants depends on rows that come later"
        )
        lead = f"cut after {self._moment(moment)}, {cause}"
        if isinstance(difference, str):
            return [Finding(text=f"{lead}: {difference}", moment=self._moment(moment))]
        return [difference_finding(difference, lead, "without the rest of the data", self._moment)]

    def _judge_cut(self, moments: Sequence[int], findings: list[Finding], watch: CallWatch) -> CheckResult:
        data = [seen_finding(one, self._moment) for one in watch.seen.values() if one.kind is Outside.DATA]
        text = f"the input cut at {counted(len(moments), 'place')}: the intents up to each cut"
        return judged("look-ahead", text, [*findings, *data])

    # -- warm-up -------------------------------------------------------------------------------------------------

    def _judge_warm_up(self, whole: Trial) -> CheckResult:
        declared = bars_of(self._trials.strategy_class)
        if not declared:
            return skipped("warm-up", "the strategy declares no bars")
        self._doing = "warm-up"
        check = WarmUpCheck(self._make_plan, self._options, self._spec, declared, self._user, self._on_rows)
        result = check.judge(whole, self._trials)
        self._other_runs += check.runs
        self._done += check.runs * whole.rows / 2
        return result

    # -- restart, repeat, seed -----------------------------------------------------------------------------------

    def _judge_restart(self, whole: Trial, rows: Sequence[int]) -> CheckResult:
        self._doing = f"restart at {counted(len(rows), 'row')}"
        trial = self._run(stops=rows)
        text = f"stopped and resumed after {counted(len(rows), 'row')}: all intents"
        difference = first_difference(whole.said, trial.said)
        if difference is None:
            return judged("restart", text, [Finding(text=one) for one in trial.failures])
        last = max((row for row in rows if row <= difference.at.row), default=0)
        lead = f"resumed after row {last:,}, a checkpoint does not keep all that it remembers"
        return judged("restart", text, [difference_finding(difference, lead, "after the restart", self._moment)])

    def _judge_repeat(self, whole: Trial, again: Trial) -> CheckResult:
        text = "the same data and seed again: all intents"
        difference = first_difference(whole.said, again.said)
        if difference is None:
            return judged("repeat", text, [Finding(text=one) for one in again.failures])
        lead = "the same data gives other intents (see outside)"
        return judged("repeat", text, [difference_finding(difference, lead, "the second time", self._moment)])

    def _judge_seed(self, whole: Trial, timed: list[Trial]) -> CheckResult:
        self._doing = "another seed"
        seed = self._plan.options.seed
        trial = self._run(seed=seed + 1 if seed < SEEDS[1] else seed - 1)
        timed.append(trial)
        until_ns = first_fill_difference(whole.recorder.filled, trial.recorder.filled)
        if until_ns is None:
            text, mine, theirs = "another seed of the session: all intents", list(whole.said), list(trial.said)
        else:
            text = f"another seed of the session: the intents before the first other fill, {self._moment(until_ns)}"
            mine = [one for one in whole.said if one.ts_ns < until_ns]
            theirs = [one for one in trial.said if one.ts_ns < until_ns]
        difference = first_difference(mine, theirs)
        if difference is None:
            return judged("seed", text, [])
        lead = "given the same fills it wants something else: it draws random numbers itself (see outside)"
        return judged("seed", text, [difference_finding(difference, lead, "with another seed", self._moment)])

    # -- outside -------------------------------------------------------------------------------------------------

    def _watched(self) -> tuple[Trial, CallWatch]:
        self._doing = "watched"
        manifest = manifest_of_spec(self._spec.place)
        data = named_files(self._plan.recordings)
        watch = CallWatch(list(manifest.digests), list(manifest.digests), list(data))
        return self._run(watch=watch, cost=_WATCHED_COST), watch

    def _outside(self, watch: CallWatch | None) -> CheckResult:
        """Judge what the strategy reads beside its data: by what was seen (None: it was not run), then by what is
        written.
        """
        manifest = manifest_of_spec(self._spec.place)
        seen = [] if watch is None else list(watch.seen.values())
        findings = [seen_finding(one, self._moment) for one in seen if one.kind is not Outside.DATA]
        for written in written_in(manifest.digests, manifest.class_name):
            known = any(
                one.path == written.path
                and written.line <= one.line <= written.last_line
                and _same(one.kind, written.kind)
                for one in seen
            )
            if not known:
                findings.append(written_finding(written))
        files = counted(len(manifest.digests), "file")
        where = "in" if watch is None else "in its calls and in"
        text = f"clocks, random numbers, files and network, {where} the text of {files}"
        return judged("outside", text, findings)

    # -- progress ------------------------------------------------------------------------------------------------

    def _estimate(self, whole: Trial, cuts: int, restarts: int) -> None:
        longer = len(TIMES) if bars_of(self._trials.strategy_class) else 0
        wholes = 1 + (cuts + longer) * 0.5 + _WATCHED_COST + 2  # the restarted run and that of the other seed
        self._total, self._done = wholes * whole.rows, float(whole.rows)
        started = cuts + restarts + longer + 4
        self._estimated_s = wholes * max(whole.took_s - _START_S, 0.0) + started * min(_START_S, whole.took_s)
        self._on_estimate(cuts + longer + 4, self._estimated_s)

    def _run(
        self,
        *,
        is_fresh: bool = True,
        until_ns: int | None = None,
        stops: Sequence[int] = (),
        seed: int | None = None,
        watch: CallWatch | None = None,
        cost: float = 1.0,
    ) -> Trial:
        trial = self._trials.run(is_fresh=is_fresh, until_ns=until_ns, stops=stops, seed=seed, watch=watch)
        self._done += trial.rows * cost
        return trial

    def _on_rows(self, rows: int) -> None:
        share = (self._done + rows) / self._total if self._total else 0.0
        self._on_progress(min(share, 1.0), self._doing)

    def _moment(self, ns: int) -> str:
        return self._trials.moment_text(ns)


def _same(seen: Outside, written: Outside) -> bool:
    """Return whether a line that was seen is the one that is written: what it opens shows only while it runs."""
    return seen is written or {seen, written} == {Outside.FILE, Outside.DATA}
