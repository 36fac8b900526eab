"""Finds what someone changed in the tabs of a run, by the keys of their rows and the check that each row has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from qts.db.sheets.cells import keys_range, range_of
from qts.db.sheets.client import SheetsClient
from qts.db.sheets.failures import GridTooSmall, TabMissing
from qts.db.sheets.reading import PAGE
from qts.db.sheets.runs import Progress
from qts.db.sheets.tabs import OF_A_RUN, Layout

_MOST_PAGES: Final = 10
"""Pages of rows that are read by one comparison of a tab, so that it leaves calls for what is written."""
_MOST_NAMED: Final = 20
"""Rows of a tab that are named; the others are counted."""


async def altered_rows(
    client: SheetsClient, progress: Progress, looked_at: dict[str, int]
) -> dict[str, Sequence[str]]:
    """Return sentences about what was changed, by the title of the tab; tabs as they were written are not in it.

    All keys are compared, and of the rows as many as a few calls read: ``looked_at`` has for each tab up to where,
    and the next comparison goes on there.
    """
    found: dict[str, Sequence[str]] = {}
    for layout in OF_A_RUN:
        title, count = progress.title(layout), progress.count(layout)
        if not count:
            continue
        try:
            head, keys = await client.get_many(
                [range_of(title, 1, 1, layout.width), keys_range(title)], f"compare the tab {title}"
            )
            rows = [] if head != [layout.header] else await _changed(client, progress, layout, looked_at)
        except TabMissing:
            found[title] = [f"the tab {title} is not there any more"]
            continue
        except GridTooSmall:
            found[title] = [f"rows or columns of the tab {title} were deleted"]
            continue
        if head != [layout.header]:
            found[title] = [f"the header of the tab {title} was changed"]
            continue
        texts = [str(row[0]) if row else "" for row in keys]
        names = [*_lacking(layout, texts, count), *rows]
        if names:
            found[title] = _told(title, list(dict.fromkeys(names)))
    return found


def _lacking(layout: Layout, keys: Sequence[str], count: int) -> list[str]:
    """Return what is wrong with the keys: those that stand elsewhere, are not there, or are there twice."""
    if layout.is_numbered:
        there = {key: place for place, key in enumerate(keys, 1)}
        return [
            f"row {number} is not there" if str(number) not in there else f"row {number} stands elsewhere"
            for number in range(1, count + 1)
            if there.get(str(number)) != number
        ]
    seen: set[str] = set()
    doubled = [f"row {key} is there twice" for key in keys if key and (key in seen or seen.add(key))]  # type: ignore[func-returns-value]
    lost = count - len(seen)
    return [*doubled, *([f"{lost} rows are not there"] if lost > 0 else [])]


async def _changed(
    client: SheetsClient, progress: Progress, layout: Layout, looked_at: dict[str, int]
) -> list[str]:
    """Return the rows whose cells are not those that were written, of the pages that are looked at this time."""
    title, end = progress.title(layout), progress.count(layout) + 1
    first = looked_at.get(title, 2)
    names: list[str] = []
    for _ in range(_MOST_PAGES):
        last = min(first + PAGE - 1, end)
        page = await client.get(range_of(title, first, last, layout.width), f"compare the tab {title}")
        for place, cells in enumerate(page, first):
            if any(cells) and not layout.is_intact(cells):
                names.append(f"row {cells[0] or f'in place {place}'} was changed")
        first = last + 1
        if first > end:
            first = 2
            break
    looked_at[title] = first
    return names


def _told(title: str, names: Sequence[str]) -> list[str]:
    more = len(names) - _MOST_NAMED
    sentences = [f"the tab {title}: {name}" for name in names[:_MOST_NAMED]]
    return [*sentences, f"the tab {title}: {more} rows more"] if more > 0 else sentences
