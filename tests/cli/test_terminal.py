"""A session on a terminal whose output is held or not read: the first Ctrl-C ends it, to be resumed."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command_line import own_directory, run_qts
from tests.cli.test_unread_output import DEADLINE_S, loud

__all__ = ["loud", "own_directory"]
CTRL_C, CTRL_S = b"\x03", b"\x13"


class Terminal:
    """A terminal with a session in its foreground; ``screen`` is our side of it."""

    def __init__(self, *argv: str) -> None:
        self.screen, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "qts.cli.main", *argv],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.theirs = theirs

    def type(self, keys: bytes) -> None:
        os.write(self.screen, keys)

    def wait_until_full(self) -> None:
        """Until the session runs and the terminal takes nothing more."""
        end = time.monotonic() + DEADLINE_S
        while not Path("run/view.json").exists() or select.select([], [self.theirs], [], 0)[1]:
            assert self.process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.01)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.theirs)
        os.close(self.screen)


@pytest.fixture
def terminal(loud: tuple[str, ...]) -> Iterator[Terminal]:
    terminal = Terminal(*(word for word in loud if word != "--json"), "--speed", "300")
    yield terminal
    terminal.close()


@pytest.mark.parametrize("held", [True, False], ids=["Ctrl-S", "unread"])
def test_the_first_ctrl_c_ends_a_session_whose_terminal_takes_nothing(
    held: bool, terminal: Terminal, loud: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a session that prints on a terminal which was stopped, or is not read
    if held:
        terminal.type(CTRL_S)
    terminal.wait_until_full()
    assert terminal.process.poll() is None
    # when Ctrl-C is pressed once
    terminal.type(CTRL_C)
    # then the session ends, and it can be resumed
    assert terminal.process.wait(timeout=DEADLINE_S) == 130
    code, out, _ = run_qts(capsys, *loud, "--resume", "--speed", "3000")
    assert code == 0
    assert json.loads(out)["finished"] is True
    assert Path("run/qts.sqlite").exists()
