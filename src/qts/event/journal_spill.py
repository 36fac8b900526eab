"""The P0 queue with a journal: what does not fit into memory waits in the files, and no producer waits.

Every caller here holds the journal's lock, which is the queue's lock too: an event's number
and its place in the queue are decided together.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from qts.errors import StorageError
from qts.event.config import QueueConfig
from qts.event.contracts import Event, EventType
from qts.event.journal import Journal
from qts.event.journal_recovery import Place
from qts.event.journal_segments import Record, record_at, segment_paths
from qts.event.queue import BoundedQueue

_CHUNK: Final = 1 << 18
_REFILL: Final = 64
"""Events read back at once: a short pause for producers, and few enough calls."""
_STOP: Final = EventType.EMERGENCY_STOP


class Spill:
    """The numbers of events that wait in the journal, in order, and the reader that brings them back."""

    def __init__(self, journal: Journal) -> None:
        self.count = 0
        self._journal = journal
        self._ranges: deque[list[int]] = deque()
        self._file: _Reader | None = None

    def add(self, sequence: int) -> None:
        """Add the event just appended."""
        if not self.count:
            self._journal.note_place(sequence)
        self.count += 1
        if self._ranges and self._ranges[-1][1] + 1 == sequence:
            self._ranges[-1][1] = sequence
        else:
            self._ranges.append([sequence, sequence])

    def numbers(self) -> list[int]:
        """Return every number that waits."""
        return [number for first, last in self._ranges for number in range(first, last + 1)]

    def body(self, sequence: int) -> bytes:
        """Return the body of an event that is not written yet."""
        data = self._journal.buffered(sequence)
        record = record_at(data, 0) if data is not None else None
        assert record is not None
        return record.body

    def first(self) -> tuple[int, bytes]:
        """Return number and body of the next event. Raises StorageError when it cannot be read back."""
        sequence = self._ranges[0][0]
        return sequence, self._read(sequence).body

    def drop_first(self) -> None:
        """Remove the next event, which is in memory now."""
        front = self._ranges[0]
        front[0] += 1
        self.count -= 1
        if front[0] > front[1]:
            self._ranges.popleft()
        if not self._ranges:
            self._close()

    def read_all(self, sequences: list[int]) -> Iterator[bytes]:
        """Yield the bodies of events that an earlier process wrote, in the order of ``sequences`` (ascending)."""
        if not sequences:
            return
        reader = _Reader(self._journal.directory, *self._journal.locate(sequences[0], forget=False))
        try:
            for sequence in sequences:
                record = reader.seek(sequence)
                if record is None:
                    raise StorageError(
                        f"{self._journal.directory}: event {sequence} is not in the journal any more"
                    )
                yield record.body
        finally:
            reader.close()

    def _read(self, sequence: int) -> Record:
        data = self._journal.buffered(sequence)
        if data is not None:
            record = record_at(data, 0)
            assert record is not None
            return record
        if self._file is None:
            self._file = _Reader(self._journal.directory, *self._journal.locate(sequence))
        found = self._file.seek(sequence)
        if found is None:  # the place is outdated, or its file is gone: read again from the right file
            self._close()
            self._file = _Reader(self._journal.directory, *self._journal.locate(sequence))
            found = self._file.seek(sequence)
        if found is None:
            raise StorageError(f"{self._journal.directory}: event {sequence} cannot be read back from the journal")
        return found

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class _Reader:
    """A forward reader of the records in the files of a journal that is being written."""

    def __init__(self, directory: Path, path: Path, place: Place) -> None:
        self._directory = directory
        self._open(path, place)

    def _open(self, path: Path, place: Place) -> None:
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StorageError(f"{path}: cannot read the journal back: {error.strerror}") from error
        self._first, self._offset = place
        self._data, self._at = b"", 0

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def seek(self, sequence: int) -> Record | None:
        """Return the event's record, skipping all before it; None when it does not come."""
        while (record := self._next()) is not None:
            if record.key and record.sequence >= sequence:
                return record if record.sequence == sequence else None
        return None

    def _next(self) -> Record | None:
        while True:
            record = record_at(self._data, self._at)
            if record is not None:
                self._at = record.end
                return record
            if not self._more() and not self._next_file():
                return None

    def _more(self) -> bool:
        """Read on; more than once when a record is larger than what was read."""
        rest = self._data[self._at :]
        self._offset += self._at
        want = max(_CHUNK, 2 * len(rest))
        data = os.pread(self._fd, want, self._offset)
        grown = len(data) > len(rest)
        self._data, self._at = data, 0
        return grown

    def _next_file(self) -> bool:
        for first, path in segment_paths(self._directory):
            if first > self._first:
                self.close()
                self._open(path, Place(first, 0))
                return True
        return False


class SpillQueue(BoundedQueue):
    """The P0 queue of a session with a journal. ``capacity`` is the window in memory; producers never wait for it.

    While lanes hold ``most_held`` events, new ones stay in the journal too: a slow handler on another lane must not
    fill the memory. ``on_read`` is called with the number and body of every event that comes back into memory and
    returns it (None: it is dropped), ``on_broken`` with the error of a failed read: those events stay in the
    journal, and nothing overtakes them.
    """

    __slots__ = ("_broken", "_on_broken", "_on_read", "_spill", "_tail", "most_held")

    def __init__(
        self,
        config: QueueConfig,
        journal: Journal,
        spill: Spill,
        *,
        most_held: int,
        on_read: Callable[[int, bytes], Event | None],
        on_broken: Callable[[StorageError], None],
    ) -> None:
        super().__init__(config)
        self._lock = journal.lock  # type: ignore[assignment]  # one lock for both, taken again while it is held
        self._spill = spill
        self.most_held = most_held
        self._on_read = on_read
        self._on_broken = on_broken
        self._broken = False
        self._tail: deque[Event] = deque()

    def place(self, event: Event, sequence: int) -> bool:
        """Add an event just journalled (``sequence`` 0: that failed); return whether it stays in memory."""
        self._accepted += 1
        stays = True
        if event.event_type is _STOP or not (self._spill.count or self._tail or self._is_full()):
            self._store(event)
        elif sequence:
            self._spill.add(sequence)
            self.overflow_count += 1
            stays = False
        elif self._spill.count or self._tail:
            self._tail.append(event)
        else:
            self.items.append(event)
        self.note_depth()
        return stays

    def _is_full(self) -> bool:
        return len(self.items) >= self.capacity or self.held >= self.most_held

    def put_overflow(self, event: Event) -> bool:
        return self.put_nowait(event)  # what waits in the journal goes first

    def release(self, count: int) -> bool:
        with self._lock:
            self.held -= count
            if self.items or not self._spill.count:  # taking the next one refills
                return False
            self._bring_back()
            return bool(self.items)

    def size(self) -> int:
        return len(self.items) + self._spill.count + len(self._tail)

    def note_depth(self) -> int:
        depth = self.size()
        if depth > self.high_water:
            self.high_water = depth
        return depth

    def pending(self) -> list[Event]:
        """Return the events in memory; those in the journal are known by number."""
        with self._lock:
            return [*self.items, *self._tail]

    def _add(self, event: Event) -> bool:
        self.place(event, 0)
        return True

    def _store(self, event: Event) -> None:
        if event.event_type is _STOP:
            self.items.insert(self._stops, event)
            self._stops += 1
        else:
            self.items.append(event)

    def _take(self) -> Event:
        self._bring_back()
        event: Event = self.items.popleft()
        self.taken += 1
        if self._stops:
            self._stops -= 1
        return event

    def _bring_back(self) -> None:
        """Fill the window again once half of it is free and the lanes are not full."""
        if self._spill.count and len(self.items) <= self.capacity // 2 + 1:
            if self.held < self.most_held and not self._broken:
                self._refill()
        elif self._tail and not self._spill.count:
            self.items.extend(self._tail)
            self._tail.clear()

    def _refill(self) -> None:
        """Bring the next events back into memory, one more than fit while the oldest is about to leave.

        Events that cannot be decoded are skipped. An event leaves the spill when it is in memory, so a failure in
        between loses none.
        """
        fit = min(len(self.items) + _REFILL, self.capacity + 1)
        try:
            while self._spill.count and len(self.items) < fit:
                event = self._on_read(*self._spill.first())
                if event is not None:
                    self.items.append(event)
                self._spill.drop_first()
        except StorageError as error:
            self._broken = True
            self._on_broken(error)
