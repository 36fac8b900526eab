"""Remote handlers: the work is done in another process, under the control of a handler on the loop.

An ordinary PROCESS handler is a function that is sent events and returns events. A *remote* handler has two halves:
a :class:`RemoteHandler` on the loop, where the state of the session is, and a :class:`RemoteWork` in the process.
With each batch a *context* is sent and a *result* comes back, both plain data that msgspec can encode as msgpack.
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
    after the other, in order. What a batch did counts from :meth:`on_batch_result` on; its events are finished in
    the same step. A batch without a result has no effect, and is sent again to a new worker.
    """

    target: str = ""

    @property
    @abstractmethod
    def is_needed(self) -> bool:
        """Return whether a worker is needed. Once False it stays so: the worker ends, nothing more is sent."""

    @abstractmethod
    def arguments(self) -> Any:
        """Return the arguments of a new worker, plain data.

        Called at every start, so that it has the newest state.
        """

    @abstractmethod
    def on_started(self, greeting: Any) -> None:
        """Accept the greeting of a worker that is ready: what :meth:`RemoteWork.started` returned."""

    @abstractmethod
    def wants(self, event: Event) -> bool:
        """Return whether to send ``event``; if not, it is finished at once.

        Called on arrival and before sending.
        """

    def to_send(self, event: Event) -> Event:
        """Return what is sent of a wanted ``event``: itself, unless a handler converts its payload."""
        return event

    @abstractmethod
    def batch_context(self) -> Any:
        """Return the context of a batch, plain data; called whenever a batch is sent, also when it is repeated."""

    @abstractmethod
    def on_batch_result(self, result: Any) -> None:
        """Apply the result of a batch wholly, or raise before applying any of it."""

    @abstractmethod
    def on_failure(self, problem: str) -> None:
        """Note that a worker died, timed out, failed with a batch or did not start; it has been ended.

        ``problem`` is a sentence for people.
        """

    async def handle(self, event: Event) -> Any:
        """Raise StateError: a remote handler is never called with single events."""
        raise StateError(
            f"{self.name or type(self).__name__} works in a process of its own: register it on Lane.PROCESS"
        )


class RemoteWork(Protocol):
    """The half in the worker process, called on its main thread.

    An exception ends the worker and reaches the loop.
    """

    def started(self) -> Any:
        """Return the greeting for :meth:`RemoteHandler.on_started`, plain data; called once, before any batch."""
        ...

    def work(self, events: Sequence[Event], context: Any) -> Any:
        """Process a batch with its context and return the result for :meth:`RemoteHandler.on_batch_result`."""
        ...
