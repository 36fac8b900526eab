"""``qts stop``: what it says and with which exit code, of runs that go on, are over or hang."""

from __future__ import annotations

import json
import resource
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from qts.db.contracts import RunRow
from qts.db.sqlite import SqliteStore
from tests.cli.command_line import own_directory, run_qts, tape
from tests.cli.test_session_lives import Process
from tests.sim.recordings import FIRST_DAY, row, write

__all__ = ["own_directory", "tape"]
WHO = ("--operator", "kim", "--reason", "drill")
STRATEGY = """
from qts.capital.contracts import Pool
from qts.strategy.contracts import Intent, Side

class Buyer:
    name, pool, symbols = "buyer", Pool.SCALP, ()
    def on_start(self, ctx): pass
    def on_quote(self, ctx, quote):
        return (Intent(quote.symbol, Side.BUY, 1.0, qty=1),) if ctx.holding(quote.symbol) < 3 else ()
    def on_bar(self, ctx, bar): return ()
    def on_fill(self, ctx, fill): open("bought", "a").write("x")
"""


@pytest.fixture
def session() -> Iterator[Process]:
    """A paper session in ``run``, a hundred times as fast as time, of a strategy that holds three shares."""
    Path("buyer.py").write_text(STRATEGY, "utf-8")
    first = FIRST_DAY.replace(hour=10)
    write(Path("day.csv"), [row(first + n * timedelta(seconds=1), 150_000 + n % 3 * 100) for n in range(18_000)])
    process = Process(
        "run", "--feed", "day.csv", "--strategy", "buyer.py:Buyer", "--speed", "100", "--data-dir", "run", "--json"
    )
    process.wait_for(Path("bought"))
    yield process
    if process.process.poll() is None:
        process.process.kill()
        process.process.communicate()


def test_a_running_session_is_stopped_by_part_and_as_a_whole(
    session: Process, capsys: pytest.CaptureFixture[str]
) -> None:
    # A part that is not there is refused, with those that are.
    code, out, _ = run_qts(capsys, "stop", "--keep", "--strategy", "seller", "--data-dir", "run", *WHO)
    assert code == 2
    assert "no strategy seller in this run; nothing was stopped. There is: buyer" in out

    # One that is there is kept, shown, and released by its own name.
    code, out, _ = run_qts(capsys, "stop", "--keep", "--pool", "SCALP", "--data-dir", "run", *WHO)
    assert code == 0, out
    first, second, *_ = out.splitlines()
    assert first == f"session in run, pid {session.process.pid}"
    assert second == "pool SCALP is stopped: it takes no entry until 'qts safety release --pool SCALP'"
    assert "sold            nothing\nopen positions  005930 " in out
    code, out, _ = run_qts(capsys, "safety", "show", "--data-dir", "run")
    assert out.startswith("run    run (running)\nsafety NORMAL since ")
    assert "stop   pool SCALP is stopped since 2026-01-22" in out
    assert "by kim: drill; holdings kept" in out
    shown = json.loads(run_qts(capsys, "safety", "show", "--json", "--data-dir", "run")[1])
    assert [(stop["scope"], stop["name"]) for stop in shown["stops"]] == [("pool", "SCALP")]
    code, out, _ = run_qts(capsys, "safety", "release", "--strategy", "buyer", "--data-dir", "run", *WHO)
    assert code == 2
    assert "in force: pool SCALP is stopped" in out
    assert run_qts(capsys, "safety", "release", "--pool", "SCALP", "--data-dir", "run", *WHO)[0] == 0

    # Everything is sold under the former name, which says how it is called now.
    code, out, err = run_qts(capsys, "safety", "stop", "--data-dir", "run", *WHO)
    assert code == 0, out
    assert "qts safety stop is now called qts stop --sell" in err
    assert "everything is stopped (LOCKDOWN): no entry leaves until 'qts safety release'" in out
    assert "sold            005930 " in out
    assert "open positions  none" in out

    # With a disk that takes no file the command is given by signal.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        code = run_qts(capsys, "stop", "--keep", "--data-dir", "run", *WHO)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 1

    session.process.send_signal(signal.SIGTERM)
    code, out, err = session.ended()
    assert code == 130, err
    result = json.loads(out)
    assert (result["safety_state"], result["positions"], result["stops"]) == ("LOCKDOWN", {}, [])
    log = Path("run/session.log.jsonl").read_text("utf-8")
    assert "operator signal SIGUSR1: stop (sent to the process): done" in log

    # Now no session runs there: the stop waits for the resume, and the command says so.
    code, out, _ = run_qts(capsys, "stop", "--sell", "--data-dir", "run", *WHO)
    assert code == 1
    assert "no session runs in run, so nothing trades there; --resume carries the stop out" in out
    assert len(list(Path("run/operator").glob("stop-*.asked"))) == 1


def test_a_finished_run_says_so(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_qts(capsys, "replay", str(tape), "--data-dir", "run")
    code, out, _ = run_qts(capsys, "stop", "--sell", "--data-dir", "run", *WHO)
    assert code == 2
    assert out == "the run in run is finished: nothing trades there, and the command was not given\n"
    assert not Path("run/operator").exists()


@pytest.mark.parametrize("command", ["replay", "demo", "backtest"])
def test_a_replay_hears_no_operator_and_gets_no_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("run").mkdir()
    store = SqliteStore(Path("run/qts.sqlite"), durability="NORMAL")
    store.open_run(RunRow("r", command, 7, "source", "config", "2026-03-02T00:00:00+00:00", finished=False))
    store.close()

    code, out, _ = run_qts(capsys, "stop", "--sell", "--data-dir", "run", *WHO)

    assert code == 2
    assert out.startswith(f"the run in run is a qts {command}, which takes no commands: the command was not given")
    assert not Path("run/operator").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["stop", *WHO], "one of the arguments --keep --sell is required"),
        (["stop", "--keep", "--sell", *WHO], "not allowed with argument"),
        (["stop", "--keep", "--pool", "SCALP", "--symbol", "A", *WHO], "not allowed with argument"),
        (["stop", "--keep", "--wait", "-1", *WHO], "not a number of seconds from 0 to 86400"),
        (["stop", "--keep", "--reason", "drill"], "--operator"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run_qts(capsys, *words)
    assert code == 2
    assert says in err


def test_where_no_run_is_there_is_nothing_to_stop(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run_qts(capsys, "stop", "--sell", *WHO)
    assert code == 2
    assert "there is no run in" in err
