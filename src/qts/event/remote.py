"""Handlers that work in another process while somebody on the loop decides what is sent and hears what came of it.

An ordinary PROCESS handler is a function that is sent events and returns events. A *remote* handler has two halves:
a :class:`RemoteHandler` on the loop, where the state of the session is, and a :class:`RemoteWork` in the process.
With each batch a *brief* travels there and a *note* comes back, both plain data (what msgspec makes msgpack of).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

from qts.errors import StateError
from qts.event.contracts import Event
from qts.event.handlers import EventHandler


class RemoteHandler(EventHandler):
    """The half on the loop. Every method is called there, between two handler calls, and must be short.

    ``target`` names, as ``module:name``, what makes the :class:`RemoteWork` in the process, called with
    :meth:`arguments`. A worker is started with the dispatcher and again after every failure; its batches come one
    after the other, in order. What a batch did counts from :meth:`on_note` on, and then its events are finished in
    the same breath: a batch without a note never was, and is sent again to a worker that begins anew.
    """

    target: str = ""

    @property
    @abstractmethod
    def is_needed(self) -> bool:
        """Whether a worker is wanted at all. Once False it stays so: the worker ends, nothing more is sent."""

    @abstractmethod
    def arguments(self) -> Any:
        """What a new worker begins with; asked at every start, so that it begins with the newest state."""

    @abstractmethod
    def on_started(self, note: Any) -> None:
        """A worker is ready and has said this about itself."""

    @abstractmethod
    def wants(self, event: Event) -> bool:
        """Whether to send ``event``; if not, it is finished at once. Asked on arrival and again before sending."""

    @abstractmethod
    def brief(self) -> Any:
        """What travels with a batch; made when it is sent, and anew when it is sent again."""

    @abstractmethod
    def on_note(self, note: Any) -> None:
        """The worker has done a batch. Must take all of the note or raise before it has taken any."""

    @abstractmethod
    def on_failure(self, problem: str) -> None:
        """A worker died, was cut off, failed with a batch or did not start; it has been ended."""

    async def handle(self, event: Event) -> Any:
        raise StateError(
            f"{self.name or type(self).__name__} works in a process of its own: register it on Lane.PROCESS"
        )


class RemoteWork(Protocol):
    """The half in the worker process. An exception from any of this ends the worker; the loop is told."""

    def started(self) -> Any:
        """What to tell the loop first."""
        ...

    def work(self, events: Sequence[Event], brief: Any) -> Any:
        """Do a batch; the note about it."""
        ...
