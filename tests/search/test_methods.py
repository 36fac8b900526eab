"""The ways to choose: no combination twice, only those that meet the condition, the same from the same seed."""

from __future__ import annotations

import pytest

from qts.errors import InputError
from qts.search.condition import Condition
from qts.search.methods import BATCH, METHODS, Told, method_of
from qts.search.space import Axis, Space

SPACE = Space(
    (Axis("fast", tuple(map(str, range(1, 21))), True), Axis("slow", tuple(map(str, range(1, 21))), True))
)
FAST_BELOW = Condition(["fast < slow"], ["fast", "slow"])
ALWAYS = Condition([], [])


def asked(name: str, trials: int | None, seed: int = 1, most: int = 1_000) -> list[dict[str, str]]:
    """Return everything that a method asks for, when the best is at fast = 5 and slow = 12."""
    if name == "tpe":
        pytest.importorskip("optuna", reason="the extra optimize is not installed")
    method = method_of(name, SPACE, FAST_BELOW, trials=trials, most=most, seed=seed)
    found: list[dict[str, str]] = []
    while batch := method.ask():
        assert len(batch) <= (method.batch or len(batch))
        method.tell([Told(one, value_at(one)) for one in batch])
        found += batch
    return found


def value_at(params: dict[str, str]) -> float:
    return -abs(int(params["fast"]) - 5) - abs(int(params["slow"]) - 12)


@pytest.mark.parametrize("name", METHODS)
def test_no_combination_twice_and_each_meets_the_condition(name: str) -> None:
    found = asked(name, 60)
    assert len(found) == 60
    assert len({tuple(one.values()) for one in found}) == 60
    assert all(int(one["fast"]) < int(one["slow"]) for one in found)


@pytest.mark.parametrize("name", METHODS)
def test_the_same_seed_asks_for_the_same(name: str) -> None:
    assert asked(name, 48) == asked(name, 48)
    if name != "grid":
        assert asked(name, 48) != asked(name, 48, seed=2)


def test_a_grid_is_every_combination_in_order() -> None:
    found = asked("grid", None)
    assert len(found) == 190  # of 400: below the diagonal
    assert [tuple(one.values()) for one in found[:3]] == [("1", "2"), ("1", "3"), ("1", "4")]


@pytest.mark.parametrize("name", ["random", "qmc"])
def test_a_small_space_is_used_up_and_then_it_ends(name: str) -> None:
    found = asked(name, 500)
    assert 185 <= len(found) <= 190


def test_even_points_fill_the_space_better_than_chance() -> None:
    # Given 25 points: each of 16 equal fields of the space would have one or two
    def empty(name: str, seed: int) -> int:
        method = method_of(name, SPACE, ALWAYS, trials=25, most=100, seed=seed)
        fields = {((int(one["fast"]) - 1) // 5, (int(one["slow"]) - 1) // 5) for one in method.ask()}
        return 16 - len(fields)

    assert sum(empty("qmc", seed) for seed in range(20)) < sum(empty("random", seed) for seed in range(20)) / 2


def test_tpe_learns_where_the_best_is() -> None:
    found = asked("tpe", 8 * BATCH)
    first, last = found[:BATCH], found[-BATCH:]
    assert sum(map(value_at, last)) > sum(map(value_at, first))


def test_tpe_takes_trials_without_a_value() -> None:
    pytest.importorskip("optuna", reason="the extra optimize is not installed")
    method = method_of("tpe", SPACE, FAST_BELOW, trials=40, most=100, seed=1)
    count = 0
    while batch := method.ask():
        method.tell([Told(one, None) for one in batch])
        count += len(batch)
    assert count == 40


@pytest.mark.parametrize(
    ("name", "trials", "most", "named"),
    [
        ("grid", None, 100, "more than 100 combinations"),
        ("random", None, 100, "needs --trials"),
        ("random", 200, 100, "raise --max-trials"),
        ("genetic", 10, 100, "grid, random, qmc, tpe"),
    ],
)
def test_what_cannot_be_run_is_refused(name: str, trials: int | None, most: int, named: str) -> None:
    with pytest.raises(InputError, match=named):
        method_of(name, SPACE, FAST_BELOW, trials=trials, most=most, seed=1)


@pytest.mark.parametrize("name", ["grid", "random", "qmc"])
def test_a_condition_that_nothing_meets_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="none of the 400 combinations meets --where 'fast < 0'"):
        method_of(name, SPACE, Condition(["fast < 0"], ["fast"]), trials=5, most=100, seed=1)
