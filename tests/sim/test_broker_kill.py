"""kill -9 of a session at a real broker, at any commit, event, call, answer or report: facts only grow.

The broker outlives the session, with its own books and its own will. At the end its books, ours with EXTERNAL, and
a recount of both agree; what an earlier life stored is the beginning of what a later one stored; no id was given
twice, no order was sent twice, and every strategy was told of each of its fills once, in order.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.effort import EVERY_KILL
from tests.sim.broker_places import AT_A_RESTART, PLACES

ROOT = Path(__file__).parents[2]
Kills = list[tuple[int, str]]


def tell(directory: Path, scenarios: Sequence[tuple[int, str, Kills]]) -> list[dict[str, Any]]:
    """Run the scenarios in one process that forks the sessions, and return what came of each."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.sim.broker_session", str(directory), json.dumps(scenarios)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_sound(
    directory: Path, scenarios: Sequence[tuple[int, str, Kills]], *, dies: bool = True
) -> list[dict[str, Any]]:
    """Run the scenarios, check each, and return what came of them; ``dies``: the first life of each is killed."""
    everything = []
    for first in range(0, len(scenarios), 6):
        some = scenarios[first : first + 6]
        for scenario, told in zip(some, tell(directory / str(first), some), strict=True):
            assert "failed" not in told["attempts"], (scenario, told)
            assert told["wrong"] == [], scenario
            assert not dies or told["attempts"][0] == "killed", (scenario, told["attempts"])
            everything.append(told)
    return everything


def kills_at(place: str, k: int) -> Kills:
    """The kills of a scenario that ends a process when it comes to ``place`` for the k-th time."""
    return [(2, "checkpoint ended"), (1, place)] if place in AT_A_RESTART else [(k, place)]


def test_there_are_forty_places_and_more() -> None:
    assert len(set(PLACES)) == len(PLACES) >= 40


def test_kills_at_one_place_after_the_other_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    """Every life of a session ends at another place, soon after it has begun; a third of them in every run."""
    places = random.Random(16).sample(PLACES, len(PLACES) if EVERY_KILL else len(PLACES) // 3)
    per = 5
    chosen = [
        (seed, "loop", [kill for place in places[at : at + per] for kill in kills_at(place, 1)])
        for seed, at in enumerate(range(0, len(places), per))
    ]
    told = assert_sound(tmp_path, chosen, dies=False)
    killed = sum(one["attempts"].count("killed") for one in told)
    assert killed >= len(places) * 9 // 10, "few lives are too short for their place"


@pytest.mark.skipif(not EVERY_KILL, reason="hundreds of sessions: make soak")
@pytest.mark.parametrize("place", PLACES)
def test_ten_kills_at_a_place_lose_nothing_and_do_nothing_twice(tmp_path: Path, place: str) -> None:
    rng, killed = random.Random(place), 0
    for first in range(0, 60, 6):  # some lives do not come to the place so often
        chosen = [(seed, "loop", kills_at(place, rng.choice((1, 1, 2, 3, 4)))) for seed in range(first, first + 6)]
        told = assert_sound(tmp_path / str(first), chosen, dies=False)
        killed += sum(one["attempts"][-1] == "killed" for one in told)
        if killed >= 10:
            break
    assert killed >= 10


def test_a_session_that_is_not_killed_has_the_brokers_books(tmp_path: Path) -> None:
    """Also where answers are lost and the line is down while it lives."""
    seeds = range(30) if EVERY_KILL else [1, 5]
    assert_sound(tmp_path, [(seed, "loop", []) for seed in seeds], dies=False)


def test_many_kills_in_a_row_lose_nothing_and_do_nothing_twice(tmp_path: Path) -> None:
    """Lives that come to the next checkpoint, and lives that do not: also while strategies are told."""
    rng = random.Random(9)
    count = 120 if EVERY_KILL else 1
    kills = [[(rng.randint(1, 6), place) for place in rng.choices(PLACES, k=5)] for _ in range(count)]
    assert_sound(tmp_path, [(100 + seed, "loop", one) for seed, one in enumerate(kills)], dies=False)


def test_strategies_in_worker_processes_are_told_once_too(tmp_path: Path) -> None:
    rng = random.Random(4)
    count, lives = (30, 2) if EVERY_KILL else (1, 1)
    kills = [[(rng.randint(4, 10), place) for place in rng.choices(PLACES, k=lives)] for _ in range(count)]
    assert_sound(tmp_path, [(200 + seed, "process", one) for seed, one in enumerate(kills)], dies=False)


def test_a_session_killed_before_its_first_checkpoint_begins_with_the_brokers_books(tmp_path: Path) -> None:
    kills: list[Kills] = [[(1, "before"), (1, "inside")], [(1, "call"), (1, "after"), (1, "before")]]
    assert_sound(tmp_path, [(7 + seed, "loop", one) for seed, one in enumerate(kills)])
