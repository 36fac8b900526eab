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
from qts.event.engine import Engine, Level
from qts.event.entry import Entry
from qts.event.retry import Flight, Hold, hold_key

Pending = Callable[[Entry], Iterable[Flight]]


def export_levels(engine: Engine, in_lane: Pending) -> list[dict[str, Any]]:
    """Queues, counters and unfinished events of all four levels."""
    return [_export_level(level, in_lane) for level in engine.levels]


def import_levels(engine: Engine, stored: list[dict[str, Any]]) -> None:
    """Undo :func:`export_levels` on a fresh engine with the same handlers. Raises StateError when they differ."""
    for level, part in zip(engine.levels, stored, strict=True):
        if part["handlers"] != level.names:
            raise StateError(
                f"{level.priority.name}: stored for the handlers {part['handlers']}, here are {level.names}"
            )
        if level.accepted or level.items:
            raise StateError(f"{level.priority.name}: state can only be taken over before the first event")
        _import_level(level, part)
    engine.attention = True


def _export_level(level: Level, in_lane: Pending) -> dict[str, Any]:
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


def _export_open(level: Level, part: dict[str, Any], in_lane: Pending) -> None:
    """Holds and events in lanes: flights once each, holds by handler with the numbers of their flights."""
    numbers: dict[int, int] = {}

    def number(flight: Flight) -> int:
        if id(flight) not in numbers:
            numbers[id(flight)] = len(numbers)
            part["open"].append(
                [encode_event(flight.event), flight.dead, flight.lost, flight.counted and flight.open > 0]
            )
        return numbers[id(flight)]

    for index, entry in enumerate(level.entries):
        held: set[int] = set()
        for hold in entry.holds.values():
            flights = [hold.flight, *hold.waiting]
            held.update(map(id, flights))
            part["holds"].append([index, hold.attempts, hold.parked, [number(flight) for flight in flights]])
        for flight in in_lane(entry):
            if id(flight) not in held:
                part["holds"].append([index, 0, False, [number(flight)]])


def _import_level(level: Level, part: Mapping[str, Any]) -> None:
    now_ns = stopwatch_ns()
    level.queue.restore([_accepted_now(stored, now_ns) for stored in part["pending"]], part["queue"])
    level.passed, level.finished, level.rejected = part["passed"], part["finished"], part["rejected"]
    level.dead_lettered, level.lost = part["dead_lettered"], part["lost"]
    flights = [_import_flight(level, stored, now_ns) for stored in part["open"]]
    for index, attempts, parked, held in part["holds"]:
        entry = level.entries[index]
        first, *later = (flights[number] for number in held)
        _import_hold(level, entry, first, later, attempts=attempts, parked=parked)


def _import_flight(level: Level, stored: list[Any], now_ns: int) -> Flight:
    event, dead, lost, counted = stored
    flight = Flight(_accepted_now(event, now_ns), level, now_ns, counted=counted)
    flight.dead, flight.lost, flight.open = dead, lost, 0
    return flight


def _import_hold(
    level: Level, entry: Entry, first: Flight, later: list[Flight], *, attempts: int, parked: bool
) -> None:
    """A hold as it was; one whose event waits for another attempt is due at once."""
    earlier = entry.holds.get(hold_key(first.event))
    for flight in (first, *later):
        flight.open += 1
    if earlier is not None:  # two events of one key were in a lane: the second follows the first
        earlier.waiting.extend((first, *later))
        return
    hold = Hold(entry, hold_key(first.event), first)
    hold.attempts, hold.parked = attempts, parked
    hold.waiting.extend(later)
    entry.holds[hold.key] = hold
    entry.refresh()
    if parked:
        first.open -= 1  # it has been dead-lettered already
    else:
        level.due.append(hold)


def _accepted_now(stored: list[Any], now_ns: int) -> Any:
    event = decode_event(stored)
    stamp(event, now_ns)
    return event


def export_engine(
    engine: Engine, factory: EventFactory, dead_letters: DeadLetterQueue, in_lane: Pending
) -> dict[str, Any]:
    """Counters, queued and held events, ids given and dead letters as plain values."""
    return {
        "last_number": factory.last_number,
        "violations": engine.starts_violating,
        "deadline_in_ns": engine.deadline_ns - engine.clock_ns() if engine.watching else None,
        "dead_letters": dead_letters.export(),
        "levels": export_levels(engine, in_lane),
    }


def import_engine(
    state: Mapping[str, Any], engine: Engine, factory: EventFactory, dead_letters: DeadLetterQueue
) -> None:
    """Undo :func:`export_engine` on a fresh engine with the same handlers. Raises StateError when they differ."""
    import_levels(engine, state["levels"])
    factory.continue_after(state["last_number"])
    dead_letters.restore(state["dead_letters"])
    engine.starts_violating = state["violations"]
    if engine.watching and state["deadline_in_ns"] is not None:
        engine.deadline_ns = engine.clock_ns() + state["deadline_in_ns"]
