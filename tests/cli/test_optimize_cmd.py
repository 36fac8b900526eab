"""``qts optimize`` as a user meets it: what it prints, what it keeps, its exit codes, one line for bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qts.errors import QtsError
from qts.search.study import Study
from tests.cli.command_line import own_directory, run_qts
from tests.search.studies import STRATEGIES
from tests.sim.daily_bars import trading_days, write_bars

__all__ = ["own_directory"]
SEARCH = ("--strategy", f"{STRATEGIES}:EveryN", "--param", "hold=1..2", "--param", "rest=1..2", "--min-trades", "1")


@pytest.fixture
def bars() -> Path:
    return write_bars(Path("005930.csv"), trading_days()[:45])


def test_a_search_prints_the_best_and_the_verdict_and_keeps_a_study(
    bars: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # When it runs to its end, with one worker
    given = ("optimize", bars, *SEARCH, "--workers", "1", "--holdout", "20%", "--report", "study.html")
    code, out, _ = run_qts(capsys, *given, "--json")
    outcome = json.loads(out)
    assert code == 0
    assert (outcome["trials"], outcome["failed"], outcome["is_finished"]) == (4, 0, True)
    assert "<!doctype html>" in Path("study.html").read_text()
    study = outcome["study"]
    # Then the same command shows the stored answers, and so do the other verbs
    assert json.loads(run_qts(capsys, *given, "--json")[1]) == outcome
    code, best, _ = run_qts(capsys, "optimize", "best", study)
    assert code == 0
    assert f"--param hold={outcome['params']['hold']} --param rest={outcome['params']['rest']}" in best
    code, status, _ = run_qts(capsys, "optimize", "status", study)
    assert code == 0
    assert "finished" in status
    assert "never opened" in status
    # And the seal counts each look
    for look in (1, 2):
        opened = json.loads(run_qts(capsys, "optimize", "open-holdout", study, "--json")[1])
        assert opened["openings"] == look
    assert "opened 2 times" in run_qts(capsys, "optimize", "show", study)[1]


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (("--param", "quick=1..3"), "no parameter 'quick'"),
        (("--param", "hold=1..3"), "given twice"),
        (("--where", "hold >"), "--where 'hold >'"),
        (("--max-trials", "2"), "more than 2 combinations"),
        (("--split", "walk-forward", "--train", "50d", "--test", "10d"), "60 sessions"),
        (("--holdout", "100%"), "--holdout 100%"),
        (("--train", "x"), "--train x"),
        (("--method", "luck"), "grid, random, qmc, tpe"),
        (("--workers", "0"), "from 1 to 256"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_started(
    bars: Path, more: tuple[str, ...], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run_qts(capsys, "optimize", bars, *SEARCH, *more)
    assert code == 2
    assert named in err
    assert out == ""
    assert not list(Path("qts-data").glob("*/study.sqlite"))


def test_a_search_needs_a_strategy_and_a_study_that_is_there(
    bars: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "needs one strategy" in run_qts(capsys, "optimize", bars)[2]
    assert "holds no study" in run_qts(capsys, "optimize", "show", "nowhere")[2]
    assert "wants the directory of one study" in run_qts(capsys, "optimize", "resume")[2]


def test_ctrl_c_leaves_a_study_that_goes_on(bars: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Given a search whose second trial never ends
    place = f"{STRATEGIES}:EveryN"
    given = ["--strategy", place, "--param", "hold=1..2", "--param", "trouble=second", "--min-trades", "1"]
    environ = {**os.environ, "PYTHONPATH": str(STRATEGIES.parents[2])}
    command = [sys.executable, "-m", "qts.cli.main", "optimize", str(bars), *given, "--workers", "1"]
    with subprocess.Popen(
        [*command, "--data-dir", "study"], env=environ, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None and trials_in(Path("study")) < 1:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    # Then it keeps the first and says how to go on, which ends the second in its time
    assert process.returncode == 130, err
    assert "qts optimize resume study" in out
    code, out, _ = run_qts(capsys, "optimize", "resume", "study", "--trial-timeout", "2", "--json")
    outcome = json.loads(out)
    assert code == 0
    assert (outcome["trials"], outcome["failed"], outcome["params"]["hold"]) == (2, 1, "1")


def trials_in(directory: Path) -> int:
    try:
        with Study(directory, writes=False) as study:
            return study.count()
    except QtsError:  # it has not begun
        return 0
