"""Sessions cut into parts that search and parts that judge: no day in both, none after the seal."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qts.errors import InputError
from qts.search.contracts import Window
from qts.search.splits import Split, days_of, plan_of, share_of

DAYS = [date(2024, 1, 1) + timedelta(days=n) for n in range(100)]


def span(first: int, last: int) -> Window:
    return Window(DAYS[first], DAYS[last])


def test_without_a_split_all_sessions_are_searched() -> None:
    plan = plan_of(Split(), DAYS)
    assert [(fold.train, fold.test) for fold in plan.folds] == [((span(0, 99),), ())]
    assert plan.sealed is None


def test_walk_forward_by_hand() -> None:
    # Given 100 sessions, searches over 40, one left out, 20 that judge
    plan = plan_of(Split(kind="walk-forward", train=40, test=20, embargo=1), DAYS)
    assert [(fold.train[0], fold.test[0]) for fold in plan.folds] == [
        (span(0, 39), span(41, 60)),
        (span(20, 59), span(61, 80)),
    ]  # a third would end with session 100, and the last is 99


def test_anchored_searches_begin_with_the_first_session() -> None:
    plan = plan_of(Split(kind="walk-forward", train=40, test=20, is_anchored=True), DAYS)
    assert [fold.train[0] for fold in plan.folds] == [span(0, 39), span(0, 59), span(0, 79)]
    assert [fold.test[0] for fold in plan.folds] == [span(40, 59), span(60, 79), span(80, 99)]


def test_purged_folds_by_hand() -> None:
    plan = plan_of(Split(kind="purged-kfold", folds=4, embargo=2), DAYS)
    assert plan.folds[0].train == (span(27, 99),)
    assert plan.folds[1].train == (span(0, 22), span(52, 99))
    assert plan.folds[1].test == (span(25, 49),)
    assert plan.folds[3].train == (span(0, 72),)


def test_the_last_share_is_sealed() -> None:
    plan = plan_of(Split(holdout=0.2), DAYS)
    assert plan.folds[0].train == (span(0, 79),)
    assert plan.sealed == span(80, 99)


@given(
    st.sampled_from(["none", "walk-forward", "purged-kfold"]),
    st.integers(5, 30),
    st.integers(1, 20),
    st.integers(0, 3),
    st.booleans(),
    st.floats(0.0, 0.5),
)
def test_no_day_searches_and_judges(
    kind: str, train: int, test: int, embargo: int, anchored: bool, holdout: float
) -> None:
    split = Split(
        kind=kind, train=train, test=test, embargo=embargo, is_anchored=anchored, folds=4, holdout=holdout
    )
    plan = plan_of(split, DAYS)
    assert plan.folds
    for fold in plan.folds:
        for judged in fold.test:
            for searched in fold.train:
                apart = (judged.first - searched.last).days, (searched.first - judged.last).days
                assert max(apart) > embargo  # each session is a day here
        if plan.sealed is not None:
            assert all(window.last < plan.sealed.first for window in (*fold.train, *fold.test))


@pytest.mark.parametrize(
    ("split", "named"),
    [
        (Split(kind="walk-forward", train=90, test=20), "110 sessions .* there are 100"),
        (Split(kind="walk-forward", train=90), "--train 250d --test 60d"),
        (Split(kind="purged-kfold", folds=1), "fewer than 2 folds"),
        (Split(kind="weekly"), "allowed are none, walk-forward, purged-kfold"),
    ],
)
def test_a_split_that_does_not_fit_says_the_numbers(split: Split, named: str) -> None:
    with pytest.raises(InputError, match=named):
        plan_of(split, DAYS)


def test_lengths_and_shares_are_read() -> None:
    assert (days_of("250d", "--train"), days_of("60", "--test")) == (250, 60)
    assert (share_of("20%", "--holdout"), share_of("0.2", "--holdout")) == (0.2, 0.2)
    for text in ("0d", "x", "-3d", "250w"):
        with pytest.raises(InputError, match="250d"):
            days_of(text, "--train")
    for text in ("0%", "95%", "x", "-1", "nan"):
        with pytest.raises(InputError, match="--holdout"):
            share_of(text, "--holdout")
