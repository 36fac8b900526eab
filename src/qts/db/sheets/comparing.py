"""Finds what someone changed in the tabs of a run, by the keys of their rows and the check that each row has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from qts.db.sheets.cells import keys_range, range_of
from qts.db.sheets.client import Found, SheetsClient
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
    layouts = [layout for layout in OF_A_RUN if progress.count(layout)]
    try:
        return await _altered(client, progress, layouts, looked_at)
    except (TabMissing, GridTooSmall):
        found: dict[str, Sequence[str]] = {}
    for layout in layouts:  # which of them it is, is found out one by one
        title = progress.title(layout)
        try:
            found |= await _altered(client, progress, [layout], looked_at)
        except TabMissing:
            found[title] = [f"the tab {title} is not there any more"]
        except GridTooSmall:
            found[title] = [f"rows or columns of the tab {title} were deleted"]
    return found


async def _altered(
    client: SheetsClient, progress: Progress, layouts: Sequence[Layout], looked_at: dict[str, int]
) -> dict[str, Sequence[str]]:
    """Compare tabs: headers, keys and a page of each by one call, further pages by one each."""
    ranges: list[str] = []
    for layout in layouts:
        title = progress.title(layout)
        ranges += [range_of(title, 1, 1, layout.width), keys_range(title), _page(progress, layout, looked_at)]
    if not ranges:
        return {}
    cells = await client.get_many(ranges, "compare the tabs of the run")
    found: dict[str, Sequence[str]] = {}
    for layout, head, keys, page in zip(layouts, cells[::3], cells[1::3], cells[2::3], strict=True):
        title = progress.title(layout)
        if head != [layout.header]:
            found[title] = [f"the header of the tab {title} was changed"]
            continue
        texts = [str(row[0]) if row else "" for row in keys]
        names = _lacking(layout, texts, progress.count(layout))
        names += await _changed(client, progress, layout, page, looked_at)
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
    client: SheetsClient, progress: Progress, layout: Layout, page: Found, looked_at: dict[str, int]
) -> list[str]:
    """Return the rows that are not as they were written, of the pages that are looked at this time."""
    title, end = progress.title(layout), progress.count(layout) + 1
    names: list[str] = []
    for left in range(_MOST_PAGES - 1, -1, -1):
        first = _first(progress, layout, looked_at)
        for place, cells in enumerate(page, first):
            if any(cells) and not layout.is_intact(cells):
                names.append(f"{layout.name_of(cells, place)} was changed")
        looked_at[title] = first + PAGE
        if looked_at[title] > end or not left:
            break
        page = await client.get(_page(progress, layout, looked_at), f"compare the tab {title}")
    return names


def _first(progress: Progress, layout: Layout, looked_at: dict[str, int]) -> int:
    """Return the first row of the page that is looked at next; behind the last one it is the first again."""
    first = looked_at.get(progress.title(layout), 2)
    return 2 if first > progress.count(layout) + 1 else first


def _page(progress: Progress, layout: Layout, looked_at: dict[str, int]) -> str:
    first = _first(progress, layout, looked_at)
    last = min(first + PAGE - 1, progress.count(layout) + 1)
    return range_of(progress.title(layout), first, last, layout.width)


def _told(title: str, names: Sequence[str]) -> list[str]:
    more = len(names) - _MOST_NAMED
    sentences = [f"the tab {title}: {name}" for name in names[:_MOST_NAMED]]
    return [*sentences, f"the tab {title}: {more} rows more"] if more > 0 else sentences
