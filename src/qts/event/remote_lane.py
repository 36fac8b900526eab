"""The lane of a remote handler: one worker process, one batch at a time, strictly in the order of arrival.

It differs from the lane of an ordinary process handler in what a failure means. There a failed event is tried again
beside the others; here the worker has a memory that the loop knows only as of the last result, so a failed batch
stays at the head, and the next worker begins with that memory. After a failure the events of the batch
are sent one by one, so that the one at fault is found and no other is lost with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from qts.clock import NS_PER_MS, stopwatch_ns
from qts.event.codec import encode_event
from qts.event.lanes import LaneRunner, LaneTimeout, LaneTools
from qts.event.process_lane import HandlerFailed, ProcessRunner
from qts.event.remote import RemoteHandler
from qts.event.retry import BACKOFF_GROWTH
from qts.event.work import HandlerRegistration, InFlightEvent

SHARE_OF_LIMIT: Final = 4
"""A batch is as large as can be done in a quarter of the lane's limit, at the pace of the batch before."""


def process_runner(registration: HandlerRegistration, tools: LaneTools) -> LaneRunner:
    """Return the runner that a handler of the PROCESS lane needs."""
    if isinstance(registration.origin, RemoteHandler):
        return RemoteRunner(registration, tools, registration.origin)
    return ProcessRunner(registration, tools, registration.target)


class RemoteRunner(ProcessRunner):
    """The runner of a remote handler.

    It starts and ends its process like any process lane; one task sends batches.
    """

    def __init__(self, registration: HandlerRegistration, tools: LaneTools, handler: RemoteHandler) -> None:
        super().__init__(registration, tools, registration.target)
        self._handler = handler
        self._arrived = asyncio.Event()
        self._size = 1
        self._sent = 0
        self._failures = 0
        self._task = tools.loop.create_task(self._run(), name=f"qts-remote-{registration.name}")

    def submit(self, flight: InFlightEvent) -> None:
        """Accept an event that the handler wants; finish any other at once."""
        if self._handler.is_needed and self._handler.wants(flight.event):
            self._enqueue(flight)
            self._arrived.set()
        else:
            self.tools.scheduler.finished(self.registration, flight, None)

    def stop_now(self) -> list[InFlightEvent]:
        """Stop at once; return the events that were not finished, in order."""
        left = self.pending
        self._working = []
        self._abandon()
        self._release(self._backlog.size())
        return left

    # -- sending ----------------------------------------------------------------------------------

    async def _run(self) -> None:
        while self._handler.is_needed:
            try:
                await self._step()
            except Exception as error:  # noqa: BLE001 - the worker, its connection or its result may fail in any way
                self._failed(error)
                await asyncio.sleep(self._backoff_s())
            await asyncio.sleep(0)  # what a result caused is handled before the next context is made
        self._kill()
        self._size = self._batch_size()
        while self.pending:
            self._finish(self._working or self._draw())
            self._working = []
            await asyncio.sleep(0)  # there may be thousands; P0 does not wait for all of them

    async def _step(self) -> None:
        """Start the worker, or fetch events, or process some of them."""
        if self._worker is None:
            self._handler.on_started(await _within(self.tools.config.worker_start_ms, self._start_worker()))
        elif not self._working:
            await self._arrived.wait()
            self._take()
        else:
            sent = self._working[: self._size]
            for flight in sent:
                flight.begin()
            self._sent, begun_ns = len(sent), stopwatch_ns()
            self._handler.on_batch_result(await _within(self._limit_ms, self._process_batch(sent)))
            self._done(sent, stopwatch_ns() - begun_ns)

    async def _start_worker(self) -> Any:
        self._worker = await self._launch()
        return await self._ask([self.target, self.tools.config.worker_nice, self._handler.arguments()])

    async def _process_batch(self, sent: list[InFlightEvent]) -> Any:
        return await self._ask(
            [[encode_event(self._handler.to_send(flight.event)) for flight in sent], self._handler.batch_context()]
        )

    async def _ask(self, request: Any) -> Any:
        assert self._worker is not None
        accepted, value = await self._worker.ask(request)
        if not accepted:
            raise HandlerFailed(str(value))
        return value

    # -- outcomes ----------------------------------------------------------------------------------------------

    def _done(self, sent: list[InFlightEvent], took_ns: int) -> None:
        """Finish what was done and, when the batch is complete, choose the size of the next."""
        del self._working[: len(sent)]
        self._sent = self._failures = 0
        for flight in sent:
            self._report_slow(flight, took_ns)
        self._finish(sent)
        if not self._working:
            aim_ns = self._limit_ms * NS_PER_MS // SHARE_OF_LIMIT
            self._size = max(1, min(self._batch_size(), aim_ns * len(sent) // max(took_ns, 1)))

    def _failed(self, error: Exception) -> None:
        """End the worker, notify the handler, and dead-letter an event that fails by itself again and again."""
        self._kill()
        cut_off_alone = isinstance(error, LaneTimeout) and self._sent == 1
        self._size, self._sent = 1, 0
        self._failures += 1
        self._handler.on_failure(_problem_text(error))
        if self._working and (cut_off_alone or self._failures > self.tools.config.retries):
            self._failures = 0
            self.tools.scheduler.retries.failed(self.registration, self._working.pop(0), error, fatal=True)
            self.tools.wake()

    def _backoff_s(self) -> float:
        config = self.tools.config
        growth: int = BACKOFF_GROWTH ** min(max(self._failures - 1, 0), config.retries)
        return config.retry_backoff_ms * growth / 1_000

    def _take(self) -> None:
        """Move the next events from the backlog to the batch in work; finish those that are not wanted any more."""
        for flight in self._draw():
            if self._handler.wants(flight.event):
                self._working.append(flight)
            else:
                self._finish([flight])

    def _draw(self) -> list[InFlightEvent]:
        drawn: list[InFlightEvent] = []
        while len(drawn) < self._size and (event := self._backlog.get_nowait()) is not None:
            drawn.append(self._flight_of(event))
        if not self._backlog.size():
            self._arrived.clear()
        return drawn

    def _finish(self, flights: list[InFlightEvent]) -> None:
        for flight in flights:
            self.tools.scheduler.finished(self.registration, flight, None)
        self.tools.wake()

    def _batch_size(self) -> int:
        return self._backlog.batch_size * self.tools.batch_factor(self.registration.priority)


async def _within(limit_ms: int, work: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of ``work``. Raises LaneTimeout when it takes longer."""
    try:
        async with asyncio.timeout(limit_ms / 1_000):
            return await work
    except TimeoutError as error:
        raise LaneTimeout(f"cut off after {limit_ms} ms") from error


def _problem_text(error: Exception) -> str:
    """Return what happened, for people; a worker has named the kind of its error itself."""
    return str(error) if isinstance(error, HandlerFailed) else f"{type(error).__name__}: {error}"
