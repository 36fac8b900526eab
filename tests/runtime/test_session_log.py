"""The session's log: what its level leaves out, and what it never leaves out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qts.errors import StorageError
from qts.event.payloads import LogWrite
from qts.runtime.persistence.session_log import FILE_NAME, SessionLog


def messages(directory: Path) -> list[str]:
    return [json.loads(line)["message"] for line in (directory / FILE_NAME).read_text("utf-8").splitlines()]


def test_lines_below_the_level_are_left_out_until_it_is_set_lower(tmp_path: Path) -> None:
    log = SessionLog(tmp_path, "WARNING")

    log.write(LogWrite("INFO", "quiet", 0))
    log.write(LogWrite("WARNING", "loud", 0))
    log.set_level("DEBUG")
    log.write(LogWrite("DEBUG", "now heard", 0))
    log.close()

    assert messages(tmp_path) == ["loud", "now heard"]


def test_a_recorded_line_is_out_of_the_process_at_once_and_whatever_the_level(tmp_path: Path) -> None:
    log = SessionLog(tmp_path, "ERROR")

    log.write(LogWrite("ERROR", "before", 0))
    log.record(LogWrite("INFO", "operator kim: stop", 1_000_000_000, {"operator": "kim"}))

    assert messages(tmp_path) == ["before", "operator kim: stop"]
    log.close()


def test_a_full_disk_is_a_failure_of_the_store(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    log = SessionLog(tmp_path, "INFO")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(StorageError, match=r"session\.log\.jsonl: File too large; free space"):
            log.record(LogWrite("WARNING", "operator kim: stop", 0))
        with pytest.raises(StorageError, match="File too large"):
            log.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("kind", ["directory", "symbolic link", "hard link", "device"])
def test_a_log_that_is_no_file_of_its_own_is_a_failure_of_the_store(kind: str, tmp_path: Path) -> None:
    prices, path = tmp_path / "prices.csv", tmp_path / FILE_NAME
    prices.write_text("prices")
    if kind == "directory":
        path.mkdir()
    elif kind == "symbolic link":
        path.symlink_to(prices)
    elif kind == "hard link":
        path.hardlink_to(prices)
    else:
        path.symlink_to("/dev/full")

    with pytest.raises(StorageError, match=r"cannot write .*session\.log\.jsonl"):
        SessionLog(tmp_path, "INFO")

    assert prices.read_text() == "prices"


def test_a_large_log_is_put_aside_and_the_oldest_file_goes(tmp_path: Path) -> None:
    # Given room for one line a file, and two older files
    log = SessionLog(tmp_path, "INFO", most_bytes=10, older=2)
    # when five lines are written
    for n in range(5):
        log.write(LogWrite("INFO", f"line {n}", 0))
    log.close()
    # then the newest two stand in the files put aside, newest first, and the present one is empty
    assert messages(tmp_path) == []
    aside = {path.name: json.loads(path.read_text("utf-8")) for path in tmp_path.glob("session.log.?.jsonl")}
    assert {name: line["message"] for name, line in aside.items()} == {
        "session.log.1.jsonl": "line 4",
        "session.log.2.jsonl": "line 3",
    }


def test_a_log_that_cannot_be_put_aside_goes_on_in_the_file_it_has(tmp_path: Path) -> None:
    """An alarm still finds its log open, and no line is lost."""
    # Given something else under the name of the file put aside
    aside = tmp_path / "session.log.1.jsonl"
    aside.mkdir()
    log = SessionLog(tmp_path, "INFO", most_bytes=100, older=1)  # a line has some seventy bytes
    # when more is written than a file should hold
    for n in range(3):
        log.record(LogWrite("INFO", f"line {n}", 0))
    # then the lines stand in the present file, with the reason
    zero, one, told, two = messages(tmp_path)
    assert (zero, one, two) == ("line 0", "line 1", "line 2")
    assert "could not be rotated and continues in this file" in told
    assert "session.log.1.jsonl" in told
    # and once the way is free it is put aside
    aside.rmdir()
    log.write(LogWrite("INFO", "line 3", 0))
    log.write(LogWrite("INFO", "line 4", 0))
    log.close()
    assert messages(tmp_path) == ["line 4"]
    assert aside.read_text("utf-8").count("\n") == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["session.log.1.jsonl", FILE_NAME]


def test_a_log_goes_on_where_it_was_when_the_session_is_resumed(tmp_path: Path) -> None:
    for n in range(3):
        log = SessionLog(tmp_path, "INFO", most_bytes=120, older=0)  # a line has some seventy bytes
        log.write(LogWrite("INFO", f"line {n}", 0))
        log.close()

    assert messages(tmp_path) == ["line 2"]


def test_a_run_that_starts_again_starts_its_log_again(tmp_path: Path) -> None:
    for name in (FILE_NAME, "session.log.1.jsonl"):
        (tmp_path / name).write_text("of another run\n", "utf-8")
    log = SessionLog(tmp_path, "INFO", replaces_old=True)
    log.write(LogWrite("INFO", "first", 0))
    log.close()

    assert messages(tmp_path) == ["first"]
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
