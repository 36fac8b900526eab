"""Tells whether a store has another life of a run: the same run, begun another time, which did other things."""

from __future__ import annotations

from qts.db.adapter import DataSourceAdapter
from qts.db.contracts import RunRow
from qts.errors import StateError


async def other_life(adapter: DataSourceAdapter, run: RunRow) -> RunRow | None:
    """Return the run as the store has it, when it was begun another time and has rows there; else None.

    Rows of two lives are never mixed. A run that was written down and ended before it had a row is no such life.
    """
    for there in await adapter.runs(run.account):
        if (
            there.run_id == run.run_id
            and there.started_at != run.started_at
            and await _has_rows(adapter, run.run_id)
        ):
            return there
    return None


async def _has_rows(adapter: DataSourceAdapter, run_id: str) -> bool:
    if await adapter.applied(run_id):
        return True
    try:
        return await anext(aiter(adapter.bodies(run_id)), None) is not None
    except StateError:  # a copy of it was begun
        return True
