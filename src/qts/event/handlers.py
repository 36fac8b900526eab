"""Handlers, which are called with events.

A handler may return an event or a list of events; they are dispatched after it. Any other result is ignored.
"""

from __future__ import annotations

import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeAlias

from qts.errors import ContractError
from qts.event.contracts import Event, EventType

Callback: TypeAlias = Callable[[Event], Any] | Callable[[Event], Awaitable[Any]]
"""A function that handles one event, plain or async."""


class EventHandler(ABC):
    """The base class of handlers with state. ``name`` is used in reports and dead letters; "": the class's."""

    name: str = ""

    @abstractmethod
    async def handle(self, event: Event) -> Any:
        """Handle one event; a returned event or list of events is dispatched after it.

        The dispatcher calls it on the handler's lane: on the loop, where it may take 200 µs between two awaits, in
        a thread or in a process. What it raises is retried, then the event becomes a dead letter.
        """

    async def handle_batch(self, events: Sequence[Event]) -> list[Event]:
        """Handle several events in order; return the events to dispatch.

        Lanes off the loop call it with up to ``batch_size`` events. When it raises, all of them have failed.
        """
        results: list[Event] = []
        for event in events:
            results.extend(events_in(await self.handle(event)))
        return results


class CallbackHandler(EventHandler):
    """A plain or ``async`` function as a handler. Raises ContractError for what cannot be called."""

    def __init__(self, callback: Callback, name: str = "") -> None:
        if not callable(callback):
            raise ContractError(f"a handler must be callable, got {callback!r}")
        self.callback = callback
        self.name = name or name_of(callback)

    async def handle(self, event: Event) -> Any:
        """Call the function and return its result."""
        result = self.callback(event)
        return await result if inspect.isawaitable(result) else result


class TypeFilterHandler(EventHandler):
    """A handler that passes on only events of the given types; the dispatcher does not call it for others.

    Raises ContractError when ``event_types`` is empty or holds anything but members of EventType.
    """

    def __init__(self, delegate: EventHandler | Callback, event_types: Iterable[EventType]) -> None:
        self.delegate = as_handler(delegate)
        self.event_types = frozenset(event_types)
        self.name = self.delegate.name or name_of(self.delegate)
        if not self.event_types or not all(isinstance(kind, EventType) for kind in self.event_types):
            raise ContractError(
                f"event_types must be members of EventType, got {sorted(map(str, self.event_types))}"
            )

    async def handle(self, event: Event) -> Any:
        """Handle ``event`` when it is of one of the types; else return None."""
        return await self.delegate.handle(event) if event.event_type in self.event_types else None


class LoggingHandler(EventHandler):
    """A handler that writes one line per event to a standard logger."""

    def __init__(self, logger: logging.Logger | None = None, level: int = logging.INFO) -> None:
        self.name = "logging"
        self._logger = logger or logging.getLogger("qts.event")
        self._level = level

    async def handle(self, event: Event) -> None:
        """Log the event's priority, type, id and source."""
        self._logger.log(
            self._level,
            "%s %s id=%s source=%s",
            event.priority.name,
            event.event_type.value,
            event.event_id,
            event.source,
        )


def as_handler(handler: EventHandler | type[EventHandler] | Callback) -> EventHandler:
    """Return a handler as it is, a function wrapped, a handler class instantiated; else raise ContractError."""
    if isinstance(handler, type) and issubclass(handler, EventHandler):
        return handler()
    return handler if isinstance(handler, EventHandler) else CallbackHandler(handler)


def name_of(target: Any) -> str:
    """Return a name for people: the qualified name of a function, the class of an object."""
    return str(getattr(target, "__qualname__", type(target).__name__))


def events_in(result: Any) -> Sequence[Event]:
    """Return the events in a handler's result; anything else is left out."""
    if isinstance(result, Event):
        return (result,)
    if isinstance(result, list | tuple):
        return [item for item in result if isinstance(item, Event)]
    return ()


def direct_call(handler: EventHandler) -> tuple[Any, Callable[[Event], Any], bool]:
    """Return the handler behind all wrappers, the shortest way to call it, and whether that gives a coroutine."""
    while isinstance(handler, TypeFilterHandler):
        handler = handler.delegate
    if not isinstance(handler, CallbackHandler):
        return handler, handler.handle, inspect.iscoroutinefunction(handler.handle)
    callback = handler.callback
    is_async = inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(type(callback).__call__)
    return callback, callback, is_async


def has_own_batch(handler: EventHandler) -> bool:
    """Return whether ``handler`` handles several events at once."""
    return type(handler).handle_batch is not EventHandler.handle_batch


def types_of(handler: EventHandler) -> frozenset[EventType]:
    """Return the types that the filters of ``handler`` let through."""
    wanted = frozenset(EventType)
    while isinstance(handler, TypeFilterHandler):
        wanted &= handler.event_types
        handler = handler.delegate
    return wanted
