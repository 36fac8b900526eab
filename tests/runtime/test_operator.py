"""The operator's door: one file a command, one answer each, and a real session that obeys."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qts.errors import InputError, StateError
from qts.runtime.operator import ANSWERED, ASKED, DIRECTORY, Command, OperatorInbox, leave_command

STOP = Command(command="stop", operator="kim", reason="smoke")


def answer_in(path: Path) -> dict[str, object]:
    told: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return told


def test_a_command_is_carried_out_once_and_answered(tmp_path: Path) -> None:
    carried: list[Command] = []

    def carry(command: Command) -> str:
        carried.append(command)
        return "on its way"

    inbox = OperatorInbox(tmp_path, carry)
    assert inbox.poll() == 0  # nothing was ever asked
    answer = leave_command(tmp_path, STOP)
    assert inbox.poll() == 1
    assert inbox.poll() == 0
    assert carried == [STOP]
    assert answer_in(answer) == {"done": True, "answer": "on its way"}


def test_commands_are_carried_out_in_the_order_they_came(tmp_path: Path) -> None:
    heard: list[str] = []
    inbox = OperatorInbox(tmp_path, lambda command: heard.append(command.reason) or "")  # type: ignore[func-returns-value]
    for reason in ("first", "second", "third"):
        leave_command(tmp_path, Command(command="release", operator="kim", reason=reason))
    assert inbox.poll() == 3
    assert heard == ["first", "second", "third"]


def test_what_cannot_be_done_is_answered_with_the_reason(tmp_path: Path) -> None:
    def refuse(command: Command) -> str:
        raise StateError("not now")

    answer = leave_command(tmp_path, STOP)
    OperatorInbox(tmp_path, refuse).poll()
    assert answer_in(answer) == {"done": False, "answer": "not now"}


@pytest.mark.parametrize(
    "text", [b"", b"{", b'{"command":"explode","operator":"x","reason":"y"}', b'{"command":"stop"}', b"\xff" * 99]
)
def test_a_file_that_is_no_command_is_answered_and_harms_nobody(tmp_path: Path, text: bytes) -> None:
    box = tmp_path / DIRECTORY
    box.mkdir()
    (box / f"x{ASKED}").write_bytes(text)
    carried: list[Command] = []
    assert OperatorInbox(tmp_path, lambda command: carried.append(command) or "").poll() == 1  # type: ignore[func-returns-value]
    assert carried == []
    assert answer_in(box / f"x{ANSWERED}")["done"] is False


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"operator": ""}, "operator"), ({"reason": ""}, "reason"), ({"days": 7.5}, "days"), ({"days": 0.0}, "days")],
)
def test_a_command_without_who_or_why_is_not_given(tmp_path: Path, changes: dict[str, object], named: str) -> None:
    values = {"command": "override", "operator": "kim", "reason": "fed day", **changes}
    with pytest.raises(InputError, match=named):
        leave_command(tmp_path, Command(**values))  # type: ignore[arg-type]


def test_there_must_be_a_session_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not the data directory"):
        leave_command(tmp_path / "nowhere", STOP)


def qts(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qts.cli.main", *words], capture_output=True, text=True, timeout=60
    )


def test_a_running_session_is_overridden_stopped_and_released(tmp_path: Path) -> None:
    """The real process: override, emergency stop into LOCKDOWN, deliberate release; each recorded with its name."""
    place = tmp_path / "run"
    session = subprocess.Popen(
        [sys.executable, "-m", "qts.cli.main", "run", "--speed", "100", "--data-dir", str(place), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        deadline = time.monotonic() + 60
        while not (place / "session.log.jsonl").exists():
            assert session.poll() is None, session.stderr.read().decode()  # type: ignore[union-attr]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        who = ("--data-dir", str(place), "--operator", "kim", "--reason", "drill")
        assert qts("state", "override", "DEFENSIVE", *who).stdout.startswith("DEFENSIVE: manual_override")
        assert qts("safety", "stop", *who).returncode == 0
        while "LOCKDOWN" not in qts("safety", "show", "--data-dir", str(place)).stdout:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert "NORMAL: released by an operator: drill" in qts("safety", "release", *who).stdout
        session.terminate()  # once: stop after the value in hand
        out, err = session.communicate(timeout=60)
    finally:
        session.kill()
        session.wait()
    assert session.returncode == 130, err.decode()
    result = json.loads(out)
    assert result["finished"] is False
    assert result["safety_state"] == "NORMAL"
    assert result["positions"] == {}
