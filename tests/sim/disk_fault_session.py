"""Runs a paper session whose journal's disk fails, or which is killed around the sending of an order, and resumes
it.

    python -m tests.sim.disk_fault_session DIRECTORY FAULT

A process of its own, because it replaces system calls and forks. Prints one JSON list: how the first attempt ended
and its message, the same of the second one, and every fill that stood in the store after each of them.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
from bench import paper_kills

from qts.broker.sim.exchange import SimExchange
from qts.errors import QtsError
from qts.event.journal_recovery import check_journal
from qts.execution.contracts import OrderAck
from qts.risk.contracts import Approved
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.session.session import run_session

AFTER = 12
"""Number of calls that succeed before the one that fails: by then there are fills."""
TURNS = 30
"""Polls of the driver for which the session goes on afterwards, if it does."""


_waits_for_its_fault = [False]
"""Whether this attempt still waits for its fault: then it does not end by itself."""


def fails(name: str, code: int, concerns: Callable[[Any], bool], after: int = AFTER) -> None:
    """Let ``os.name`` fail from the call behind ``after`` on that concerns the journal."""
    real, left = getattr(os, name), [after]
    _waits_for_its_fault[0] = True

    def call(first: Any, *rest: Any, **named: Any) -> Any:
        if concerns(first):
            left[0] -= 1
            if left[0] < 0:
                _waits_for_its_fault[0] = False
                raise OSError(code, os.strerror(code))
        return real(first, *rest, **named)

    setattr(os, name, call)


def is_journal(fd: int) -> bool:
    return os.readlink(f"/proc/self/fd/{fd}").endswith(".journal")


def killed_at_the_broker(*, after: bool) -> None:
    """Kill the process at an order: its intent is durable, the broker has it (``after``) or not."""
    _waits_for_its_fault[0] = True
    place, left = SimExchange.place, [AFTER]

    async def dying(exchange: SimExchange, approved: Approved) -> OrderAck:
        left[0] -= 1
        if not left[0] and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        ack = await place(exchange, approved)
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return ack

    SimExchange.place = dying  # type: ignore[method-assign]


def new_file(path: Any) -> bool:
    return str(path).endswith(".journal") and not Path(path).exists()


FAULTS: dict[str, Callable[[], None]] = {
    "sync": lambda: fails("fdatasync", errno.EIO, lambda fd: True),
    "write": lambda: fails("write", errno.EIO, is_journal),
    "rotation": lambda: fails("open", errno.ENOSPC, new_file, after=1),
    "before the broker": lambda: killed_at_the_broker(after=False),
    "after the broker": lambda: killed_at_the_broker(after=True),
}


def attempt(directory: Path, inject: Callable[[], None]) -> tuple[str, str]:
    """Run a session in a child process; return how it ended (exit code, or "killed") and its message."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            inject()
            code, said = _session(directory)
            os.write(writing, said.encode())
        except BaseException as error:  # noqa: BLE001 - the edge of the process: whatever it is, say it and end
            os.write(writing, repr(error).encode())
        finally:
            os._exit(code)
    os.close(writing)
    with open(reading, "rb") as said_by_child:
        said = said_by_child.read().decode()
    _, status = os.waitpid(child, 0)
    return ("killed" if os.WIFSIGNALED(status) else str(os.WEXITSTATUS(status))), said


def _session(directory: Path) -> tuple[int, str]:
    stop, turns = StopFlag(), [TURNS]

    def progress(share: float | None, moment_ns: int) -> None:
        turns[0] -= not _waits_for_its_fault[0]
        if turns[0] <= 0:
            stop.request()

    plan = paper_kills._plan(directory)
    settings = {**plan.options.overrides, "event.journal.segment_bytes": "4096"}
    options = msgspec.structs.replace(plan.options, overrides=settings)
    try:
        result = run_session(msgspec.structs.replace(plan, options=options), progress=progress, stop=stop)
    except QtsError as error:
        return error.exit_code, str(error)
    return 0, str(result.values.finished)


def fills(directory: Path) -> list[list[Any]]:
    with closing(sqlite3.connect(directory / "qts.sqlite")) as connection:
        return [list(row) for row in connection.execute(f"SELECT {paper_kills._ROWS} FROM t_ledger ORDER BY id")]


def codes(directory: Path) -> list[str]:
    with closing(sqlite3.connect(directory / "qts.sqlite")) as connection:
        return [code for (code,) in connection.execute("SELECT code FROM safety_history ORDER BY id")]


def main(directory: str, fault: str) -> None:
    """The scenario of one fault."""
    place = Path(directory)
    first = attempt(place, FAULTS[fault])
    before, told = fills(place), codes(place)
    second = attempt(place, lambda: None)
    after = fills(place)
    problems = check_journal(place / "journal")
    print(json.dumps([first, before, told, second, after, problems]))


if __name__ == "__main__":
    main(*sys.argv[1:])
