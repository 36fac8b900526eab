"""A stream of events that is drawn from while nothing is queued: the path of a replayed feed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeAlias

from qts.errors import ContractError
from qts.event.contracts import EventPriority, EventType, priority_for
from qts.event.work import HandlerRegistration

_P1: Final = EventPriority.P1_HIGH
Routes: TypeAlias = dict[EventType, tuple[HandlerRegistration, ...]]


class Stream:
    """A source of P1 events for when nothing at all is queued (a replayed feed).

    ``payloads`` yields one typed payload after the other, or None after it has done something else: then the queues
    are checked. The event is made of it with the type that ``types`` has for its class, and goes straight to its
    handlers: what never had to wait needs no queue. Raises ContractError when a type is not one of P1.
    """

    __slots__ = ("_plan", "_routes", "ended", "paused", "payloads", "source", "types")

    def __init__(self, payloads: Iterator[Any], types: Mapping[type, EventType], source: str) -> None:
        for kind in types.values():
            if priority_for(kind) is not _P1:
                raise ContractError(f"a stream gives events of P1, {kind.value} is {priority_for(kind).name}")
        self.payloads = payloads
        self.types = dict(types)
        self.source = source
        self.ended = False
        self.paused = False
        """Set by the source of the payloads: the scheduler returns to its caller once nothing is queued."""
        self._routes: object = None
        self._plan: dict[type, tuple[EventType, tuple[HandlerRegistration, ...]]] = {}

    def plan(self, routes: Routes) -> dict[type, tuple[EventType, tuple[HandlerRegistration, ...]]]:
        """Return type and handlers by the class of the payload."""
        if self._routes is not routes:
            self._routes = routes
            self._plan = {kind: (name, routes[name]) for kind, name in self.types.items()}
        return self._plan

    def unlisted(self, payload: object) -> ContractError:
        """Return the error for a payload of a class that no type was named for."""
        listed = ", ".join(sorted(one.__name__ for one in self.types))
        return ContractError(f"{self.source} gave a {type(payload).__name__}; listed are {listed}")
