"""The recorder process of a session: ``python -m qts.runtime.recording.recorder_process FD PARENT``.

It writes one block after the other and reports each. While the server is away it tries the same block again and
reads no further: what comes meanwhile waits in the session, which drops the oldest. A block that is sent twice
changes nothing. Beside that it does the upkeep of the values that are stored. The process ends with its session, at
the latest when the session's process dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import BinaryIO, Final

import msgspec

from qts.clock import SystemClock
from qts.db.access import parse
from qts.db.adapter import TickBlock
from qts.db.ticks.connecting import connect_for_ticks
from qts.db.ticks.tick_store import TickStore
from qts.db.ticks.upkeep import PERIOD_S, TickUpkeep
from qts.errors import ContractError, InputError, QtsError, Unavailable
from qts.event.worker import LENGTH, end_with_parent, frame, keep_connection_private, lower_cpu_priority
from qts.runtime.recording.wire import Greeting, Report, block_of

NICENESS: Final = 5
"""Recording comes after the session itself when processors are short."""
_PAUSES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
"""The waits between tries while the server is away; the last one repeats."""


class RecorderProcess:
    """One recording: its store, and what it has done so far."""

    def __init__(self, store: TickStore, greeting: Greeting, tell: Callable[[Report], None]) -> None:
        self._store = store
        self._greeting = greeting
        self._tell = tell
        self._report = Report()
        self._recording: int | None = None

    async def begin(self) -> None:
        """Try the server once and report how it is; one that is away is tried again with the first block.

        Raises InputError for a server that cannot be used, unless it could be before.
        """
        try:
            await self._number()
        except Unavailable as error:
            self._say(state="away", why=str(error))
        except InputError as error:
            if not self._greeting.is_again:
                raise
            self._say(state="away", why=str(error))
        else:
            self._say()

    async def write(self, body: bytes) -> None:
        """Write a block, however long the server is away or refuses us, and report it.

        What only a person can put right, such as rights that were taken away, may pass as well.
        """
        number, values = block_of(body)
        refused: list[str] = []
        tries = 0
        while True:
            try:
                first = (await self._number() << 40) + number
                refused.clear()
                await self._store.append(TickBlock(first, tuple(values)), refused.append)
                break
            except (Unavailable, InputError) as error:
                if isinstance(error, ContractError):  # a defect of ours, which does not pass
                    raise
                self._say(state="away", why=str(error))
                await _pause(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])
                tries += 1
        done = self._report
        self._say(
            blocks=done.blocks + 1,
            recorded=done.recorded + len(values) - len(refused),
            refused=done.refused + len(refused),
            first_refusal=done.first_refusal or next(iter(refused), ""),
            state="ready",
            why="",
        )

    def fail(self, error: QtsError) -> None:
        """Report that nothing more will be recorded."""
        self._say(state="failed", why=str(error))

    async def _number(self) -> int:
        if self._recording is None:
            one = self._greeting
            self._recording = await self._store.recording(one.source, one.currency, one.max_age_ns)
        return self._recording

    def _say(self, **changes: object) -> None:
        self._report = msgspec.structs.replace(self._report, **changes)
        self._tell(self._report)


async def serve(blocks: BinaryIO, reports: BinaryIO) -> int:
    """Write the blocks until they end; return the exit code."""

    def tell(report: Report) -> None:
        reports.write(frame(report))
        reports.flush()

    body = _next(blocks)
    if body is None:
        return 0
    greeting = msgspec.msgpack.decode(body, type=Greeting)
    access = parse(greeting.url, os.environ)
    store = TickStore(partial(connect_for_ticks, access, "qts recorder"), access.place)
    process = RecorderProcess(store, greeting, tell)
    upkeep = TickUpkeep(
        partial(connect_for_ticks, access, "qts upkeep"),
        access.place,
        SystemClock(),
        tick_days=greeting.tick_days,
        minute_days=greeting.minute_days,
    )
    task: asyncio.Task[None] | None = None
    try:
        await process.begin()
        task = asyncio.create_task(_keep_up(upkeep))
        while (body := await asyncio.to_thread(_next, blocks)) is not None:
            await process.write(body)
    except QtsError as error:
        process.fail(error)
        return 1
    finally:
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))
        await store.close()
    return 0


async def _keep_up(upkeep: TickUpkeep) -> None:
    """Do the upkeep of the server's market values once a minute; what cannot be done now is done then."""
    while True:
        with contextlib.suppress(QtsError):
            await upkeep.run()
        await _pause(PERIOD_S)


async def _pause(seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()


def _next(stream: BinaryIO) -> bytes | None:
    """Return the next message, None at the end."""
    head = stream.read(LENGTH.size)
    return stream.read(LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else None


def main(arguments: list[str]) -> int:
    """Serve over the socket whose file descriptor is given."""
    lower_cpu_priority(NICENESS)
    with socket.socket(fileno=int(arguments[0])) as connection:
        return asyncio.run(serve(connection.makefile("rb"), connection.makefile("wb")))


if __name__ == "__main__":
    end_with_parent(int(sys.argv[2]))
    keep_connection_private(int(sys.argv[1]))
    sys.exit(main(sys.argv[1:]))
