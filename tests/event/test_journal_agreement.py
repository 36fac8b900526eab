"""A checkpoint and the journal: which of the two knows what, and how numbers go on."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qts.errors import StorageError
from qts.event.dispatcher import EventDispatcher
from qts.event.journal import Journal
from qts.event.journal_recovery import check_journal, recover
from qts.event.journal_segments import Mark, StoreNote, segment_paths
from tests.event.support import P0, Recorder
from tests.event.test_journal import Disk, disk, refuse
from tests.event.test_journal_dispatcher import RUN_ID, Restarts, config, numbered, stop_event

__all__ = ["disk"]


@pytest.fixture
def restarts(tmp_path: Path) -> Iterator[Restarts]:
    started = Restarts(tmp_path / "journal")
    yield started
    started.end()


def handled_by(dispatcher: EventDispatcher, saved: dict[str, Any] | None = None) -> Recorder:
    seen = Recorder()
    dispatcher.register_handler(P0, seen)
    if saved is not None:
        dispatcher.import_state(saved)
    return seen


def without_records(restarts: Restarts) -> None:
    """The machine died before the journal's records were on disk."""
    restarts.end()
    for _, path in segment_paths(restarts.directory):
        path.write_bytes(b"")


def test_events_that_only_the_checkpoint_has_are_written_again_and_handled_once(restarts: Restarts) -> None:
    # Given a checkpoint with two waiting events, and a journal that never got their records
    dispatcher = restarts.begin(checkpointed=True)
    handled_by(dispatcher)
    for n in (1, 2):
        dispatcher.dispatch_nowait(numbered(n))
    saved = dispatcher.export_state()
    saved["journal"] |= {"held": 0, "open": []}  # as a journal says that has failed
    without_records(restarts)

    # When the next life takes over the checkpoint, is killed, and another one takes it over
    handled_by(restarts.begin(checkpointed=True), saved)
    assert restarts.words() == {"n-1": "accepted", "n-2": "accepted"}
    dispatcher = restarts.begin(checkpointed=True)
    seen = handled_by(dispatcher, saved)
    dispatcher.run_inline()

    # Then each was handled once, and the journal tells it
    assert seen.numbers == [1, 2]
    dispatcher.export_state()
    assert restarts.journal is not None
    restarts.journal.commit()
    assert restarts.words() == {"n-1": "applied", "n-2": "applied"}
    assert check_journal(restarts.directory) == []


def test_a_number_that_a_checkpoint_knows_as_done_is_never_given_to_another_event(restarts: Restarts) -> None:
    """Else an emergency stop that was acknowledged would count as handled after the next kill."""
    # Given a checkpoint in which event 1 is done, and a journal that never got its record
    dispatcher = restarts.begin(checkpointed=True)
    handled_by(dispatcher)
    dispatcher.dispatch_nowait(numbered(1))
    dispatcher.run_inline()
    saved = dispatcher.export_state()
    without_records(restarts)

    # When the next life acknowledges a stop and is killed before it is handled
    dispatcher = restarts.begin(checkpointed=True)
    handled_by(dispatcher, saved)
    told: list[object] = []
    dispatcher.dispatch_nowait(stop_event(), told.append)
    assert restarts.journal is not None
    restarts.journal.flush()
    assert told == [None]

    # Then the stop has the next number, and the life after takes it up
    assert [one.sequence for one in recover(restarts.directory, RUN_ID).unfinished] == [2]
    dispatcher = restarts.begin(checkpointed=True)
    dispatcher.register_handler(P0, Recorder())
    dispatcher.import_state(saved)
    assert dispatcher.replay_journal() == 1
    assert check_journal(restarts.directory) == []


def test_what_was_taken_back_is_never_told_as_applied_when_a_kill_was_faster_than_its_mark(
    restarts: Restarts,
) -> None:
    # Given an event that no checkpoint knows, and a life that takes it back and stores a checkpoint
    dispatcher = restarts.begin(checkpointed=True)
    handled_by(dispatcher)
    before = dispatcher.export_state()
    dispatcher.dispatch_nowait(numbered(1))
    assert restarts.journal is not None
    restarts.journal.flush()
    dispatcher = restarts.begin(checkpointed=True)
    handled_by(dispatcher, before)
    assert dispatcher.replay_journal(withdraw=lambda event: True) == 0
    after = dispatcher.export_state()

    # When it is killed before the journal hears of that, and the next life takes over the checkpoint
    seen = handled_by(restarts.begin(checkpointed=True), after)

    # Then the journal tells what has become of it
    assert restarts.words() == {"n-1": "withdrawn"}
    assert seen.numbers == []


async def test_a_journal_whose_disk_is_full_leaves_nothing_behind_that_a_checkpoint_could_miss(
    tmp_path: Path, disk: Disk
) -> None:
    """Given a window of one event and a full disk, what waits behind the window goes along in the checkpoint."""
    few = config(1)
    journal = Journal(tmp_path, RUN_ID, few.journal, checkpointed=True)
    dispatcher = EventDispatcher(few, journal=journal, inline=True)
    handled_by(dispatcher)
    disk.on_write = refuse(errno.ENOSPC)
    with journal.lock:  # the writer finds all of them at once
        for n in (1, 2, 3):
            dispatcher.dispatch_nowait(numbered(n))
    with pytest.raises(StorageError):
        journal.flush()
    saved = dispatcher.export_state()
    journal.close()
    assert saved["journal"]["held"] == 0

    disk.on_write = Disk().on_write
    with Journal(tmp_path, RUN_ID, few.journal, checkpointed=True) as again:
        dispatcher = EventDispatcher(few, journal=again, inline=True)
        seen = handled_by(dispatcher, saved)
        dispatcher.run_inline()
        assert seen.numbers == [1, 2, 3]
        assert again.next_sequence == 7, "numbers 1 to 3 are skipped, the three are written again"


def test_the_note_about_the_store_outlives_the_file_it_was_first_written_to(tmp_path: Path) -> None:
    small = config(segment_bytes=4_096).journal
    with Journal(tmp_path, RUN_ID, small, checkpointed=True) as journal:
        journal.note_store("2026-03-02T09:00", 0)
        for checkpoint in range(1, 6):
            for _ in range(20):
                journal.mark_done(journal.append(f"e-{journal.next_sequence}", b"x" * 400), Mark.APPLIED)
            journal.freeze()
            journal.commit(checkpoint)
            journal.flush()
    with Journal(tmp_path, RUN_ID, small, checkpointed=True) as journal:  # as the tool does that opens events again
        journal.freeze()
        journal.commit()
    assert [first for first, _ in segment_paths(tmp_path)] != [1], "the first file is gone"
    assert recover(tmp_path, RUN_ID).noted == StoreNote("2026-03-02T09:00", 5)
    assert check_journal(tmp_path) == []


def test_a_number_too_high_without_a_skip_is_damage(tmp_path: Path) -> None:
    with Journal(tmp_path, RUN_ID) as journal:
        journal.append("e-1", b"")
        journal.continue_after_number(5)
        assert journal.append("e-6", b"") == 6
    assert recover(tmp_path, RUN_ID).next_sequence == 7
    ((_, path),) = segment_paths(tmp_path)
    data = path.read_bytes()
    from qts.event.journal_segments import records_in

    first, skip, last = records_in(data)
    path.write_bytes(data[: first.end] + data[skip.end :])
    assert last.sequence == 6
    with pytest.raises(StorageError, match="record 6 stands where 2 belongs"):
        recover(tmp_path, RUN_ID)
