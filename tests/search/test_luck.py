"""How much of the best is luck: published values, worked values, noise against an edge."""

from __future__ import annotations

import math
import random
from statistics import fmean

import pytest

from qts.search.luck import (
    Shape,
    best_by_luck,
    deflated_sharpe,
    effective_trials,
    neighbourhood,
    overfitting,
    shape_of,
    variance_of,
)

A_YEAR = 250


def noise(rng: random.Random, trials: int, sessions: int = 400) -> list[list[float]]:
    return [[rng.gauss(0.0, 0.01) for _ in range(sessions)] for _ in range(trials)]


@pytest.mark.parametrize(("trials", "probability"), [(100, 0.9004), (46, 0.9505)])
def test_the_deflated_sharpe_ratio_is_the_published_one(trials: int, probability: float) -> None:
    # Given the example of Bailey and López de Prado: 2.5 a year over 1,250 days, a variance of 1/2 a year
    shape = Shape(sessions=1_250, sharpe=2.5 / math.sqrt(A_YEAR), skew=-3.0, kurtosis=10.0)
    found = deflated_sharpe(shape, variance=0.5 / A_YEAR, trials=trials)
    assert found == pytest.approx(probability, abs=5e-5)


def test_the_best_of_a_hundred_by_luck_is_the_published_one() -> None:
    assert best_by_luck(0.5 / A_YEAR, 100) == pytest.approx(0.1132, abs=5e-5)
    assert best_by_luck(0.5 / A_YEAR, 1) == 0.0  # a single trial was not chosen


def test_more_trials_make_the_same_best_less_certain() -> None:
    shape = Shape(sessions=1_000, sharpe=0.1, skew=0.0, kurtosis=3.0)
    chances = [deflated_sharpe(shape, variance=0.001, trials=trials) for trials in (1, 2, 10, 100, 1_000)]
    assert chances == sorted(chances, reverse=True)


def test_the_moments_of_a_series() -> None:
    # Given 15 days of +1 % and 15 of -1 %: mean 0, no skew, and a kurtosis of 1, as of a coin
    shape = shape_of([0.01, -0.01] * 15)
    assert shape is not None
    assert (shape.sessions, shape.sharpe, shape.skew) == (30, 0.0, 0.0)
    assert shape.kurtosis == pytest.approx(1.0)


@pytest.mark.parametrize("returns", [[0.01] * 29, [0.0] * 100, [0.01] * 100])
def test_too_few_days_and_days_that_are_all_the_same_have_no_moments(returns: list[float]) -> None:
    assert shape_of(returns) is None


def test_variance_is_that_of_a_sample() -> None:
    assert variance_of([1.0, 2.0, 3.0]) == 1.0
    assert variance_of([1.0]) == 0.0


def test_equal_trials_are_one_and_unrelated_ones_are_many() -> None:
    rng = random.Random(3)
    series = noise(rng, 30, 2_000)
    assert effective_trials([series[0]] * 30) == pytest.approx(1.0)
    assert effective_trials(series) == pytest.approx(30.0, abs=0.5)
    assert effective_trials([[0.0] * 100]) == 0.0
    # Half of them the same one: between the two
    assert 10 < effective_trials([*series[:15], *[series[0]] * 15]) < 29


def test_the_best_of_noise_is_overfitted_half_the_time_and_a_planted_edge_is_not() -> None:
    rng = random.Random(5)
    found = [overfitting(noise(rng, 20)) for _ in range(12)]
    assert fmean(one for one in found if one is not None) == pytest.approx(0.5, abs=0.12)
    with_edge = [*noise(rng, 20), [rng.gauss(0.004, 0.01) for _ in range(400)]]
    found_edge = overfitting(with_edge)
    assert found_edge is not None
    assert found_edge < 0.01


def test_overfitting_by_hand() -> None:
    # Given two blocks and two trials, each the better one in one block: the chosen one always loses elsewhere
    up, down = [0.01, 0.02], [-0.01, -0.02]
    assert overfitting([up * 2 + down * 2, down * 2 + up * 2], blocks=2) == 1.0
    # And one that is the better one everywhere never does
    assert overfitting([up * 4, down * 4], blocks=2) == 0.0


def test_what_cannot_be_told_is_none() -> None:
    assert overfitting([[0.01] * 100]) is None
    assert overfitting([[0.01] * 19, [0.02] * 19]) is None
    assert neighbourhood(2.0, []) is None
    assert neighbourhood(-1.0, [1.0]) is None


def test_the_neighbourhood_is_the_median_by_the_best() -> None:
    assert neighbourhood(2.0, [1.0, 1.5, 0.1]) == 0.5
