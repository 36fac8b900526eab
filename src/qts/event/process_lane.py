"""The PROCESS lane: CPU work in a worker process of low priority, restarted when it dies."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import msgspec

from qts.event.codec import decode_event, encode_event
from qts.event.contracts import Event
from qts.event.engine import Entry
from qts.event.lanes import LaneRunner, LaneTools, Outcome
from qts.event.worker import LENGTH, frame


class WorkerDied(Exception):
    """The worker process ended while it held an event."""


class HandlerFailed(Exception):
    """The handler raised in its process."""


class ProcessRunner(LaneRunner):
    """One worker process for one handler; it starts with the first event and again after it died."""

    def __init__(self, entry: Entry, tools: LaneTools, target: str) -> None:
        super().__init__(entry, tools)
        self.target = target
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The worker's process id; None when there is none at present."""
        return None if self._process is None else self._process.pid

    def _start(self, events: list[Event]) -> None:
        self._task = self.tools.loop.create_task(self._exchange(events), name=f"qts-process-{self.entry.name}")

    def _abandon(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._kill()

    async def close(self) -> None:
        process, task, self._task = self._process, self._task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._kill()
        if process is not None:
            await process.wait()

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
        if process is not None:
            self.restarts += 1

    async def _exchange(self, events: list[Event]) -> None:
        try:
            outcome = await self._ask([encode_event(event) for event in events])
        except Exception as error:  # noqa: BLE001 - the worker or its pipe may fail in any way; the event is retried
            outcome = (None, error)
        rest: list[Outcome] = [(None, outcome[1])] * (len(events) - 1)
        self._task = None
        self._ended([outcome, *rest])

    async def _ask(self, request: Any) -> Outcome:
        if self._process is None:
            self._process = await self._launch()
            accepted, text = await self._converse([self.target, self.tools.config.worker_nice])
            if not accepted:
                self._kill()
                return (None, HandlerFailed(str(text)))
        accepted, value = await self._converse(request)
        if not accepted:
            return (None, HandlerFailed(str(value)))
        return ([decode_event(stored) for stored in value], None)

    async def _launch(self) -> asyncio.subprocess.Process:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "qts.event.worker", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env=environment,
        )  # fmt: skip

    async def _converse(self, request: Any) -> tuple[bool, Any]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(frame(request))
            await process.stdin.drain()
            (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
            answer: tuple[bool, Any] = tuple(msgspec.msgpack.decode(await process.stdout.readexactly(length)))
        except (OSError, asyncio.IncompleteReadError) as error:
            self._kill()
            raise WorkerDied(f"worker process {process.pid} ended while it held an event") from error
        return answer
