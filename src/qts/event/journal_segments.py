"""The journal's files: the form of a record, the files that records lie in, and how they are read.

One record, little-endian: u32 length of what follows the CRC, u32 CRC32 (zlib) of it, u64 sequence, 16 bytes run
id, u16 key length, idempotency key, body. A record with a key is an event; one without is a control record: a list
of marks (the outcomes of earlier events) or a note about the run's store. Records of events are numbered without a
gap, but for numbers that a mark skips.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Generator, Iterator
from enum import IntEnum
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from qts.errors import ContractError, StateError, StorageError
from qts.event.journal_key import id_in
from qts.files import in_place_opener

_HEAD: Final = struct.Struct("<II")
_REST: Final = struct.Struct("<Q16sH")
HEADER_BYTES: Final = _HEAD.size + _REST.size
MAX_KEY_BYTES: Final = (1 << 16) - 1
MAX_BODY_BYTES: Final = 1 << 28
"""An event of 256 MB is a mistake; the limit also keeps a damaged length from asking for 4 GB."""
RUN_BYTES: Final = 16
_PREFIX: Final = "p0-"
_SUFFIX: Final = ".journal"
_crc = zlib.crc32


class Mark(IntEnum):
    """The outcome of an event.

    APPLIED: its handlers are done. PARKED: it was dead-lettered. WITHDRAWN: its source took it back. REOPENED: it
    is to be handled again. SKIPPED: its number was given by a journal that failed and is not given again.
    """

    APPLIED = 1
    PARKED = 2
    WITHDRAWN = 3
    REOPENED = 4
    SKIPPED = 5


class Run(NamedTuple):
    """A run of ``length`` successive events with the same outcome."""

    mark: Mark
    first: int
    length: int


class StoreNote(msgspec.Struct, frozen=True):
    """The note about the run's store: when it was begun, and the number (from 1) of its newest checkpoint."""

    store: str
    checkpoint: int


class Record(NamedTuple):
    """A valid record; ``offset`` and ``end`` are bytes in its file. A control record has an empty key."""

    sequence: int
    run: bytes
    key: bytes
    body: bytes
    offset: int
    end: int

    @property
    def event_id(self) -> str:
        """Return the id of its event."""
        return id_in(self.key).decode("utf-8", "surrogatepass")


class Torn(NamedTuple):
    """The end of the last file that is no record: from ``offset`` on, ``size`` bytes."""

    path: Path
    offset: int
    size: int


def run_bytes(run_id: str) -> bytes:
    """Return the run id as records carry it. Raises ContractError unless it is 16 ASCII characters."""
    if len(run_id) != RUN_BYTES or not run_id.isascii():
        raise ContractError(f"a journal needs a run id of {RUN_BYTES} ASCII characters, got {run_id!r}")
    return run_id.encode("ascii")


def pack_record(sequence: int, run: bytes, key: bytes, body: bytes) -> bytes:
    """Return the bytes of one record."""
    rest = b"%b%b%b" % (_REST.pack(sequence, run, len(key)), key, body)
    return _HEAD.pack(len(rest), _crc(rest)) + rest


def check_size(key: bytes, body: bytes) -> None:
    """Raise ContractError for a key or body that no record can hold."""
    if not 0 < len(key) <= MAX_KEY_BYTES:
        raise ContractError(f"an event id in the journal has 1 to {MAX_KEY_BYTES} bytes, this one {len(key)}")
    if len(body) > MAX_BODY_BYTES:
        raise ContractError(f"an event in the journal has at most {MAX_BODY_BYTES} bytes, this one {len(body)}")


def record_at(data: bytes, offset: int) -> Record | None:
    """Return the record that begins at ``offset``; None when there is no valid one."""
    start = offset + _HEAD.size
    if start + _REST.size > len(data):
        return None
    length, crc = _HEAD.unpack_from(data, offset)
    end = start + length
    if length < _REST.size or end > len(data) or _crc(data[start:end]) != crc:
        return None
    sequence, run, key_length = _REST.unpack_from(data, start)
    body = start + _REST.size + key_length
    if body > end:
        return None
    return Record(sequence, run, data[body - key_length : body], data[body:end], offset, end)


def records_in(data: bytes, offset: int = 0) -> Iterator[Record]:
    """Yield valid records from ``offset`` on, up to the end or to the first place that is none."""
    while (record := record_at(data, offset)) is not None:
        yield record
        offset = record.end


def valid_after(data: bytes, offset: int, run: bytes) -> int | None:
    """Return where the next valid record of ``run`` (b"": of any) behind ``offset`` begins, or None."""
    if not run:
        starts = range(offset + 1, len(data) - HEADER_BYTES + 1)
        return next((s for s in starts if _may_begin(data, s) and record_at(data, s) is not None), None)
    place = data.find(run, offset)
    while place >= 0:
        start = place - _HEAD.size - 8
        if start > offset and (record := record_at(data, start)) is not None and record.run == run:
            return start
        place = data.find(run, place + 1)
    return None


def _may_begin(data: bytes, start: int) -> bool:
    """Return whether a record may begin here, without a CRC: a number below 2^48 and a printable run id."""
    run = data[start + _HEAD.size + 8 : start + _HEAD.size + 8 + RUN_BYTES]
    return data[start + 14 : start + 16] == b"\0\0" and run.isascii() and run.decode("ascii").isprintable()


def encode_marks(runs: list[Run]) -> bytes:
    """Return the body of a control record with marks."""
    return msgspec.msgpack.encode(runs)


def encode_note(note: StoreNote) -> bytes:
    """Return the body of a control record with the note about the store."""
    return msgspec.msgpack.encode(note)


def decode_control(body: bytes) -> list[Run] | StoreNote:
    """Return the marks or the note of a control record. Raises msgspec.MsgspecError when it cannot be read."""
    return msgspec.msgpack.decode(body, type=list[Run] | StoreNote)


def split_marks(marks: list[tuple[Mark, int]], upto: int) -> tuple[list[tuple[Mark, int]], list[tuple[Mark, int]]]:
    """Return the marks of events up to ``upto``, and those of later ones; each in the order given."""
    if all(sequence <= upto for _, sequence in marks):
        return marks, []
    return [one for one in marks if one[1] <= upto], [one for one in marks if one[1] > upto]


def as_runs(marks: list[tuple[Mark, int]]) -> list[Run]:
    """Return marks in the order given, equal ones of successive events joined."""
    runs: list[Run] = []
    for mark, sequence in marks:
        last = runs[-1] if runs else None
        follows = last is not None and last.mark is mark and last.first + last.length == sequence
        if last is not None and follows and mark is not Mark.REOPENED:
            runs[-1] = Run(mark, last.first, last.length + 1)
        else:
            runs.append(Run(mark, sequence, 1))
    return runs


def segment_path(directory: Path, first: int) -> Path:
    """Return the file whose first event is number ``first``."""
    return directory / f"{_PREFIX}{first:020d}{_SUFFIX}"


def segment_paths(directory: Path) -> list[tuple[int, Path]]:
    """Return the segments in order, with the number of the first event of each."""
    found = []
    for path in directory.glob(f"{_PREFIX}*{_SUFFIX}"):
        number = path.name[len(_PREFIX) : -len(_SUFFIX)]
        if number.isascii() and number.isdigit():
            found.append((int(number), path))
    return sorted(found)


class JournalWalk:
    """An iteration over every valid record of a journal, in order, as ``(path, record)``.

    The attributes are complete after the last record.

    ``run_id`` "" takes the run of the first record. Raises StorageError, naming file and offset, for damage in
    the middle (a valid record comes after it) and for numbers that do not follow each other; StateError for
    another run's records. A torn end of the last file is left in ``torn``.
    """

    def __init__(self, directory: Path, run_id: str = "") -> None:
        self.segments = segment_paths(directory)
        self.run_id = run_id
        self.torn: Torn | None = None
        self.next_sequence = self.segments[0][0] if self.segments else 1
        self.sizes: dict[int, int] = {}

    def __iter__(self) -> Iterator[tuple[Path, Record]]:
        for index, (first, path) in enumerate(self.segments):
            if first != self.next_sequence:
                raise StorageError(
                    f"{path}: begins with event {first}, but event {self.next_sequence} comes next; "
                    "a file of the journal is missing. Put it back; without it P0 events would be lost"
                )
            data = _read(path)
            end = yield from self._records(path, data)
            self.sizes[first] = end
            if end < len(data):
                self._check_end(path, data, end, is_last=index == len(self.segments) - 1)

    def _records(self, path: Path, data: bytes) -> Generator[tuple[Path, Record], None, int]:
        end = 0
        for record in records_in(data):
            self._check(path, record)
            if record.key:
                self.next_sequence += 1
            end = record.end
            yield path, record
        return end

    def _check(self, path: Path, record: Record) -> None:
        run = record.run.decode("ascii", "replace")
        self.run_id = self.run_id or run
        if run != self.run_id:
            raise StateError(
                f"{path}, offset {record.offset}: the journal belongs to run {run}, this is run {self.run_id}; "
                "give that run's own data directory, or move the journal away"
            )
        expected = self.next_sequence if record.key else self.next_sequence - 1
        if _is_skip(record, expected):
            self.next_sequence = record.sequence + 1
        elif record.sequence != expected:
            raise StorageError(
                f"{path}, offset {record.offset}: record {record.sequence} stands where {expected} belongs; "
                "the file was changed. Restore it from a copy"
            )

    def _check_end(self, path: Path, data: bytes, end: int, *, is_last: bool) -> None:
        later = valid_after(data, end, self.run_id.encode("ascii", "replace"))
        if later is not None or not is_last:
            what = f"a valid record follows at offset {later}" if later is not None else "another file follows"
            raise StorageError(
                f"{path}, offset {end}: the journal is damaged in the middle ({what}). Nothing was changed; "
                "restore the file from a copy, or let the broker's records decide and move the journal away"
            )
        self.torn = Torn(path, end, len(data) - end)


def _is_skip(record: Record, last: int) -> bool:
    """Return whether the record skips the numbers behind ``last`` up to its own."""
    if record.key or record.sequence <= last:
        return False
    try:
        return decode_control(record.body) == [Run(Mark.SKIPPED, last + 1, record.sequence - last)]
    except msgspec.MsgspecError:
        return False


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path}: cannot read the journal: {error.strerror}") from error


class JournalDirectory:
    """The journal's directory, held for this process, made when missing.

    It is kept open: when descriptors run out, the names in it can still be synced, and an error that the disk
    reported meanwhile is noticed. Raises StateError when another process has it, StorageError when it cannot be
    used.
    """

    __slots__ = ("_fd", "_lock")

    def __init__(self, path: Path) -> None:
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = in_place_opener(str(path / "lock"), os.O_RDWR | os.O_CREAT)
            try:
                self._fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                os.close(self._lock)
                raise
        except OSError as error:
            raise StorageError(
                f"{path}: cannot keep the journal there ({error.strerror}); it needs a directory to write to"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise StateError(f"{path}: another process writes this journal; stop it first") from None

    def sync(self) -> None:
        """Make the names of its files durable; an OSError is final, as with any sync: never call it again."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Release the directory for other processes."""
        os.close(self._fd)
        os.close(self._lock)
