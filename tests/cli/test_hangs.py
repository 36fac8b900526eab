"""Strategies that do not come back: a session says where, ends by itself in real time, and at the first signal."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from qts.clock import NS_PER_MS
from tests.cli.command_line import own_directory
from tests.sim.recordings import walk, write

__all__ = ["own_directory"]
DEADLINE_S = 90
HUNG, STOPPED = 75, 130
HALTED = 5
STRATEGIES = """
import pathlib, re, time
from qts import Intent, Pool, Side

class Calm:
    name, pool, symbols = "calm", Pool.SCALP, ()
    asked = 0

    def on_start(self, ctx): ...
    def on_bar(self, ctx, bar): return ()
    def on_fill(self, ctx, fill): ...

    def on_quote(self, ctx, quote):
        self.asked += 1
        if self.asked == 1:
            pathlib.Path("shown").touch()
        if self.asked == 2:
            return [Intent(quote.symbol, Side.BUY, 1.0, qty=10)]
        if self.asked == 30:  # 2.8 s later, when the order is long filled
            return self.hang(quote) or ()
        return ()

    def hang(self, quote): ...

class Loops(Calm):
    name = "loops"
    def hang(self, quote):
        while True:
            pass

class Sleeps(Calm):
    name = "sleeps"
    def hang(self, quote):
        time.sleep(3_600)

class Catches(Calm):
    name = "catches"
    def hang(self, quote):
        while True:
            try:
                time.sleep(0.1)
            except BaseException:
                pass

class Keeps(Calm):
    name = "keeps"
    def hang(self, quote):
        re.match(r"(a+)+$", "a" * 60 + "b")

class Starts(Calm):
    name = "starts"
    def on_start(self, ctx):
        while True:
            pass

class Naps(Calm):
    name = "naps"
    def hang(self, quote):
        time.sleep(2.5)
        return [Intent(quote.symbol, Side.BUY, 1.0, qty=10)]

class Eager(Calm):
    name = "eager"
    def on_quote(self, ctx, quote):
        return [Intent(quote.symbol, Side.BUY, 1.0, qty=1)]
"""


SOON = """
import sys
from qts.cli.main import main
from qts.runtime.drivers import watchdog

watchdog.HUNG_S = 1.5
sys.exit(main(sys.argv[1:]))
"""
"""``qts`` whose watchdog takes a strategy for hung after 1.5 s in place of 5; only waiting is left out."""


class Session:
    """``qts`` as a real process; what it prints is in files."""

    def __init__(self, program: tuple[str, ...], *argv: str) -> None:
        with open("out.json", "wb") as out, open("err.txt", "wb") as err:
            self.process = subprocess.Popen([sys.executable, *program, *argv], stdout=out, stderr=err)

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert self.process.poll() is None, self.errors
            assert time.monotonic() < end, self.errors
            time.sleep(0.02)

    def ended(self) -> int:
        return self.process.wait(timeout=DEADLINE_S)

    @property
    def errors(self) -> str:
        return Path("err.txt").read_text("utf-8")

    @property
    def result(self) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(Path("out.json").read_text("utf-8"))
        return values

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture
def session() -> Iterator[Callable[..., Session]]:
    write(Path("tape.csv"), walk(2_160)[:60])  # ten minutes, a quote every ten seconds
    Path("strategies.py").write_text(STRATEGIES, encoding="utf-8")
    running: list[Session] = []

    def start(command: str, name: str, *more: str, soon: bool = False) -> Session:
        source = ("replay", "tape.csv") if command == "replay" else ("run", "--feed", "tape.csv", "--speed", "100")
        strategy = ("--strategy", f"strategies.py:{name}")
        patient = ("--set", "risk.approval_ttl_ms=60000")  # 0.6 s here
        program = ("-c", SOON) if soon else ("-m", "qts.cli.main")
        running.append(Session(program, *source, *strategy, *patient, "--json", "--data-dir", "run", *more))
        return running[-1]

    yield start
    for one in running:
        one.close()


def log() -> str:
    return Path("run/session.log.jsonl").read_text("utf-8")


def stored(query: str) -> list[Any]:
    """The first column."""
    with closing(sqlite3.connect("run/qts.sqlite")) as store:
        return [row[0] for row in store.execute(query)]


def is_approved() -> bool:
    """Return whether the running session has approved an order; it writes the store meanwhile."""
    try:
        with closing(sqlite3.connect("file:run/qts.sqlite?mode=ro", uri=True)) as store:
            return store.execute("SELECT 1 FROM decisions").fetchone() is not None
    except sqlite3.OperationalError:  # not there yet
        return False


def stack() -> str:
    path = Path("run/hang.txt")
    return path.read_text("utf-8") if path.exists() else ""


@pytest.mark.parametrize("name", ["Loops", "Sleeps"])
def test_a_strategy_that_hangs_ends_the_session_and_is_halted_at_the_resume(name: str, session: Any) -> None:
    # Given a strategy that holds something and then does not come back
    hung = session("run", name)
    # when nothing is done about it
    assert hung.ended() == HUNG
    # then the place was said
    assert f"in hang of strategy {name.lower()}" not in hung.errors, "the callback is named, not what it called"
    assert f"in on_quote of strategy {name.lower()}" in hung.errors
    assert 'strategies.py", line' in hung.errors
    assert " in hang" in stack()
    # and the next one goes on without it, in FAIL, and sells what it holds
    resumed = session("run", name, "--resume")
    assert resumed.ended() == HALTED, resumed.errors
    assert (resumed.result["finished"], resumed.result["rows"]) == (True, 60)
    assert "FS061" in log()
    assert f"strategy {name.lower()} is halted: it did not return in the session before" in log()
    assert resumed.result["forced_exits"] > 0
    assert stack() == ""


def test_c_code_that_keeps_the_interpreter_is_found_by_its_stack_and_halted_at_the_resume(session: Any) -> None:
    # Given a regular expression that takes longer than the universe; not even a signal handler of Python runs in it
    hung = session("run", "Keeps")
    hung.until(lambda: " in hang" in stack())
    assert "Stack (most recent call first)" in stack(), "the fault handler wrote it, the watchdog could not run"
    # when it is killed
    hung.process.kill()
    hung.ended()
    # then it is not run into again
    resumed = session("run", "Keeps", "--resume")
    assert resumed.ended() == HALTED, resumed.errors
    assert "strategy keeps is halted: it did not return in the session before" in log()


@pytest.mark.parametrize("name", ["Loops", "Catches"])
def test_a_replay_says_where_it_hangs_changes_nothing_and_ends_at_the_first_signal(name: str, session: Any) -> None:
    for more in ((), ("--resume",)):
        hung = session("replay", name, *more, soon=True)
        hung.until(lambda hung=hung: "the session has stalled for" in hung.errors)
        assert f"in on_quote of strategy {name.lower()}" in hung.errors
        assert hung.process.poll() is None
        hung.process.send_signal(signal.SIGINT)
        assert hung.ended() == HUNG, "and resumed it does the same again: a replay is to be repeatable"


def test_the_first_signal_ends_a_session_that_hangs_before_its_first_value(session: Any) -> None:
    hung = session("run", "Starts", soon=True)
    hung.until(lambda: "in on_start of strategy starts" in hung.errors)
    assert hung.process.poll() is None
    hung.process.send_signal(signal.SIGTERM)
    assert hung.ended() == HUNG


@pytest.mark.parametrize("command", ["run", "replay"])
def test_the_second_signal_ends_it_at_once(command: str, session: Any) -> None:
    hung = session(command, "Catches", soon=command == "replay")
    hung.until(lambda: "the session has stalled for" in hung.errors)
    hung.process.send_signal(signal.SIGINT)
    hung.until(lambda: "press Ctrl-C again to stop immediately" in hung.errors)
    hung.process.send_signal(signal.SIGINT)
    assert hung.ended() in (-signal.SIGINT, HUNG)


def test_who_comes_back_within_five_seconds_trades_no_more(session: Any) -> None:
    """It hung for two seconds: FAIL came before what it said in the end."""
    napped = session("run", "Naps")
    assert napped.ended() == 0, napped.errors
    assert "the session continues after a stall" in napped.errors
    assert "FS061" in log()
    assert stored("SELECT side FROM orders").count("BUY") == 1, "the first one alone"
    assert stack() == ""


def test_a_pause_of_the_whole_process_is_no_hang_and_nothing_is_bought_at_prices_from_before(session: Any) -> None:
    # Given a strategy that buys at every quote, prices that are good for a second (100 s of the market here), and a
    # first order that was approved
    paused = session("run", "Eager", "--set", "runtime.freshness.snapshot_ms=100000")
    paused.until(is_approved)
    # when the process is paused for longer than a hang may last
    paused.process.send_signal(signal.SIGSTOP)
    time.sleep(6.5)
    paused.process.send_signal(signal.SIGCONT)
    # then it goes on, says so, and approves nothing at a price that is older: the signals of the rows that it
    # catches up with are refused, or give way to newer ones while they wait
    assert paused.ended() == 0, paused.errors
    assert "the whole process was paused for" in log()
    assert "FS061" not in log()
    views = [json.loads(inputs)["view"] for inputs in stored("SELECT inputs FROM decisions")]
    assert views
    assert max(view["now_ns"] - view["price_ts_ns"] for view in views) <= 100_000 * NS_PER_MS
    assert paused.result["refusals"].get("PRICE_STALE", 0) + paused.result["queues"]["P2"]["collapsed"] > 0
    assert stack() == ""
