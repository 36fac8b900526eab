"""The runs of a check: what is recorded of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from qts.market.files.feed_opener import AS_IT_IS
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.run_inputs import with_params
from qts.runtime.session.session_plan import Options, Profile
from qts.runtime.wiring.plans import check_plan
from qts.workbench.check.places import cut_moments, restart_rows
from qts.workbench.check.trials import Trial, Trials
from tests.sim.daily_bars import SYMBOL, trading_days, write_bars
from tests.workbench.check import strategies

DAYS = trading_days()[:30]


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    return write_bars(tmp_path / f"{SYMBOL}.csv", DAYS)


def trials(place: str, data: Path, profile: Profile = Profile.PLAIN) -> Trials:
    (spec,) = with_params((place,), ())
    plan = check_plan(Options(profile=profile, read_as=AS_IT_IS), [data], None)
    return Trials(plan, spec, StopFlag(), lambda rows: None)


def said(trial: Trial) -> list[tuple[int, object]]:
    return [(one.row, one.intent) for one in trial.said]


def test_an_intent_is_recorded_although_the_pipeline_refuses_it(bars: Path, tmp_path: Path) -> None:
    # Given a strategy that is sure of nothing, under rules that want more
    unsure = """
class Mine(Strategy):
    def on_bar(self, ctx, bar):
        yield Intent(bar.symbol, Side.BUY, 0.01)
"""
    trial = trials(strategies.written(tmp_path, unsure), bars, Profile.RULES).run()
    # Then each intent is there with its row, and nothing was bought
    assert [one.row for one in trial.said] == list(range(1, len(DAYS) + 1))
    assert trial.recorder.filled == []


def test_a_run_that_is_stopped_and_resumed_counts_rows_as_one_in_one_piece(bars: Path, tmp_path: Path) -> None:
    runs = trials(strategies.written(tmp_path, strategies.HONEST), bars)
    whole, parts = runs.run(), runs.run(stops=[1, 7, 8, 29])
    assert said(whole) == said(parts) != []
    assert whole.rows == parts.rows == len(DAYS)


def test_a_cut_run_ends_with_the_last_value_of_its_moment(bars: Path, tmp_path: Path) -> None:
    runs = trials(strategies.written(tmp_path, strategies.HONEST), bars)
    whole = runs.run()
    moment = whole.recorder.feed.marks[9][1]
    cut = runs.run(until_ns=moment)
    assert (cut.rows, cut.recorder.feed.now_ns) == (10, moment)
    assert said(cut) == [one for one in said(whole) if one[0] <= 10]


def test_half_of_the_places_are_where_it_wanted_something(bars: Path, tmp_path: Path) -> None:
    whole = trials(strategies.written(tmp_path, strategies.HONEST), bars).run()
    wanted = {one.ts_ns for one in whole.said}
    moments, rows = cut_moments(whole, 6), restart_rows(whole, 6)
    assert len(moments) == len(set(moments)) == len(rows) == len(set(rows)) == 6
    assert len(wanted & set(moments)) >= 3
    assert (moments, rows) == (sorted(moments), sorted(rows))
    # Nothing can be cut off or resumed behind the last row
    assert max(moments) < whole.recorder.feed.now_ns
    assert max(rows) < whole.rows
    # More places than there are give each of them once
    assert len(restart_rows(whole, 1_000)) == len(DAYS) - 1
