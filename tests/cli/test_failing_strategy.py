"""A strategy that fails is told with its traceback; a halted one gives exit code 5, and --strict ends there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.sim.recordings import walk, write

STRATEGY = """
from qts.capital.contracts import Pool


class Failing:
    name = "failing"
    pool = Pool.SCALP
    symbols = ()
    fails_until = {until}

    def __init__(self):
        self.quotes = 0

    def on_start(self, ctx): ...

    def on_quote(self, ctx, quote):
        self.quotes += 1
        if self.quotes <= self.fails_until:
            raise ValueError("the spread is not what I thought")
        return ()

    def on_bar(self, ctx, bar):
        return ()

    def on_fill(self, ctx, fill): ...
"""


def replayed(directory: Path, until: int, *options: str) -> subprocess.CompletedProcess[str]:
    """A replay of 40 quotes by a strategy that fails in its first ``until`` ones."""
    (directory / "failing.py").write_text(STRATEGY.format(until=until), "utf-8")
    tape = write(directory / "tape.csv", walk(40, days=1))
    command = [sys.executable, "-m", "qts.cli.main", "replay", str(tape), "--data-dir", str(directory / "run")]
    return subprocess.run(
        [*command, "--strategy", f"{directory / 'failing.py'}:Failing", "--json", *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def logged(directory: Path) -> list[dict[str, Any]]:
    lines = (directory / "run" / "session.log.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_a_halted_strategy_ends_a_finished_run_with_5_and_its_first_traceback_is_reported(tmp_path: Path) -> None:
    done = replayed(tmp_path, 3)

    values = json.loads(done.stdout)
    assert done.returncode == 5
    assert (values["finished"], values["rows"], values["halted_strategies"]) == (True, 40, ["failing"])
    assert done.stderr.count("Traceback (most recent call last)") == 1
    place = 'failing.py", line 19, in on_quote'
    assert place in done.stderr
    assert any("Traceback" in line["message"] and place in line["message"] for line in logged(tmp_path))


def test_errors_that_halt_no_strategy_are_shown_and_the_run_finishes(tmp_path: Path) -> None:
    done = replayed(tmp_path, 2)

    assert done.returncode == 0
    assert done.stderr.count("ValueError: the spread is not what I thought") >= 1


@pytest.mark.parametrize("until", [1, 3])
def test_strict_ends_at_the_first_error_and_the_run_can_be_resumed(tmp_path: Path, until: int) -> None:
    done = replayed(tmp_path, until, "--strict")

    values = json.loads(done.stdout)
    assert done.returncode == 5
    assert (values["finished"], values["rows"]) == (False, 1)

    again = replayed(tmp_path, until, "--resume")

    assert json.loads(again.stdout)["rows"] == 40
