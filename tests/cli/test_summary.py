"""The summary for people says what matters to the kind of session it is about."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from qts.cli.main import main
from qts.cli.summary import print_summary
from qts.runtime.launch import demo_plan
from qts.runtime.plan import Options
from qts.runtime.result import SessionResult
from tests.sim.tape import walk, write


@pytest.fixture
def values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The result of a short replay."""
    monkeypatch.delenv("QTS_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["replay", str(write(tmp_path / "tape.csv", walk(40, days=1))), "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def told(values: dict[str, Any]) -> str:
    text = StringIO()
    print_summary(Console(width=160, file=text), SessionResult(values, Path("somewhere")))
    return text.getvalue()


@pytest.mark.parametrize(("command", "is_told"), [("replay", False), ("demo", False), ("run", True)])
def test_only_where_time_is_real_a_handler_that_overstays_is_worth_a_warning(
    values: dict[str, Any], command: str, is_told: bool
) -> None:
    # Given a handler that was on the loop longer than allowed, twice
    values["command"] = command
    values["latency_overstays"] = {"order desk": {"count": 2, "longest_us": 1234.5}}
    # then a paper session warns of it; where virtual time passes nobody waited
    warning = "longer on the loop than allowed: order desk, 2 times, at most 1,234 µs"
    assert (warning in told(values)) is is_told


def test_a_limit_that_the_command_sets_itself_is_said(values: dict[str, Any]) -> None:
    # Given the demo, which trades one symbol and therefore allows it 60 % of equity
    plan = demo_plan(Options())
    values["settings_of_the_command"] = dict(plan.overrides_for(plan.open_feed()))

    assert "set by this command: risk.symbol_weight_limit = 0.60" in told(values)
