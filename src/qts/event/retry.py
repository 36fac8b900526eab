"""Retries: the event of a failed handler is tried again while other keys continue, then it is dead-lettered.

A *blocked key* belongs to one handler and is an order id, else a symbol. While it stands, later events of that key
wait behind it for that handler alone; other handlers and other keys are not held up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from qts.clock import stopwatch_ns
from qts.errors import HalfDoneError, StateError, StorageError
from qts.event.config import EventConfig
from qts.event.contracts import EventPriority
from qts.event.dead_letter import DeadLetter, DeadLetterQueue
from qts.event.ordering_keys import order_key
from qts.event.work import BlockedKey, HandlerRegistration, InFlightEvent, PriorityLevel, blocking_key

BACKOFF_GROWTH: Final = 4
_P0: Final = EventPriority.P0_CRITICAL
_log: Final = logging.getLogger("qts.event")


class RetryBook:
    """The blocked keys, and the decision between another attempt and the dead letters."""

    def __init__(
        self,
        config: EventConfig,
        letters: DeadLetterQueue,
        *,
        now_ns: Callable[[], int],
        on_code: Callable[[str, str], None],
        schedule: Callable[[BlockedKey, float], None],
    ) -> None:
        self._config = config
        self.letters = letters
        self._now_ns = now_ns
        self._on_code = on_code
        self.schedule = schedule
        """Called with a blocked key and seconds: put it into its level's ``due`` after them."""

    def failed(
        self, registration: HandlerRegistration, flight: InFlightEvent, error: BaseException, *, fatal: bool = False
    ) -> None:
        """Block the key of an event that ``registration`` failed with; a ``fatal`` failure is not tried again.

        One that failed together with an earlier event of its key waits for that one. After a HalfDoneError the
        event is neither tried again nor given up: it stays unfinished, in the journal too, for a resumed session.
        """
        if self.wait_behind(registration, flight):
            return
        key = blocking_key(flight.event)
        blocked = registration.blocked_keys.get(key)
        if blocked is None:
            blocked = registration.blocked_keys[key] = BlockedKey(registration, key, flight)
            registration.refresh()
        blocked.attempts += 1
        if isinstance(error, HalfDoneError):
            blocked.parked = True
        elif fatal or blocked.attempts > self._config.retries:
            self._dead_letter(blocked, error)
        else:
            backoff_ms = self._config.retry_backoff_ms * BACKOFF_GROWTH ** (blocked.attempts - 1)
            self.schedule(blocked, backoff_ms / 1_000)

    def wait_behind(self, registration: HandlerRegistration, flight: InFlightEvent) -> bool:
        """Let the event wait behind an earlier one of its key, in order of acceptance; return whether it does."""
        blocked = registration.blocked_keys.get(blocking_key(flight.event))
        if blocked is None or blocked.flight is flight:
            return False
        blocked.add(flight)
        if flight.level.priority is not _P0 and len(blocked.waiting) > self._config.held_capacity:
            oldest = blocked.waiting.popleft()
            oldest.lost = True
            oldest.done()
        return True

    def block_until_start(self, registration: HandlerRegistration, flight: InFlightEvent) -> None:
        """Keep an event that a lane returned for the next start, in the order of returning."""
        key = blocking_key(flight.event)
        blocked = registration.blocked_keys.get(key)
        if blocked is None:
            registration.blocked_keys[key] = BlockedKey(registration, key, flight)
        elif blocked.flight is not flight:
            blocked.waiting.append(flight)

    def succeeded(self, blocked: BlockedKey) -> None:
        """Finish the failed event that was handled after all, and continue with the next of its key."""
        blocked.flight.done()
        self._advance(blocked)

    def resolve_dead_letter(
        self, levels: Sequence[PriorityLevel], event_id: str, handler: str | None, *, replay: bool
    ) -> bool:
        """Replay or skip the dead letter of an event; False when there is none.

        Raises StateError when its handler is not registered any more.
        """
        letter = self.letters.find(event_id, handler)
        if letter is None:
            return False
        level = levels[letter.event.priority]
        registration = next((one for one in level.registrations if one.name == letter.handler), None)
        if registration is None:
            raise StateError(f"no handler {letter.handler!r} is registered for {level.priority.name}")
        if replay:
            self.release(letter, registration, level)
        else:
            self.skip(letter, registration)
        return True

    def restore_parked(self, levels: Sequence[PriorityLevel]) -> None:
        """Restore after a restart the keys that a dead-lettered P0 event blocks for the operator."""
        for letter in self.letters:
            if letter.event.priority is not _P0 or order_key(letter.event) is None:
                continue
            level, key = levels[_P0], blocking_key(letter.event)
            for registration in level.registrations:
                if registration.name == letter.handler and key not in registration.blocked_keys:
                    flight = InFlightEvent(letter.event, level, stopwatch_ns(), counted=False)
                    flight.open, flight.dead = 0, True
                    blocked = registration.blocked_keys[key] = BlockedKey(registration, key, flight)
                    blocked.attempts, blocked.parked = letter.attempts, True
                    registration.refresh()

    def release(self, letter: DeadLetter, registration: HandlerRegistration, level: PriorityLevel) -> None:
        """Try a dead letter again; the events held behind it follow when it succeeds."""
        self.letters.remove(letter)
        key = blocking_key(letter.event)
        flight = InFlightEvent(letter.event, level, stopwatch_ns(), counted=False)
        blocked = registration.blocked_keys.get(key)
        if blocked is None:
            blocked = registration.blocked_keys[key] = BlockedKey(registration, key, flight)
            registration.refresh()
        elif not blocked.parked:  # another event of this key is being tried: this one is older and goes next
            blocked.waiting.appendleft(flight)
            return
        blocked.flight, blocked.parked, blocked.attempts = flight, False, 0
        self.schedule(blocked, 0.0)

    def skip(self, letter: DeadLetter, registration: HandlerRegistration) -> None:
        """Remove a dead letter that the operator dealt with, and continue with what is held behind it."""
        self.letters.remove(letter)
        blocked = registration.blocked_keys.get(blocking_key(letter.event))
        if blocked is not None and blocked.parked:
            self._advance(blocked)

    def _dead_letter(self, blocked: BlockedKey, error: BaseException) -> None:
        event, registration = blocked.flight.event, blocked.registration
        text = f"{type(error).__name__}: {error}".encode(errors="backslashreplace").decode()  # it goes into a file
        try:
            self.letters.append(DeadLetter(event, registration.name, text, blocked.attempts, self._now_ns()))
        except StorageError as failure:  # it stands in memory, and a P0 event in the journal too
            text = f"{text}; {failure}"
            _log.error("%s", failure)
        blocked.flight.dead = True
        blocked.flight.done()
        if event.priority is _P0:
            self._on_code(
                "FS098", f"{event.event_type.value} {event.event_id}: handler {registration.name} failed: {text}"
            )
        if event.priority is _P0 and order_key(event) is not None:
            blocked.parked = True
        else:
            self._advance(blocked)

    def _advance(self, blocked: BlockedKey) -> None:
        """Continue with the next waiting event of the key, or unblock the key."""
        blocked.parked = False
        if not blocked.waiting:
            del blocked.registration.blocked_keys[blocked.key]
            blocked.registration.refresh()
            return
        blocked.flight, blocked.attempts = blocked.waiting.popleft(), 0
        self.schedule(blocked, 0.0)
