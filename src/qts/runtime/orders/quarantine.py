"""Keeps notices that were not booked, raw, and sees to it that somebody asks the broker."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from qts.db.contracts import QuarantineRow
from qts.runtime.persistence.store_writer import StoreWriter

MOST_KEPT = 65_536
"""Characters of one notice that are stored."""
MOST_SHOWN = 300
"""Characters of the first that stand in the result."""
MOST_TOLD = 2_000
"""Characters of one that are logged and told to safety."""
REMEMBERED = 1_000
"""Notices that are known when they come again; they are stored once."""


class Quarantine:
    """A table of the run; in memory the newest notices alone, so that a repeated one is counted, not kept again.

    ``count`` and ``first`` are of the whole run; ``first`` None: nothing was kept. ``on_kept`` is told of each new
    one: the broker's books have to be compared.
    """

    def __init__(
        self,
        record: StoreWriter,
        *,
        on_code: Callable[[str, str], None],
        on_kept: Callable[[], None],
        log: Callable[[str, str], None],
    ) -> None:
        self._record = record
        self._on_code = on_code
        self._on_kept = on_kept
        self._log = log
        self._known: OrderedDict[str, None] = OrderedDict()
        self.count = 0
        self.first: QuarantineRow | None = None

    def keep(self, notice: object, code: str, reason: str, now_ns: int) -> None:
        """Store ``notice`` as it came and raise ``code``; nothing more for one that was kept before."""
        raw = ascii(notice)[:MOST_KEPT]
        if raw in self._known:
            self._known.move_to_end(raw)
            return
        self._remember(raw)
        detail = f"{reason}; not booked: {raw[:MOST_TOLD]}"
        row = QuarantineRow(now_ns, code, reason, raw)
        self.count, self.first = self.count + 1, self.first or row
        self._record.write_later(row)
        self._log("ERROR", detail)
        self._on_code(code, detail)
        self._on_kept()

    def know(self, rows: Sequence[QuarantineRow]) -> None:
        """After a restart: what the store holds was kept before."""
        self.count, self.first = len(rows), rows[0] if rows else None
        for row in rows[-REMEMBERED:]:
            self._remember(row.notice)

    def _remember(self, raw: str) -> None:
        self._known[raw] = None
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
