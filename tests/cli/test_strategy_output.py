"""What a user's strategy prints does not get among what the command prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qts.cli.main import main
from tests.sim.tape import walk, write

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
