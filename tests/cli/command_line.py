"""The command line as a user has it: a directory of its own, a recorded file, the output of a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from qts.cli.main import main
from tests.sim.recordings import walk, write


@pytest.fixture(autouse=True)
def own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QTS_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    """Two days of 300 quotes each."""
    return write(tmp_path / "tape.csv", walk(600, days=2))


def run_qts(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Run a command and return its exit code, standard output and standard error."""
    try:
        code = main([str(word) for word in argv])
    except SystemExit as left:  # argparse
        code = int(left.code or 0)
    out = capsys.readouterr()
    return code, out.out, out.err
