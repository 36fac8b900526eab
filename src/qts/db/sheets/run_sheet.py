"""The tabs of one run: looked at before each write, written by one call, left alone once someone changed them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from qts.clock import Clock
from qts.db.sheets.cells import keys_range, range_of
from qts.db.sheets.client import MOST_BYTES, Cells, Found, SheetsClient
from qts.db.sheets.failures import GridTooSmall, TabExists, TabMissing
from qts.db.sheets.runs import MOST_NUMBERS, Progress, begun, next_title, progress_of
from qts.db.sheets.runs_tab import RunsTab
from qts.db.sheets.tab_maker import ROWS, give_rows, make_tabs
from qts.db.sheets.tabs import OF_A_RUN, RUNS, Layout
from qts.errors import BatchRefused, InputError, Unavailable

Rows = Mapping[Layout, Sequence[Sequence[Any]]]
"""Values of rows by tab."""
_BLOCK_BYTES: Final = 400_000
"""Bytes of rows that are written as one range."""
_LOOKS: Final = 4
_PROBED: Final = 1_000
_encode: Final = msgspec.json.Encoder().encode


class _Tab:
    """A tab that is there: the places of its rows by key, its last row, and its height (0: unknown)."""

    def __init__(self, keys: Sequence[str], grid: int = 0) -> None:
        self.places = {key: place for place, key in enumerate(keys, 2)}
        self.end = len(keys) + 1
        self.grid = grid

    @property
    def probed(self) -> int:
        """Return the first of the last rows, whose keys are looked at before each write."""
        return max(2, self.end + 1 - _PROBED)


class RunSheet:
    """The tabs of the run ``run_id``; ``tell`` is told in a sentence what a person has to know of them."""

    def __init__(
        self, client: SheetsClient, runs: RunsTab, run_id: str, clock: Clock, tell: Callable[[str], None]
    ) -> None:
        self._client, self._runs, self._run_id, self._clock, self._tell = client, runs, run_id, clock, tell
        self._tabs: dict[Layout, _Tab] = {}
        self._altered: set[str] = set()
        self.progress: Progress | None = None
        self.settled_ns: int | None = None
        """When all was last found as it should be, by the monotonic clock; None: it is in doubt."""
        self.looked_at: dict[str, int] = {}
        """Up to where the tabs were compared, by title."""
        self.replaced = 0
        """How many tabs were left alone so far."""

    async def settle(self) -> Progress | None:
        """Look at everything that the next write relies on; return the run's progress, None when it is not there.

        A tab that is not as it was left is left alone: the progress begins with a fresh one at batch 0.
        """
        self.settled_ns = None
        for _ in range(_LOOKS):
            before = self.progress
            if before is None or not self._runs.has(self._run_id):
                self._tabs = {}
                before = self.progress = (await self._runs.read()).get(self._run_id)
                if before is None:
                    return None
            layouts = [layout for layout in OF_A_RUN if before.count(layout) or layout in self._tabs]
            ranges = [self._runs.header, self._runs.row(self._run_id)]
            for layout in layouts:
                ranges += [self._header(before, layout), self._probe(before, layout)]
            try:
                header, own, *found = await self._client.get_many(ranges, "look at the tabs of the run")
            except (TabMissing, GridTooSmall):
                await self._replace_missing(before, layouts)
                continue
            progress = progress_of(own[0]) if own else None
            if header != [RUNS.header] or progress is None or progress.run.run_id != self._run_id:
                self._runs.forget()
                continue
            if progress.titles != before.titles:
                self._tabs = {}
                self.progress = progress
                continue
            self.progress = progress
            for layout, head, keys in zip(layouts, found[::2], found[1::2], strict=True):
                if head != [layout.header] or not self._fits(before, layout, keys):
                    await self._replace(layout)
            if any(progress.count(layout) and layout not in self._tabs for layout in OF_A_RUN):
                continue  # rows that a write whose answer was lost has added
            self.settled_ns = self._clock.monotonic_ns()
            return self.progress
        raise Unavailable(f"run {self._run_id}: the spreadsheet is being changed by others meanwhile")

    async def write(self, progress: Progress, rows: Rows) -> None:
        """Write rows and the progress: in one call, or in several of which the last one counts.

        A tab that is named without a row is made all the same.
        Raises BatchRefused for a row that no cell can hold. After any other error it is in doubt what was written;
        to settle and write again ends in the same rows.
        """
        wanted = {layout: self._cells(layout, values) for layout, values in rows.items()}
        self.settled_ns = None
        try:
            self.progress = await self._write(progress, wanted)
        except BaseException:
            self._tabs = {}  # what is there is in doubt
            raise
        self.settled_ns = self._clock.monotonic_ns()

    def new_keys(self, layout: Layout, keys: Sequence[str]) -> set[str]:
        """Return those keys that a tab has no row of."""
        tab = self._tabs.get(layout)
        return set(keys) - (tab.places.keys() if tab else set())

    def leave(self, title: str) -> None:
        """Leave a tab alone from the next look on: a row of it was found changed."""
        self._altered.add(title)
        self.settled_ns = None

    # -- looking -----------------------------------------------------------------------------------------------

    def _header(self, progress: Progress, layout: Layout) -> str:
        return range_of(progress.title(layout), 1, 1, layout.width)

    def _probe(self, progress: Progress, layout: Layout) -> str:
        """Return the keys that are looked at: all at first and where rows change, later the last ones."""
        tab = self._tabs.get(layout)
        title = progress.title(layout)
        if tab is None or not layout.is_numbered or tab.end == 1:
            return keys_range(title)
        return keys_range(title, tab.probed)

    def _fits(self, before: Progress, layout: Layout, found: Found) -> bool:
        """Return whether the keys of a tab are those that it was left with, and remember where they are."""
        if before.title(layout) in self._altered:
            return False
        tab = self._tabs.get(layout)
        if tab is not None and layout.is_numbered and tab.end > 1:
            return found == [[str(place - 1)] for place in range(tab.probed, tab.end + 1)]
        keys = _keys_of(found)
        if keys is None or len(keys) < before.count(layout) or not _are_keys(layout, keys):
            return False
        if tab is not None and not tab.places.keys() <= set(keys):
            return False
        self._tabs[layout] = _Tab(keys, tab.grid if tab else 0)
        return True

    async def _replace_missing(self, before: Progress, layouts: Sequence[Layout]) -> None:
        """Replace the tabs of the run that are not there, or smaller; the tab of all runs is looked for again."""
        self._runs.forget()
        runs = await self._runs.read()
        self.progress = runs.get(self._run_id)
        if self.progress is None or self.progress.titles != before.titles:
            self._tabs = {}
            return
        for layout in layouts:
            try:
                ranges = [self._header(before, layout), self._probe(before, layout)]
                await self._client.get_many(ranges, "look for a tab")
            except (TabMissing, GridTooSmall):
                await self._replace(layout)

    async def _replace(self, layout: Layout) -> None:
        """Leave a tab alone and begin with a fresh one, which needs the whole run again."""
        progress = self.progress
        assert progress is not None, "it is replaced because it does not fit the progress"
        title = progress.title(layout)
        fresh = _next(title)
        self.replaced += 1
        self._tabs.pop(layout, None)
        progress = self._seen(progress.without_tab(layout, fresh))
        await self._runs.put([progress], "write that a tab is left alone")
        self.progress = progress
        self._altered.discard(title)
        self._tell(
            f"the tab {title} was moved, sorted or edited by someone: it is left as it is, and {fresh} is written "
            "from the local book"
        )

    # -- writing -----------------------------------------------------------------------------------------------

    async def _write(self, progress: Progress, wanted: Mapping[Layout, list[list[str]]]) -> Progress:
        """Write rows and return the progress as it was written."""
        former = self.progress
        await self._runs.require()
        await self._make_missing(progress, wanted)
        for layout in wanted:
            progress = await self._require_tab(progress, layout)
        blocks: list[tuple[str, Cells]] = []
        ends: dict[Layout, int] = {}
        for layout, cells in wanted.items():
            tab = self._tabs[layout]
            title = progress.title(layout)
            for row in cells:
                self._allot(layout, tab, row[0])
            ends[layout] = tab.end
            placed = sorted((tab.places[key], row) for key, row in {row[0]: row for row in cells}.items())
            blocks += [
                (range_of(title, first, first + len(block) - 1, layout.width), block)
                for first, block in _blocks(placed)
            ]
            progress = progress.with_count(layout, max(progress.count(layout), len(tab.places)))
        progress = self._seen(progress)
        half = self._half(former, progress)
        *parts, last = _parts(blocks)
        for part in parts:
            await self._put([*part, self._runs.write(half)], progress, ends)
        await self._put([*last, self._runs.write(progress)], progress, ends)
        return progress

    def _cells(self, layout: Layout, values: Sequence[Sequence[Any]]) -> list[list[str]]:
        found: list[list[str]] = []
        for row in values:
            try:
                found.append(layout.cells(row))
            except ValueError as error:
                name = " ".join(str(value)[:40] for value in row[:2])
                raise BatchRefused(
                    f"table {layout.name}, row {name}: no cell can hold it: {error}; nothing of it was written"
                ) from error
        return found

    async def _make_missing(self, progress: Progress, layouts: Iterable[Layout]) -> None:
        """Make the tabs that are not known by one call; none when one of them is there."""
        missing = {progress.title(layout): layout for layout in layouts if layout not in self._tabs}
        if missing:
            with suppress(TabExists):
                await make_tabs(self._client, missing)
                self._tabs |= {layout: _Tab((), ROWS) for layout in missing.values()}

    async def _require_tab(self, progress: Progress, layout: Layout) -> Progress:
        """Make the tab when it is missing; return the progress with its title."""
        while layout not in self._tabs:
            title = progress.title(layout)
            try:
                await make_tabs(self._client, {title: layout})
                self._tabs[layout] = _Tab((), ROWS)
                break
            except TabExists:
                pass
            try:
                head, found = await self._client.get_many(
                    [self._header(progress, layout), keys_range(title)], f"look at the tab {title}"
                )
            except (TabMissing, GridTooSmall):  # it is another tab, or its number is that of another tab
                head, found = [], []
            keys = _keys_of(found)
            if head == [layout.header] and keys is not None and _are_keys(layout, keys):
                self._tabs[layout] = _Tab(keys)
                break
            fresh = _next(title)
            self._tell(f"the tab {title} is none of ours: it is left alone, and {fresh} is used in its place")
            place = OF_A_RUN.index(layout)
            titles = (*progress.titles[:place], fresh, *progress.titles[place + 1 :])
            progress = msgspec.structs.replace(progress, titles=titles)
        return progress

    def _allot(self, layout: Layout, tab: _Tab, key: str) -> None:
        """Set the place of a row: that of its number, or the next one at the first sight of its key."""
        if key not in tab.places:
            tab.places[key] = int(key) + 1 if layout.is_numbered else tab.end + 1
            tab.end = max(tab.end, tab.places[key])

    def _seen(self, progress: Progress) -> Progress:
        return msgspec.structs.replace(progress, seen_ns=self._clock.time_ns()) if progress.holder else progress

    def _half(self, former: Progress | None, progress: Progress) -> Progress:
        """Return the progress while only a part of the rows is written: no batch and no row of it counts."""
        before = former or begun(progress.run)
        loading = max(progress.loading, progress.applied if progress.applied > before.applied else 0)
        return msgspec.structs.replace(progress, applied=before.applied, loading=loading, counts=before.counts)

    async def _put(
        self, ranges: Sequence[tuple[str, Cells]], progress: Progress, ends: Mapping[Layout, int]
    ) -> None:
        """Write ranges in one call; tabs that are too short for them are given rows before."""
        what = "write rows"
        for layout, end in ends.items():
            grid = self._tabs[layout].grid
            if grid and end > grid:
                await self._grow(progress, layout, end)
        for _ in range(len(ends) + 1):
            try:
                await self._client.put_many(ranges, what)
                return
            except GridTooSmall as error:
                await self._grow_short(progress, ends, error.rows)
        raise Unavailable(f"run {self._run_id}: the tabs are being made shorter by others meanwhile")

    async def _grow_short(self, progress: Progress, ends: Mapping[Layout, int], rows: int) -> None:
        """Add rows to those tabs whose size is not known, which are ``rows`` long; else to the tab of all runs."""
        unknown = [layout for layout in ends if not self._tabs[layout].grid and ends[layout] > rows]
        if not unknown:
            await give_rows(self._client, self._runs.title, ROWS)
        for layout in unknown:
            self._tabs[layout].grid = rows
            await self._grow(progress, layout, ends[layout])

    async def _grow(self, progress: Progress, layout: Layout, end: int) -> None:
        tab = self._tabs[layout]
        count = max(end - tab.grid, ROWS)
        await give_rows(self._client, progress.title(layout), count)
        tab.grid += count


def _next(title: str) -> str:
    fresh = next_title(title)
    if fresh is None:
        raise InputError(
            f"the tab {title} is the last of {MOST_NUMBERS} that someone changed; allowed is a tab that nothing "
            "else changes; find out what changes it, or give another spreadsheet"
        )
    return fresh


def _keys_of(found: Found) -> list[str] | None:
    """Return the keys of a column; None when one is empty or no text."""
    keys = [row[0] if row else "" for row in found]
    return keys if all(isinstance(key, str) and key for key in keys) else None


def _are_keys(layout: Layout, keys: Sequence[str]) -> bool:
    """Return whether no key is there twice, and numbers count from 1."""
    if layout.is_numbered:
        return all(key == str(number) for number, key in enumerate(keys, 1))
    return len(set(keys)) == len(keys)


def _blocks(placed: Sequence[tuple[int, list[str]]]) -> list[tuple[int, list[list[str]]]]:
    """Return rows that stand one below the other together, up to a size, with the place of the first."""
    blocks: list[tuple[int, list[list[str]]]] = []
    size = 0
    for place, row in placed:
        size += len(_encode(row))
        if blocks and blocks[-1][0] + len(blocks[-1][1]) == place and size < _BLOCK_BYTES:
            blocks[-1][1].append(row)
        else:
            blocks.append((place, [row]))
            size = len(_encode(row))
    return blocks


def _parts(blocks: Sequence[tuple[str, Cells]]) -> list[list[tuple[str, Cells]]]:
    """Return ranges in parts that are small enough for one call each; at least one part, which may be empty."""
    parts: list[list[tuple[str, Cells]]] = [[]]
    size = 0
    for block in blocks:
        size += len(_encode(block)) + 100
        if parts[-1] and size > MOST_BYTES - _BLOCK_BYTES:
            parts.append([])
            size = len(_encode(block))
        parts[-1].append(block)
    return parts
