"""The session's log: what its level leaves out, and what it never leaves out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qts.errors import StorageError
from qts.event.payloads import LogWrite
from qts.runtime.persistence.session_log import FILE_NAME, LogPosition, SessionLog


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


# -- cut back when a replay is resumed ---------------------------------------------------------------------------


def written(directory: Path, *texts: str, resumes_at: LogPosition | None = None, **settings: int) -> LogPosition:
    """Write a line for each text, "once …" as one that is written once; return the position behind them."""
    log = SessionLog(directory, "INFO", resumes_at=resumes_at, **settings)
    for text in texts:
        (log.record if text.startswith("once") else log.write)(LogWrite("INFO", text, 0))
    log.close()
    return log.position


def all_messages(directory: Path) -> list[str]:
    """Return what stands in all files, oldest first."""
    older = sorted(directory.glob("session.log.?.jsonl"), reverse=True)
    rows = b"".join(path.read_bytes() for path in [*older, directory / FILE_NAME])
    return [json.loads(row)["message"] for row in rows.splitlines()]


def test_lines_behind_the_position_are_cut_and_a_torn_one_with_them(tmp_path: Path) -> None:
    # Given a checkpoint behind two lines, two more, and half of a third
    position = written(tmp_path, "one", "two")
    written(tmp_path, "three", "four")
    with open(tmp_path / FILE_NAME, "ab") as file:
        file.write(b'{"time":"2026-01-')
    # when the session is resumed there and writes them again, then each is there once
    end = written(tmp_path, "three", "four", "five", resumes_at=position)
    assert all_messages(tmp_path) == ["one", "two", "three", "four", "five"]
    assert end.length == (tmp_path / FILE_NAME).stat().st_size


def test_what_is_written_once_stays(tmp_path: Path) -> None:
    """A defect's traceback, say: the resumed session does not write it again."""
    position = written(tmp_path, "one")
    written(tmp_path, "two", "once: a defect", "three")

    written(tmp_path, "two", resumes_at=position)
    written(tmp_path, "two", resumes_at=position)

    assert all_messages(tmp_path) == ["one", "once: a defect", "two"]
    assert '"once":true' in (tmp_path / FILE_NAME).read_text("utf-8")


@pytest.mark.parametrize("before", range(6), ids=lambda count: f"{count} lines before")
def test_a_log_that_was_rotated_since_is_cut_where_the_position_is_now(before: int, tmp_path: Path) -> None:
    """Given room for two lines a file: the position may be in any file, at its end, or before any line."""
    lines, room = [f"line {number}" for number in range(6)], {"most_bytes": 130, "older": 4}
    position = written(tmp_path, *lines[:before], **room)
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    written(tmp_path, *lines[before:], "once: a defect", **room)

    # when it is resumed and executed again
    written(tmp_path, resumes_at=position, **room)
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    written(tmp_path, *lines[before:], resumes_at=position, **room)

    # then each line is there once, in the order in which it was written
    assert b"once: a defect" in b"".join(kept.values())
    assert sum(map(len, kept.values())) > sum(map(len, files.values()))
    assert [text for text in all_messages(tmp_path) if text in lines] == lines


@pytest.mark.parametrize("damage", ["shorter", "changed", "gone"])
def test_a_log_that_does_not_hold_the_position_is_left_as_it_is(damage: str, tmp_path: Path) -> None:
    """A loss of power may have taken its end, or an editor changed it: lines twice are better than lines lost."""
    position, path = written(tmp_path, "one", "two"), tmp_path / FILE_NAME
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(whole[: len(whole) // 2] if damage == "shorter" else whole.replace(b"two", b"owt"))
    left = path.read_bytes() if path.exists() else b""

    written(tmp_path, "three", resumes_at=position)

    assert path.read_bytes().startswith(left)
    assert path.read_bytes().endswith(b'"message":"three"}\n')


def test_a_log_that_cannot_be_cut_is_a_failure_of_the_store(tmp_path: Path) -> None:
    position = written(tmp_path, "one")
    (tmp_path / FILE_NAME).rename(tmp_path / "elsewhere")
    (tmp_path / FILE_NAME).symlink_to(tmp_path / "elsewhere")

    with pytest.raises(StorageError, match="symbolic link"):
        SessionLog(tmp_path, "INFO", resumes_at=position)
