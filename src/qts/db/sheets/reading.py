"""Reads the tabs of a run, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from qts.db.adapter import END_NS, Query
from qts.db.batch import body_of
from qts.db.decoding import UNFIT, check_record
from qts.db.pages import STRATEGIES, SYMBOLS, TIMES
from qts.db.sheets.cells import range_of
from qts.db.sheets.client import Found, SheetsClient
from qts.db.sheets.runs import Progress
from qts.db.sheets.tabs import Layout
from qts.db.tables import Table
from qts.errors import StorageError

PAGE: Final = 2_000
"""Rows that are read by one call."""


async def pages(client: SheetsClient, progress: Progress, layout: Layout) -> AsyncIterator[tuple[int, Found]]:
    """Iterate over the rows of a tab as cells, page by page, each with the place of its first row."""
    title, end = progress.title(layout), progress.count(layout) + 1
    for first in range(2, end + 1, PAGE):
        last = min(first + PAGE - 1, end)
        yield first, await client.get(range_of(title, first, last, layout.width), f"read the tab {title}")


async def rows(
    client: SheetsClient, progress: Progress, layout: Layout, *, whole: bool = False
) -> AsyncIterator[list[Any]]:
    """Iterate over the values of the rows of a tab; where they have keys instead of numbers, in their order.

    A row that someone has emptied is left out, and one that was changed is given as it is there. ``whole``: it
    raises StorageError for both. Raises StorageError for a row that is none.
    """
    found: list[list[Any]] = []
    async for first, page in pages(client, progress, layout):
        lacking = min(PAGE, progress.count(layout) + 2 - first) - len(page)
        for place, cells in enumerate([*page, *[[]] * lacking], first):
            if whole and not layout.is_intact(cells):
                raise _changed(progress, layout, f"{layout.name_of(cells, place)} is not as it was written")
            if not any(cells):
                continue
            try:
                values = layout.values(cells)
            except ValueError as error:
                raise _changed(progress, layout, f"{layout.name_of(cells, place)}: {error}") from error
            if layout.is_numbered:
                yield values
            else:
                found.append(values)
    key = [layout.columns.index(name) for name in layout.key]
    for values in sorted(found, key=lambda row: [row[place] for place in key]):
        yield values


def is_chosen(table: Table, values: Sequence[Any], where: Query) -> bool:
    """Return whether a row is one of those that a query asks for; its run was chosen before."""
    row = dict(zip(table.columns, _own(table, values), strict=True))
    for wanted, names in ((where.symbol, SYMBOLS), (where.strategy, STRATEGIES)):
        name = next((name for name in names if name in row), None)
        if wanted and name and row[name] != wanted:
            return False
    time = next(name for name in TIMES if name in row)
    is_late = where.until_ns < END_NS and row[time] >= where.until_ns
    return not is_late and bool(where.since_ns <= row[time] or where.since_ns <= 0)


def record(progress: Progress, layout: Layout, table: Table, values: Sequence[Any]) -> Any:
    """Return the record of a row. Raises StorageError for one that is none."""
    try:
        made = table.decode(_own(table, values))
        check_record(made)
    except UNFIT as error:
        raise _changed(progress, layout, f"row {layout.key_of(values)}: {error}") from error
    return made


async def bodies(client: SheetsClient, progress: Progress, layout: Layout, *, whole: bool) -> AsyncIterator[bytes]:
    """Iterate over the rows of a tab as bodies; ``whole`` and what is raised as with :func:`rows`."""
    part: list[list[Any]] = []
    async for values in rows(client, progress, layout, whole=whole):
        part.append(values)
        if len(part) == PAGE:
            yield body_of({layout.name: part})
            part = []
    if part:
        yield body_of({layout.name: part})


def _own(table: Table, values: Sequence[Any]) -> Sequence[Any]:
    """Return the columns of the table, without its number before them and its digest behind them."""
    start = 0 if table.key else 1
    return values[start : start + len(table.columns)]


def _changed(progress: Progress, layout: Layout, what: str) -> StorageError:
    return StorageError(
        f"the tab {progress.title(layout)}: {what}: someone changed it; the local book has it as it was, and its "
        "session writes a new tab"
    )
