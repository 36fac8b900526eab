"""The PROCESS lane: CPU work in a worker process of low priority, restarted when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from qts.errors import ContractError, StorageError
from qts.event.codec import decode_event, encode_event
from qts.event.contracts import Event, EventPriority
from qts.event.lanes import LaneRunner, LaneTools, Outcome
from qts.event.work import HandlerRegistration
from qts.event.worker import LENGTH, PARENTS_SIGNALS, frame
from qts.threads import start_thread


class WorkerDied(Exception):
    """The worker process ended while it held an event."""


class WorkerLate(Exception):
    """The worker process was not ready in time."""


class HandlerFailed(Exception):
    """The handler raised in its process."""


class Worker:
    """A running worker process and the connection to it."""

    __slots__ = ("ended", "process", "reader", "writer")

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        ended: asyncio.Future[None],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.process = process
        self.ended = ended
        """Done when the process has ended."""
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
        """End the process at once and close the connection."""
        self.process.kill()
        self.writer.close()


def start_worker_process(child: socket.socket, module: str = "qts.event.worker") -> subprocess.Popen[bytes]:
    """Start a worker process that runs ``module`` and communicates over ``child``, which is closed here.

    It begins with its parent's signals blocked, until it has set its own handling of them.
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, PARENTS_SIGNALS)  # of this thread, and of what it starts
    try:
        with child:
            return subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-m", module, str(child.fileno()), str(os.getpid())],
                pass_fds=[child.fileno()],
                stdin=subprocess.DEVNULL,
                env=environment,
            )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class ProcessWatcher:
    """A thread that starts a worker process and waits for its end.

    The start must not delay the loop. The end is that of the process, since the connection does not always show it:
    a fork of the worker may hold it open. And the thread has to live as long as the process: the system
    ends a worker with the thread that started it (:func:`qts.event.worker.end_with_parent`).
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ours: socket.socket, child: socket.socket) -> None:
        self.started: asyncio.Future[subprocess.Popen[bytes]] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._ours = ours
        start_thread(lambda: self._keep(child), "qts-worker-keeper")

    async def end(self) -> None:
        """End a process that is not needed any more, as soon as it has started."""
        try:
            process = await self.started
        except OSError:  # it never started
            return
        process.kill()
        await self.ended

    def _keep(self, child: socket.socket) -> None:
        try:
            process = start_worker_process(child)
        except OSError as error:
            self._call_on_loop(self.started.set_exception, error)
            return
        if not self._call_on_loop(self._note_start, process):
            process.kill()
        process.wait()
        self._call_on_loop(self._note_end)

    def _note_start(self, process: subprocess.Popen[bytes]) -> None:
        if self.started.done():  # the waiter was cancelled with it
            process.kill()
        else:
            self.started.set_result(process)

    def _note_end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
        with contextlib.suppress(OSError):  # closed already
            self._ours.shutdown(socket.SHUT_RD)  # what it has sent is still read, then the end

    def _call_on_loop(self, callback: Callable[..., Any], *values: Any) -> bool:
        try:
            self._loop.call_soon_threadsafe(callback, *values)
        except RuntimeError:  # the loop is closed: no one listens any more
            return False
        return True


class ProcessRunner(LaneRunner):
    """The runner of a PROCESS handler: one worker process, started with the first event and again after it died."""

    def __init__(self, registration: HandlerRegistration, tools: LaneTools, target: str) -> None:
        super().__init__(registration, tools)
        self.target = target
        self._worker: Worker | None = None
        self._task: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Future[Any]] = set()

    @property
    def pid(self) -> int | None:
        """Return the worker's process id; None when there is none at present."""
        return None if self._worker is None else self._worker.process.pid

    @property
    def _is_ready(self) -> bool:
        return self._worker is not None and not self._worker.ended.done()

    def _start(self, events: list[Event]) -> None:
        if self._worker is not None and self._worker.ended.done():  # it died of something other than an event
            self._kill()
        self._task = self.tools.loop.create_task(
            self._exchange(events), name=f"qts-process-{self.registration.name}"
        )

    def _abandon(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._track(self._task)
            self._task = None
        self._kill()

    async def close(self) -> None:
        """End the worker and wait for the end of its process."""
        self._kill()
        while self._ending:  # one may bring another: a cancelled exchange leaves a process to be ended
            await asyncio.gather(self._ending.pop(), return_exceptions=True)

    def _track(self, task: asyncio.Future[Any]) -> None:
        """Keep a future until it is done, for :meth:`close`."""
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def _kill(self) -> None:
        worker, self._worker = self._worker, None
        if worker is None:
            return
        self.restarts += 1
        worker.kill()
        if not worker.ended.done():
            self._track(worker.ended)

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
            worker = await self._start_worker()
            self._start_clock()  # the interpreter's start and the handler's imports do not count for the event
        accepted, value = await worker.ask(request)
        if not accepted:
            return (None, HandlerFailed(str(value)))
        return ([decode_event(stored) for stored in value], None)

    async def _start_worker(self) -> Worker:
        """Return a new worker with its handler. Raises WorkerLate after ``worker_start_ms``."""
        config, is_background = self.tools.config, self.registration.priority >= EventPriority.P2_MEDIUM
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
        try:
            keeper = ProcessWatcher(self.tools.loop, parent, child)
        except StorageError:
            writer.close()
            child.close()
            raise
        try:
            return Worker(await asyncio.shield(keeper.started), keeper.ended, reader, writer)
        except BaseException:
            writer.close()
            self._track(self.tools.loop.create_task(keeper.end()))
            raise
