"""Paper sessions on a machine whose clock jumps and whose processors are busy: nothing is lost or moved in time.

They need ``faketime`` and ``stress-ng`` (Debian packages of these names) and are skipped, saying so, without them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from qts.clock import NS_PER_S, to_ns
from tests.sim.recordings import FIRST_DAY, row, write

STRATEGY = """
from qts.capital.contracts import Pool
from qts.strategy.contracts import Intent, Side


class InAndOut:
    name = "in-and-out"
    pool = Pool.SCALP
    symbols = ()

    def on_start(self, ctx): ...

    def on_quote(self, ctx, quote):
        if ctx.working(quote.symbol):
            return ()
        side = Side.SELL if ctx.holding(quote.symbol) else Side.BUY
        return (Intent(quote.symbol, side, 1.0, qty=1 if side is Side.BUY else None, reason="turn"),)

    def on_bar(self, ctx, bar):
        return ()

    def on_fill(self, ctx, fill): ...
"""
ROWS = 60
SPEED = 15
"""A minute of quotes, one a second, in four seconds: slow enough for a machine that is busy."""


def needed(program: str) -> str:
    """The path of ``program``; the test is skipped, saying so, where it is not installed."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed (Debian package {program})")
    return found


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """A paper session over one day of quotes, its result as JSON."""
    (tmp_path / "turn.py").write_text(STRATEGY, "utf-8")
    opened = FIRST_DAY.replace(hour=9, minute=1)
    quotes = [row(opened + timedelta(seconds=n), 150_000 + 100 * (n // 3 % 5)) for n in range(ROWS)]
    tape = write(tmp_path / "tape.csv", quotes)
    return [
        *(sys.executable, "-m", "qts.cli.main", "run", "--feed", str(tape), "--speed", str(SPEED), "--json"),
        *("--strategy", f"{tmp_path / 'turn.py'}:InAndOut", "--data-dir", str(tmp_path / "run")),
        *("--set", "runtime.freshness.snapshot_ms=3600000"),
    ]


def result_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    values: dict[str, Any] = json.loads(done.stdout)
    return values


def nothing_is_lost(values: dict[str, Any], directory: Path) -> None:
    """Every fill was handled and is in the book once, at a time of the tape's own day; every check held."""
    p0 = values["queues"]["P0"]
    assert p0["accepted"] == p0["handled"]
    assert values["lost_p0"] == 0
    assert values["fills"] > 0
    assert all(row["ok"] is not False for row in values["invariants"].values()), values["invariants"]
    with closing(sqlite3.connect(directory / "qts.sqlite")) as book:
        times = [ns for (ns,) in book.execute("SELECT timestamp FROM t_ledger ORDER BY id")]
    assert len(times) == values["fills"] == values["ledger_rows"]
    assert times == sorted(times)
    opened = to_ns(FIRST_DAY.replace(hour=9))
    assert opened <= times[0] <= times[-1] <= opened + 7 * 3_600 * NS_PER_S


@pytest.mark.parametrize("offset", ["+1h", "-1h", "-400d"])
def test_a_wall_clock_that_is_wrong_changes_no_time_of_the_session(
    command: list[str], tmp_path: Path, offset: str
) -> None:
    faked = [needed("faketime"), "-f", offset, *command]
    environment = os.environ | {"FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    done = subprocess.run(faked, capture_output=True, text=True, timeout=120, env=environment, check=False)

    nothing_is_lost(result_of(done), tmp_path / "run")


@pytest.mark.parametrize("jump", ["+3600", "-3600"])
def test_a_wall_clock_that_jumps_while_it_runs_changes_no_time_of_the_session(
    command: list[str], tmp_path: Path, jump: str
) -> None:
    """Given a session that runs, when the machine's clock is put an hour on or back, then nothing notices."""
    offset = tmp_path / "offset"
    offset.write_text("+0\n", "ascii")
    environment = os.environ | {
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
    }
    faketime = needed("faketime")
    library = subprocess.run([faketime, "-f", "+0", "env"], capture_output=True, text=True, check=True).stdout
    environment |= dict(line.split("=", 1) for line in library.splitlines() if line.startswith("LD_PRELOAD="))
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as session:
        while not (tmp_path / "run" / "view.json").exists() and session.poll() is None:
            os.sched_yield()  # it shows itself once it takes values
        offset.write_text(f"{jump}\n", "ascii")
        out, told = session.communicate(timeout=120)

    nothing_is_lost(
        result_of(subprocess.CompletedProcess(command, session.returncode, out, told)), tmp_path / "run"
    )


def test_busy_processors_lose_nothing_and_break_no_check(command: list[str], tmp_path: Path) -> None:
    with subprocess.Popen(
        [needed("stress-ng"), "--cpu", "4", "--timeout", "60s", "--quiet"], start_new_session=True
    ) as stress:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
        finally:
            os.killpg(stress.pid, signal.SIGTERM)

    nothing_is_lost(result_of(done), tmp_path / "run")
