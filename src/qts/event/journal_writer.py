"""The journal's writer: one thread that writes what has gathered, syncs it and resolves the waiters."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from qts.errors import StorageError
from qts.event.ack_waiters import ignore_failure, resolve
from qts.event.config import JournalConfig
from qts.event.journal_buffer import JournalBuffer
from qts.event.journal_index import JournalIndex, Segment
from qts.event.journal_segments import JournalDirectory, Run, Torn, encode_marks, pack_record
from qts.threads import start_thread

_LONGEST_WAIT_S: Final = 120.0  # twice the longest mark_ms: above mark_ms, no marks came during the last wait
_OUT_OF_FILES: Final = frozenset({24, 23})  # EMFILE, ENFILE


class JournalWriter:
    """The writer of ``buffer`` to the files of ``index``, group by group, from :meth:`start` to :meth:`join`.

    A write or sync that fails ends it: neither is ever repeated, because after a failed sync the content of the
    disk is unknown. ``on_failure`` is called then, on its thread, after the waiters. ``groups`` counts groups on
    disk.
    """

    def __init__(
        self,
        directory: Path,
        run: bytes,
        config: JournalConfig,
        held: JournalDirectory,
        buffer: JournalBuffer,
        index: JournalIndex,
    ) -> None:
        self.groups = 0
        self.on_failure: Callable[[StorageError], None] = ignore_failure
        self._directory = directory
        self._run = run
        self._config = config
        self._held = held
        self._buffer = buffer
        self._index = index
        self._wait_s = config.mark_ms / 1_000
        self._thread: threading.Thread | None = None

    def start(self, torn: Torn | None) -> None:
        """Open the last file, without its torn end, or begin the first one, and start the thread.

        Raises StorageError when the files cannot be written or there is no room for a thread.
        """
        try:
            if self._index.segments:
                self._fd = _reopened(self._index.newest, torn)
                self._held.sync()
            else:
                self._fd = self._begin_segment(self._buffer.records.first)
        except OSError as error:
            raise StorageError(f"{self._directory}: the journal cannot be written: {error.strerror}") from error
        try:
            self._thread = start_thread(self._live, "qts-journal")
        except StorageError:
            os.close(self._fd)
            raise

    def join(self) -> None:
        """Wait until the thread has written what is left, and close the file. ``buffer.closing`` is set before."""
        if self._thread is not None:
            self._thread.join()
        os.close(self._fd)

    # -- the thread --------------------------------------------------------------------------------------------

    def _live(self) -> None:
        try:
            while self._write_next_group():
                pass
        except Exception as error:  # noqa: BLE001 - whatever ends this thread, no waiter may wait without end
            self._buffer.must_exit = True
            self._fail(f"{type(error).__name__}: {error}")

    def _write_next_group(self) -> bool:
        """Write what has gathered; return False when that was the last."""
        self._gather()
        buffer = self._buffer
        with buffer.lock:
            group, first = buffer.records.take(self._config.max_group)
            cut = bool(buffer.records.gathered)  # more than one group: its rest comes before marks of it
            runs = buffer.marks.take(first + len(group) - 1 if cut else buffer.records.first)
            control, skip, buffer.skip = buffer.marks.bodies(runs), buffer.skip, None
            flushed, last = ([], False) if cut else (list(buffer.flushers), buffer.closing)
        if group or control or skip:
            self._wait_s = self._config.mark_ms / 1_000
            if not self._commit_group(group, first, runs, control, skip):
                return False
        else:
            self._wait_s = min(self._wait_s * 2, _LONGEST_WAIT_S)
        if flushed:
            with buffer.lock:
                buffer.flushers = [done for done in buffer.flushers if done not in flushed]
            for done in flushed:
                done.set()
        return not last

    def _gather(self) -> None:
        """Wait for something to write: marks wait ``mark_ms`` for an event, an event ``group_ms`` for others.

        After a group the writer waits as long for its marks; when none came it sleeps until the first of the next
        wakes it. So no mark waits longer, and only the first one wakes the thread.
        """
        buffer, signal, mark_s = self._buffer, self._buffer.signal, self._config.mark_ms / 1_000
        while True:
            with buffer.lock:
                if buffer.has_work:
                    return
                soon = buffer.marks.are_due or (buffer.open and self._wait_s <= mark_s)
                signal.idle, signal.waits_without_limit, signal.woken_by_mark = True, not soon, False
            if not signal.wakeup.acquire(timeout=mark_s if soon else -1):
                with buffer.lock:
                    if signal.idle:
                        signal.idle = False
                        return
                signal.wakeup.acquire()  # released between the two checks
            if not signal.woken_by_mark:
                break
        if self._config.group_ms and not buffer.closing:
            signal.full.clear()
            if not buffer.flushers and len(buffer.records.gathered) < self._config.max_group:
                signal.full.wait(self._config.group_ms / 1_000)

    def _commit_group(
        self, group: list[bytes], first: int, runs: list[Run], control: list[bytes], skip: Run | None
    ) -> bool:
        """Write and sync one group and resolve its waiters; return False when the journal has failed."""
        last = first + len(group) - 1
        records = [*group, *(pack_record(last, self._run, b"", body) for body in control)]
        if skip is not None:
            records.insert(0, pack_record(first - 1, self._run, b"", encode_marks([skip])))
        data = b"".join(records)
        try:
            # The record that skips numbers stands before them: in the file that ends there.
            segment = self._room(first) if skip is None else self._index.newest
            self._write(segment, data)
        except OSError as error:
            self._fail(f"{self._index.newest.path}: {error.strerror or error}")
            return False
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            self._buffer.must_exit = True
            self._fail(f"{segment.path}: the disk did not confirm: {error.strerror or error}")
            return False
        with self._buffer.lock:
            self._buffer.records.written()
            self._index.written(segment, last, len(group), len(data))
            self._index.marked(runs)
        self.groups += 1
        if group:
            self._announce(last)
        if runs:
            self._prune()
        return True

    def _announce(self, synced: int) -> None:
        """Resolve the waiters whose event is on disk now."""
        with self._buffer.lock:
            self._buffer.synced = synced
            ready = self._buffer.waiters.take(synced)
        resolve(ready, None)

    def _fail(self, what: str) -> None:
        buffer = self._buffer
        with buffer.lock:
            failure = buffer.failure = StorageError(
                f"the journal failed and is not written any more: {what}. Nothing after event {buffer.synced} was "
                "acknowledged; make room or replace the disk, then start again"
            )
            waiters = buffer.waiters.take()
            flushers, buffer.flushers = buffer.flushers, []
        for done in flushers:
            done.set()
        resolve(waiters, failure)
        self.on_failure(failure)

    # -- files -------------------------------------------------------------------------------------------------

    def _room(self, first: int) -> Segment:
        """Return the file to write to: a new one when the last is full."""
        segment = self._index.newest
        if segment.size < self._config.segment_bytes or segment.first == first:
            return segment
        try:
            fd = self._begin_segment(first)
        except OSError as error:
            if error.errno in _OUT_OF_FILES:
                return segment  # the file that is open goes on; a full table of files must not stop a fill
            raise
        os.close(self._fd)
        self._fd = fd
        return self._index.newest

    def _begin_segment(self, first: int) -> int:
        segment = Segment(self._directory, first)
        fd = os.open(segment.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._sync_names()
        except OSError:
            os.close(fd)
            raise
        with self._buffer.lock:
            self._index.segments.append(segment)
        return fd

    def _sync_names(self) -> None:
        try:
            self._held.sync()
        except OSError as error:
            self._buffer.must_exit = True  # as after any sync that failed
            raise OSError(error.errno, f"the disk did not confirm its files: {error.strerror}") from error

    def _write(self, segment: Segment, data: bytes) -> None:
        """Write with one call; a short write is a failure and is cut off, so that no half group is found later."""
        try:
            written = os.write(self._fd, data)
            if written != len(data):
                raise OSError(f"wrote {written} of {len(data)} bytes, the disk or the quota is full")
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, segment.size)
            raise

    def _prune(self) -> None:
        """Delete the oldest files while all of their events are done."""
        while (oldest := self._index.removable()) is not None:
            try:
                oldest.path.unlink(missing_ok=True)
            except OSError:
                return  # it is tried again with the next marks; an old file does no harm
            self._sync_names()
            with self._buffer.lock:
                self._index.segments.remove(oldest)


def _reopened(segment: Segment, torn: Torn | None) -> int:
    """Open the last file for appending, without its torn end.

    What another process wrote and did not sync is synced: it is relied on from here on.
    """
    fd = os.open(segment.path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        if torn is not None:
            os.ftruncate(fd, torn.offset)
        os.fdatasync(fd)
    except OSError:
        os.close(fd)
        raise
    return fd
