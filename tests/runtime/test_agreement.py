"""A store and a journal of two times, or of two runs, are found, named and refused; kills at any line are not."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from qts.db.contracts import RunRow
from qts.errors import QtsError, StateError, StorageError
from qts.event.journal import Journal
from qts.event.journal_recovery import recover
from qts.event.journal_segments import StoreNote
from qts.runtime.control.command_files import write_command
from qts.runtime.control.commands import Stop
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.persistence.agreement import check_agreement
from qts.runtime.session.session import run_session
from tests.runtime.test_journalled_session import paper, run_a_while

RUN = "0123456789abcdef"
BEGUN = "2026-03-02T09:00:00+00:00"


def run_row(started_at: str = BEGUN) -> RunRow:
    return RunRow(RUN, "run", 7, "synthetic", "c" * 64, started_at, finished=False)


def judged(
    directory: Path, *, events: int, note: StoreNote | None, run: RunRow | None, number: int, held: int | None
) -> str:
    """What is said of a journal with so many events and this note, beside a store with ``number`` checkpoints."""
    with Journal(directory / "journal", RUN, checkpointed=True) as journal:
        for event in range(events):
            journal.append(f"e-{event}", b"")
        if note is not None:
            journal.note_store(note.store, note.checkpoint)
            journal.freeze()
            journal.commit()
    share = None if held is None else {"held": held}
    try:
        check_agreement(directory / "journal", recover(directory / "journal", RUN), run, number, share)
    except QtsError as error:
        return f"{error.exit_code}: {error}"
    return "agreed"


LEGAL = [
    pytest.param(0, None, None, 0, None, id="nothing was ever written"),
    pytest.param(0, None, run_row(), 0, None, id="killed before the first checkpoint"),
    pytest.param(2, None, run_row(), 0, None, id="killed before the first checkpoint, with events"),
    pytest.param(0, None, run_row(), 1, 0, id="killed before the journal had the first checkpoint"),
    pytest.param(5, StoreNote(BEGUN, 3), run_row(), 3, 5, id="killed at rest"),
    pytest.param(9, StoreNote(BEGUN, 3), run_row(), 3, 5, id="killed with events that no checkpoint knows"),
    pytest.param(5, StoreNote(BEGUN, 3), run_row(), 4, 5, id="killed after the checkpoint, before the note"),
]


@pytest.mark.parametrize(("events", "note", "run", "number", "held"), LEGAL)
def test_what_a_kill_or_a_power_cut_leaves_behind_is_gone_on_with(
    tmp_path: Path, events: int, note: StoreNote | None, run: RunRow | None, number: int, held: int | None
) -> None:
    assert judged(tmp_path, events=events, note=note, run=run, number=number, held=held) == "agreed"


REFUSED = [
    pytest.param(5, StoreNote(BEGUN, 3), run_row(), 2, 5, "3: ", "is older than the journal", id="older store"),
    pytest.param(
        5, StoreNote(BEGUN, 1), run_row(), 0, None, "3: ", "it is without a checkpoint", id="emptied store"
    ),
    pytest.param(5, StoreNote(BEGUN, 3), None, 0, None, "3: ", "is missing or empty", id="no store"),
    pytest.param(1, None, None, 0, None, "3: ", "is missing or empty", id="no store, journal without a note"),
    pytest.param(4, StoreNote(BEGUN, 3), run_row(), 3, 5, "3: ", "older than the store", id="older journal"),
    pytest.param(0, None, run_row(), 1, 5, "3: ", "older than the store", id="empty journal"),
    pytest.param(0, None, run_row(), 2, 0, "3: ", "empty or missing", id="empty journal, no event so far"),
    pytest.param(
        5,
        StoreNote("2026-03-01T09:00:00+00:00", 1),
        run_row(),
        3,
        5,
        "2: ",
        "belongs to a run begun at",
        id="foreign",
    ),
]


@pytest.mark.parametrize(("events", "note", "run", "number", "held", "code", "words"), REFUSED)
def test_what_no_kill_leaves_behind_is_refused_with_what_to_do(
    tmp_path: Path,
    events: int,
    note: StoreNote | None,
    run: RunRow | None,
    number: int,
    held: int | None,
    code: str,
    words: str,
) -> None:
    said = judged(tmp_path, events=events, note=note, run=run, number=number, held=held)
    assert said.startswith(code)
    assert words in said
    assert "Restore the" in said


# -- whole sessions --------------------------------------------------------------------------------------------


def stopped_in_lockdown(directory: Path) -> None:
    """Go on with the run until an operator's emergency stop has been obeyed."""
    stop, asked = StopFlag(), list[Path]()

    def progress(share: float | None, moment_ns: int) -> None:
        if not asked:
            asked.append(write_command(directory, Stop(operator="kim", reason="drill")))
        elif asked[0].exists() and safety_of(directory) == "LOCKDOWN":
            stop.request()

    run_session(paper(directory, resume=True), progress=progress, stop=stop)
    assert safety_of(directory) == "LOCKDOWN"


def safety_of(directory: Path) -> str:
    with closing(sqlite3.connect(directory / "qts.sqlite")) as connection:
        rows = connection.execute("SELECT to_state FROM safety_history ORDER BY id").fetchall()
    return str(rows[-1][0]) if rows else "NORMAL"


def the_older_store(run: Path, copy: Path) -> None:
    for path in run.glob("qts.sqlite*"):
        path.unlink()
    for path in copy.glob("qts.sqlite*"):
        shutil.copy(path, run)


def the_older_journal(run: Path, copy: Path) -> None:
    shutil.rmtree(run / "journal")
    shutil.copytree(copy / "journal", run / "journal")


def no_journal(run: Path, copy: Path) -> None:
    shutil.rmtree(run / "journal")


def no_store(run: Path, copy: Path) -> None:
    for path in run.glob("qts.sqlite*"):
        path.unlink()


@pytest.mark.parametrize(
    ("put_back", "message"),
    [
        (the_older_store, "qts.sqlite is older than the journal"),
        (the_older_journal, "the journal is older than the store"),
        (no_journal, "the journal is older than the store"),
        (no_store, "is missing or empty, but"),
    ],
)
def test_a_lockdown_does_not_come_back_as_normal_from_an_older_copy(
    tmp_path: Path, put_back: Callable[[Path, Path], None], message: str
) -> None:
    # Given a run that was copied while safety was NORMAL, and then locked down by an operator
    run, copy = tmp_path / "run", tmp_path / "copy"
    run_a_while(paper(run), turns=1)
    assert safety_of(run) == "NORMAL"
    shutil.copytree(run, copy)
    stopped_in_lockdown(run)
    whole = tmp_path / "whole"
    shutil.copytree(run, whole)

    # When a part of the copy is put back and the run resumed, then it is refused, again and again
    put_back(run, copy)
    for _ in range(2):
        with pytest.raises(StorageError, match=message):
            run_a_while(paper(run, resume=True), turns=1)

    # And with the right ones put back it goes on, still locked down
    shutil.rmtree(run)
    shutil.copytree(whole, run)
    run_a_while(paper(run, resume=True), turns=1)
    assert safety_of(run) == "LOCKDOWN"


def test_the_journal_of_the_same_run_begun_at_another_time_is_refused(tmp_path: Path) -> None:
    """Same input, seed and configuration: the same run id, but other events."""
    for name in ("one", "other"):
        run_a_while(paper(tmp_path / name), turns=1)
    shutil.rmtree(tmp_path / "one" / "journal")
    shutil.copytree(tmp_path / "other" / "journal", tmp_path / "one" / "journal")
    with pytest.raises(StateError, match="the journal belongs to a run begun at"):
        run_a_while(paper(tmp_path / "one", resume=True), turns=1)
