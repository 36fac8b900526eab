"""The buffer between producers and the journal's writer: records, marks, waiters, and the signal to wake it."""

from __future__ import annotations

import threading

from qts.errors import StorageError
from qts.event.ack_waiters import Waiters
from qts.event.journal_marks import Marks
from qts.event.journal_segments import Run


class Records:
    """The records of successive events: those that gather, and the group that is being written."""

    __slots__ = ("_writing", "_writing_first", "first", "gathered", "size")

    def __init__(self, first: int) -> None:
        self.gathered: list[bytes] = []
        """The number of the first of them is ``first``, their bytes are ``size``."""
        self.first = self._writing_first = first
        self.size = 0
        self._writing: list[bytes] = []

    def add(self, record: bytes) -> None:
        """Add the record of the next event."""
        self.gathered.append(record)
        self.size += len(record)

    def take(self, most: int) -> tuple[list[bytes], int]:
        """Return at most ``most`` records to be written now, and the number of the first."""
        first = self.first
        if len(self.gathered) <= most:
            group, self.gathered = self.gathered, []
        else:
            group, self.gathered = self.gathered[:most], self.gathered[most:]
        self.first = first + len(group)
        self.size -= sum(map(len, group))
        self._writing, self._writing_first = group, first
        return group, first

    def written(self) -> None:
        """Forget the group that was taken: it is on disk."""
        self._writing = []

    def find(self, sequence: int) -> bytes | None:
        """Return the record of an event that is not written yet; None when it is in a file."""
        if sequence >= self.first:
            return self.gathered[sequence - self.first]
        if sequence >= self._writing_first and self._writing:
            return self._writing[sequence - self._writing_first]
        return None


class WriterSignal:
    """The signal that wakes the sleeping writer, once for a burst; all but the wait is under the journal's lock.

    ``idle``: the writer sleeps, or is about to. ``waits_without_limit``: it sleeps without a limit.
    ``woken_by_mark``: it was woken by a mark alone, which may wait a little longer for an event to travel with.
    """

    __slots__ = ("full", "idle", "waits_without_limit", "wakeup", "woken_by_mark")

    def __init__(self) -> None:
        self.idle = self.waits_without_limit = self.woken_by_mark = False
        self.wakeup = threading.Lock()
        self.wakeup.acquire()
        self.full = threading.Event()

    def event_came(self) -> None:
        """Wake a writer that sleeps: there is an event to be written."""
        if self.idle:
            self.idle = False
            self.wakeup.release()

    def mark_came(self) -> None:
        """Wake a writer that sleeps without a limit: it sleeps with one from now on."""
        if self.waits_without_limit and self.idle:
            self.idle, self.woken_by_mark = False, True
            self.wakeup.release()

    def wake_now(self) -> None:
        """Wake the writer to write everything at once."""
        self.full.set()
        self.woken_by_mark = False
        if self.idle:
            self.idle = False
            self.wakeup.release()


class JournalBuffer:
    """Everything that producers and writer share, under ``lock``.

    ``synced`` is the last event that is on disk. After a ``failure`` nothing is written any more; ``must_exit``
    means that the content of the disk is unknown, so that the process has to end. ``open`` counts events without a
    mark.
    """

    def __init__(self, next_sequence: int, marks: Marks, open_: int) -> None:
        self.lock = threading.RLock()
        self.records = Records(next_sequence)
        self.marks = marks
        self.skip: Run | None = None
        """Numbers that are not used, to be written before the next event."""
        self.waiters = Waiters()
        self.flushers: list[threading.Event] = []
        self.signal = WriterSignal()
        self.open = open_
        self.synced = next_sequence - 1
        self.closing = False
        self.failure: StorageError | None = None
        self.must_exit = False

    @property
    def has_work(self) -> bool:
        """Return whether there is something that must not wait."""
        return bool(self.records.gathered or self.closing or self.flushers)
