"""What a command writes never takes the place of what it reads, of a setting or of a file of a run."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from tests.cli.command_line import own_directory, run_qts, tape
from tests.sim.recordings import walk, write
from tests.strategy.test_loading import GOOD

__all__ = ["own_directory", "tape"]


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


@pytest.fixture
def place(tape: Path) -> Path:
    """A recording, a strategy, a configuration, a finished run beside them, and other names of all of these."""
    here = Path()
    Path("mine.py").write_text(GOOD)
    Path("own").mkdir()
    Path("own/risk.yaml").write_text("symbol_weight_limit: 0.2\n")
    write(Path("session.log.csv"), walk(10))
    for number, name in enumerate(("tape.csv", "mine.py", "own/risk.yaml")):
        Path(f"soft-{number}.html").symlink_to(Path(name).absolute())
        Path(f"hard-{number}.html").hardlink_to(name)
    Path("around").symlink_to(here.absolute())
    return here


@pytest.mark.parametrize(
    "taken",
    [
        "tape.csv",
        "./around/tape.csv",
        "soft-0.html",
        "hard-0.html",
        "mine.py",
        "soft-1.html",
        "hard-1.html",
        "own/risk.yaml",
        "own/capital.yaml",
        "around/own/capital.yaml",
        "soft-2.html",
        "hard-2.html",
        "run/qts.sqlite",
        "run/qts.sqlite-wal",
        "run/session.log.jsonl",
        "run/session.log.3.jsonl",
        "run/view.json",
        "run/lock",
        "run/operator/x.html",
        "run/journal/x.html",
        "around/run/lock",
        "run",
    ],
)
@pytest.mark.parametrize("verb", ["replay", "run"])
def test_a_report_replaces_nothing_that_is_needed(
    verb: str, taken: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = ("tape.csv",) if verb == "replay" else ("--feed", "tape.csv", "--speed", "1e9")
    before = contents(place)

    code, out, err = run_qts(
        capsys,
        verb,
        *source,
        "--strategy",
        "mine.py:Mine",
        "--config",
        "own",
        "--data-dir",
        "run",
        "--report",
        taken,
    )

    assert (code, out) == (2, "")
    assert err.startswith("qts: the report cannot go to ")
    assert len(err.splitlines()) == 1
    assert contents(place) == before
    assert not Path("run").exists(), "refused before anything ran"


@pytest.mark.parametrize(
    "taken", ["qts.sqlite", "lock", "session.log.jsonl", "session.log.1.jsonl", "view.json", "hard.html"]
)
def test_a_report_replaces_no_file_of_another_run(
    taken: str, tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_qts(capsys, "replay", "tape.csv", "--json", "--data-dir", "other")
    Path("other/hard.html").hardlink_to("other/session.log.jsonl")
    before = contents(Path("other"))

    code, _, err = run_qts(capsys, "demo", "--data-dir", "run", "--report", f"other/{taken}")

    assert code == 2
    assert err.startswith("qts: the report cannot go to other")
    assert contents(Path("other")) == before


def test_a_finished_run_that_is_shown_again_replaces_nothing_either(
    tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ("replay", "tape.csv", "--json", "--data-dir", "run")
    run_qts(capsys, *argv)
    before = contents(Path())

    assert run_qts(capsys, *argv, "--resume", "--report", "tape.csv")[0] == 2
    assert run_qts(capsys, *argv, "--resume", "--report", "run/session.log.jsonl")[0] == 2
    assert contents(Path()) == before


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("notes.py", r"a file with the ending \.py is there"),
        ("prices.CSV", r"a file with the ending \.CSV is there"),
        ("fifo.html", "is not a regular file"),
        ("away.html", "is a symbolic link to /dev/null"),
    ],
)
def test_a_report_replaces_only_what_can_be_a_report(
    name: str, why: str, tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "fifo.html":
        os.mkfifo(name)
    elif name == "away.html":
        Path(name).symlink_to("/dev/null")
    else:
        Path(name).write_text("other work")

    code, _, err = run_qts(capsys, "replay", "tape.csv", "--report", name)

    assert code == 2
    assert re.search(why, err)
    assert os.path.lexists(name)
    assert not Path("qts-data").exists()


@pytest.mark.parametrize("name", ["qts.sqlite", "lock", "session.log.jsonl", "session.log.2.jsonl"])
@pytest.mark.parametrize("how", ["it is it", "hard link", "symbolic link"])
def test_a_run_does_not_write_over_its_own_recording(
    how: str, name: str, tape: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("run").mkdir()
    source = Path("run", name) if how == "it is it" else tape
    if how == "it is it":
        tape.rename(source)
    elif how == "hard link":
        Path("run", name).hardlink_to(tape)
    else:
        Path("run", name).symlink_to(tape)
    before = source.read_bytes()

    code, _, err = run_qts(capsys, "replay", str(source), "--data-dir", "run")

    assert code == 2
    assert "is the recording, and a run in run would write over it" in err
    assert source.read_bytes() == before


def test_a_run_removes_only_its_own_files(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Running the same run again starts over: files of similar names beside it or in its journal stay."""
    argv = ("run", "--feed", "tape.csv", "--speed", "1e9", "--json", "--data-dir", "run")
    run_qts(capsys, *argv)
    for name in ("session.log.of-mine.jsonl", "qts.sqlite.backup", "journal/mine.txt"):
        Path("run", name).write_text("mine")

    code, _, _ = run_qts(capsys, *argv)

    assert code == 0
    for name in ("session.log.of-mine.jsonl", "qts.sqlite.backup", "journal/mine.txt"):
        assert Path("run", name).read_text() == "mine"


def test_a_plot_does_not_replace_its_history(capsys: pytest.CaptureFixture[str]) -> None:
    history = Path("history.html")
    history.write_text("date,close,vix\n2024-01-02,100,15\n2024-01-03,101,16\n")
    before = history.read_bytes()

    code, _, err = run_qts(capsys, "state", "backtest", "history.html", "--plot", "history.html")

    assert code == 2
    assert "the plot cannot go to history.html: that is the history" in err
    assert history.read_bytes() == before


def test_the_reference_pages_replace_no_page_of_others(capsys: pytest.CaptureFixture[str]) -> None:
    Path("README.md").write_text("# My project\n")
    Path("out").mkdir()
    Path("out/codes.md").symlink_to(Path("README.md").absolute())

    for where in (".", "out"):
        code, _, err = run_qts(capsys, "docs", "--out", where)
        assert code == 2
        assert "is no page that was written from the code" in err

    assert Path("README.md").read_text() == "# My project\n"
    assert sorted(path.name for path in Path("out").iterdir()) == ["codes.md"]


def test_whatever_shows_the_account_is_its_owners_alone(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    before = os.umask(0)
    try:
        run_qts(
            capsys,
            *("run", "--feed", "tape.csv", "--speed", "1e9", "--json", "--data-dir", "run", "--report", "r.html"),
            *("--set", "runtime.log_file_mb=1"),
        )
        run_qts(capsys, "safety", "stop", "--data-dir", "run", "--operator", "kim", "--reason", "x")
    finally:
        os.umask(before)

    found = [Path("r.html"), *Path("run").rglob("*")]
    modes = {str(path): stat.S_IMODE(path.stat().st_mode) for path in found}
    assert {"run/qts.sqlite", "run/session.log.jsonl", "run/lock", "run/operator", "r.html"} <= modes.keys()
    assert {name: mode for name, mode in modes.items() if mode not in (0o600, 0o700)} == {}
    assert stat.S_IMODE(Path("run").stat().st_mode) == 0o700
