"""A run that is stopped, killed, run again, resumed; and sessions in paced time, from the command line."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command_line import own_directory, run_qts, tape
from tests.effort import EVERY_KILL
from tests.sim.recordings import walk, write
from tests.sim.sessions import book_of, comparable

__all__ = ["own_directory", "tape"]
DEADLINE_S = 60


# -- state of a run ----------------------------------------------------------------------------------------------


def test_a_finished_run_is_run_again_or_shown_again(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ("replay", str(tape), "--json", "--data-dir", "run")
    first = json.loads(run_qts(capsys, *argv)[1])

    again = json.loads(run_qts(capsys, *argv)[1])
    shown = json.loads(run_qts(capsys, *argv, "--resume")[1])

    assert comparable(again) == comparable(first)
    assert shown == again


def test_a_directory_of_another_run_is_refused(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_qts(capsys, "replay", str(tape), "--json", "--data-dir", "run")
    before = book_of(Path("run"))

    for more in (["--seed", "8"], ["--seed", "8", "--resume"]):
        code, out, err = run_qts(capsys, "replay", str(tape), "--data-dir", "run", *more)
        assert (code, out) == (2, "")
        assert "seed was 7, now 8" in err
    write(Path("other.csv"), walk(600, days=2, seed=2))
    code, _, err = run_qts(capsys, "replay", "other.csv", "--data-dir", "run", "--resume")
    assert code == 2
    assert "source_id was csv:" in err
    assert book_of(Path("run")) == before


# -- a process that is stopped or killed -------------------------------------------------------------------------


class Process:
    """``qts`` as a real process."""

    def __init__(self, *argv: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "qts.cli.main", *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, path: Path) -> None:
        """Until the session stands (its first checkpoint is written) or the process has ended."""
        end = time.monotonic() + DEADLINE_S
        while self.process.poll() is None and not (path.exists() and path.stat().st_size > 0):
            assert time.monotonic() < end, f"{path} never came"
            time.sleep(0.01)

    def ended(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, out, err


@pytest.fixture
def started() -> Iterator[Any]:
    running: list[Process] = []

    def start(*argv: str) -> Process:
        running.append(Process(*argv))
        return running[-1]

    yield start
    for one in running:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


def whole_run(capsys: pytest.CaptureFixture[str], tape: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(run_qts(capsys, "replay", str(tape), "--json", "--data-dir", "whole")[1])
    return values


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_with_130_and_the_run_can_be_resumed(
    number: signal.Signals, tape: Path, capsys: pytest.CaptureFixture[str], started: Any
) -> None:
    """An hour of the market in two seconds, so that there is time to stop it."""
    whole = whole_run(capsys, tape)
    process = started("replay", str(tape), "--speed", "1800", "--json", "--data-dir", "run")
    process.wait_for(Path("run/qts.sqlite-wal"))
    process.wait_for(Path("run/session.log.jsonl").parent)

    process.process.send_signal(number)
    code, out, err = process.ended()

    assert code == 130, err
    assert "stopping" in err
    assert json.loads(out)["finished"] is False
    refused_code, _, message = run_qts(capsys, "replay", str(tape), "--data-dir", "run")
    assert refused_code == 2
    assert "--resume" in message
    resumed = json.loads(run_qts(capsys, "replay", str(tape), "--json", "--data-dir", "run", "--resume")[1])
    assert comparable(resumed) == comparable(whole)
    assert book_of(Path("run")) == book_of(Path("whole"))


def test_a_second_instance_in_the_same_directory_is_refused(
    tape: Path, capsys: pytest.CaptureFixture[str], started: Any
) -> None:
    process = started("replay", str(tape), "--speed", "60", "--json", "--data-dir", "run")
    process.wait_for(Path("run/qts.sqlite-wal"))

    code, out, err = run_qts(capsys, "replay", str(tape), "--data-dir", "run", "--resume")

    assert (code, out) == (2, "")
    assert f"in use by the process with pid {process.process.pid}" in err


@pytest.mark.parametrize("seed", [1])
def test_kill_9_at_random_moments_changes_nothing(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], started: Any
) -> None:
    """A real process is killed from outside again and again, after random shares of the time that a run takes."""
    rng = random.Random(seed)
    tape = write(tmp_path / "long.csv", walk(3_000, days=3, seed=seed))
    began = time.monotonic()
    whole = json.loads(started("replay", str(tape), "--json", "--data-dir", "whole").ended()[1])
    took_s = time.monotonic() - began
    kills = 0
    for _ in range(30 if EVERY_KILL else 4):
        process = started("replay", str(tape), "--json", "--data-dir", "run", "--resume")
        try:
            process.process.communicate(timeout=rng.uniform(0.4, 0.9) * took_s)
        except subprocess.TimeoutExpired:
            os.kill(process.process.pid, signal.SIGKILL)
            assert process.ended()[0] == -signal.SIGKILL
            kills += 1
    code, out, err = run_qts(capsys, "replay", str(tape), "--json", "--data-dir", "run", "--resume")

    assert (code, err) == (0, "")
    assert kills > 0
    assert comparable(json.loads(out)) == comparable(whole)
    assert book_of(Path("run")) == book_of(Path("whole"))


# -- paper -------------------------------------------------------------------------------------------------------


def test_kill_9_after_a_reload_is_resumed_by_the_command_that_began_it(
    capsys: pytest.CaptureFixture[str], started: Any
) -> None:
    Path("etc").mkdir()
    limits = Path("etc", "risk.yaml")
    limits.write_text("symbol_weight_limit: 0.15\n", encoding="utf-8")
    paper = ("run", "--config", "etc", "--speed", "300", "--data-dir", "run", "--json")
    reload = ("config", "reload", "--data-dir", "run", "--operator", "kim", "--reason", "tighter")
    process = started(*paper)
    process.wait_for(Path("run", "qts.sqlite-wal"))

    limits.write_text("symbol_weight_limit: 5\n", encoding="utf-8")
    code, out, _ = run_qts(capsys, *reload)
    assert (code, "the configuration in force stays" in out) == (2, True)
    limits.write_text("symbol_weight_limit: 0.05\n", encoding="utf-8")
    assert run_qts(capsys, *reload) == (0, "risk.symbol_weight_limit: 0.15 -> 0.05\n", "")
    os.kill(process.process.pid, signal.SIGKILL)
    assert process.ended()[0] == -signal.SIGKILL

    resumed = started(*paper, "--resume")
    assert run_qts(capsys, *reload) == (0, "nothing has changed\n", "")
    resumed.process.send_signal(signal.SIGTERM)
    code, out, err = resumed.ended()
    assert code == 130, err
    assert json.loads(out)["risk_limits"]["symbol_weight_limit"] == "0.05"
    log = Path("run", "session.log.jsonl").read_text("utf-8")
    assert "operator kim: reload (tighter): done: risk.symbol_weight_limit: 0.15 -> 0.05" in log
    assert "operator kim: reload (tighter): refused: " in log


HOPING = """
from qts import Intent, Pool, Side

class Hoping:
    name, pool, symbols = "hoping", Pool.SCALP, ()

    def __init__(self):
        self.asked = 0

    def on_start(self, ctx): ...
    def on_bar(self, ctx, bar): return ()
    def on_fill(self, ctx, fill): ...

    def on_quote(self, ctx, quote):
        self.asked += 1
        if self.asked == 3:
            return [Intent(quote.symbol, Side.BUY, 1.0, qty=10)]
        if self.asked == 20:  # 1.7 s after the first, which is long done, also on a busy machine
            return [Intent(quote.symbol, Side.BUY, 1.0, qty=10, limit=quote.bid - 4_000)]
        return ()
"""
"""Buys once, and then bids below every offer: that order is still open when the input ends."""


def test_paper_runs_in_accelerated_time_and_loses_no_p0(capsys: pytest.CaptureFixture[str]) -> None:
    write(Path("five.csv"), walk(2_160)[:30])  # five minutes, a quote every ten seconds
    Path("hoping.py").write_text(HOPING, encoding="utf-8")
    paper = ("run", "--feed", "five.csv", "--speed", "100", "--strategy", "hoping.py:Hoping")
    patient = ("--set", "risk.approval_ttl_ms=60000")  # 0.6 s here

    code, out, err = run_qts(capsys, *paper, *patient, "--json", "--data-dir", "run")

    values = json.loads(out)
    assert (code, err) == (0, "")
    assert (values["rows"], values["orders"], values["fills"]) == (30, 2, 1)
    assert values["lost_p0"] == 0
    p0 = values["queues"]["P0"]
    assert (p0["accepted"], p0["handled"]) == (2, 2), "the fill, and the end of the order at the close"
    assert all(row["ok"] is not False for row in values["invariants"].values())
    assert {row[11] for row in book_of(Path("run"))["orders"]} == {"FILLED", "CANCELLED"}
