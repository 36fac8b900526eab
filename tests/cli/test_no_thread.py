"""No further thread to be had: a sentence and exit code 3, or a session without what the thread was for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command_line import own_directory
from tests.sim.recordings import walk, write

__all__ = ["own_directory"]
PROGRAM = """
import sys, threading
from pathlib import Path
from qts.cli.main import main
from qts.db.datadir import DataDir

refused, start = sys.argv[1], threading.Thread.start

def no_room(self):
    if self.name.startswith(refused):
        raise RuntimeError("can't start new thread")
    start(self)

threading.Thread.start = no_room
code = main(sys.argv[2:])
DataDir("run").close()  # no process holds it
sys.exit(code)
"""
"""``qts`` in which threads of one name cannot be started, as where ``ulimit -u`` is reached."""


def ended(refused: str, *argv: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, refused, *argv], capture_output=True, text=True, timeout=120
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def paper() -> tuple[str, ...]:
    """Five minutes in three seconds."""
    write(Path("five.csv"), walk(2_160)[:30])
    return ("run", "--feed", "five.csv", "--speed", "100", "--json", "--data-dir", "run")


@pytest.mark.parametrize("name", ["qts-watchdog", "qts-stderr", "qts-store", "qts-journal"])
def test_a_session_whose_thread_cannot_be_started_says_so_and_can_be_begun_later(
    name: str, paper: tuple[str, ...]
) -> None:
    code, out, err = ended(name, *paper)

    assert (code, out) == (3, "")
    assert (
        f"qts: the thread {name} cannot be started (can't start new thread): the system starts no further one"
        in err
    )
    code, out, err = ended("none", *paper, "--resume")
    assert (code, json.loads(out)["rows"]) == (0, 30), err


@pytest.mark.parametrize("name", ["qts-watchdog", "qts-stderr"])
def test_a_replay_needs_two_of_them_and_says_so(name: str) -> None:
    write(Path("tape.csv"), walk(60))

    code, out, err = ended(name, "replay", "tape.csv", "--json", "--data-dir", "run")

    assert (code, out) == (3, "")
    assert f"qts: the thread {name} cannot be started" in err


def test_what_helps_beside_the_loop_is_done_on_it_or_left_out(paper: tuple[str, ...]) -> None:
    """given no thread for views, audits and the last flush, then the session comes to the same end"""
    code, out, err = ended("asyncio_", *paper)

    values = json.loads(out)
    assert (code, values["finished"], values["rows"]) == (0, True, 30), err
    assert all(row["ok"] is not False for row in values["invariants"].values())
