"""One directory, one instance: the second is refused by name, a killed one leaves no lock."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qts.db.datadir import DataDir
from qts.errors import InputError, StateError, StorageError

HOLDER = """
import sys, signal
from qts.db.datadir import DataDir
held = DataDir(sys.argv[1])
print("held", flush=True)
signal.pause()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root / "src")}
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, env=environment, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def kill(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    assert child.stdout is not None
    child.stdout.close()
    child.wait()


def test_the_directory_is_made_and_names_its_database(tmp_path: Path) -> None:
    with DataDir(tmp_path / "deep" / "run") as place:
        assert place.path.is_dir()
        assert place.database == tmp_path / "deep" / "run" / "qts.sqlite"


def test_a_second_instance_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    child = holder(tmp_path)
    try:
        with pytest.raises(StateError, match=f"in use by the process with pid {child.pid}; stop that one"):
            DataDir(tmp_path)
    finally:
        kill(child)


def test_a_killed_instance_leaves_no_lock(tmp_path: Path) -> None:
    child = holder(tmp_path)
    with pytest.raises(StateError, match=f"pid {child.pid}"):
        DataDir(tmp_path)
    kill(child)
    with DataDir(tmp_path), pytest.raises(StateError, match=f"pid {os.getpid()}"):
        DataDir(tmp_path)


def test_the_same_process_cannot_hold_it_twice_either(tmp_path: Path) -> None:
    with DataDir(tmp_path), pytest.raises(StateError, match=f"pid {os.getpid()}"):
        DataDir(tmp_path)


def test_letting_go_makes_room_and_may_be_repeated(tmp_path: Path) -> None:
    first = DataDir(tmp_path)
    first.close()
    with DataDir(tmp_path):
        first.close()
        with pytest.raises(StateError, match=f"pid {os.getpid()}"):  # what it let go is not let go for another
            DataDir(tmp_path)


def test_clearing_removes_the_database_with_its_log_and_nothing_else(tmp_path: Path) -> None:
    for name in ("qts.sqlite", "qts.sqlite-wal", "qts.sqlite-shm", "report.html"):
        (tmp_path / name).write_text("")
    with DataDir(tmp_path) as place:
        place.clear()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "report.html"]
        with pytest.raises(StateError):
            DataDir(tmp_path)


def test_a_shorter_pid_leaves_no_digits_of_a_longer_one(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("123456789012\n")
    with DataDir(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_forked_worker_that_outlives_its_parent_holds_nothing(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from qts.db.datadir import DataDir
held = DataDir(sys.argv[1])
if os.fork() == 0:
    print(os.getpid(), flush=True)
signal.pause()
"""
    root = Path(__file__).parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(root / "src")},
        text=True,
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    try:
        os.kill(worker, 0)  # it lives
        with DataDir(tmp_path), pytest.raises(StateError, match=f"pid {os.getpid()}"):
            DataDir(tmp_path)
    finally:
        os.kill(worker, signal.SIGKILL)
        parent.stdout.close()


@pytest.mark.parametrize("below", ["", "run"])
def test_a_path_that_cannot_be_a_directory_says_what_to_do(below: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="give one this user can write to with --data-dir"):
        DataDir(tmp_path / "file" / below)


def test_a_full_disk_is_a_failure_of_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **more: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(StorageError, match="No space left on device"):
        DataDir(tmp_path)
