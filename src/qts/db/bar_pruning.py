"""Deletes the stored bars that no window needs any more, seldom, and only together with a checkpoint.

A rewind goes back to the newest checkpoint. What is deleted with it was behind the windows at that moment, so the
windows are whole after a rewind as well.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from qts.market.contracts import Bar

_Series: TypeAlias = tuple[str, str]
_LEAST: Final = 16
_DELETE: Final = (
    "DELETE FROM bars WHERE run_id = ? AND symbol = ? AND interval = ? AND id <= "
    "(SELECT id FROM bars WHERE run_id = ? AND symbol = ? AND interval = ? ORDER BY id DESC LIMIT 1 OFFSET ?)"
)


class BarPruning:
    """The bars of a run written of each series since old ones were deleted; ``kept``: how many stay, by interval.

    A series is pruned when it has grown by a quarter of what stays, and by 16 at least.
    """

    def __init__(self, run_id: str, kept: Mapping[str, int]) -> None:
        self._run_id = run_id
        self._kept = dict(kept)
        self._grown: Counter[_Series] = Counter()
        self._pruned: list[_Series] = []

    def begin(self, connection: sqlite3.Connection) -> None:
        """Delete the old bars of every series that is stored; within a transaction."""
        stored = connection.execute("SELECT DISTINCT symbol, interval FROM bars WHERE run_id = ?", (self._run_id,))
        for symbol, interval in stored.fetchall():
            self._delete(connection, (symbol, interval))

    def delete_old(self, connection: sqlite3.Connection) -> None:
        """Delete the old bars of the series that have grown enough; within the transaction of a checkpoint."""
        self._pruned = [one for one, count in self._grown.items() if count >= self._most_growth(one)]
        for series in self._pruned:
            self._delete(connection, series)

    def committed(self, records: Iterable[object], *, with_checkpoint: bool) -> None:
        """Count the bars of a transaction that was committed."""
        if with_checkpoint:
            for series in self._pruned:
                del self._grown[series]
            self._pruned = []
        for record in records:
            if isinstance(record, Bar):
                self._grown[record.symbol, record.interval] += 1

    def _most_growth(self, series: _Series) -> int:
        return max(_LEAST, self._kept.get(series[1], 0) // 4)

    def _delete(self, connection: sqlite3.Connection, series: _Series) -> None:
        kept = self._kept.get(series[1])
        if kept:  # the newest row always stays: the number of the next one follows from it
            connection.execute(_DELETE, (self._run_id, *series, self._run_id, *series, kept))
