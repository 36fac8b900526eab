"""The commands that only look say which run they show, find it by themselves, and speak call_directly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qts.cli.main import main
from tests.sim.recordings import walk, write


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """A finished run under ./qts-data of the present directory."""
    monkeypatch.delenv("QTS_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    tape = write(tmp_path / "tape.csv", walk(40, days=1))
    assert main(["replay", str(tape), "--data-dir", "qts-data/mine", "--json"]) == 0
    capsys.readouterr()
    return tmp_path


@pytest.mark.parametrize("what", ["state", "safety"])
@pytest.mark.parametrize("named", [[], ["--data-dir", "qts-data/mine"]])
def test_state_and_safety_are_shown_alike_and_say_of_which_run(
    run: Path, capsys: pytest.CaptureFixture[str], what: str, named: list[str]
) -> None:
    assert main([what, "show", *named]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "run    qts-data/mine (as it was stored last)"

    assert main([what, "show", *named, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"] == "qts-data/mine"


@pytest.mark.parametrize("what", ["state", "safety"])
def test_without_any_run_it_is_said_what_to_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main([what, "show"]) == 2
    assert "--data-dir" in capsys.readouterr().err


@pytest.mark.parametrize("days", ["30", "0", "-1", "nan", "soon"])
def test_an_override_of_no_allowed_length_is_refused_in_plain_words(
    capsys: pytest.CaptureFixture[str], days: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "state",
                "override",
                "BALANCED",
                "--data-dir",
                ".",
                "--operator",
                "kim",
                "--reason",
                "x",
                "--days",
                days,
            ]
        )
    assert ended.value.code == 2
    assert "not a number of days above 0 and at most 7" in capsys.readouterr().err


def test_a_reason_of_no_length_is_refused_in_plain_words(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["state", "clear-override", "--data-dir", "qts-data/mine", "--operator", "kim", "--reason", ""]

    assert main(asked) == 2
    assert "--reason: 0 characters; allowed are 1 to 500" in capsys.readouterr().err


def test_a_code_that_does_not_exist_is_not_made_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["safety", "codes", "FS050", "FS999"]) == 2
    told = capsys.readouterr()
    assert "FS999: there is no such code" in told.err
    assert told.out == ""


def test_a_finished_run_with_another_setting_names_the_setting(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = ["replay", "tape.csv", "--data-dir", "qts-data/mine", "--set", "risk.symbol_weight_limit=0.5"]

    assert main(again) == 2

    told = capsys.readouterr().err
    assert "It was run under other settings: risk.symbol_weight_limit" in told
    assert "0.15" in told
    assert "0.5" in told


def test_as_fast_as_it_goes_is_for_replays(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--speed", "max"])
    assert "qts replay runs as fast as possible" in capsys.readouterr().err
