"""Compares a run in a data directory with the same run on a server, in both directions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import msgspec

from qts.db.adapter import DataSourceAdapter
from qts.db.contracts import RunRow
from qts.db.find_run import FoundRun
from qts.db.run_copy import RunRows
from qts.db.tools.differences import ALL, TABLES, Difference, RowComparison, left_out, values_differ
from qts.db.tools.local_runs import run_rows
from qts.db.tools.spooled_rows import spooled
from qts.errors import StateError, StorageError, Unavailable

KEPT: Final = 100
"""Differences that are kept; more are counted."""
_TRIES: Final = 5
"""How often a run is looked at whose follower went on between the two looks."""


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a comparison.

    ``applied``: the newest batch on the server; ``newest``: the newest of the data directory, of a simulated run
    that of its checkpoint. ``waiting``: the batches between them are in the outbox, so exactly the rows up to
    ``applied`` were compared; else rows of those batches are differences. ``is_live``: a session runs. ``rows``
    of ``tables`` were compared; of ``count`` differences the first are in ``differences``. ``altered``: sentences
    about what someone changed on the server, also where all values are the same: a row that is there twice.
    """

    run_id: str
    applied: int
    newest: int
    waiting: bool
    is_live: bool
    rows: int
    count: int
    differences: tuple[Difference, ...]
    tables: tuple[str, ...] = ALL
    altered: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[int, int] | None:
        """Return the first and the last number of the batches that the server lacks; None for none."""
        return (self.applied + 1, self.newest) if self.applied < self.newest else None

    @property
    def is_equal(self) -> bool:
        """Return whether the server has all it can have; a running session may have batches yet to send."""
        return not self.count and not self.altered and (self.missing is None or (self.is_live and self.waiting))


async def verify(
    adapter: DataSourceAdapter, found: FoundRun, progress: Callable[[int], None] = lambda rows: None
) -> Verification:
    """Compare the run in ``found`` with the server; nothing is written, and a session goes on meanwhile.

    ``progress`` is told from time to time how many rows were compared. Raises StateError for a run that the server
    does not have or does not have wholly, InputError and StorageError for a directory that cannot be read.
    """
    for _ in range(_TRIES):
        done = await _verify_once(adapter, found, progress)
        if done is not None:
            return done
    raise StateError(
        f"{found.directory}: its follower went on during each of {_TRIES} looks; try again when it has less to do"
    )


async def _verify_once(
    adapter: DataSourceAdapter, found: FoundRun, progress: Callable[[int], None]
) -> Verification | None:
    """Return the outcome; None when batches that the server did not have left the outbox before they were read.

    The moment of the server's rows comes first and that of the local ones after it, so these are at least as many.
    """
    with run_rows(found) as local:
        run_id = local.run.run_id
    facts = await facts_on(adapter, run_id)
    if facts is None:
        raise StateError(
            f"the server has no run {run_id}; take it over with qts db import, or let its session follow: --db"
        )
    applied = await adapter.applied(run_id)
    names = compared_in(adapter)
    async with AsyncExitStack() as stack:
        if names == ALL:
            bodies = aiter(adapter.bodies(run_id))
        else:
            await require_whole(adapter, run_id)
            rows = await stack.enter_async_context(spooled(adapter.bodies(run_id, as_is=True)))
            bodies = _each(rows.bodies())
        return await _compared(adapter, found, run_id, facts, applied, names, bodies, progress)


async def _compared(
    adapter: DataSourceAdapter,
    found: FoundRun,
    run_id: str,
    facts: Facts,
    applied: int,
    names: tuple[str, ...],
    bodies: AsyncIterator[bytes],
    progress: Callable[[int], None],
) -> Verification | None:
    first = await anext(bodies, None)
    with run_rows(found) as local:
        waiting = [seq for seq, _ in local.pending(applied)]
        is_complete = waiting == list(range(applied + 1, local.seq + 1))
        if not is_complete and await adapter.applied(run_id) != applied:
            return None
        with left_out(local.pending(applied) if is_complete else ()) as omitted:
            comparison = RowComparison(local, omitted, progress, names)
            kept = list(facts_differ(_facts_here(local), facts, is_live=found.live))
            count = len(kept)
            async for one in comparison.differences(_with(first, bodies)):
                count += 1
                if len(kept) < KEPT:
                    kept.append(one)
        return Verification(
            run_id=run_id,
            applied=applied,
            newest=local.seq,
            waiting=is_complete,
            is_live=found.live,
            rows=comparison.rows,
            count=count,
            differences=tuple(kept[:KEPT]),
            tables=names,
            altered=await adapter.altered(run_id),
        )


def compared_in(adapter: DataSourceAdapter) -> tuple[str, ...]:
    """Return the tables that can be compared with a store: all, or those that it has."""
    tables = adapter.capabilities.tables
    return ALL if len(tables) == len(TABLES) else tables


async def require_whole(adapter: DataSourceAdapter, run_id: str) -> None:
    """Raise StateError for a run that a store does not have wholly; rows that someone changed are no matter."""
    bodies = adapter.bodies(run_id)
    try:
        await anext(aiter(bodies), None)
    except Unavailable:
        raise
    except StorageError:  # they are what a comparison is to name
        pass


Facts = Mapping[tuple[str, str], Mapping[str, Any]]
"""The rows about a run, by table and key, each with its values by column."""


async def facts_on(adapter: DataSourceAdapter, run_id: str) -> Facts | None:
    """Return what a store knows about a run; None when it does not have it."""
    run = next((run for run in await adapter.runs() if run.run_id == run_id), None)
    if run is None:
        return None
    return _facts(run, await adapter.configs(run_id), await adapter.strategy_files(run_id))


def _facts_here(local: RunRows) -> Facts:
    copy = local.copy()
    return _facts(copy.run, copy.configs, copy.files)


def _facts(run: RunRow, configs: Sequence[msgspec.Struct], files: Sequence[msgspec.Struct]) -> Facts:
    found = {("runs", run.run_id): msgspec.structs.asdict(run)}
    for row in configs:
        values = msgspec.structs.asdict(row)
        found["configurations", str(values["version"])] = values
    for row in files:
        values = msgspec.structs.asdict(row)
        found["strategy_files", f"{values['strategy']} {values['name']!r}"] = values
    return found


def facts_differ(here: Facts, there: Facts, *, is_live: bool = False) -> Iterator[Difference]:
    """Iterate over differences in what is known of the run; what a running session has just added is none."""
    for (table, key), values in here.items():
        if (table, key) not in there:
            if not is_live:
                yield Difference(table, key, "", "a row", None)
            continue
        for column, value in values.items():
            if (one := values_differ(table, key, column, value, there[table, key][column])) is not None:
                yield one
    for table, key in there.keys() - here.keys():
        yield Difference(table, key, "", None, "a row")


async def _each(bodies: Iterator[bytes]) -> AsyncIterator[bytes]:
    for body in bodies:
        yield body


async def _with(first: bytes | None, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first is not None:
        yield first
    async for body in others:
        yield body
