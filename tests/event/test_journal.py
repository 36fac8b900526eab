"""The journal on real files: acknowledgement, groups, files that come and go, failures of the disk."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qts.errors import ContractError, StateError, StorageError
from qts.event import journal_writer
from qts.event.config import JournalConfig
from qts.event.journal import Journal
from qts.event.journal_recovery import check_journal, read_journal
from qts.event.journal_segments import Mark, segment_paths

RUN_ID = "0123456789abcdef"
SMALL = JournalConfig(segment_bytes=4_096, mark_ms=1)


class Disk:
    """Stands in for the ``os`` module of the journal's writer: real calls, until told to fail or to wait."""

    def __init__(self) -> None:
        self.writes: list[int] = []
        self.syncs = 0
        self.go = threading.Event()
        self.go.set()
        self.on_write: Callable[[int, bytes], int] = os.write
        self.on_sync: Callable[[int], None] = os.fdatasync

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, fd: int, data: bytes) -> int:
        self.writes.append(len(data))
        return self.on_write(fd, data)

    def fdatasync(self, fd: int) -> None:
        self.go.wait(20)  # a test that is broken must not hang
        self.syncs += 1
        self.on_sync(fd)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    stand_in = Disk()
    monkeypatch.setattr(journal_writer, "os", stand_in)
    yield stand_in
    stand_in.go.set()


def refuse(code: int) -> Callable[..., Any]:
    def call(*args: object, **named: object) -> Any:
        raise OSError(code, os.strerror(code))

    return call


def opened(directory: Path, config: JournalConfig = SMALL, **options: Any) -> Journal:
    return Journal(directory, RUN_ID, config, **options)


def add(journal: Journal, count: int, *, mark: Mark | None = None) -> list[int]:
    first = journal.next_sequence
    numbers = [journal.append(f"e-{first + n}", b"x" * 50) for n in range(count)]
    for number in numbers:
        if mark is not None:
            journal.mark_done(number, mark)
    return numbers


def size_of_newest(directory: Path) -> int:
    return segment_paths(directory)[-1][1].stat().st_size


def left_in(directory: Path) -> list[int]:
    with opened(directory) as journal:
        return [one.sequence for one in journal.unfinished]


# -- acknowledgement -------------------------------------------------------------------------------------------


def test_an_event_is_acknowledged_only_after_the_sync(tmp_path: Path, disk: Disk) -> None:
    with opened(tmp_path) as journal:
        disk.go.clear()
        told: list[object] = []
        number = journal.append("e-1", b"body")
        journal.when_acknowledged(number, told.append)
        assert journal.wait(number, timeout_s=0.05) is False
        assert told == []
        disk.go.set()
        assert journal.wait(number) is True
        assert told == [None]
        assert journal.synced == number


def test_a_callback_that_raises_holds_up_no_other_and_the_journal_continues(
    tmp_path: Path, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(error: StorageError | None) -> None:
        raise AttributeError("no one home")

    with opened(tmp_path) as journal:
        # Given two who wait for one event, the first of whom fails when it is told
        disk.go.clear()
        told: list[StorageError | None] = []
        number = journal.append("e-1", b"")
        journal.when_acknowledged(number, fails)
        journal.when_acknowledged(number, told.append)
        disk.go.set()
        # when the event is on disk, then the other hears of it, and the next event is written
        assert journal.wait(journal.append("e-2", b""), timeout_s=30)
        assert told == [None]
        assert journal.failure is None
    assert "AttributeError: no one home" in caplog.text


def test_what_gathers_during_a_sync_is_written_with_one_call(tmp_path: Path, disk: Disk) -> None:
    with opened(tmp_path) as journal:
        journal.wait(journal.append("e-1", b""))
        groups, writes = journal.groups, len(disk.writes)
        disk.go.clear()
        journal.append("e-2", b"")
        while len(disk.writes) == writes:
            pass
        last = add(journal, 500)[-1]
        disk.go.set()
        journal.wait(last)
        assert journal.groups - groups == 2
        assert len(disk.writes) - writes == 2


def test_a_group_has_at_most_the_configured_number_of_events(tmp_path: Path, disk: Disk) -> None:
    with opened(tmp_path, JournalConfig(max_group=10)) as journal:
        disk.go.clear()
        journal.append("e-1", b"")
        while not disk.writes:
            pass
        last = add(journal, 25)[-1]
        disk.go.set()
        journal.wait(last)
        assert journal.groups == 4  # 1, then 10 + 10 + 5


@pytest.mark.parametrize("group", [1, 10])
def test_what_is_said_of_an_event_never_stands_before_it(tmp_path: Path, disk: Disk, group: int) -> None:
    """Given events that are handled faster than the disk takes them, in groups that cannot hold them all."""
    with opened(tmp_path, JournalConfig(max_group=group, segment_bytes=4_096)) as journal:
        disk.go.clear()
        journal.append("e-1", b"")
        while not disk.writes:
            pass
        add(journal, 95, mark=Mark.APPLIED)
        disk.go.set()
    assert left_in(tmp_path) == [1]  # a mark before its event would have been refused as damage
    assert check_journal(tmp_path) == []


def test_events_wait_for_company_when_asked_to(tmp_path: Path, disk: Disk) -> None:
    with opened(tmp_path, JournalConfig(group_ms=1_000, max_group=3)) as journal:
        *_, third = add(journal, 3)  # the third makes the group full: no one waits a second
        journal.wait(third)
        assert journal.groups == 1
        journal.append("e-4", b"")
        journal.flush()  # a flush does not wait for company either
        assert journal.synced == 4


async def test_coroutines_of_one_group_are_answered_together(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        await asyncio.gather(*(journal.acknowledged(number) for number in reversed(add(journal, 50))))
        assert journal.synced == 50
        await journal.acknowledged(1)  # long done: answered at once


def test_threads_number_their_events_without_a_gap(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        threads = [
            threading.Thread(target=lambda n=n: [journal.append(f"{n}-{i}", b"") for i in range(200)])
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        journal.flush()
    assert check_journal(tmp_path) == []
    assert list(read_journal(tmp_path).entries) == list(range(1, 1_601))


# -- restart ---------------------------------------------------------------------------------------------------


def test_a_restart_finds_what_was_accepted_and_not_settled(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        numbers = add(journal, 6)
        for number, mark in zip(numbers, (Mark.APPLIED, Mark.PARKED, Mark.WITHDRAWN), strict=False):
            journal.mark_done(number, mark)
    assert left_in(tmp_path) == [4, 5, 6]
    with opened(tmp_path) as journal:
        assert journal.append("e-7", b"") == 7


def test_a_torn_end_is_cut_off_and_writing_goes_on_there(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        add(journal, 3)
    ((_, path),) = segment_paths(tmp_path)
    path.write_bytes(path.read_bytes()[:-5])
    with opened(tmp_path) as journal:
        assert journal.torn is not None
        assert journal.torn.path == path
        assert [one.sequence for one in journal.unfinished] == [1, 2]
        assert add(journal, 1) == [3]
    assert check_journal(tmp_path) == []
    assert left_in(tmp_path) == [1, 2, 3]


def test_damage_in_the_middle_is_refused_and_nothing_is_changed(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        add(journal, 3)
    ((_, path),) = segment_paths(tmp_path)
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    with pytest.raises(StorageError, match="offset 0: the journal is damaged in the middle"):
        opened(tmp_path)
    assert path.read_bytes() == data
    with pytest.raises(StorageError):  # refused again: the first refusal let go of the directory
        opened(tmp_path)


def test_another_runs_journal_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        add(journal, 1)
    with pytest.raises(StateError, match=f"belongs to run {RUN_ID}"):
        Journal(tmp_path, "fedcba9876543210")


def test_two_processes_cannot_write_one_journal(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(StateError, match="another process writes this journal"):
        opened(tmp_path)


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot keep the journal there"):
        opened(tmp_path / "file" / "journal")


def test_a_closed_journal_takes_nothing(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.close()
    journal.close()
    with pytest.raises(StateError, match="closed"):
        journal.append("e-1", b"")
    journal.flush()


# -- files -----------------------------------------------------------------------------------------------------


def test_a_full_file_is_followed_by_another_and_deleted_when_all_in_it_is_settled(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        while len(segment_paths(tmp_path)) < 3:
            add(journal, 1)
            journal.flush()
        firsts = [first for first, _ in segment_paths(tmp_path)]
        for number in range(1, firsts[1]):
            if number != 2:
                journal.mark_done(number, Mark.APPLIED)
        journal.flush()
        assert [first for first, _ in segment_paths(tmp_path)] == firsts  # event 2 is still to be done
        journal.mark_done(2, Mark.APPLIED)
        journal.flush()
        assert [first for first, _ in segment_paths(tmp_path)] == firsts[1:]
        for number in range(firsts[1], journal.next_sequence):
            journal.mark_done(number, Mark.APPLIED)
        journal.flush()
        assert [first for first, _ in segment_paths(tmp_path)] == firsts[2:]  # the one being written stays
        last = journal.next_sequence - 1
    assert left_in(tmp_path) == []
    with opened(tmp_path) as journal:
        assert add(journal, 1) == [last + 1]


def test_the_file_of_a_parked_event_stays_until_an_operator_has_decided(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        journal.mark_done(add(journal, 1)[0], Mark.PARKED)
        while len(segment_paths(tmp_path)) < 2:
            add(journal, 1)
            journal.flush()
        for number in range(2, journal.next_sequence):
            journal.mark_done(number, Mark.APPLIED)
        journal.flush()
        assert len(segment_paths(tmp_path)) == 2
    with opened(tmp_path) as journal:
        assert journal.parked == {"e-1": 1}
        journal.mark_done(1, Mark.REOPENED)
        journal.flush()
        assert len(segment_paths(tmp_path)) == 2
    with opened(tmp_path) as journal:
        assert [(one.sequence, one.reopened) for one in journal.unfinished] == [(1, True)]
        journal.mark_done(1, Mark.APPLIED)
        journal.flush()
        assert len(segment_paths(tmp_path)) == 1


def test_an_applied_event_may_be_opened_again_while_its_file_is_there(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        add(journal, 3, mark=Mark.APPLIED)
        journal.mark_done(2, Mark.REOPENED)
    assert left_in(tmp_path) == [2]
    assert check_journal(tmp_path) == []


def test_a_middle_file_waits_for_the_ones_before_it(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        while len(segment_paths(tmp_path)) < 3:
            add(journal, 1)
            journal.flush()
        firsts = [first for first, _ in segment_paths(tmp_path)]
        for number in range(2, firsts[2]):
            journal.mark_done(number, Mark.APPLIED)
        journal.flush()
        assert [first for first, _ in segment_paths(tmp_path)] == firsts
    assert left_in(tmp_path)[0] == 1


def test_an_empty_new_file_after_a_kill_during_rotation_is_gone_on_with(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        add(journal, 2)
    (tmp_path / "p0-00000000000000000003.journal").touch()
    with opened(tmp_path) as journal:
        assert add(journal, 1) == [3]
    assert check_journal(tmp_path) == []


def test_a_table_of_files_that_is_full_keeps_the_open_file_going(tmp_path: Path, disk: Disk) -> None:
    with opened(tmp_path) as journal:
        while size_of_newest(tmp_path) < 4_096:
            add(journal, 1)
            journal.flush()
        disk.open = refuse(errno.EMFILE)  # type: ignore[attr-defined]
        journal.wait(add(journal, 1)[0])
        assert len(segment_paths(tmp_path)) == 1
        del disk.open  # type: ignore[attr-defined]
        journal.wait(add(journal, 1)[0])
        assert len(segment_paths(tmp_path)) == 2


# -- marks -----------------------------------------------------------------------------------------------------


class CountedLock:
    """Counts how often the writer is woken."""

    def __init__(self, lock: Any) -> None:
        self.lock = lock
        self.rung = 0
        self.patience: list[float] = []

    def acquire(self, timeout: float = -1) -> bool:
        self.patience.append(timeout)
        return bool(self.lock.acquire(timeout=timeout))

    def release(self) -> None:
        self.rung += 1
        self.lock.release()


def sleep_without_limit(journal: Journal, events: int) -> CountedLock:
    """Write ``events`` and let the writer wait for their marks without success, until it sleeps without a limit."""
    signal = journal._buffer.signal
    wakeup = CountedLock(signal.wakeup)
    signal.wakeup = wakeup  # type: ignore[assignment]
    journal.wait(add(journal, events)[-1])
    while not (signal.idle and signal.waits_without_limit and wakeup.patience[-1] == -1):
        with journal.lock:
            if not signal.waits_without_limit:
                signal.wake_now()
    wakeup.rung, wakeup.patience = 0, []
    return wakeup


def test_a_mark_that_comes_late_is_written_without_any_event(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        wakeup = sleep_without_limit(journal, 1)
        assert read_journal(tmp_path).count(Mark.APPLIED) == 0
        journal.mark_done(1, Mark.APPLIED)
        while read_journal(tmp_path).count(Mark.APPLIED) == 0:
            os.sched_yield()
        assert wakeup.rung == 1, "the mark has woken the writer, for no event came"


def test_only_the_first_of_many_marks_wakes_the_writer(tmp_path: Path) -> None:
    with opened(tmp_path, JournalConfig(mark_ms=60_000)) as journal:
        wakeup = sleep_without_limit(journal, 10)
        for number in range(1, 11):
            journal.mark_done(number, Mark.APPLIED)
        assert wakeup.rung == 1
        assert read_journal(tmp_path).count(Mark.APPLIED) == 0, "they wait for an event to travel with"
        journal.wait(journal.append("e-11", b""))
        assert read_journal(tmp_path).count(Mark.APPLIED) == 10


def test_an_idle_writer_does_not_look_now_and_then_although_an_event_is_open(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        wakeup = sleep_without_limit(journal, 1)
        journal.wait(journal.append("e-2", b""))
        while -1 not in wakeup.patience:
            pass
        assert wakeup.patience == [0.001, -1], "once after the group, then until it is woken"
        assert wakeup.rung == 1


# -- checkpoints -----------------------------------------------------------------------------------------------


def test_with_checkpoints_an_event_counts_as_applied_only_when_the_checkpoint_is_stored(tmp_path: Path) -> None:
    with opened(tmp_path, checkpointed=True) as journal:
        add(journal, 3)
        journal.mark_done(1, Mark.APPLIED)
        journal.freeze()
        journal.mark_done(2, Mark.APPLIED)  # after the checkpoint was taken: not part of it
        journal.flush()
        assert read_journal(tmp_path).count(Mark.APPLIED) == 0
        journal.commit()
        journal.flush()
    assert left_in(tmp_path) == [2, 3]


# -- failures --------------------------------------------------------------------------------------------------


def fails_for_good(journal: Journal, disk: Disk, number: int) -> None:
    """Nothing is acknowledged, the same call is never made again, later events are refused."""
    with pytest.raises(StorageError, match="failed and is not written any more"):
        journal.wait(number)
    calls = (len(disk.writes), disk.syncs)
    with pytest.raises(StorageError):
        journal.append("e-later", b"")
    with pytest.raises(StorageError):
        journal.flush()
    assert (len(disk.writes), disk.syncs) == calls
    assert journal.synced == 1


def started(tmp_path: Path) -> Journal:
    journal = opened(tmp_path, JournalConfig(mark_ms=60_000))
    journal.wait(journal.append("e-1", b"first"))
    return journal


def test_a_failed_sync_is_fatal_and_never_repeated(tmp_path: Path, disk: Disk) -> None:
    with started(tmp_path) as journal:
        failures: list[StorageError] = []
        journal.set_failure_callback(failures.append)
        disk.on_sync = refuse(errno.EIO)
        number = journal.append("e-2", b"")
        fails_for_good(journal, disk, number)
        assert [str(one) for one in failures] == [str(journal.failure)]
        assert journal.must_exit
        with pytest.raises(StorageError, match="the disk did not confirm: Input/output error"):
            journal.raise_if_fatal()


def test_a_full_disk_is_told_and_does_not_end_the_process(tmp_path: Path, disk: Disk) -> None:
    with started(tmp_path) as journal:
        disk.on_write = refuse(errno.ENOSPC)
        fails_for_good(journal, disk, journal.append("e-2", b""))
        assert not journal.must_exit
        journal.raise_if_fatal()
    disk.on_write = os.write
    assert left_in(tmp_path) == [1]


def test_a_short_write_leaves_nothing_that_looks_like_a_record(tmp_path: Path, disk: Disk) -> None:
    with started(tmp_path) as journal:
        disk.on_write = lambda fd, data: os.write(fd, data[:-1])
        ((_, path),) = segment_paths(tmp_path)
        before = path.read_bytes()
        fails_for_good(journal, disk, journal.append("e-2", b""))
        assert path.read_bytes() == before
    disk.on_write = os.write
    assert left_in(tmp_path) == [1]


def test_a_short_write_that_cannot_be_cut_off_is_a_torn_end_later(tmp_path: Path, disk: Disk) -> None:
    with started(tmp_path) as journal:
        disk.on_write = lambda fd, data: os.write(fd, data[:-1])
        disk.ftruncate = refuse(errno.EIO)  # type: ignore[attr-defined]
        fails_for_good(journal, disk, journal.append("e-2", b""))
    disk.on_write = os.write
    del disk.ftruncate  # type: ignore[attr-defined]
    assert left_in(tmp_path) == [1]


def test_a_file_that_cannot_be_begun_fails_the_journal(tmp_path: Path, disk: Disk) -> None:
    with opened(tmp_path) as journal:
        while size_of_newest(tmp_path) < 4_096:
            add(journal, 1)
            journal.flush()
        disk.open = refuse(errno.ENOSPC)  # type: ignore[attr-defined]
        with pytest.raises(StorageError, match="No space left"):
            journal.wait(journal.append("one more", b""))


async def test_a_waiter_gets_the_failure_of_the_disk(tmp_path: Path, disk: Disk) -> None:
    with started(tmp_path) as journal:
        disk.go.clear()
        disk.on_sync = refuse(errno.EIO)
        waiting = [asyncio.ensure_future(journal.acknowledged(number)) for number in add(journal, 3)]
        flushing = asyncio.ensure_future(asyncio.to_thread(journal.flush))
        await asyncio.sleep(0)
        disk.go.set()
        results = await asyncio.gather(*waiting, flushing, return_exceptions=True)
        assert all(isinstance(result, StorageError) for result in results)


def test_a_writer_that_breaks_leaves_no_waiter(tmp_path: Path, disk: Disk) -> None:
    with started(tmp_path) as journal:

        def broken(fd: int, data: bytes) -> int:
            raise MemoryError("no memory")

        disk.on_write = broken
        with pytest.raises(StorageError, match="MemoryError: no memory"):
            journal.wait(journal.append("e-2", b""))
        assert journal.must_exit


def test_an_old_file_that_cannot_be_deleted_does_no_harm(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as journal:
        while len(segment_paths(tmp_path)) < 2:
            add(journal, 1)
            journal.flush()
        monkeypatch.setattr(Path, "unlink", refuse(errno.EACCES))
        for number in range(1, journal.next_sequence):
            journal.mark_done(number, Mark.APPLIED)
        journal.flush()
        assert len(segment_paths(tmp_path)) == 2
        assert journal.failure is None
        monkeypatch.undo()
        add(journal, 1, mark=Mark.APPLIED)
        journal.flush()
        assert len(segment_paths(tmp_path)) == 1


def test_a_key_that_fits_no_record_is_refused_before_it_gets_a_number(tmp_path: Path) -> None:
    with opened(tmp_path) as journal:
        with pytest.raises(ContractError):
            journal.append("k" * 70_000, b"")
        assert journal.next_sequence == 1


def in_a_child(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *args],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_real_file_size_limit_leaves_only_what_was_acknowledged(tmp_path: Path) -> None:
    code = """
        import resource, signal, sys
        from pathlib import Path
        from qts.event.journal import Journal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        journal = Journal(Path(sys.argv[1]), "0123456789abcdef")
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))  # less than four records of 350 bytes
        for number in range(10):
            try:
                journal.wait(journal.append(f"e-{number}", b"x" * 300))
            except Exception as error:
                print(type(error).__name__, journal.synced, journal.failure)
                break
        journal.close()
    """
    child = in_a_child(code, str(tmp_path))
    assert child.stdout.startswith("StorageError 2 the journal failed"), child.stderr
    assert left_in(tmp_path) == [1, 2]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small tmpfs")
def test_a_real_full_disk_leaves_only_what_was_acknowledged(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.decode().strip()}")
    try:
        journal = opened(small / "journal", JournalConfig())
        acknowledged = 0
        while journal.failure is None:
            with contextlib.suppress(StorageError):
                journal.wait(journal.append(f"e-{acknowledged + 1}", b"x" * 1_000))
                acknowledged += 1
        journal.close()
        assert 40 < acknowledged < 64
        assert left_in(small / "journal") == list(range(1, acknowledged + 1))
    finally:
        subprocess.run(["umount", small], check=True)
