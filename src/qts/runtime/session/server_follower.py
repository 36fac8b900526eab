"""Connects a session with the server that follows its book, before anything is written, and lets it catch up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from qts.clock import Clock
from qts.db.contracts import RunRow
from qts.db.datadir import DATABASE_NAME
from qts.db.reading import StoreReader
from qts.db.session import SessionStore
from qts.errors import StateError, StorageError
from qts.notes import Note
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.drivers.standard_output import say
from qts.runtime.persistence.view_file import replace_view
from qts.runtime.session.session_plan import SessionPlan
from qts.runtime.session.session_view import read_view
from qts.wording import counted

if TYPE_CHECKING:  # without a server nothing of it is imported
    from qts.db.follower import Follower, FollowerStatus

_NAME: Final = "postgres"
_TOLD_AFTER_S: Final = 1.0
_TOLD_EVERY_S: Final = 5.0


def connected(plan: SessionPlan, run: RunRow, directory: Path, machine: Clock) -> Follower | None:
    """Return the follower of ``run``, connected, or of a server that is away and is tried again; None: no server.

    Raises InputError for a server, database or schema that cannot be used, StateError when another process writes
    the run there, or when it has another life of it, StorageError for a run that cannot be read.
    """
    if plan.open_server is None:
        return None
    from qts.db.follower import Follower

    path = directory / DATABASE_NAME
    is_resumed = plan.options.resume and path.exists()
    if is_resumed:
        with StoreReader(path) as reader:  # a configuration that it has accepted since gives it no other id
            run = reader.run() or run
    follower = Follower(_NAME, run, plan.open_server, machine, repeats=not plan.paced)
    applied = follower.connect()
    status = follower.status
    if applied is None:
        say(f"the server is away and is tried again, nothing is lost meanwhile: {status.reason}")
    elif applied and plan.paced and not is_resumed:
        follower.stop()
        raise StateError(
            f"the server has run {run.run_id} already ({counted(applied, 'batch', 'batches')}), and a session in "
            "real time does not do the same again: continue it with --resume and its --data-dir, or begin another "
            "with --seed N or other settings"
        )
    for note in status.notes:
        say(note)
    return follower


def begin(follower: Follower | None, store: SessionStore) -> None:
    """Let ``follower`` send what ``store`` commits from now on, and what it has committed before."""
    if follower is not None:
        store.follow([follower.name])
        follower.start(store)


async def drained(follower: Follower, directory: Path, drain_s: float, stop: StopFlag) -> Note:
    """Wait until the server has everything, at most ``drain_s``, or until the user stops it; then end the follower.

    Return what the server has, and how it gets what it lacks; nothing is lost. Raises nothing.
    """
    loop, was_stopped = asyncio.get_running_loop(), stop.requested
    until, told = loop.time() + drain_s, loop.time() + _TOLD_AFTER_S
    ended = asyncio.wrap_future(follower.begin_stop())
    while not ended.done() and loop.time() < until and stop.requested is was_stopped:
        await asyncio.wait((ended,), timeout=min(0.2, max(until - loop.time(), 0)))
        if loop.time() >= told and not ended.done():
            told = loop.time() + _TOLD_EVERY_S
            lacks = counted(follower.status.lag_batches, "batch", "batches")
            say(f"the server is sent what it lacks: {lacks}; Ctrl-C leaves the rest for later")
    follower.stop()
    status = follower.status
    _show_last(directory, status)
    server: Note | str = status.server or Note.of("server-unnamed")
    if not status.lag_batches:
        return Note.of("server-has-all", server=server, batches=status.applied)
    return Note.of(
        "server-lacks",
        server=server,
        lacks=status.lag_batches,
        batches=status.newest,
        reason=status.reason or Note.of("server-not-drained"),
        directory=str(directory),
    )


def _show_last(directory: Path, status: FollowerStatus) -> None:
    """Let the view of the session that has ended show what the server has now: it got the last batches since."""
    try:
        view = read_view(directory)
    except StorageError:  # qts status says what is wrong with the file
        return
    if view is None or view.server is None:
        return
    server = msgspec.structs.replace(
        view.server,
        server=status.server,
        state=status.state.value,
        reason=status.reason,
        applied=status.applied,
        newest=status.newest,
        lag_s=round(status.lag_s, 3),
        waiting_bytes=status.waiting_bytes,
        slow=status.slow,
    )
    replace_view(directory, msgspec.json.encode(msgspec.structs.replace(view, server=server)))
