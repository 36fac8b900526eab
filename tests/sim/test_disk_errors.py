"""A paper session whose journal's disk fails, or which dies around an order: it ends or goes on, and is resumed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]


class Story(NamedTuple):
    """Return what came of a fault: the ends of both attempts, and the fills in the store after each."""

    first: list[str]
    before: list[list[Any]]
    codes: list[str]
    second: list[str]
    after: list[list[Any]]
    problems: list[str]


def scenario(directory: Path, fault: str) -> Story:
    command = [sys.executable, "-m", "tests.sim.disk_fault_session", str(directory), fault]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return Story(*json.loads(done.stdout))


def assert_nothing_lost(told: Story) -> None:
    assert told.second[0] == "0", told.second[1]
    assert told.after[: len(told.before)] == told.before
    executions = [(row[0], row[1]) for row in told.after]
    assert len(set(executions)) == len(executions)
    assert told.problems == []


def test_a_sync_of_the_journal_that_fails_ends_the_session_and_it_can_be_resumed(tmp_path: Path) -> None:
    told = scenario(tmp_path, "sync")
    assert told.first[0] == "3"
    assert "the disk did not confirm: Input/output error" in told.first[1]
    assert_nothing_lost(told)


@pytest.mark.parametrize("fault", ["write", "rotation"])
def test_a_journal_that_cannot_write_any_more_suspends_trading_and_it_can_be_resumed(
    tmp_path: Path, fault: str
) -> None:
    """A failed write, and a disk that is full when the next file is due: nothing is half written."""
    told = scenario(tmp_path, fault)
    assert told.first[0] == "0", told.first[1]
    assert "FS096" in told.codes
    assert_nothing_lost(told)


@pytest.mark.parametrize("fault", ["before the broker", "after the broker"])
def test_a_kill_around_the_sending_of_an_order_sends_none_twice(tmp_path: Path, fault: str) -> None:
    told = scenario(tmp_path, fault)
    assert told.first[0] == "killed"
    assert_nothing_lost(told)
