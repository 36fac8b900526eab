"""A paper session whose strategy lives in a worker process trades as on the loop, and kill -9 changes nothing."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.effort import EVERY_KILL
from tests.sim.once import Once, once
from tests.sim.test_kill import ROOT

__all__ = ["once"]

LOOP = {"runtime.strategy_lane": "loop"}
PROCESS = {"runtime.strategy_lane": "process"}
Story = tuple[dict[str, str], Sequence[tuple[int, str]]]


def tell(directory: Path, *scenarios: Story) -> list[dict[str, Any]]:
    """Run the scenarios in one process that forks the sessions, and return what came of each."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.sim.killed_worker_session", str(directory), json.dumps(scenarios)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(Path(directory, f"{number}.json").read_text()) for number in range(len(scenarios))]


def undisturbed_of(once: Once) -> dict[str, Any]:
    """Return what came of the session in a worker process that nothing kills."""
    told: dict[str, Any] = once("worker-kill", lambda place: tell(place, (PROCESS, []))[0])
    return told


def trades(told: dict[str, Any]) -> Any:
    """Book and memory, without the names that say which run it was: ids begin with the number of the run.

    The digests that seal the rows go with them: they are made of those names too. So do the exchange's numbers of
    fills: one that was told and taken back by a kill is not given again.
    """
    values = told["values"]
    text = json.dumps([told["book"], told["memory"]["recorder"]["attributes"]])
    run_id = values["run_id"]
    for name, stands_for in ((run_id, "RUN"), (run_id[:8], "RUN"), (values["config_hash"], "CONFIG")):
        text = text.replace(name, stands_for)
    text = re.sub(r'"[0-9a-f]{64}"', '"DIGEST"', text)
    return json.loads(re.sub(r"\bsim-\d+\b", "sim-N", text))


def some_kills(commits: int) -> list[Sequence[tuple[int, str]]]:
    """Choose the first, second, last but one and last commit and a seeded few of the others, one side of each.

    QTS_EVERY_KILL=1 takes all of them on both sides.
    """
    sides = ("before", "after")
    if EVERY_KILL:
        return [[(k, side)] for k in range(1, commits + 1) for side in sides]
    rng = random.Random(3)
    moments = sorted({1, 2, commits - 1, commits, *rng.sample(range(3, commits - 1), 3)})
    first = rng.randrange(2)
    return [[(k, sides[(first + n) % 2])] for n, k in enumerate(moments)]


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    (book, memory), (other_book, other_memory) = trades(one), trades(other)
    for table, rows in book.items():
        assert rows == other_book[table], table
    assert memory == other_memory
    for name in ("fills", "orders", "refusals", "rows"):
        assert one["values"][name] == other["values"][name], name


def test_it_trades_as_on_the_loop(tmp_path: Path, once: Once) -> None:
    (on_the_loop,), in_a_process = tell(tmp_path, (LOOP, [])), undisturbed_of(once)

    assert_same(on_the_loop, in_a_process)
    assert in_a_process["values"]["fills"] > 30
    assert in_a_process["memory"]["recorder"]["untold"] == []


def test_one_kill_at_any_commit_changes_nothing(tmp_path: Path, once: Once) -> None:
    undisturbed = undisturbed_of(once)
    commits = (
        undisturbed["passed"]["before"] - 5
    )  # fills that come close together may share one: the last may not come
    scenarios = some_kills(commits)

    for first in range(0, len(scenarios), 50):
        some = scenarios[first : first + 50]
        for kills, told in zip(some, tell(tmp_path / str(first), *((PROCESS, d) for d in some)), strict=True):
            assert told["attempts"] == ["killed"], kills
            assert_same(undisturbed, told)


@pytest.mark.parametrize("seed", [1, 2] if EVERY_KILL else [1])
def test_many_kills_in_a_row_change_nothing(seed: int, tmp_path: Path, once: Once) -> None:
    rng = random.Random(seed)
    kills = [(rng.randint(1, 25), rng.choice(("before", "after"))) for _ in range(6)]

    (told,) = tell(tmp_path, (PROCESS, kills))

    assert told["attempts"] == ["killed"] * 6
    assert_same(undisturbed_of(once), told)
