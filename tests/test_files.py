"""Files that are private, written wholly, and never through a link."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from qts.files import check_writable, in_place_opener, same_file, write_atomically


@pytest.fixture
def open_mask() -> Iterator[None]:
    """A process that takes no right away from the files it makes."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_file_is_its_owners_alone_whatever_the_mask(open_mask: None, tmp_path: Path) -> None:
    write_atomically(tmp_path / "whole", b"money")
    os.close(in_place_opener(str(tmp_path / "own"), os.O_RDWR | os.O_CREAT))

    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {
        "whole": 0o600,
        "own": 0o600,
    }


def test_a_file_is_replaced_wholly_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    (tmp_path / "report").write_bytes(b"old, and longer than what comes")

    write_atomically(tmp_path / "report", b"new")

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"report": b"new"}


def test_a_disk_that_fills_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    (tmp_path / "report").write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        with pytest.raises(OSError) as error:
            write_atomically(tmp_path / "report", b"x" * 1_001)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert error.value.errno == errno.EFBIG
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"report": b"old"}


def test_a_link_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_bytes(b"prices")
    (tmp_path / "report").symlink_to("prices.csv")

    write_atomically(tmp_path / "report", b"new")

    assert (tmp_path / "prices.csv").read_bytes() == b"prices"
    assert not (tmp_path / "report").is_symlink()


def test_a_file_of_a_name_like_the_one_in_between_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / f".report.{os.getpid()}-1.part"
    mine.write_bytes(b"mine")

    check_writable(tmp_path / "report")
    write_atomically(tmp_path / "report", b"new")

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {mine.name: b"mine", "report": b"new"}


@pytest.mark.parametrize("kind", ["symbolic link", "hard link", "regular file"])
def test_what_is_written_where_it_stands_is_no_link_and_no_device(kind: str, tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_bytes(b"prices")
    path = tmp_path / "log"
    if kind == "symbolic link":
        path.symlink_to("prices.csv")
    elif kind == "hard link":
        path.hardlink_to(tmp_path / "prices.csv")
    else:
        os.mkfifo(path)

    with pytest.raises(OSError, match=kind), open(path, "r+b", opener=in_place_opener) as file:
        file.write(b"log")

    assert (tmp_path / "prices.csv").read_bytes() == b"prices"


def test_one_file_under_two_names_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    (tmp_path / "soft").symlink_to("a")
    (tmp_path / "hard").hardlink_to(tmp_path / "a")
    (tmp_path / "folder").symlink_to(tmp_path)

    assert same_file(tmp_path / "a", tmp_path / "soft")
    assert same_file(tmp_path / "a", tmp_path / "hard")
    assert same_file(tmp_path / "not yet", tmp_path / "folder" / "not yet")
    assert not same_file(tmp_path / "a", tmp_path / "not yet")
