"""What happens after a handler failed: its event is tried again while other keys go on, then it is dead-lettered.

A *hold* belongs to one handler and one key (order id, else symbol). While it stands, later events of that key
wait behind it for that handler alone; other handlers and other keys are not held up.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from qts.clock import stopwatch_ns
from qts.errors import HalfDoneError, StateError, StorageError
from qts.event.config import EventConfig
from qts.event.contracts import Event, EventPriority, stored_id
from qts.event.dead_letter import DeadLetter, DeadLetterQueue
from qts.event.keys import order_key

if TYPE_CHECKING:
    from qts.event.engine import Level
    from qts.event.entry import Entry

BACKOFF_GROWTH: Final = 4
_P0: Final = EventPriority.P0_CRITICAL
_log: Final = logging.getLogger("qts.event")


class Flight:
    """An event that some handler has not finished with yet; it is counted once, when the last one has."""

    __slots__ = ("counted", "dead", "event", "level", "lost", "open", "started_ns", "waits")

    def __init__(self, event: Event, level: Level, started_ns: int, *, counted: bool = True) -> None:
        self.event = event
        self.level = level
        self.started_ns = started_ns
        self.open = 1
        self.dead = self.lost = self.waits = False
        self.counted = counted
        level.in_flight += counted

    def begin(self) -> None:
        """The first of its handlers begins: note how long it has waited since it was accepted, once."""
        if self.waits:
            self.waits = False
            self.started_ns = stopwatch_ns()
            self.level.wait.record(self.started_ns - self.event.accepted_ns)

    def done(self) -> None:
        """One handler has finished with the event, one way or the other."""
        self.open -= 1
        if self.open:
            return
        level = self.level
        if not (self.dead or self.lost):
            self.begin()  # finished without a handler's doing: nobody wanted it
        if level.on_done is not None:
            level.on_done(self.event, self.dead)
        if not self.counted:
            return
        level.in_flight -= 1
        if self.dead:
            level.dead_lettered += 1
        elif self.lost:
            level.lost += 1
        else:
            level.finished += 1
            level.work.record(stopwatch_ns() - self.started_ns)


class Hold:
    """A failing event of one handler and the later events of its key that wait behind it."""

    __slots__ = ("attempts", "entry", "flight", "key", "parked", "waiting")

    def __init__(self, entry: Entry, key: object, flight: Flight) -> None:
        self.entry = entry
        self.key = key
        self.flight = flight
        self.attempts = 0
        self.parked = False
        self.waiting: deque[Flight] = deque()

    def add(self, flight: Flight) -> None:
        """Let one more wait; nearly always behind all others, but a lane's backlog may give an older one late."""
        waiting, at = self.waiting, len(self.waiting)
        while at and waiting[at - 1].event.accepted_ns > flight.event.accepted_ns:
            at -= 1
        waiting.insert(at, flight)


class RetryBook:
    """Keeps the holds and decides between another attempt and the dead letters."""

    def __init__(
        self,
        config: EventConfig,
        letters: DeadLetterQueue,
        *,
        now_ns: Callable[[], int],
        on_code: Callable[[str, str], None],
        schedule: Callable[[Hold, float], None],
    ) -> None:
        self._config = config
        self.letters = letters
        self._now_ns = now_ns
        self._on_code = on_code
        self.schedule = schedule
        """Called with a hold and seconds: put it into its level's ``due`` after them."""

    def failed(self, entry: Entry, flight: Flight, error: BaseException, *, fatal: bool = False) -> None:
        """``entry`` failed with the event of ``flight``; a ``fatal`` failure is not tried again.

        One that failed together with an earlier event of its key waits for that one. After a HalfDoneError the
        event is neither tried again nor given up: it stays unfinished, in the journal too, for whoever resumes.
        """
        if self.wait_behind(entry, flight):
            return
        key = hold_key(flight.event)
        hold = entry.holds.get(key)
        if hold is None:
            hold = entry.holds[key] = Hold(entry, key, flight)
            entry.refresh()
        hold.attempts += 1
        if isinstance(error, HalfDoneError):
            hold.parked = True
        elif fatal or hold.attempts > self._config.retries:
            self._bury(hold, error)
        else:
            backoff_ms = self._config.retry_backoff_ms * BACKOFF_GROWTH ** (hold.attempts - 1)
            self.schedule(hold, backoff_ms / 1_000)

    def wait_behind(self, entry: Entry, flight: Flight) -> bool:
        """Whether an earlier event of the same key holds this one up; it waits then, in the order of acceptance."""
        hold = entry.holds.get(hold_key(flight.event))
        if hold is None or hold.flight is flight:
            return False
        hold.add(flight)
        if flight.level.priority is not _P0 and len(hold.waiting) > self._config.held_capacity:
            oldest = hold.waiting.popleft()
            oldest.lost = True
            oldest.done()
        return True

    def hold_for_later(self, entry: Entry, flight: Flight) -> None:
        """Keep an event that a lane gave back, for whoever runs next, in the order in which they are given back."""
        key = hold_key(flight.event)
        hold = entry.holds.get(key)
        if hold is None:
            entry.holds[key] = Hold(entry, key, flight)
        elif hold.flight is not flight:
            hold.waiting.append(flight)

    def succeeded(self, hold: Hold) -> None:
        """The held event was handled at last: the next of its key follows."""
        hold.flight.done()
        self._advance(hold)

    def settle(self, levels: Sequence[Level], event_id: str, handler: str | None, *, replay: bool) -> bool:
        """Replay or skip the dead letter of an event; False when there is none.

        Raises StateError when its handler is not registered any more.
        """
        letter = self.letters.find(event_id, handler)
        if letter is None:
            return False
        level = levels[letter.event.priority]
        entry = next((one for one in level.entries if one.name == letter.handler), None)
        if entry is None:
            raise StateError(f"no handler {letter.handler!r} is registered for {level.priority.name}")
        if replay:
            self.release(letter, entry, level)
        else:
            self.skip(letter, entry)
        return True

    def park_again(self, levels: Sequence[Level]) -> None:
        """After a restart: what follows a dead-lettered P0 event of a key is held for the operator as before."""
        for letter in self.letters:
            if letter.event.priority is not _P0 or order_key(letter.event) is None:
                continue
            level, key = levels[_P0], hold_key(letter.event)
            for entry in level.entries:
                if entry.name == letter.handler and key not in entry.holds:
                    flight = Flight(letter.event, level, stopwatch_ns(), counted=False)
                    flight.open, flight.dead = 0, True
                    hold = entry.holds[key] = Hold(entry, key, flight)
                    hold.attempts, hold.parked = letter.attempts, True
                    entry.refresh()

    def release(self, letter: DeadLetter, entry: Entry, level: Level) -> None:
        """Try a dead letter again; the events held behind it follow when it succeeds."""
        self.letters.remove(letter)
        key = hold_key(letter.event)
        flight = Flight(letter.event, level, stopwatch_ns(), counted=False)
        hold = entry.holds.get(key)
        if hold is None:
            hold = entry.holds[key] = Hold(entry, key, flight)
            entry.refresh()
        elif not hold.parked:  # another event of this key is being tried: this one is older and goes next
            hold.waiting.appendleft(flight)
            return
        hold.flight, hold.parked, hold.attempts = flight, False, 0
        self.schedule(hold, 0.0)

    def skip(self, letter: DeadLetter, entry: Entry) -> None:
        """The operator has dealt with a dead letter: forget it and let what is held behind it go on."""
        self.letters.remove(letter)
        hold = entry.holds.get(hold_key(letter.event))
        if hold is not None and hold.parked:
            self._advance(hold)

    def _bury(self, hold: Hold, error: BaseException) -> None:
        event, entry = hold.flight.event, hold.entry
        text = f"{type(error).__name__}: {error}".encode(errors="backslashreplace").decode()  # it goes into a file
        try:
            self.letters.append(DeadLetter(event, entry.name, text, hold.attempts, self._now_ns()))
        except StorageError as failure:  # it stands in memory, and a P0 event in the journal too
            text = f"{text}; {failure}"
            _log.error("%s", failure)
        hold.flight.dead = True
        hold.flight.done()
        if event.priority is _P0:
            self._on_code(
                "FS098", f"{event.event_type.value} {event.event_id}: handler {entry.name} failed: {text}"
            )
        if event.priority is _P0 and order_key(event) is not None:
            hold.parked = True
        else:
            self._advance(hold)

    def _advance(self, hold: Hold) -> None:
        """Go on with the next waiting event of the key, or lift the hold."""
        hold.parked = False
        if not hold.waiting:
            del hold.entry.holds[hold.key]
            hold.entry.refresh()
            return
        hold.flight, hold.attempts = hold.waiting.popleft(), 0
        self.schedule(hold, 0.0)


def hold_key(event: Event) -> object:
    """The key events wait under: order is kept in P0, P1 and P2; an event without a key waits for itself only."""
    key = order_key(event) if event.priority is not EventPriority.P3_LOW else None
    return key if key is not None else (event.run, stored_id(event))
