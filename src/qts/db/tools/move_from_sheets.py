"""Copies the runs of a spreadsheet into a database, so that the spreadsheet is not needed any more.

A spreadsheet does not hold every table. So the batches of a moved run do not count as applied, and the run counts
as incomplete, until a session lets the database follow its own book: that gives everything that is lacking, and
nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from qts.db.adapter import DataSourceAdapter, RunCopy
from qts.db.contracts import RunRow
from qts.db.tools.compare_servers import compare_run, rows_of_run
from qts.db.tools.import_run import require_same_life
from qts.errors import Fenced, StateError


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome for one run.

    ``rows``: those that the spreadsheet has, by table; ``moved``: those of them that the database lacked before.
    ``applied``: the newest batch that the database has from the run's own book, 0 for none; ``seq``: the newest one
    whose rows the spreadsheet has. ``differ``: how many rows the two hold differently, which were not touched.
    """

    run_id: str
    account: str
    rows: dict[str, int]
    moved: dict[str, int]
    applied: int
    seq: int
    differ: int


async def move_from_sheets(
    sheet: DataSourceAdapter, database: DataSourceAdapter, tell: Callable[[Moved], None]
) -> list[Moved]:
    """Copy every run of the spreadsheet into the database; a second time it changes nothing.

    ``tell`` is told of each run when it is done. Raises StateError when the spreadsheet has no run, when a session
    writes a run in the database, or when that has another life of it; StorageError for a row that someone changed
    in the spreadsheet, of whose run nothing is written then.
    """
    runs = await sheet.runs()
    if not runs:
        raise StateError("the spreadsheet has no run, so there is nothing to move")
    found = []
    for run in runs:
        found.append(await _move(sheet, database, run))
        tell(found[-1])
    return found


async def _move(sheet: DataSourceAdapter, database: DataSourceAdapter, run: RunRow) -> Moved:
    async with rows_of_run(sheet, run.run_id, as_is=False) as rows:
        await require_same_life(database, run, "the spreadsheet")
        before = await compare_run(sheet, database, run, rows)
        seq = before.sheet_applied
        if before.database_applied < seq and (before.lacking or before.count):
            try:
                epoch = await database.claim(run, whole_account=False)
            except Fenced as error:
                raise StateError(f"{error}: its session sends it already, so it needs not be moved") from error
            copy = RunCopy(
                run=run,
                files=await sheet.strategy_files(run.run_id),
                configs=await sheet.configs(run.run_id),
                seq=seq,
                bodies=rows.bodies(),
                is_whole=False,
            )
            await database.load(copy, epoch)
        after = await compare_run(sheet, database, run, rows)
    moved = {name: count - after.lacking.get(name, 0) for name, count in before.lacking.items()}
    return Moved(
        run_id=run.run_id,
        account=run.account,
        rows=before.rows,
        moved={name: count for name, count in moved.items() if count},
        applied=after.database_applied,
        seq=seq,
        differ=after.count,
    )
