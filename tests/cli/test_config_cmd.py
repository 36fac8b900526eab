"""``qts config check`` and ``qts config show`` as a user sees them."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from qts.cli import config_cmd
from qts.errors import ConfigError, InputError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the user's environment nor the files of the repository take part."""
    monkeypatch.delenv("QTS_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "240")
    monkeypatch.chdir(tmp_path)


def run(*argv: str) -> int:
    parser = argparse.ArgumentParser()
    config_cmd.add_parser(parser.add_subparsers())
    args = parser.parse_args(["config", *argv])
    return int(args.func(args))


def written(directory: Path, **files: str) -> Path:
    for name, text in files.items():
        (directory / f"{name}.yaml").write_text(text, encoding="utf-8")
    return directory


def test_check_says_that_the_defaults_are_valid(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check") == 0

    first, second = capsys.readouterr().out.splitlines()
    assert first == "configuration is valid: no files, built-in defaults"
    assert second.startswith("hash ")
    assert len(second) == len("hash ") + 64


def test_check_names_the_files_it_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, risk="symbol_weight_limit: 0.3\n", state="cooldown_hours: 12\n")

    assert run("check", "--config", str(tmp_path)) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"configuration is valid: {tmp_path} (risk.yaml, state.yaml)"


def test_check_prints_every_problem_with_its_place_and_returns_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path, risk="\nsymbol_weight_limit: 1.5\nmax_los_pct: 3\n", state="cooldown_hours: yes\n")

    assert run("check", "--config", str(tmp_path), "--set", "risk.daily_loss_limit=0") == 2

    lines = [line.replace(f"{tmp_path}/", "") for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "--set: risk.daily_loss_limit: '0' is out of range; allowed: number above 0 to 1"
    assert lines[1] == "risk.yaml:2: risk.symbol_weight_limit: '1.5' is out of range; allowed: number above 0 to 1"
    assert lines[2].startswith("risk.yaml:3: risk.max_los_pct: unknown key; allowed here: exposure_limit, ")
    assert lines[3].startswith("state.yaml:1: state.cooldown_hours: 'yes' is not a plain number; ")
    assert lines[4] == "4 problems"
    assert len(lines) == 5


def test_check_counts_a_single_problem_as_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "--set", "risk.exposure_limit=2") == 2
    assert capsys.readouterr().out.splitlines()[-1] == "1 problem"


def test_show_gives_value_source_meaning_and_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, risk="symbol_weight_limit: 0.30\n")

    assert run("show", "--config", str(tmp_path), "--set", "risk.exposure_limit=0.5", "risk.") == 0

    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in lines}
    weight = rows["risk.symbol_weight_limit"].split()
    assert weight[1] == "0.3"
    assert (
        rows["risk.symbol_weight_limit"].rstrip().endswith("number above 0 to 1, reloadable, higher once confirmed")
    )
    assert "fraction of equity in one symbol" in rows["risk.symbol_weight_limit"]
    assert rows["risk.exposure_limit"].split()[1:3] == ["0.5", "--set"]
    assert rows["risk.approval_ttl_ms"].split()[1:3] == ["5000", "default"]
    assert not any(name.startswith("state.") for name in rows)


def test_show_as_json_is_one_object_with_every_setting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, risk="\nsymbol_weight_limit: 0.30\n")

    assert run("show", "--config", str(tmp_path), "--json") == 0

    shown = json.loads(capsys.readouterr().out)
    rows = {row["path"]: row for row in shown["settings"]}
    assert len(shown["hash"]) == 64
    assert rows["risk.symbol_weight_limit"] == {
        "path": "risk.symbol_weight_limit",
        "value": "0.3",
        "source": f"{tmp_path}/risk.yaml:2",
        "description": rows["risk.symbol_weight_limit"]["description"],
        "allowed": "number above 0 to 1",
        "reload": True,
        "secret": False,
        "display": False,
        "looser": "higher",
    }
    assert {"runtime", "instruments", "event", "safety", "state", "risk", "capital", "broker"} <= {
        path.partition(".")[0] for path in rows
    }


@pytest.mark.parametrize("json_too", [(), ("--json",)])
def test_show_says_that_no_setting_begins_so(json_too: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"no setting begins with 'riks\.' \(did you mean risk\?\).*runtime, "
    ) as error:
        run("show", "--config", str(tmp_path), *json_too, "riks.")

    assert error.value.exit_code == 2


def test_show_does_not_show_a_wrong_configuration(tmp_path: Path) -> None:
    written(tmp_path, risk="symbol_weight_limit: 2\n")

    with pytest.raises(ConfigError, match=r"risk\.yaml:1: risk\.symbol_weight_limit"):
        run("show", "--config", str(tmp_path))


def test_set_needs_a_key_and_a_value() -> None:
    with pytest.raises(InputError, match="--set 'risk': write it as KEY=VALUE"):
        run("check", "--set", "risk")


def test_building_the_parser_loads_nothing_heavy() -> None:
    """``qts --help`` stays fast: what does the work is imported by the command that runs."""
    code = (
        "import argparse, sys; from qts.cli import config_cmd;"
        "config_cmd.add_parser(argparse.ArgumentParser().add_subparsers());"
        "print(sorted({'yaml', 'msgspec', 'rich', 'qts.config.loader'} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
