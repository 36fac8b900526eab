"""Compares the runs of a spreadsheet with the same runs in a database, row by row, in both directions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec

from qts.db.adapter import DataSourceAdapter
from qts.db.contracts import RunRow
from qts.db.tools.differences import Difference, RowComparison, Sides, left_out
from qts.db.tools.spooled_rows import SpooledRows, spooled
from qts.db.tools.verify import KEPT, compared_in, facts_differ, facts_on
from qts.errors import StateError

SHEET_AND_DATABASE: Final = Sides("in the spreadsheet", "in the database")


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome for one run: the newest batch of each side, the rows by table, and the differences.

    Of ``count`` differences the first are in ``differences``; ``lacking`` has how many rows the database lacks, by
    table; ``altered``: sentences about what someone changed in the spreadsheet. A database that has a run from a
    spreadsheet alone counts none of its batches as applied.
    """

    run_id: str
    sheet_applied: int
    database_applied: int
    rows: dict[str, int]
    lacking: dict[str, int]
    count: int
    differences: tuple[Difference, ...]
    altered: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        """Return whether nothing differs and no one changed anything."""
        return not self.count and not self.altered


async def compare_servers(
    sheet: DataSourceAdapter, database: DataSourceAdapter, progress: Callable[[int], None] = lambda rows: None
) -> list[Comparison]:
    """Compare every run of the spreadsheet with the database, in the tables that the spreadsheet has.

    ``progress`` is told from time to time how many rows of a run were compared. Raises StateError when the
    spreadsheet has no run.
    """
    runs = await sheet.runs()
    if not runs:
        raise StateError("the spreadsheet has no run; a session that follows it writes there: --sheets")
    found = []
    for run in runs:
        async with rows_of_run(sheet, run.run_id, as_is=True) as rows:
            found.append(await compare_run(sheet, database, run, rows, progress))
    return found


async def compare_run(
    sheet: DataSourceAdapter,
    database: DataSourceAdapter,
    run: RunRow,
    rows: SpooledRows,
    progress: Callable[[int], None] = lambda rows: None,
) -> Comparison:
    """Compare the ``rows`` of a run that were read from the spreadsheet with those of the database."""
    run_id = run.run_id
    kept: list[Difference] = []
    lacking: dict[str, int] = {}
    count = 0
    there = await facts_on(database, run_id)
    here = await facts_on(sheet, run_id)
    assert here is not None, "the spreadsheet was asked for its runs"
    if there is None:
        kept.append(Difference("runs", run_id, "", "a row", None))
        count = 1
    else:
        kept += facts_differ(here, there)
        count = len(kept)
    with left_out(()) as omitted:
        comparison = RowComparison(rows, omitted, progress, compared_in(sheet))
        async for one in comparison.differences(database.bodies(run_id, as_is=True)):
            count += 1
            if one.server is None and not one.column:
                lacking[one.table] = lacking.get(one.table, 0) + 1
            if len(kept) < KEPT:
                kept.append(one)
    return Comparison(
        run_id=run_id,
        sheet_applied=await sheet.applied(run_id),
        database_applied=await database.applied(run_id),
        rows={name: rows.counts.get(name, 0) for name in compared_in(sheet)},
        lacking=lacking,
        count=count,
        differences=tuple(kept[:KEPT]),
        altered=await sheet.altered(run_id),
    )


@asynccontextmanager
async def rows_of_run(sheet: DataSourceAdapter, run_id: str, *, as_is: bool) -> AsyncIterator[SpooledRows]:
    """Return the rows of a run in the spreadsheet; see :meth:`~qts.db.adapter.DataSourceAdapter.bodies`."""
    async with spooled(sheet.bodies(run_id, as_is=as_is)) as rows:
        yield rows
