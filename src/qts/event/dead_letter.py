"""Dead letters: events whose handler failed finally. Bounded, on disk if wanted, replayed by an operator."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from qts.errors import StorageError
from qts.event.codec import decode_event, encode_event
from qts.event.contracts import Event, EventPriority
from qts.files import private_opener, sync_directory


class DeadLetter(msgspec.Struct, frozen=True):
    """An event that one handler failed to handle.

    ``error`` is the last exception as text, ``time_ns`` is since the epoch.
    """

    event: Event
    handler: str
    error: str
    attempts: int
    time_ns: int

    def export(self) -> list[Any]:
        """Return the letter as plain values, for :meth:`load`."""
        return [encode_event(self.event), self.handler, self.error, self.attempts, self.time_ns]

    @classmethod
    def load(cls, stored: list[Any]) -> DeadLetter:
        """Return the letter of :meth:`export`."""
        return cls(decode_event(stored[0]), *stored[1:])


class DeadLetterQueue:
    """The newest ``capacity`` dead letters.

    When full the oldest that is not P0 goes, else the oldest; both are counted in ``evicted_count``. With a
    ``path`` every letter is written to that file before anything else happens (P0 is synced too) and read back
    at the start, without a last line that a kill cut short; a file that cannot be read or written raises
    StorageError.
    """

    def __init__(self, capacity: int, path: Path | None = None) -> None:
        self.capacity = capacity
        self.evicted_count = 0
        self._letters: list[DeadLetter] = []
        self._path = path
        if path is not None and path.exists():
            self._read(path)

    def __len__(self) -> int:
        return len(self._letters)

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(tuple(self._letters))

    def __getitem__(self, index: int) -> DeadLetter:
        return self._letters[index]

    def append(self, letter: DeadLetter) -> None:
        """Add a letter, in the file too. Raises StorageError when that cannot be written; the letter is kept."""
        self._letters.append(letter)
        if len(self._letters) > self.capacity:
            self._evict()
            self._write_all()
        elif self._path is not None:
            self._write(self._path, "ab", [letter])

    def find(self, event_id: str, handler: str | None = None) -> DeadLetter | None:
        """Return the letter of an event, of one handler when given; None when there is none."""
        return next(
            (one for one in self._letters if one.event.event_id == event_id and handler in (None, one.handler)),
            None,
        )

    def remove(self, letter: DeadLetter) -> None:
        """Remove a letter that is being replayed or was dealt with by the operator."""
        self._letters.remove(letter)
        self._write_all()

    def export(self) -> dict[str, Any]:
        """Return all letters and the count of evicted ones as plain values."""
        return {"evicted": self.evicted_count, "letters": [letter.export() for letter in self._letters]}

    def restore(self, stored: dict[str, Any]) -> None:
        """Replace the letters by those of :meth:`export`, in the file too."""
        self.evicted_count = stored["evicted"]
        self._letters = [DeadLetter.load(letter) for letter in stored["letters"]]
        self._write_all()

    def _evict(self) -> None:
        index = next(
            (i for i, one in enumerate(self._letters) if one.event.priority is not EventPriority.P0_CRITICAL), 0
        )
        del self._letters[index]
        self.evicted_count += 1

    def _write_all(self) -> None:
        """Write all of them under another name first, so that a kill leaves the old file or the new one."""
        if self._path is None:
            return
        whole = self._path.with_name(self._path.name + ".new")
        self._write(whole, "wb", self._letters)
        try:
            os.replace(whole, self._path)
            if _must_be_synced(self._letters):
                sync_directory(self._path.parent)
        except OSError as error:
            raise StorageError(f"cannot write dead letters to {self._path}: {error}") from error

    def _write(self, path: Path, mode: str, letters: list[DeadLetter]) -> None:
        try:
            is_new = not path.exists()
            with open(path, mode, opener=private_opener) as file:
                for letter in letters:
                    file.write(_line_of(letter))
                if _must_be_synced(letters):
                    file.flush()
                    os.fsync(file.fileno())
                    if is_new:
                        sync_directory(path.parent)
        except OSError as error:
            raise StorageError(f"cannot write dead letters to {path}: {error}") from error

    def _read(self, path: Path) -> None:
        self._letters, torn = read_letters(path)
        if torn or len(self._letters) > self.capacity:
            while len(self._letters) > self.capacity:
                self._evict()
            self._write_all()


def _must_be_synced(letters: list[DeadLetter]) -> bool:
    """Return whether the letters have to be synced: only P0 is worth the time that the disk takes."""
    return any(letter.event.priority is EventPriority.P0_CRITICAL for letter in letters)


def _line_of(letter: DeadLetter) -> bytes:
    stored = letter.export()
    try:
        return msgspec.json.encode(stored) + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair, as names of files may have: escaped it can be kept
        return json.dumps(stored).encode("ascii") + b"\n"


def _values_of(line: bytes) -> list[Any]:
    try:
        values: list[Any] = msgspec.json.decode(line)
    except msgspec.DecodeError:
        values = json.loads(line)
    return values


def read_letters(path: Path) -> tuple[list[DeadLetter], bool]:
    """Return the dead letters in a file, which may be in use, and whether its last line was cut short.

    Raises StorageError for a line that is no dead letter.
    """
    whole, _, torn = path.read_bytes().rpartition(b"\n")
    letters = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            letters.append(DeadLetter.load(_values_of(line)))
        except (msgspec.MsgspecError, ValueError, TypeError, LookupError) as error:
            raise StorageError(f"{path}, line {number}: not a dead letter ({error}); move the file away") from error
    return letters, bool(torn)
