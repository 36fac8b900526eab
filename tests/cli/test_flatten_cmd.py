"""``qts flatten`` and ``qts reconcile`` as a user types them, against paper sessions, one of which is killed."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command_line import own_directory, run_qts
from tests.cli.test_session_lives import started
from tests.sim.recordings import FIRST_DAY, write

__all__ = ["own_directory", "started"]
HERE = ("--data-dir", "run")
WHO = ("--operator", "kim", "--reason", "drill")
HOLDER = """
from qts.capital.contracts import Pool
from qts.strategy.contracts import Intent, Side

class Holder:
    name, pool, symbols = "holder", Pool.SCALP, ()
    bought = False
    def on_start(self, ctx): pass
    def on_quote(self, ctx, quote):
        if self.bought: return ()
        self.bought = True
        return (Intent(quote.symbol, Side.BUY, 1.0, qty=40),)
    def on_bar(self, ctx, bar): return ()
    def on_fill(self, ctx, fill): open("bought", "a").write("x")
"""
PAPER = ("run", "--feed", "day.csv", "--strategy", "holder.py:Holder", "--speed", "20", *HERE, "--json")


def tape_of(bids: int) -> None:
    """Write a day of one quote a second: 500 shares are offered, and ``bids`` are bid for."""
    first = FIRST_DAY.replace(hour=10)
    moments = [first + n * timedelta(seconds=1) for n in range(6_000)]
    write(Path("day.csv"), [f"{one.isoformat()},005930,150000,150100,{bids},500,150000,10" for one in moments])
    Path("holder.py").write_text(HOLDER, "utf-8")


def sold(capsys: pytest.CaptureFixture[str]) -> int:
    """Return how many shares the store shows as sold."""
    out = run_qts(capsys, "trades", "--json", *HERE)[1]
    return sum(int(one["qty"]) for one in json.loads(out)["trades"] if one["side"] == "SELL")


def wait_until_sold(capsys: pytest.CaptureFixture[str], qty: int) -> None:
    """Wait until the store, which a running session writes a moment later, shows that much as sold."""
    until = time.monotonic() + 60
    while sold(capsys) < qty:
        assert time.monotonic() < until, f"{sold(capsys)} sold"
        time.sleep(0.05)


def test_what_is_held_is_sold_and_the_session_goes_on(capsys: pytest.CaptureFixture[str], started: Any) -> None:
    # Given a running paper session that holds 40 shares
    tape_of(500)
    process = started(*PAPER)
    process.wait_for(Path("bought"))
    # When something is asked for that is not there
    for argv, said in (
        (("SAMSUNG",), "there is no symbol or pool SAMSUNG in this run; nothing was sold. There is: 005930, "),
        (("SWING",), "no strategy holds anything of pool SWING; nothing was sold. Held: holder 40 005930"),
    ):
        code, out, _ = run_qts(capsys, "flatten", *argv, *HERE, *WHO)
        assert (code, said in out) == (2, True), f"{code} {out}"
    # And the pool is flattened
    code, out, _ = run_qts(capsys, "flatten", "SCALP", *HERE, *WHO)
    # Then it says what it asked for and when it was done, and safety is as before
    assert code == 0, out
    lines = out.splitlines()
    assert lines[0] == f"session in run, pid {process.process.pid}"
    assert lines[1] == "1 holding of pool SCALP to be sold: holder 40 005930"
    assert lines[-2:] == ["holder 005930: 40 of 40 sold", "done"]
    wait_until_sold(capsys, 40)
    assert json.loads(run_qts(capsys, "safety", "show", "--json", *HERE)[1])["snapshot"]["state"] == "NORMAL"
    # And the books agree with those of the exchange
    code, out, _ = run_qts(capsys, "reconcile", *HERE, *WHO)
    assert code == 0, out
    assert "compared  orders: 0 open here, 0 at sim, 0 of them not ours" in out
    assert out.endswith("booked    nothing\ndiffers   nothing\n")
    # And operator and reason of all of it are in the log
    process.process.send_signal(signal.SIGTERM)
    assert process.ended()[0] == 130
    log = Path("run/session.log.jsonl").read_text("utf-8")
    assert "operator kim: flatten (drill): refused: there is no symbol or pool SAMSUNG" in log
    assert "operator kim: flatten (drill): done: 1 holding of pool SCALP to be sold" in log
    assert "operator kim: reconcile (drill): 0 differences, 0 bookings" in log
    # And a session that has ended sells nothing
    code, out, _ = run_qts(capsys, "flatten", "SCALP", *HERE, *WHO)
    assert (code, "no session runs in run, so nothing trades there; --resume carries it out" in out) == (1, True)


def test_a_killed_session_goes_on_selling_when_it_is_resumed(
    capsys: pytest.CaptureFixture[str], started: Any
) -> None:
    # Given 40 shares, and buyers for one share a second of the market
    tape_of(1)
    process = started(*PAPER)
    process.wait_for(Path("bought"))
    # When they are flattened, and the process is killed before all of them are sold
    code, out, _ = run_qts(capsys, "flatten", "005930", "--wait", "0.3", *HERE, *WHO)
    assert (code, "not done after 0.3 s; the session continues it" in out) == (1, True), f"{code} {out}"
    os.kill(process.process.pid, signal.SIGKILL)
    process.ended()
    assert sold(capsys) < 40
    # Then the resumed session sells the rest, and never more
    resumed = started(*PAPER, "--resume")
    wait_until_sold(capsys, 40)
    resumed.process.send_signal(signal.SIGTERM)
    assert resumed.ended()[0] == 130
    assert sold(capsys) == 40
    assert json.loads(run_qts(capsys, "positions", "--json", *HERE)[1])["positions"] == []
    assert run_qts(capsys, "ledger", "verify", *HERE)[0] == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("flatten", *WHO), "give one symbol or one pool: qts flatten SYMBOL|POOL, --symbol SYMBOL or --pool POOL"),
        (("flatten", "A", "--pool", "SCALP", *WHO), "give one symbol or one pool"),
        (("flatten", "--symbol", "A", "--pool", "B", *WHO), "not allowed with argument"),
        (("flatten", "", *WHO), "the name is empty"),
        (("flatten", "A", "--reason", "drill"), "--operator"),
        (("flatten", "A", "--wait", "-1", *WHO), "not a number of seconds from 0 to 86400"),
        (("flatten", "A", *WHO), "no session runs in"),
        (("reconcile",), "no session runs in"),
        (("reconcile", "--wait", "soon"), "not a number of seconds"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run_qts(capsys, *words)
    assert (code, says in out + err) == (2, True), out + err
