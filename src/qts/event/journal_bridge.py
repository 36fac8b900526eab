"""The bridge between journal and dispatcher: numbers of events, their outcomes, the replay after a restart."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import force_setattr

from qts.clock import stopwatch_ns
from qts.errors import ContractError, StorageError
from qts.event.ack_waiters import AckCallback
from qts.event.codec import pack_event, unpack_event
from qts.event.config import EventConfig
from qts.event.contracts import Event
from qts.event.dead_letter import DeadLetterQueue
from qts.event.journal import Journal
from qts.event.journal_key import pack_key
from qts.event.journal_recovery import Unfinished
from qts.event.journal_segments import Mark, check_size
from qts.event.journal_spill import Spill, SpillQueue
from qts.event.work import HandlerRegistration, InFlightEvent, PriorityLevel
from qts.files import private_opener
from qts.threads import off_loop

QUARANTINE: Final = "quarantine"
"""The directory beside the journal's files for stored events that cannot be understood any more."""
DEAD_LETTERS: Final = "dead-letters.jsonl"
OnCode = Callable[[str, str], None]


class _Retry:
    """A dead-lettered event that is replayed: its number, and how many of its letters have no outcome yet."""

    __slots__ = ("open", "sequence")

    def __init__(self, sequence: int) -> None:
        self.sequence = sequence
        self.open = 0


class JournaledIngress:
    """The path of a P0 event: into the journal, into the queue, and a mark when every handler is done with it."""

    def __init__(
        self,
        journal: Journal,
        config: EventConfig,
        letters: DeadLetterQueue,
        *,
        on_code: OnCode,
        on_broken_queue: Callable[[Exception], None],
    ) -> None:
        self.journal = journal
        self._config = config
        self._letters = letters
        self._on_code = on_code
        self._on_broken_queue = on_broken_queue
        self._spill = Spill(journal)
        self._numbers: dict[int, tuple[int, Event]] = {}
        """By ``id(event)``: the number of every event in memory that is not done, and the event itself, so
        that no other one can get its address."""
        self._parked: dict[str, int] = dict(journal.parked)
        self._withdrawn: set[int] = set()
        """Numbers of events that this process has taken back; a checkpoint names them, because a kill may be faster
        than their marks. Bounded by what was left when it started, and by what operators skip."""
        self._to_replay: list[str] = []
        self._retries: dict[str, _Retry] = {}
        """By event id: dead-lettered events of which letters are being replayed."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[Unfinished] | None = journal.unfinished
        self.duplicates = self.quarantined = 0
        self.queue = self.new_queue()
        journal.set_failure_callback(self._failed)

    def new_queue(self) -> SpillQueue:
        """Make and return the P0 queue; a new one continues with what waits in the journal."""
        self.queue = SpillQueue(
            self._config.queue_configs.p0,
            self.journal,
            self._spill,
            most_held=self._config.lane_backlog,
            on_read=self._read_back,
            on_broken=self._cannot_read,
        )
        return self.queue

    def run_on(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Report failures on ``loop``; None: on the thread where they happen."""
        self._loop = loop

    # -- accepting and finishing -------------------------------------------------------------------------------

    def accept(self, event: Event) -> int:
        """Accept an event from any thread: journal and queue it; return its number, 0 when the journal has failed.

        It is queued even then: a fill must be handled although it cannot be acknowledged. An event object that
        is queued already is not accepted twice. Raises ContractError when it cannot be stored.
        """
        journal = self.journal
        if self._waiting is not None:
            self.replay()
        key, body = self._key(event), pack_event(event)
        check_size(key, body)
        sequence = 0
        with journal.lock:
            known = self._numbers.get(id(event))
            if known is not None:
                self.duplicates += 1
                return known[0]
            if journal.failure is None:
                sequence = journal.append_locked(key, body)
            try:
                stays = self.queue.place(event, sequence)
            except Exception as error:  # noqa: BLE001 - whatever broke the queue, the event goes into the next one
                broken: Exception | None = error
            else:
                broken = None
                if stays and sequence:
                    self._numbers[id(event)] = (sequence, event)
        if broken is not None:
            self._on_broken_queue(broken)
            self._place_in_new_queue(event, sequence)
        return sequence

    def _place_in_new_queue(self, event: Event, sequence: int) -> None:
        with self.journal.lock:
            if self.queue.place(event, sequence) and sequence:
                self._numbers[id(event)] = (sequence, event)

    def wait_for_room(self, patience_s: float, on_stall: Callable[[], None]) -> None:
        """Wait, in a thread, until the disk has caught up a little; not longer than ``patience_s``."""
        with contextlib.suppress(StorageError):  # the journal has failed: the event is handled nevertheless
            if not self.journal.wait_for_room(patience_s):
                on_stall()

    def done(self, event: Event, dead: bool) -> None:
        """Mark an event that every handler has finished with; ``dead``: one of them dead-lettered it."""
        known = self._numbers.pop(id(event), None)
        sequence = known[0] if known is not None else 0
        if self._retries:
            tried = self._retries.get(event.event_id)
            if tried is not None and sequence in (0, tried.sequence):  # 0: its letters share the event
                sequence, dead = self._note_retry_outcome(event, tried, dead)
        if not sequence:
            return
        if dead:
            self._parked[event.event_id] = sequence
        self.journal.mark_done(sequence, Mark.PARKED if dead else Mark.APPLIED)

    def _note_retry_outcome(self, event: Event, tried: _Retry, dead: bool) -> tuple[int, bool]:
        """Count the outcome of one letter; return the event's number and whether a letter is left.

        The number is 0 until all letters that are replayed have their outcome.
        """
        tried.open -= 1
        if tried.open:
            return 0, False
        del self._retries[event.event_id]
        return tried.sequence, dead or self._letters.find(event.event_id) is not None

    def reopen(self, event: Event) -> None:
        """Note that a dead letter is given to its handler again; the event may have others, of other handlers."""
        sequence = self._parked.pop(event.event_id, 0)
        if sequence:
            self._retries[event.event_id] = _Retry(sequence)
            if event.event_id not in self._to_replay:  # else the operator's mark is there already
                self.journal.mark_done(sequence, Mark.REOPENED)
        known = self._numbers.get(id(event))
        if (
            known is not None and event.event_id not in self._retries
        ):  # another handler still tries it the first time
            first = self._retries[event.event_id] = _Retry(known[0])
            first.open = 1
        tried = self._retries.get(event.event_id)
        if tried is not None:
            tried.open += 1
            self._numbers[id(event)] = (tried.sequence, event)
        if event.event_id in self._to_replay:
            self._to_replay.remove(event.event_id)

    def skip(self, event: Event) -> None:
        """Withdraw a dead letter that the operator dealt with by hand: its handler does not get it any more."""
        others = sum(letter.event.event_id == event.event_id for letter in self._letters) > 1
        sequence = 0 if others else self._parked.pop(event.event_id, 0)
        if sequence:
            self.journal.mark_done(sequence, Mark.REOPENED)
            self._withdraw(sequence)

    def _withdraw(self, sequence: int) -> None:
        self._withdrawn.add(sequence)
        self.journal.mark_done(sequence, Mark.WITHDRAWN)

    async def acknowledged(self, sequence: int) -> None:
        """Return once the event is on disk. Raises StorageError when it will never be."""
        if not sequence:
            raise self.journal.failure or StorageError("the event is not in the journal")
        await self.journal.acknowledged(sequence)

    def when_acknowledged(self, sequence: int, callback: AckCallback) -> None:
        """Call ``callback`` on the writer's thread once the event is on disk, or with the error if it never is."""
        if sequence:
            self.journal.when_acknowledged(sequence, callback)
        else:
            callback(self.journal.failure)

    async def flush(self) -> None:
        """Return once everything is on disk; the failure of a journal was reported already."""
        with contextlib.suppress(StorageError):
            await off_loop(self.journal.flush)

    # -- after a restart ---------------------------------------------------------------------------------------

    @property
    def needs_replay(self) -> bool:
        """Return whether :meth:`replay` has not been called yet."""
        return self._waiting is not None

    def reopened(self) -> list[str]:
        """Return ids of the events of dead letters that the operator wants replayed, one for each letter."""
        return list(self._to_replay)

    def replay(self, withdraw: Callable[[Event], bool] | None = None) -> int:
        """Queue what an earlier process accepted and did not finish, in order; return the number of events.

        Events for which ``withdraw`` returns True are withdrawn instead: their source sends them again by itself.
        An event that the operator opened again is always queued: no source sends it.
        """
        with self.journal.lock:
            waiting, self._waiting = self._waiting or [], None
            count = 0
            bodies = self._spill.read_all([one.sequence for one in waiting])
            for one, body in zip(waiting, bodies, strict=True):
                event = self._decoded(one.sequence, body)
                if event is not None:
                    count += self._replay_one(one, event, withdraw)
        return count

    def _replay_one(self, one: Unfinished, event: Event, withdraw: Callable[[Event], bool] | None) -> bool:
        letters = sum(letter.event.event_id == one.event_id for letter in self._letters) if one.reopened else 0
        if letters:
            self._parked[one.event_id] = one.sequence
            self._to_replay += [one.event_id] * letters
            return False  # counted when its letters are given to their handlers
        if not one.reopened and withdraw is not None and withdraw(event):
            self._withdraw(one.sequence)
            return False
        self._forget_letters(event)
        force_setattr(event, "accepted_ns", stopwatch_ns())  # the stamp belongs to another process
        if self.queue.place(event, one.sequence):
            self._numbers[id(event)] = (one.sequence, event)
        return True

    def _forget_letters(self, event: Event) -> None:
        """Remove the letters of an event that is handled again from the start."""
        while (letter := self._letters.find(event.event_id)) is not None:
            self._letters.remove(letter)

    def _read_back(self, sequence: int, body: bytes) -> Event | None:
        event = self._decoded(sequence, body)
        if event is not None:
            self._numbers[id(event)] = (sequence, event)
        return event

    def _decoded(self, sequence: int, body: bytes) -> Event | None:
        """Return the stored event; None when it cannot be decoded: then its bytes are kept in the quarantine."""
        try:
            return unpack_event(body)
        except ContractError as error:
            self._quarantine(sequence, body, error)
            return None

    def _quarantine(self, sequence: int, body: bytes, error: ContractError) -> None:
        path = self.journal.directory / QUARANTINE / f"{sequence}.msgpack"
        self.quarantined += 1
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            with open(path, "wb", opener=private_opener) as file:
                file.write(body)
        except OSError as failure:
            raise StorageError(f"{path}: cannot keep an event that cannot be decoded: {failure}") from failure
        self.journal.mark_done(sequence, Mark.PARKED)
        self._on_loop(
            lambda: self._on_code("FS098", f"P0 event {sequence} of the journal: {error}; kept in {path}")
        )

    # -- checkpoints -------------------------------------------------------------------------------------------

    def export(self, unfinished: Iterable[Event]) -> dict[str, Any]:
        """Return the journal's share of a checkpoint: all up to ``last`` that is not ``open`` has had its effect.

        ``unfinished`` are the events in memory that no handler, or not every handler, has finished with.
        """
        journal = self.journal
        with journal.lock:
            journal.freeze()
            known = (self._numbers.get(id(event)) for event in unfinished)
            last, failed = journal.next_sequence - 1, journal.failure is not None
            # A journal that works holds all of them before this is stored; what a failed one lacks is exported too.
            held = journal.synced if failed else last
            spilled = self._spill.numbers()
            numbers = {one[0] for one in known if one is not None}.union(spilled)
            return {
                "last": last,
                "held": held,
                "open": sorted(number for number in numbers if number <= held),
                "withdrawn": sorted(self._withdrawn),
                "lacks": [self._spill.body(number) for number in spilled if number > held],
            }

    def restore(self, share: Mapping[str, Any] | None, restored: Sequence[Event]) -> None:
        """Reconcile with a checkpoint: ``restored`` are the events it brought back into memory.

        Events it has done are marked, those it holds are not queued again, and the rest is left for :meth:`replay`.
        Events that it holds and the journal lacks are appended, and numbers continue behind the last of both.
        Raises StorageError when an event is open that neither of them holds.
        """
        last, open_ = (share["last"], set(share["open"])) if share is not None else (0, set())
        if share is not None:
            self._withdrawn.update(share["withdrawn"])
        self.journal.continue_after_number(last)
        with self.journal.lock:
            left, spilled = self._reconciled(last, open_, {event.event_id: event for event in restored})
            for sequence in spilled:
                self._spill.add(sequence)
            self._append_missing(restored, share["lacks"] if share is not None else [])
        if open_:
            raise StorageError(
                f"{self.journal.directory}: the checkpoint waits for event {min(open_)}, which the journal does "
                "not hold: a file of it is missing or older than the store. Put it back, then resume"
            )
        self._waiting = left
        self._withdrawn.intersection_update(
            one.sequence for one in self.journal.unfinished
        )  # the others are marked
        self.journal.freeze()  # what was marked here is what the checkpoint on disk holds
        self.journal.commit()

    def _reconciled(
        self, last: int, open_: set[int], by_id: Mapping[str, Event]
    ) -> tuple[list[Unfinished], list[int]]:
        """Return what the checkpoint does not know, and the numbers that wait in the files.

        ``open_`` keeps the numbers that the journal lacks.
        """
        left, spilled = [], []
        for one in self._waiting or []:
            event = by_id.get(one.event_id)
            if event is not None:
                self._numbers[id(event)] = (one.sequence, event)
            elif one.sequence <= last and one.sequence in open_:
                spilled.append(one.sequence)
            elif one.sequence <= last and not one.reopened:
                self.journal.mark_done(one.sequence, self._mark_of(one))
            else:
                left.append(one)
            open_.discard(one.sequence)
        return left, spilled

    def _mark_of(self, one: Unfinished) -> Mark:
        """Return the outcome, by the checkpoint, of an event whose mark a kill has prevented."""
        if one.sequence in self._withdrawn:
            return Mark.WITHDRAWN
        return Mark.APPLIED if self._letters.find(one.event_id) is None else Mark.PARKED

    def _append_missing(self, restored: Iterable[Event], lacking: Sequence[bytes]) -> None:
        """Append what only the checkpoint has: of the events it brought back, and the bodies it kept."""
        for event in restored:
            known = id(event) in self._numbers or event.event_id in self._parked
            if not known and self._letters.find(event.event_id) is None:
                sequence = self.journal.append_locked(self._key(event), pack_event(event))
                self._numbers[id(event)] = (sequence, event)
        for body in lacking:
            self._spill.add(self.journal.append_locked(self._key(unpack_event(body)), body))

    def _key(self, event: Event) -> bytes:
        return pack_key(event.event_id, self.journal.identify(event.body))

    # -- failures ----------------------------------------------------------------------------------------------

    def _cannot_read(self, error: StorageError) -> None:
        self.journal.fail_reading(error)
        self._on_loop(lambda: self._on_code("FS096", f"{error}; trading is suspended"))

    def _failed(self, failure: StorageError) -> None:
        self._on_loop(lambda: self._on_code("FS096", f"{failure}; trading is suspended"))

    def _on_loop(self, call: Callable[[], None]) -> None:
        """Call on the loop when there is one: the caller may hold the lock or be the writer's thread."""
        loop = self._loop
        if loop is None:
            call()
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: no trading there any more
            loop.call_soon_threadsafe(call)


def events_in_memory(
    level: PriorityLevel, in_lane: Callable[[HandlerRegistration], Iterable[InFlightEvent]]
) -> list[Event]:
    """Return the events of ``level`` that are queued, held or in a lane."""
    events = level.queue.pending()
    for registration in level.registrations:
        for blocked in registration.blocked_keys.values():
            events += [blocked.flight.event, *(flight.event for flight in blocked.waiting)]
        events += [flight.event for flight in in_lane(registration)]
    return events
