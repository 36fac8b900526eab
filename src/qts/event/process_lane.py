"""The PROCESS lane: CPU work in a worker process of low priority, restarted when it dies."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from typing import Any

import msgspec

from qts.errors import ContractError
from qts.event.codec import decode_event, encode_event
from qts.event.contracts import Event, EventPriority
from qts.event.entry import Entry
from qts.event.lanes import LaneRunner, LaneTools, Outcome
from qts.event.worker import LENGTH, frame


class WorkerDied(Exception):
    """The worker process ended while it held an event."""


class WorkerLate(Exception):
    """The worker process was not ready in time."""


class HandlerFailed(Exception):
    """The handler raised in its process."""


class Worker:
    """A running worker process and the connection to it."""

    __slots__ = ("process", "reader", "writer")

    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.process = process
        self.reader = reader
        self.writer = writer

    async def ask(self, request: Any) -> tuple[bool, Any]:
        """Send one request and wait for its answer. Raises WorkerDied when the process ends before."""
        try:
            self.writer.write(frame(request))
            await self.writer.drain()
            (length,) = LENGTH.unpack(await self.reader.readexactly(LENGTH.size))
            answer: tuple[bool, Any] = tuple(msgspec.msgpack.decode(await self.reader.readexactly(length)))
        except (OSError, asyncio.IncompleteReadError) as error:
            raise WorkerDied(f"worker process {self.process.pid} ended while it held an event") from error
        return answer

    def kill(self) -> None:
        self.process.kill()
        self.writer.close()


def launch(child: socket.socket) -> subprocess.Popen[bytes]:
    """Start a worker process that talks over ``child``."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with child:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, "-m", "qts.event.worker", str(child.fileno())],
            pass_fds=[child.fileno()],
            stdin=subprocess.DEVNULL,
            env=environment,
        )


class ProcessRunner(LaneRunner):
    """One worker process for one handler; it starts with the first event and again after it died."""

    def __init__(self, entry: Entry, tools: LaneTools, target: str) -> None:
        super().__init__(entry, tools)
        self.target = target
        self._worker: Worker | None = None
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[Any]] = set()

    @property
    def pid(self) -> int | None:
        """The worker's process id; None when there is none at present."""
        return None if self._worker is None else self._worker.process.pid

    @property
    def _is_ready(self) -> bool:
        return self._worker is not None

    def _start(self, events: list[Event]) -> None:
        self._task = self.tools.loop.create_task(self._exchange(events), name=f"qts-process-{self.entry.name}")

    def _abandon(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._see_out(self._task)
            self._task = None
        self._kill()

    async def close(self) -> None:
        self._kill()
        while self._ending:  # one may bring another: a cancelled exchange leaves a process to be ended
            await asyncio.gather(self._ending.pop(), return_exceptions=True)

    def _see_out(self, task: asyncio.Task[Any]) -> None:
        """Remember a task that only has to come to its end."""
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _kill(self) -> None:
        worker, self._worker = self._worker, None
        if worker is None:
            return
        self.restarts += 1
        worker.kill()
        self._see_out(self.tools.loop.create_task(asyncio.to_thread(worker.process.wait)))

    async def _exchange(self, events: list[Event]) -> None:
        try:
            request = [encode_event(event) for event in events]
        except ContractError as error:  # the event is at fault, not the worker: it stays
            self._task = None
            self._ended([(None, error)] * len(events))
            return
        try:
            outcome = await self._outcome(request)
        except Exception as error:  # noqa: BLE001 - the worker or its connection may fail in any way; it is retried
            self._kill()
            outcome = (None, error)
        self._task = None
        self._ended([outcome, *[(None, outcome[1])] * (len(events) - 1)])

    async def _outcome(self, request: Any) -> Outcome:
        worker = self._worker
        if worker is None:
            worker = await self._greeted()
            self._start_clock()  # the interpreter's start and the handler's imports are not the event's fault
        accepted, value = await worker.ask(request)
        if not accepted:
            return (None, HandlerFailed(str(value)))
        return ([decode_event(stored) for stored in value], None)

    async def _greeted(self) -> Worker:
        """A new worker that has its handler. Raises WorkerLate when that takes longer than ``worker_start_ms``."""
        config, is_background = self.tools.config, self.entry.priority >= EventPriority.P2_MEDIUM
        try:
            async with asyncio.timeout(config.worker_start_ms / 1_000):
                worker = self._worker = await self._launch()
                niceness = config.background_nice if is_background else config.worker_nice
                accepted, text = await worker.ask([self.target, niceness])
        except TimeoutError as error:
            raise WorkerLate(f"no worker was ready after {config.worker_start_ms} ms") from error
        if not accepted:
            raise HandlerFailed(str(text))
        return worker

    async def _launch(self) -> Worker:
        parent, child = socket.socketpair()
        try:
            reader, writer = await asyncio.open_connection(sock=parent)
        except BaseException:
            parent.close()
            child.close()
            raise
        starting = self.tools.loop.create_task(asyncio.to_thread(launch, child))  # must not be felt on the loop
        try:
            return Worker(await asyncio.shield(starting), reader, writer)
        except BaseException:
            writer.close()
            self._see_out(self.tools.loop.create_task(_end(starting)))
            raise


async def _end(starting: asyncio.Task[subprocess.Popen[bytes]]) -> None:
    """End a process nobody wants any more, as soon as it is there."""
    try:
        process = await starting
    except OSError:  # it never came to be
        return
    process.kill()
    await asyncio.to_thread(process.wait)
