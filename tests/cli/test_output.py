"""Standard output that will not take everything: a reader who left, a full disk, an encoding without our signs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.recordings import walk, write

FULL = Path("/dev/full")
SESSION = ("replay", "tape.csv", "--data-dir", "run")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tape of forty quotes in a directory of its own."""
    monkeypatch.delenv("QTS_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "tape.csv", walk(40))


def qts(*words: str, stdout: int, **environment: str) -> tuple[int, bytes, str]:
    """Exit code, output (of a pipe) and standard error of a command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "qts.cli.main", *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=os.environ | environment,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout or b"", done.stderr.decode()


@pytest.mark.parametrize(
    "words", [(*SESSION,), (*SESSION, "--json"), ("config", "show"), ("config", "check"), ("--version",)]
)
def test_a_reader_who_has_left_is_no_fault(words: tuple[str, ...]) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    try:
        code, _, told = qts(*words, stdout=writes)
    finally:
        os.close(writes)
    assert (code, told) == (0, "")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "words", [(*SESSION,), (*SESSION, "--json"), ("config", "show"), ("config", "check"), ("--version",)]
)
def test_output_that_finds_no_room_is_told_in_one_line(words: tuple[str, ...]) -> None:
    with FULL.open("wb") as full:
        code, _, told = qts(*words, stdout=full.fileno())
    assert (code, told) == (3, "qts: cannot write what is to be shown: No space left on device\n")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "euc-kr"])
def test_signs_that_the_encoding_lacks_are_replaced(encoding: str) -> None:
    for words in (SESSION, ("config", "show"), ("safety", "codes")):
        code, out, told = qts(*words, stdout=subprocess.PIPE, PYTHONIOENCODING=encoding)
        assert (code, told) == (0, "")
        assert out.decode(encoding)


def test_json_can_be_read_whatever_the_encoding() -> None:
    code, out, told = qts(*SESSION, "--json", stdout=subprocess.PIPE, PYTHONIOENCODING="ascii")
    assert (code, told) == (0, "")
    assert json.loads(out)["rows"] == 40
