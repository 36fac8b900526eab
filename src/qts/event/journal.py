"""The write-ahead journal of P0 events, as its producers see it: on disk before an event is acknowledged.

Events are appended by any thread and written by one (:mod:`qts.event.journal_writer`): it takes all that has
gathered, writes it with one call, syncs once and resolves the waiters of its events. While it syncs the next group
gathers. The outcomes of events (their marks) are written with the groups. :mod:`qts.event.journal_index` knows
where events lie.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qts.errors import StateError, StorageError
from qts.event.ack_waiters import AckCallback, resolve
from qts.event.config import JournalConfig
from qts.event.journal_buffer import JournalBuffer
from qts.event.journal_index import JournalIndex
from qts.event.journal_key import no_identity
from qts.event.journal_marks import Marks
from qts.event.journal_recovery import Place, Recovered, Unfinished, recover
from qts.event.journal_segments import JournalDirectory, Mark, Run, StoreNote, check_size, pack_record, run_bytes
from qts.event.journal_writer import JournalWriter


class Journal:
    """The journal in ``directory``, made when missing, of the run ``run_id`` (16 ASCII characters).

    Opening is recovery: a torn end is cut off (see ``torn``), damage in the middle and another run's
    journal are refused. Events that were accepted and have no outcome are in ``unfinished``, in order.

    With ``checkpointed`` an event counts as applied only when a checkpoint that contains its effect is on disk:
    :meth:`freeze` belongs to the moment at which the checkpoint is taken, :meth:`commit` to the moment after it was
    stored. ``check`` is called with what was found before anything is changed, and may raise. Raises StorageError
    when the directory cannot be used, StateError when another process has it.
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
        self.identify: Callable[[Any], Sequence[str] | None] = no_identity
        """Returns the identity of the execution in an event's body; None: it holds none."""
        self._checkpointed = checkpointed
        self._run = run_bytes(run_id)
        self._held = JournalDirectory(self.directory)
        try:
            found = recover(self.directory, run_id)
            if check is not None:
                check(found)
            marks = Marks(found.noted, checkpointed=checkpointed)
            self._buffer = JournalBuffer(found.next_sequence, marks, len(found.unfinished))
            self._index = JournalIndex(self.directory, found)
            self._writer = JournalWriter(
                self.directory, self._run, self.config, self._held, self._buffer, self._index
            )
            self._writer.start(found.torn)
        except BaseException:
            self._held.close()
            raise
        self.lock = self._buffer.lock
        self._next = found.next_sequence
        self._records = self._buffer.records
        self._signal = self._buffer.signal
        self.torn = found.torn
        self.unfinished: list[Unfinished] = found.unfinished
        self.parked: dict[str, int] = {one.event_id: number for number, one in found.parked.items()}
        """Numbers of events dead-lettered by an earlier process, by event id."""
        self.last_numbers = found.last_numbers

    @property
    def failure(self) -> StorageError | None:
        """Return why nothing is written any more; None while the journal works."""
        return self._buffer.failure

    @property
    def must_exit(self) -> bool:
        """Return whether the disk's content is unknown (failed sync, unreadable records): the process must end."""
        return self._buffer.must_exit

    @property
    def synced(self) -> int:
        """Return the number of the last event that is on disk."""
        return self._buffer.synced

    @property
    def groups(self) -> int:
        """Return the number of groups of events and marks that were written and synced."""
        return self._writer.groups

    def set_failure_callback(self, callback: Callable[[StorageError], None]) -> None:
        """Call ``callback`` when the journal fails, on the writer's thread, after the waiters."""
        self._writer.on_failure = callback

    # -- appending ---------------------------------------------------------------------------------------------

    def append(self, key: str, body: bytes) -> int:
        """Add an event and return its sequence number. It is durable once it is acknowledged (:meth:`wait`).

        Raises ContractError for a key or body no record can hold, StorageError after a failure.
        """
        raw = key.encode("utf-8", "surrogatepass")
        check_size(raw, body)
        with self.lock:
            return self.append_locked(raw, body)

    def append_locked(self, key: bytes, body: bytes) -> int:
        """Add an event as :meth:`append` does, for a caller that holds ``lock`` and has checked the sizes."""
        buffer = self._buffer
        if buffer.failure is not None or buffer.closing:
            raise buffer.failure or StateError(f"{self.directory}: the journal is closed")
        sequence = self._next
        record = pack_record(sequence, self._run, key, body)
        self._next = sequence + 1
        records = self._records
        records.add(record)
        buffer.open += 1
        if len(records.gathered) == self.config.max_group:
            self._signal.full.set()
        self._signal.event_came()
        return sequence

    @property
    def next_sequence(self) -> int:
        """Return the number that the next event gets."""
        return self._next

    @property
    def crowded(self) -> bool:
        """Return whether more waits to be written than ``buffer_bytes``: producers that can wait should."""
        return self._records.size > self.config.buffer_bytes

    def mark_done(self, sequence: int, mark: Mark) -> None:
        """Note the outcome of an event; it is written with one of the next groups."""
        buffer = self._buffer
        with self.lock:
            buffer.open += 1 if mark is Mark.REOPENED else -1
            buffer.marks.add(mark, sequence)
            if self._checkpointed:
                return
            if mark is Mark.REOPENED:
                self._signal.wake_now()
            else:
                self._signal.mark_came()

    def note_store(self, store: str, checkpoint: int) -> None:
        """Note the run's store, by the time it was begun, and the number of its newest checkpoint (0: none)."""
        with self.lock:
            self._buffer.marks.note = StoreNote(store, checkpoint)

    def freeze(self) -> None:
        """Note that a checkpoint is being taken: it contains the effects of all that is done so far."""
        with self.lock:
            self._buffer.marks.freeze()

    def commit(self, checkpoint: int | None = None) -> None:
        """Note that the checkpoint of the last :meth:`freeze` is on disk: its events may be marked as done.

        ``checkpoint`` is its number, None when the store is unknown.
        """
        with self.lock:
            self._buffer.marks.commit(checkpoint)
            if self._buffer.marks.are_due:
                self._signal.wake_now()

    def continue_after_number(self, last: int) -> None:
        """Skip numbers up to ``last``: a checkpoint names them, though the journal does not hold them."""
        if last < self._next:
            return
        self.flush()  # what is under way has the numbers before
        with self.lock:
            self._buffer.skip = Run(Mark.SKIPPED, self._next, last - self._next + 1)
            self._next = self._records.first = last + 1
            self._buffer.synced = last

    # -- waiting -----------------------------------------------------------------------------------------------

    def when_acknowledged(self, sequence: int, callback: AckCallback) -> None:
        """Call ``callback`` once the event is on disk or the journal has failed; on the writer's thread."""
        self._add_waiter(sequence, None, callback)

    async def acknowledged(self, sequence: int) -> None:
        """Return once the event is on disk. Raises StorageError when it will never be."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._add_waiter(sequence, loop, future)
        await future

    def wait(self, sequence: int, timeout_s: float | None = None) -> bool:
        """Block until the event is on disk; False after the timeout. Raises StorageError after a failure."""
        done = threading.Event()
        self.when_acknowledged(sequence, lambda error: done.set())
        finished = done.wait(timeout_s)
        if self.failure is not None:
            raise self.failure
        return finished

    def wait_for_room(self, timeout_s: float) -> bool:
        """Block until half of what waits to be written is on disk; False after the timeout."""
        return self.wait(self._records.first + len(self._records.gathered) // 2, timeout_s)

    def flush(self) -> None:
        """Block until every event and every committed mark is on disk. Raises StorageError after a failure."""
        done = threading.Event()
        with self.lock:
            if self.failure is None and not self._buffer.closing:
                self._buffer.flushers.append(done)
                self._signal.wake_now()
            else:
                done.set()
        done.wait()
        if self.failure is not None:
            raise self.failure

    def _add_waiter(self, sequence: int, loop: asyncio.AbstractEventLoop | None, target: Any) -> None:
        with self.lock:
            waiting = sequence > self.synced and self.failure is None
            if waiting:
                self._buffer.waiters.add(sequence, loop, target)
        if not waiting:
            resolve([(sequence, 0, loop, target)], None if sequence <= self.synced else self.failure)

    # -- reading back ------------------------------------------------------------------------------------------

    def note_place(self, sequence: int) -> None:
        """Record where the group of this event will lie when it is written. The caller holds ``lock``."""
        if sequence >= self._records.first:
            self._index.request_place(sequence)

    def buffered(self, sequence: int) -> bytes | None:
        """Return the record of an event that is not written yet; None when it is in a file.

        The caller holds ``lock``.
        """
        return self._records.find(sequence)

    def locate(self, sequence: int, *, forget: bool = True) -> tuple[Path, Place]:
        """Return a file and a place in it at or before the event's record. The caller holds ``lock``."""
        return self._index.locate(sequence, forget=forget)

    # -- the end -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Write what is left, stop the thread and release the directory; may be called twice."""
        with self.lock:
            if self._buffer.closing:
                return
            self._buffer.closing = True
            self._signal.wake_now()
        self._writer.join()
        self._held.close()

    def raise_if_fatal(self) -> None:
        """Raise the StorageError after which the process has to end, if there was one."""
        if self.must_exit and self.failure is not None:
            raise self.failure

    def fail_reading(self, error: StorageError) -> None:
        """Note that records cannot be read back: nothing more is acknowledged."""
        self._buffer.must_exit = True
        self._buffer.failure = self._buffer.failure or error

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *about_an_error: object) -> None:
        self.close()
