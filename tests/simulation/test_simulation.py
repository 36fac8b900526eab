"""Stories of simulated sessions in which everything goes wrong: each ends settled, with the broker's books.

How they are made, run and read is told in docs/concepts/simulation.md.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.effort import EVERY_KILL
from tests.simulation.planted import PLANTED

ROOT = Path(__file__).parents[2]
SEEDS = 100_000 if EVERY_KILL else 2_000


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the simulator as a process of its own, which its clock and its disk need."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=14_400,
        check=False,
    )


@pytest.mark.parametrize("part", range(8))
def test_stories_end_settled(part: int) -> None:
    count = SEEDS // 8
    told = simulate("run", f"{part * count}:{(part + 1) * count}")

    assert told.returncode == 0, told.stdout + told.stderr[-2_000:]


def test_stories_that_went_wrong_once_end_well() -> None:
    """The shortest form of each that led to a change of the package; its name says what it was about."""
    told = simulate("mended", "tests/simulation/mended")

    assert told.stdout == "everything held\n", told.stdout + told.stderr[-2_000:]


def test_a_story_is_the_same_each_time_and_in_every_process() -> None:
    first, again = simulate("replay", "26"), simulate("replay", "26")

    assert len(first.stdout.splitlines()) > 30
    assert first.stdout == again.stdout


FOUND: dict[str, int | str] = {
    "a sync left out": 150,
    "a key without the execution": 0,
    "an answer after its news": 4,
    "a lag of 0": 53,
    "a page loop that stops": 9,
    "EXTERNAL sold": 37,
    "a retry after the mark": 0,
    "a float in a sum": 0,
    "a checkpoint before the journal": "tests/simulation/mended/checkpoint_before_the_journal.json",
    "a lane starved": 0,
}
"""The first seed whose story finds each planted mistake, or the shortest form of a later one."""


def test_every_planted_mistake_has_its_seed() -> None:
    assert FOUND.keys() == PLANTED.keys()


@pytest.mark.parametrize("name", sorted(FOUND))
def test_a_planted_mistake_is_found(name: str) -> None:
    """Without it the same story ends well: it is one of those of the other tests."""
    if EVERY_KILL:
        told = simulate("run", "0:10000", "--plant", name, "--until-found")
        assert "1 breaches" in told.stdout, told.stdout + told.stderr[-2_000:]
    told = simulate("replay", str(FOUND[name]), "--plant", name)

    assert told.returncode == 1, told.stdout + told.stderr[-2_000:]
    assert not told.stdout.endswith("everything held\n")
