"""Which files the journal has must be on disk as well: a sync of the directory that fails ends everything."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from qts.errors import StorageError
from qts.event import journal_segments
from qts.event.config import JournalConfig
from qts.event.journal import Journal
from qts.event.journal_recovery import check_journal, read_journal
from qts.event.journal_segments import Mark, segment_paths

SMALL = JournalConfig(segment_bytes=4_096, mark_ms=1)


class Names:
    """Stands in for the ``os`` module of the journal's directory: real calls, until told to fail."""

    def __init__(self) -> None:
        self.syncs = 0
        self.fail = self.no_files = False

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, *args: Any) -> int:
        if self.no_files:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return os.open(*args)

    def fsync(self, fd: int) -> None:
        self.syncs += 1
        if self.fail:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fsync(fd)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    stand_in = Names()
    monkeypatch.setattr(journal_segments, "os", stand_in)
    return stand_in


def opened(directory: Path) -> Journal:
    return Journal(directory, "0123456789abcdef", SMALL)


def filled(directory: Path) -> Journal:
    """A journal whose next event goes into a second file."""
    journal = opened(directory)
    while segment_paths(directory)[0][1].stat().st_size < SMALL.segment_bytes:
        journal.wait(journal.append(f"e-{journal.next_sequence}", b"x" * 50))
    return journal


def test_a_new_file_whose_name_is_not_confirmed_is_fatal_and_the_sync_never_repeated(
    tmp_path: Path, names: Names
) -> None:
    journal = filled(tmp_path)
    acknowledged, before = journal.synced, names.syncs
    names.fail = True
    with pytest.raises(StorageError, match="did not confirm its files: Input/output error"):
        journal.wait(journal.append("one more", b""))
    assert journal.must_exit
    with pytest.raises(StorageError):
        journal.append("e-later", b"")
    journal.close()
    assert names.syncs == before + 1
    names.fail = False
    with opened(tmp_path) as again:
        assert [one.sequence for one in again.unfinished] == list(range(1, acknowledged + 1))


def test_a_deletion_that_is_not_confirmed_is_fatal_and_the_sync_never_repeated(
    tmp_path: Path, names: Names
) -> None:
    journal = filled(tmp_path)
    last = journal.append("in the second file", b"")
    journal.wait(last)
    before = names.syncs
    names.fail = True
    for number in range(1, last):
        journal.mark_done(number, Mark.APPLIED)
    with pytest.raises(StorageError, match="did not confirm its files: Input/output error"):
        journal.flush()
    assert journal.must_exit
    with pytest.raises(StorageError):
        journal.append("e-later", b"")
    journal.mark_done(last, Mark.APPLIED)
    journal.close()
    assert names.syncs == before + 1
    assert read_journal(tmp_path).count(Mark.APPLIED) == 0, "nothing was written after it"


def test_names_that_are_not_confirmed_at_the_start_refuse_it(tmp_path: Path, names: Names) -> None:
    names.fail = True
    for _ in range(2):  # the first leaves an empty file behind, and the lock is given back
        with pytest.raises(StorageError, match="cannot be written"):
            opened(tmp_path)
    names.fail = False
    with opened(tmp_path) as journal:
        assert journal.unfinished == []


def test_a_new_file_is_confirmed_also_when_no_other_can_be_opened(tmp_path: Path, names: Names) -> None:
    journal = filled(tmp_path)
    names.no_files = True
    journal.wait(journal.append("one more", b""))
    journal.close()
    assert len(segment_paths(tmp_path)) == 2
    assert check_journal(tmp_path) == []


def test_a_directory_that_cannot_be_opened_is_named(tmp_path: Path, names: Names) -> None:
    names.no_files = True
    with pytest.raises(StorageError, match="cannot keep the journal there"):
        opened(tmp_path / "new")
    names.no_files = False
    opened(tmp_path / "new").close()
