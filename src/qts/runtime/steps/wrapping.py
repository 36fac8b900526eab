"""Makes steps of the calls of handlers, and of what goes on once the disk has written."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, TypeVar

from qts.db.contracts import Record
from qts.errors import HalfDoneError
from qts.event.contracts import Event
from qts.event.handlers import Callback
from qts.runtime.persistence.store_writer import StoreWriter
from qts.runtime.steps.contracts import GO_ON, HANDLER, NOT_RECORDED, Steps

_T = TypeVar("_T")


def stepped_handler(steps: Steps, handler: Callback) -> Callback:
    """Return ``handler``, each of whose calls is a step; itself where nothing is recorded."""
    if steps is NOT_RECORDED:
        return handler
    if inspect.iscoroutinefunction(handler):
        waiting: Callable[[Event], Awaitable[Any]] = handler

        async def call_and_wait(event: Event) -> Any:
            """Begin the step, and call."""
            steps.take(HANDLER, event.event_type.value)
            return await waiting(event)

        return call_and_wait

    def call(event: Event) -> Any:
        """Begin the step, and call."""
        steps.take(HANDLER, event.event_type.value)
        return handler(event)

    return call


class SteppedWriter:
    """A :class:`~qts.runtime.persistence.store_writer.StoreWriter` after whose waits a step begins."""

    def __init__(self, inner: StoreWriter, steps: Steps) -> None:
        self.inner = inner
        """The writer."""
        self._steps = steps
        self.continue_after = inner.continue_after
        self.connect = inner.connect
        self.write_later = inner.write_later
        self.applied = inner.applied
        self.book = inner.book
        self.begin_checkpoint = inner.begin_checkpoint
        self.begin_send = inner.begin_send
        self.end_send = inner.end_send
        self.raise_failure = inner.raise_failure

    @property
    def book_revision(self) -> int:
        """Implement :class:`StoreWriter`, here and below."""
        return self.inner.book_revision

    @property
    def is_concurrent(self) -> bool:
        return self.inner.is_concurrent

    @property
    def is_settled(self) -> bool:
        return self.inner.is_settled

    @property
    def is_book_stored(self) -> bool:
        return self.inner.is_book_stored

    @property
    def is_writing(self) -> bool:
        return self.inner.is_writing

    @property
    def has_failed(self) -> bool:
        return self.inner.has_failed

    def running(self) -> AbstractAsyncContextManager[None]:
        return self.inner.running()

    async def write_intent(self, records: Sequence[Record]) -> None:
        await self.inner.write_intent(records)
        await self._steps.turn(GO_ON, "intent")

    async def checkpoint(self, records: Sequence[Record] = ()) -> None:
        beside = self.inner.is_concurrent
        await self.inner.checkpoint(records)
        if beside:
            await self._steps.turn(GO_ON, "checkpoint")

    async def on_store(self, call: Callable[[], _T]) -> _T:
        beside = self.inner.is_concurrent
        found = await self.inner.on_store(call)
        if beside:
            await self._steps.turn(GO_ON, "store")
        return found

    def whole(self, effect: str) -> AbstractContextManager[None]:
        return self.inner.whole(effect)

    def give_up(self, effect: str, error: BaseException) -> HalfDoneError:
        return self.inner.give_up(effect, error)


def stepped_writer(steps: Steps, writer: StoreWriter) -> StoreWriter:
    """Return ``writer`` with steps; itself where nothing is recorded."""
    return writer if steps is NOT_RECORDED else SteppedWriter(writer, steps)
