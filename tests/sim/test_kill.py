"""kill -9 at any commit, then --resume: nothing lost, nothing twice, the same end (`same-input-same-run`)."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
QUIET: dict[str, str] = {}
FAULTY = {
    "broker.sim.duplicate_fill_probability": "0.3",
    "broker.sim.late_reject_probability": "0.2",
    "broker.sim.reject_probability": "0.1",
}
UNANSWERED = {"broker.sim.lost_order_probability": "0.02", "broker.sim.lost_answer_probability": "0.01"}
LOSING = {"risk.daily_loss_warning": "0.0005", "risk.daily_loss_limit": "0.001"}
"""Limits so tight that safety speaks up: WARNING, then FAIL and back, with forced moves to DEFENSIVE."""
SETTINGS = {"quiet": QUIET, "faulty": FAULTY, "unanswered": UNANSWERED, "losing": LOSING}
Kills = Sequence[tuple[int, str]]


def tell(directory: Path, settings: dict[str, str], scenarios: Sequence[Kills]) -> list[dict[str, Any]]:
    """Run the scenarios in one process that forks the sessions, and return what came of each."""
    plan = json.dumps([[settings, kills] for kills in scenarios])
    done = subprocess.run(
        [sys.executable, "-m", "tests.sim.killed_session", str(directory), plan],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def assert_same_end(undisturbed: dict[str, Any], told: dict[str, Any], kills: Kills) -> None:
    for part in ("values", "book"):
        for name, expected in undisturbed[part].items():
            assert told[part][name] == expected, f"{part} {name} differs after {kills}"


def some_kills(commits: int, seed: int, count: int) -> list[Kills]:
    """Choose the first, second, last but one and last commit and a seeded few of the others, one side of each.

    QTS_EVERY_KILL=1 takes all of them on both sides (``make soak``).
    """
    sides = ("before", "after")
    if os.environ.get("QTS_EVERY_KILL") == "1":
        return [[(k, side)] for k in range(1, commits + 1) for side in sides]
    rng = random.Random(seed)
    moments = sorted({1, 2, commits - 1, commits, *rng.sample(range(3, commits - 1), count)})
    first = rng.randrange(2)
    return [[(k, sides[(first + n) % 2])] for n, k in enumerate(moments)]


@pytest.mark.parametrize("name", SETTINGS)
def test_one_kill_at_any_commit_changes_nothing(name: str, tmp_path: Path) -> None:
    settings = SETTINGS[name]
    (undisturbed,) = tell(tmp_path / "undisturbed", settings, [[]])
    scenarios = some_kills(undisturbed["commits"], seed=list(SETTINGS).index(name), count=3)

    for first in range(0, len(scenarios), 50):
        some = scenarios[first : first + 50]
        for kills, one in zip(some, tell(tmp_path / str(first), settings, some), strict=True):
            assert one["attempts"] == ["killed"], kills
            assert_same_end(undisturbed, one, kills)


@pytest.mark.parametrize("seed", [1, 2])
def test_many_kills_in_a_row_change_nothing(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    kills = [(rng.randint(1, 60), rng.choice(("before", "after"))) for _ in range(8)]

    undisturbed, told = tell(tmp_path, QUIET, [[], kills])

    assert told["attempts"] == ["killed"] * 8
    assert_same_end(undisturbed, told, kills)


def test_dying_at_the_first_commit_of_every_life_still_gets_there(tmp_path: Path) -> None:
    """After each resume the first commit survives, so that every attempt brings the session forward."""
    kills = [(1, "after")] * 5

    undisturbed, told = tell(tmp_path, QUIET, [[], kills])

    assert told["attempts"] == ["killed"] * 5
    assert_same_end(undisturbed, told, kills)


def test_the_session_that_is_killed_is_worth_killing(tmp_path: Path) -> None:
    """It has what can go wrong: fills, transfers, refusals, forced exits, expired orders, safety changes."""
    (quiet,) = tell(tmp_path / "quiet", QUIET, [[]])
    (losing,) = tell(tmp_path / "losing", LOSING, [[]])
    (unanswered,) = tell(tmp_path / "unanswered", UNANSWERED, [[]])

    assert quiet["values"]["fills"] > 100
    assert quiet["values"]["forced_exits"] > 0
    assert len(quiet["values"]["refusals"]) >= 4
    assert quiet["book"]["capital_transfers"]
    assert any("expired at the close" in str(row) for row in quiet["book"]["orders"])
    assert losing["book"]["safety_history"]
    assert any("absent" in str(row) for row in unanswered["book"]["orders"])
