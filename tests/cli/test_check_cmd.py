"""``qts check`` as a user meets it: what it prints, its exit codes, and one line for each kind of bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command_line import own_directory, run_qts
from tests.sim.daily_bars import trading_days, write_bars
from tests.workbench.check import strategies

__all__ = ["own_directory"]
DAYS = trading_days()[:40]


@pytest.fixture
def bars() -> Path:
    return write_bars(Path("005930.csv"), DAYS)


def test_an_honest_strategy_gives_zero_and_a_line_for_each_check(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = strategies.written(tmp_path, strategies.HONEST)
    code, out, _ = run_qts(
        capsys, "check", place, bars, "--cuts", "2", "--param", "length=4", "--cash", "5000000", "--json"
    )
    report = json.loads(out)
    # A busy machine can make a call slow
    assert [one["name"] for one in report["checks"] if one["outcome"] == "failed"] in ([], ["time"])
    assert code == (0 if report["passed"] else 1)
    assert report["rows"] == len(DAYS)
    assert not list(tmp_path.glob("qts-data*")), "it leaves no run behind"


def test_what_fails_gives_one_and_its_line(bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = strategies.written(tmp_path, strategies.peeks(bars.resolve()))
    code, out, _ = run_qts(capsys, "check", place, bars, "--cuts", "1", "--to", "2014-02-14")
    assert code == 1
    assert "  FAILED   look-ahead" in out
    assert "mine.py:24 reads the data that it trades: 005930.csv" in out
    assert "failed: look-ahead" in out.splitlines()[-1]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--cuts", "0"], "'0' is not a whole number from 1 to 1,000"),
        (["--cuts", "1e3"], "'1e3' is not a whole number from 1 to 1,000"),
        (["--param", "lenght=3"], "lenght"),
        (["--param", "length=99"], "length"),
        (["--from", "2030-01-01"], "change --from or --to"),
        (["--cash", "much"], "--cash much: must be a number"),
    ],
)
def test_bad_input_is_one_line_and_two(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    place = strategies.written(tmp_path, strategies.HONEST)
    code, out, err = run_qts(capsys, "check", place, bars, *more)
    assert (code, out) == (2, "")
    assert said in err.splitlines()[-1]


@pytest.mark.parametrize("place", ["nowhere.py:Mine", "mine.py", "mine.py:Other"])
def test_a_strategy_that_is_not_there_is_two(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    strategies.written(tmp_path, strategies.HONEST)
    code, _, err = run_qts(capsys, "check", place, bars)
    assert code == 2
    assert err.startswith("qts: ")


def test_a_configured_strategy_is_not_run_beside_the_checked_one(
    bars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = strategies.written(tmp_path, strategies.HONEST)
    code, out, _ = run_qts(
        capsys, "check", place, bars, "--cuts", "1", "--json", "--set", f'runtime.strategies=["{place}"]'
    )
    assert code in (0, 1)
    assert json.loads(out)["rows"] == len(DAYS)
