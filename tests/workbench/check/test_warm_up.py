"""The comparison of warm-ups: which can be made, and what a difference says."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from qts.market.files.feed_opener import AS_IT_IS
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.run_inputs import with_params
from qts.runtime.session.session_plan import Options, Profile
from qts.runtime.wiring.plans import check_plan
from qts.workbench.check.findings import CheckResult, Outcome
from qts.workbench.check.trials import Trials
from qts.workbench.check.warm_up import WarmUpCheck, bars_of
from tests.sim.daily_bars import SYMBOL, trading_days, write_bars
from tests.workbench.check import strategies

DAYS = trading_days()[:120]
FORGETS = """
class Mine(Strategy):
    bars = {"1d": 10}

    def __init__(self):
        self.closes = []

    def on_bar(self, ctx, bar):
        self.closes = [*self.closes, int(bar.close)][-10:]
        if ctx.warming or ctx.working(bar.symbol):
            return
        is_up = self.closes[-1] * len(self.closes) > sum(self.closes)
        if is_up is not bool(ctx.holding(bar.symbol)):
            yield Intent(bar.symbol, Side.BUY if is_up else Side.SELL, 1.0, qty=None if not is_up else 10)
"""
"""Needs the ten bars that it declares and no more."""
REMEMBERS = FORGETS.replace("[-10:]", "[-40:]")
"""Needs forty, and declares ten."""
EMA = """
from qts.kit import Ema, Target

class Mine(Strategy):
    bars = {"1d": 12}

    def on_start(self, ctx):
        self.mean = ctx.track(Ema(30), "1d")

    def on_bar(self, ctx, bar):
        mean = self.mean[bar.symbol]
        if mean.ready:
            yield Target(bar.symbol, 10 if float(bar.close) > mean.value else 0)
"""
"""A mean that is not ready after the bars that it declares."""


def judged(folder: Path, body: str, first: date | None = None) -> CheckResult:
    data = write_bars(folder / f"{SYMBOL}.csv", DAYS)
    (spec,) = with_params((strategies.written(folder, body),), ())
    options = Options(profile=Profile.PLAIN, read_as=AS_IT_IS, first_day=first)
    trials = Trials(check_plan(options, [data], None), spec, StopFlag(), lambda rows: None)
    whole = trials.run()
    declared = bars_of(trials.strategy_class)
    return WarmUpCheck(
        lambda given: check_plan(given, [data], None), options, spec, declared, StopFlag(), lambda rows: None
    ).judge(whole, trials)


def test_a_strategy_that_needs_what_it_declares_passes(tmp_path: Path) -> None:
    result = judged(tmp_path, FORGETS)
    assert (result.outcome, result.findings) == (Outcome.PASSED, ())
    assert 'after 1 ×, 2 ×, 4 × bars = {"1d": 10}' in result.text


@pytest.mark.parametrize("body", [REMEMBERS, EMA], ids=["own memory", "tracked mean"])
def test_a_strategy_that_needs_more_is_told_how_many(tmp_path: Path, body: str) -> None:
    result = judged(tmp_path, body)
    assert result.outcome is Outcome.FAILED
    (found,) = result.findings
    assert "what it declares is too little, declare" in found.text
    assert found.intent != found.instead


def test_too_few_earlier_rows_are_said(tmp_path: Path) -> None:
    result = judged(tmp_path, FORGETS, first=date.fromisoformat(DAYS[15][0]))
    assert result.outcome is Outcome.SKIPPED
    assert 'too few rows before 2014-01-23 for twice bars = {"1d": 10}' in result.text


@pytest.mark.parametrize(
    ("declared", "expected"),
    [({"1d": 20, "5m": 3}, {"1d": 20, "5m": 3}), ({}, {}), ((), {}), ({"7x": 3}, {}), ({"1d": 0}, {}), (None, {})],
)
def test_only_a_usable_declaration_is_multiplied(declared: object, expected: dict[str, int]) -> None:
    assert bars_of(type("Mine", (), {"bars": declared})) == expected
