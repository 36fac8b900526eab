"""Recovery of a journal: its content after a restart, and the check that it holds no contradiction."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from qts.errors import QtsError, StorageError
from qts.event.codec import same_content
from qts.event.journal_key import id_in, identity_in
from qts.event.journal_segments import JournalWalk, Mark, Record, Run, StoreNote, Torn, decode_control


class Place(NamedTuple):
    """The place of a record: the first event's number of its file, and the byte in it."""

    first: int
    offset: int


class Unfinished(NamedTuple):
    """An event that was accepted and has no outcome; ``reopened`` by an operator, or not."""

    sequence: int
    event_id: str
    place: Place
    reopened: bool = False


class Recovered(NamedTuple):
    """The content of a journal's files. ``events`` and ``sizes`` are by the number of a file's first event."""

    run_id: str
    next_sequence: int
    unfinished: list[Unfinished]
    parked: dict[int, Unfinished]
    """Dead-lettered events: an operator may open them again, so their files stay."""
    events: dict[int, int]
    sizes: dict[int, int]
    last_numbers: dict[str, int]
    """By the prefix of event ids that are prefix and number: the highest number used."""
    torn: Torn | None
    noted: StoreNote | None
    """The note about the run's store; None when it was never written."""


def recover(directory: Path, run_id: str = "") -> Recovered:
    """Read the whole journal; nothing is changed. Raises StorageError and StateError as JournalWalk does."""
    walk = JournalWalk(directory, run_id)
    firsts = {path: first for first, path in walk.segments}
    open_: dict[int, Unfinished] = {}
    events = dict.fromkeys(firsts.values(), 0)
    parked: dict[int, Unfinished] = {}
    reopened: set[int] = set()
    numbers: dict[bytes, int] = {}
    noted: StoreNote | None = None
    for path, record in walk:
        if record.key:
            first = firsts[path]
            events[first] += 1
            prefix, _, number = id_in(record.key).rpartition(b"-")
            if number.isdigit() and int(number) > numbers.get(prefix, 0):
                numbers[prefix] = int(number)
            open_[record.sequence] = Unfinished(record.sequence, record.event_id, Place(first, record.offset))
            continue
        control = _control_in(path, record)
        if isinstance(control, StoreNote):
            noted = control
            continue
        for run in control:
            for sequence in range(run.first, run.first + run.length):
                known = open_.pop(sequence, None)
                if run.mark is not Mark.REOPENED:
                    reopened.discard(sequence)
                    if run.mark is Mark.PARKED and known is not None:
                        parked[sequence] = known._replace(reopened=False)
                elif sequence in parked:
                    open_[sequence] = parked.pop(sequence)._replace(reopened=True)
                else:
                    reopened.add(sequence)
    if reopened:
        open_.update(_find(directory, walk.run_id, reopened))
    unfinished = [open_[sequence] for sequence in sorted(open_)]
    last = {prefix.decode("utf-8", "replace"): number for prefix, number in numbers.items()}
    return Recovered(
        walk.run_id, walk.next_sequence, unfinished, parked, events, walk.sizes, last, walk.torn, noted
    )


def _find(directory: Path, run_id: str, wanted: Iterable[int]) -> dict[int, Unfinished]:
    """Return events that were done and are open again; those whose file is gone are not found."""
    missing = set(wanted)
    found = {}
    walk = JournalWalk(directory, run_id)
    firsts = {path: first for first, path in walk.segments}
    for path, record in walk:
        if record.key and record.sequence in missing:
            place = Place(firsts[path], record.offset)
            found[record.sequence] = Unfinished(record.sequence, record.event_id, place, reopened=True)
    return found


def _control_in(path: Path, record: Record) -> list[Run] | StoreNote:
    try:
        runs = decode_control(record.body)
    except msgspec.MsgspecError as error:
        raise StorageError(f"{path}, offset {record.offset}: the marks cannot be read: {error}") from error
    if isinstance(runs, StoreNote):
        return runs
    for run in runs:
        if run.length < 1 or run.first + run.length - 1 > record.sequence:
            raise StorageError(
                f"{path}, offset {record.offset}: marks events {run.first} to {run.first + run.length - 1}, "
                f"but only {record.sequence} were written before"
            )
    return runs


class JournalEntry(msgspec.Struct):
    """One event of the journal, for display; ``status`` None while it has no outcome."""

    record: Record
    path: Path
    status: Mark | None = None
    done: int = 0
    reopened: int = 0

    @property
    def status_name(self) -> str:
        """Return accepted, applied, parked, withdrawn or reopened."""
        return "accepted" if self.status is None else self.status.name.lower()


class JournalReport(msgspec.Struct):
    """The content of a journal. ``applied_order`` lists events in the order in which they were done.

    ``repeated`` counts events whose id is there already, and executions that an earlier event has.
    """

    run_id: str
    entries: dict[int, JournalEntry]
    segments: list[tuple[int, Path]]
    problems: list[str]
    torn: Torn | None = None
    applied_order: list[int] = []
    repeated: int = 0

    def count(self, status: Mark | None) -> int:
        """Return the number of events with ``status``; None: without an outcome."""
        return sum(entry.status is status for entry in self.entries.values())


def read_journal(directory: Path, run_id: str = "") -> JournalReport:
    """Return every event in the journal with its outcome, and what contradicts the rules of :func:`check_journal`.

    May be called while the run goes on: a half-written end is reported as torn. Raises StorageError and
    StateError as JournalWalk does.
    """
    walk = JournalWalk(directory, run_id)
    report = JournalReport(run_id, {}, walk.segments, [])
    for path, record in walk:
        if record.key:
            report.entries[record.sequence] = JournalEntry(record, path)
        else:
            control = _control_in(path, record)
            for run in () if isinstance(control, StoreNote) else control:
                _mark(report, run)
    report.run_id, report.torn = walk.run_id, walk.torn
    _check_ids(report)
    return report


def check_journal(directory: Path, run_id: str = "") -> list[str]:
    """Return what contradicts the rules of a journal; empty when nothing does (`journal-without-gap`).

    No number is missing, each event is done at most once (applied, parked or withdrawn), and no id names two
    events. Damage that stops reading is returned as one of the problems.
    """
    try:
        return read_journal(directory, run_id).problems
    except QtsError as error:
        return [str(error)]


def _mark(report: JournalReport, run: Run) -> None:
    for sequence in range(run.first, run.first + run.length):
        entry = report.entries.get(sequence)
        if entry is None:
            continue  # its file was deleted: everything in it was done
        entry.status = run.mark
        if run.mark is Mark.REOPENED:
            entry.reopened += 1
        else:
            entry.done += 1
            report.applied_order.append(sequence)
        if entry.done - entry.reopened > 1:
            report.problems.append(f"event {sequence} ({entry.record.event_id}) was finished twice")


def _check_ids(report: JournalReport) -> None:
    """Check that no id names two events, and count repeated ones.

    An event that its source sent again without an acknowledgement is one event: it is handled again, and the unique
    key makes that have no effect. An execution that an earlier event has is counted as well, unless withdrawn.
    """
    seen: dict[bytes, Record] = {}
    executions: dict[bytes, Record] = {}
    for entry in report.entries.values():
        record = entry.record
        earlier = seen.setdefault(id_in(record.key), record)
        if earlier is not record:
            report.repeated += 1
            if not same_content(earlier.body, record.body):
                numbers = f"{earlier.sequence} and {record.sequence}"
                report.problems.append(f"event id {record.event_id} names two events: {numbers}")
            continue
        identity = identity_in(record.key)
        if identity and entry.status is not Mark.WITHDRAWN:
            report.repeated += executions.setdefault(identity, record) is not record
