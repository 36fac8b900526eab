"""The dispatcher's state as plain values, for checkpoints: what is queued, held and counted.

Latencies are left out: they are measurements of one process, not state. An event that is being handled while
the state is taken counts as handled: a checkpoint written by its handler contains its effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from qts.clock import stopwatch_ns
from qts.errors import StateError
from qts.event.codec import decode_event, encode_event
from qts.event.contracts import EventFactory, stamp
from qts.event.dead_letter import DeadLetterQueue
from qts.event.scheduler import Scheduler
from qts.event.work import BlockedKey, HandlerRegistration, InFlightEvent, PriorityLevel, blocking_key

Pending = Callable[[HandlerRegistration], Iterable[InFlightEvent]]


def export_levels(scheduler: Scheduler, in_lane: Pending) -> list[dict[str, Any]]:
    """Return queues, counters and unfinished events of all four levels."""
    return [_export_level(level, in_lane) for level in scheduler.levels]


def import_levels(scheduler: Scheduler, stored: list[dict[str, Any]]) -> None:
    """Undo :func:`export_levels` on a fresh scheduler. Raises StateError when its handlers are others."""
    for level, part in zip(scheduler.levels, stored, strict=True):
        if part["handlers"] != level.names:
            raise StateError(
                f"{level.priority.name}: stored for the handlers {part['handlers']}, here are {level.names}"
            )
        if level.accepted or level.items:
            raise StateError(f"{level.priority.name}: state can only be taken over before the first event")
        _import_level(level, part)
    scheduler.must_recheck = True


def _export_level(level: PriorityLevel, in_lane: Pending) -> dict[str, Any]:
    counts = level.queue.counts()
    part: dict[str, Any] = {
        "handlers": level.names,
        "queue": counts,
        "pending": [encode_event(event) for event in level.queue.pending()] if level.items else [],
        "passed": level.passed,
        "finished": counts["taken"] - level.dead_lettered - level.lost - level.in_flight,
        "rejected": level.rejected,
        "dead_lettered": level.dead_lettered,
        "lost": level.lost,
        "open": [],
        "holds": [],
    }
    if level.in_flight or level.is_special:
        _export_open(level, part, in_lane)
    return part


def _export_open(level: PriorityLevel, part: dict[str, Any], in_lane: Pending) -> None:
    """Export blocked keys and events in lanes: each event once, each key with the numbers of its events."""
    numbers: dict[int, int] = {}

    def number(flight: InFlightEvent) -> int:
        if id(flight) not in numbers:
            numbers[id(flight)] = len(numbers)
            part["open"].append(
                [encode_event(flight.event), flight.dead, flight.lost, flight.counted and flight.open > 0]
            )
        return numbers[id(flight)]

    for index, registration in enumerate(level.registrations):
        held: set[int] = set()
        for blocked in registration.blocked_keys.values():
            flights = [blocked.flight, *blocked.waiting]
            held.update(map(id, flights))
            part["holds"].append([index, blocked.attempts, blocked.parked, [number(flight) for flight in flights]])
        for flight in in_lane(registration):
            if id(flight) not in held:
                part["holds"].append([index, 0, False, [number(flight)]])


def _import_level(level: PriorityLevel, part: Mapping[str, Any]) -> None:
    now_ns = stopwatch_ns()
    level.queue.restore([_accepted_now(stored, now_ns) for stored in part["pending"]], part["queue"])
    level.passed, level.finished, level.rejected = part["passed"], part["finished"], part["rejected"]
    level.dead_lettered, level.lost = part["dead_lettered"], part["lost"]
    flights = [_import_flight(level, stored, now_ns) for stored in part["open"]]
    for index, attempts, parked, held in part["holds"]:
        registration = level.registrations[index]
        first, *later = (flights[number] for number in held)
        _import_blocked(level, registration, first, later, attempts=attempts, parked=parked)


def _import_flight(level: PriorityLevel, stored: list[Any], now_ns: int) -> InFlightEvent:
    event, dead, lost, counted = stored
    flight = InFlightEvent(_accepted_now(event, now_ns), level, now_ns, counted=counted)
    flight.dead, flight.lost, flight.open = dead, lost, 0
    return flight


def _import_blocked(
    level: PriorityLevel,
    registration: HandlerRegistration,
    first: InFlightEvent,
    later: list[InFlightEvent],
    *,
    attempts: int,
    parked: bool,
) -> None:
    """Restore a blocked key as it was; one whose event waits for another attempt is due at once."""
    earlier = registration.blocked_keys.get(blocking_key(first.event))
    for flight in (first, *later):
        flight.open += 1
    if earlier is not None:  # two events of one key were in a lane: the second follows the first
        earlier.waiting.extend((first, *later))
        return
    blocked = BlockedKey(registration, blocking_key(first.event), first)
    blocked.attempts, blocked.parked = attempts, parked
    blocked.waiting.extend(later)
    registration.blocked_keys[blocked.key] = blocked
    registration.refresh()
    if parked:
        first.open -= 1  # it has been dead-lettered already
    else:
        level.due.append(blocked)


def _accepted_now(stored: list[Any], now_ns: int) -> Any:
    event = decode_event(stored)
    stamp(event, now_ns)
    return event


def export_scheduler(
    scheduler: Scheduler, factory: EventFactory, dead_letters: DeadLetterQueue, in_lane: Pending
) -> dict[str, Any]:
    """Return counters, queued and held events, ids given and dead letters as plain values."""
    return {
        "last_number": factory.last_number,
        "violations": scheduler.starts_violating,
        "deadline_in_ns": scheduler.deadline_ns - scheduler.clock_ns() if scheduler.watching else None,
        "dead_letters": dead_letters.export(),
        "levels": export_levels(scheduler, in_lane),
    }


def import_scheduler(
    state: Mapping[str, Any], scheduler: Scheduler, factory: EventFactory, dead_letters: DeadLetterQueue
) -> None:
    """Undo :func:`export_scheduler` on a fresh scheduler. Raises StateError when its handlers are others."""
    import_levels(scheduler, state["levels"])
    factory.continue_after(state["last_number"])
    dead_letters.restore(state["dead_letters"])
    scheduler.starts_violating = state["violations"]
    if scheduler.watching and state["deadline_in_ns"] is not None:
        scheduler.deadline_ns = scheduler.clock_ns() + state["deadline_in_ns"]
