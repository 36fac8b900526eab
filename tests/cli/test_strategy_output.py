"""What a user's strategy prints does not get among what the command prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from qts.cli.main import main
from qts.runtime.drivers.standard_output import redirected_output
from tests.sim.recordings import walk, write

CHATTY = """
from qts.capital.contracts import Pool

print("read")

class Chatty:
    name = "chatty"
    pool = Pool.SCALP
    symbols = ()
    said = False

    def __init__(self): print("made")
    def on_start(self, ctx): print("started")
    def on_quote(self, ctx, quote):
        if not self.said:
            self.said = True
            print("shown")
    def on_bar(self, ctx, bar): ...
    def on_fill(self, ctx, fill): ...
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QTS_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def given(tmp_path: Path) -> tuple[str, ...]:
    """A tape of twenty quotes and a strategy that prints at every opportunity."""
    write(tmp_path / "tape.csv", walk(20))
    (tmp_path / "chatty.py").write_text(CHATTY, encoding="utf-8")
    return "--json", "--data-dir", "run", "--strategy", "chatty.py:Chatty"


def test_json_stays_one_object_when_a_strategy_prints(
    given: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", "tape.csv", *given]) == 0

    out, err = capfd.readouterr()
    assert json.loads(out)["rows"] == 20
    assert err.split() == ["read", "made", "started", "shown"]


def test_json_stays_one_object_when_a_strategy_prints_in_a_process_of_its_own(
    given: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    in_process = ("--feed", "tape.csv", "--speed", "5000", "--set", "runtime.strategy_lane=process")
    assert main(["run", *in_process, *given]) == 0

    out, err = capfd.readouterr()
    assert json.loads(out)["finished"] is True
    assert err.split().count("started") == 1
    assert "shown" in err.split()


class Gone:
    """Standard error of a terminal that was closed."""

    encoding = "utf-8"

    def __init__(self, *, is_terminal: bool = False) -> None:
        self._is_terminal = is_terminal
        self.refused: list[str] = []

    def isatty(self) -> bool:
        return self._is_terminal

    def write(self, text: str) -> int:
        self.refused.append(text)
        raise OSError(5, "Input/output error")

    def flush(self) -> None:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("is_terminal", [False, True])
@pytest.mark.parametrize(
    "command",
    [
        ("replay", "tape.csv"),
        ("run", "--feed", "tape.csv", "--speed", "5000"),
    ],
)
def test_a_strategy_is_not_halted_because_its_output_is_not_read(
    command: Sequence[str],
    is_terminal: bool,
    given: tuple[str, ...],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was made, started and shown quotes; had its prints failed, it would not even have been made."""
    gone = Gone(is_terminal=is_terminal)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", gone)
        assert main([*command, *given]) == 0

    result = json.loads(capfd.readouterr().out)
    assert result["rows"] == 20
    for word in ("read", "made", "started", "shown"):
        assert sum(word in text for text in gone.refused) == 1, (
            "what could not be told is not tried again and again"
        )
    assert "raised" not in Path("run/session.log.jsonl").read_text("utf-8")


def test_what_is_printed_aside_never_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone, output = Gone(), sys.stdout
    monkeypatch.setattr(sys, "stderr", gone)

    with redirected_output():
        print("to standard output")
        print("to standard error", file=sys.stderr, flush=True)
    assert "to standard output" in "".join(gone.refused), "standard output is the session's"
    assert (sys.stdout, sys.stderr) == (output, gone), "both are as they were"

    monkeypatch.setattr(sys, "stderr", None)
    with redirected_output():
        print("to nowhere")
    assert (sys.stdout, sys.stderr) == (output, None)
