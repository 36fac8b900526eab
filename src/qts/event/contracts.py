"""Events: immutable facts or requests with a type, a priority and a payload.

An event is made for every tick, so making one is cheap: a frozen struct whose id text and datetime are
formed on demand. The payload as it was given is reachable at the cost of an attribute, without
the read-only view, as ``body``.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from qts.clock import Clock, SystemClock, from_ns, to_ns
from qts.errors import ContractError
from qts.ids import CounterIds, IdSource, random_prefix


class EventPriority(IntEnum):
    """The priority of an event: a lower number goes first, and P0 never waits for anything lower."""

    P0_CRITICAL = 0
    P1_HIGH = 1
    P2_MEDIUM = 2
    P3_LOW = 3


class EventType(str, Enum):
    """The 23 types of events; the value is the name."""

    FILL_CONFIRMED = "FILL_CONFIRMED"
    FILL_PARTIAL = "FILL_PARTIAL"
    ORDER_REJECTED = "ORDER_REJECTED"
    ORDER_CANCELLED = "ORDER_CANCELLED"
    POSITION_UPDATE = "POSITION_UPDATE"
    EMERGENCY_STOP = "EMERGENCY_STOP"
    BROKER_DISCONNECT = "BROKER_DISCONNECT"

    PRICE_TICK = "PRICE_TICK"
    ORDERBOOK_UPDATE = "ORDERBOOK_UPDATE"
    VOLUME_UPDATE = "VOLUME_UPDATE"
    INDEX_UPDATE = "INDEX_UPDATE"
    VIX_UPDATE = "VIX_UPDATE"

    ETEDA_CYCLE_START = "ETEDA_CYCLE_START"
    STRATEGY_EVALUATE = "STRATEGY_EVALUATE"
    RISK_EVALUATE = "RISK_EVALUATE"
    PORTFOLIO_EVALUATE = "PORTFOLIO_EVALUATE"
    INDICATOR_UPDATE = "INDICATOR_UPDATE"
    SIGNAL_GENERATED = "SIGNAL_GENERATED"

    DASHBOARD_UPDATE = "DASHBOARD_UPDATE"
    LOG_WRITE = "LOG_WRITE"
    REPORT_GENERATE = "REPORT_GENERATE"
    NOTIFICATION_SEND = "NOTIFICATION_SEND"
    METRIC_RECORD = "METRIC_RECORD"

    __hash__ = str.__hash__  # Enum's own hash runs Python code, and these are looked up for every event


_P0, _P1, _P2, _P3 = EventPriority
_TYPES: Final = list(EventType)

EVENT_PRIORITY_MAP: Final[Mapping[EventType, EventPriority]] = MappingProxyType(
    {kind: priority for priority, kinds in ((_P0, _TYPES[:7]), (_P1, _TYPES[7:12]), (_P2, _TYPES[12:18]),
                                            (_P3, _TYPES[18:])) for kind in kinds}
)  # fmt: skip
P0_MAX_PROCESS_TIME_MS: Final = 10


class OverflowPolicy(str, Enum):
    """The behaviour of a full queue."""

    BLOCK = "BLOCK"
    DROP_OLDEST = "DROP_OLDEST"
    COLLAPSE = "COLLAPSE"
    SAMPLE = "SAMPLE"


class DegradationLevel(str, Enum):
    """The degree of degradation: which priorities are paused."""

    NORMAL = "NORMAL"
    P3_PAUSED = "P3_PAUSED"
    P2_P3_PAUSED = "P2_P3_PAUSED"
    CRITICAL_ONLY = "CRITICAL_ONLY"

    @property
    def lowest_allowed(self) -> EventPriority:
        """Return the lowest priority that still runs at this level."""
        return _LOWEST_ALLOWED[self]


_LOWEST_ALLOWED: Final = dict(zip(DegradationLevel, (_P3, _P2, _P1, _P0), strict=True))


class Lane(str, Enum):
    """The place where a handler runs: the loop (short), a thread (blocking I/O) or a process (CPU)."""

    LOOP = "LOOP"
    THREAD = "THREAD"
    PROCESS = "PROCESS"


def _next_number() -> int:
    number: int = next(_default.numbers)
    return number


def _now_ns() -> int:
    return _default.time_ns()


def _default_run() -> str:
    return _default.run


class Event(msgspec.Struct, frozen=True, gc=False, eq=False):
    """One event. Attribute assignment raises AttributeError; two events are equal when their ids are.

    ``payload`` is a typed struct of :mod:`qts.event.payloads`, a mapping (shown read-only) or None.
    ``event_id`` and ``timestamp`` (aware UTC) are taken from the process's default factory when left out, the
    flags from the type. ``max_process_time_ms`` 0 means no limit. ``run`` is the prefix of the id text,
    ``accepted_ns`` the stopwatch reading at which a dispatcher took the event (0 before).
    """

    event_type: EventType
    priority: EventPriority
    source: str = ""
    payload: Any = None
    event_id: str = msgspec.field(default_factory=_next_number)  # type: ignore[assignment]
    timestamp: datetime = msgspec.field(default_factory=_now_ns)  # type: ignore[assignment]
    run: str = msgspec.field(default_factory=_default_run)
    accepted_ns: int = 0
    requires_ack: bool = None  # type: ignore[assignment]
    max_process_time_ms: int = None  # type: ignore[assignment]
    can_batch: bool = None  # type: ignore[assignment]
    can_collapse: bool = None  # type: ignore[assignment]
    can_drop: bool = None  # type: ignore[assignment]

    if TYPE_CHECKING:

        @property
        def body(self) -> Any:
            """Return the payload as it was given, without the read-only view: for typed payloads on hot paths."""

    def __eq__(self, other: object) -> bool:
        return self.event_id == other.event_id if isinstance(other, Event) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.event_id)

    def __repr__(self) -> str:
        return (
            f"Event({self.event_type.value}, {self.priority.name}, id={self.event_id!r}, payload={self.payload!r})"
        )


# The struct stores what was given: a number or a text, nanoseconds or a datetime, any payload, a flag or None for
# "as for the type". The public names become views of those slots.
_number_slot: Final = Event.__dict__["event_id"]
_time_slot: Final = Event.__dict__["timestamp"]
_payload_slot: Final = Event.__dict__["payload"]


def _event_id(event: Event) -> str:
    number = _number_slot.__get__(event)
    return number if isinstance(number, str) else f"{event.run}-{number}"


def _timestamp(event: Event) -> datetime:
    return from_ns(event_time_ns(event))


def _payload(event: Event) -> Any:
    value = _payload_slot.__get__(event)
    return MappingProxyType(value) if isinstance(value, dict) else value


Event.event_id = property(_event_id, doc="Unique text: run prefix and counter.")  # type: ignore[assignment]
Event.timestamp = property(_timestamp, doc="Aware UTC datetime at which it was made.")  # type: ignore[assignment]
Event.payload = property(_payload, doc="The typed payload, or a read-only view of the mapping given.")
Event.body = _payload_slot  # type: ignore[method-assign]


def event_time_ns(event: Event) -> int:
    """Return the nanoseconds since the epoch at which ``event`` was made."""
    stored = _time_slot.__get__(event)
    return stored if isinstance(stored, int) else to_ns(stored)


def set_payload(event: Event, payload: msgspec.Struct) -> None:
    """Replace a mapping by its typed form, before any handler has seen the event."""
    _payload_slot.__set__(event, payload)


stamp: Final[Callable[[Event, int], None]] = Event.__dict__["accepted_ns"].__set__
"""Note the stopwatch reading at which a dispatcher takes the event."""


def stored_id(event: Event) -> int | str:
    """Return the counter value or the text that ``event_id`` is formed from."""
    number: int | str = _number_slot.__get__(event)
    return number


class Traits(msgspec.Struct, frozen=True):
    """The properties of all events of one type: the priority and its flags."""

    priority: EventPriority
    requires_ack: bool
    max_process_time_ms: int
    can_batch: bool
    can_collapse: bool
    can_drop: bool


def _traits(priority: EventPriority) -> Traits:
    return Traits(
        priority,
        requires_ack=priority is _P0,
        max_process_time_ms=P0_MAX_PROCESS_TIME_MS if priority is _P0 else 0,
        can_batch=priority is _P1,
        can_collapse=priority is _P2,
        can_drop=priority is _P3,
    )


TRAITS: Final[Mapping[EventType, Traits]] = {kind: _traits(EVENT_PRIORITY_MAP[kind]) for kind in EventType}
FLAGS: Final = Traits.__struct_fields__[1:]
_flag_slots: Final = {name: Event.__dict__[name] for name in FLAGS}


def _flag(name: str) -> property:
    slot = _flag_slots[name]

    def view(event: Event) -> Any:
        given = slot.__get__(event)
        return given if given is not None else getattr(TRAITS[event.event_type], name)

    return property(view, doc="Return the flag as given, else as for the type.")


for _name in FLAGS:
    setattr(Event, _name, _flag(_name))


def stored_flags(event: Event) -> list[Any]:
    """Return the flags as given, None where the type decides; in the order of ``FLAGS``."""
    return [slot.__get__(event) for slot in _flag_slots.values()]


_OVERRIDABLE: Final = frozenset({"event_id", "timestamp", *Traits.__struct_fields__})


def priority_for(event_type: EventType) -> EventPriority:
    """Return the priority of a type. Raises ContractError for anything that is not one of the 23 types."""
    try:
        return EVENT_PRIORITY_MAP[event_type]
    except KeyError:
        raise ContractError(f"unknown event type {event_type!r}; allowed: {', '.join(_TYPES)}") from None


class EventFactory:
    """A maker of events with the time of ``clock`` and ids of one run.

    With :class:`~qts.ids.CounterIds` the id is the prefix and a counter that continues after its ``last``, and
    its text is formed only when asked for; any other source is asked for a text per event. Thread-safe.
    """

    __slots__ = ("numbers", "run", "time_ns")

    def __init__(self, clock: Clock, ids: IdSource) -> None:
        self.time_ns = clock.time_ns
        self.run = ids.prefix if isinstance(ids, CounterIds) else ""
        self.numbers: Any = (
            itertools.count(ids.last + 1) if isinstance(ids, CounterIds) else iter(ids.next_id, None)
        )

    def create(self, event_type: EventType, source: str = "", payload: Any = None, **overrides: Any) -> Event:
        """Return an event with the priority and flags of its type; any public field can be overridden.

        Raises ContractError for an unknown type or field, a naive timestamp, or a payload that is neither a
        struct nor a mapping.
        """
        priority = priority_for(event_type)
        event_type = EventType(event_type)  # its name as a text is taken too
        unknown = overrides.keys() - _OVERRIDABLE
        if unknown:
            raise ContractError(f"an event has no field {sorted(unknown)[0]!r}; allowed: {sorted(_OVERRIDABLE)}")
        values: dict[str, Any] = {"priority": priority, "run": self.run, **overrides}
        values["priority"] = EventPriority(values["priority"])
        moment, number = values.get("timestamp"), values.get("event_id")
        values["timestamp"] = self.time_ns() if moment is None else to_ns(moment)
        values["event_id"] = next(self.numbers) if number is None else str(number)
        return Event(event_type, source=source, payload=_own(event_type, payload), **values)

    def skip(self, count: int) -> None:
        """Take the numbers of events that are not made, so that those of later events do not depend on it."""
        deque(itertools.islice(self.numbers, count), maxlen=0)

    @property
    def last_number(self) -> int:
        """Return the counter value most recently used; 0 when ids come from another source."""
        text = repr(self.numbers)  # reading an itertools.count without moving it, so that makers need no lock
        return int(text[6:-1]) - 1 if text.startswith("count(") else 0

    def continue_after(self, last: int) -> None:
        """Continue counting after ``last`` (a stored :attr:`last_number`); 0 changes nothing."""
        if last:
            self.numbers = itertools.count(last + 1)


def _own(event_type: EventType, payload: Any) -> Any:
    """Return the payload as an event keeps it: structs as they are, mappings copied and read-only."""
    if payload is None or isinstance(payload, msgspec.Struct):
        return payload
    if isinstance(payload, Mapping):
        return dict(payload)
    raise ContractError(
        f"the payload of {event_type.value} must be a struct or a mapping, got {type(payload).__name__} {payload!r}"
    )


_default = EventFactory(SystemClock(), CounterIds(random_prefix()))


def _reset_ids() -> None:
    """Reset the ids in a forked child, which would continue the parent's."""
    _default.run, _default.numbers = random_prefix(), itertools.count(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_ids)


def default_factory() -> EventFactory:
    """Return the factory that :func:`create_event` and ``Event(...)`` use."""
    return _default


def set_default_factory(factory: EventFactory) -> EventFactory:
    """Replace the process's default factory and return the previous one."""
    global _default
    previous, _default = _default, factory
    return previous


@contextmanager
def events_made_by(factory: EventFactory) -> Iterator[None]:
    """Let :func:`create_event` and ``Event(...)`` use ``factory`` meanwhile, as a session does."""
    previous = set_default_factory(factory)
    try:
        yield
    finally:
        set_default_factory(previous)


def create_event(event_type: EventType, source: str = "", payload: Any = None, **overrides: Any) -> Event:
    """Return an event made by the default factory; see :meth:`EventFactory.create`."""
    return _default.create(event_type, source, payload, **overrides)
