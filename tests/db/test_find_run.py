"""The run that is meant: the newest live one, else the newest; a look never keeps a session from beginning."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from qts.db.datadir import DATABASE_NAME, DataDir
from qts.db.find_run import find_run, run_in, runs_under
from qts.errors import InputError
from tests.db.test_datadir import holder, kill


def ended(path: Path, second: int) -> Path:
    """A run that began at ``second`` and holds its directory no more."""
    DataDir(path).close()
    begun(path, second)
    return path


def begun(path: Path, second: int) -> None:
    os.utime(path / "lock", ns=(second * 10**9, second * 10**9))


def test_the_newest_live_run_is_meant_although_others_began_later(tmp_path: Path) -> None:
    # Given two runs that go on and one that began after both and has ended
    with DataDir(tmp_path / "first"), DataDir(tmp_path / "second"):
        begun(tmp_path / "first", 100)
        begun(tmp_path / "second", 200)
        ended(tmp_path / "third", 300)
        # When none is named
        found = find_run(root=tmp_path)
    # Then it is the newer of those that go on, with the process that holds it
    assert found.directory == tmp_path / "second"
    assert found.live
    assert found.pid == os.getpid()
    assert found.begun_ns == 200 * 10**9


def test_without_a_live_run_the_newest_is_meant(tmp_path: Path) -> None:
    ended(tmp_path / "b", 200)
    ended(tmp_path / "a", 100)
    found = find_run(root=tmp_path)
    assert (found.directory, found.live) == (tmp_path / "b", False)


def test_a_named_directory_is_taken_whatever_else_goes_on(tmp_path: Path) -> None:
    old = ended(tmp_path / "old", 100)
    with DataDir(tmp_path / "new"):
        assert find_run(old, root=tmp_path).directory == old


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    child = holder(tmp_path / "run")
    assert find_run(root=tmp_path).live
    kill(child)
    found = find_run(root=tmp_path)
    assert (found.live, found.pid) == (False, child.pid)


def test_runs_are_listed_newest_first_with_the_root_itself(tmp_path: Path) -> None:
    ended(tmp_path, 200)
    ended(tmp_path / "a", 100)
    ended(tmp_path / "b", 300)
    assert [run.directory.name for run in runs_under(tmp_path)] == ["b", tmp_path.name, "a"]


def test_a_copy_without_its_lock_is_a_run_that_has_ended(tmp_path: Path) -> None:
    place = ended(tmp_path / "run", 100)
    (place / DATABASE_NAME).write_bytes(b"")
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(place / DATABASE_NAME, copy)
    found = run_in(copy)
    assert (found.live, found.pid) == (False, None)


@pytest.mark.parametrize("holder_text", ["", "none\n", "12x\n", "-3\n", "９９\n"])
def test_a_lock_that_names_no_process_is_told_as_that(holder_text: str, tmp_path: Path) -> None:
    place = ended(tmp_path / "run", 100)
    (place / "lock").write_text(holder_text)
    assert run_in(place).pid is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "is no directory"),
        (lambda path: path.write_text(""), "is no directory"),
        (lambda path: path.mkdir(), "is not the directory of a run"),
    ],
)
def test_what_is_no_run_is_refused_with_what_to_give(make: object, message: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    make(place)  # type: ignore[operator]
    with pytest.raises(InputError, match=message):
        find_run(place)


def test_no_run_at_all_says_how_to_get_one(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="begin one with qts run, or give --data-dir"):
        find_run(root=tmp_path)
    with pytest.raises(InputError, match="there is no run"):
        find_run(root=tmp_path / "missing")


def test_a_fifo_in_the_place_of_the_lock_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "run" / "lock")
    with pytest.raises(InputError):
        run_in(tmp_path / "run")
    assert runs_under(tmp_path) == []


def test_a_session_begins_however_often_others_look(tmp_path: Path) -> None:
    # Given a reader that looks without a pause
    ended(tmp_path, 100)
    over = threading.Event()
    seen: set[Path] = set()

    def look() -> None:
        while not over.is_set():
            seen.add(run_in(tmp_path).directory)

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for each in lookers:
        each.start()
    try:
        # When sessions begin and end, then none is refused
        for _ in range(300):
            DataDir(tmp_path).close()
    finally:
        over.set()
        for each in lookers:
            each.join()
    assert seen == {tmp_path}
    assert not run_in(tmp_path).live
