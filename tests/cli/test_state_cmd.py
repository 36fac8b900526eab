"""``qts state`` and ``qts safety``: what people and programs see, and what bad input gets."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from qts.cli import safety_cmd, state_cmd
from qts.cli.main import main
from qts.clock import ManualClock
from qts.errors import DataError, InputError, MissingExtraError
from qts.runtime.persistence.run_reader import states_config
from qts.safety import SafetyState, SafetyStateManager
from qts.state import ManualOverride, OperatingState, OperatingStateManager, TransitionMetrics
from qts.state.store import FileStateStore

START = datetime(2018, 2, 1, 9, 0, tzinfo=UTC)
STORM = "date,close,vix\n2018-02-01,100,15\n2018-02-02,.,17\n2018-02-05,94,37.32\n2018-02-06,95,29.98\n"


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    state_cmd.add_parser(commands)
    safety_cmd.add_parser(commands)
    args = parser.parse_args(words)
    return int(args.func(args))


@pytest.fixture
def series(tmp_path: Path) -> str:
    path = tmp_path / "storm.csv"
    path.write_text(STORM)
    return str(path)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A run that went to DEFENSIVE in a storm and is under an override with a name that looks like markup."""
    clock = ManualClock(START)
    state = OperatingStateManager(clock=clock, store=FileStateStore(tmp_path / "run" / "state.json"))
    for _ in range(3):
        state.evaluate_transition(TransitionMetrics(vix=31.0), SafetyState.NORMAL)
        clock.advance(timedelta(hours=1))
    state.apply_override(
        ManualOverride(
            OperatingState.BALANCED, "[bold]test", "kim", clock.now(), clock.now() + timedelta(days=1), None
        )
    )
    safety = SafetyStateManager(clock=clock, store=FileStateStore(tmp_path / "run" / "safety.json"))
    safety.apply_anomaly("AN001")
    safety.apply_fail_safe("FS104", "vix 41")
    return tmp_path / "run"


class TestBacktest:
    def test_json_is_a_list_of_transitions_and_nothing_else(
        self, series: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run("state", "backtest", series, "--json") == 0
        out, err = capsys.readouterr()
        assert json.loads(out) == [
            {
                "date": "2018-02-05",
                "time": "11:00",
                "from": "BALANCED",
                "to": "DEFENSIVE",
                "reason": "BalancedToDefensive: vix 37.32 > 30",
            }
        ]
        assert "1 row skipped: close_missing 1" in err

    def test_people_get_a_table(self, series: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("state", "backtest", series) == 0
        out = capsys.readouterr().out
        assert "3 days, 2018-02-01 to 2018-02-06, 1 transition" in " ".join(out.split())
        assert "2018-02-05" in out
        assert "DEFENSIVE 2 days (67%)" in out

    def test_a_calm_series_has_no_transitions(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = tmp_path / "calm.csv"
        path.write_text("date,close,vix\n2018-02-01,100,15\n")
        assert run("state", "backtest", str(path), "--json") == 0
        assert json.loads(capsys.readouterr().out) == []
        assert run("state", "backtest", str(path)) == 0
        assert "0 transitions" in capsys.readouterr().out

    @pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "date,close,vix\n"])
    def test_a_file_that_cannot_be_used_is_exit_code_two(self, tmp_path: Path, content: str) -> None:
        path = tmp_path / "bad.csv"
        path.write_text(content)
        with pytest.raises(DataError) as error:
            run("state", "backtest", str(path))
        assert error.value.exit_code == 2
        assert "bad.csv" in str(error.value)


class TestPlot:
    @pytest.mark.parametrize(
        ("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("html", b"<!doctype html>")]
    )
    def test_it_writes_what_the_ending_says_and_the_same_bytes_again(
        self, series: str, tmp_path: Path, ending: str, magic: bytes
    ) -> None:
        pytest.importorskip("matplotlib", reason="the plot needs the extra 'report'")
        written = []
        for name in ("one", "two"):
            out = tmp_path / f"{name}.{ending}"
            assert run("state", "backtest", series, "--json", "--plot", str(out)) == 0
            written.append(out.read_bytes())
        assert written[0].startswith(magic)
        assert written[0] == written[1]

    def test_the_page_is_self_contained_and_speaks_both_languages(self, series: str, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib", reason="the plot needs the extra 'report'")
        out = tmp_path / "page.html"
        run("state", "backtest", series, "--plot", str(out))
        page = out.read_text()
        assert "<svg" in page
        assert "Operating state · 운용 상태" in page
        assert "BalancedToDefensive: vix 37.32 &gt; 30" in page
        assert "close_missing 1" in page
        for foreign in ("<script", "<link", "src=", "@import"):
            assert foreign not in page

    def test_a_series_without_transitions_can_be_drawn(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib", reason="the plot needs the extra 'report'")
        path = tmp_path / "calm.csv"
        path.write_text("date,close,vix\n2018-02-01,100,15\n2018-02-02,500,15\n")
        assert run("state", "backtest", str(path), "--plot", str(tmp_path / "calm.html")) == 0
        assert "없음" in (tmp_path / "calm.html").read_text()

    def test_a_series_whose_name_is_no_text_can_be_drawn(self, series: str, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib", reason="the plot needs the extra 'report'")
        path = Path(series).rename(tmp_path / os.fsdecode(b"\xb0\xa1.csv"))
        assert run("state", "backtest", str(path), "--json", "--plot", str(tmp_path / "out.svg")) == 0

    def test_another_ending_is_refused_before_any_work(self, series: str, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"\.png, \.svg, \.html"):
            run("state", "backtest", series, "--plot", str(tmp_path / "out.gif"))

    def test_without_matplotlib_the_extra_is_named(
        self, series: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in ("matplotlib", "matplotlib.figure"):
            monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(MissingExtraError, match=r"of qts-runtime: .*pip install -e '\.\[report\]'"):
            run("state", "backtest", series, "--plot", str(tmp_path / "out.png"))

    def test_a_place_that_cannot_be_written(self, series: str, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"the plot cannot go to .*: there is no directory"):
            run("state", "backtest", series, "--plot", str(tmp_path / "nowhere" / "out.png"))


class TestShow:
    def test_json_holds_snapshot_statistics_and_forecast(
        self, data_dir: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run("state", "show", "--data-dir", str(data_dir), "--json") == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["snapshot"]["state"] == "BALANCED"
        assert shown["snapshot"]["override"]["operator_id"] == "kim"
        assert shown["statistics"]["transitions_total"] == 2
        assert [rule["rule"] for rule in shown["forecast"]] == ["BalancedToDefensive", "BalancedToAggressive"]
        vix = next(clause for clause in shown["forecast"][0]["clauses"] if clause["name"] == "vix")
        assert vix["value"] == 31.0

    def test_people_see_state_why_and_what_is_next(
        self, data_dir: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run("state", "show", "--data-dir", str(data_dir)) == 0
        out = capsys.readouterr().out
        flat = " ".join(out.split())
        assert "operating state BALANCED for 0.0 days" in flat
        assert "[bold]test" in out  # an operator's words are shown, not obeyed
        assert "What would change the state" in out
        assert "2018-02-01" in out

    def test_a_fresh_run_can_be_shown(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        clock = ManualClock(START)
        manager = OperatingStateManager(clock=clock, store=FileStateStore(tmp_path / "state.json"))
        assert run("state", "show", "--data-dir", str(tmp_path)) == 0
        assert "none pending" in capsys.readouterr().out
        manager.evaluate_transition(TransitionMetrics(vix=31.0), SafetyState.NORMAL)
        assert run("state", "show", "--data-dir", str(tmp_path)) == 0
        assert "met in 1 evaluation" in capsys.readouterr().out

    def test_without_a_directory_the_newest_run_is_shown(
        self, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(InputError, match="there is no run in"):
            run("state", "show")
        os.rename(data_dir, tmp_path / "moved")
        (tmp_path / "qts-data").mkdir()
        os.rename(tmp_path / "moved", tmp_path / "qts-data" / "run")
        assert run("state", "show", "--json") == 0
        assert json.loads(capsys.readouterr().out)["snapshot"]["state"] == "BALANCED"

    def test_it_is_shown_under_the_settings_the_run_had_in_force(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        prices = tmp_path / "prices.csv"
        prices.write_text("ts,symbol,bid,ask\n2026-01-23T09:01:00+09:00,005930,151900,152000\n")
        own = ("state.balanced_to_defensive.vix=44", "state.min_hold_days.balanced=9", "safety.history_limit=11")
        words = [word for one in own for word in ("--set", one)]
        assert main(["replay", str(prices), "--data-dir", str(tmp_path / "run"), "--json", *words]) == 0
        capsys.readouterr()

        assert run("state", "show", "--data-dir", str(tmp_path / "run"), "--json") == 0
        shown = json.loads(capsys.readouterr().out)
        vix = next(clause for clause in shown["forecast"][0]["clauses"] if clause["name"] == "vix")
        assert vix["threshold"] == 44.0
        assert shown["snapshot"]["hold_until"].startswith("2026-01-31T15:00")  # nine days after 00:00 KST
        assert states_config(tmp_path / "run").safety.history_limit == 11
        assert run("safety", "show", "--data-dir", str(tmp_path / "run")) == 0

    def test_a_directory_without_a_run_says_what_to_give(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="--data-dir"):
            run("state", "show", "--data-dir", str(tmp_path))


class TestSafety:
    def test_show_for_people_and_programs(self, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("safety", "show", "--data-dir", str(data_dir)) == 0
        out = capsys.readouterr().out
        assert "safety LOCKDOWN since 2018-02-01" in out
        assert "WARNING → LOCKDOWN  rule  lockdown cause: FS104 kill switch: vix 41" in out
        assert run("safety", "show", "--data-dir", str(data_dir), "--json") == 0
        assert json.loads(capsys.readouterr().out)["snapshot"]["is_lockdown"] is True

    def test_show_without_a_run(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no safety state"):
            run("safety", "show", "--data-dir", str(tmp_path))

    def test_codes(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run("safety", "codes", "FS050") == 0
        out = capsys.readouterr().out
        assert "FS050  FAIL      equity is zero or negative" in out
        assert run("safety", "codes", "--json") == 0
        assert {"FS001", "AN050"} <= {entry["code"] for entry in json.loads(capsys.readouterr().out)}


@pytest.mark.parametrize("group", ["state", "safety"])
def test_a_group_alone_explains_itself(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(group) == 2
    assert "show" in capsys.readouterr().out


@pytest.mark.parametrize("module", ["state_cmd", "safety_cmd"])
def test_declaring_the_commands_imports_nothing_heavy(module: str) -> None:
    code = (
        f"import sys, argparse; from qts.cli import {module} as m; "
        "m.add_parser(argparse.ArgumentParser().add_subparsers()); "
        "print(sorted({'msgspec', 'rich', 'matplotlib', 'yaml', 'qts.state'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
