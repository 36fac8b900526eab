"""The tab of all runs: which there are, how far each is, and in which row that stands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from qts.db.sheets.cells import letters, range_of
from qts.db.sheets.client import Cells, Found, SheetsClient
from qts.db.sheets.failures import GridTooSmall, TabExists, TabMissing
from qts.db.sheets.runs import MOST_NUMBERS, Progress, next_title, progress_of, row_of
from qts.db.sheets.tab_maker import ROWS, give_rows, make_tabs
from qts.db.sheets.tabs import RUNS
from qts.errors import InputError

_WHAT: Final = "read the runs"


class RunsTab:
    """The tab of all runs; ``tell`` is told in a sentence what a person has to know of it.

    Rows are found by their key, so that sorting them changes nothing. Two processes that begin a run at the same
    moment may take the same row: every write has the whole row, and the one whose row is gone takes another one.
    """

    def __init__(self, client: SheetsClient, tell: Callable[[str], None]) -> None:
        self._client, self._tell = client, tell
        self.title = RUNS.name
        self._is_there = False
        self._places: dict[str, int] = {}
        self._end = 1

    async def read(self) -> dict[str, Progress]:
        """Return the progress of every run, by id. Raises InputError when every title is taken by another tab."""
        found = await self._rows()
        runs: dict[str, Progress] = {}
        self._places = {}
        self._end = max(len(found), 1)
        for place, cells in enumerate(found[1:], 2):
            progress = progress_of(cells)
            if progress is None:
                if any(cells):
                    self._tell(f"row {place} of the tab {self.title} was changed by someone, and is not believed")
                continue
            run_id = progress.run.run_id
            former = runs.get(run_id)
            if former is None or (former.epoch, former.applied) < (progress.epoch, progress.applied):
                runs[run_id], self._places[run_id] = progress, place
        return runs

    async def require(self) -> None:
        """Make the tab when it is missing."""
        while not self._is_there:
            try:
                await make_tabs(self._client, {self.title: RUNS})
                self._is_there, self._end = True, 1
            except TabExists:
                await self.read()
                if not self._is_there:
                    self._next()  # the number of the tab is taken by one of another title

    def place_of(self, run_id: str) -> int:
        """Return the row of a run; a new one for one that has none."""
        place = self._places.get(run_id)
        if place is None:
            self._end += 1
            place = self._places[run_id] = self._end
        return place

    def has(self, run_id: str) -> bool:
        """Return whether the row of a run is known."""
        return run_id in self._places

    def forget(self) -> None:
        """Forget where rows are: someone has changed the tab."""
        self._places.clear()

    @property
    def header(self) -> str:
        """Return the range of the header."""
        return range_of(self.title, 1, 1, RUNS.width)

    def row(self, run_id: str) -> str:
        """Return the range of the row of a run."""
        place = self.place_of(run_id)
        return range_of(self.title, place, place, RUNS.width)

    def write(self, progress: Progress) -> tuple[str, Cells]:
        """Return what writes the row of a run: range and cells."""
        return self.row(progress.run.run_id), [RUNS.cells(row_of(progress))]

    async def put(self, runs: Sequence[Progress], what: str) -> None:
        """Write the rows of runs, in one call."""
        rows = [self.write(progress) for progress in runs]
        try:
            await self._client.put_many(rows, what)
        except GridTooSmall:
            await give_rows(self._client, self.title, ROWS)
            await self._client.put_many(rows, what)

    async def _rows(self) -> Found:
        """Return all rows of the first tab of our title and header, none when there is none yet."""
        while True:
            try:
                found = await self._client.get(f"'{self.title}'!A1:{letters(RUNS.width)}", _WHAT)
            except TabMissing:
                self._is_there = False
                return []
            except GridTooSmall:
                found = []
            if found and found[0] == RUNS.header:
                self._is_there = True
                return found
            before = self.title
            self._next()
            self._tell(
                f"the tab {before} is none of ours, or someone changed its header: it is left alone, and "
                f"{self.title} is used in its place"
            )

    def _next(self) -> None:
        title = next_title(self.title)
        if title is None:
            raise InputError(
                f"the spreadsheet has {MOST_NUMBERS} tabs {RUNS.name} that are none of ours; allowed is one that "
                "nothing else changes; rename them, or give another spreadsheet"
            )
        self.title = title
