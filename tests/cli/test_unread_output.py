"""Sessions whose standard error is not read, full or closed: they trade on and stop at the first signal."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command_line import own_directory
from tests.sim.recordings import walk, write

__all__ = ["own_directory"]
DEADLINE_S = 60
QUOTES = 300
LOUD = """
import os
from qts import Intent, Pool, Side

class Loud:
    name, pool, symbols = "loud", Pool.SCALP, ()

    def on_start(self, ctx): ...
    def on_bar(self, ctx, bar): return ()
    def on_fill(self, ctx, fill): ...

    def on_quote(self, ctx, quote):
        print("x" * 5_000)
        return [Intent(quote.symbol, Side.BUY, 1.0, qty=1)] if not ctx.working(quote.symbol) else ()

class Raw(Loud):
    def on_quote(self, ctx, quote):
        os.write(2, b"as a library prints")
        return ()
"""


@pytest.fixture
def loud(own_directory: None) -> tuple[str, ...]:
    """A command with a strategy that prints 1.5 MB in all, more than a pipe and all that may wait for it."""
    write(Path("tape.csv"), walk(2_160)[:QUOTES])  # fifty minutes, a quote every ten seconds
    Path("loud.py").write_text(LOUD, encoding="utf-8")
    return "run", "--feed", "tape.csv", "--strategy", "loud.py:Loud", "--data-dir", "run", "--json"


@pytest.fixture
def started() -> Iterator[Any]:
    running: list[subprocess.Popen[bytes]] = []

    def start(*argv: str, **more: Any) -> subprocess.Popen[bytes]:
        with open("out.json", "wb") as out:
            running.append(subprocess.Popen([sys.executable, "-m", "qts.cli.main", *argv], stdout=out, **more))
        return running[-1]

    yield start
    for one in running:
        if one.poll() is None:
            one.kill()
        if one.stderr is not None:
            one.stderr.close()
        one.wait()


def result() -> dict[str, Any]:
    values: dict[str, Any] = json.loads(Path("out.json").read_text("utf-8"))
    return values


@pytest.mark.parametrize("lane", ["loop", "process"])
def test_a_pipe_that_is_not_read_does_not_stop_trading(lane: str, loud: tuple[str, ...], started: Any) -> None:
    more = ("--speed", "1000", "--set", f"runtime.strategy_lane={lane}", "--set", "risk.approval_ttl_ms=60000")
    process = started(*loud, *more, stderr=subprocess.PIPE)

    assert process.wait(timeout=DEADLINE_S) == 0

    assert (result()["finished"], result()["rows"]) == (True, QUOTES)
    assert result()["orders"] > 0
    if lane == "loop":  # a worker's prints are its own
        log = Path("run/session.log.jsonl").read_text("utf-8")
        assert "characters for standard error dropped: it was not read" in log


def test_the_first_signal_stops_a_session_whose_output_is_not_read(loud: tuple[str, ...], started: Any) -> None:
    reader, writer = os.pipe()
    try:
        process = started(*loud, "--speed", "300", stderr=writer)
        # Given a session that has filled the pipe
        end = time.monotonic() + DEADLINE_S
        while select.select([], [writer], [], 0)[1]:
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.01)
        # when it is told to stop
        process.send_signal(signal.SIGTERM)
        # then it stops with everything on disk
        assert process.wait(timeout=DEADLINE_S) == 130
        assert result()["finished"] is False
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_standard_error_is_no_failure(loud: tuple[str, ...], started: Any) -> None:
    with open("/dev/full", "wb") as full:
        process = started(*loud, "--speed", "1000", stderr=full)
        assert process.wait(timeout=DEADLINE_S) == 0

    assert result()["rows"] == QUOTES
    log = Path("run/session.log.jsonl").read_text("utf-8")
    assert f"{5_001 * QUOTES:,} characters for standard error dropped" in log


def test_no_file_of_a_session_gets_the_number_of_a_closed_standard_error(
    loud: tuple[str, ...], started: Any
) -> None:
    raw = ["loud.py:Raw" if word == "loud.py:Loud" else word for word in loud]

    process = started(*raw, "--speed", "1000", preexec_fn=lambda: os.close(2))

    assert process.wait(timeout=DEADLINE_S) == 0
    assert result()["rows"] == QUOTES
    for path in Path("run").rglob("*"):
        assert path.is_dir() or b"as a library prints" not in path.read_bytes(), path
