"""Every strategy of the cookbook runs by the command in its first lines, trades, and makes no error."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qts.cli.main import main

ROOT = Path(__file__).parents[2]
COOKBOOK = ROOT / "examples" / "cookbook"
ALWAYS_INVESTED = ("monthly", "volatility_target")
"""They change what they hold, and never hold nothing again: no round trip ends."""
STRATEGIES = sorted(path for path in COOKBOOK.glob("*.py") if path.stem != "make_data")


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the prices that the cookbook makes, in which its commands run."""
    folder = tmp_path_factory.mktemp("cookbook")
    subprocess.run([sys.executable, str(COOKBOOK / "make_data.py")], cwd=folder, check=True, capture_output=True)
    (folder / "examples").symlink_to(ROOT / "examples")
    with contextlib.chdir(folder):
        yield folder


def command_of(path: Path) -> list[str]:
    """Return the arguments of the command that a file names in its docstring."""
    words = shlex.split(path.read_text(encoding="utf-8").split('"""')[1].strip().splitlines()[-1])
    assert words[0] == "qts"
    return words[1:]


def result_of(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    status = main([*command_of(path), "--strict", "--json", *more])
    said = capsys.readouterr()
    assert status == 0, said.err
    result: dict[str, Any] = json.loads(said.out)
    return result


def test_there_are_twelve() -> None:
    assert len(STRATEGIES) == 12


@pytest.mark.parametrize("path", STRATEGIES, ids=lambda path: path.stem)
def test_it_runs_by_its_command_and_trades(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = result_of(path, capsys, "--data-dir", str(tmp_path / "run"))

    assert result["fills"] > 2
    assert (result["performance"]["trips"]["count"] > 0) is (path.stem not in ALWAYS_INVESTED)
