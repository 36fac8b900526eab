"""The write-ahead journal of P0 events (spec 09, decision 1): on disk before anybody is told "received".

Events are appended by any thread and written by one: it takes all that has gathered, writes it with one call,
syncs once and tells everybody whose event was in it. While it syncs the next group gathers. What has become of
events (their marks) travels with the groups. A write or sync that fails ends the journal: it is never repeated,
because after a failed sync nobody knows what is on the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from qts.errors import StateError, StorageError
from qts.event.ack_waiters import Told, Waiters, nobody_listens, tell
from qts.event.config import JournalConfig
from qts.event.journal_buffer import Buffer
from qts.event.journal_key import tells_of_none
from qts.event.journal_marks import Marks
from qts.event.journal_recovery import Place, Recovered, Unsettled, recover
from qts.event.journal_segments import (
    Directory,
    Mark,
    Run,
    Segment,
    StoreNote,
    check_size,
    count_settled,
    encode_marks,
    pack_record,
    reopen,
    run_bytes,
)
from qts.threads import started

_LONGEST_NAP_S: Final = 120.0  # twice the longest mark_ms: a nap above mark_ms says that the last one was in vain
_OUT_OF_FILES: Final = frozenset({24, 23})  # EMFILE, ENFILE


class Journal:
    """The journal in ``directory``, made when missing, of the run ``run_id`` (16 ASCII characters).

    Opening is recovery: a torn end is cut off (``torn`` says what), damage in the middle and another run's
    journal are refused. What was accepted and not settled is in ``unsettled``, in order.

    With ``checkpointed`` an event counts as applied only when a checkpoint that contains its effect is on disk:
    :meth:`freeze` belongs to the moment at which the checkpoint is taken, :meth:`commit` to the moment after it
    was stored. ``check`` looks at what is there before anything is changed, and may raise. Raises StorageError when
    the directory cannot be used, StateError when another process has it.
    """

    def __init__(
        self,
        directory: Path,
        run_id: str,
        config: JournalConfig | None = None,
        *,
        checkpointed: bool = False,
        check: Callable[[Recovered], None] | None = None,
    ) -> None:
        self.directory = Path(directory)
        self.run_id = run_id
        self.config = config or JournalConfig()
        self._checkpointed = checkpointed
        self.lock = threading.RLock()
        self.failure: StorageError | None = None
        self.must_exit = False
        """After a failed sync or unreadable records nobody knows what is on the disk: the process has to end."""
        self.on_failure: Callable[[StorageError], None] = nobody_listens
        self.identify: Callable[[Any], Sequence[str] | None] = tells_of_none
        """The identity of the execution that an event's body tells of; None: of none."""
        self.groups = self.synced = 0
        self._run = run_bytes(run_id)
        self._held = Directory(self.directory)
        try:
            found = recover(self.directory, run_id)
            if check is not None:
                check(found)
            self._take_over(found)
            self._thread = started(self._live, "qts-journal")
        except BaseException:
            self._held.close()
            raise
        self.torn = found.torn
        self.unsettled: list[Unsettled] = found.unsettled
        self.parked: dict[str, int] = {one.event_id: number for number, one in found.parked.items()}
        """Dead-lettered by an earlier process, by event id."""
        self.last_numbers = found.last_numbers

    def _take_over(self, found: Recovered) -> None:
        self._segments = [Segment(self.directory, first) for first in sorted(found.events)]
        for segment in self._segments:
            segment.events, segment.size = found.events[segment.first], found.sizes[segment.first]
            segment.settled = segment.events
        self._places: dict[int, Place] = {}
        self._noted: list[int] = []
        for one in found.unsettled:
            self._places[one.sequence] = one.place
            self._segment_of(one.sequence).settled -= 1
        for sequence in found.parked:
            self._segment_of(sequence).settled -= 1
        self._parked = set(found.parked)
        self._next = found.next_sequence
        self.synced = found.next_sequence - 1
        self._fresh = Buffer(self._next)
        self._marks = Marks(found.noted, checkpointed=self._checkpointed)
        self._skip: Run | None = None
        self._open = len(found.unsettled)
        self._waiters = Waiters()
        self._flushers: list[threading.Event] = []
        self._idle = self._dozing = self._nudged = self._closing = False
        self._wake = threading.Lock()
        self._wake.acquire()
        self._full = threading.Event()
        self._nap_s = self.config.mark_ms / 1_000
        self._fd = self._open_segment(found)

    def _open_segment(self, found: Recovered) -> int:
        """Open the last file for appending, without its torn end, or begin the first one."""
        try:
            if not self._segments:
                return self._begin_segment(self._next)
            fd = reopen(self._segments[-1], found.torn)
            self._held.sync()
            return fd
        except OSError as error:
            raise StorageError(f"{self.directory}: the journal cannot be written: {error.strerror}") from error

    # -- appending ---------------------------------------------------------------------------------------------

    def append(self, key: str, body: bytes) -> int:
        """Add an event; its sequence number. It is durable once :meth:`tell` or :meth:`wait` says so.

        Raises ContractError for a key or body no record can hold, StorageError after a failure.
        """
        raw = key.encode("utf-8", "surrogatepass")
        check_size(raw, body)
        with self.lock:
            return self.append_locked(raw, body)

    def append_locked(self, key: bytes, body: bytes) -> int:
        """As :meth:`append`, for a caller that holds ``lock`` and has checked the sizes."""
        if self.failure is not None or self._closing:
            raise self.failure or StateError(f"{self.directory}: the journal is closed")
        sequence = self._next
        record = pack_record(sequence, self._run, key, body)
        self._next = sequence + 1
        self._fresh.add(record)
        self._open += 1
        if len(self._fresh.records) == self.config.max_group:
            self._full.set()
        if self._idle:
            self._idle = False
            self._wake.release()
        return sequence

    @property
    def next_sequence(self) -> int:
        """The number that the next event gets."""
        return self._next

    @property
    def crowded(self) -> bool:
        """Whether more waits to be written than ``buffer_bytes``: producers that can wait should."""
        return self._fresh.size > self.config.buffer_bytes

    def settle(self, sequence: int, mark: Mark) -> None:
        """Note what has become of an event; it is written with one of the next groups."""
        with self.lock:
            self._open += 1 if mark is Mark.REOPENED else -1
            self._marks.add(mark, sequence)
            if self._checkpointed:
                return
            if mark is Mark.REOPENED:
                self._rouse()
            elif self._dozing and self._idle:
                self._idle, self._nudged = False, True
                self._wake.release()

    def belongs_to(self, store: str, checkpoint: int) -> None:
        """The run's store, by the moment it was begun, and the number of its newest checkpoint (0: none)."""
        with self.lock:
            self._marks.note = StoreNote(store, checkpoint)

    def freeze(self) -> None:
        """A checkpoint is being taken: it contains the effects of all that is settled so far."""
        with self.lock:
            self._marks.freeze()

    def commit(self, checkpoint: int | None = None) -> None:
        """The checkpoint of the last :meth:`freeze` is on disk: what it contains may be marked as settled."""
        with self.lock:
            self._marks.commit(checkpoint)
            if self._marks.are_due:
                self._rouse()

    def go_on_after(self, last: int) -> None:
        """Numbers up to ``last`` are taken: a checkpoint names them, though the journal does not hold them."""
        if last < self._next:
            return
        self.flush()  # what is under way has the numbers before
        with self.lock:
            self._skip = Run(Mark.SKIPPED, self._next, last - self._next + 1)
            self._next = self._fresh.first = last + 1
            self.synced = last

    # -- waiting -----------------------------------------------------------------------------------------------

    def tell(self, sequence: int, told: Told) -> None:
        """Call ``told`` once the event is on disk or the journal has failed; on the writer's thread."""
        self._enlist(sequence, None, told)

    async def acknowledged(self, sequence: int) -> None:
        """Return once the event is on disk. Raises StorageError when it will never be."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._enlist(sequence, loop, future)
        await future

    def wait(self, sequence: int, timeout_s: float | None = None) -> bool:
        """Block until the event is on disk; False after the timeout. Raises StorageError after a failure."""
        done = threading.Event()
        self.tell(sequence, lambda error: done.set())
        finished = done.wait(timeout_s)
        if self.failure is not None:
            raise self.failure
        return finished

    def wait_for_room(self, timeout_s: float) -> bool:
        """Block until half of what waits to be written is on disk; False after the timeout."""
        return self.wait(self._fresh.first + len(self._fresh.records) // 2, timeout_s)

    def flush(self) -> None:
        """Block until every event and every committed mark is on disk. Raises StorageError after a failure."""
        done = threading.Event()
        with self.lock:
            if self.failure is None and not self._closing:
                self._flushers.append(done)
                self._rouse()
            else:
                done.set()
        done.wait()
        if self.failure is not None:
            raise self.failure

    def _enlist(self, sequence: int, loop: asyncio.AbstractEventLoop | None, target: Any) -> None:
        with self.lock:
            waiting = sequence > self.synced and self.failure is None
            if waiting:
                self._waiters.add(sequence, loop, target)
        if not waiting:
            tell([(sequence, 0, loop, target)], None if sequence <= self.synced else self.failure)

    # -- reading back ------------------------------------------------------------------------------------------

    def note_place(self, sequence: int) -> None:
        """Remember where the group of this event will lie when it is written. The caller holds ``lock``."""
        if sequence >= self._fresh.first:
            self._noted.append(sequence)

    def buffered(self, sequence: int) -> bytes | None:
        """The record of an event that is not written yet; None when it is in a file. The caller holds ``lock``."""
        return self._fresh.find(sequence)

    def locate(self, sequence: int, *, forget: bool = True) -> tuple[Path, Place]:
        """A file and a place in it at or before the event's record. The caller holds ``lock``."""
        segment = self._segment_of(sequence)
        place = self._places.pop(sequence, None) if forget else self._places.get(sequence)
        if place is None or place.first != segment.first:
            place = Place(segment.first, 0)
        return segment.path, place

    def _segment_of(self, sequence: int) -> Segment:
        firsts = [segment.first for segment in self._segments]
        return self._segments[max(bisect_right(firsts, sequence) - 1, 0)]

    # -- the end -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Write what is left, stop the thread and let go of the directory; may be called twice."""
        with self.lock:
            if self._closing:
                return
            self._closing = True
            self._rouse()
        self._thread.join()
        os.close(self._fd)
        self._held.close()

    def raise_if_fatal(self) -> None:
        """Raise the StorageError after which the process has to end, if there was one."""
        if self.must_exit and self.failure is not None:
            raise self.failure

    def broke(self, error: StorageError) -> None:
        """Records cannot be read back: nothing more is promised."""
        self.must_exit = True
        self.failure = self.failure or error

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *about_an_error: object) -> None:
        self.close()

    # -- the writer's thread -----------------------------------------------------------------------------------

    def _live(self) -> None:
        try:
            while self._work_off():
                pass
        except Exception as error:  # noqa: BLE001 - whatever ends this thread, nobody may wait for it for ever
            self.must_exit = True
            self._fail(f"{type(error).__name__}: {error}")

    def _work_off(self) -> bool:
        """Write what has gathered; False when that was the last."""
        self._gather()
        with self.lock:
            group, first = self._fresh.take(self.config.max_group)
            cut = bool(self._fresh.records)  # more than one group: its rest comes before anything is said of it
            runs = self._marks.take(first + len(group) - 1 if cut else self._next)
            said, skip, self._skip = self._marks.bodies(runs), self._skip, None
            flushed, last = ([], False) if cut else (list(self._flushers), self._closing)
        if group or said or skip:
            self._nap_s = self.config.mark_ms / 1_000
            if not self._commit_group(group, first, runs, said, skip):
                return False
        else:
            self._nap_s = min(self._nap_s * 2, _LONGEST_NAP_S)
        if flushed:
            with self.lock:
                self._flushers = [done for done in self._flushers if done not in flushed]
            for done in flushed:
                done.set()
        return not last

    def _gather(self) -> None:
        """Wait for something to write; marks ``mark_ms`` for an event, events with ``group_ms`` for company.

        After a group its marks are waited for as long; when none came the writer dozes until the first of the next
        nudges it. So none waits longer and none but the first wakes anybody.
        """
        mark_s = self.config.mark_ms / 1_000
        while True:
            with self.lock:
                if self._has_work():
                    return
                soon = self._marks.are_due or (self._open and self._nap_s <= mark_s)
                self._idle, self._dozing, self._nudged = True, not soon, False
            if not self._wake.acquire(timeout=mark_s if soon else -1):
                with self.lock:
                    if self._idle:
                        self._idle = False
                        return
                self._wake.acquire()  # released between the two looks
            if not self._nudged:
                break
        if self.config.group_ms and not self._closing:
            self._full.clear()
            if not self._flushers and len(self._fresh.records) < self.config.max_group:
                self._full.wait(self.config.group_ms / 1_000)

    def _has_work(self) -> bool:
        return bool(self._fresh.records or self._closing or self._flushers)

    def _rouse(self) -> None:
        self._full.set()
        self._nudged = False
        if self._idle:
            self._idle = False
            self._wake.release()

    def _commit_group(
        self, group: list[bytes], first: int, runs: list[Run], said: list[bytes], skip: Run | None
    ) -> bool:
        """Write and sync one group and tell about it; False when the journal has failed."""
        last = first + len(group) - 1
        records = [*group, *(pack_record(last, self._run, b"", body) for body in said)]
        if skip is not None:
            records.insert(0, pack_record(first - 1, self._run, b"", encode_marks([skip])))
        data = b"".join(records)
        try:
            # What explains a gap stands before it: in the file that ends there.
            segment = self._room(first) if skip is None else self._segments[-1]
            self._write(segment, data)
        except OSError as error:
            self._fail(f"{self._segments[-1].path}: {error.strerror or error}")
            return False
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            self.must_exit = True
            self._fail(f"{segment.path}: the disk did not confirm: {error.strerror or error}")
            return False
        self._account(segment, group, first, runs, len(data))
        self.groups += 1
        if group:
            self._announce(last)
        if runs:
            self._prune()
        return True

    def _room(self, first: int) -> Segment:
        """The segment to write to: a new one when the last is full."""
        segment = self._segments[-1]
        if segment.size < self.config.segment_bytes or segment.first == first:
            return segment
        try:
            fd = self._begin_segment(first)
        except OSError as error:
            if error.errno in _OUT_OF_FILES:
                return segment  # the file that is open goes on; a full table of files must not stop a fill
            raise
        os.close(self._fd)
        self._fd = fd
        return self._segments[-1]

    def _begin_segment(self, first: int) -> int:
        segment = Segment(self.directory, first)
        fd = os.open(segment.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._sync_names()
        except OSError:
            os.close(fd)
            raise
        with self.lock:
            self._segments.append(segment)
        return fd

    def _sync_names(self) -> None:
        try:
            self._held.sync()
        except OSError as error:
            self.must_exit = True  # as after any sync that failed
            raise OSError(error.errno, f"the disk did not confirm its files: {error.strerror}") from error

    def _write(self, segment: Segment, data: bytes) -> None:
        """One call; a short one is a failure, and its traces are cut off so that no half group is found later."""
        try:
            written = os.write(self._fd, data)
            if written != len(data):
                raise OSError(f"wrote {written} of {len(data)} bytes, the disk or the quota is full")
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, segment.size)
            raise

    def _account(self, segment: Segment, group: list[bytes], first: int, runs: list[Run], size: int) -> None:
        with self.lock:
            while self._noted and self._noted[0] < first + len(group):
                self._places[self._noted.pop(0)] = Place(segment.first, segment.size)
            self._fresh.written()
            segment.events += len(group)
            segment.size += size
            for run in runs:
                if run.mark is Mark.PARKED:  # not settled for good: its file stays for the operator
                    self._parked.update(range(run.first, run.first + run.length))
                elif run.mark is not Mark.REOPENED:
                    count_settled(self._segments, run, 1)
                elif run.first in self._parked:
                    self._parked.discard(run.first)
                else:
                    count_settled(self._segments, run, -1)

    def _announce(self, synced: int) -> None:
        """Tell everybody whose event is on disk now."""
        with self.lock:
            self.synced = synced
            ready = self._waiters.take(synced)
        tell(ready, None)

    def _prune(self) -> None:
        """Delete the oldest files while everything in them is applied; the one being written always stays."""
        while len(self._segments) > 1 and self._segments[0].settled >= self._segments[0].events:
            oldest = self._segments[0]
            try:
                oldest.path.unlink(missing_ok=True)
            except OSError:
                return  # it is tried again with the next marks; an old file does no harm
            self._sync_names()
            with self.lock:
                del self._segments[0]

    def _fail(self, what: str) -> None:
        with self.lock:
            self.failure = StorageError(
                f"the journal failed and is not written any more: {what}. Nothing after event {self.synced} was "
                "acknowledged; make room or replace the disk, then start again"
            )
            waiters = self._waiters.take()
            flushers, self._flushers = self._flushers, []
        for done in flushers:
            done.set()
        tell(waiters, self.failure)
        self.on_failure(self.failure)
