"""``qts export`` and ``qts compare`` on the runs of a user: files and figures, and what cannot be shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qts.db.datadir import DATABASE_NAME
from qts.runtime.session.finished_run import finished_run
from qts.runtime.session.result import SessionResult
from tests.report.session import plain_session
from tests.sim.daily_bars import trading_days, write_bars

from .command_line import own_directory, run_qts, tape

__all__ = ["own_directory", "tape"]
STRATEGY = f"{Path(__file__).parents[1] / 'sim' / 'daily_bars.py'}:TenShares"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two backtests of sixty days that differ in one parameter."""
    from qts.cli.main import main

    root = tmp_path_factory.mktemp("runs")
    bars = write_bars(root / "005930.csv", trading_days()[:60])
    directories = root / "a", root / "b"
    for directory, fast in zip(directories, ("3", "5"), strict=True):
        words = ["backtest", bars, "--strategy", STRATEGY, "--param", f"fast={fast}", "--param", "slow=10"]
        assert main([*map(str, words), "--data-dir", str(directory), "--json"]) == 0
    return directories


class TestExport:
    def test_writes_into_the_directory_of_the_run_and_again(
        self, runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        for _ in range(2):  # what an export has written there an export may replace
            code, out, _ = run_qts(capsys, "export", str(runs[0]))
            assert code == 0
        assert f"{runs[0] / 'export' / 'bars.csv'}: 60 rows" in out

    def test_writes_where_it_is_told_but_over_nothing(
        self, runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        words = ("export", str(runs[0]), "--format", "jsonl", "--to", str(tmp_path / "out"), "--json")
        code, out, _ = run_qts(capsys, *words)
        assert (code, json.loads(out)[str(tmp_path / "out" / "bars.jsonl")]) == (0, 60)
        code, _, err = run_qts(capsys, *words)
        assert code == 2
        assert "trades.jsonl is there; name another directory" in err

    def test_a_directory_without_a_run_is_refused(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        code, _, err = run_qts(capsys, "export", str(tmp_path))
        assert code == 2
        assert "is not the directory of a run" in err

    def test_a_run_that_has_not_begun_has_no_result(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "lock").write_text("")
        code, _, err = run_qts(capsys, "export", str(tmp_path))
        assert code == 2
        assert "has not finished; continue it with --resume" in err


class TestCompare:
    def test_shows_what_differs_and_the_figures_of_both(
        self, runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, out, _ = run_qts(capsys, "compare", *map(str, runs))
        assert code == 0
        lines = [line.split() for line in out.splitlines()]
        assert ["TenShares.fast", "3", "5"] in lines
        assert any(line[:2] == ["profit", "factor"] for line in lines)
        assert "different data" not in out

    def test_is_one_object_for_programs(self, runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = run_qts(capsys, "compare", *map(str, runs), "--json")
        found = json.loads(out)
        assert code == 0
        assert found["differences"] == {"TenShares.fast": ["3", "5"]}
        stored = [json.loads(finished_run(directory).to_json()) for directory in runs]
        assert [run["performance"] for run in found["runs"]] == [one["performance"] for one in stored]

    def test_a_run_beside_itself_differs_in_nothing(
        self, runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
    ) -> None:
        _, out, _ = run_qts(capsys, "compare", str(runs[0]), str(runs[0]), "--json")
        assert json.loads(out)["differences"] == {}

    def test_other_data_is_said(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        from rich.console import Console

        from qts.cli.comparison import print_comparison

        one, other = plain_session().result, plain_session(source="csv:other").result
        print_comparison(Console(), [SessionResult(one, tmp_path / "a"), SessionResult(other, tmp_path / "b")])
        assert "The runs read different data" in " ".join(capsys.readouterr().out.split())

    def test_a_run_of_a_version_without_figures_is_named(
        self, runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        import msgspec

        stored = SessionResult.stored

        def without(text: str, directory: Path) -> SessionResult:
            values = msgspec.structs.replace(stored(text, directory).values, performance=None)
            return SessionResult(values, directory)

        monkeypatch.setattr(SessionResult, "stored", without)
        code, _, err = run_qts(capsys, "compare", *map(str, runs))
        assert code == 2
        assert f"the run in {runs[0]} has no figures of performance" in err
        assert (runs[0] / DATABASE_NAME).exists()

    def test_a_result_that_this_version_does_not_know_is_told(
        self, runs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        import msgspec

        def unknown(text: str, directory: Path) -> SessionResult:
            raise msgspec.ValidationError("Object missing required field `sharpe`")

        monkeypatch.setattr(SessionResult, "stored", unknown)
        code, _, err = run_qts(capsys, "compare", *map(str, runs))
        assert code == 3
        assert "is of another version (Object missing required field `sharpe`); run it again" in err
