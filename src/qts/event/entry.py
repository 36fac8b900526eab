"""A registered handler: how it is called, where it goes on when it does not finish at once, what holds it up."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Collection
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, Protocol

from qts.event.contracts import Event, EventPriority, Lane
from qts.event.handlers import EventHandler, direct_call, name_of, types_of

if TYPE_CHECKING:
    from qts.event.retry import Flight, Hold

OVERRUNS_BELONG_TOGETHER: Final = 100
RAISED: Final = (Exception, CancelledError, GeneratorExit)
"""What a handler may raise and the dispatcher outlives: that something it waited for was cancelled is the handler's
failure, not the end of everybody's loop. SystemExit and KeyboardInterrupt end the process, as they are meant to."""


class Runner(Protocol):
    """Where a handler goes on that does not finish on the spot."""

    @property
    def pending(self) -> list[Flight]:
        """Events it has not finished with."""
        ...

    def submit(self, flight: Flight) -> None:
        """Take the event; end with :meth:`Engine.finished` or :meth:`RetryBook.failed`."""
        ...


class Entry:
    """One registered handler.

    ``special`` tells the engine to look twice: it has a runner or holds. ``origin`` is what the user gave,
    ``target`` the ``module:name`` of a handler that runs in another process ("" when unknown).
    """

    __slots__ = (
        "call", "handler", "holds", "is_async", "lane", "name", "origin", "overran_at", "overruns", "priority",
        "runner", "special", "target", "types",
    )  # fmt: skip

    def __init__(self, handler: EventHandler, priority: EventPriority, lane: Lane) -> None:
        self.handler = handler
        self.priority = priority
        self.lane = lane
        self.name = handler.name or name_of(handler)
        self.types = types_of(handler)
        self.origin, call, self.is_async = direct_call(handler)
        self.call: Callable[[Event], Any] = _first_step(call) if self.is_async else call
        self.holds: dict[object, Hold] = {}
        self.runner: Runner | None = None
        self.overruns = self.overran_at = 0
        self.special = False
        self.target = ""

    def tell_apart(self, taken: Collection[str]) -> None:
        """Get a name that is not ``taken`` by another handler of the priority: dead letters name theirs."""
        given, count = self.name, 1
        while self.name in taken:
            count += 1
            self.name = f"{given}#{count}"

    def count_overrun(self, handled: int) -> None:
        """A handler that is slow overruns again and again; a blameless one is pre-empted once in a while.

        Overruns count together while at most a hundred events of the priority lie between two of them.
        """
        self.overruns = self.overruns + 1 if handled - self.overran_at <= OVERRUNS_BELONG_TOGETHER else 1
        self.overran_at = handled

    def refresh(self) -> None:
        """Set ``special`` after holds or runner changed."""
        self.special = bool(self.holds) or self.runner is not None

    @property
    def is_busy(self) -> bool:
        """Whether something of it is still on its way (what waits for an operator is not)."""
        return (self.runner is not None and bool(self.runner.pending)) or any(
            not hold.parked for hold in self.holds.values()
        )


class Suspended:
    """An async handler that waits for something: its coroutine and what it waits for."""

    __slots__ = ("awaited", "coroutine")

    def __init__(self, coroutine: Any, awaited: Any) -> None:
        self.coroutine = coroutine
        self.awaited = awaited


def _first_step(call: Callable[[Event], Any]) -> Callable[[Event], Any]:
    """Run an async handler on the spot as far as it goes; most never wait for anything."""
    return lambda event: step(call(event))


def step(coroutine: Any) -> Any:
    """The result of a coroutine that finishes at once, else what is left of it."""
    try:
        awaited = coroutine.send(None)
    except StopIteration as finished:
        return finished.value
    return Suspended(coroutine, awaited)


def stepped(result: Any) -> Any:
    """What a call came to: a coroutine is gone on with, anything else is the result."""
    return step(result) if isinstance(result, CoroutineType) else result
