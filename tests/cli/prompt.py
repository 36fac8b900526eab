"""A command line as a user has it: a directory of its own, a recorded tape, what a command says."""

from __future__ import annotations

from pathlib import Path

import pytest

from qts.cli.main import main
from tests.sim.tape import walk, write


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QTS_CONFIG", raising=False)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    """Two days of 300 quotes each."""
    return write(tmp_path / "tape.csv", walk(600, days=2))


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    try:
        code = main([str(word) for word in argv])
    except SystemExit as left:  # argparse
        code = int(left.code or 0)
    out = capsys.readouterr()
    return code, out.out, out.err
