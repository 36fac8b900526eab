"""A study: each trial once, the same answers whatever the order, after any stop, and what it says of luck."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from qts.errors import InputError, StateError, StorageError
from qts.search.begin import definition_of
from qts.search.outcome import outcome_of
from qts.search.report import study_page
from qts.search.search import Progress, Search, Stopped, best_of, trials_of
from qts.search.splits import Split
from qts.search.study import Definition, Part, Study
from tests.search.studies import InlinePool, definition_in, request_in, table


def run(study: Study, pool: Any, seen: list[Progress] | None = None, *, stops: bool = False) -> None:
    Search(study, pool, on_progress=(seen or []).append, is_stopped=lambda: stops).run()


def made(directory: Path, definition: Definition, **pool: Any) -> Study:
    study = Study.begin(directory, definition)
    run(study, InlinePool(definition.setup, **pool))
    return study


def test_a_grid_runs_each_combination_and_ranks_them(tmp_path: Path) -> None:
    # Given six combinations
    definition = definition_in(tmp_path)
    seen: list[Progress] = []
    with Study.begin(tmp_path / "study", definition) as study:
        Search(study, InlinePool(definition.setup), on_progress=seen.append, is_stopped=lambda: False).run()
        trials = trials_of(study, 0)
        # Then each was run once, has the sessions of the input, and the best has the highest objective
        assert [tuple(one.params.values()) for one in trials] == [(h, r) for h in "123" for r in "12"]
        assert {len(one.answers[0].days) for one in trials} == {60}
        assert all(one.answers[0].trips > 3 for one in trials)
        best = best_of(definition, trials)
        assert best is not None
        assert best.value == max(one.value for one in trials if one.value is not None)
        # And progress counts to the end
        assert [(one.done, one.total) for one in seen] == [(n, 6) for n in range(1, 7)]


def test_the_answers_do_not_depend_on_the_order_in_which_they_come(tmp_path: Path) -> None:
    definition = definition_in(tmp_path, repeat=2, params=("hold=1..2", "rest=1..2"))
    with made(tmp_path / "a", definition) as a, made(tmp_path / "b", definition, backwards=True) as b:
        assert table(a) == table(b)
        assert len(table(a)) == 8
        assert msgspec.structs.replace(outcome_of(a, is_finished=True), study="") == msgspec.structs.replace(
            outcome_of(b, is_finished=True), study=""
        )


@pytest.mark.parametrize("method", ["grid", "random", "tpe"])
def test_a_study_that_was_stopped_goes_on_and_runs_nothing_twice(tmp_path: Path, method: str) -> None:
    if method == "tpe":
        pytest.importorskip("optuna", reason="the extra optimize is not installed")
    params = ("hold=1..10", "rest=1..5")
    definition = definition_in(tmp_path, params=params, method=method, trials=18)
    with made(tmp_path / "whole", definition) as whole:
        expected = table(whole)
    # When the process ends after 5 trials and after 12 more
    keys: list[str] = []
    for most in (5, 12, None):
        with Study.begin(tmp_path / "parts", definition) as study:
            pool = InlinePool(definition.setup, most=most)
            try:
                run(study, pool)
            except KeyboardInterrupt:
                assert most is not None
            keys += pool.run_keys
    # Then each trial was run once and the table is the same
    with Study(tmp_path / "parts", writes=False) as study:
        assert table(study) == expected
    assert len(keys) == len(set(keys)) == 18


def test_a_stop_keeps_what_was_run(tmp_path: Path) -> None:
    definition = definition_in(tmp_path)
    with Study.begin(tmp_path / "study", definition) as study:
        with pytest.raises(Stopped):
            run(study, InlinePool(definition.setup), stops=True)
        assert study.count() == 0


def test_walk_forward_judges_the_best_of_each_fold_on_later_sessions(tmp_path: Path) -> None:
    split = Split(kind="walk-forward", train=30, test=10, embargo=1, holdout=0.1)
    definition = definition_in(tmp_path, split=split)
    with made(tmp_path / "study", definition) as study:
        assert len(definition.plan.folds) == 2
        for number, fold in enumerate(definition.plan.folds):
            best = best_of(definition, trials_of(study, number))
            (judged,) = trials_of(study, number, Part.TEST)
            assert best is not None
            assert judged.params == best.params
            assert len(judged.answers[0].days) == 10
            assert judged.answers[0].days[0] == fold.test[0].first.toordinal()
        outcome = outcome_of(study, is_finished=True)
        # Then the curve is that of the judging sessions alone, one after the other
        assert len(outcome.stitched.days) == 20
        growth = 1.0
        for number in range(2):
            for value in trials_of(study, number, Part.TEST)[0].answers[0].returns:
                growth *= 1.0 + value
        assert outcome.stitched.growth[-1] == pytest.approx(growth)
        # And no session behind the seal was seen
        assert definition.plan.sealed is not None
        last = max(day for row in study.rows() for day in row.answer.days)
        assert last < definition.plan.sealed.first.toordinal()


def test_two_windows_of_a_fold_are_one_series(tmp_path: Path) -> None:
    definition = definition_in(
        tmp_path, split=Split(kind="purged-kfold", folds=3, embargo=1), params=("hold=1..2",)
    )
    with made(tmp_path / "study", definition) as study:
        (one, _) = trials_of(study, 1)
        assert len(one.answers[0].days) == 19 + 19
        assert list(one.answers[0].days) == sorted(one.answers[0].days)


def test_opening_the_sealed_sessions_is_counted_and_stays(tmp_path: Path) -> None:
    definition = definition_in(tmp_path, split=Split(holdout=0.4), params=("hold=1..2",))
    with made(tmp_path / "study", definition) as study:
        for look in (1, 2):
            number = study.open_sealed(f"2026-01-0{look}", {"hold": "1"})
            Search(
                study, InlinePool(definition.setup), on_progress=lambda one: None, is_stopped=lambda: False
            ).run_sealed(number, {"hold": "1"})
            assert outcome_of(study, is_finished=True).openings == look
        assert len(trials_of(study, 0, Part.SEALED)) >= 1


def test_a_strategy_that_raises_in_one_trial_costs_that_trial_alone(tmp_path: Path) -> None:
    definition = definition_in(tmp_path, params=("hold=1..3", "trouble=one"))
    with made(tmp_path / "study", definition) as study:
        failed = {one.params["hold"]: one.failed for one in trials_of(study, 0)}
        assert "no such moment" in failed["2"]
        assert failed["1"] == failed["3"] == ""
        outcome = outcome_of(study, is_finished=True)
        assert (outcome.trials, outcome.failed) == (3, 1)


@pytest.mark.parametrize("backwards", [False, True])
def test_twenty_failures_in_a_row_stop_the_study_at_the_same_place(tmp_path: Path, backwards: bool) -> None:
    # Given 30 trials that all fail
    definition = definition_in(tmp_path, params=("hold=1..15", "rest=1..2", "trouble=raises"))
    with Study.begin(tmp_path / "study", definition) as study:
        for _ in range(2):  # also when it is gone on with
            with pytest.raises(StateError, match=r"20 trials in a row failed.*no such moment"):
                run(study, InlinePool(definition.setup, backwards=backwards))
            assert study.count() == 20


def test_too_few_round_trips_leave_a_trial_unranked(tmp_path: Path) -> None:
    definition = definition_in(tmp_path, min_trades=1_000, params=("hold=1..2",))
    with made(tmp_path / "study", definition) as study:
        outcome = outcome_of(study, is_finished=True)
        assert outcome.value is None
        assert outcome.params == {}
        assert outcome.verdict.startswith("none of 2 trials can be ranked")
        assert outcome.verdict_ko.startswith("2개 시도 중")


def test_the_verdict_prices_luck_and_the_page_shows_it_in_both_languages(tmp_path: Path) -> None:
    split = Split(kind="walk-forward", train=40, test=10)
    definition = definition_in(tmp_path, split=split, objective="net")
    with made(tmp_path / "study", definition) as study:
        outcome = outcome_of(study, is_finished=True)
        assert outcome.deflated_sharpe is not None
        assert f"like this with {(1 - outcome.deflated_sharpe) * 100:.0f} %" in outcome.verdict
        page = study_page(study, outcome)
        assert outcome.verdict in page
        assert outcome.verdict_ko in page
        assert "<script" not in page
        assert 'class="heat"' in page
        assert page.count("<circle") == 2  # a dot a fold


def test_a_directory_with_another_study_is_left_alone(tmp_path: Path) -> None:
    first = definition_in(tmp_path)
    Study.begin(tmp_path / "study", first).close()
    with pytest.raises(StateError, match="holds another study"):
        Study.begin(tmp_path / "study", definition_in(tmp_path, objective="net"))
    with Study.begin(tmp_path / "study", first):
        with pytest.raises(StateError, match="another process is at this study"):
            Study.begin(tmp_path / "study", first)
        with Study(tmp_path / "study", writes=False) as seen:  # a reader may look all the same
            assert seen.count() == 0
    with pytest.raises(InputError, match="holds no study"):
        Study(tmp_path, writes=False)


def test_a_file_that_is_no_study_is_named(tmp_path: Path) -> None:
    (tmp_path / "study.sqlite").write_bytes(b"not a database, whatever its name may say" * 100)
    with pytest.raises(StorageError, match=r"study.sqlite"):
        Study(tmp_path, writes=False)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"params": ("speed=1..3",)}, "no parameter 'speed'; it has hold, rest, trouble"),
        ({"params": ()}, "nothing to search"),
        ({"params": ("hold=1..3", "rest=1..2"), "where": ("hold > 9",)}, "none of the 6 combinations"),
        ({"params": ("hold=1..20", "rest=1..20"), "most": 100}, "more than 100 combinations"),
        ({"split": Split(kind="walk-forward", train=50, test=20)}, "70 sessions .* there are 60"),
        ({"objective": "luck"}, "sharpe, sortino, calmar, net"),
        ({"repeat": 0}, "from 1 to 100"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_runs(
    tmp_path: Path, more: dict[str, Any], named: str
) -> None:
    with pytest.raises(InputError, match=named):
        definition_of(request_in(tmp_path, **more))
