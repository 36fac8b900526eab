"""An operator's command goes to the one session that is meant, and to no run that takes none."""

from __future__ import annotations

from pathlib import Path

import pytest

from qts.cli.session_choice import session_for
from qts.db.contracts import RunRow
from qts.db.datadir import DataDir
from qts.db.sqlite import SqliteStore
from qts.errors import InputError
from tests.cli.command_line import own_directory, run_qts

__all__ = ["own_directory"]
DEPOSIT = ("capital", "deposit", "5", "--operator", "kim")


def holds(directory: str, command: str, *, finished: bool = False) -> Path:
    """Make a directory that holds a run of ``command``."""
    path = Path(directory)
    path.mkdir(parents=True)
    store = SqliteStore(path / "qts.sqlite", durability="NORMAL")
    store.open_run(RunRow("r", command, 7, "source", "config", "2026-03-02T00:00:00+00:00", finished=finished))
    store.close()
    return path


def test_the_only_session_is_found_beside_a_replay_that_began_later() -> None:
    # Given a session, and a demo and a session that ended
    paper, demo = holds("qts-data/paper", "run"), holds("qts-data/demo", "demo")
    holds("qts-data/old", "run")
    with DataDir(paper), DataDir(demo):
        # Then the session is meant
        assert session_for(None).directory == paper


def test_of_two_sessions_one_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    with DataDir(holds("qts-data/a", "run")), DataDir(holds("qts-data/b", "run")):
        code, _, err = run_qts(capsys, *DEPOSIT)
        assert (code, "several sessions are running: " in err) == (2, True)
        assert all(word in err for word in ("qts-data/a", "qts-data/b", "--data-dir DIR"))
        assert session_for(Path("qts-data/a")).directory == Path("qts-data/a")
    assert not list(Path("qts-data").glob("*/operator"))


def test_a_finished_run_keeps_no_command_for_the_one_that_replaces_it(capsys: pytest.CaptureFixture[str]) -> None:
    done = holds("qts-data/done", "run", finished=True)
    code, _, err = run_qts(capsys, *DEPOSIT, "--data-dir", str(done))
    assert code == 2
    assert "the run in qts-data/done is finished: nothing trades there, and the command was not given" in err
    assert not (done / "operator").exists()


@pytest.mark.parametrize("command", ["replay", "demo", "backtest"])
def test_a_replay_takes_no_command(command: str) -> None:
    with DataDir(holds("there", command)), pytest.raises(InputError, match=f"is a qts {command}, which takes no"):
        session_for(Path("there"))


def test_a_directory_without_a_run_takes_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    Path("prices").mkdir()
    code, _, err = run_qts(capsys, *DEPOSIT, "--data-dir", "prices")
    assert (code, "prices is not the directory of a run" in err) == (2, True)
    assert not Path("prices", "operator").exists()
