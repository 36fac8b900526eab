"""The progress of a run as one row of the tab of all runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from qts.db.contracts import RunRow
from qts.db.sheets.tabs import OF_A_RUN, RUNS, Layout
from qts.ids import run_id_of

MOST_NUMBERS: Final = 9
"""How many tabs of one name are made, one behind the other, because someone changed the one before."""
_PLAIN: Final = re.compile(r"[a-z0-9_-]{1,60}")
_NUMBER: Final = re.compile(r" \((\d)\)$")


class Progress(msgspec.Struct, frozen=True):
    """A run's progress in the spreadsheet: how far it is, who writes it, and where its rows are.

    ``applied``: the newest batch. ``loading``: the batch up to which a copy is being written; until it is applied
    rows may be missing. ``epoch``: the number of the newest claim, 0 for none; ``holder``: who made it, "" once it
    was given up; ``seen_ns``: when the holder last wrote. ``titles`` and ``counts`` of the tabs, in the order of
    :data:`~qts.db.sheets.tabs.OF_A_RUN`: rows behind the count are not there yet. ``is_known``: the run was written
    down, and not only claimed.
    """

    run: RunRow
    applied: int
    loading: int
    epoch: int
    whole_account: bool
    holder: str
    seen_ns: int
    titles: tuple[str, ...]
    counts: tuple[int, ...]
    is_known: bool

    @property
    def is_whole(self) -> bool:
        """Return whether no copy is half written."""
        return self.applied >= self.loading

    def title(self, layout: Layout) -> str:
        """Return the title of a tab of the run."""
        return self.titles[OF_A_RUN.index(layout)]

    def count(self, layout: Layout) -> int:
        """Return how many rows a tab of the run has."""
        return self.counts[OF_A_RUN.index(layout)]

    def with_count(self, layout: Layout, count: int) -> Progress:
        """Return the progress with so many rows of a tab."""
        place = OF_A_RUN.index(layout)
        return msgspec.structs.replace(self, counts=(*self.counts[:place], count, *self.counts[place + 1 :]))

    def without_tab(self, layout: Layout, title: str) -> Progress:
        """Return the progress with another, empty tab, which needs the whole run again."""
        place = OF_A_RUN.index(layout)
        return msgspec.structs.replace(
            self.with_count(layout, 0),
            titles=(*self.titles[:place], title, *self.titles[place + 1 :]),
            loading=max(self.loading, self.applied),
            applied=0,
        )


def begun(run: RunRow) -> Progress:
    """Return the progress of a run that has nothing yet."""
    name = run.run_id if _PLAIN.fullmatch(run.run_id) else f"x{run_id_of(run.run_id)}"
    titles = tuple(f"{layout.name} {name}" for layout in OF_A_RUN)
    return Progress(run, 0, 0, 0, False, "", 0, titles, (0,) * len(OF_A_RUN), False)


def changed_by(former: Progress | None, run: RunRow, loading: int) -> Progress:
    """Return the progress of a run as it is written down now; ``former`` None: it is not there yet.

    A run that has no batch yet may have been begun another time; one that has some only ends. ``loading``: the
    batch up to which a copy is going to be written, 0 for none.
    """
    progress = former or begun(run)
    if not progress.is_known:
        progress = msgspec.structs.replace(progress, run=run, is_known=True)
    elif run.finished or (progress.applied == 0 and progress.loading == 0):
        changed = msgspec.structs.replace(
            progress.run, started_at=run.started_at, finished=run.finished, result=run.result
        )
        progress = msgspec.structs.replace(progress, run=changed)
    return msgspec.structs.replace(progress, loading=max(progress.loading, loading))


def next_title(title: str) -> str | None:
    """Return the title of the tab that takes the place of one, "NAME (2)" of "NAME"; None behind the last."""
    found = _NUMBER.search(title)
    number = int(found[1]) + 1 if found else 2
    return None if number > MOST_NUMBERS else f"{_NUMBER.sub('', title)} ({number})"


def row_of(progress: Progress) -> list[Any]:
    """Return the values of the row of a run."""
    run = progress.run
    tabs: list[Any] = []
    for title, count in zip(progress.titles, progress.counts, strict=True):
        tabs += [title, str(count)]
    return [
        run.run_id,
        run.account,
        progress.applied,
        progress.loading,
        progress.epoch,
        progress.whole_account,
        progress.holder,
        progress.seen_ns,
        *tabs,
        progress.is_known,
        run.started_at,
        run.finished,
        run.command,
        run.seed,
        run.source_id,
        run.config_hash,
        run.result,
    ]


def progress_of(cells: Sequence[Any]) -> Progress | None:
    """Return the progress of the cells of a row; None for a row that is not as it was written."""
    if not cells or not RUNS.is_intact(cells):
        return None
    try:
        run_id, account, applied, loading, epoch, whole, holder, seen_ns, *others = RUNS.values(cells)
        tabs, rest = others[: 2 * len(OF_A_RUN)], others[2 * len(OF_A_RUN) :]
        is_known, started_at, finished, command, seed, source_id, config_hash, result = rest
        counts = tuple(map(int, tabs[1::2]))
    except (ValueError, TypeError):
        return None
    run = RunRow(run_id, command, seed, source_id, config_hash, started_at, finished, result, account)
    return Progress(run, applied, loading, epoch, whole, holder, seen_ns, tuple(tabs[::2]), counts, is_known)
