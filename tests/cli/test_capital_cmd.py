"""``qts adopt`` and ``qts capital`` as a user types them, against a paper session that is killed and resumed."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from .command_line import own_directory, run_qts
from .test_session_lives import started

__all__ = ["own_directory", "started"]

PAPER = ("run", "--speed", "60", "--data-dir", "run", "--json")
HERE = ("--data-dir", "run")


def test_capital_of_a_paper_session_that_is_killed_and_resumed(
    capsys: pytest.CaptureFixture[str], started: Any
) -> None:
    # Given a running paper session
    process = started(*PAPER)
    process.wait_for(Path("run", "qts.sqlite-wal"))
    # When money is deposited and withdrawn, and what is not allowed is asked for
    code, out, err = run_qts(capsys, "capital", "deposit", "1,000,001", *HERE, "--operator", "kim")
    assert (code, err) == (0, "")
    assert out == "1,000,001 KRW deposited: SCALP +400,000, SWING +350,000, PORTFOLIO +250,001\n"
    code, out, _ = run_qts(capsys, "capital", "withdraw", "1", *HERE, "--reason", "rent")
    assert (code, out) == (0, "1 KRW withdrawn: PORTFOLIO -1\n")
    for argv, said in (
        (("capital", "withdraw", "500000000"), "KRW of free cash in the pools, and the account has to keep"),
        (("capital", "deposit", "1.5"), "deposit: the amount must be whole units of 1 above 0, got 1.5"),
        (("adopt", "005930", "--to", "stranger"), "there is no strategy 'stranger' in this run; allowed: two-ema"),
        (
            ("adopt", "005930", "--to", "two-ema", "--qty", "3"),
            "EXTERNAL holds no shares of 005930; it holds: nothing",
        ),
        (("adopt", "XYZ", "--to", "two-ema"), "this session has no prices of 'XYZ'; allowed: 000660, 005930"),
    ):
        code, out, _ = run_qts(capsys, *argv, *HERE)
        assert (code, said in out) == (2, True), out
    # And the process is killed, and continued
    os.kill(process.process.pid, signal.SIGKILL)
    process.ended()
    Path("run", "view.json").unlink(missing_ok=True)
    resumed = started(*PAPER, "--resume")
    resumed.wait_for(Path("run", "view.json"))
    code, out, _ = run_qts(capsys, "capital", "deposit", "5", *HERE)
    assert code == 0, out
    resumed.process.send_signal(signal.SIGTERM)
    assert resumed.ended()[0] == 130
    # Then each was booked once, the book is whole, and the log names operator, reason and answer
    code, out, _ = run_qts(capsys, "ledger", "verify", *HERE)
    assert (code, "result every entry adds up to 0" in out) == (0, True)
    code, out, _ = run_qts(capsys, "ledger", "show", "--account", "capital", "--last", "0", "--csv", *HERE)
    kinds = [line.split(",")[1] for line in out.splitlines()[1:]]
    assert (kinds.count("DEPOSIT"), kinds.count("WITHDRAWAL")) == (6, 1), out
    log = Path("run", "session.log.jsonl").read_text("utf-8")
    assert "operator kim: deposit (deposit): done: 1,000,001 KRW deposited" in log
    assert "withdraw (rent): done: 1 KRW withdrawn" in log
    assert "adopt (adopt): refused: there is no strategy 'stranger'" in log
    code, out, _ = run_qts(capsys, "status", *HERE)
    assert "1,000,006 deposited, 1 withdrawn" in out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("capital",), "usage: qts capital"),
        (("capital", "deposit", "-5"), "is not a number above 0 in plain digits such as 1000000"),
        (("capital", "withdraw", "0"), "'0' is not a number above 0"),
        (("capital", "deposit", "1e9"), "'1e9' is not a number above 0"),
        (("capital", "deposit", "10,50"), "'10,50' is not a number above 0 in plain digits"),
        (("capital", "deposit", "1,000,00"), "'1,000,00' is not a number above 0"),
        (("capital", "deposit", "1" + "0" * 15), "has too many digits: at most 15 and 12 decimals"),
        (("capital", "deposit", "0.0000000000001"), "has too many digits: at most 15 and 12 decimals"),
        (("adopt", "", "--to", "x"), "argument SYMBOL: the name is empty"),
        (("adopt", "005930", "--to", " "), "argument --to: the name is empty"),
        (("adopt", "005930"), "the following arguments are required: --to"),
        (("adopt", "005930", "--to", "x", "--qty", "many"), "'many' is not a number above 0"),
        (("capital", "deposit", "5"), "no session runs in"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], said: str
) -> None:
    code, out, err = run_qts(capsys, *argv)
    assert (code, said in out + err) == (2, True), out + err


def test_who_has_no_login_name_says_who_gives_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stranger() -> str:
        raise OSError

    monkeypatch.setattr("getpass.getuser", stranger)
    code, _, err = run_qts(capsys, "capital", "deposit", "5")
    assert (code, "--operator WHO" in err) == (2, True)
