"""Connects a session with the servers that follow its book, before anything is written, and lets them catch up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from qts.clock import Clock
from qts.db.config import AUTO, DATABASE, SHEETS, StoreConfig
from qts.db.contracts import RunRow
from qts.db.datadir import DATABASE_NAME
from qts.db.reading import StoreReader
from qts.db.session import SessionStore
from qts.errors import InputError, StateError, StorageError
from qts.notes import Note
from qts.runtime.control.stop_flag import StopFlag
from qts.runtime.drivers.standard_output import say
from qts.runtime.persistence.server_copy import ServerView, view_of
from qts.runtime.persistence.view_file import replace_view
from qts.runtime.session.session_plan import SessionPlan
from qts.runtime.session.session_view import read_view
from qts.wording import counted

if TYPE_CHECKING:  # without a server nothing of it is imported
    from qts.db.follower import Follower, FollowerStatus, OpenAdapter

_TOLD_AFTER_S: Final = 1.0
_TOLD_EVERY_S: Final = 5.0
_SHEETS_WAIT_S: Final = 1.0
"""How long the begin of a session waits to say at once what is wrong with the spreadsheet."""
_SHEETS_PAUSES_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_SHEETS_IDLE_S: Final = 60.0
_SHEETS_GATHER_S: Final = 5.0
"""How long a batch waits for others: each group takes two or three calls, of some fifty a minute."""


def connected(
    plan: SessionPlan, config: StoreConfig, run: RunRow, directory: Path, machine: Clock
) -> tuple[Follower, ...]:
    """Return the followers of ``run``, connected, or of servers that are away and are tried again; () without one.

    Raises InputError for a mode that lacks a server, and for a database or schema that cannot be used, StateError
    when another process writes the run on the database, or when that has another life of it, StorageError for a
    run that cannot be read. A spreadsheet that cannot be used is told, and tried again.
    """
    named = plan.servers
    if not named.openers and not named.mode and config.data_source_mode == AUTO:
        return ()
    from qts.db.hybrid import HybridAdapter

    hybrid = HybridAdapter(named.openers, config.data_source_mode, named.mode)
    if DATABASE not in hybrid.followers and config.durability == "server":
        raise InputError(
            f"store.durability is server, and with {hybrid.mode.value} no database follows: orders can wait for no "
            "spreadsheet; choose HYBRID or DB_ONLY, or store.durability local"
        )
    path = directory / DATABASE_NAME
    is_resumed = plan.options.resume and path.exists()
    if is_resumed:
        with StoreReader(path) as reader:  # a configuration that it has accepted since gives it no other id
            run = reader.run() or run
    followers: list[Follower] = []
    try:
        for name, opener in hybrid.followers.items():
            make = _of_database if name == DATABASE else _of_sheets
            followers.append(make(plan, config, run, opener, machine))
            if name == SHEETS:
                followers[-1].begin()  # meanwhile the database is connected
        for follower in followers:
            _connect(follower, plan, run, is_resumed=is_resumed)
    except BaseException:
        for follower in followers:
            follower.stop()
        raise
    return tuple(followers)


def _of_database(
    plan: SessionPlan, config: StoreConfig, run: RunRow, opener: OpenAdapter, machine: Clock
) -> Follower:
    from qts.db.follower import Follower

    return Follower(DATABASE, run, opener, machine, repeats=not plan.paced)


def _of_sheets(
    plan: SessionPlan, config: StoreConfig, run: RunRow, opener: OpenAdapter, machine: Clock
) -> Follower:
    from qts.db.follower import Follower

    return Follower(
        SHEETS,
        run,
        opener,
        machine,
        repeats=not plan.paced,
        pauses_s=_SHEETS_PAUSES_S,
        idle_s=_SHEETS_IDLE_S,
        gather_s=_SHEETS_GATHER_S,
        is_needed=False,
        check_s=config.sheets_check_s,
    )


def _connect(follower: Follower, plan: SessionPlan, run: RunRow, *, is_resumed: bool) -> None:
    is_database = follower.name == DATABASE
    applied = follower.connect(None if is_database else _SHEETS_WAIT_S)
    status = follower.status
    if not is_database:
        if status.reason:
            say(f"the session goes on without Google Sheets, which is tried again: {status.reason}")
    elif applied is None:
        say(f"the server is away and is tried again, nothing is lost meanwhile: {status.reason}")
    elif applied and plan.paced and not is_resumed:
        raise StateError(
            f"the server has run {run.run_id} already ({counted(applied, 'batch', 'batches')}), and a session in "
            "real time does not do the same again: continue it with --resume and its --data-dir, or begin another "
            "with --seed N or other settings"
        )
    for note in status.notes if is_database else ():  # those of a spreadsheet are told while the session runs
        say(note)


def begin(followers: Sequence[Follower], store: SessionStore) -> None:
    """Let ``followers`` send what ``store`` commits from now on, and what it has committed before."""
    if followers:
        store.follow([follower.name for follower in followers])
    for follower in followers:
        follower.start(store)


async def drained(followers: Sequence[Follower], directory: Path, drain_s: float, stop: StopFlag) -> list[Note]:
    """Wait until the servers have everything, at most ``drain_s``, or until the user stops it; then end followers.

    Return what each server has, and how it gets what it lacks; nothing is lost. Raises nothing.
    """
    loop, was_stopped = asyncio.get_running_loop(), stop.requested
    until, told = loop.time() + drain_s, loop.time() + _TOLD_AFTER_S
    ended = {asyncio.wrap_future(follower.begin_stop()) for follower in followers}
    while ended and loop.time() < until and stop.requested is was_stopped:
        _, ended = await asyncio.wait(ended, timeout=min(0.2, max(until - loop.time(), 0)))
        if loop.time() >= told and ended:
            told = loop.time() + _TOLD_EVERY_S
            lacks = [one.status.lag_batches for one in followers]
            lacking = counted(max(lacks), "batch", "batches")
            say(f"servers are sent what they lack: {lacking}; Ctrl-C leaves the rest for later")
    for follower in followers:
        follower.stop()
    found = [follower.status for follower in followers]
    _show_last(directory, found)
    return [note for status in found for note in _notes_of(status, directory)]


def _notes_of(status: FollowerStatus, directory: Path) -> list[Note]:
    unnamed = Note.of("server-unnamed") if status.name == DATABASE else Note.of("server-unnamed-sheets")
    server: Note | str = status.server or unnamed
    reason: Note | str = status.reason or Note.of("server-not-drained")
    if not status.is_known:
        return [
            Note.of("server-unknown", server=server, batches=status.newest, reason=reason, directory=str(directory))
        ]
    notes = []
    if not status.lag_batches:
        notes.append(Note.of("server-has-all", server=server, batches=status.applied))
    else:
        notes.append(
            Note.of(
                "server-lacks",
                server=server,
                lacks=status.lag_batches,
                batches=status.newest,
                reason=reason,
                directory=str(directory),
            )
        )
    if status.altered:
        notes.append(Note.of("server-altered", server=server, first="; ".join(status.altered)))
    return notes


def _show_last(directory: Path, found: Sequence[FollowerStatus]) -> None:
    """Let the view of the session that has ended show what the servers have now: they got more since."""
    try:
        view = read_view(directory)
    except StorageError:  # qts status says what is wrong with the file
        return
    if view is None or not view.servers:
        return
    before = {one.name: one for one in view.servers}
    servers = tuple(_last(before.get(status.name), status) for status in found)
    replace_view(directory, msgspec.json.encode(msgspec.structs.replace(view, servers=servers)))


def _last(before: ServerView | None, status: FollowerStatus) -> ServerView:
    now = view_of(status)
    if before is None:
        return now
    return msgspec.structs.replace(now, durability=before.durability, waits=before.waits, late=before.late)
