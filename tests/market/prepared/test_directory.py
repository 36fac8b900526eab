"""The cache directory: what cannot be used is made again, what cannot be kept is told once, and no replay ends."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qts.errors import StorageError
from qts.market.files import open_feed
from qts.market.prepared import directory as directory_module
from qts.market.prepared import key as key_module
from qts.market.prepared.directory import CaptureDirectory, cache_directory, refuse_to_go_on
from qts.market.prepared.feed import PreparedFeed
from qts.market.prepared.recorder import CaptureWriter
from tests.market.files.samples import depth, quote, write

ROWS = [row for at in range(40) for row in (quote(at), depth(at, [["61800.20", "1.0"]]))]
CHILD = """
import os, signal, sys
from qts.market.files import open_feed
from qts.market.prepared import recorder
from qts.market.prepared.directory import CaptureDirectory
recorder.BLOCK_ROWS = 10
path, directory, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
from pathlib import Path
for at, _ in enumerate(open_feed(path, captures=CaptureDirectory(Path(directory), 1 << 30, print)).values()):
    if at == last:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "f", ROWS)


@pytest.fixture
def captures(tmp_path: Path) -> CaptureDirectory:
    return CaptureDirectory(tmp_path / "captures", 1 << 30, pytest.fail)


def record(path: Path, captures: CaptureDirectory) -> Any:
    """Replay a file; return the feed, so that its class says what it was read from."""
    feed = open_feed(path, captures=captures)
    assert len(list(feed.values())) == len(ROWS)
    return feed


def file_in(captures: CaptureDirectory) -> Path:
    (found,) = captures.path.glob("*.qtsp")
    return found


def test_the_first_replay_makes_the_capture_and_the_second_one_reads_it(
    path: Path, captures: CaptureDirectory
) -> None:
    assert not isinstance(record(path, captures), PreparedFeed)
    assert isinstance(record(path, captures), PreparedFeed)


def test_file_and_directory_are_their_owners_alone(path: Path, captures: CaptureDirectory) -> None:
    record(path, captures)

    assert stat.S_IMODE(captures.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(file_in(captures).stat().st_mode) == 0o600


def test_the_same_content_under_another_name_has_the_same_capture(
    path: Path, tmp_path: Path, captures: CaptureDirectory
) -> None:
    record(path, captures)
    other = tmp_path / "other"
    path.rename(other)
    kept = file_in(captures)

    assert isinstance(record(other, captures), PreparedFeed)
    assert file_in(captures) == kept, "no second one was made"


def test_another_content_has_another_capture(path: Path, captures: CaptureDirectory) -> None:
    record(path, captures)
    write(path, [*ROWS, quote(99)])

    feed = open_feed(path, captures=captures)

    assert not isinstance(feed, PreparedFeed)
    assert len(list(feed.values())) == len(ROWS) + 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere_and_the_capture_is_made_again(
    path: Path, captures: CaptureDirectory, place: float, bit: int
) -> None:
    if not captures.path.exists() or not list(captures.path.glob("*.qtsp")):
        record(path, captures)
    good = file_in(captures).read_bytes()
    bad = bytearray(good)
    bad[int(place * len(bad))] ^= 1 << bit
    file_in(captures).write_bytes(bad)

    assert not isinstance(record(path, captures), PreparedFeed)
    assert file_in(captures).read_bytes() == good


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 40, -1])
def test_a_truncated_capture_is_made_again(kept: int, path: Path, captures: CaptureDirectory) -> None:
    record(path, captures)
    good = file_in(captures).read_bytes()
    file_in(captures).write_bytes(good[:kept])

    assert not isinstance(record(path, captures), PreparedFeed)
    assert file_in(captures).read_bytes() == good


def test_a_capture_of_something_else_under_its_name_is_made_again(
    path: Path, tmp_path: Path, captures: CaptureDirectory
) -> None:
    other = write(tmp_path / "other", [quote(at, "1.0", "2.0") for at in range(len(ROWS))])
    record(other, captures)
    foreign = file_in(captures).read_bytes()
    file_in(captures).unlink()
    record(path, captures)
    file_in(captures).write_bytes(foreign)

    assert not isinstance(record(path, captures), PreparedFeed)
    assert isinstance(record(path, captures), PreparedFeed)


def test_a_link_in_its_place_is_not_followed(path: Path, tmp_path: Path, captures: CaptureDirectory) -> None:
    record(path, captures)
    kept = file_in(captures)
    kept.rename(tmp_path / "elsewhere")
    kept.symlink_to(tmp_path / "elsewhere")

    assert not isinstance(record(path, captures), PreparedFeed)
    assert not kept.is_symlink()


def test_another_version_of_the_parser_has_captures_of_its_own(
    path: Path, captures: CaptureDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(path, captures)
    monkeypatch.setattr(key_module, "parser_version", lambda: "another")

    assert not isinstance(record(path, captures), PreparedFeed)
    assert isinstance(record(path, captures), PreparedFeed)


def test_without_the_sources_nothing_is_prepared(
    path: Path, captures: CaptureDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which parser made a capture could not be told."""
    monkeypatch.setattr(key_module, "parser_version", lambda: "")

    record(path, captures)

    assert not captures.path.exists()


def test_a_directory_that_cannot_be_made_is_told_once_and_the_replay_goes_on(path: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    told: list[str] = []
    captures = CaptureDirectory(tmp_path / "file" / "captures", 1 << 30, told.append)

    for _ in range(2):
        record(path, captures)

    assert len(told) == 1
    assert str(tmp_path / "file") in told[0]


@pytest.mark.parametrize("writes", [0, 1, 5, 40])
def test_a_full_disk_is_told_once_and_leaves_nothing(
    writes: int, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [writes]

    def full(self: CaptureWriter, data: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(self, data)

    original = CaptureWriter._write
    monkeypatch.setattr(CaptureWriter, "_write", full)
    told: list[str] = []
    captures = CaptureDirectory(tmp_path / "captures", 1 << 30, told.append)

    record(path, captures)

    assert told == ["the cache directory: No space left on device"]
    assert [one.name for one in captures.path.iterdir()] == [".lock"]


def test_a_capture_above_the_limit_is_not_kept(path: Path, tmp_path: Path) -> None:
    told: list[str] = []
    captures = CaptureDirectory(tmp_path / "captures", 100, told.append)

    record(path, captures)

    assert told == ["it would be larger than data.prepared_mb"]
    assert not list(captures.path.glob("*.qtsp"))


def test_the_captures_unused_longest_go_first(tmp_path: Path, captures: CaptureDirectory) -> None:
    """Given room for two captures and one of them used again, the other one goes."""
    paths = [write(tmp_path / f"{number}", [*ROWS[:-1], quote(50 + number)]) for number in range(3)]
    kept = []
    for age, one in enumerate(paths[:2]):
        record(one, captures)
        (new,) = set(captures.path.glob("*.qtsp")) - set(kept)
        kept.append(new)
        os.utime(new, ns=(age + 1, age + 1))
    captures.most_bytes = 2 * kept[0].stat().st_size + 100
    assert isinstance(record(paths[0], captures), PreparedFeed)

    record(paths[2], captures)

    assert kept[0].exists()
    assert not kept[1].exists()
    assert len(list(captures.path.glob("*.qtsp"))) == 2


def test_numbers_that_fit_no_column_leave_the_file_to_its_text(tmp_path: Path) -> None:
    told: list[str] = []
    captures = CaptureDirectory(tmp_path / "captures", 1 << 30, told.append)
    path = write(tmp_path / "f", [quote(0, u=2**63)])

    assert len(list(open_feed(path, captures=captures).values())) == 1

    assert told == ["a number in it has more than 64 bits"]


def test_two_that_prepare_at_once_do_not_disturb_each_other(path: Path, captures: CaptureDirectory) -> None:
    """Given two replays of one file, each begun before the other ended, both end and the capture is whole."""
    feeds = [open_feed(path, captures=captures) for _ in range(2)]
    values = [feed.values() for feed in feeds]
    taken = [list(pair) for pair in zip(*values, strict=True)]

    assert len(taken) == len(ROWS)
    assert isinstance(record(path, captures), PreparedFeed)
    assert sorted(one.name for one in captures.path.iterdir()) == sorted([".lock", file_in(captures).name])


@pytest.mark.parametrize("last", [0, 9, 45, len(ROWS) - 1])
def test_what_a_killed_process_leaves_is_never_believed_and_removed(
    last: int, path: Path, captures: CaptureDirectory
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path), str(captures.path), str(last)], check=False, timeout=120
    )
    assert done.returncode == -signal.SIGKILL

    assert not isinstance(record(path, captures), PreparedFeed)
    assert isinstance(record(path, captures), PreparedFeed)
    assert sorted(one.name for one in captures.path.iterdir()) == sorted([".lock", file_in(captures).name])


def test_a_part_that_is_being_written_stays(path: Path, tmp_path: Path, captures: CaptureDirectory) -> None:
    file, part = captures.new_part("ab")

    record(path, captures)

    assert part.exists()
    file.close()
    record(write(tmp_path / "other", [*ROWS[:-1], quote(77)]), captures)
    assert not part.exists()


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, Path("/c/qts/captures")),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, Path("/h/.cache/qts/captures")),
        ({"HOME": "/h"}, Path("/h/.cache/qts/captures")),
        ({"HOME": ""}, None),
        ({}, None),
    ],
)
def test_where_the_directory_is(env: dict[str, str], expected: Path | None) -> None:
    assert cache_directory(env) == expected


def test_a_command_for_the_capture_alone_ends_with_the_reason(path: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be prepared: it would be larger"):
        record(path, CaptureDirectory(tmp_path / "captures", 100, refuse_to_go_on))
    assert directory_module.ENDING == ".qtsp"
