"""Shows what is on a server: its version, its schema, and the runs with how far each has come."""

from __future__ import annotations

from typing import Final

import asyncpg

from qts.db.access import Access
from qts.db.postgres.drift import check_schema
from qts.db.postgres.roles import roles_there
from qts.db.postgres.state import read_state
from qts.db.timescale.server_checks import QUERY, check_server
from qts.db.tools.migrate_server import server_connection
from qts.db.tools.statuses import RunOnServer, ServerStatus

_RUNS: Final = """
SELECT r.run_id, r.account, r.command, r.started_at, r.finished, p.applied, p.loading, p.holder, p.changed_at
FROM qts.runs r JOIN qts.run_progress p USING (run_id) ORDER BY r.started_at DESC, r.run_id
"""


async def server_status(access: Access) -> ServerStatus:
    """Return the state of the server. Raises InputError for one that cannot be used, and Unavailable."""
    async with server_connection(access, "look at the server") as connection:
        found = check_server(await connection.fetchrow(QUERY), access.place, live=False)
        state = await read_state(connection, access.place)
        missing = tuple(step.name for step in state.due if step.version not in state.applied)
        runs: tuple[RunOnServer, ...] = ()
        if state.applied and not missing:
            await check_schema(connection, access.place)
            runs = tuple(map(_run, await connection.fetch(_RUNS)))
        return ServerStatus(
            place=access.place,
            server=found.capabilities.server,
            notes=(*access.notes, *found.warnings, *found.capabilities.lacks),
            schema={
                "applied": tuple(step.name for _, step in sorted(state.applied.items()) if not step.skipped),
                "skipped": tuple(state.skipped),
                "missing": missing,
            },
            roles=tuple(await roles_there(connection)),
            runs=runs,
        )


def _run(row: asyncpg.Record) -> RunOnServer:
    return RunOnServer(
        run_id=row["run_id"],
        account=row["account"],
        command=row["command"],
        started_at=row["started_at"],
        finished=bool(row["finished"]),
        applied=row["applied"],
        is_whole=row["applied"] >= row["loading"],
        holder=row["holder"],
        changed_at=row["changed_at"].isoformat(),
    )
