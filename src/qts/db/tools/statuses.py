"""The state of a server with its runs, for people and programs; that of a file that takes its place."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from qts.db.adapter import DataSourceAdapter
from qts.db.tools.verify import require_whole
from qts.errors import StateError


class RunOnServer(msgspec.Struct, frozen=True, kw_only=True):
    """A run: the newest batch that was ``applied``, and whether it ``is_whole`` up to there.

    ``holder`` wrote it last, ``changed_at`` (ISO 8601, UTC) is when; both "" where the server does not know.
    """

    run_id: str
    account: str
    command: str
    started_at: str
    finished: bool
    applied: int
    is_whole: bool = True
    holder: str = ""
    changed_at: str = ""


class ServerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a server; ``schema``: the names of the steps by their outcome: applied, skipped, missing."""

    place: str
    server: str
    notes: tuple[str, ...]
    schema: Mapping[str, tuple[str, ...]]
    roles: tuple[str, ...]
    runs: tuple[RunOnServer, ...]


async def status_of(adapter: DataSourceAdapter, place: str) -> ServerStatus:
    """Return the state of a file of SQLite or of a spreadsheet, which is open."""
    runs = [
        RunOnServer(
            run_id=run.run_id,
            account=run.account,
            command=run.command,
            started_at=run.started_at,
            finished=run.finished,
            applied=await adapter.applied(run.run_id),
            is_whole=await _is_whole(adapter, run.run_id),
        )
        for run in await adapter.runs()
    ]
    found = adapter.capabilities
    notes = (*found.lacks, *adapter.warnings)
    return ServerStatus(place=place, server=found.server, notes=notes, schema={}, roles=(), runs=tuple(runs))


async def _is_whole(adapter: DataSourceAdapter, run_id: str) -> bool:
    try:
        await require_whole(adapter, run_id)
    except StateError:
        return False
    return True
